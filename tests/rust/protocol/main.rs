//! The protocol against a simulated peer, grouped by RFC section.
//!
//! `b10_…` names a row of the bad-input matrix, `case_1_1_1` an Autobahn case.
#![expect(clippy::cast_possible_truncation, reason = "the sizes are the tests' own")]

mod autobahn;
mod closing;
mod compression;
mod control;
mod deadlines;
mod frames;
mod handshake;
mod messages;
mod pair;
mod peer;
mod splits;
