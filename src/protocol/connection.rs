//! An open connection to its end: OPEN → CLOSING → CLOSED (§5 to §7).

use std::time::Instant;

use super::{Agreement, Event, Role, Shared, Timeouts};
use crate::error::{ProtocolError, UsageError};

/// Where a connection stands (§4.1, §7.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Messages flow both ways.
    Open,
    /// Our Close frame is pending or sent, the peer's has not come. Its messages are dropped unreported.
    Closing,
    /// Both Close frames are exchanged, or the peer broke the protocol: whatever it still sends is ignored.
    /// Once `data_to_send` is flushed: shut down the sending side, then drop the socket when the peer ends or
    /// `Timeout::Close` comes.
    Closed,
}

/// What a deadline brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timeout {
    /// The peer was silent: a Ping frame is pending.
    Ping,
    /// It did not answer the ping: a Close frame with 4012 is pending.
    Pong,
    /// A message took too long: a Close frame with 1008 is pending.
    Message,
    /// It did not finish the closing handshake: drop the socket.
    Close,
}

/// The protocol state of one connection after its opening handshake.
///
/// Small, and without heap memory while no frame or message is unfinished and nothing is pending.
pub struct Connection {
    #[expect(dead_code)]
    todo: u8,
}

impl Connection {
    /// A connection whose opening handshake has just ended.
    ///
    /// `ping_factor` (say 0.8 to 1.2, drawn by the caller) stretches its ping interval, so that connections
    /// opened together are not pinged together.
    #[must_use]
    pub fn new(
        _role: Role,
        _agreement: Option<Agreement>,
        _ping_factor: f32,
        _now: Instant,
    ) -> Self {
        todo!()
    }

    /// The compression that the opening handshake agreed on.
    #[must_use]
    pub fn agreement(&self) -> Option<Agreement> {
        todo!()
    }

    /// Where the connection stands.
    #[must_use]
    pub fn phase(&self) -> Phase {
        todo!()
    }

    /// Takes what the socket gave and calls `sink` for each event, in order.
    ///
    /// Unmasks in place: `data` is garbage afterwards. A message that lies whole in `data` is handed up without
    /// a copy; of an unfinished frame only the bytes that came are kept.
    /// Errors: the peer broke the protocol. The events before it have been reported, the phase is `Closed`, and
    /// its Close frame is pending.
    pub fn receive_data(
        &mut self,
        _data: &mut [u8],
        _now: Instant,
        _shared: &mut Shared,
        _sink: &mut impl FnMut(Event<'_>),
    ) -> Result<(), ProtocolError> {
        todo!()
    }

    /// Frames and fragments received since the last call, control frames included: for the rate bucket.
    pub fn take_frames_received(&mut self) -> u32 {
        todo!()
    }

    /// Starts the closing handshake; without effect unless the phase is `Open`.
    ///
    /// Errors: a code that must not be sent (§7.4), or a reason over 123 bytes.
    pub fn close(&mut self, _code: u16, _reason: &str, _now: Instant) -> Result<(), UsageError> {
        todo!()
    }

    /// Whether `data_to_send` would append anything.
    #[must_use]
    pub fn has_data_to_send(&self) -> bool {
        todo!()
    }

    /// Appends the pending control frames: at most one Pong (the newest), one Ping and one Close, the last.
    ///
    /// Call it when the bytes queued before have left, lest a peer that floods pings and reads nothing fills
    /// the outbox. No message may be sent after the Close frame.
    pub fn data_to_send(&mut self, _out: &mut Vec<u8>) {
        todo!()
    }

    /// When `handle_timeout` is due next; it changes only with calls of this connection's `&mut` methods.
    #[must_use]
    pub fn poll_timeout(&self, _timeouts: &Timeouts) -> Option<Instant> {
        todo!()
    }

    /// Acts on the deadline that has passed at `now`; `None` if there is none.
    pub fn handle_timeout(&mut self, _now: Instant, _timeouts: &Timeouts) -> Option<Timeout> {
        todo!()
    }
}
