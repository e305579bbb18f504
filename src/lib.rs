//! The engine of chat-gateway.
//!
//! | module | what it is | may use |
//! | --- | --- | --- |
//! | [`protocol`] | RFC 6455 and RFC 7692, sans-IO: bytes in, events and bytes out | nothing below |
//! | [`hub`] | topics and fan-out of one reactor, sans-IO | `protocol`, to frame messages |
//! | [`reactor`] | sockets, clocks and threads | `hub`, `protocol` |
//! | `python` | the extension module `gateway_core._native` | `reactor` |
//!
//! `protocol` and `hub` contain no socket, clock, thread or Python. A reactor thread never takes the GIL.

pub mod error;
pub mod hub;
pub mod protocol;
#[cfg(feature = "python")]
mod python;
pub mod reactor;
