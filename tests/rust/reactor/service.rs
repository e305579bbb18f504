//! What connections get: messages, topics over several reactors, their share of a reactor's time.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use gateway_core::reactor::{Config, Event, RateLimits};

use super::support::{App, CLOSE, PING, PONG, Peer, REQUEST, TEXT, frame};

/// No limit that a test could meet.
const UNLIMITED: RateLimits = RateLimits {
    frames_per_second: 1e9,
    frames_burst: 1e9,
    bytes_per_second: 1e12,
    bytes_burst: 1e12,
};

#[test]
fn messages_travel_both_ways() {
    let mut app = App::start(Config::default());
    let (mut peer, id) = app.connect(&[]);
    peer.send_frame(TEXT, b"hello");
    assert_eq!(app.received(), (id, b"hello".to_vec()));
    assert_eq!(app.gateway.send(id, b"world", true), Ok(true));
    app.gateway.flush();
    assert_eq!(peer.message(), "world");
}

#[test]
fn every_subscriber_of_every_reactor_gets_each_message_once_and_in_order() {
    let mut app = App::start(Config {
        reactors: 3,
        ..Config::default()
    });
    let mut peers: Vec<_> = (0..60).map(|_| app.connect(&["room"])).collect();
    let mut reactors: Vec<_> = peers.iter().map(|(_, id)| id.to_u64() >> 18 & 31).collect();
    reactors.sort_unstable();
    reactors.dedup();
    assert!(
        reactors.len() > 1,
        "the kernel spreads connections over the listeners"
    );
    for number in 0..100 {
        let text = number.to_string();
        app.gateway
            .publish("room", [("", text.as_bytes(), true)], Some(number), vec![])
            .expect("legal");
    }
    app.gateway.flush();
    for (peer, _) in &mut peers {
        let got: Vec<_> = (0..100).map(|_| peer.message()).collect();
        assert_eq!(got, (0..100).map(|number| number.to_string()).collect::<Vec<_>>());
    }
    assert_eq!(app.gateway.stats().messages_out, 6000);
}

#[test]
fn a_topic_larger_than_a_slice_reaches_everybody_in_order() {
    let mut app = App::start(Config::default());
    let mut peers: Vec<_> = (0..1200).map(|_| app.connect(&["room"])).collect();
    for number in 0..20 {
        let text = format!("{number} {}", "x".repeat(500));
        app.gateway
            .publish("room", [("", text.as_bytes(), true)], Some(number), vec![])
            .expect("legal");
        app.gateway
            .send(peers[0].1, format!("direct {number}").as_bytes(), true)
            .expect("open");
        app.gateway.flush();
    }
    let excluded = peers[0].1.to_u64();
    app.gateway
        .publish("room", [("", b"end".as_slice(), true)], None, vec![excluded])
        .expect("legal");
    app.gateway.flush();
    for number in 0..20 {
        assert!(peers[0].0.message().starts_with(&format!("{number} ")));
        assert_eq!(peers[0].0.message(), format!("direct {number}"));
    }
    for (peer, _) in &mut peers[1..] {
        for number in 0..20 {
            assert!(peer.message().starts_with(&format!("{number} ")));
        }
        assert_eq!(peer.message(), "end");
    }
}

#[test]
fn a_peer_that_floods_leaves_the_others_their_share() {
    let mut app = App::start(Config {
        rates: UNLIMITED,
        ..Config::default()
    });
    let (flooder, _) = app.connect(&[]);
    let (mut quiet, quiet_id) = app.connect(&[]);
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let burst = frame(TEXT, b"flood").repeat(5000);
            let mut socket = flooder.0.try_clone().expect("a descriptor");
            while !stop.load(Ordering::Relaxed) {
                if socket.write_all(&burst).is_err() {
                    break;
                }
            }
        });
        for round in 0..50 {
            let text = format!("round {round}");
            quiet.send_frame(TEXT, text.as_bytes());
            let got = app.next(|event| match event {
                Event::Received { id, payload, .. } if *id == quiet_id => Some(payload.clone()),
                _ => None,
            });
            assert_eq!(got, text.as_bytes());
            app.forget_messages();
        }
        stop.store(true, Ordering::Relaxed);
        drop(flooder.0.shutdown(std::net::Shutdown::Both));
    });
    assert!(app.gateway.stats().messages_in > 10_000, "it did flood");
}

