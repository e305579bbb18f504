//! 9 limits (smaller sizes), 10 fragmented by the sender, 12 and 13 compression (a selection).

use gateway_core::protocol::Agreement;
use gateway_core::protocol::handshake::{Head, HeadLimits, HeadReader, request};

use super::Case;
use crate::peer::*;

/// A message in fragments of `size`.
fn fragments(opcode: u8, payload: &[u8], size: usize) -> Vec<Vec<u8>> {
    let count = payload.len().div_ceil(size);
    let first = |i| if i == 0 { opcode } else { CONT } | if i + 1 == count { FIN } else { 0 };
    payload
        .chunks(size)
        .enumerate()
        .map(|(i, piece)| frame(first(i), piece))
        .collect()
}

#[test]
fn case_9_1_and_9_2_big_messages() {
    for (i, size) in [1 << 16, 1 << 18, 1 << 20].into_iter().enumerate() {
        let content = "*".repeat(size);
        Case::clean(
            &format!("9.1.{}", i + 1),
            &[frame(FIN | TEXT, content.as_bytes())],
            vec![text(&content)],
        )
        .run();
        let content = vec![0xfe; size];
        Case::clean(
            &format!("9.2.{}", i + 1),
            &[frame(FIN | BINARY, &content)],
            vec![binary(&content)],
        )
        .run();
    }
}

#[test]
fn case_9_3_and_9_4_big_messages_in_small_fragments() {
    let content = "*".repeat(1 << 18);
    for (i, size) in [64, 256, 1024, 4096, 16_384, 65_536].into_iter().enumerate() {
        let frames = fragments(TEXT, content.as_bytes(), size);
        Case::clean(&format!("9.3.{}", i + 1), &frames, vec![text(&content)]).run();
        let frames = fragments(BINARY, content.as_bytes(), size);
        Case::clean(
            &format!("9.4.{}", i + 1),
            &frames,
            vec![binary(content.as_bytes())],
        )
        .run();
    }
}

#[test]
fn case_9_5_and_9_6_big_messages_in_small_reads() {
    let content = "*".repeat(1 << 18);
    for (i, size) in [64, 128, 256, 512, 1024, 2048].into_iter().enumerate() {
        let wire = [frame(FIN | TEXT, content.as_bytes())];
        Case::clean(&format!("9.5.{}", i + 1), &wire, vec![text(&content)])
            .chopped(size)
            .run();
        let wire = [frame(FIN | BINARY, content.as_bytes())];
        Case::clean(&format!("9.6.{}", i + 1), &wire, vec![binary(content.as_bytes())])
            .chopped(size)
            .run();
    }
}

#[test]
fn case_9_7_and_9_8_many_messages() {
    for (i, size) in [0, 16, 64, 256, 1024, 4096].into_iter().enumerate() {
        let content = "*".repeat(size);
        let wire = vec![frame(FIN | TEXT, content.as_bytes()); 200];
        Case::clean(&format!("9.7.{}", i + 1), &wire, vec![text(&content); 200]).run();
        let wire = vec![frame(FIN | BINARY, content.as_bytes()); 200];
        Case::clean(
            &format!("9.8.{}", i + 1),
            &wire,
            vec![binary(content.as_bytes()); 200],
        )
        .run();
    }
}

#[test]
fn case_10_1_fragmented_by_the_sender() {
    let content = "*".repeat(65_536);
    Case::clean(
        "10.1.1",
        &fragments(TEXT, content.as_bytes(), 1300),
        vec![text(&content)],
    )
    .run();
}

/// Text like Autobahn's: JSON that repeats itself only so much.
fn json(len: usize) -> String {
    let mut rng = fastrand::Rng::with_seed(12);
    let mut content = String::new();
    while content.len() < len {
        content += &format!(
            "{{\"id\": {}, \"user\": \"user-{}\", \"text\": \"hello\"}},\n",
            rng.u32(..),
            rng.u8(..)
        );
    }
    content.truncate(len);
    content
}

const SIZES: [usize; 10] = [16, 64, 256, 1024, 4096, 8192, 16_384, 32_768, 65_536, 131_072];

#[test]
fn case_12_compressed_messages_of_every_size() {
    for (i, size) in SIZES.into_iter().enumerate() {
        let content = json(size);
        let deflated = deflate(content.as_bytes());
        let id = |section: usize| format!("12.{section}.{}", i + 1);
        let whole = frame(FIN | RSV1 | TEXT, &deflated);
        Case::clean(&id(1), &vec![whole.clone(); 10], vec![text(&content); 10]).run_with(COMPRESSED);
        let whole = frame(FIN | RSV1 | BINARY, &deflated);
        Case::clean(&id(2), &[whole], vec![binary(content.as_bytes())])
            .chopped(997)
            .run_with(COMPRESSED);
        // 12.1.11 and on: the sender fragments the compressed message.
        for fragment in [256, 1024, 4096] {
            let frames = fragments(RSV1 | TEXT, &deflated, fragment);
            Case::clean(&id(3), &frames, vec![text(&content)]).run_with(COMPRESSED);
        }
    }
}

/// What the server agrees to when a client makes these offers.
fn agreement(offers: &str) -> Option<Agreement> {
    let head = request(
        "h",
        "/",
        [7; 16],
        &[],
        false,
        &[("sec-websocket-extensions", offers)],
    );
    match HeadReader::default().read(&head, &HeadLimits::default()) {
        Ok(Head::Upgrade(request)) => request.deflate_offer.map(|offer| offer.accept()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn case_13_offers_of_every_kind() {
    let offers = [
        (
            "13.1",
            "permessage-deflate; client_no_context_takeover; client_max_window_bits",
            15,
        ),
        (
            "13.2",
            "permessage-deflate; server_no_context_takeover; client_max_window_bits",
            15,
        ),
        (
            "13.3",
            "permessage-deflate; server_max_window_bits=9; client_max_window_bits",
            9,
        ),
        (
            "13.4",
            "permessage-deflate; server_max_window_bits=15; client_max_window_bits",
            15,
        ),
        (
            "13.5",
            "permessage-deflate; server_no_context_takeover; server_max_window_bits=9",
            9,
        ),
        (
            "13.6",
            "permessage-deflate; server_no_context_takeover; server_max_window_bits=15",
            15,
        ),
        (
            "13.7",
            "permessage-deflate; server_no_context_takeover; server_max_window_bits=9; client_max_window_bits, \
             permessage-deflate; server_no_context_takeover; client_max_window_bits, permessage-deflate",
            9,
        ),
    ];
    for (id, offer, bits) in offers {
        let agreement = agreement(offer).expect("acceptable");
        assert_eq!(agreement.server_max_window_bits, bits, "case {id}");
        for (i, size) in SIZES.into_iter().enumerate() {
            let content = json(size);
            let wire = frame(FIN | RSV1 | TEXT, &deflate(content.as_bytes()));
            Case::clean(&format!("{id}.{}", i + 1), &[wire], vec![text(&content)]).run_with(Some(agreement));
        }
    }
}
