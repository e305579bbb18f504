//! §5.5.1 and §7: the closing handshake.

use gateway_core::protocol::Phase;

use crate::peer::*;

#[test]
fn a_close_frame_is_answered_with_its_code() {
    let mut server = Server::new();
    server.receive(&close_frame(1000, b"bye"));
    assert_eq!(server.events(), [closed(1000, "bye")]);
    assert_eq!(server.connection.phase(), Phase::Closed);
    assert_eq!(server.sent_close(), 1000);
}

#[test]
fn a_close_frame_without_a_code_is_answered_without_one() {
    let mut server = Server::new();
    server.receive(&frame(FIN | CLOSE, b""));
    assert_eq!(server.events(), [closed(1005, "")]);
    assert_eq!(server.sent(), [(FIN | CLOSE, vec![])]);
}

#[test]
fn our_close_waits_for_the_peers() {
    let mut server = Server::new();
    server
        .connection
        .close(4008, "too slow", server.now)
        .expect("a legal code");
    assert_eq!(server.connection.phase(), Phase::Closing);
    assert_eq!(server.sent(), [(FIN | CLOSE, b"\x0f\xa8too slow".to_vec())]);
    server.receive(&close_frame(4008, b""));
    assert_eq!(server.events(), [closed(4008, "")]);
    assert_eq!(server.connection.phase(), Phase::Closed);
    assert_eq!(server.sent(), []);
}

#[test]
fn what_comes_after_our_close_is_dropped_until_the_peers_close() {
    let mut server = Server::new();
    server.receive(&frame(TEXT, b"begun"));
    server
        .connection
        .close(1000, "", server.now)
        .expect("a legal code");
    server.sent();
    let rest = [
        frame(CONT, b"\xff not even UTF-8"),
        frame(FIN | PING, b"?"),
        frame(FIN | CONT, b"."),
        frame(FIN | BINARY, b"whole"),
        frame(FIN | PONG, b""),
        close_frame(1001, b"ok"),
    ];
    server.receive_in(3, &rest.concat());
    assert_eq!(server.error, None);
    assert_eq!(server.events(), [closed(1001, "ok")]);
    assert_eq!(server.sent(), []);
    assert!(server.holds_nothing());
}

#[test]
fn b19_a_peer_that_keeps_sending_after_our_close_costs_no_memory() {
    let mut server = Server::new();
    server
        .connection
        .close(1000, "", server.now)
        .expect("a legal code");
    server.receive(&frame(BINARY, &[0; 60_000]));
    for _ in 0..1000 {
        server.receive(&frame(CONT, &[0; 60_000]));
        assert!(server.connection.buffered_bytes() < 1024);
    }
    assert_eq!(server.events(), []);
}

#[test]
fn our_close_lets_go_of_a_message_that_has_begun() {
    let mut server = Server::new();
    server.receive(&frame(BINARY, &[0; 60_000]));
    assert!(server.connection.buffered_bytes() > 60_000);
    server
        .connection
        .close(1000, "", server.now)
        .expect("a legal code");
    assert!(server.connection.buffered_bytes() < 1024);
}

#[test]
fn b18_a_close_payload_of_one_byte_closes_with_1002() {
    let mut server = Server::new();
    assert_eq!(server.receive(&frame(FIN | CLOSE, b"\x03")).error_code(), 1002);
    assert_eq!(server.sent_close(), 1002);
}

#[test]
fn b18_codes_that_must_not_be_sent_close_with_1002_and_are_not_echoed() {
    for code in [
        0,
        1,
        999,
        1004,
        1005,
        1006,
        1015,
        1016,
        1100,
        2000,
        2999,
        5000,
        u16::MAX,
    ] {
        let mut server = Server::new();
        assert_eq!(
            server.receive(&close_frame(code, b"")).error_code(),
            1002,
            "{code}"
        );
        assert_eq!(server.sent_close(), 1002);
        assert_eq!(server.events(), []);
    }
}

#[test]
fn codes_that_may_be_sent_are_echoed() {
    for code in (1000..=1003).chain(1007..=1014).chain([3000, 3999, 4000, 4999]) {
        let mut server = Server::new();
        assert_eq!(
            server.receive(&close_frame(code, b"")).events(),
            [closed(code, "")]
        );
        assert_eq!(server.sent_close(), code);
    }
}

#[test]
fn b18_a_reason_over_123_bytes_closes_with_1002() {
    assert_eq!(
        Server::new()
            .receive(&close_frame(1000, &[b'x'; 124]))
            .error_code(),
        1002
    );
    assert_eq!(
        Server::new().receive(&close_frame(1000, &[b'x'; 123])).error,
        None
    );
}

#[test]
fn b17_a_reason_that_is_not_utf8_closes_with_1007() {
    let mut server = Server::new();
    assert_eq!(
        server.receive(&close_frame(1000, b"\xed\xa0\x80")).error_code(),
        1007
    );
    assert_eq!(server.sent_close(), 1007);
}

#[test]
fn b18_data_after_a_close_frame_is_ignored() {
    let mut server = Server::new();
    let wire = [
        close_frame(1000, b""),
        frame(FIN | TEXT, b"late"),
        vec![0xff; 100],
    ]
    .concat();
    server.receive(&wire).receive(&[0xff; 100]);
    assert_eq!(server.events(), [closed(1000, "")]);
    assert_eq!(server.error, None);
}

#[test]
fn closing_twice_sends_one_close_frame() {
    let mut server = Server::new();
    server
        .connection
        .close(1000, "", server.now)
        .expect("a legal code");
    server
        .connection
        .close(1001, "", server.now)
        .expect("a legal code");
    assert_eq!(server.sent_close(), 1000);
    assert_eq!(server.sent(), []);
}

#[test]
fn an_error_while_closing_adds_no_second_close_frame() {
    let mut server = Server::new();
    server
        .connection
        .close(1000, "", server.now)
        .expect("a legal code");
    assert_eq!(server.receive(&frame(FIN | 3, b"")).error_code(), 1002);
    assert_eq!(server.sent_close(), 1000);
}

#[test]
fn a_close_that_must_not_be_sent_is_the_callers_mistake() {
    let mut server = Server::new();
    for code in [0, 999, 1004, 1005, 1006, 1015, 2999, 5000] {
        assert!(server.connection.close(code, "", server.now).is_err(), "{code}");
    }
    assert!(
        server
            .connection
            .close(1000, &"x".repeat(124), server.now)
            .is_err()
    );
    assert_eq!(server.connection.phase(), Phase::Open);
    assert!(server.holds_nothing());
}

#[test]
fn a_pong_that_is_due_goes_before_the_close_frame() {
    let mut server = Server::new();
    server.receive(&[frame(FIN | PING, b"1"), close_frame(1000, b"")].concat());
    assert_eq!(
        server.sent(),
        [(FIN | PONG, b"1".to_vec()), (FIN | CLOSE, vec![3, 0xe8])]
    );
}
