//! permessage-deflate: never over a limit, nothing read that is not there, and the way back.

use std::io::Read;
use std::time::Instant;

use gateway_core::protocol::{Agreement, Connection, Event, Limits, Role, Shared, encode_client_message};

const LIMITS: Limits = Limits {
    max_message_bytes: 100_000,
    max_empty_fragments: 3,
    max_inflate_ratio: 50,
    min_compress_bytes: 0,
};

/// The first byte chooses the window, the rest is both a compressed payload and a plain one.
pub fn deflate(data: &[u8]) {
    let Some((choice, payload)) = data.split_first() else {
        return;
    };
    let mut shared = Shared::new(LIMITS);
    for _ in 0..2 {
        // Twice: the codec must not remember the first time.
        inflate_agrees_with_a_stream_decoder(payload, &mut shared);
    }
    let agreement = Agreement {
        server_max_window_bits: 15,
        client_max_window_bits: 9 + choice % 7,
    };
    let mut wire = Vec::new();
    encode_client_message(
        payload,
        false,
        Some(agreement),
        [1, 2, 3, 4],
        &mut shared,
        &mut wire,
    );
    assert_eq!(
        receive(&mut wire, agreement, &mut shared),
        Ok(payload.to_vec()),
        "the way back"
    );
}

fn inflate_agrees_with_a_stream_decoder(payload: &[u8], shared: &mut Shared) {
    let Ok(len) = u16::try_from(payload.len()) else {
        return;
    };
    let mut wire = vec![0xc2, 0xfe];
    if len < 126 {
        wire[1] = 0x80 | len.to_be_bytes()[1];
    } else {
        wire.extend(len.to_be_bytes());
    }
    wire.extend([0; 4]);
    wire.extend_from_slice(payload);
    let agreement = Agreement {
        server_max_window_bits: 15,
        client_max_window_bits: 15,
    };
    match receive(&mut wire, agreement, shared) {
        Ok(inflated) => {
            assert!(inflated.len() <= LIMITS.max_message_bytes);
            assert!(inflated.len() <= 65_536.max(payload.len() * LIMITS.max_inflate_ratio));
            assert_eq!(inflated, stream_decoder(payload));
        }
        Err(code) => assert!(matches!(code, 1007 | 1009)),
    }
}

/// What a decoder makes of it that goes byte by byte, from one final block to the next.
fn stream_decoder(payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    if payload.is_empty() {
        return out;
    }
    let whole = [payload, &[0, 0, 0xff, 0xff, 1, 0, 0, 0xff, 0xff]].concat();
    let mut rest = whole.as_slice();
    while rest.len() > 9 {
        let mut decoder = flate2::bufread::DeflateDecoder::new(rest);
        decoder.read_to_end(&mut out).expect("what we inflate, others do");
        rest = decoder.into_inner();
    }
    out
}

/// The one message in `wire`, or the close code of the error.
fn receive(wire: &mut [u8], agreement: Agreement, shared: &mut Shared) -> Result<Vec<u8>, u16> {
    let now = Instant::now();
    let mut connection = Connection::new(Role::Server, Some(agreement), 1.0, now);
    let mut message = None;
    let mut sink = |event: Event<'_>| {
        if let Event::Message { payload, .. } = event {
            message = Some(payload.to_vec());
        }
    };
    let result = connection.receive_data(wire, now, shared, &mut sink);
    result
        .map(|()| message.expect("one message"))
        .map_err(|error| error.close_code)
}
