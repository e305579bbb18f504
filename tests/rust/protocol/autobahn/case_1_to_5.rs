//! 1 framing, 2 pings and pongs, 3 reserved bits, 4 opcodes, 5 fragmentation.

use super::Case;
use crate::peer::*;

const SIZES: [usize; 7] = [0, 125, 126, 127, 128, 65_535, 65_536];

#[test]
fn case_1_framing() {
    for (i, size) in SIZES.into_iter().enumerate() {
        let content = "*".repeat(size);
        let wire = [frame(FIN | TEXT, content.as_bytes())];
        Case::clean(&format!("1.1.{}", i + 1), &wire, vec![text(&content)]).run();
        let content = vec![0xfe; size];
        let wire = [frame(FIN | BINARY, &content)];
        Case::clean(&format!("1.2.{}", i + 1), &wire, vec![binary(&content)]).run();
    }
    let content = "*".repeat(65_536);
    let wire = [frame(FIN | TEXT, content.as_bytes())];
    Case::clean("1.1.8", &wire, vec![text(&content)])
        .chopped(997)
        .run();
    let content = vec![0xfe; 65_536];
    Case::clean("1.2.8", &[frame(FIN | BINARY, &content)], vec![binary(&content)])
        .chopped(997)
        .run();
}

#[test]
fn case_2_pings_and_pongs() {
    let ping = |payload: &[u8]| frame(FIN | PING, payload);
    let unsolicited = |payload: &[u8]| frame(FIN | PONG, payload);
    let bytes = [0x00, 0xff, 0xfe, 0xfd, 0xfc, 0xfb, 0x00, 0xff];
    Case::clean("2.1", &[ping(b"")], vec![pong(b"")]).run();
    Case::clean("2.2", &[ping(b"Hello, world!")], vec![pong(b"Hello, world!")]).run();
    Case::clean("2.3", &[ping(&bytes)], vec![pong(&bytes)]).run();
    Case::clean("2.4", &[ping(&[0xfe; 125])], vec![pong(&[0xfe; 125])]).run();
    Case::fails("2.5", &[ping(&[0xfe; 126])], vec![], 1002).run();
    Case::clean("2.6", &[ping(&[0xfe; 125])], vec![pong(&[0xfe; 125])])
        .chopped(1)
        .run();
    Case::clean("2.7", &[unsolicited(b"")], vec![]).run();
    Case::clean("2.8", &[unsolicited(b"unsolicited pong payload")], vec![]).run();
    let both = [unsolicited(b"unsolicited pong payload"), ping(b"ping payload")];
    Case::clean("2.9", &both, vec![pong(b"ping payload")]).run();
    let payloads: Vec<String> = (0..10).map(|i| format!("payload-{i}")).collect();
    let pings: Vec<_> = payloads.iter().map(|payload| ping(payload.as_bytes())).collect();
    let pongs: Vec<_> = payloads.iter().map(|payload| pong(payload.as_bytes())).collect();
    Case::clean("2.10", &pings, pongs.clone()).in_one_read().run();
    Case::clean("2.11", &pings, pongs).chopped(1).run();
}

#[test]
fn case_3_reserved_bits() {
    let small = b"Hello, world!";
    let (good, ping) = (frame(FIN | TEXT, small), frame(FIN | PING, b""));
    let bad = |rsv: u8, opcode: u8| frame(FIN | rsv << 4 | opcode, small);
    Case::fails("3.1", &[bad(1, TEXT)], vec![], 1002).run();
    let echoed = || vec![text("Hello, world!")];
    Case::fails("3.2", &[good.clone(), bad(2, TEXT), ping.clone()], echoed(), 1002)
        .in_one_read()
        .run();
    Case::fails("3.3", &[good.clone(), bad(3, TEXT), ping.clone()], echoed(), 1002).run();
    Case::fails("3.4", &[good, bad(4, TEXT), ping], echoed(), 1002)
        .chopped(1)
        .run();
    Case::fails("3.5", &[bad(5, BINARY)], vec![], 1002).run();
    Case::fails("3.6", &[bad(6, PING)], vec![], 1002).run();
    Case::fails("3.7", &[bad(7, CLOSE)], vec![], 1002).run();
}

