//! §5.5: control frames.

use gateway_core::protocol::Limits;

use crate::peer::*;

#[test]
fn a_ping_is_answered_with_its_payload() {
    let mut server = Server::new();
    server.receive(&frame(FIN | PING, b"are you there"));
    assert_eq!(server.sent(), [(FIN | PONG, b"are you there".to_vec())]);
    assert!(server.holds_nothing());
}

#[test]
fn b13_a_ping_between_fragments_is_answered_at_once() {
    let mut server = Server::new();
    server
        .receive(&frame(TEXT, b"a"))
        .receive(&frame(FIN | PING, b"now"));
    assert_eq!(server.sent(), [(FIN | PONG, b"now".to_vec())]);
    assert_eq!(server.receive(&frame(FIN | CONT, b"b")).events(), [text("ab")]);
}

#[test]
fn b13_a_control_frame_between_fragments_may_be_cut_anywhere() {
    let wire = [
        frame(TEXT, b"a"),
        frame(FIN | PONG, b"middle"),
        frame(FIN | CONT, b"b"),
    ]
    .concat();
    assert_eq!(
        Server::new().receive_in(1, &wire).events(),
        [pong(b"middle"), text("ab")]
    );
}

#[test]
fn b13_a_fragmented_control_frame_closes_with_1002() {
    for opcode in [CLOSE, PING, PONG] {
        assert_eq!(Server::new().receive(&frame(opcode, b"")).error_code(), 1002);
    }
}

#[test]
fn b13_a_control_frame_over_125_bytes_closes_with_1002() {
    for opcode in [CLOSE, PING, PONG] {
        for len in [126, 65_536] {
            let mut server = Server::new();
            server.receive(&frame(FIN | opcode, &vec![b'x'; len]));
            assert_eq!(server.error_code(), 1002);
        }
    }
    let mut server = Server::new();
    assert_eq!(server.receive(&frame(FIN | PING, &[b'x'; 125])).error, None);
    assert_eq!(server.sent(), [(FIN | PONG, vec![b'x'; 125])]);
}

#[test]
fn a_limit_on_messages_does_not_bind_control_frames() {
    let limits = Limits {
        max_message_bytes: 10,
        ..Limits::default()
    };
    let mut server = Server::with(limits, None);
    assert_eq!(
        server.receive(&frame(FIN | PONG, &[1; 125])).events(),
        [pong(&[1; 125])]
    );
}

#[test]
fn b16_a_flood_of_pings_leaves_a_bounded_answer_that_ends_with_the_newest() {
    let mut server = Server::new();
    for i in 0..10_000_u32 {
        let mut payload = [b'x'; 125];
        payload[..4].copy_from_slice(&i.to_be_bytes());
        server.receive(&frame(FIN | PING, &payload));
        assert!(server.connection.buffered_bytes() < 8192);
    }
    let sent = server.sent();
    assert!(sent.len() <= 16, "{} pongs", sent.len());
    assert_eq!(
        sent.last().map(|(_, payload)| payload[..4].to_vec()),
        Some(9999_u32.to_be_bytes().to_vec())
    );
    assert_eq!(server.connection.take_frames_received(), 10_000);
}

#[test]
fn b16_pongs_that_nobody_asked_for_are_told_and_counted() {
    let mut server = Server::new();
    for _ in 0..100 {
        server.receive(&frame(FIN | PONG, b"?"));
    }
    assert_eq!(server.events(), vec![pong(b"?"); 100]);
    assert_eq!(server.connection.take_frames_received(), 100);
    assert_eq!(server.sent(), []);
}

#[test]
fn a_control_frame_cut_in_two_leaves_nothing_behind() {
    for wire in [
        frame(FIN | PING, b"cut"),
        frame(FIN | PONG, b""),
        frame(FIN | TEXT, b""),
    ] {
        for cut in 1..wire.len() {
            let mut server = Server::new();
            server.receive(&wire[..cut]);
            assert!(!server.holds_nothing());
            server.receive(&wire[cut..]).sent();
            assert!(server.holds_nothing(), "cut at {cut}");
        }
    }
}
