//! §5.2 and §5.3: frames and their headers.

use gateway_core::protocol::{Limits, Phase};

use crate::peer::*;

#[test]
fn a_masked_text_frame_is_a_message() {
    // The example of §5.7, byte by byte.
    let wire = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
    assert_eq!(Server::new().receive(&wire).events(), [text("Hello")]);
    assert_eq!(Server::new().receive_in(1, &wire).events(), [text("Hello")]);
}

#[test]
fn many_frames_in_one_read_come_in_order() {
    let wire: Vec<u8> = (0..100)
        .flat_map(|i| frame(FIN | TEXT, format!("{i}").as_bytes()))
        .collect();
    let mut server = Server::new();
    let expected: Vec<_> = (0..100).map(|i| text(&i.to_string())).collect();
    assert_eq!(server.receive(&wire).events(), expected);
    assert_eq!(server.connection.take_frames_received(), 100);
    assert_eq!(server.connection.take_frames_received(), 0);
    assert!(server.holds_nothing());
}

#[test]
fn b10_reserved_bits_without_their_extension_close_with_1002() {
    for bits in [0x10, 0x20, 0x30, 0x40, 0x50, 0x60, 0x70] {
        for opcode in [CONT, TEXT, BINARY, CLOSE, PING, PONG] {
            let mut server = Server::new();
            server.receive(&frame(FIN | bits | opcode, b""));
            assert_eq!(server.error_code(), 1002, "bits {bits:#x}, opcode {opcode}");
            assert_eq!(server.sent_close(), 1002);
        }
    }
}

#[test]
fn b10_reserved_bits_2_and_3_close_with_1002_under_compression_too() {
    for bits in [0x10, 0x20, 0x30, 0x50, 0x60, 0x70] {
        let mut server = Server::with(Limits::default(), COMPRESSED);
        assert_eq!(
            server.receive(&frame(FIN | bits | TEXT, b"")).error_code(),
            1002,
            "bits {bits:#x}"
        );
    }
}

#[test]
fn b10_reserved_opcodes_close_with_1002() {
    for opcode in [3, 4, 5, 6, 7, 11, 12, 13, 14, 15] {
        let mut server = Server::new();
        assert_eq!(
            server.receive(&frame(FIN | opcode, b"x")).error_code(),
            1002,
            "opcode {opcode}"
        );
        assert_eq!(server.sent_close(), 1002);
    }
}

#[test]
fn b11_an_unmasked_frame_closes_with_1002() {
    let mut server = Server::new();
    assert_eq!(server.receive(&[0x81, 0x02, b'h', b'i']).error_code(), 1002);
}

#[test]
fn b11_a_masking_key_of_zeros_is_legal() {
    let mut server = Server::new();
    assert_eq!(
        server.receive(&[0x81, 0x82, 0, 0, 0, 0, b'h', b'i']).events(),
        [text("hi")]
    );
}

#[test]
fn b12_a_length_that_is_not_minimal_closes_with_1002() {
    for len in [0_u16, 1, 125] {
        let mut wire = vec![FIN | BINARY, 0x80 | 126];
        wire.extend(len.to_be_bytes());
        wire.extend([0; 4]);
        assert_eq!(
            Server::new().receive(&wire).error_code(),
            1002,
            "16 bits for {len}"
        );
    }
    for len in [0_u64, 125, 126, 0xffff] {
        let mut wire = vec![FIN | BINARY, 0x80 | 127];
        wire.extend(len.to_be_bytes());
        wire.extend([0; 4]);
        assert_eq!(
            Server::new().receive(&wire).error_code(),
            1002,
            "64 bits for {len}"
        );
    }
}

#[test]
fn b12_a_length_with_its_top_bit_set_closes_with_1002() {
    for len in [1 << 63, u64::MAX] {
        let mut server = Server::new();
        assert_eq!(
            server.receive(&raw_frame(FIN | BINARY, len, b"")).error_code(),
            1002
        );
    }
}

#[test]
fn b12_a_length_over_the_limit_closes_with_1009_on_the_header() {
    let limits = Limits {
        max_message_bytes: 1000,
        ..Limits::default()
    };
    for len in [1001, 65_536, 1 << 40, (1 << 63) - 1] {
        for first in [FIN | BINARY, TEXT] {
            let mut server = Server::with(limits, None);
            server.receive(&raw_frame(first, len, b""));
            assert_eq!(server.error_code(), 1009, "length {len}");
            assert_eq!(server.sent_close(), 1009);
            assert!(server.holds_nothing());
        }
    }
    let mut server = Server::with(limits, None);
    assert_eq!(
        server.receive(&frame(FIN | BINARY, &[7; 1000])).events(),
        [binary(&[7; 1000])]
    );
}

#[test]
fn b12_memory_follows_the_bytes_received_and_not_the_length_declared() {
    let limits = Limits {
        max_message_bytes: usize::MAX,
        ..Limits::default()
    };
    let mut server = Server::with(limits, None);
    server.receive(&raw_frame(FIN | BINARY, (1 << 63) - 1, &[1; 100]));
    assert_eq!(server.error_code(), 0);
    assert_eq!(server.connection.phase(), Phase::Open);
    assert!(server.connection.buffered_bytes() < 1024);
}

#[test]
fn b14_a_compressed_continuation_closes_with_1002() {
    let mut server = Server::with(Limits::default(), COMPRESSED);
    server
        .receive(&frame(TEXT, b"a"))
        .receive(&frame(FIN | RSV1 | CONT, b"b"));
    assert_eq!(server.error_code(), 1002);
}

#[test]
fn errors_are_told_as_early_as_the_bytes_tell() {
    let mut server = Server::new();
    assert_eq!(server.receive(&[0xf1, 0x80]).error_code(), 1002);
    let mut server = Server::new();
    assert_eq!(server.receive(&[0x89, 0xfe]).error_code(), 1002);
}

#[test]
fn nothing_is_read_after_an_error() {
    let mut server = Server::new();
    let wire = [
        frame(FIN | TEXT, b"before"),
        frame(FIN | 3, b""),
        frame(FIN | TEXT, b"after"),
    ]
    .concat();
    server.receive(&wire).receive(&frame(FIN | TEXT, b"later"));
    assert_eq!(server.events(), [text("before")]);
    assert_eq!(server.sent_close(), 1002);
}
