//! The way out: frames to outboxes, and each dirty outbox to its socket once a turn.

use std::collections::VecDeque;
use std::io::{self, Write};

use bytes::Bytes;

use crate::hub::{Delivery, Frames, Outgoing, Publication};

use super::outbox::{Arena, MAX_SEND_BYTES, Run};
use super::stream::{Queued, State, Stream};
use super::{Config, Event, Reactor};

/// Close code of our own: the peer may reconnect and resume.
const SLOW_CONSUMER: u16 = 4008;
/// A topic with more subscribers is swept in slices, and after everybody else.
const BULK_SUBSCRIBERS: usize = 512;
/// Sends between two polls: some five milliseconds.
const SLICE: usize = 512;
/// What is left of a slice for sweeps when the others would take all of it.
const LEAST_BULK: usize = 64;

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
enum Offer {
    Queued,
    /// Above the soft limit.
    NoRoom,
    /// It would pass the hard limit.
    Overflow,
}

impl Sender {
    /// Queues a frame of the protocol or of the handshake: no limit applies.
    pub fn push(&mut self, stream: &mut Stream, frame: Bytes) {
        stream.outbox.push(frame, &mut self.arena);
    }

    /// Queues a message, if the limits allow it; above the soft limit only if it `must` be.
    ///
    /// What the socket takes at once does not count: a burst is no sign of a slow peer.
    fn offer(&mut self, stream: &mut Stream, frame: &Bytes, must: bool, config: &Config) -> Offer {
        while !stream.blocked && !stream.outbox.is_empty() {
            if stream.outbox.bytes() + frame.len() <= config.soft_outbox_bytes || self.write(stream).is_err()
            {
                break; // an error comes back when the outbox is flushed
            }
        }
        if !must && stream.outbox.bytes() > config.soft_outbox_bytes {
            return Offer::NoRoom;
        }
        if stream.outbox.bytes() + frame.len() > config.max_outbox_bytes {
            return Offer::Overflow;
        }
        stream.outbox.push(frame.clone(), &mut self.arena);
        Offer::Queued
    }

