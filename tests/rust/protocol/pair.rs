//! Our client and our server against each other.

use std::time::Instant;

use gateway_core::protocol::{
    Agreement, Connection, Limits, Phase, Role, Shared, Timeout, encode_client_message, encode_message,
};

use crate::peer::*;

struct Pair {
    client: Connection,
    server: Connection,
    shared: Shared,
    now: Instant,
}

impl Pair {
    fn new(agreement: Option<Agreement>) -> Self {
        let now = Instant::now();
        Self {
            client: Connection::new(Role::Client, agreement, 1.0, now),
            server: Connection::new(Role::Server, agreement, 1.0, now),
            shared: Shared::new(Limits::default()),
            now,
        }
    }

    /// Carries `wire` to one side, and what the two then have to say until both are silent.
    fn carry(&mut self, mut wire: Vec<u8>, mut to_server: bool) -> Vec<Seen> {
        let mut events = Vec::new();
        while !wire.is_empty() {
            let receiver = if to_server {
                &mut self.server
            } else {
                &mut self.client
            };
            let mut sink = |event: gateway_core::protocol::Event<'_>| events.push(event.into());
            receiver
                .receive_data(&mut wire, self.now, &mut self.shared, &mut sink)
                .expect("both keep the rules");
            wire.clear();
            receiver.data_to_send(&mut wire);
            to_server = !to_server;
        }
        events
    }
}

#[test]
fn messages_go_both_ways_with_and_without_compression() {
    for agreement in [None, COMPRESSED] {
        let mut pair = Pair::new(agreement);
        for content in ["", "héllo", &"again and again ".repeat(4000)] {
            let frame = encode_message(content.as_bytes(), true, agreement, &mut pair.shared);
            assert_eq!(pair.carry(frame.to_vec(), false), [text(content)]);
            let (mut wire, bytes) = (Vec::new(), content.as_bytes());
            encode_client_message(bytes, false, agreement, [9, 8, 7, 6], &mut pair.shared, &mut wire);
            assert_eq!(pair.carry(wire, true), [binary(bytes)]);
        }
    }
}

#[test]
fn a_ping_of_either_side_is_answered_by_the_other() {
    for from_server in [true, false] {
        let mut pair = Pair::new(None);
        pair.now += TIMEOUTS.ping_interval;
        let sender = if from_server {
            &mut pair.server
        } else {
            &mut pair.client
        };
        assert_eq!(sender.handle_timeout(pair.now, &TIMEOUTS), Some(Timeout::Ping));
        let mut wire = Vec::new();
        sender.data_to_send(&mut wire);
        assert_eq!(pair.carry(wire, !from_server), [pong(b"")]);
    }
}

#[test]
fn either_side_may_close() {
    for by_server in [true, false] {
        let mut pair = Pair::new(None);
        let closer = if by_server {
            &mut pair.server
        } else {
            &mut pair.client
        };
        closer.close(1001, "that is all", pair.now).expect("a legal code");
        let mut wire = Vec::new();
        closer.data_to_send(&mut wire);
        assert_eq!(
            pair.carry(wire, !by_server),
            [closed(1001, "that is all"), closed(1001, "")]
        );
        assert_eq!(
            (pair.client.phase(), pair.server.phase()),
            (Phase::Closed, Phase::Closed)
        );
    }
}

#[test]
fn a_masked_frame_from_a_server_closes_with_1002() {
    let mut pair = Pair::new(None);
    let mut wire = frame(FIN | TEXT, b"x");
    let error = pair
        .client
        .receive_data(&mut wire, pair.now, &mut pair.shared, &mut |_| {});
    assert_eq!(error.map_err(|error| error.close_code), Err(1002));
}
