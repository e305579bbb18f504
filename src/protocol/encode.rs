//! Outgoing messages to frames (§5.2, RFC 7692 §7.2.1).

use bytes::Bytes;

use super::frame::{Header, MAX_HEADER, Opcode};
use super::{Agreement, Shared, mask};

/// Makes the one frame of a server's message; clones of it are shared by all its receivers.
///
/// Compressed if `agreement` allows it, the payload has at least `min_compress_bytes`, and it gets smaller.
/// Connections whose agreements have the same `server_max_window_bits` can share the frame, and so can all
/// connections without an agreement.
#[must_use]
pub fn encode_message(
    payload: &[u8],
    is_text: bool,
    agreement: Option<Agreement>,
    shared: &mut Shared,
) -> Bytes {
    let window_bits = agreement.map(|agreement| agreement.server_max_window_bits);
    let (header, payload) = prepare(payload, is_text, window_bits, shared);
    let mut frame = Vec::with_capacity(header.encoded_len() + payload.len());
    header.write(&mut frame);
    frame.extend_from_slice(payload);
    frame.into()
}

/// Appends the one frame of a client's message, masked with `masking_key` (§5.3).
pub fn encode_client_message(
    payload: &[u8],
    is_text: bool,
    agreement: Option<Agreement>,
    masking_key: [u8; 4],
    shared: &mut Shared,
    out: &mut Vec<u8>,
) {
    let window_bits = agreement.map(|agreement| agreement.client_max_window_bits);
    let (header, payload) = prepare(payload, is_text, window_bits, shared);
    write_frame(
        Header {
            masking_key: Some(masking_key),
            ..header
        },
        payload,
        out,
    );
}

/// Appends a frame; masks the payload if the header has a key.
pub(super) fn write_frame(header: Header, payload: &[u8], out: &mut Vec<u8>) {
    out.reserve(MAX_HEADER + payload.len());
    header.write(out);
    let start = out.len();
    out.extend_from_slice(payload);
    if let Some(key) = header.masking_key {
        mask::apply(&mut out[start..], key, 0);
    }
}

/// The header of a message's frame, and its payload, compressed if that pays.
fn prepare<'a>(
    payload: &'a [u8],
    is_text: bool,
    window_bits: Option<u8>,
    shared: &'a mut Shared,
) -> (Header, &'a [u8]) {
    let opcode = if is_text { Opcode::Text } else { Opcode::Binary };
    let Shared {
        limits,
        codecs,
        scratch,
    } = shared;
    match window_bits {
        Some(bits)
            if payload.len() >= limits.min_compress_bytes && codecs.compress(payload, bits, scratch) =>
        {
            (
                Header {
                    rsv1: true,
                    ..Header::new(opcode, scratch.len())
                },
                scratch,
            )
        }
        _ => (Header::new(opcode, payload.len()), payload),
    }
}
