//! How many sockets a gateway holds, in all and for each address.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use super::Config;

/// The sockets of all reactors, counted. Touched when a socket comes and when it goes.
pub struct Admission {
    sockets: AtomicUsize,
    /// Sockets whose opening handshake is not over.
    pending: AtomicUsize,
    addresses: Mutex<HashMap<IpAddr, usize>>,
    max_sockets: usize,
    max_pending: usize,
    max_per_address: usize,
}

impl Admission {
    /// Nobody is in.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        Self {
            sockets: AtomicUsize::new(0),
            pending: AtomicUsize::new(0),
            addresses: Mutex::default(),
            max_sockets: config.max_connections,
            max_pending: config.max_pending_handshakes,
            max_per_address: config.max_connections_per_address,
        }
    }

    /// Counts a socket in, its handshake pending; false if a limit is reached.
    pub fn enter(&self, peer: IpAddr) -> bool {
        if !count_in(&self.sockets, self.max_sockets) {
            return false;
        }
        if !count_in(&self.pending, self.max_pending) {
            self.sockets.fetch_sub(1, Ordering::Relaxed);
            return false;
        }
        if !self.enter_address(peer) {
            self.handshake_done();
            self.sockets.fetch_sub(1, Ordering::Relaxed);
            return false;
        }
        true
    }

    /// The handshake of a socket is over.
    pub fn handshake_done(&self) {
        self.pending.fetch_sub(1, Ordering::Relaxed);
    }

    /// Counts a socket out whose handshake is over.
    pub fn leave(&self, peer: IpAddr) {
        self.sockets.fetch_sub(1, Ordering::Relaxed);
        if self.counts_addresses() {
            let mut addresses = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
            let peer = network(peer);
            match addresses.get_mut(&peer) {
                Some(count) if *count > 1 => *count -= 1,
                _ => drop(addresses.remove(&peer)),
            }
        }
    }

    fn enter_address(&self, peer: IpAddr) -> bool {
        if !self.counts_addresses() {
            return true;
        }
        let mut addresses = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        let count = addresses.entry(network(peer)).or_default();
        let admitted = *count < self.max_per_address;
        *count += usize::from(admitted);
        admitted
    }

    /// The limit for all is the limit for one address by default; then nothing need be counted.
    fn counts_addresses(&self) -> bool {
        self.max_per_address < self.max_sockets
    }
}

fn count_in(counter: &AtomicUsize, max: usize) -> bool {
    counter
        .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| {
            (n < max).then_some(n + 1)
        })
        .is_ok()
}

/// What counts as one address: an IPv6 host has a whole /64 to choose from (B41).
fn network(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admission(max_connections: usize, per_address: usize, pending: usize) -> Admission {
        Admission::new(&Config {
            max_connections,
            max_connections_per_address: per_address,
            max_pending_handshakes: pending,
            ..Config::default()
        })
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn the_limit_for_one_address_spares_the_others() {
        let admission = admission(10, 2, 10);
        assert!(admission.enter(ip("10.0.0.1")));
        assert!(admission.enter(ip("::ffff:10.0.0.1")));
        assert!(!admission.enter(ip("10.0.0.1")));
        assert!(admission.enter(ip("10.0.0.2")));
        admission.handshake_done();
        admission.leave(ip("10.0.0.1"));
        assert!(admission.enter(ip("10.0.0.1")));
    }

    #[test]
    fn an_ipv6_network_of_64_bits_is_one_address() {
        let admission = admission(10, 1, 10);
        assert!(admission.enter(ip("2001:db8::1")));
        assert!(!admission.enter(ip("2001:db8::ffff:1")));
        assert!(admission.enter(ip("2001:db8:0:1::1")));
    }

    #[test]
    fn pending_handshakes_are_limited_apart() {
        let admission = admission(10, 10, 1);
        assert!(admission.enter(ip("10.0.0.1")));
        assert!(!admission.enter(ip("10.0.0.2")));
        admission.handshake_done();
        assert!(admission.enter(ip("10.0.0.2")));
    }

    #[test]
    fn a_refused_socket_leaves_no_trace() {
        let admission = admission(2, 1, 2);
        assert!(admission.enter(ip("10.0.0.1")));
        for _ in 0..5 {
            assert!(!admission.enter(ip("10.0.0.1")));
        }
        assert!(admission.enter(ip("10.0.0.2")));
    }
}
