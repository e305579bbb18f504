//! The WebSocket protocol (RFC 6455, RFC 7692), sans-IO: bytes in, events and bytes out.
//!
//! No socket, clock, thread or Python; the time is an argument. The way of a connection:
//!
//! 1. [`handshake::HeadReader`] reads the request; [`handshake::accept`] or [`handshake::refuse`] answers it.
//! 2. [`Connection::receive_data`] turns what the socket gives into [`Event`]s. [`encode_message`] makes the
//!    frames of outgoing messages, which connections with the same [`Agreement`] share.
//! 3. [`Connection::data_to_send`] gives what the protocol itself has to say: pongs, pings, the Close frame.
//! 4. [`Connection::poll_timeout`] and [`Connection::handle_timeout`] keep the deadlines.
//!
//! Section numbers (§) without an RFC are those of RFC 6455.

use std::time::Duration;

pub mod close;
mod connection;
pub mod deflate;
mod encode;
pub mod frame;
pub mod handshake;
pub mod mask;
mod message;

pub use connection::{Connection, Phase, Timeout};
pub use deflate::Agreement;
pub use encode::{encode_client_message, encode_message};

/// Which end of the connection we are: a client masks its frames, a server does not (§5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Accepts connections.
    Server,
    /// Opens connections: tests and the load generator.
    Client,
}

/// What bounds the messages of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// After decompression; a longer message is refused with 1009, on the frame header where that tells.
    pub max_message_bytes: usize,
    /// Empty fragments in one message; one more is refused with 1008.
    pub max_empty_fragments: u8,
    /// Inflated over deflated bytes, judged beyond 64 KiB; more is refused with 1009.
    pub max_inflate_ratio: usize,
    /// Outgoing messages shorter than this are not compressed.
    pub min_compress_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_message_bytes: 65_536,
            max_empty_fragments: 16,
            max_inflate_ratio: 200,
            min_compress_bytes: 256,
        }
    }
}

/// The deadlines of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// Silence from the peer after which it is pinged; multiplied by the connection's `ping_factor`.
    pub ping_interval: Duration,
    /// Silence after a ping; then the connection is closed with 4012.
    pub ping_timeout: Duration,
    /// From our Close frame to the end of the socket.
    pub close_timeout: Duration,
    /// From the first byte of a message to its last; then the connection is closed with 1008.
    pub message_timeout: Duration,
}

/// What a connection tells upward. Payloads are borrowed until the callback returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event<'a> {
    /// A whole message: reassembled, decompressed, and valid UTF-8 if it is text.
    Message {
        /// The application data.
        payload: &'a [u8],
        /// Whether it came in text frames.
        is_text: bool,
    },
    /// A Pong frame, asked for or not (§5.5.3).
    Pong {
        /// What the matching Ping carried; at most 125 bytes.
        payload: &'a [u8],
    },
    /// The peer's Close frame: the last event of a connection.
    Closed {
        /// Its close code; 1005 if the frame carries none.
        code: u16,
        /// Its reason; often empty.
        reason: &'a str,
    },
}

/// What the connections of one thread share: limits, compression codecs and scratch space.
///
/// Nothing of a connection survives in it between two calls.
pub struct Shared {
    pub(crate) limits: Limits,
    pub(crate) codecs: deflate::Codecs,
    pub(crate) scratch: Vec<u8>,
}

impl Shared {
    /// Makes the codecs lazily: a thread without compression never pays for them.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            codecs: deflate::Codecs::default(),
            scratch: Vec::new(),
        }
    }

    /// Memory held as scratch space: it grows to the largest message that was (de)compressed.
    #[must_use]
    pub fn buffered_bytes(&self) -> usize {
        self.scratch.capacity()
    }

    /// The limits given to `new`.
    #[must_use]
    pub const fn limits(&self) -> &Limits {
        &self.limits
    }
}
