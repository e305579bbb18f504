//! However the bytes are cut into reads, the events, the error and the answers are the same.

use gateway_core::protocol::Limits;
use proptest::prelude::*;

use crate::peer::*;

/// A stream of frames: mostly legal, sometimes broken.
fn stream() -> impl Strategy<Value = Vec<u8>> {
    let payload = prop_oneof![
        8 => proptest::collection::vec(any::<u8>(), 0..40),
        4 => "\\PC{0,30}".prop_map(String::into_bytes),
        2 => proptest::collection::vec(any::<u8>(), 120..300),
        1 => proptest::collection::vec(Just(b'a'), 65_530..65_600),
    ];
    let first = prop_oneof![
        20 => proptest::sample::select(vec![TEXT, BINARY, CONT, FIN | TEXT, FIN | BINARY, FIN | CONT]),
        10 => proptest::sample::select(vec![FIN | PING, FIN | PONG, FIN | RSV1 | TEXT, RSV1 | BINARY]),
        1 => any::<u8>(),
    ];
    let frame = (first, payload, any::<bool>()).prop_map(|(first, payload, close)| match first {
        _ if first & RSV1 != 0 => frame(first, &deflate(&payload)),
        first if close && first == FIN | PONG => frame(FIN | CLOSE, &payload),
        first => frame(first, &payload),
    });
    proptest::collection::vec(frame, 0..12).prop_map(|frames| frames.concat())
}

/// Events, close code of the error, frames sent, frames counted.
type Outcome = (Vec<Seen>, u16, Vec<(u8, Vec<u8>)>, u32);

fn outcome(wire: &[u8], cuts: &[usize]) -> Outcome {
    let limits = Limits {
        max_message_bytes: 65_560,
        max_empty_fragments: 3,
        ..Limits::default()
    };
    let mut server = Server::with(limits, COMPRESSED);
    let mut start = 0;
    for cut in cuts.iter().copied().chain([wire.len()]) {
        let end = cut.clamp(start, wire.len());
        server.receive(&wire[start..end]);
        start = end;
    }
    (
        server.events(),
        server.error_code(),
        server.sent(),
        server.connection.take_frames_received(),
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_split_gives_the_same_events(
        wire in stream(),
        mut cuts in proptest::collection::vec(0..200_usize, 0..60),
    ) {
        cuts.sort_unstable();
        let whole = outcome(&wire, &[]);
        prop_assert_eq!(&outcome(&wire, &cuts), &whole);
        if wire.len() < 2000 {
            let each: Vec<usize> = (1..wire.len()).collect();
            prop_assert_eq!(&outcome(&wire, &each), &whole);
        }
    }
}