#[test]
fn undelivered_events_pause_reading_but_neither_writing_nor_the_connection() {
    let timeouts = gateway_core::protocol::Timeouts {
        ping_interval: Duration::from_millis(50),
        ping_timeout: Duration::from_millis(100),
        ..Config::default().timeouts
    };
    let mut app = App::start(Config {
        max_events: 10,
        rates: UNLIMITED,
        timeouts,
        ..Config::default()
    });
    let (mut busy, busy_id) = app.connect(&["room"]);
    for number in 0..1000u32 {
        busy.send_frame(TEXT, number.to_string().as_bytes());
    }
    // The application takes no events; a second connection would need one, so only the first is looked at.
    app.until(|stats| stats.messages_in > 10);
    app.gateway
        .publish("room", [("", b"still written".as_slice(), true)], None, vec![])
        .expect("legal");
    app.gateway.flush();
    loop {
        match busy.frame() {
            (PING, payload) => busy.send_frame(PONG, &payload),
            (TEXT, payload) => break assert_eq!(payload, b"still written"),
            other => panic!("{other:?}"),
        }
    }
    for number in 0..1000u32 {
        assert_eq!(app.received(), (busy_id, number.to_string().into_bytes()));
    }
}

#[test]
fn a_plain_request_is_handed_over_with_its_socket() {
    let mut app = App::start(Config::default());
    let mut peer = Peer::connect(app.gateway.address());
    peer.send(b"POST /login HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nbody");
    let (socket, data) = app.next(|event| match event {
        Event::Http { socket, data } => Some((socket.try_clone().expect("a descriptor"), data.clone())),
        _ => None,
    });
    assert!(data.starts_with(b"POST /login HTTP/1.1\r\n"));
    let mut stream = TcpStream::from(socket);
    stream
        .write_all(b"HTTP/1.1 204 No Content\r\n\r\n")
        .expect("connected");
    assert!(peer.head().starts_with("HTTP/1.1 204"));
    drop(app);
    stream.write_all(b"more").expect("the gateway has let go of it");
    let mut more = [0; 4];
    peer.0.read_exact(&mut more).expect("the socket is open");
}

#[test]
fn a_request_that_nobody_takes_is_closed_with_the_gateway() {
    let mut app = App::start(Config::default());
    let mut peer = Peer::connect(app.gateway.address());
    peer.send(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    app.until(|stats| stats.bytes_in > 0);
    drop(app);
    assert!(peer.end().is_empty());
}

#[test]
fn dropping_the_gateway_closes_with_1001_and_frees_the_port() {
    let mut app = App::start(Config::default());
    let address = app.gateway.address();
    let (mut peer, _) = app.connect(&[]);
    drop(app);
    assert_eq!(peer.close_code(), 1001);
    assert!(peer.end().is_empty());
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn frames_that_come_with_the_request_wait_for_the_verdict() {
    let mut app = App::start(Config::default());
    let mut peer = Peer::connect(app.gateway.address());
    peer.send(&[REQUEST, &frame(TEXT, b"early")].concat());
    let (id, request) = app.opened();
    assert_eq!(request.path, "/ws");
    peer.send_frame(TEXT, b"later");
    assert_eq!(app.gateway.accept(id, None, ""), Ok(true));
    assert_eq!(app.received().1, b"early");
    assert_eq!(app.received().1, b"later");
}

#[test]
fn the_socket_ends_as_soon_as_both_close_frames_are_exchanged() {
    let timeouts = gateway_core::protocol::Timeouts {
        close_timeout: Duration::from_secs(3600),
        ..Config::default().timeouts
    };
    let mut app = App::start(Config {
        timeouts,
        ..Config::default()
    });
    let (mut ours_first, id) = app.connect(&[]);
    assert_eq!(app.gateway.close(id, 4000, ""), Ok(true));
    app.gateway.flush();
    assert_eq!(ours_first.close_code(), 4000);
    ours_first.send_frame(CLOSE, &4000u16.to_be_bytes());
    assert!(ours_first.end().is_empty());
    let (mut theirs_first, _) = app.connect(&[]);
    theirs_first.send_frame(CLOSE, &4000u16.to_be_bytes());
    assert_eq!(theirs_first.close_code(), 4000);
    assert!(theirs_first.end().is_empty());
}
