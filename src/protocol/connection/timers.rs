//! The deadlines of a connection: ping, answer to it, message, closing handshake.

use std::time::Instant;

use super::super::Timeouts;
use super::super::close::{PING_TIMEOUT, POLICY_VIOLATION};
use super::{Connection, Phase};

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

impl Connection {
    /// When `handle_timeout` is due next; it changes only with calls of this connection's `&mut` methods.
    #[must_use]
    pub fn poll_timeout(&self, timeouts: &Timeouts) -> Instant {
        self.next_timeout(timeouts).0
    }

    /// Acts on the deadline that has passed at `now`; `None` if none has.
    ///
    /// One at a time: ask `poll_timeout` again afterwards. After `Timeout::Close` nothing is left to do but to
    /// drop the connection.
    pub fn handle_timeout(&mut self, now: Instant, timeouts: &Timeouts) -> Option<Timeout> {
        let (deadline, timeout) = self.next_timeout(timeouts);
        if now < deadline {
            return None;
        }
        match timeout {
            Timeout::Ping => {
                self.pending.get_or_insert_default().ping = true;
                self.waiting_since = Some(now);
            }
            Timeout::Pong => self.start_closing(Phase::Closing, PING_TIMEOUT, "ping timeout", now),
            Timeout::Message => {
                self.start_closing(Phase::Closing, POLICY_VIOLATION, "message took too long", now);
            }
            Timeout::Close => {}
        }
        Some(timeout)
    }

    /// The earliest deadline.
    fn next_timeout(&self, timeouts: &Timeouts) -> (Instant, Timeout) {
        let keep_alive = match (self.phase, self.waiting_since) {
            (Phase::Open, None) => {
                let interval = timeouts.ping_interval.mul_f32(self.ping_factor);
                (self.last_heard + interval, Timeout::Ping)
            }
            (Phase::Open, Some(pinged)) => (pinged + timeouts.ping_timeout, Timeout::Pong),
            (_, since) => {
                return (
                    since.unwrap_or(self.last_heard) + timeouts.close_timeout,
                    Timeout::Close,
                );
            }
        };
        match &self.unfinished {
            Some(unfinished) if unfinished.started + timeouts.message_timeout < keep_alive.0 => {
                (unfinished.started + timeouts.message_timeout, Timeout::Message)
            }
            _ => keep_alive,
        }
    }
}
