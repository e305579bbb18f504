//! What the engine's parts cost by themselves, without a socket.
//!
//! `cargo bench [FILTER]`, e.g. `cargo bench fanout`. Ratios between two states of the code are worth more than the
//! numbers: the processor's clock is what it is at the moment.

mod deflate;
mod fanout;
mod frame;
mod handshake;
mod mask;
mod text;

fn main() {
    divan::main();
}
