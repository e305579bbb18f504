//! Frames: however the stream is cut the events are the same, and they are those of the reference.

use std::time::Instant;

use gateway_core::protocol::{Agreement, Connection, Event, Limits, Phase, Role, Shared};

use super::reference::{self, Meaning};

const LIMITS: Limits = Limits {
    max_message_bytes: 2000,
    max_empty_fragments: 3,
    max_inflate_ratio: 50,
    min_compress_bytes: 16,
};

const AGREEMENT: Agreement = Agreement {
    server_max_window_bits: 15,
    client_max_window_bits: 15,
};

/// The first byte chooses compression and the size of the reads, the rest is the stream.
pub fn frames(data: &[u8]) {
    let Some((choice, wire)) = data.split_first() else {
        return;
    };
    let agreement = (choice & 1 != 0).then_some(AGREEMENT);
    let whole = outcome(wire, wire.len().max(1), agreement);
    assert_eq!(outcome(wire, usize::from(choice >> 1) + 1, agreement), whole);
    assert_eq!(outcome(wire, 1, agreement), whole);
    if agreement.is_none() {
        let expected = reference::read(
            wire,
            LIMITS.max_message_bytes,
            usize::from(LIMITS.max_empty_fragments),
        );
        assert_eq!(whole.meanings, expected);
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    meanings: Vec<Meaning>,
    sent: Vec<u8>,
    frames: u32,
}

fn outcome(wire: &[u8], read: usize, agreement: Option<Agreement>) -> Outcome {
    let now = Instant::now();
    let mut connection = Connection::new(Role::Server, agreement, 1.0, now);
    let mut shared = Shared::new(LIMITS);
    let mut meanings = Vec::new();
    let mut wire = wire.to_vec();
    for piece in wire.chunks_mut(read) {
        let result = connection.receive_data(piece, now, &mut shared, &mut |event| {
            meanings.push(meaning(event))
        });
        if let Err(error) = result {
            assert_eq!(connection.phase(), Phase::Closed);
            assert!(error.reason.len() <= 123);
            meanings.push(Meaning::Refused(error.close_code));
        }
        assert!(connection.buffered_bytes() <= 2 * LIMITS.max_message_bytes + 8192);
    }
    let mut sent = Vec::new();
    connection.data_to_send(&mut sent);
    let ended = matches!(meanings.last(), Some(Meaning::Closed(..) | Meaning::Refused(_)));
    assert_eq!(connection.phase() == Phase::Closed, ended);
    Outcome {
        meanings,
        sent,
        frames: connection.take_frames_received(),
    }
}

fn meaning(event: Event<'_>) -> Meaning {
    match event {
        Event::Message { payload, is_text } => {
            assert!(payload.len() <= LIMITS.max_message_bytes);
            assert!(!is_text || std::str::from_utf8(payload).is_ok());
            Meaning::Message {
                payload: payload.to_vec(),
                is_text,
            }
        }
        Event::Pong { payload } => Meaning::Pong(payload.to_vec()),
        Event::Closed { code, reason } => Meaning::Closed(code, reason.as_bytes().to_vec()),
    }
}
