//! 6 UTF-8.

use super::Case;
use crate::peer::*;

const KOSME: &[u8] = "κόσμε".as_bytes(); // with U+1F79, as in Markus Kuhn's test
const HELLO: &str = "Hello-µ@ßöäüàá-UTF-8!!";

/// One frame for each piece: the message is whole.
fn fragments(pieces: &[&[u8]]) -> Vec<Vec<u8>> {
    let last = pieces.len() - 1;
    let first = |i| if i == 0 { TEXT } else { CONT } | if i == last { FIN } else { 0 };
    pieces
        .iter()
        .enumerate()
        .map(|(i, piece)| frame(first(i), piece))
        .collect()
}

fn octets(payload: &[u8]) -> Vec<Vec<u8>> {
    fragments(&payload.chunks(1).collect::<Vec<_>>())
}

/// Runs a text in one frame and in fragments of an octet.
fn run(id: &str, payload: &[u8], valid: bool) {
    for frames in [fragments(&[payload]), octets(payload)] {
        match std::str::from_utf8(payload) {
            Ok(content) if valid => Case::clean(id, &frames, vec![text(content)]).run(),
            Err(_) if !valid => Case::fails(id, &frames, vec![], 1007).run(),
            _ => panic!("case {id} is not what it should be: {payload:x?}"),
        }
    }
}

fn run_all(section: &str, valid: bool, payloads: &[&[u8]]) {
    for (i, payload) in payloads.iter().enumerate() {
        run(&format!("{section}.{}", i + 1), payload, valid);
    }
}

#[test]
fn case_6_1_empty_text() {
    Case::clean("6.1.1", &fragments(&[b""]), vec![text("")]).run();
    Case::clean("6.1.2", &fragments(&[b"", b"", b""]), vec![text("")]).run();
    Case::clean(
        "6.1.3",
        &fragments(&[b"", b"middle frame payload", b""]),
        vec![text("middle frame payload")],
    )
    .run();
}

#[test]
fn case_6_2_valid_text_in_fragments() {
    let (hello, split) = (HELLO.as_bytes(), HELLO.find('ö').expect("there"));
    Case::clean("6.2.1", &fragments(&[hello]), vec![text(HELLO)]).run();
    Case::clean(
        "6.2.2",
        &fragments(&[&hello[..split], &hello[split..]]),
        vec![text(HELLO)],
    )
    .run();
    Case::clean("6.2.3", &octets(hello), vec![text(HELLO)]).run();
    run("6.2.4", KOSME, true);
}

#[test]
fn case_6_3_invalid_text() {
    run("6.3", &[KOSME, b"\xed\xa0\x80", b"edited"].concat(), false);
}

#[test]
fn case_6_4_fails_fast() {
    let fails_at = |id: &str, reads: &[Vec<u8>], at: usize| {
        let mut server = Server::new();
        for read in &reads[..at] {
            assert_eq!(server.receive(read).error, None, "case {id}");
        }
        assert_eq!(server.receive(&reads[at]).error_code(), 1007, "case {id}");
    };
    let pieces: [&[u8]; 3] = [KOSME, b"\xf4\x90\x80\x80", b"edited"];
    fails_at("6.4.1", &fragments(&pieces), 1);
    let octets: [&[u8]; 4] = [&[KOSME, b"\xf4"].concat(), b"\x90", b"\x80\x80", b"edited"];
    fails_at("6.4.2", &fragments(&octets), 1);
    // The same inside one frame: the header comes with the first piece.
    let chops = |pieces: &[&[u8]]| {
        let wire = frame(FIN | TEXT, &pieces.concat());
        let mut rest = wire.as_slice();
        let mut reads = Vec::new();
        for (i, piece) in pieces.iter().enumerate() {
            let (read, after) = rest.split_at(piece.len() + if i == 0 { 6 } else { 0 });
            reads.push(read.to_vec());
            rest = after;
        }
        reads
    };
    fails_at("6.4.3", &chops(&pieces), 1);
    fails_at("6.4.4", &chops(&octets), 1);
}

#[test]
fn case_6_5_to_6_7_and_6_9_valid_sequences() {
    run_all(
        "6.5",
        true,
        &[
            b"hello$world",
            "hello¢world".as_bytes(),
            "hello€world".as_bytes(),
            "hello𤭢world".as_bytes(),
            KOSME,
        ],
    );
    for end in 1..=KOSME.len() {
        let prefix = &KOSME[..end];
        run(
            &format!("6.6.{end}"),
            prefix,
            std::str::from_utf8(KOSME).is_ok_and(|kosme| kosme.is_char_boundary(end)),
        );
    }
    run_all(
        "6.7",
        true,
        &[b"\x00", b"\xc2\x80", b"\xe0\xa0\x80", b"\xf0\x90\x80\x80"],
    );
    run_all(
        "6.9",
        true,
        &[b"\x7f", b"\xdf\xbf", b"\xef\xbf\xbf", b"\xf4\x8f\xbf\xbf"],
    );
}

