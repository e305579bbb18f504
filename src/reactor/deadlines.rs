//! What time brings: pings, lapsed handshakes, slow consumers, and the slow end of a drain.

use std::time::{Duration, Instant};

use crate::protocol::handshake;
use crate::protocol::{Timeout, close};

use super::Reactor;
use super::stream::State;

/// While reading is paused, silence proves nothing: deadlines of the peer are put off by this much.
const PAUSED: Duration = Duration::from_secs(1);
/// How often a drain closes its share of the connections.
const DRAIN_STEP: Duration = Duration::from_millis(20);

/// Closing all connections, spread over some time.
pub struct Drain {
    code: u16,
    reason: Box<str>,
    started: Instant,
    over: Duration,
    slots: Vec<u32>,
    /// How many of `slots` have been closed.
    closed: usize,
}

impl Drain {
    /// Whether all have been asked to go.
    pub fn is_through(&self) -> bool {
        self.closed == self.slots.len()
    }

    /// How many should be closed by now.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "0 to len"
    )]
    fn due(&self, now: Instant) -> usize {
        let elapsed = now.saturating_duration_since(self.started);
        if elapsed >= self.over {
            return self.slots.len();
        }
        (self.slots.len() as f64 * elapsed.div_duration_f64(self.over)) as usize + 1
    }
}

impl Reactor {
    /// Puts the stream's next deadline into the wheel.
    pub(super) fn arm(&mut self, slot: u32) {
        let Some(stream) = self.streams.get(slot as usize) else {
            return;
        };
        let protocol = match &stream.state {
            State::Open(protocol) => Some(protocol.poll_timeout(&self.config.timeouts)),
            _ => None,
        };
        if let Some(at) = protocol.into_iter().chain(stream.deadline).min() {
            self.timers.arm(slot, at);
        }
    }

    /// Acts on the deadlines that have passed.
    pub(super) fn expire_deadlines(&mut self) {
        let mut due = std::mem::take(&mut self.due);
        self.timers.expire(self.now, &mut due);
        let paused = !due.is_empty() && self.events.is_full(self.told.len());
        for slot in due.drain(..) {
            self.expire(slot, paused);
        }
        self.due = due;
    }

    fn expire(&mut self, slot: u32, paused: bool) {
        let stream = &mut self.streams[slot as usize];
        let lapsed = stream.deadline.is_some_and(|at| at <= self.now);
        match &mut stream.state {
            State::Head(_) if paused => stream.deadline = Some(self.now + PAUSED),
            State::Head(_) if lapsed => return self.lapse_request(slot),
            State::Verdict(_) if lapsed => return self.refuse(slot, 503, &[]),
            State::Refused if lapsed => return self.remove(slot),
            State::Open(_) if lapsed => self.cut_off_slow_consumer(slot),
            State::Open(_) if paused && stream.announced => return self.timers.arm(slot, self.now + PAUSED),
            State::Open(protocol) => {
                let timeout = protocol.handle_timeout(self.now, &self.config.timeouts);
                self.timed_out(slot, timeout);
            }
            State::Head(_) | State::Verdict(_) | State::Refused => {}
        }
        self.arm(slot);
    }

    fn lapse_request(&mut self, slot: u32) {
        if let Ok(response) = handshake::refuse(408, &[], b"") {
            self.answer_and_close(slot, response);
        }
        self.stats.refused += 1;
    }

    fn timed_out(&mut self, slot: u32, timeout: Option<Timeout>) {
        match timeout {
            None => return,
            Some(Timeout::Ping) => {}
            Some(Timeout::Pong) => self.tell_closed(slot, close::PING_TIMEOUT, "ping timeout", false),
            Some(Timeout::Message) => {
                self.tell_closed(slot, close::POLICY_VIOLATION, "message took too long", false)
            }
            Some(Timeout::Close) => return self.transport_broke(slot),
        }
        let stream = &mut self.streams[slot as usize];
        self.dirty.prompt(slot, stream);
    }

    /// Stops accepting and begins to close what is there.
    pub(super) fn start_draining(&mut self, code: u16, reason: Box<str>, over: Duration) {
        self.stop_accepting();
        let slots = self
            .streams
            .iter()
            .map(|(slot, _)| super::slot_u32(slot))
            .collect();
        self.drain = Some(Drain {
            code,
            reason,
            started: self.now,
            over,
            slots,
            closed: 0,
        });
    }

    /// Closes as many connections as the time asks for; drops sockets that have not asked for anything.
    pub(super) fn drain_step(&mut self) {
        let Some(mut drain) = self.drain.take() else {
            return;
        };
        for at in drain.closed..drain.due(self.now).min(drain.slots.len()) {
            let slot = drain.slots[at];
            match self.streams.get(slot as usize).map(|stream| &stream.state) {
                Some(State::Head(_)) => self.remove(slot),
                Some(_) => self.close(slot, drain.code, &drain.reason),
                None => {}
            }
            drain.closed = at + 1;
        }
        self.drain = Some(drain);
    }

    /// When the next step of a drain is due.
    pub(super) fn drain_wait(&self) -> Option<Duration> {
        self.drain
            .as_ref()
            .filter(|drain| !drain.is_through())
            .map(|_| DRAIN_STEP)
    }
}
