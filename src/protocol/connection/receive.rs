//! Receiving: bytes to frames, frames to messages and answers (§5.2 to §5.5, §6.2).

use std::time::Instant;

use super::{Connection, Phase};
use crate::error::ProtocolError;
use crate::protocol::frame::{self, Header, MAX_CONTROL_PAYLOAD, MAX_HEADER, Opcode};
use crate::protocol::message::{self, Message};
use crate::protocol::{Event, Shared, close};

/// What came of a header, a control frame or a message that is not complete.
#[derive(Debug)]
pub(super) struct Unfinished {
    /// When its first byte came.
    pub(super) started: Instant,
    message: Option<Message>,
    /// The raw bytes of a header, or of a control frame.
    carry: [u8; MAX_HEADER + MAX_CONTROL_PAYLOAD],
    carry_len: usize,
}

impl Unfinished {
    fn new(now: Instant) -> Box<Self> {
        let carry = [0; MAX_HEADER + MAX_CONTROL_PAYLOAD];
        Box::new(Self {
            started: now,
            message: None,
            carry,
            carry_len: 0,
        })
    }

    /// Adds to the carried bytes what completes the header or control frame; returns the bytes used.
    fn carry_more(&mut self, data: &[u8]) -> usize {
        let mut used = 0;
        loop {
            let carried = self.carry_len;
            let wanted = frame::wanted_len(&self.carry[..carried]);
            let more = data.len().min(used + wanted.saturating_sub(carried)) - used;
            if more == 0 {
                return used;
            }
            self.carry[carried..carried + more].copy_from_slice(&data[used..used + more]);
            self.carry_len += more;
            used += more;
        }
    }

    const fn is_empty(&self) -> bool {
        self.message.is_none() && self.carry_len == 0
    }

    pub(super) fn buffered_bytes(&self) -> usize {
        size_of::<Self>() + self.message.as_ref().map_or(0, Message::buffered_bytes)
    }

    /// Lets go of a message's payload; nobody will see it.
    pub(super) fn discard_message(&mut self) {
        if let Some(message) = &mut self.message {
            message.discard();
        }
    }
}

