//! Keep-alive and deadlines; the tests own the clock.

use std::time::Duration;

use gateway_core::protocol::{Connection, Phase, Role, Timeout};

use crate::peer::*;

impl Server {
    fn after(&mut self, seconds: u64) -> Option<Timeout> {
        self.now += Duration::from_secs(seconds);
        self.connection.handle_timeout(self.now, &TIMEOUTS)
    }

    fn due_in(&self) -> Duration {
        self.connection.poll_timeout(&TIMEOUTS) - self.now
    }
}

#[test]
fn a_silent_peer_is_pinged_and_then_closed_with_4012() {
    let mut server = Server::new();
    assert_eq!(server.due_in(), TIMEOUTS.ping_interval);
    assert_eq!(server.after(24), None);
    assert_eq!(server.after(1), Some(Timeout::Ping));
    assert_eq!(server.sent(), [(FIN | PING, vec![])]);
    assert_eq!(server.due_in(), TIMEOUTS.ping_timeout);
    assert_eq!(server.after(15), Some(Timeout::Pong));
    assert_eq!(server.connection.phase(), Phase::Closing);
    assert_eq!(server.sent_close(), 4012);
    assert_eq!(server.after(4), None);
    assert_eq!(server.after(1), Some(Timeout::Close));
}

#[test]
fn whatever_the_peer_sends_shows_that_it_lives() {
    let mut server = Server::new();
    server.after(25);
    server.receive(&[FIN | TEXT]);
    assert_eq!(server.due_in(), TIMEOUTS.ping_interval);
    assert_eq!(server.after(24), None);
}

#[test]
fn the_ping_factor_spreads_pings() {
    let server = Server::new();
    let connection = Connection::new(Role::Server, None, 0.8, server.now);
    let due = connection.poll_timeout(&TIMEOUTS) - server.now;
    assert!(
        due.abs_diff(Duration::from_secs(20)) < Duration::from_millis(1),
        "{due:?}"
    );
}

#[test]
fn b15_a_message_that_never_ends_closes_with_1008() {
    let mut server = Server::new();
    server.receive(&frame(TEXT, b"begun"));
    for _ in 0..29 {
        assert_eq!(server.after(1), None);
        server.receive(&frame(CONT, b"."));
    }
    assert_eq!(server.after(1), Some(Timeout::Message));
    assert_eq!(server.sent_close(), 1008);
}

#[test]
fn b15_control_frames_do_not_prolong_a_message() {
    let mut server = Server::new();
    server.receive(&raw_frame(FIN | TEXT, 10, b"begun"));
    for _ in 0..29 {
        server.after(1);
    }
    assert_eq!(server.after(1), Some(Timeout::Message));
}

#[test]
fn b1_a_header_that_never_ends_closes_with_1008() {
    let mut server = Server::new();
    server.receive(&[FIN | TEXT]);
    server.after(20);
    server.receive(&[0x80 | 126]);
    assert_eq!(server.due_in(), Duration::from_secs(10));
    assert_eq!(server.after(10), Some(Timeout::Message));
}

#[test]
fn each_message_has_its_own_deadline() {
    let mut server = Server::new();
    server.receive(&frame(TEXT, b"one"));
    server.after(20);
    server.receive(&[frame(FIN | CONT, b""), frame(TEXT, b"two")].concat());
    assert_eq!(server.after(20), None);
    assert_eq!(server.due_in(), Duration::from_secs(5)); // the ping
    assert_eq!(server.after(5), Some(Timeout::Ping));
    assert_eq!(server.after(5), Some(Timeout::Message));
}

#[test]
fn b19_a_peer_that_never_answers_our_close_is_dropped() {
    let mut server = Server::new();
    server
        .connection
        .close(1001, "", server.now)
        .expect("a legal code");
    assert_eq!(server.due_in(), TIMEOUTS.close_timeout);
    server.now += Duration::from_secs(4);
    server.receive(&frame(FIN | TEXT, b"I talk on"));
    assert_eq!(server.after(1), Some(Timeout::Close));
}

#[test]
fn a_closed_connection_lingers_only_for_the_close_timeout() {
    let mut server = Server::new();
    server.receive(&close_frame(1000, b""));
    assert_eq!(server.due_in(), TIMEOUTS.close_timeout);
    assert_eq!(server.after(5), Some(Timeout::Close));
    let mut server = Server::new();
    server.receive(&frame(FIN | 3, b""));
    assert_eq!(server.after(5), Some(Timeout::Close));
}

#[test]
fn a_ping_that_has_not_left_is_not_sent_before_our_close() {
    let mut server = Server::new();
    assert_eq!(server.after(25), Some(Timeout::Ping));
    assert_eq!(server.after(15), Some(Timeout::Pong));
    assert_eq!(server.sent_close(), 4012);
}
