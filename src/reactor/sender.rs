//! Frames into outboxes as the limits allow, and outboxes into sockets.

use std::io::{self, Write};

use bytes::Bytes;

use crate::hub::Batch;

use super::Config;
use super::outbox::{Arena, MAX_SEND_BYTES, Run};
use super::stream::{State, Stream};

/// The bytes on their way out of one reactor.
#[derive(Default)]
pub struct Sender {
    pub arena: Arena,
    run: Run,
    scratch: Vec<u8>,
    pub bytes_out: u64,
}

/// What became of a frame at an outbox.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Offer {
    Queued,
    /// Above the soft limit.
    NoRoom,
    /// It would pass the hard limit.
    Overflow,
}

/// What became of consecutive publications at an outbox.
#[derive(Default)]
pub struct Outcome {
    pub queued: u64,
    pub dropped: u64,
    /// The lowest position that there was no room for.
    pub missed: Option<u64>,
    pub overflow: bool,
}

impl Sender {
    /// Queues a frame of the protocol or of the handshake: no limit applies.
    pub fn push(&mut self, stream: &mut Stream, frame: Bytes) {
        stream.outbox.push(frame, &mut self.arena);
    }

    /// Queues a message, if the limits allow it; above the soft limit only if it `must` be.
    pub fn offer(&mut self, stream: &mut Stream, frame: Bytes, must: bool, config: &Config) -> Offer {
        self.make_room(stream, frame.len(), config);
        if !must && stream.outbox.bytes() > config.soft_outbox_bytes {
            return Offer::NoRoom;
        }
        if stream.outbox.bytes() + frame.len() > config.max_outbox_bytes {
            return Offer::Overflow;
        }
        stream.outbox.push(frame, &mut self.arena);
        Offer::Queued
    }

    /// Queues what is published: in one piece where that cannot pass the soft limit, else one by one.
    pub fn offer_batch(&mut self, stream: &mut Stream, batch: &Batch, config: &Config) -> Outcome {
        self.make_room(stream, batch.joined.len(), config);
        if stream.outbox.bytes() + batch.joined.len() <= config.soft_outbox_bytes {
            stream.outbox.push(batch.joined.clone(), &mut self.arena);
            return Outcome {
                queued: batch.frames.len() as u64,
                ..Outcome::default()
            };
        }
        let mut outcome = Outcome::default();
        for (position, frame) in &batch.frames {
            // Once a message with a position is missed, those behind it are missed, too.
            let offer = match outcome.missed {
                None => self.offer(stream, frame.clone(), false, config),
                Some(_) => Offer::NoRoom,
            };
            match (offer, position) {
                (Offer::Queued, _) => outcome.queued += 1,
                (Offer::Overflow, _) => outcome.overflow = true,
                (Offer::NoRoom, None) => outcome.dropped += u64::from(outcome.missed.is_none()),
                (Offer::NoRoom, Some(position)) => {
                    outcome.missed = Some(outcome.missed.map_or(*position, |lowest| lowest.min(*position)));
                }
            }
        }
        outcome
    }

    /// Sends what waits if the soft limit is near: what the socket takes at once does not count. A burst is no
    /// sign of a slow peer.
    fn make_room(&mut self, stream: &mut Stream, len: usize, config: &Config) {
        while stream.outbox.bytes() + len > config.soft_outbox_bytes
            && !stream.blocked
            && !stream.outbox.is_empty()
        {
            if self.write(stream).is_err() {
                return; // the error comes back when the outbox is flushed
            }
        }
    }

    /// Lets go of the frames that were sent in one piece; call it when the outboxes have been flushed.
    pub fn forget_run(&mut self) {
        self.run.clear();
    }

    /// Appends what the protocol has to say, unless the peer does not even take what is there.
    pub fn fetch_control_frames(&mut self, stream: &mut Stream) {
        if let State::Open(protocol) = &mut stream.state
            && protocol.has_data_to_send()
            && stream.outbox.bytes() < MAX_SEND_BYTES
        {
            self.scratch.clear();
            protocol.data_to_send(&mut self.scratch);
            stream
                .outbox
                .push(Bytes::copy_from_slice(&self.scratch), &mut self.arena);
        }
    }

    /// One send of what waits, `MAX_SEND_BYTES` at most.
    /// Errors: the transport broke.
    pub fn write(&mut self, stream: &mut Stream) -> io::Result<()> {
        let front = stream.outbox.front(&self.arena, &mut self.run);
        if front.is_empty() {
            return Ok(());
        }
        let len = front.len();
        match stream.socket.write(front) {
            Ok(n) => {
                stream.blocked = n < len;
                stream.outbox.advance(n, &mut self.arena);
                self.bytes_out += n as u64;
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                stream.blocked = true;
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
            Err(error) => Err(error),
        }
    }
}
