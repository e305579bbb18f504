//! What a reactor counts.

use std::ops::AddAssign;
use std::sync::{Mutex, PoisonError};

/// Counters since the start and gauges of this moment; `gateway_core.GatewayStats` says what they mean.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "gateway_core/gateway.py is the manual")]
pub struct Stats {
    pub connections: u64,
    pub topics: u64,
    pub outbox_bytes: u64,
    pub accepted: u64,
    pub refused: u64,
    pub messages_in: u64,
    pub messages_out: u64,
    pub bytes_in: u64,
    pub bytes_out: u64,
    pub dropped: u64,
    pub slow_consumers: u64,
    pub compressions: u64,
}

impl AddAssign for Stats {
    fn add_assign(&mut self, other: Self) {
        self.connections += other.connections;
        self.topics += other.topics;
        self.outbox_bytes += other.outbox_bytes;
        self.accepted += other.accepted;
        self.refused += other.refused;
        self.messages_in += other.messages_in;
        self.messages_out += other.messages_out;
        self.bytes_in += other.bytes_in;
        self.bytes_out += other.bytes_out;
        self.dropped += other.dropped;
        self.slow_consumers += other.slow_consumers;
        self.compressions += other.compressions;
    }
}

/// The last stats that a reactor has published: once a turn, and before the events of that turn.
#[derive(Default)]
pub struct Published(Mutex<Stats>);

impl Published {
    /// Replaces them.
    pub fn set(&self, stats: Stats) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = stats;
    }

    /// A copy.
    pub fn get(&self) -> Stats {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
