//! What bounds a gateway: `gateway_core.GatewayConfig` in the engine's types.

use std::time::Duration;

use crate::protocol::handshake::HeadLimits;
use crate::protocol::{Limits, Timeouts};

use super::rate::RateLimits;

/// Limits and deadlines; their reasons stand at the fields of the same names in `gateway_core/config.py`.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "gateway_core/config.py is the manual")]
pub struct Config {
    pub reactors: usize,
    pub share_port: bool,
    pub backlog: i32,
    pub max_connections: usize,
    pub max_connections_per_address: usize,
    pub max_pending_handshakes: usize,
    pub handshake_timeout: Duration,
    pub head: HeadLimits,
    pub messages: Limits,
    pub timeouts: Timeouts,
    pub rates: RateLimits,
    pub compression: bool,
    pub soft_outbox_bytes: usize,
    pub max_outbox_bytes: usize,
    pub slow_consumer_timeout: Duration,
    pub max_events: usize,
    /// Payload bytes in undelivered events; beyond it reading pauses, as beyond `max_events`.
    pub max_event_bytes: usize,
}

impl Default for Config {
    /// The defaults of `GatewayConfig`.
    fn default() -> Self {
        Self {
            reactors: 1,
            share_port: false,
            backlog: 4096,
            max_connections: 16_000,
            max_connections_per_address: 16_000,
            max_pending_handshakes: 4096,
            handshake_timeout: Duration::from_secs(10),
            head: HeadLimits {
                max_header_bytes: 16_384,
                max_headers: 64,
            },
            messages: Limits::default(),
            timeouts: Timeouts {
                ping_interval: Duration::from_secs(25),
                ping_timeout: Duration::from_secs(15),
                close_timeout: Duration::from_secs(5),
                message_timeout: Duration::from_secs(30),
            },
            rates: RateLimits::default(),
            compression: true,
            soft_outbox_bytes: 262_144,
            max_outbox_bytes: 1_048_576,
            slow_consumer_timeout: Duration::from_secs(10),
            max_events: 65_536,
            max_event_bytes: 64 << 20,
        }
    }
}
