//! An open connection to its end: OPEN → CLOSING → CLOSED (§5 to §7).
//!
//! | phase | we receive | we send | left by |
//! | --- | --- | --- | --- |
//! | `Open` | everything | everything | `close`, a deadline: `Closing`; their Close frame, a `ProtocolError`: `Closed` |
//! | `Closing` | their Close frame; the rest is dropped | our Close frame | their Close frame, a `ProtocolError`: `Closed` |
//! | `Closed` | nothing | our Close frame, if it is not yet fetched | the socket's end |
//!
//! By concern: `receive.rs` turns bytes into frames and events, `timers.rs` keeps the deadlines, this file closes
//! and sends.

use std::time::Instant;

use super::frame::{Header, MAX_HEADER, Opcode};
use super::{Agreement, Role, close, encode};
use crate::error::{ProtocolError, UsageError};

mod receive;
mod timers;

use receive::Unfinished;
pub use timers::Timeout;

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

/// The protocol state of one connection after its opening handshake.
///
/// Small, and without heap memory while no frame or message is unfinished and nothing is pending.
#[derive(Debug)]
pub struct Connection {
    phase: Phase,
    role: Role,
    agreement: Option<Agreement>,
    ping_factor: f32,
    frames_received: u32,
    last_heard: Instant,
    /// `Open`: when the ping was due that is still unanswered. After that: when the closing began.
    waiting_since: Option<Instant>,
    unfinished: Option<Box<Unfinished>>,
    pending: Option<Box<Pending>>,
}

/// Control frames that wait for `data_to_send`.
#[derive(Debug, Default)]
struct Pending {
    /// Pong frames, as they go on the wire.
    pongs: Vec<u8>,
    ping: bool,
    /// The payload of our Close frame.
    close: Option<Vec<u8>>,
}

/// What pongs may wait: more than any peer that plays fair has, little for one that floods.
const MAX_PENDING_PONGS: usize = 2048;

impl Connection {
    /// A connection whose opening handshake has just ended.
    ///
    /// `ping_factor` (say 0.8 to 1.2, drawn by the caller) stretches its ping interval, so that connections
    /// opened together are not pinged together.
    #[must_use]
    pub fn new(role: Role, agreement: Option<Agreement>, ping_factor: f32, now: Instant) -> Self {
        Self {
            phase: Phase::Open,
            role,
            agreement,
            ping_factor,
            frames_received: 0,
            last_heard: now,
            waiting_since: None,
            unfinished: None,
            pending: None,
        }
    }

    /// The compression that the opening handshake agreed on.
    #[must_use]
    pub const fn agreement(&self) -> Option<Agreement> {
        self.agreement
    }

    /// Where the connection stands.
    #[must_use]
    pub const fn phase(&self) -> Phase {
        self.phase
    }

    /// Frames and fragments received since the last call, control frames included: for the rate bucket.
    pub fn take_frames_received(&mut self) -> u32 {
        std::mem::take(&mut self.frames_received)
    }

    /// Starts the closing handshake; without effect unless the phase is `Open`.
    ///
    /// Errors: a code that must not be sent (§7.4), or a reason over 123 bytes.
    pub fn close(&mut self, code: u16, reason: &str, now: Instant) -> Result<(), UsageError> {
        close::check(code, reason)?;
        if self.phase == Phase::Open {
            self.start_closing(Phase::Closing, code, reason, now);
        }
        Ok(())
    }

    /// Heap memory held for an unfinished message and for what is pending; 0 when idle.
    #[must_use]
    pub fn buffered_bytes(&self) -> usize {
        let unfinished = self.unfinished.as_deref().map_or(0, Unfinished::buffered_bytes);
        let pending = self.pending.as_deref().map_or(0, |pending| {
            size_of::<Pending>() + pending.pongs.capacity() + pending.close.as_ref().map_or(0, Vec::capacity)
        });
        unfinished + pending
    }

    /// Whether `data_to_send` would append anything.
    #[must_use]
    pub const fn has_data_to_send(&self) -> bool {
        self.pending.is_some()
    }

    /// Appends the pending control frames: pongs (at most 2 KiB), a Ping, and last the Close frame.
    ///
    /// Call it when the bytes queued before have left, lest a peer that floods pings and reads nothing fills
    /// the outbox. No message may be sent after the Close frame.
    pub fn data_to_send(&mut self, out: &mut Vec<u8>) {
        let Some(pending) = self.pending.take() else {
            return;
        };
        out.extend_from_slice(&pending.pongs);
        if pending.ping {
            write_control(self.role, Opcode::Ping, &[], out);
        }
        if let Some(payload) = pending.close {
            write_control(self.role, Opcode::Close, &payload, out);
        }
    }

    /// Queues our Close frame, and lets go of what is no longer needed.
    fn start_closing(&mut self, phase: Phase, code: u16, reason: &str, now: Instant) {
        let pending = self.pending.get_or_insert_default();
        pending.ping = false;
        pending.close = Some(close::payload(code, reason));
        self.phase = phase;
        self.waiting_since = Some(now);
        if phase == Phase::Closed {
            self.unfinished = None;
        } else if let Some(unfinished) = &mut self.unfinished {
            unfinished.discard_message();
        }
    }

    /// Answers the peer's Close frame, unless it is the answer to ours.
    fn receive_close(&mut self, code: u16, now: Instant) {
        if self.phase == Phase::Open {
            self.start_closing(Phase::Closed, code, "", now);
        } else {
            self.end();
        }
    }

    /// Queues the answer to a Ping. If the peer does not wait for answers, the last one is for all (§5.5.3).
    fn answer_ping(&mut self, payload: &[u8]) {
        let pongs = &mut self.pending.get_or_insert_default().pongs;
        if pongs.len() + MAX_HEADER + payload.len() > MAX_PENDING_PONGS {
            pongs.clear();
        }
        write_control(self.role, Opcode::Pong, payload, pongs);
    }

    /// Ends a connection whose peer broke the protocol (§7.1.7).
    fn fail(&mut self, error: &ProtocolError, now: Instant) {
        if self.phase == Phase::Open {
            self.start_closing(Phase::Closed, error.close_code, error.reason, now);
        } else {
            self.end();
        }
    }

    /// Nothing more is received; our Close frame is pending or sent.
    fn end(&mut self) {
        self.phase = Phase::Closed;
        self.unfinished = None;
    }
}

/// Appends a control frame; a client's is masked with a random key (§5.3).
fn write_control(role: Role, opcode: Opcode, payload: &[u8], out: &mut Vec<u8>) {
    let masking_key = match role {
        Role::Server => None,
        Role::Client => Some(fastrand::u32(..).to_ne_bytes()),
    };
    let header = Header {
        masking_key,
        ..Header::new(opcode, payload.len())
    };
    encode::write_frame(header, payload, out);
}

#[cfg(test)]
mod tests {
    use super::Connection;

    #[test]
    fn an_idle_connection_is_small() {
        assert!(size_of::<Connection>() <= 72, "{} bytes", size_of::<Connection>());
    }
}
