//! Topics and fan-out of one reactor, sans-IO.
//!
//! Each reactor has its own [`Hub`], so there are no locks. A subscriber is known by a small number, the slot of
//! its connection; who it is and what it owes its peer is the reactor's business.
//!
//! | file | what it is |
//! | --- | --- |
//! | `topics` | topic → subscribers and back; both directions change together |
//! | `fanout` | frames and deflates a payload once for each variant, and shares the bytes |

mod fanout;
mod topics;

pub use fanout::{Batch, Encoding, Frames, Outgoing, Publication};
pub use topics::{Hub, Subscriber};
