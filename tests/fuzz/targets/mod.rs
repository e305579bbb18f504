//! The bodies of the fuzz targets: for libFuzzer (`make fuzz`) and for the fixed budget of `cargo test`.
//!
//! Each takes any bytes and panics if a promise is broken.
#![allow(dead_code, unused_imports, reason = "each libFuzzer binary uses one of them")]

mod deflate;
mod frames;
mod handshake;
mod reference;
mod topics;

pub use deflate::deflate;
pub use frames::frames;
pub use handshake::handshake;
pub use topics::topics;
