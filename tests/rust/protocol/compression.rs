//! RFC 7692: permessage-deflate.

use gateway_core::protocol::handshake::{Head, HeadLimits, HeadReader, accept, read_response, request};
use gateway_core::protocol::{Agreement, Limits, Shared, encode_client_message, encode_message};

use crate::peer::*;

const CHAT: &str = r#"{"push":"message","room":"general","seq":1,"body":{"text":"hello, hello, hello"}}"#;

fn server() -> Server {
    Server::with(Limits::default(), COMPRESSED)
}

fn limited(max_message_bytes: usize, max_inflate_ratio: usize) -> Server {
    Server::with(
        Limits {
            max_message_bytes,
            max_inflate_ratio,
            ..Limits::default()
        },
        COMPRESSED,
    )
}

/// What the server answers to an offer: the value of the extension header, if any.
fn negotiate(offer: &str) -> Option<String> {
    let mut head = String::from_utf8(request("h", "/", [7; 16], &[], false, &[])).expect("ASCII");
    head.truncate(head.len() - 2);
    head += &format!("sec-websocket-extensions: {offer}\r\n\r\n");
    let Ok(Head::Upgrade(request)) = HeadReader::default().read(head.as_bytes(), &HeadLimits::default())
    else {
        panic!("{offer} was not read");
    };
    let agreement = request.deflate_offer.map(|offer| offer.accept());
    let response = String::from_utf8(accept(&request, None, agreement).expect("acceptable")).expect("ASCII");
    let prefix = "sec-websocket-extensions: ";
    response
        .lines()
        .find_map(|line| line.strip_prefix(prefix).map(str::to_owned))
}

#[test]
fn the_default_answer_lets_neither_side_keep_a_context() {
    let plain = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
    for offer in [
        "permessage-deflate",
        "permessage-deflate; client_max_window_bits",
        "permessage-deflate; client_max_window_bits=8",
        "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
        "x-webkit-deflate-frame, permessage-deflate",
    ] {
        assert_eq!(negotiate(offer).as_deref(), Some(plain), "{offer}");
    }
}

#[test]
fn a_window_that_the_client_asks_for_is_kept() {
    for bits in 9..=15 {
        for asked in [format!("{bits}"), format!("\"{bits}\"")] {
            let answer = negotiate(&format!("permessage-deflate; server_max_window_bits={asked}"));
            assert!(
                answer.is_some_and(|answer| answer.ends_with(&format!("; server_max_window_bits={bits}")))
            );
        }
    }
}

#[test]
fn b4_bad_offers_are_declined_and_the_next_one_is_taken() {
    for parameters in [
        "server_max_window_bits=7",
        "server_max_window_bits=8", // legal, but zlib cannot make it
        "server_max_window_bits=16",
        "server_max_window_bits=09",
        "server_max_window_bits=abc",
        "server_max_window_bits",
        "client_max_window_bits=7",
        "client_max_window_bits=16",
        "client_max_window_bits=abc",
        "client_max_window_bits; client_max_window_bits",
        "server_no_context_takeover; server_no_context_takeover",
        "server_no_context_takeover=1",
        "client_no_context_takeover=true",
        "dictionary=42",
    ] {
        assert_eq!(
            negotiate(&format!("permessage-deflate; {parameters}")),
            None,
            "{parameters}"
        );
        let with_fallback =
            format!("permessage-deflate; {parameters}, permessage-deflate; server_max_window_bits=10");
        assert!(
            negotiate(&with_fallback).is_some_and(|answer| answer.ends_with("=10")),
            "{parameters}"
        );
    }
}

#[test]
fn b25_an_unknown_extension_is_never_echoed() {
    assert_eq!(negotiate("x-dictionary; id=1234"), None);
}

#[test]
fn our_own_client_understands_the_answer() {
    let head = request("h", "/", [7; 16], &["chat.v1.cbor"], true, &[]);
    let Ok(Head::Upgrade(parsed)) = HeadReader::default().read(&head, &HeadLimits::default()) else {
        panic!("our own request was not read");
    };
    let agreement = parsed.deflate_offer.map(|offer| offer.accept());
    let response = accept(&parsed, Some("chat.v1.cbor"), agreement).expect("offered");
    let read = read_response(&response, [7; 16])
        .expect("well-formed")
        .expect("whole");
    assert_eq!(
        (read.agreement, read.subprotocol.as_deref()),
        (agreement, Some("chat.v1.cbor"))
    );
    assert_eq!(read.head_len, response.len());
}

