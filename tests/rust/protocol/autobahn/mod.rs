//! The cases of the Autobahn test suite (fuzzing client against an echoing server), by their numbers.
//!
//! They carry the same bytes and expectations, so that a machine without Autobahn's old interpreter loses nothing.
//! Sizes of section 9 are smaller here; 12 and 13 are a selection.

use crate::peer::*;
use gateway_core::protocol::{Agreement, Limits, Phase};

mod case_1_to_5;
mod case_6;
mod case_7;
mod case_9_to_13;

/// One case: what the client writes, what it gets back.
struct Case {
    id: String,
    /// Each item is a read of the server's.
    reads: Vec<Vec<u8>>,
    /// Echoes and pongs, in order; then the server's Close frame.
    expected: Vec<Seen>,
    close: u16,
}

impl Case {
    /// The client closes with 1000 after `frames`; all is well.
    fn clean(id: &str, frames: &[Vec<u8>], expected: Vec<Seen>) -> Self {
        let mut reads = frames.to_vec();
        reads.push(close_frame(1000, b""));
        Self {
            id: id.to_owned(),
            reads,
            expected,
            close: 1000,
        }
    }

    /// The server fails the connection with `close`.
    fn fails(id: &str, frames: &[Vec<u8>], expected: Vec<Seen>, close: u16) -> Self {
        Self {
            id: id.to_owned(),
            reads: frames.to_vec(),
            expected,
            close,
        }
    }

    /// The same bytes in reads of `size`.
    fn chopped(mut self, size: usize) -> Self {
        self.reads = self.reads.concat().chunks(size).map(<[u8]>::to_vec).collect();
        self
    }

    /// The same bytes in one read.
    fn in_one_read(mut self) -> Self {
        self.reads = vec![self.reads.concat()];
        self
    }

    fn run(self) {
        self.run_with(None);
    }

    fn run_with(self, agreement: Option<Agreement>) {
        let Self {
            id,
            reads,
            expected,
            close,
        } = self;
        let limits = Limits {
            max_message_bytes: 1 << 24,
            max_inflate_ratio: 2000,
            ..Limits::default()
        };
        let mut server = Server::with(limits, agreement);
        let mut answers = echo(&mut server, &reads);
        match answers.pop() {
            Some(Seen::Closed(code, _)) => assert_eq!(code, close, "case {id}"),
            other => panic!("case {id}: expected a Close frame, got {other:?}"),
        }
        assert!(
            answers == expected,
            "case {id}: got {answers:.200?}, expected {expected:.200?}"
        );
        assert_eq!(server.connection.phase(), Phase::Closed, "case {id}");
        assert!(server.holds_nothing(), "case {id}");
    }
}
