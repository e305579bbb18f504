//! permessage-deflate (RFC 7692), each message by itself.

use std::time::Instant;

use divan::counter::BytesCount;
use divan::{Bencher, black_box};
use gateway_core::protocol::{
    Agreement, Connection, Limits, Role, Shared, encode_client_message, encode_message,
};

use crate::text::chat;

/// Leaves a frame as it is, so that it can be received again.
const NO_MASK: [u8; 4] = [0; 4];
/// What browsers and we agree on.
pub const AGREEMENT: Agreement = Agreement {
    server_max_window_bits: 15,
    client_max_window_bits: 15,
};

#[divan::bench(args = [256, 1_024, 16_384])]
fn deflate(bencher: Bencher, size: usize) {
    let (text, mut shared) = (chat(size), Shared::new(Limits::default()));
    bencher
        .counter(BytesCount::new(size))
        .bench_local(|| encode_message(black_box(text.as_bytes()), true, Some(AGREEMENT), &mut shared));
}

#[divan::bench(args = [256, 1_024, 16_384])]
fn inflate(bencher: Bencher, size: usize) {
    let (mut shared, mut wire) = (Shared::new(Limits::default()), Vec::new());
    let text = chat(size);
    encode_client_message(
        text.as_bytes(),
        true,
        Some(AGREEMENT),
        NO_MASK,
        &mut shared,
        &mut wire,
    );
    receive(bencher, size, wire);
}

/// The dearest that a peer can send for its bytes: empty final blocks, after each of which inflating starts anew.
#[divan::bench]
fn inflate_30000_empty_blocks(bencher: Bencher) {
    let mut wire = vec![0xc2, 0xfe];
    wire.extend(60_000_u16.to_be_bytes());
    wire.extend(NO_MASK);
    wire.extend(b"\x03\x00".repeat(30_000));
    receive(bencher, 60_000, wire);
}

fn receive(bencher: Bencher, bytes: usize, mut wire: Vec<u8>) {
    let (now, mut shared) = (Instant::now(), Shared::new(Limits::default()));
    let mut connection = Connection::new(Role::Server, Some(AGREEMENT), 1.0, now);
    bencher.counter(BytesCount::new(bytes)).bench_local(|| {
        connection
            .receive_data(black_box(&mut wire), now, &mut shared, &mut |_| {})
            .expect("legal frames");
    });
}