#[test]
fn the_examples_of_rfc_7692_inflate() {
    let hello = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
    // §7.2.3.1: one block, whole and in two fragments.
    assert_eq!(
        server().receive(&frame(FIN | RSV1 | TEXT, &hello)).events(),
        [text("Hello")]
    );
    let fragments = [frame(RSV1 | TEXT, &hello[..3]), frame(FIN | CONT, &hello[3..])].concat();
    assert_eq!(server().receive(&fragments).events(), [text("Hello")]);
    // §7.2.3.3: a block without compression.
    let stored = [0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00];
    assert_eq!(
        server().receive(&frame(FIN | RSV1 | TEXT, &stored)).events(),
        [text("Hello")]
    );
    // §7.2.3.4: a final block.
    let last = [0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00];
    assert_eq!(
        server().receive(&frame(FIN | RSV1 | TEXT, &last)).events(),
        [text("Hello")]
    );
    // §7.2.3.5: two blocks.
    let two = [
        0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00,
    ];
    assert_eq!(
        server().receive(&frame(FIN | RSV1 | TEXT, &two)).events(),
        [text("Hello")]
    );
    // §7.2.3.6: an empty message.
    assert_eq!(
        server().receive(&frame(FIN | RSV1 | TEXT, &[0x00])).events(),
        [text("")]
    );
}

#[test]
fn a_message_without_a_byte_of_compressed_data_is_empty() {
    assert_eq!(
        server().receive(&frame(FIN | RSV1 | TEXT, b"")).events(),
        [text("")]
    );
}

