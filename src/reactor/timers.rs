//! Deadlines of all connections of a reactor: a hashed wheel with at most one entry for each connection.
//!
//! Armed lazily: a deadline that moves later leaves the entry where it is; when it fires, the connection says
//! when it is really due. So traffic, which moves deadlines all the time, never touches the wheel.

use std::time::{Duration, Instant};

/// The wheel's resolution. Deadlines are late by up to one tick, never early.
const TICK: Duration = Duration::from_millis(TICK_MILLIS);
const TICK_MILLIS: u64 = 20;
/// One round takes 41 s, longer than any default deadline; later entries wait for their round.
const BUCKETS: u64 = 2048;
/// How far ahead `next` looks: about a second. An idle reactor turns once in that time.
const HORIZON: u64 = 50;
const NONE: u32 = u32::MAX;

/// A hashed timing wheel over dense keys.
pub struct Timers {
    start: Instant,
    /// The last tick whose bucket has been emptied.
    done: u64,
    armed: usize,
    /// The first key of each bucket's list.
    heads: Vec<u32>,
    /// Indexed by key.
    links: Vec<Link>,
}

#[derive(Clone, Copy)]
struct Link {
    /// Zero: not in the wheel.
    tick: u64,
    previous: u32,
    next: u32,
}

const UNARMED: Link = Link {
    tick: 0,
    previous: NONE,
    next: NONE,
};

impl Timers {
    /// An empty wheel that starts to turn at `start`.
    #[must_use]
    pub fn new(start: Instant) -> Self {
        Self {
            start,
            done: 0,
            armed: 0,
            heads: vec![NONE; bucket(BUCKETS - 1) + 1],
            links: Vec::new(),
        }
    }

    /// Sees to it that `key` expires at `at` or, if it was armed so before, earlier.
    pub fn arm(&mut self, key: u32, at: Instant) {
        let tick = self.tick_after(at);
        let slot = key as usize;
        if slot >= self.links.len() {
            self.links.resize(slot + 1, UNARMED);
        }
        match self.links[slot].tick {
            0 => {}
            armed if armed <= tick => return,
            _ => self.cancel(key),
        }
        let head = std::mem::replace(&mut self.heads[bucket(tick)], key);
        if head != NONE {
            self.links[head as usize].previous = key;
        }
        self.links[slot] = Link {
            tick,
            previous: NONE,
            next: head,
        };
        self.armed += 1;
    }

    /// Takes `key` out of the wheel, if it is there.
    pub fn cancel(&mut self, key: u32) {
        let Some(link) = self.links.get_mut(key as usize) else {
            return;
        };
        let Link { tick, previous, next } = std::mem::replace(link, UNARMED);
        if tick == 0 {
            return;
        }
        self.armed -= 1;
        match previous {
            NONE => self.heads[bucket(tick)] = next,
            _ => self.links[previous as usize].next = next,
        }
        if next != NONE {
            self.links[next as usize].previous = previous;
        }
    }

    /// How long nothing expires: a lower bound of about a second at most. `None` if nothing is armed.
    #[must_use]
    pub fn next(&self, now: Instant) -> Option<Duration> {
        if self.armed == 0 {
            return None;
        }
        let ahead = (1..HORIZON)
            .find(|ahead| self.heads[bucket(self.done + ahead)] != NONE)
            .unwrap_or(HORIZON);
        Some(self.instant(self.done + ahead).saturating_duration_since(now))
    }

    /// Moves the keys that are due at `now` to the end of `due`; they are unarmed.
    pub fn expire(&mut self, now: Instant, due: &mut Vec<u32>) {
        let current = ticks(now.saturating_duration_since(self.start));
        // After a long sleep one round visits every bucket.
        let first = (self.done + 1).max(current.saturating_sub(BUCKETS - 1));
        for tick in first..=current {
            let mut key = self.heads[bucket(tick)];
            while key != NONE {
                let link = self.links[key as usize];
                if link.tick <= current {
                    due.push(key);
                    self.cancel(key);
                }
                key = link.next;
            }
        }
        self.done = self.done.max(current);
    }

