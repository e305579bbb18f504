//! Frames: reading 64 KiB full of them, with masks and UTF-8, and writing one.

use std::time::Instant;

use divan::counter::{BytesCount, ItemsCount};
use divan::{Bencher, black_box};
use gateway_core::protocol::frame::Header;
use gateway_core::protocol::{
    Connection, Event, Limits, Role, Shared, encode_client_message, encode_message,
};

use crate::text::{chat, foreign};

const KEY: [u8; 4] = [1, 2, 3, 4];
const READ: usize = 65_536;
const SIZES: [usize; 4] = [32, 128, 1_024, 16_384];

/// A header alone.
#[divan::bench]
fn parse_header(bencher: Bencher) {
    let frame = [0x82, 0xfe, 4, 0, 1, 2, 3, 4];
    bencher.bench_local(|| Header::parse(black_box(&frame), Role::Server, false));
}

#[divan::bench(args = SIZES)]
fn receive_binary(bencher: Bencher, size: usize) {
    receive(bencher, &vec![b'a'; size], false);
}

/// The difference to `receive_binary` is the check of UTF-8.
#[divan::bench(args = SIZES)]
fn receive_ascii(bencher: Bencher, size: usize) {
    receive(bencher, chat(size).as_bytes(), true);
}

#[divan::bench(args = SIZES)]
fn receive_foreign(bencher: Bencher, size: usize) {
    receive(bencher, foreign(size).as_bytes(), true);
}

/// The check of UTF-8 alone.
#[divan::bench(args = [128, 1_024, 16_384])]
fn utf8(bencher: Bencher, size: usize) {
    let text = foreign(size);
    bencher
        .counter(BytesCount::new(text.len()))
        .bench_local(|| simdutf8::basic::from_utf8(black_box(text.as_bytes())).is_ok());
}

#[divan::bench(args = SIZES)]
fn encode(bencher: Bencher, size: usize) {
    let (text, mut shared) = (chat(size), Shared::new(Limits::default()));
    bencher
        .counter(BytesCount::new(size))
        .bench_local(|| encode_message(black_box(text.as_bytes()), true, None, &mut shared));
}

/// One read of 64 KiB, counted by frame.
fn receive(bencher: Bencher, payload: &[u8], is_text: bool) {
    let mut shared = Shared::new(Limits::default());
    let mut wire = Vec::new();
    let mut frames = 0_usize;
    while frames == 0 || wire.len() + wire.len() / frames <= READ {
        encode_client_message(payload, is_text, None, KEY, &mut shared, &mut wire);
        frames += 1;
    }
    let now = Instant::now();
    let mut connection = Connection::new(Role::Server, None, 1.0, now);
    bencher
        .counter(ItemsCount::new(frames))
        .with_inputs(|| wire.clone()) // unmasked in place
        .bench_local_refs(|data| {
            let mut bytes = 0;
            let mut sink = |event: Event<'_>| {
                if let Event::Message { payload, .. } = event {
                    bytes += payload.len();
                }
            };
            connection
                .receive_data(data, now, &mut shared, &mut sink)
                .expect("legal frames");
            bytes
        });
}
