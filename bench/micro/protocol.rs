//! What the protocol costs by itself: masking, parsing, encoding, handshake.
//!
//! `cargo bench --bench protocol [FILTER]`; one line for each case, the best of several rounds.

use std::hint::black_box;
use std::time::{Duration, Instant};

use gateway_core::protocol::handshake::{self, Head, HeadLimits, HeadReader};
use gateway_core::protocol::{
    Agreement, Connection, Event, Limits, Role, Shared, encode_client_message, encode_message, mask,
};

const AGREEMENT: Agreement = Agreement {
    server_max_window_bits: 15,
    client_max_window_bits: 15,
};

fn main() {
    masking();
    receiving();
    encoding();
    inflating();
    opening();
}

/// Runs `work` for a while and prints the time of one call, and the rate if it handles `bytes`.
fn measure(name: &str, bytes: usize, mut work: impl FnMut()) {
    let filter = std::env::args()
        .skip(1)
        .find(|argument| !argument.starts_with('-'));
    if filter.is_some_and(|filter| !name.contains(&filter)) {
        return;
    }
    let mut best = f64::INFINITY;
    for _ in 0..10 {
        let (start, mut calls) = (Instant::now(), 0_u32);
        while start.elapsed() < Duration::from_millis(50) {
            for _ in 0..16 {
                work();
            }
            calls += 16;
        }
        best = best.min(start.elapsed().as_secs_f64() * 1e9 / f64::from(calls));
    }
    let rate = if bytes == 0 {
        String::new()
    } else {
        format!("{:8.2} GB/s", bytes as f64 / best)
    };
    println!("{name:44} {best:10.1} ns {rate}");
}

fn masking() {
    for size in [16, 125, 1024, 16_384, 65_536] {
        let mut payload = vec![7_u8; size];
        measure(&format!("mask {size} B"), size, || {
            mask::apply(black_box(&mut payload), black_box([1, 2, 3, 4]), 0)
        });
    }
}

/// Reads of 64 KiB, full of frames of one size; the time is that of one frame.
fn receiving() {
    for (kind, is_text, size) in [
        ("binary", false, 32),
        ("binary", false, 1024),
        ("text", true, 32),
        ("text", true, 1024),
    ] {
        let mut shared = Shared::new(Limits::default());
        let mut wire = Vec::new();
        let mut frames = 0_u32;
        while wire.len() + size + 8 < 65_536 {
            encode_client_message(
                &vec![b'a'; size],
                is_text,
                None,
                [1, 2, 3, 4],
                &mut shared,
                &mut wire,
            );
            frames += 1;
        }
        let now = Instant::now();
        let mut connection = Connection::new(Role::Server, None, 1.0, now);
        let mut scratch = wire.clone();
        let mut total = 0;
        let mut sink = |event: Event<'_>| {
            if let Event::Message { payload, .. } = event {
                total += payload.len();
            }
        };
        let mut best = f64::INFINITY;
        for _ in 0..200 {
            scratch.copy_from_slice(&wire);
            let start = Instant::now();
            connection
                .receive_data(&mut scratch, now, &mut shared, &mut sink)
                .expect("legal frames");
            best = best.min(start.elapsed().as_secs_f64() * 1e9 / f64::from(frames));
        }
        black_box(total);
        println!(
            "{:44} {best:10.1} ns {:8.2} GB/s",
            format!("receive {kind} frame {size} B"),
            size as f64 / best
        );
    }
}

fn chat(len: usize) -> String {
    let mut text = String::new();
    let mut rng = fastrand::Rng::with_seed(1);
    while text.len() < len {
        text += &format!(
            "{{\"user\":\"u{}\",\"text\":\"see you at {} o'clock\"}},",
            rng.u32(..),
            rng.u8(..24)
        );
    }
    text.truncate(len);
    text
}

fn encoding() {
    let mut shared = Shared::new(Limits::default());
    for size in [32, 1024, 16_384] {
        let text = chat(size);
        measure(&format!("encode {size} B"), size, || {
            black_box(encode_message(
                black_box(text.as_bytes()),
                true,
                None,
                &mut shared,
            ));
        });
        if size >= 256 {
            let len = encode_message(text.as_bytes(), true, Some(AGREEMENT), &mut shared).len();
            measure(&format!("encode and deflate {size} B to {len} B"), size, || {
                black_box(encode_message(
                    black_box(text.as_bytes()),
                    true,
                    Some(AGREEMENT),
                    &mut shared,
                ));
            });
        }
    }
}

fn inflating() {
    let mut shared = Shared::new(Limits::default());
    let now = Instant::now();
    let mut connection = Connection::new(Role::Server, Some(AGREEMENT), 1.0, now);
    for size in [1024, 16_384] {
        let mut wire = Vec::new();
        encode_client_message(
            chat(size).as_bytes(),
            true,
            Some(AGREEMENT),
            [0; 4],
            &mut shared,
            &mut wire,
        );
        measure(&format!("receive and inflate {size} B"), size, || {
            connection
                .receive_data(black_box(&mut wire), now, &mut shared, &mut |_| {})
                .expect("legal frames");
        });
    }
    let hostile = b"\x03\x00".repeat(30_000);
    let mut wire = vec![0xc2, 0xfe];
    wire.extend(60_000_u16.to_be_bytes());
    wire.extend([0; 4]);
    wire.extend(hostile);
    measure("receive 30,000 empty final blocks (60 KB)", 60_000, || {
        connection
            .receive_data(black_box(&mut wire), now, &mut shared, &mut |_| {})
            .expect("legal frames");
    });
}

fn opening() {
    let offers = [
        ("origin", "https://chat.example.com"),
        ("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0)"),
    ];
    let head = handshake::request(
        "chat.example.com",
        "/ws?a=1",
        [7; 16],
        &["chat.v1.cbor"],
        true,
        &offers,
    );
    measure(
        &format!("read and accept a handshake of {} B", head.len()),
        0,
        || match HeadReader::default().read(black_box(&head), &HeadLimits::default()) {
            Ok(Head::Upgrade(request)) => {
                let agreement = request.deflate_offer.map(|offer| offer.accept());
                black_box(handshake::accept(&request, Some("chat.v1.cbor"), agreement).expect("offered"));
            }
            other => panic!("{other:?}"),
        },
    );
}