    /// The first tick not before `at`, and after those already done.
    fn tick_after(&self, at: Instant) -> u64 {
        let since = at.saturating_duration_since(self.start);
        ticks(since + TICK - Duration::from_nanos(1)).max(self.done + 1)
    }

    fn instant(&self, tick: u64) -> Instant {
        self.start + Duration::from_millis(TICK_MILLIS * tick)
    }
}

#[expect(clippy::cast_possible_truncation, reason = "2^64 ms are 584 million years")]
fn ticks(since: Duration) -> u64 {
    since.as_millis() as u64 / TICK_MILLIS
}

fn bucket(tick: u64) -> usize {
    usize::try_from(tick % BUCKETS).expect("below BUCKETS")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    fn expired(timers: &mut Timers, at: Instant) -> Vec<u32> {
        let mut due = Vec::new();
        timers.expire(at, &mut due);
        due.sort_unstable();
        due
    }

    #[test]
    fn an_entry_expires_once_and_never_early() {
        let start = Instant::now();
        let mut timers = Timers::new(start);
        timers.arm(7, start + ms(50));
        assert!(expired(&mut timers, start + ms(49)).is_empty());
        assert_eq!(expired(&mut timers, start + ms(61)), [7]);
        assert!(expired(&mut timers, start + ms(500)).is_empty());
        assert_eq!(timers.next(start), None);
    }

    #[test]
    fn arming_moves_an_entry_earlier_but_not_later() {
        let start = Instant::now();
        let mut timers = Timers::new(start);
        timers.arm(1, start + ms(1000));
        timers.arm(1, start + ms(100));
        timers.arm(1, start + ms(3000));
        assert_eq!(expired(&mut timers, start + ms(120)), [1]);
        assert!(expired(&mut timers, start + ms(5000)).is_empty());
    }

    #[test]
    fn entries_of_a_later_round_wait_for_it() {
        let start = Instant::now();
        let round = TICK * 2048;
        let mut timers = Timers::new(start);
        timers.arm(0, start + ms(100));
        timers.arm(1, start + round + ms(100));
        assert_eq!(expired(&mut timers, start + ms(200)), [0]);
        assert!(expired(&mut timers, start + round).is_empty());
        assert_eq!(expired(&mut timers, start + round + ms(200)), [1]);
    }

    #[test]
    fn a_long_sleep_loses_nothing() {
        let start = Instant::now();
        let mut timers = Timers::new(start);
        for key in 0..5000 {
            timers.arm(key, start + ms(u64::from(key) * 37));
        }
        assert_eq!(
            expired(&mut timers, start + ms(5000 * 37)),
            (0..5000).collect::<Vec<_>>()
        );
    }

    #[test]
    fn a_cancelled_entry_does_not_expire_and_leaves_its_neighbours() {
        let start = Instant::now();
        let mut timers = Timers::new(start);
        for key in 0..5 {
            timers.arm(key, start + ms(100));
        }
        timers.cancel(0);
        timers.cancel(2);
        timers.cancel(4);
        timers.cancel(99);
        assert_eq!(expired(&mut timers, start + ms(120)), [1, 3]);
    }

    #[test]
    fn next_is_a_lower_bound() {
        let start = Instant::now();
        let mut timers = Timers::new(start);
        timers.arm(3, start + ms(400));
        assert_eq!(timers.next(start), Some(ms(400)));
        timers.arm(4, start + ms(60_000));
        timers.cancel(3);
        assert!(timers.next(start).is_some_and(|wait| wait <= ms(1000)));
    }

    #[test]
    fn a_deadline_in_the_past_expires_at_the_next_tick() {
        let start = Instant::now();
        let mut timers = Timers::new(start);
        expired(&mut timers, start + ms(1000));
        timers.arm(3, start);
        assert_eq!(expired(&mut timers, start + ms(1020)), [3]);
    }
}
