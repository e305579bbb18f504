//! The way in: what the sockets give, to requests, messages and events.

use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use crate::error::HandshakeError;
use crate::protocol::handshake::{self, Head, HeadReader, Request};
use crate::protocol::{self, Phase, close};

use super::stream::{Partial, Pending, State};
use super::{Event, Reactor};

impl Reactor {
    /// A socket is readable, or its peer has ended its side (`hangup`).
    pub(super) fn readable(&mut self, slot: u32, hangup: bool) {
        let stream = &mut self.streams[slot as usize];
        stream.hangup |= hangup;
        if matches!(stream.state, State::Verdict(_)) {
            // What comes before the verdict stays in the kernel. But a peer that leaves is told of.
            stream.unread = true;
            if hangup {
                self.transport_broke(slot);
            }
        } else if !stream.unread {
            stream.unread = true;
            self.unread.push_back(slot);
        }
    }

    /// Reads once from each socket that has something: a flooding peer waits its turn like the others.
    pub(super) fn read_round(&mut self) {
        for _ in 0..self.unread.len() {
            if self.events.is_full(self.told.len()) {
                return;
            }
            if let Some(slot) = self.unread.pop_front() {
                self.read(slot);
            }
        }
    }

    fn read(&mut self, slot: u32) {
        let Some(stream) = self.streams.get_mut(slot as usize) else {
            return;
        };
        if !stream.unread || matches!(stream.state, State::Verdict(_)) {
            return; // after the verdict it is queued again
        }
        stream.unread = false;
        match stream.socket.read(&mut self.buffer) {
            Ok(0) => self.stream_ended(slot),
            Ok(n) => {
                if n == self.buffer.len() || stream.hangup {
                    // There may be more, or at least the end; nobody will announce it.
                    stream.unread = true;
                    self.unread.push_back(slot);
                }
                self.stats.bytes_in += n as u64;
                self.receive(slot, n);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => self.readable(slot, false),
            Err(_) => self.transport_broke(slot),
        }
    }

    /// Takes the first `n` bytes of the buffer for the stream.
    fn receive(&mut self, slot: u32, n: usize) {
        match &self.streams[slot as usize].state {
            State::Head(_) => self.receive_head(slot, n),
            State::Open(_) => self.receive_frames(slot, n),
            State::Verdict(_) | State::Refused => {}
        }
    }

    fn receive_head(&mut self, slot: u32, n: usize) {
        let State::Head(partial) = &mut self.streams[slot as usize].state else {
            return;
        };
        let limits = &self.config.head;
        let head = match partial {
            None => {
                let mut reader = HeadReader::default();
                let head = reader.read(&self.buffer[..n], limits);
                if matches!(head, Ok(Head::Incomplete)) {
                    *partial = Some(Box::new(Partial {
                        reader,
                        bytes: self.buffer[..n].to_vec(),
                    }));
                    return;
                }
                head.map(|head| (head, self.buffer[..n].to_vec()))
            }
            Some(partial) => {
                partial.bytes.extend_from_slice(&self.buffer[..n]);
                partial
                    .reader
                    .read(&partial.bytes, limits)
                    .map(|head| (head, std::mem::take(&mut partial.bytes)))
            }
        };
        match head {
            Ok((Head::Incomplete, bytes)) => {
                if let State::Head(Some(partial)) = &mut self.streams[slot as usize].state {
                    partial.bytes = bytes;
                }
            }
            Ok((Head::Upgrade(request), bytes)) => self.ask_for_verdict(slot, *request, &bytes),
            Ok((Head::Http, bytes)) => self.hand_over(slot, bytes),
            Err(error) => self.refuse_request(slot, &error),
        }
    }

    fn refuse_request(&mut self, slot: u32, error: &HandshakeError) {
        self.stats.refused += 1;
        self.answer_and_close(slot, handshake::refuse_error(error));
    }

    fn ask_for_verdict(&mut self, slot: u32, request: Request, bytes: &[u8]) {
        let stream = &mut self.streams[slot as usize];
        let early = bytes[request.head_len..].to_vec();
        let request = Arc::new(request);
        self.told.push(Event::Opened {
            id: stream.id,
            request: Arc::clone(&request),
            peer: stream.peer,
        });
        stream.announced = true;
        self.live += 1;
        stream.state = State::Verdict(Box::new(Pending { request, early }));
        let deadline = self.now + self.config.handshake_timeout;
        stream.deadline = Some(deadline);
        self.timers.arm(slot, deadline);
        if stream.hangup {
            self.transport_broke(slot);
        }
    }

    /// Gives a socket that asks for no WebSocket to the application, with what was read from it.
    fn hand_over(&mut self, slot: u32, data: Vec<u8>) {
        let Some(mut stream) = self.take_out(slot) else {
            return;
        };
        if self.poll.registry().deregister(&mut stream.socket).is_ok() {
            self.told.push(Event::Http {
                socket: OwnedFd::from(stream.socket),
                data,
            });
        }
    }

    /// Completes the handshake, and takes the frames that came with it.
    pub(super) fn accept(&mut self, slot: u32, subprotocol: Option<&str>, encoding: u16) {
        let now = self.now;
        let stream = &mut self.streams[slot as usize];
        let State::Verdict(pending) = &mut stream.state else {
            return;
        };
        let offer = pending.request.deflate_offer.filter(|_| self.config.compression);
        let agreement = offer.map(protocol::deflate::Offer::accept);
        let Ok(response) = handshake::accept(&pending.request, subprotocol, agreement) else {
            return self.refuse(slot, 500, &[]); // the caller's side has checked the subprotocol
        };
        let early = std::mem::take(&mut pending.early);
        self.admission.handshake_done();
        let ping_factor = 0.8 + 0.4 * fastrand::f32();
        stream.state = State::Open(protocol::Connection::new(
            protocol::Role::Server,
            agreement,
            ping_factor,
            now,
        ));
        stream.encoding = encoding;
        stream.deadline = None;
        self.sender.push(stream, response.into());
        self.dirty.prompt(slot, stream);
        if stream.unread {
            self.unread.push_back(slot);
        }
        self.arm(slot);
        if !early.is_empty() {
            // It came in one read, behind the last byte of the head, and so fits.
            self.buffer[..early.len()].copy_from_slice(&early);
            self.receive_frames(slot, early.len());
        }
    }

    fn receive_frames(&mut self, slot: u32, n: usize) {
        let now = self.now;
        let stream = &mut self.streams[slot as usize];
        let State::Open(protocol) = &mut stream.state else {
            return;
        };
        let was_open = protocol.phase() == Phase::Open;
        let (id, told) = (stream.id, &mut self.told);
        let mut goodbye = None;
        let before = told.len();
        let result =
            protocol.receive_data(
                &mut self.buffer[..n],
                now,
                &mut self.shared,
                &mut |event| match event {
                    protocol::Event::Message { payload, is_text } => {
                        told.push(Event::Received {
                            id,
                            payload: payload.to_vec(),
                            is_text,
                        });
                    }
                    protocol::Event::Pong { .. } => {}
                    protocol::Event::Closed { code, reason } => goodbye = Some((code, reason.to_owned())),
                },
            );
        self.stats.messages_in += (told.len() - before) as u64;
        let frames = protocol.take_frames_received();
        let too_fast = was_open && !stream.rate.charge(frames, n, self.millis, &self.config.rates);
        if protocol.has_data_to_send() {
            // Before what the application answers; a peer that does not read gets the newest pong only.
            if protocol.phase() == Phase::Open && !stream.blocked {
                self.sender.fetch_control_frames(stream);
            }
            self.dirty.prompt(slot, stream);
        }
        match (result, goodbye) {
            (Err(error), _) => self.tell_closed(slot, error.close_code, error.reason, false),
            (Ok(()), Some((code, reason))) => self.closed_by_peer(slot, code, &reason),
            (Ok(()), None) if too_fast => self.fail(slot, close::POLICY_VIOLATION, "rate limit"),
            (Ok(()), None) => {}
        }
        self.arm(slot);
    }
}
