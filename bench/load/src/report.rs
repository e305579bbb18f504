//! What a run found out, and the clocks that it is measured by.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::{Serialize, Serializer};

/// Latencies in microseconds, up to ten minutes, with three digits.
///
/// Written as pairs of value and count, so that those of several processes can be put together.
pub struct Latency(Histogram<u64>);

impl Latency {
    /// Empty.
    pub fn new() -> Self {
        Self(Histogram::new_with_bounds(1, 600_000_000, 3).expect("the bounds are valid"))
    }

    /// Adds the time from `sent` to `now`, both in nanoseconds of `clock()`.
    pub fn record(&mut self, sent: u64, now: u64) {
        self.0.saturating_record(now.saturating_sub(sent) / 1000);
    }
}

impl Serialize for Latency {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let pairs = self.0.iter_recorded();
        serializer.collect_seq(pairs.map(|pair| (pair.value_iterated_to(), pair.count_at_value())))
    }
}

/// Nanoseconds of the system-wide monotonic clock, the same in every process.
pub fn clock() -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is a valid timespec for the call's duration.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
}

/// User and system time of this process so far.
pub fn own_cpu() -> Duration {
    // SAFETY: rusage is plain data, for which all zeroes are valid.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: `usage` is valid for the call's duration.
    unsafe { libc::getrusage(libc::RUSAGE_SELF, &raw mut usage) };
    let part = |time: libc::timeval| {
        Duration::from_micros(u64::try_from(time.tv_sec * 1_000_000 + time.tv_usec).unwrap_or(0))
    };
    part(usage.ru_utime) + part(usage.ru_stime)
}

/// What is common to all scenarios.
#[derive(Serialize)]
pub struct Report<'a> {
    /// Connections that reached the open state.
    pub connections: usize,
    /// From the first connect until all stood (and, in chat, had joined their rooms).
    pub connect_seconds: f64,
    /// From the first measured message to the last delivery.
    pub seconds: f64,
    /// What the server's CPU is divided by: deliveries, round trips, or messages taken in.
    pub operations: u64,
    /// Messages published in the measured time.
    pub published: u64,
    /// Messages acknowledged, where the protocol does that.
    pub acknowledged: u64,
    /// Messages that sockets received.
    pub deliveries: u64,
    /// Messages that never came to a socket that should have got them.
    pub lost: u64,
    /// Messages that came twice, or after a later one.
    pub doubled: u64,
    /// What the server did wrong or refused, by kind.
    pub errors: &'a BTreeMap<String, u64>,
    /// Connections that ended during the run and were not cut by us, by close code; 0 is no code.
    pub closes: &'a BTreeMap<u16, u64>,
    /// Pushes received, by kind (chat).
    pub pushes: &'a BTreeMap<String, u64>,
    /// Payload bytes of all messages received, as they came over the wire.
    pub payload_bytes: u64,
    /// Messages that came deflated.
    pub deflated: u64,
    /// Connections on which deflating was agreed.
    pub agreed: u64,
    /// From publish to receipt, over all deliveries.
    pub latency_us: &'a Latency,
    /// From a request to its answer: publish to acknowledgement in chat, a batch to its receipt in a sink.
    pub answer_us: &'a Latency,
    /// From a cut to the last room joined again.
    pub resume_us: &'a Latency,
    /// CPU of this process while it measured.
    pub load_cpu_seconds: f64,
}