#[test]
fn final_blocks_may_follow_each_other() {
    let last = [0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
    let wire = frame(FIN | RSV1 | TEXT, &[last, last].concat());
    assert_eq!(server().receive(&wire).events(), [text("HelloHello")]);
}

#[test]
fn an_uncompressed_message_is_welcome_under_compression() {
    let wire = [
        frame(FIN | TEXT, b"plain"),
        frame(FIN | RSV1 | TEXT, &deflate(b"deflated")),
    ]
    .concat();
    assert_eq!(
        server().receive(&wire).events(),
        [text("plain"), text("deflated")]
    );
}

#[test]
fn messages_of_every_kind_survive_both_ways() {
    let mut noise = vec![0_u8; 60_000];
    fastrand::Rng::with_seed(1).fill(&mut noise);
    for bits in 9..=15 {
        let agreement = Some(Agreement {
            server_max_window_bits: bits,
            client_max_window_bits: bits,
        });
        let mut shared = Shared::new(Limits::default());
        for payload in [
            b"".as_slice(),
            b"a",
            CHAT.as_bytes(),
            CHAT.repeat(500).as_bytes(),
            &noise,
        ] {
            let wire = encode_message(payload, false, agreement, &mut shared);
            let frames = server_frames(&wire);
            let [(first, sent)] = frames.as_slice() else {
                panic!("one frame")
            };
            let content = if first & RSV1 != 0 {
                inflate(sent)
            } else {
                sent.clone()
            };
            assert_eq!(content, payload);
            let mut wire = Vec::new();
            encode_client_message(payload, false, agreement, [1, 2, 3, 4], &mut shared, &mut wire);
            assert_eq!(
                Server::with(Limits::default(), agreement).receive(&wire).events(),
                [binary(payload)]
            );
        }
    }
}

#[test]
fn only_what_gets_smaller_is_compressed() {
    let mut noise = [0_u8; 1000];
    fastrand::Rng::with_seed(2).fill(&mut noise);
    let mut shared = Shared::new(Limits::default());
    let mut first = |payload: &[u8], agreement| encode_message(payload, false, agreement, &mut shared)[0];
    assert_eq!(first(&[b'a'; 255], COMPRESSED), FIN | BINARY); // below min_compress_bytes
    assert_eq!(first(&[b'a'; 256], COMPRESSED), FIN | RSV1 | BINARY);
    assert_eq!(first(&noise, COMPRESSED), FIN | BINARY);
    assert_eq!(first(&[b'a'; 1000], None), FIN | BINARY);
}

#[test]
fn b21_a_bomb_closes_with_1009_and_stays_within_the_limit() {
    let bomb = deflate(&vec![0; 10_000_000]);
    assert!(bomb.len() < 16_384);
    let mut server = server();
    assert_eq!(
        server.receive(&frame(FIN | RSV1 | BINARY, &bomb)).error_code(),
        1009
    );
    assert_eq!(server.events(), []);
    assert!(server.shared.buffered_bytes() <= 65_536 + 1);
}

#[test]
fn b21_a_message_exactly_at_the_limit_passes_and_one_byte_over_does_not() {
    for limit in [1000, 65_536, 100_000] {
        let mut server = limited(limit, 100_000);
        let at_limit = vec![b'a'; limit];
        server.receive(&frame(FIN | RSV1 | BINARY, &deflate(&at_limit)));
        assert_eq!(server.events(), [binary(&at_limit)]);
        let over = vec![b'a'; limit + 1];
        assert_eq!(
            server
                .receive(&frame(FIN | RSV1 | BINARY, &deflate(&over)))
                .error_code(),
            1009,
            "{limit}"
        );
    }
}

#[test]
fn b21_noise_of_the_allowed_size_passes_though_deflate_makes_it_longer() {
    let mut noise = vec![0_u8; 65_536];
    fastrand::Rng::with_seed(3).fill(&mut noise);
    let wire = deflate(&noise);
    assert!(wire.len() > noise.len());
    assert_eq!(
        server().receive(&frame(FIN | RSV1 | BINARY, &wire)).events(),
        [binary(&noise)]
    );
}

#[test]
fn b21_a_ratio_over_the_limit_closes_with_1009_beyond_64_kib() {
    let spaces = |len| frame(FIN | RSV1 | BINARY, &deflate(&vec![b' '; len]));
    let mut server = limited(1_000_000, 200);
    assert_eq!(server.receive(&spaces(65_536)).events().len(), 1);
    assert_eq!(server.receive(&spaces(500_000)).error_code(), 1009);
    assert_eq!(limited(1_000_000, 2000).receive(&spaces(500_000)).error, None);
}

#[test]
fn b22_broken_data_closes_with_1007() {
    let cases: [(&str, &[u8]); 7] = [
        ("reserved block type", &[0x07]),
        (
            "stored length that does not match its complement",
            &[0x00, 0x05, 0x00, 0xfa, 0xfe, 0x48],
        ),
        ("distance before the window", &[0x02, 0x08, 0x20, 0x80, 0x00]),
        ("distance code that does not exist", &[0x03, 0x1f, 0xff, 0xff]),
        ("dynamic block with no codes", &[0x04, 0x00, 0xfe, 0xff]),
        ("text in the clear", b"Hello, world"),
        (
            "final block and rubbish",
            &[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0xff, 0xff],
        ),
    ];
    for (what, data) in cases {
        let mut server = server();
        assert_eq!(
            server.receive(&frame(FIN | RSV1 | BINARY, data)).error_code(),
            1007,
            "{what}"
        );
        assert_eq!(server.sent_close(), 1007);
    }
}

#[test]
fn b22_truncated_data_closes_with_1007_wherever_it_is_cut() {
    let whole = deflate(CHAT.as_bytes());
    for cut in 1..whole.len() - 1 {
        let mut server = server();
        server.receive(&frame(FIN | RSV1 | BINARY, &whole[..cut]));
        assert_eq!(server.error_code(), 1007, "cut at {cut} of {}", whole.len());
    }
}

#[test]
fn b22_an_error_leaves_no_trace_for_the_next_connection() {
    let mut first = server();
    first.receive(&frame(FIN | RSV1 | BINARY, &[0x00, 0x05, 0x00, 0xfa, 0xfe]));
    let mut second = server();
    std::mem::swap(&mut first.shared, &mut second.shared);
    assert_eq!(
        second
            .receive(&frame(FIN | RSV1 | TEXT, &deflate(b"fine")))
            .events(),
        [text("fine")]
    );
}

#[test]
fn b24_a_message_cannot_refer_to_the_one_before() {
    // The second message of a client that takes its context over, against the agreement.
    let mut codec = flate2::Compress::new(flate2::Compression::default(), false);
    let mut deflate = |payload: &[u8]| {
        let mut out = Vec::with_capacity(1000);
        codec
            .compress_vec(payload, &mut out, flate2::FlushCompress::Sync)
            .expect("deflates");
        out.truncate(out.len() - 4);
        out
    };
    let (first, second) = (deflate(CHAT.as_bytes()), deflate(CHAT.as_bytes()));
    let mut server = server();
    assert_eq!(
        server.receive(&frame(FIN | RSV1 | TEXT, &first)).events(),
        [text(CHAT)]
    );
    assert_eq!(
        server.receive(&frame(FIN | RSV1 | TEXT, &second)).error_code(),
        1007
    );
}

#[test]
fn b23_a_connection_keeps_no_window() {
    let mut server = server();
    server.receive(&frame(FIN | RSV1 | BINARY, &deflate(&vec![b'a'; 30_000])));
    assert!(server.holds_nothing());
}

#[test]
fn inflated_text_must_be_utf8() {
    let wire = frame(FIN | RSV1 | TEXT, &deflate(b"caf\xe9"));
    assert_eq!(server().receive(&wire).error_code(), 1007);
}
