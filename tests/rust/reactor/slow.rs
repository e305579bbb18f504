//! Peers that do not read.

use std::time::Duration;

use gateway_core::reactor::{Config, ConnectionId};

use super::support::{App, CLOSE, Peer};

const CHUNK: usize = 65_536;

fn publish(app: &mut App, position: Option<u64>, text: &str) {
    app.gateway
        .publish("room", [("", text.as_bytes(), true)], position, vec![])
        .expect("legal");
    app.gateway.flush();
}

/// Publishes until the peer's outbox stays above its soft limit; the first position that did not fit.
fn fill(app: &mut App) -> u64 {
    for position in 1.. {
        let before = app.gateway.stats().messages_out;
        publish(app, Some(position), &format!("{position} {}", "x".repeat(CHUNK)));
        // A command of another kind tells when the publish has been carried out.
        app.settle();
        if app.gateway.stats().messages_out == before {
            return position;
        }
    }
    unreachable!()
}

fn positions_until(peer: &mut Peer, end: &str) -> Vec<u64> {
    std::iter::from_fn(|| {
        let message = peer.message();
        (message != end).then(|| {
            message
                .split(' ')
                .next()
                .and_then(|n| n.parse().ok())
                .expect("a position")
        })
    })
    .collect()
}

#[test]
fn a_slow_subscriber_is_cut_off_and_told_the_lowest_position_it_missed() {
    let mut app = App::start(Config {
        max_outbox_bytes: 1 << 30,
        ..Config::default()
    });
    let (mut peer, id) = app.connect(&["room"]);
    let missed = fill(&mut app);
    publish(&mut app, Some(missed + 1), "missed as well");
    publish(&mut app, Some(7), "an edit of what it has already got");
    publish(&mut app, None, "droppable");
    app.gateway.send(id, b"end", true).expect("open");
    app.gateway.flush();
    assert_eq!(positions_until(&mut peer, "end"), (1..missed).collect::<Vec<_>>());
    assert_eq!(app.drained(), (id, vec![("room".to_owned(), 7)]));
    publish(&mut app, Some(missed + 2), "not subscribed any more");
    app.gateway.subscribe(id, "room").expect("open");
    publish(&mut app, Some(missed + 3), "subscribed again");
    assert_eq!(peer.message(), "subscribed again");
    app.until(|stats| stats.outbox_bytes == 0);
}

#[test]
fn what_the_socket_takes_at_once_does_not_count() {
    let mut app = App::start(Config::default());
    let (mut peer, _) = app.connect(&["room"]);
    let text = "x".repeat(10_000);
    for _ in 0..30 {
        // Together more than the soft limit, but the kernel takes at least 100 kB of it.
        app.gateway
            .publish("room", [("", text.as_bytes(), true)], None, vec![])
            .expect("legal");
    }
    app.gateway.flush();
    for _ in 0..30 {
        assert_eq!(peer.message(), text);
    }
    assert_eq!(app.gateway.stats().dropped, 0);
}

#[test]
fn passing_the_hard_limit_closes_with_4008_and_frees_the_outbox() {
    let mut app = App::start(Config::default());
    let (mut peer, id) = app.connect(&[]);
    while app.gateway.stats().slow_consumers == 0 {
        app.gateway.send(id, &[b'x'; CHUNK], true).expect("open");
        app.settle();
    }
    assert_eq!(app.closed(), (id, 4008, false));
    assert!(app.gateway.stats().outbox_bytes < CHUNK as u64 * 2);
    assert_eq!(last_close_code(&mut peer), 4008);
}

#[test]
fn staying_above_the_soft_limit_closes_with_4008() {
    let mut app = App::start(Config {
        slow_consumer_timeout: Duration::from_millis(200),
        max_outbox_bytes: 1 << 30,
        ..Config::default()
    });
    let (mut peer, id) = app.connect(&["room"]);
    fill(&mut app);
    assert_eq!(app.closed(), (id, 4008, false));
    assert_eq!(last_close_code(&mut peer), 4008);
    assert_eq!(app.gateway.stats().topics, 0);
}

fn last_close_code(peer: &mut Peer) -> u16 {
    let mut last = (0, Vec::new());
    while let Ok(frame) = peer.try_frame() {
        last = frame;
    }
    assert_eq!(last.0, CLOSE, "the last whole frame");
    u16::from_be_bytes([last.1[0], last.1[1]])
}

#[test]
fn a_slow_peer_holds_nobody_else_up() {
    let mut app = App::start(Config {
        max_outbox_bytes: 1 << 30,
        ..Config::default()
    });
    let (_slow, slow_id) = app.connect(&["room"]);
    let (mut peer, _): (Peer, ConnectionId) = app.connect(&["room"]);
    for position in 1..200 {
        publish(
            &mut app,
            Some(position),
            &format!("{position} {}", "x".repeat(CHUNK)),
        );
        assert!(peer.message().starts_with(&format!("{position} ")));
    }
    assert_eq!(app.gateway.send(slow_id, b"still there", true), Ok(true));
}