#[test]
fn case_4_opcodes() {
    let small = b"Hello, world!";
    let (good, ping) = (frame(FIN | TEXT, small), frame(FIN | PING, b""));
    for (section, opcodes) in [(1, [3, 4, 5, 6, 7]), (2, [11, 12, 13, 14, 15])] {
        let id = |case: usize| format!("4.{section}.{case}");
        let [first, second, third, fourth, fifth] = opcodes;
        let after_text = |opcode, payload: &[u8]| [good.clone(), frame(FIN | opcode, payload), ping.clone()];
        let echoed = || vec![text("Hello, world!")];
        Case::fails(&id(1), &[frame(FIN | first, b"")], vec![], 1002).run();
        Case::fails(&id(2), &[frame(FIN | second, b"reserved opcode")], vec![], 1002).run();
        Case::fails(&id(3), &after_text(third, b""), echoed(), 1002).run();
        Case::fails(&id(4), &after_text(fourth, small), echoed(), 1002).run();
        Case::fails(&id(5), &after_text(fifth, small), echoed(), 1002)
            .chopped(1)
            .run();
    }
}

/// Runs the case frame by frame, in one read, and octet by octet.
fn every_way(ids: [&str; 3], case: impl Fn(&str) -> Case) {
    case(ids[0]).in_one_read().run();
    case(ids[1]).run();
    case(ids[2]).chopped(1).run();
}

#[test]
fn case_5_1_to_5_8_fragments_and_pings() {
    for (id, opcode) in [("5.1", PING), ("5.2", PONG)] {
        let wire = [frame(opcode, b"fragment1"), frame(FIN | CONT, b"fragment2")];
        Case::fails(id, &wire, vec![], 1002).run();
    }
    let (first, last) = (frame(TEXT, b"fragment1"), frame(FIN | CONT, b"fragment2"));
    let ping = frame(FIN | PING, b"ping payload");
    every_way(["5.3", "5.4", "5.5"], |id| {
        Case::clean(
            id,
            &[first.clone(), last.clone()],
            vec![text("fragment1fragment2")],
        )
    });
    let wire = [first, ping, last];
    let expected = || vec![pong(b"ping payload"), text("fragment1fragment2")];
    Case::clean("5.6", &[wire.concat()], expected()).run();
    Case::clean("5.7", &wire, expected()).run();
    Case::clean("5.8", &wire, expected()).chopped(1).run();
}

#[test]
fn case_5_9_to_5_14_continuation_without_a_start() {
    for (ids, first) in [
        (["5.9", "5.10", "5.11"], FIN | CONT),
        (["5.12", "5.13", "5.14"], CONT),
    ] {
        every_way(ids, |id| {
            let wire = [
                frame(first, b"non-continuation payload"),
                frame(FIN | TEXT, b"Hello, world!"),
            ];
            Case::fails(id, &wire, vec![], 1002)
        });
    }
}

#[test]
fn case_5_15_to_5_18_fragments_out_of_order() {
    let whole = [frame(TEXT, b"fragment1"), frame(FIN | CONT, b"fragment2")];
    let wire = [
        &whole[..],
        &[frame(CONT, b"fragment3"), frame(FIN | TEXT, b"fragment4")],
    ]
    .concat();
    Case::fails("5.15", &wire, vec![text("fragment1fragment2")], 1002).run();
    for (id, first) in [("5.16", CONT), ("5.17", FIN | CONT)] {
        let once = [
            frame(first, b"fragment1"),
            frame(TEXT, b"fragment2"),
            frame(FIN | CONT, b"fragment3"),
        ];
        Case::fails(id, &[once.clone(), once].concat(), vec![], 1002).run();
    }
    let wire = [frame(TEXT, b"fragment1"), frame(FIN | TEXT, b"fragment2")];
    Case::fails("5.18", &wire, vec![], 1002).run();
}

#[test]
fn case_5_19_and_5_20_pings_inside_a_long_message() {
    let wire = [
        frame(TEXT, b"fragment1"),
        frame(CONT, b"fragment2"),
        frame(FIN | PING, b"pongme 1!"),
        frame(CONT, b"fragment3"),
        frame(CONT, b"fragment4"),
        frame(FIN | PING, b"pongme 2!"),
        frame(FIN | CONT, b"fragment5"),
    ];
    let expected = vec![
        pong(b"pongme 1!"),
        pong(b"pongme 2!"),
        text("fragment1fragment2fragment3fragment4fragment5"),
    ];
    Case::clean("5.19", &wire, expected.clone()).run();
    Case::clean("5.20", &wire, expected).chopped(1).run();
}
