//! Reactors over real loopback sockets.

mod child;
mod limits;
mod service;
mod slow;
mod support;
