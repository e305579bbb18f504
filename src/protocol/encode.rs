//! Outgoing messages to frames (§5.2, RFC 7692 §7.2.1).

use bytes::Bytes;

use super::{Agreement, Shared};

/// Makes the one frame of a server's message; clones of it are shared by all its receivers.
///
/// Compressed if `agreement` allows it, the payload has at least `min_compress_bytes`, and it gets smaller.
/// Connections whose agreements have the same `server_max_window_bits` can share the frame, and so can all
/// connections without an agreement.
#[must_use]
pub fn encode_message(
    _payload: &[u8],
    _is_text: bool,
    _agreement: Option<Agreement>,
    _shared: &mut Shared,
) -> Bytes {
    todo!()
}

/// Appends the one frame of a client's message, masked with `masking_key` (§5.3).
pub fn encode_client_message(
    _payload: &[u8],
    _is_text: bool,
    _agreement: Option<Agreement>,
    _masking_key: [u8; 4],
    _shared: &mut Shared,
    _out: &mut Vec<u8>,
) {
    todo!()
}
