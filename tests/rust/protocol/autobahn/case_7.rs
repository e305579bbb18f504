//! 7 close handling.

use super::Case;
use crate::peer::*;

#[test]
fn case_7_1_frames_around_a_close() {
    let (hello, close) = (frame(FIN | TEXT, b"Hello World!"), close_frame(1000, b""));
    let after = |id: &str, late: Vec<u8>, expected: Vec<Seen>| {
        let reads = [hello.clone(), close.clone(), late];
        for case in [
            Case::fails(id, &reads, expected.clone(), 1000),
            Case::fails(id, &reads, expected, 1000).chopped(1),
        ] {
            case.run();
        }
    };
    let echoed = || vec![text("Hello World!")];
    after("7.1.1", vec![], echoed());
    after("7.1.2", close_frame(1000, b""), echoed());
    after("7.1.3", frame(FIN | PING, b""), echoed());
    after("7.1.4", frame(FIN | TEXT, b"late"), echoed());
    let inside = [
        frame(TEXT, b"fragment1"),
        close.clone(),
        frame(FIN | CONT, b"fragment2"),
    ];
    Case::fails("7.1.5", &inside, vec![], 1000).run();
    let big = "BAsd7&jh23".repeat(26_214);
    let flood = [
        frame(FIN | TEXT, big.as_bytes()),
        hello.clone(),
        close.clone(),
        frame(FIN | PING, b""),
    ];
    Case::fails("7.1.6", &flood, vec![text(&big), text("Hello World!")], 1000).run();
}

#[test]
fn case_7_3_payloads() {
    let reason = |len: usize| vec![b'*'; len];
    Case::fails("7.3.1", &[frame(FIN | CLOSE, b"")], vec![], 1005).run();
    Case::fails("7.3.2", &[frame(FIN | CLOSE, b"a")], vec![], 1002).run();
    Case::fails("7.3.3", &[close_frame(1000, b"")], vec![], 1000).run();
    Case::fails("7.3.4", &[close_frame(1000, b"Hello World!")], vec![], 1000).run();
    Case::fails("7.3.5", &[close_frame(1000, &reason(123))], vec![], 1000).run();
    Case::fails("7.3.6", &[close_frame(1000, &reason(124))], vec![], 1002).run();
}

#[test]
fn case_7_5_reason_that_is_not_utf8() {
    let reason = [KOSME, b"\xed\xa0\x80edited"].concat();
    Case::fails("7.5.1", &[close_frame(1000, &reason)], vec![], 1007).run();
}

const KOSME: &[u8] = b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5";

#[test]
fn case_7_7_valid_codes() {
    let codes = [
        1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999,
    ];
    for (i, code) in codes.into_iter().enumerate() {
        Case::fails(&format!("7.7.{}", i + 1), &[close_frame(code, b"")], vec![], code).run();
    }
}

#[test]
fn case_7_9_and_7_13_invalid_codes() {
    let codes = [0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999];
    for (i, code) in codes.into_iter().enumerate() {
        Case::fails(&format!("7.9.{}", i + 1), &[close_frame(code, b"")], vec![], 1002).run();
    }
    for (id, code) in [("7.13.1", 5000), ("7.13.2", u16::MAX)] {
        Case::fails(id, &[close_frame(code, b"")], vec![], 1002).run();
    }
}