#[test]
fn case_6_8_and_6_10_sequences_longer_than_unicode() {
    run_all(
        "6.8",
        false,
        &[b"\xf8\x88\x80\x80\x80", b"\xfc\x84\x80\x80\x80\x80"],
    );
    run_all(
        "6.10",
        false,
        &[
            b"\xf7\xbf\xbf\xbf",
            b"\xfb\xbf\xbf\xbf\xbf",
            b"\xfd\xbf\xbf\xbf\xbf\xbf",
        ],
    );
}

#[test]
fn case_6_11_other_boundaries() {
    run_all(
        "6.11",
        true,
        &[
            b"\xed\x9f\xbf",
            b"\xee\x80\x80",
            b"\xef\xbf\xbd",
            b"\xf4\x8f\xbf\xbf",
        ],
    );
    run("6.11.5", b"\xf4\x90\x80\x80", false);
}

#[test]
fn case_6_12_unexpected_continuation_bytes() {
    let all: Vec<u8> = (0x80..=0xbf).collect();
    run_all(
        "6.12",
        false,
        &[
            b"\x80",
            b"\xbf",
            b"\x80\xbf",
            b"\x80\xbf\x80",
            b"\x80\xbf\x80\xbf",
            b"\x80\xbf\x80\xbf\x80",
            b"\x80\xbf\x80\xbf\x80\xbf",
            &all,
        ],
    );
}

#[test]
fn case_6_13_lonely_start_bytes() {
    for (i, range) in [0xc0..=0xdf, 0xe0..=0xef, 0xf0..=0xf7, 0xf8..=0xfb, 0xfc..=0xfd]
        .into_iter()
        .enumerate()
    {
        let payload: Vec<u8> = range.flat_map(|byte: u8| [byte, b' ']).collect();
        run(&format!("6.13.{}", i + 1), &payload, false);
    }
}

const MISSING_LAST: [&[u8]; 10] = [
    b"\xc0",
    b"\xe0\x80",
    b"\xf0\x80\x80",
    b"\xf8\x80\x80\x80",
    b"\xfc\x80\x80\x80\x80",
    b"\xdf",
    b"\xef\xbf",
    b"\xf7\xbf\xbf",
    b"\xfb\xbf\xbf\xbf",
    b"\xfd\xbf\xbf\xbf\xbf",
];

#[test]
fn case_6_14_and_6_15_last_continuation_byte_missing() {
    run_all("6.14", false, &MISSING_LAST);
    run("6.15.1", &MISSING_LAST.concat(), false);
}

#[test]
fn case_6_16_impossible_bytes() {
    run_all("6.16", false, &[b"\xfe", b"\xff", b"\xfe\xfe\xff\xff"]);
}

#[test]
fn case_6_17_to_6_19_overlong_sequences() {
    run_all(
        "6.17",
        false,
        &[
            b"\xc0\xaf",
            b"\xe0\x80\xaf",
            b"\xf0\x80\x80\xaf",
            b"\xf8\x80\x80\x80\xaf",
            b"\xfc\x80\x80\x80\x80\xaf",
        ],
    );
    run_all(
        "6.18",
        false,
        &[
            b"\xc1\xbf",
            b"\xe0\x9f\xbf",
            b"\xf0\x8f\xbf\xbf",
            b"\xf8\x87\xbf\xbf\xbf",
            b"\xfc\x83\xbf\xbf\xbf\xbf",
        ],
    );
    run_all(
        "6.19",
        false,
        &[
            b"\xc0\x80",
            b"\xe0\x80\x80",
            b"\xf0\x80\x80\x80",
            b"\xf8\x80\x80\x80\x80",
            b"\xfc\x80\x80\x80\x80\x80",
        ],
    );
}

#[test]
fn case_6_20_and_6_21_surrogates() {
    let single: [&[u8]; 7] = [
        b"\xed\xa0\x80",
        b"\xed\xad\xbf",
        b"\xed\xae\x80",
        b"\xed\xaf\xbf",
        b"\xed\xb0\x80",
        b"\xed\xbe\x80",
        b"\xed\xbf\xbf",
    ];
    run_all("6.20", false, &single);
    let mut case = 0;
    for high in &single[..4] {
        for low in [b"\xed\xb0\x80", b"\xed\xbf\xbf"] {
            case += 1;
            run(&format!("6.21.{case}"), &[*high, low].concat(), false);
        }
    }
}

#[test]
fn case_6_22_and_6_23_characters_that_look_odd_and_are_valid() {
    run_all("6.22", true, &[b"\xef\xbf\xbe", b"\xef\xbf\xbf"]);
    let mut case = 2;
    for plane in 1..=16_u32 {
        for low in [0xfffe, 0xffff] {
            case += 1;
            let noncharacter = char::from_u32(plane << 16 | low)
                .expect("a scalar value")
                .to_string();
            run(&format!("6.22.{case}"), noncharacter.as_bytes(), true);
        }
    }
    for (i, char) in ('\u{fff9}'..='\u{ffff}').enumerate() {
        run(&format!("6.23.{}", i + 1), char.to_string().as_bytes(), true);
    }
}
