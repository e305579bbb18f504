//! The way out: frames to outboxes, and each dirty outbox to its socket once a turn.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::Arc;

use bytes::Bytes;

use crate::hub::{Batch, Frames, Outgoing, Publication};

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

/// What became of consecutive publications at an outbox.
#[derive(Default)]
struct Outcome {
    queued: u64,
    dropped: u64,
    /// The lowest position that there was no room for.
    missed: Option<u64>,
    overflow: bool,
}

impl Sender {
    /// Queues a frame of the protocol or of the handshake: no limit applies.
    pub fn push(&mut self, stream: &mut Stream, frame: Bytes) {
        stream.outbox.push(frame, &mut self.arena);
    }

    /// Queues a message, if the limits allow it; above the soft limit only if it `must` be.
    fn offer(&mut self, stream: &mut Stream, frame: &Bytes, must: bool, config: &Config) -> Offer {
        self.make_room(stream, frame.len(), config);
        if !must && stream.outbox.bytes() > config.soft_outbox_bytes {
            return Offer::NoRoom;
        }
        if stream.outbox.bytes() + frame.len() > config.max_outbox_bytes {
            return Offer::Overflow;
        }
        stream.outbox.push(frame.clone(), &mut self.arena);
        Offer::Queued
    }

    /// Queues what is published: in one piece where that cannot pass the soft limit, else one by one.
    fn offer_batch(&mut self, stream: &mut Stream, batch: &Batch, config: &Config) -> Outcome {
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
                None => self.offer(stream, frame, false, config),
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

    /// Sends consecutive messages to each subscriber of their topic; returns the number of subscribers.
    pub(super) fn publish(&mut self, publications: &[Arc<Publication>]) -> usize {
        let Some(first) = publications.first() else {
            return 0;
        };
        let bulk = self.hub.subscribers(&first.topic) > BULK_SUBSCRIBERS;
        let lowest = publications.iter().filter_map(|each| each.position).min();
        let mut frames = Frames::new(publications);
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
        let calls = hub.publish(&first.topic, lowest, |slot| {
            let stream = &mut streams[slot as usize];
            if first.exclude.binary_search(&stream.id.to_u64()).is_ok() {
                return None;
            }
            let batch = frames.batch(stream.encoding, stream.agreement(), shared);
            if batch.frames.is_empty() {
                return None; // its encoding is not among the variants
            }
            let outcome = sender.offer_batch(stream, batch, config);
            stats.messages_out += outcome.queued;
            stats.dropped += outcome.dropped;
            if outcome.overflow {
                overflowed.push(slot);
            } else if stream.blocked {
                touched.push(slot);
            } else if bulk {
                dirty.bulk(slot, stream);
            } else {
                dirty.prompt(slot, stream);
            }
            outcome.missed
        });
        stats.compressions += frames.compressions();
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