    /// Appends what the protocol has to say, unless the peer does not even take what is there.
    fn fetch_control_frames(&mut self, stream: &mut Stream) {
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
    fn write(&mut self, stream: &mut Stream) -> io::Result<()> {
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

/// The streams with something to send.
#[derive(Default)]
pub struct DirtyQueues {
    /// What few others wait behind: direct sends, small topics, control frames, handshakes.
    prompt: VecDeque<u32>,
    /// Sweeps over large topics.
    bulk: VecDeque<u32>,
}

impl DirtyQueues {
    /// Has the stream flushed this turn.
    pub fn prompt(&mut self, slot: u32, stream: &mut Stream) {
        if stream.queued != Queued::Prompt && !stream.blocked {
            stream.queued = Queued::Prompt;
            self.prompt.push_back(slot);
        }
    }

    /// Has the stream flushed when its turn comes.
    fn bulk(&mut self, slot: u32, stream: &mut Stream) {
        if stream.queued == Queued::No && !stream.blocked {
            stream.queued = Queued::Bulk;
            self.bulk.push_back(slot);
        }
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.prompt.is_empty() && self.bulk.is_empty()
    }
}

impl Reactor {
    /// Sends one message to one connection.
    pub(super) fn send(&mut self, slot: u32, message: &Outgoing) {
        let stream = &mut self.streams[slot as usize];
        if !stream.is_open() {
            return;
        }
        let (frame, deflated) = message.frame(stream.agreement(), &mut self.shared);
        self.stats.compressions += u64::from(deflated);
        match self.sender.offer(stream, &frame, true, &self.config) {
            Offer::Overflow | Offer::NoRoom => self.cut_off_slow_consumer(slot),
            Offer::Queued => {
                self.stats.messages_out += 1;
                self.dirty.prompt(slot, stream);
                self.watch_outbox(slot);
            }
        }
    }

    /// Sends a message to each subscriber of its topic; returns their number.
    pub(super) fn publish(&mut self, publication: &Publication) -> usize {
        let bulk = self.hub.subscribers(&publication.topic) > BULK_SUBSCRIBERS;
        let mut frames = Frames::new(publication);
        let mut delivered = 0;
        let Self {
            hub,
            streams,
            sender,
            shared,
            dirty,
            config,
            stats,
            touched,
            overflowed,
            ..
        } = self;
        let calls = hub.publish(&publication.topic, publication.position, |slot| {
            let stream = &mut streams[slot as usize];
            if publication.exclude.binary_search(&stream.id.to_u64()).is_ok() {
                return Delivery::Done;
            }
            let Some(frame) = frames.frame(stream.encoding, stream.agreement(), shared) else {
                return Delivery::Done;
            };
            match sender.offer(stream, frame, false, config) {
                Offer::Queued => {
                    delivered += 1;
                    if bulk {
                        dirty.bulk(slot, stream)
                    } else {
                        dirty.prompt(slot, stream)
                    }
                    if stream.blocked {
                        touched.push(slot);
                    }
                    return Delivery::Done;
                }
                Offer::Overflow => overflowed.push(slot),
                Offer::NoRoom => touched.push(slot),
            }
            stats.dropped += u64::from(publication.position.is_none());
            Delivery::NoRoom
        });
        self.stats.messages_out += delivered;
        self.stats.compressions += frames.compressions();
        while let Some(slot) = self.touched.pop() {
            self.watch_outbox(slot);
        }
        while let Some(slot) = self.overflowed.pop() {
            self.cut_off_slow_consumer(slot);
        }
        calls
    }

    /// Flushes the dirty streams, a slice of them if they are many.
    pub(super) fn flush_slice(&mut self) {
        let prompt = self.dirty.prompt.len().min(SLICE);
        for _ in 0..prompt {
            if let Some(slot) = self.dirty.prompt.pop_front() {
                self.flush(slot);
            }
        }
        let mut bulk = (SLICE - prompt).max(LEAST_BULK);
        while bulk > 0
            && let Some(slot) = self.dirty.bulk.pop_front()
        {
            // Some have been flushed meanwhile, because of a direct send.
            if self
                .streams
                .get(slot as usize)
                .is_some_and(|stream| stream.queued == Queued::Bulk)
            {
                self.flush(slot);
                bulk -= 1;
            }
        }
        self.sender.run.clear();
    }

    /// One send to one stream, and what follows from it.
    fn flush(&mut self, slot: u32) {
        let Some(stream) = self.streams.get_mut(slot as usize) else {
            return;
        };
        stream.queued = Queued::No;
        if stream.blocked {
            return;
        }
        self.sender.fetch_control_frames(stream);
        if self.sender.write(stream).is_err() {
            return self.transport_broke(slot);
        }
        if !stream.outbox.is_empty() {
            self.dirty.bulk(slot, stream);
            return self.watch_outbox(slot);
        }
        if stream.lagging {
            self.tell_drained(slot);
        }
        self.end_if_finished(slot);
    }

    /// The socket takes bytes again.
    pub(super) fn writable(&mut self, slot: u32) {
        let stream = &mut self.streams[slot as usize];
        if std::mem::replace(&mut stream.blocked, false) {
            self.dirty.prompt(slot, stream);
        }
    }

    /// Starts or ends the time for which a stream may stay above its soft limit.
    fn watch_outbox(&mut self, slot: u32) {
        let Some(stream) = self.streams.get_mut(slot as usize) else {
            return;
        };
        if !stream.is_open() {
            return;
        }
        if stream.outbox.bytes() <= self.config.soft_outbox_bytes {
            stream.deadline = None;
        } else if stream.blocked && stream.deadline.is_none() {
            let deadline = self.now + self.config.slow_consumer_timeout;
            stream.deadline = Some(deadline);
            stream.lagging = true;
            self.timers.arm(slot, deadline);
        }
    }

    fn tell_drained(&mut self, slot: u32) {
        let stream = &mut self.streams[slot as usize];
        stream.lagging = false;
        if stream.is_open() {
            stream.deadline = None;
            let missed = self.hub.caught_up(slot);
            self.told.push(Event::Drained {
                id: stream.id,
                missed,
            });
        }
    }

    /// Closes a stream that is too slow: it gets the Close frame instead of what it has not read.
    pub(super) fn cut_off_slow_consumer(&mut self, slot: u32) {
        let stream = &mut self.streams[slot as usize];
        stream.outbox.drop_whole_frames(&mut self.sender.arena);
        self.stats.slow_consumers += 1;
        self.fail(slot, SLOW_CONSUMER, "slow consumer");
    }
}
