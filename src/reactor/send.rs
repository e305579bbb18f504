//! The way out: frames to outboxes, and each dirty outbox to its socket once a turn.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::hub::{Frames, Outgoing, Publication};

use super::sender::Offer;
use super::stream::{Queued, Stream};
use super::{Event, Reactor};

/// Close code of our own: the peer may reconnect and resume.
const SLOW_CONSUMER: u16 = 4008;
/// A topic with more subscribers is swept in slices, and after everybody else.
const BULK_SUBSCRIBERS: usize = 512;
/// Sends between two polls: some five milliseconds.
const SLICE: usize = 512;
/// What is left of a slice for sweeps when the others would take all of it.
const LEAST_BULK: usize = 64;

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
    pub(super) fn send(&mut self, slot: u32, message: Outgoing) {
        let stream = &mut self.streams[slot as usize];
        if !stream.is_open() {
            return;
        }
        let (frame, deflated) = message.into_frame(stream.agreement(), &mut self.shared);
        self.stats.compressions += u64::from(deflated);
        match self.sender.offer(stream, frame, true, &self.config) {
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
        self.sender.forget_run();
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
