//! The names of connections.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

const SLOT_BITS: u32 = 18;
const REACTOR_BITS: u32 = 5;
/// Reactors of one gateway.
pub const MAX_REACTORS: usize = 1 << REACTOR_BITS;
/// Sockets of one reactor.
pub const MAX_SLOTS: usize = 1 << SLOT_BITS;

/// Sockets accepted by this process: 2⁴⁰ of them last eight months at 50,000 a second.
static ACCEPTED: AtomicU64 = AtomicU64::new(0);

/// Names one connection for ever: generation (40 bits), reactor (5), slot (18).
///
/// The generation counts the sockets that the process has accepted, so that no name is given twice, also not
/// by two gateways.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId(u64);

impl ConnectionId {
    pub(super) fn new(reactor: usize, slot: usize) -> Self {
        debug_assert!(reactor < MAX_REACTORS && slot < MAX_SLOTS);
        let generation = ACCEPTED.fetch_add(1, Ordering::Relaxed) + 1;
        Self((generation << REACTOR_BITS | reactor as u64) << SLOT_BITS | slot as u64)
    }

    /// The number that stands for it outside.
    #[must_use]
    pub const fn to_u64(self) -> u64 {
        self.0
    }

    /// The inverse of `to_u64`; any number will do, most name nothing.
    #[must_use]
    pub const fn from_u64(id: u64) -> Self {
        Self(id)
    }

    #[expect(clippy::cast_possible_truncation, reason = "18 bits")]
    pub(super) const fn slot(self) -> usize {
        (self.0 & (MAX_SLOTS as u64 - 1)) as usize
    }

    pub(super) const fn reactor(self) -> usize {
        (self.0 >> SLOT_BITS & (MAX_REACTORS as u64 - 1)) as usize
    }
}

impl fmt::Debug for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ConnectionId({:#x})", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_reactor_and_slot_and_is_never_given_twice() {
        let one = ConnectionId::new(31, MAX_SLOTS - 1);
        let two = ConnectionId::new(31, MAX_SLOTS - 1);
        assert_eq!((one.reactor(), one.slot()), (31, MAX_SLOTS - 1));
        assert_eq!((two.reactor(), two.slot()), (31, MAX_SLOTS - 1));
        assert_ne!(one, two);
        assert_eq!(ConnectionId::from_u64(one.to_u64()), one);
    }
}
