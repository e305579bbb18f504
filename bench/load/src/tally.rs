//! Counts deliveries and judges their order: every stream of every socket rises by exactly one.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::engine::Traffic;
use crate::report::{Latency, Report, clock, own_cpu};

/// The counters of a run.
pub struct Tally {
    begun: Instant,
    connect: Duration,
    connections: usize,
    started: Instant,
    started_cpu: Duration,
    last_delivery: u64,
    /// Messages published in the measured time.
    pub published: u64,
    /// Publishes that were acknowledged.
    pub acknowledged: u64,
    /// Messages that sockets received.
    pub deliveries: u64,
    /// What the server's CPU is divided by, if not deliveries.
    pub operations: Option<u64>,
    lost: u64,
    doubled: u64,
    /// By kind.
    pub errors: BTreeMap<String, u64>,
    closes: BTreeMap<u16, u64>,
    /// By kind.
    pub pushes: BTreeMap<String, u64>,
    latency: Latency,
    answers: Latency,
    resumes: Latency,
}

impl Tally {
    /// Starts the clock of connecting.
    pub fn new() -> Self {
        let now = Instant::now();
        Self {
            begun: now,
            connect: Duration::ZERO,
            connections: 0,
            started: now,
            started_cpu: own_cpu(),
            last_delivery: 0,
            published: 0,
            acknowledged: 0,
            deliveries: 0,
            operations: None,
            lost: 0,
            doubled: 0,
            errors: BTreeMap::new(),
            closes: BTreeMap::new(),
            pushes: BTreeMap::new(),
            latency: Latency::new(),
            answers: Latency::new(),
            resumes: Latency::new(),
        }
    }

    /// All connections stand.
    pub fn all_open(&mut self, connections: usize) {
        self.connections = connections;
        self.connect = self.begun.elapsed();
    }

    /// The measured time begins.
    pub fn start(&mut self) {
        self.started = Instant::now();
        self.started_cpu = own_cpu();
        self.last_delivery = clock();
    }

    /// A message with number `seq`, sent at `sent`, came to a socket whose last number was `last`.
    pub fn delivered(&mut self, last: &mut u64, seq: u64, sent: Option<u64>) {
        let now = clock();
        self.last_delivery = now;
        self.deliveries += 1;
        if seq <= *last {
            self.doubled += 1;
            return;
        }
        self.lost += seq - *last - 1;
        *last = seq;
        if let Some(sent) = sent {
            self.latency.record(sent, now);
        }
    }

    /// `count` messages never came.
    pub fn missing(&mut self, count: u64) {
        self.lost += count;
    }

    /// The server has `count` messages more than were published.
    pub fn surplus(&mut self, count: u64) {
        self.doubled += count;
    }

    /// A request that was made at `sent` is answered.
    pub fn answered(&mut self, sent: u64) {
        self.last_delivery = clock();
        self.answers.record(sent, self.last_delivery);
    }

    /// A connection that was cut at `cut` has all its rooms again.
    pub fn resumed(&mut self, cut: u64) {
        self.resumes.record(cut, clock());
    }

    /// Something was wrong or refused.
    pub fn error(&mut self, kind: &str) {
        *self.errors.entry(kind.to_owned()).or_default() += 1;
    }

    /// A connection ended that nobody cut.
    pub fn closed(&mut self, code: Option<u16>) {
        *self.closes.entry(code.unwrap_or(0)).or_default() += 1;
    }

    /// How long nothing has come.
    pub fn silence(&self) -> Duration {
        Duration::from_nanos(clock().saturating_sub(self.last_delivery))
    }

    /// The report as of now.
    pub fn report(&self, traffic: &Traffic) -> Report<'_> {
        let elapsed = self.started.elapsed().saturating_sub(self.silence());
        Report {
            connections: self.connections,
            connect_seconds: self.connect.as_secs_f64(),
            seconds: elapsed.as_secs_f64(),
            operations: self.operations.unwrap_or(self.deliveries),
            published: self.published,
            acknowledged: self.acknowledged,
            deliveries: self.deliveries,
            lost: self.lost,
            doubled: self.doubled,
            errors: &self.errors,
            closes: &self.closes,
            pushes: &self.pushes,
            payload_bytes: traffic.payload_bytes,
            deflated: traffic.deflated,
            agreed: traffic.agreed,
            latency_us: &self.latency,
            answer_us: &self.answers,
            resume_us: &self.resumes,
            load_cpu_seconds: (own_cpu() - self.started_cpu).as_secs_f64(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hole_is_lost_and_a_repetition_doubled() {
        let mut tally = Tally::new();
        let mut last = 0;
        for seq in [1, 2, 5, 5, 4, 6] {
            tally.delivered(&mut last, seq, None);
        }
        assert_eq!((tally.lost, tally.doubled, last), (2, 2, 6));
    }

    #[test]
    fn two_sockets_are_judged_apart() {
        let mut tally = Tally::new();
        let (mut one, mut other) = (0, 0);
        tally.delivered(&mut one, 1, Some(clock()));
        tally.delivered(&mut other, 1, Some(clock()));
        tally.delivered(&mut one, 2, Some(clock()));
        assert_eq!((tally.lost, tally.doubled, tally.deliveries), (0, 0, 3));
    }
}