impl Connection {
    /// Takes what the socket gave and calls `sink` for each event, in order.
    ///
    /// Unmasks in place: `data` is garbage afterwards. A message that lies whole in `data` is handed up without
    /// a copy; of an unfinished frame only the bytes that came are kept.
    /// Errors: the peer broke the protocol. The events before it have been reported, the phase is `Closed`, and
    /// its Close frame is pending.
    pub fn receive_data(
        &mut self,
        mut data: &mut [u8],
        now: Instant,
        shared: &mut Shared,
        sink: &mut impl FnMut(Event<'_>),
    ) -> Result<(), ProtocolError> {
        if data.is_empty() || self.phase == Phase::Closed {
            return Ok(());
        }
        self.last_heard = now;
        if self.phase == Phase::Open {
            self.waiting_since = None;
        }
        while !data.is_empty() && self.phase != Phase::Closed {
            match self.receive_some(data, now, shared, sink) {
                Ok(used) => data = &mut data[used..],
                Err(error) => {
                    self.fail(&error, now);
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// Goes on with what is unfinished, else begins a frame; returns the bytes used, at least one.
    fn receive_some(
        &mut self,
        data: &mut [u8],
        now: Instant,
        shared: &mut Shared,
        sink: &mut impl FnMut(Event<'_>),
    ) -> Result<usize, ProtocolError> {
        match self.unfinished.as_deref_mut() {
            Some(Unfinished {
                message: Some(message),
                ..
            }) if message.inside_frame() => {
                let used = message.receive(data)?;
                self.finish_message(shared, sink)?;
                Ok(used)
            }
            Some(unfinished) if unfinished.carry_len > 0 => self.receive_carried(data, now, shared, sink),
            _ => self.receive_frame(data, now, shared, sink),
        }
    }

    /// Takes one frame, or what there is of it, from the front of `data`; returns the bytes used.
    fn receive_frame(
        &mut self,
        data: &mut [u8],
        now: Instant,
        shared: &mut Shared,
        sink: &mut impl FnMut(Event<'_>),
    ) -> Result<usize, ProtocolError> {
        let Some(frame) = Header::parse(data, self.role, self.agreement.is_some())? else {
            return Ok(self.carry(data, now));
        };
        let start = frame.encoded_len();
        let payload = data[start..].get_mut(..frame.payload_len);
        match payload {
            None if frame.opcode.is_control() => return Ok(self.carry(data, now)),
            Some(payload) if frame.opcode.is_control() => {
                message::unmask(payload, &frame, 0);
                self.receive_control(frame.opcode, payload, now, sink)?;
            }
            Some(payload) if frame.fin && !self.inside_message() => {
                self.receive_whole(&frame, payload, shared, sink)?;
            }
            _ => {
                self.begin_frame(frame, now, shared, sink)?;
                return Ok(start);
            }
        }
        Ok(start + frame.payload_len)
    }

    /// Reports a message that is one frame and lies whole in the read buffer.
    fn receive_whole(
        &mut self,
        frame: &Header,
        payload: &mut [u8],
        shared: &mut Shared,
        sink: &mut impl FnMut(Event<'_>),
    ) -> Result<(), ProtocolError> {
        self.count_frame();
        message::check_sequence(frame.opcode, false)?;
        message::check_size(0, frame, frame.rsv1, &shared.limits)?;
        if self.phase != Phase::Open {
            return Ok(());
        }
        message::unmask(payload, frame, 0);
        message::deliver(payload, frame.opcode == Opcode::Text, frame.rsv1, shared, sink)
    }

    /// Begins a message with a data frame, or goes on with one; the payload is still to be taken.
    fn begin_frame(
        &mut self,
        frame: Header,
        now: Instant,
        shared: &mut Shared,
        sink: &mut impl FnMut(Event<'_>),
    ) -> Result<(), ProtocolError> {
        self.count_frame();
        message::check_sequence(frame.opcode, self.inside_message())?;
        let unfinished = self.unfinished.get_or_insert_with(|| Unfinished::new(now));
        match &mut unfinished.message {
            Some(message) => message.next_frame(frame, &shared.limits)?,
            None => {
                let message = unfinished.message.insert(Message::begin(frame, &shared.limits)?);
                if self.phase != Phase::Open {
                    message.discard();
                }
            }
        }
        self.finish_message(shared, sink)
    }

    /// Keeps the raw bytes of an incomplete header or control frame; returns how many.
    fn carry(&mut self, data: &[u8], now: Instant) -> usize {
        let unfinished = self.unfinished.get_or_insert_with(|| Unfinished::new(now));
        unfinished.carry[..data.len()].copy_from_slice(data);
        unfinished.carry_len = data.len();
        data.len()
    }

    /// Adds to a header or control frame whose beginning was kept; returns the bytes used.
    fn receive_carried(
        &mut self,
        data: &[u8],
        now: Instant,
        shared: &mut Shared,
        sink: &mut impl FnMut(Event<'_>),
    ) -> Result<usize, ProtocolError> {
        let Some(unfinished) = self.unfinished.as_deref_mut() else {
            return Ok(0);
        };
        let used = unfinished.carry_more(data);
        let mut carried = unfinished.carry;
        let len = std::mem::take(&mut unfinished.carry_len);
        // Either whole now, or carried again.
        self.receive_frame(&mut carried[..len], now, shared, sink)?;
        self.unfinished.take_if(|unfinished| unfinished.is_empty());
        Ok(used)
    }

    /// Answers or reports a whole control frame (§5.5).
    fn receive_control(
        &mut self,
        opcode: Opcode,
        payload: &[u8],
        now: Instant,
        sink: &mut impl FnMut(Event<'_>),
    ) -> Result<(), ProtocolError> {
        self.count_frame();
        match opcode {
            Opcode::Close => {
                let (code, reason) = close::parse(payload)?;
                self.receive_close(code, now);
                sink(Event::Closed { code, reason });
            }
            Opcode::Ping if self.phase == Phase::Open => self.answer_ping(payload),
            Opcode::Pong if self.phase == Phase::Open => sink(Event::Pong { payload }),
            _ => {}
        }
        Ok(())
    }

    /// Reports the message if its last byte has come.
    fn finish_message(
        &mut self,
        shared: &mut Shared,
        sink: &mut impl FnMut(Event<'_>),
    ) -> Result<(), ProtocolError> {
        let complete = |message: &mut Message| message.is_complete();
        let unfinished = self.unfinished.as_deref_mut();
        match unfinished.and_then(|unfinished| unfinished.message.take_if(complete)) {
            Some(message) => {
                self.unfinished = None;
                message.finish(shared, sink)
            }
            None => Ok(()),
        }
    }

    fn inside_message(&self) -> bool {
        self.unfinished
            .as_ref()
            .is_some_and(|unfinished| unfinished.message.is_some())
    }

    const fn count_frame(&mut self) {
        self.frames_received = self.frames_received.saturating_add(1);
    }
}
