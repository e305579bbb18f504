//! Whom a gateway takes in, how fast they may talk, and how long it waits.

use std::time::Duration;

use gateway_core::protocol::{Limits, Timeouts};
use gateway_core::reactor::{Config, RateLimits};

use super::support::{App, BINARY, CLOSE, PING, Peer, REQUEST, TEXT};

const SHORT: Duration = Duration::from_millis(100);

fn timeouts() -> Timeouts {
    Config::default().timeouts
}

fn assert_turned_away(app: &App) {
    let mut peer = Peer::connect(app.gateway.address());
    let answer = peer.end();
    assert!(
        answer.is_empty() || answer.starts_with(b"HTTP/1.1 503 "),
        "{answer:?}"
    );
}

#[test]
fn more_sockets_than_allowed_are_turned_away() {
    let mut app = App::start(Config {
        max_connections: 3,
        ..Config::default()
    });
    let (first, first_id) = app.connect(&[]);
    let _others = [app.connect(&[]), app.connect(&[])];
    assert_turned_away(&app);
    app.until(|stats| stats.refused == 1);
    drop(first);
    assert_eq!(app.closed(), (first_id, 1006, false));
    app.connect(&[]);
}

#[test]
fn more_sockets_of_one_address_than_allowed_are_turned_away() {
    let mut app = App::start(Config {
        max_connections_per_address: 2,
        ..Config::default()
    });
    let _peers = [app.connect(&[]), app.connect(&[])];
    assert_turned_away(&app);
}

#[test]
fn more_pending_handshakes_than_allowed_are_turned_away() {
    let mut app = App::start(Config {
        max_pending_handshakes: 2,
        ..Config::default()
    });
    let mut first = Peer::connect(app.gateway.address());
    let _second = Peer::connect(app.gateway.address());
    app.until(|stats| stats.accepted == 2);
    assert_turned_away(&app);
    first.send(REQUEST);
    let (id, _) = app.opened();
    assert_eq!(app.gateway.accept(id, None, ""), Ok(true));
    app.gateway.flush();
    assert!(first.head().starts_with("HTTP/1.1 101 "));
    let mut third = Peer::connect(app.gateway.address());
    third.send(REQUEST);
    app.opened();
}

#[test]
fn a_peer_that_says_nothing_is_answered_408() {
    let mut app = App::start(Config {
        handshake_timeout: SHORT,
        ..Config::default()
    });
    let mut peer = Peer::connect(app.gateway.address());
    peer.send(b"GET / HT");
    assert!(peer.head().starts_with("HTTP/1.1 408 "));
    assert!(peer.end().is_empty());
    app.until(|stats| stats.refused == 1 && stats.connections == 0);
}

#[test]
fn a_request_without_a_verdict_is_answered_503_and_told_closed() {
    let mut app = App::start(Config {
        handshake_timeout: SHORT,
        ..Config::default()
    });
    let mut peer = Peer::connect(app.gateway.address());
    peer.send(REQUEST);
    let (id, _) = app.opened();
    assert_eq!(app.closed(), (id, 1006, false));
    assert!(peer.head().starts_with("HTTP/1.1 503 "));
    assert_eq!(app.gateway.accept(id, None, ""), Ok(false));
}

#[test]
fn a_peer_that_sends_too_many_frames_is_closed_with_1008() {
    let rates = RateLimits {
        frames_per_second: 1.0,
        frames_burst: 100.0,
        ..RateLimits::default()
    };
    let mut app = App::start(Config {
        rates,
        ..Config::default()
    });
    let (mut peer, id) = app.connect(&[]);
    for _ in 0..200 {
        peer.send_frame(PING, b"flood");
    }
    assert_eq!(app.closed(), (id, 1008, false));
}

#[test]
fn a_peer_that_sends_too_many_bytes_is_closed_with_1008() {
    let rates = RateLimits {
        bytes_per_second: 1.0,
        bytes_burst: 100_000.0,
        ..RateLimits::default()
    };
    let mut app = App::start(Config {
        rates,
        ..Config::default()
    });
    let (mut peer, id) = app.connect(&[]);
    for _ in 0..3 {
        peer.send_frame(BINARY, &[0; 50_000]);
    }
    assert_eq!(app.closed(), (id, 1008, false));
}

#[test]
fn a_message_that_is_too_long_is_refused_on_its_header() {
    let messages = Limits {
        max_message_bytes: 1000,
        ..Limits::default()
    };
    let mut app = App::start(Config {
        messages,
        ..Config::default()
    });
    let (mut peer, id) = app.connect(&[]);
    peer.send(&[0x82, 0xff, 0, 0, 0x10, 0, 0, 0, 0, 0, 1, 2, 3, 4]);
    assert_eq!(app.closed(), (id, 1009, false));
    assert_eq!(peer.close_code(), 1009);
}

#[test]
fn a_silent_peer_is_pinged_and_then_closed_with_4012() {
    let timeouts = Timeouts {
        ping_interval: SHORT,
        ping_timeout: SHORT,
        ..timeouts()
    };
    let mut app = App::start(Config {
        timeouts,
        ..Config::default()
    });
    let (mut peer, id) = app.connect(&[]);
    assert_eq!(peer.frame().0, PING);
    assert_eq!(app.closed(), (id, 4012, false));
    assert_eq!(peer.close_code(), 4012);
    assert!(peer.end().is_empty());
}

#[test]
fn a_peer_that_never_answers_our_close_is_cut_off() {
    let timeouts = Timeouts {
        close_timeout: SHORT,
        ..timeouts()
    };
    let mut app = App::start(Config {
        timeouts,
        ..Config::default()
    });
    let (mut peer, id) = app.connect(&[]);
    assert_eq!(app.gateway.close(id, 4000, "bye"), Ok(true));
    assert_eq!(app.closed(), (id, 4000, false));
    assert_eq!(peer.close_code(), 4000);
    assert!(peer.end().is_empty());
}

#[test]
fn a_peer_that_talks_on_after_the_close_is_cut_off() {
    let timeouts = Timeouts {
        close_timeout: SHORT,
        ..timeouts()
    };
    let mut app = App::start(Config {
        timeouts,
        ..Config::default()
    });
    let (mut peer, id) = app.connect(&[]);
    peer.send_frame(CLOSE, &4321u16.to_be_bytes());
    assert_eq!(app.closed(), (id, 4321, true));
    assert_eq!(peer.close_code(), 4321);
    let junk = super::support::frame(TEXT, b"and on");
    while std::io::Write::write_all(&mut peer.0, &junk).is_ok() {
        std::thread::yield_now();
    }
}

#[test]
fn draining_closes_everybody_and_tells_the_end() {
    let mut app = App::start(Config {
        reactors: 2,
        ..Config::default()
    });
    let peers: Vec<_> = (0..10).map(|_| app.connect(&[])).collect();
    let mut undecided = Peer::connect(app.gateway.address());
    undecided.send(REQUEST);
    app.opened();
    app.gateway
        .drain(4001, "restart", Duration::from_millis(100))
        .expect("legal");
    for (mut peer, _) in peers {
        assert_eq!(peer.close_code(), 4001);
        peer.send_frame(CLOSE, &4001u16.to_be_bytes());
    }
    assert!(undecided.head().starts_with("HTTP/1.1 503 "));
    drop(undecided);
    for _ in 0..11 {
        app.closed();
    }
    app.until_drained();
}
