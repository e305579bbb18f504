//! How connections end: asked for, failed, or simply gone.

use std::mem;
use std::net::Shutdown;

use crate::protocol::{Phase, close, handshake};

use super::stream::{State, Stream};
use super::{Event, Reactor};

impl Reactor {
    /// Starts the closing handshake; nothing is sent after its Close frame.
    pub(super) fn close(&mut self, slot: u32, code: u16, reason: &str) {
        let now = self.now;
        let stream = &mut self.streams[slot as usize];
        match &mut stream.state {
            State::Open(protocol) if protocol.phase() == Phase::Open => {
                if protocol.close(code, reason, now).is_err() {
                    return; // the caller's side has checked both
                }
                stream.closing = Some(Box::new((code, reason.into())));
                stream.deadline = None;
                self.hub.remove(slot);
                self.dirty.prompt(slot, stream);
                self.arm(slot);
            }
            State::Verdict(_) => self.refuse(slot, 503, &[("retry-after", "1")]),
            State::Open(_) | State::Head(_) | State::Refused => {}
        }
    }

    /// Closes a connection whose peer cannot stay, and tells so without waiting for its answer.
    pub(super) fn fail(&mut self, slot: u32, code: u16, reason: &str) {
        self.close(slot, code, reason);
        self.tell_closed(slot, code, reason, false);
    }

    /// The peer's Close frame has come.
    pub(super) fn closed_by_peer(&mut self, slot: u32, code: u16, reason: &str) {
        match self.streams[slot as usize].closing.take() {
            Some(ours) => self.tell_closed(slot, ours.0, &ours.1, true),
            None => self.tell_closed(slot, code, reason, true),
        }
        self.end_if_finished(slot); // if ours has left before, nothing will be flushed any more
    }

    /// The transport is gone, with or without a closing handshake.
    pub(super) fn transport_broke(&mut self, slot: u32) {
        match self.streams[slot as usize].closing.take() {
            Some(ours) => self.tell_closed(slot, ours.0, &ours.1, false),
            None => self.tell_closed(slot, close::ABNORMAL, "", false),
        }
        self.remove(slot);
    }

    /// The peer has ended its side: it gets what we still owe it only if both have said goodbye.
    pub(super) fn stream_ended(&mut self, slot: u32) {
        let stream = &mut self.streams[slot as usize];
        stream.ended = true;
        if stream.is_pending() || stream.announced {
            return self.transport_broke(slot);
        }
        self.dirty.prompt(slot, stream);
        self.end_if_finished(slot);
    }

    /// Shuts down our side once all has been said, and drops the socket once the peer has done so, too.
    pub(super) fn end_if_finished(&mut self, slot: u32) {
        let stream = &mut self.streams[slot as usize];
        if !stream.has_said_all() {
            return;
        }
        if stream.ended {
            return self.transport_broke(slot);
        }
        if stream.expects_nothing()
            && !mem::replace(&mut stream.shut, true)
            && stream.socket.shutdown(Shutdown::Write).is_err()
        {
            self.transport_broke(slot);
        }
    }

    /// Tells `Closed`, unless it is told already or `Opened` never was.
    pub(super) fn tell_closed(&mut self, slot: u32, code: u16, reason: &str, clean: bool) {
        let stream = &mut self.streams[slot as usize];
        if mem::replace(&mut stream.announced, false) {
            self.live -= 1;
            stream.deadline = stream.deadline.filter(|_| matches!(stream.state, State::Refused));
            self.told.push(Event::Closed {
                id: stream.id,
                code,
                reason: reason.into(),
                clean,
            });
            self.hub.remove(slot);
        }
    }

    /// Answers a handshake with an HTTP error.
    pub(super) fn refuse(&mut self, slot: u32, status: u16, headers: &[(&str, &str)]) {
        if let Ok(response) = handshake::refuse(status, headers, b"") {
            self.answer_and_close(slot, response);
        }
        self.stats.refused += 1;
    }

    /// Ends a pending handshake with an HTTP response.
    pub(super) fn answer_and_close(&mut self, slot: u32, response: Vec<u8>) {
        self.admission.handshake_done();
        let stream = &mut self.streams[slot as usize];
        stream.state = State::Refused;
        stream.deadline = Some(self.now + self.config.timeouts.close_timeout);
        self.sender.push(stream, response.into());
        self.dirty.prompt(slot, stream);
        self.tell_closed(slot, close::ABNORMAL, "", false);
        self.arm(slot);
    }

    /// Takes the record away; the socket is closed with it.
    pub(super) fn remove(&mut self, slot: u32) {
        if let Some(stream) = self.take_out(slot) {
            drop(stream);
        }
    }

    /// Takes the record away without closing its socket.
    pub(super) fn take_out(&mut self, slot: u32) -> Option<Stream> {
        let mut stream = self.streams.try_remove(slot as usize)?;
        if stream.is_pending() {
            self.admission.handshake_done();
        }
        self.admission.leave(stream.peer);
        self.timers.cancel(slot);
        self.hub.remove(slot);
        stream.outbox.clear(&mut self.sender.arena);
        Some(stream)
    }
}
