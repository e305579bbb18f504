//! Counts deliveries and judges their order: every stream of every socket rises by exactly one.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::report::{Latency, Report, clock, own_cpu};

/// The counters of a run.
pub struct Tally {
    begun: Instant,
    opened: Option<Instant>,
    measured: Option<(Instant, Duration)>,
    finished: Option<(Instant, Duration)>,
    connections: usize,
    pub published: u64,
    pub acknowledged: u64,
    deliveries: u64,
    lost: u64,
    doubled: u64,
    pub errors: BTreeMap<String, u64>,
    closes: BTreeMap<u16, u64>,
    latency: Latency,
    acknowledge: Latency,
}

impl Tally {
    /// Starts the clock of connecting.
    pub fn new() -> Self {
        Self {
            begun: Instant::now(),
            opened: None,
            measured: None,
            finished: None,
            connections: 0,
            published: 0,
            acknowledged: 0,
            deliveries: 0,
            lost: 0,
            doubled: 0,
            errors: BTreeMap::new(),
            closes: BTreeMap::new(),
            latency: Latency::new(),
            acknowledge: Latency::new(),
        }
    }

    /// All connections stand.
    pub fn all_open(&mut self, connections: usize) {
        self.connections = connections;
        self.opened = Some(Instant::now());
    }

    /// The measured time begins.
    pub fn start(&mut self) {
        self.measured = Some((Instant::now(), own_cpu()));
    }

    /// The measured time ends.
    pub fn stop(&mut self) {
        self.finished = Some((Instant::now(), own_cpu()));
    }

    /// A message with number `seq`, sent at `sent`, came to a socket whose last number was `last`.
    pub fn delivered(&mut self, last: &mut u64, seq: u64, sent: Option<u64>) {
        self.deliveries += 1;
        if seq <= *last {
            self.doubled += 1;
            return;
        }
        self.lost += seq - *last - 1;
        *last = seq;
        if let Some(sent) = sent {
            self.latency.record(sent, clock());
        }
    }

    /// `count` messages never came.
    pub fn missing(&mut self, count: u64) {
        self.lost += count;
    }

    /// A publish was acknowledged.
    pub fn acknowledged(&mut self, sent: u64) {
        self.acknowledged += 1;
        self.acknowledge.record(sent, clock());
    }

    /// A connection ended.
    pub fn closed(&mut self, code: Option<u16>) {
        *self.closes.entry(code.unwrap_or(0)).or_default() += 1;
    }

    /// How many deliveries there were.
    pub fn deliveries(&self) -> u64 {
        self.deliveries
    }

    /// The report; `None` for a time that never came counts as zero.
    pub fn report(&self) -> Report {
        let (start, cpu) = self.measured.unwrap_or((self.begun, Duration::ZERO));
        let (stop, cpu_stop) = self.finished.unwrap_or((start, cpu));
        let connect = self.opened.map_or(Duration::ZERO, |opened| opened - self.begun);
        Report {
            connections: self.connections,
            connect_seconds: connect.as_secs_f64(),
            seconds: (stop - start).as_secs_f64(),
            published: self.published,
            acknowledged: self.acknowledged,
            deliveries: self.deliveries,
            lost: self.lost,
            doubled: self.doubled,
            errors: self.errors.clone(),
            closes: self.closes.clone(),
            latency_us: self.latency.quantiles(),
            acknowledge_us: self.acknowledge.quantiles(),
            load_cpu_seconds: (cpu_stop - cpu).as_secs_f64(),
        }
    }
}
