//! §5.4 and §8.1: fragments, and text as UTF-8.

use gateway_core::protocol::Limits;

use crate::peer::*;

#[test]
fn fragments_are_joined() {
    let wire = [
        frame(TEXT, b"one "),
        frame(CONT, b"two "),
        frame(FIN | CONT, b"three"),
    ]
    .concat();
    let mut server = Server::new();
    assert_eq!(server.receive(&wire).events(), [text("one two three")]);
    assert_eq!(server.connection.take_frames_received(), 3);
    assert!(server.holds_nothing());
}

#[test]
fn b14_a_continuation_without_a_start_closes_with_1002() {
    for first in [CONT, FIN | CONT] {
        assert_eq!(Server::new().receive(&frame(first, b"x")).error_code(), 1002);
    }
    let mut server = Server::new();
    let wire = [
        frame(TEXT, b"a"),
        frame(FIN | CONT, b"b"),
        frame(FIN | CONT, b"c"),
    ]
    .concat();
    assert_eq!(server.receive(&wire).events(), [text("ab")]);
    assert_eq!(server.error_code(), 1002);
}

#[test]
fn b14_a_new_message_inside_a_message_closes_with_1002() {
    for first in [TEXT, BINARY, FIN | TEXT, FIN | BINARY] {
        let mut server = Server::new();
        server.receive(&frame(TEXT, b"a")).receive(&frame(first, b"b"));
        assert_eq!(server.error_code(), 1002);
        assert_eq!(server.events(), []);
    }
}

#[test]
fn b15_endless_fragments_close_with_1009_at_the_limit() {
    let limits = Limits {
        max_message_bytes: 1000,
        ..Limits::default()
    };
    let mut server = Server::with(limits, None);
    server.receive(&frame(BINARY, b"1"));
    for _ in 1..1000 {
        server.receive(&frame(CONT, b"1"));
        assert_eq!(server.error, None);
    }
    assert!(server.connection.buffered_bytes() < 4096);
    assert_eq!(server.receive(&frame(CONT, b"1")).error_code(), 1009);
    assert_eq!(server.sent_close(), 1009);
    assert!(server.holds_nothing());
}

#[test]
fn b15_a_fragment_over_the_rest_of_the_limit_closes_with_1009_on_its_header() {
    let limits = Limits {
        max_message_bytes: 1000,
        ..Limits::default()
    };
    let mut server = Server::with(limits, None);
    server.receive(&frame(BINARY, &[0; 600]));
    assert_eq!(server.receive(&raw_frame(CONT, 401, b"")).error_code(), 1009);
}

#[test]
fn b15_sixteen_empty_fragments_are_enough() {
    let mut server = Server::new();
    server.receive(&frame(TEXT, b""));
    for _ in 1..16 {
        server.receive(&frame(CONT, b""));
    }
    assert_eq!(server.receive(&frame(FIN | CONT, b"")).events(), [text("")]);
    server.receive(&frame(TEXT, b"x"));
    for _ in 0..16 {
        server.receive(&frame(CONT, b""));
        assert_eq!(server.error, None);
    }
    assert_eq!(server.receive(&frame(CONT, b"")).error_code(), 1008);
}

#[test]
fn b15_every_fragment_counts_as_a_frame() {
    let mut server = Server::new();
    server.receive_in(
        1,
        &[frame(TEXT, b""), frame(CONT, b""), frame(FIN | PING, b"x")].concat(),
    );
    assert_eq!(server.connection.take_frames_received(), 3);
}

#[test]
fn b17_text_that_is_not_utf8_closes_with_1007() {
    let bad: [&[u8]; 8] = [
        b"\xff",
        b"\xc0\xaf",
        b"\xe0\x80\xaf",
        b"\xed\xa0\x80",
        b"\xf4\x90\x80\x80",
        b"\xf8\x88\x80\x80\x80",
        b"caf\xe9",
        b"\xe2\x82",
    ];
    for payload in bad {
        let mut server = Server::new();
        assert_eq!(
            server.receive(&frame(FIN | TEXT, payload)).error_code(),
            1007,
            "{payload:x?}"
        );
        assert_eq!(server.sent_close(), 1007);
        assert_eq!(server.events(), []);
        let mut server = Server::new();
        server
            .receive(&frame(TEXT, b"ok "))
            .receive(&frame(FIN | CONT, payload));
        assert_eq!(server.error_code(), 1007, "{payload:x?} in a fragment");
    }
}

#[test]
fn b17_a_character_may_be_split_between_fragments() {
    let euro = "€".as_bytes();
    let wire = [
        frame(TEXT, &euro[..1]),
        frame(CONT, &euro[1..2]),
        frame(FIN | CONT, &euro[2..]),
    ]
    .concat();
    assert_eq!(Server::new().receive(&wire).events(), [text("€")]);
}

#[test]
fn b17_bad_text_fails_in_the_middle_of_a_message() {
    let mut server = Server::new();
    assert_eq!(server.receive(&frame(TEXT, b"ok\xf4")).error, None);
    assert_eq!(server.receive(&frame(CONT, b"\x90")).error_code(), 1007);
    // In the middle of a frame, too.
    let mut server = Server::new();
    assert_eq!(
        server
            .receive(&raw_frame(FIN | TEXT, 1000, b"ok\xed\xa0"))
            .error_code(),
        1007
    );
}

#[test]
fn binary_messages_may_hold_any_bytes() {
    let payload: Vec<u8> = (0..=255).collect();
    assert_eq!(
        Server::new().receive(&frame(FIN | BINARY, &payload)).events(),
        [binary(&payload)]
    );
}
