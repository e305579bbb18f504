//! What a run found out, as JSON lines on standard output.

use std::collections::BTreeMap;
use std::io::Write;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

/// Latencies in microseconds, up to ten minutes, with three digits.
pub struct Latency(Histogram<u64>);

/// What a reader wants to know of a distribution, in microseconds.
#[derive(Serialize)]
pub struct Quantiles {
    count: u64,
    p50: u64,
    p90: u64,
    p99: u64,
    max: u64,
}

impl Latency {
    /// Empty.
    pub fn new() -> Self {
        Self(Histogram::new_with_bounds(1, 600_000_000, 3).expect("the bounds are valid"))
    }

    /// Adds the time from `sent` to `now`, both in nanoseconds of `clock()`.
    pub fn record(&mut self, sent: u64, now: u64) {
        self.0.saturating_record(now.saturating_sub(sent) / 1000);
    }

    /// The summary.
    pub fn quantiles(&self) -> Quantiles {
        let at = |quantile| self.0.value_at_quantile(quantile);
        Quantiles {
            count: self.0.len(),
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            max: self.0.max(),
        }
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
pub struct Report {
    /// Connections that reached the open state.
    pub connections: usize,
    /// From the first connect to the last handshake.
    pub connect_seconds: f64,
    /// From the first to the last measured message.
    pub seconds: f64,
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
    /// Requests that were refused, by error code.
    pub errors: BTreeMap<String, u64>,
    /// Connections that ended during the run, by close code; 0 is no code.
    pub closes: BTreeMap<u16, u64>,
    /// From publish to receipt, over all deliveries.
    pub latency_us: Quantiles,
    /// From publish to acknowledgement.
    pub acknowledge_us: Quantiles,
    /// CPU of this process while it measured.
    pub load_cpu_seconds: f64,
}

/// Writes one line; the harness waits for it.
pub fn emit(event: &str, value: &impl Serialize) {
    let line = serde_json::json!({"event": event, "data": value});
    let mut out = std::io::stdout().lock();
    // A harness that has gone needs no report.
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

/// Waits for the harness to say go: one line on standard input, or its end.
pub fn wait_for_go() {
    let mut line = String::new();
    let _ = std::io::stdin().read_line(&mut line);
}
