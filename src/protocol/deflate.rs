//! permessage-deflate (RFC 7692), always without context takeover.
//!
//! Each message is compressed by itself. So one frame serves all subscribers, a connection keeps no window
//! (up to 300 KB each otherwise), and no secret of one message can be guessed from the length of another.

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use super::Limits;
use super::close::{INVALID_PAYLOAD, MESSAGE_TOO_BIG};
use crate::error::ProtocolError;

/// The name under which the extension is negotiated.
pub const EXTENSION: &str = "permessage-deflate";

/// The windows that zlib can make: it does raw deflate from 9 bits on, and the RFC ends at 15.
const MIN_WINDOW_BITS: u8 = 9;
const MAX_WINDOW_BITS: u8 = 15;
const WINDOWS: usize = (MAX_WINDOW_BITS - MIN_WINDOW_BITS + 1) as usize;

/// What a sync flush ends with, and a message leaves out (RFC 7692 §7.2.1).
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];
/// `TAIL`, then an empty final block: only a message that ends where a block ends makes the stream end here.
const END: [u8; 9] = [0, 0, 0xff, 0xff, 1, 0, 0, 0xff, 0xff];

/// Of 1 KiB and 16 KiB of chat level 3 leaves 382 B (14 µs) and 4,332 B (132 µs), level 1 486 B (5 µs) and 6,347 B
/// (42 µs), level 6 382 B (15 µs) and 3,949 B (266 µs); zlib-rs 0.6.8. A message is compressed once for all.
const LEVEL: u32 = 3;

/// Inflated bytes below which no ratio is judged: a short message of spaces is no attack.
const RATIO_FREE_BYTES: usize = 65_536;

/// What both ends agreed on; decides how messages are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Agreement {
    /// Window of the server's compressor: 9 to 15 bits.
    pub server_max_window_bits: u8,
    /// Window of the client's compressor: 9 to 15 bits.
    pub client_max_window_bits: u8,
}

impl Agreement {
    /// The value of `Sec-WebSocket-Extensions` that tells the client; repeats a window that it asked for.
    ///
    /// `client_no_context_takeover` may stand there unasked (RFC 7692 §7.1.1.2).
    pub(super) fn response(self, offer: Offer) -> String {
        let mut value = format!("{EXTENSION}; server_no_context_takeover; client_no_context_takeover");
        if offer.server_max_window_bits.is_some() {
            value += &format!("; server_max_window_bits={}", self.server_max_window_bits);
        }
        value
    }

    /// What a server's response agrees to; `None` if it is not an answer to our offer, which asks for
    /// `server_no_context_takeover` and allows `client_max_window_bits`.
    pub(super) fn from_response(parameters: &[(&str, Option<String>)]) -> Option<Self> {
        let parameters = Parameters::parse(parameters)?;
        let client_max_window_bits = match parameters.client_max_window_bits {
            None => MAX_WINDOW_BITS,
            Some(bits) => bits.filter(|bits| *bits >= MIN_WINDOW_BITS)?,
        };
        parameters.server_no_context_takeover.then_some(Self {
            server_max_window_bits: parameters.server_max_window_bits.unwrap_or(MAX_WINDOW_BITS),
            client_max_window_bits,
        })
    }
}

/// An offer of permessage-deflate that the server is able to accept (RFC 7692 §7.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offer {
    /// The client asks the server to keep to this window: 9 to 15 bits.
    pub server_max_window_bits: Option<u8>,
}

impl Offer {
    /// Judges one offer by its parameters; `None` declines it (RFC 7692 §7.1): a parameter unknown, repeated or
    /// malformed, or a server window of 8 bits, which zlib cannot make.
    ///
    /// A client's own window needs no answer: we inflate with the largest.
    pub(super) fn parse(parameters: &[(&str, Option<String>)]) -> Option<Self> {
        let server_max_window_bits = Parameters::parse(parameters)?.server_max_window_bits;
        let makeable = server_max_window_bits.is_none_or(|bits| bits >= MIN_WINDOW_BITS);
        makeable.then_some(Self {
            server_max_window_bits,
        })
    }

    /// The agreement that a server answers the offer with.
    #[must_use]
    pub fn accept(self) -> Agreement {
        Agreement {
            server_max_window_bits: self.server_max_window_bits.unwrap_or(MAX_WINDOW_BITS),
            client_max_window_bits: MAX_WINDOW_BITS,
        }
    }
}

/// The four parameters of the extension, each at most once.
#[derive(Default)]
struct Parameters {
    server_no_context_takeover: bool,
    client_no_context_takeover: bool,
    server_max_window_bits: Option<u8>,
    /// `Some(None)` is the parameter without a value, which only an offer may contain.
    client_max_window_bits: Option<Option<u8>>,
}

impl Parameters {
    fn parse(parameters: &[(&str, Option<String>)]) -> Option<Self> {
        let mut parsed = Self::default();
        for (name, value) in parameters {
            match (*name, value.as_deref()) {
                ("server_no_context_takeover", None) if !parsed.server_no_context_takeover => {
                    parsed.server_no_context_takeover = true;
                }
                ("client_no_context_takeover", None) if !parsed.client_no_context_takeover => {
                    parsed.client_no_context_takeover = true;
                }
                ("server_max_window_bits", Some(bits)) if parsed.server_max_window_bits.is_none() => {
                    parsed.server_max_window_bits = Some(window_bits(bits)?);
                }
                ("client_max_window_bits", bits) if parsed.client_max_window_bits.is_none() => {
                    parsed.client_max_window_bits = Some(match bits {
                        Some(bits) => Some(window_bits(bits)?),
                        None => None,
                    });
                }
                _ => return None,
            }
        }
        Some(parsed)
    }
}

/// A decimal number from 8 to 15 without leading zeros (RFC 7692 §7.1.2.1).
fn window_bits(value: &str) -> Option<u8> {
    match value {
        "8" => Some(8),
        "9" => Some(9),
        "10" => Some(10),
        "11" => Some(11),
        "12" => Some(12),
        "13" => Some(13),
        "14" => Some(14),
        "15" => Some(15),
        _ => None,
    }
}

/// The compressors and the decompressor of one thread, made when first needed.
#[derive(Default)]
pub(crate) struct Codecs {
    compressors: [Option<Compress>; WINDOWS],
    /// With the largest window: it inflates what was made with any.
    decompressor: Option<Decompress>,
}

impl Codecs {
    /// Compresses a message into `out`, which is cleared first (RFC 7692 §7.2.1).
    ///
    /// Returns false if it does not get smaller; `out` is then garbage.
    pub(super) fn compress(&mut self, payload: &[u8], window_bits: u8, out: &mut Vec<u8>) -> bool {
        let slot = usize::from(window_bits.clamp(MIN_WINDOW_BITS, MAX_WINDOW_BITS) - MIN_WINDOW_BITS);
        let compressor = self.compressors[slot].get_or_insert_with(|| {
            Compress::new_with_window_bits(Compression::new(LEVEL), false, window_bits)
        });
        compressor.reset();
        out.clear();
        out.reserve(payload.len() + TAIL.len());
        let result = compressor.compress_vec(payload, out, FlushCompress::Sync);
        // Room is left only if all input was used and flushed; without room it has grown.
        let complete = result.is_ok() && out.len() < out.capacity() && out.ends_with(&TAIL);
        out.truncate(out.len().saturating_sub(TAIL.len()));
        complete && out.len() < payload.len()
    }

    /// Inflates a message into `out`, which is cleared first (RFC 7692 §7.2.2).
    ///
    /// Errors: 1007 for data that is broken or cut off, 1009 for a message over the limits; neither the output nor
    /// the work exceeds them by more than one step.
    pub(super) fn decompress(
        &mut self,
        payload: &[u8],
        limits: &Limits,
        out: &mut Vec<u8>,
    ) -> Result<(), ProtocolError> {
        out.clear();
        let decompressor = self
            .decompressor
            .get_or_insert_with(|| Decompress::new_with_window_bits(false, MAX_WINDOW_BITS));
        let ratio_limit = payload
            .len()
            .saturating_mul(limits.max_inflate_ratio)
            .max(RATIO_FREE_BYTES);
        let max_bytes = limits.max_message_bytes.min(ratio_limit);
        let mut rest = payload;
        // A final block (RFC 7692 §7.2.3.4) ends a stream; a message may go on with another one.
        while !rest.is_empty() {
            decompressor.reset(false);
            let (used, ended) = inflate(decompressor, rest, out, max_bytes)?;
            rest = &rest[used..];
            if !ended {
                let (used, ended) = inflate(decompressor, &END, out, max_bytes)?;
                let whole = rest.is_empty() && ended && used == END.len();
                return if whole { Ok(()) } else { Err(broken()) };
            }
        }
        Ok(())
    }
}

/// Inflates `input` to its end or the stream's; returns the bytes used and whether the stream has ended.
fn inflate(
    decompressor: &mut Decompress,
    input: &[u8],
    out: &mut Vec<u8>,
    max_bytes: usize,
) -> Result<(usize, bool), ProtocolError> {
    let mut used = 0;
    loop {
        if out.len() == out.capacity() {
            // One byte more than allowed tells a message that is too long from one that just fits.
            out.reserve_exact(out.len().max(4096).min(max_bytes + 1 - out.len()));
        }
        let before = decompressor.total_in();
        let status = decompressor
            .decompress_vec(&input[used..], out, FlushDecompress::None)
            .map_err(|_| broken())?;
        used += usize::try_from(decompressor.total_in() - before).map_err(|_| broken())?;
        if out.len() > max_bytes {
            return Err(ProtocolError::new(
                MESSAGE_TOO_BIG,
                "inflated message exceeds the limit",
            ));
        }
        if status == Status::StreamEnd {
            return Ok((used, true));
        }
        if out.len() < out.capacity() {
            return Ok((used, false)); // room was left, so the input is used up
        }
    }
}

const fn broken() -> ProtocolError {
    ProtocolError::new(INVALID_PAYLOAD, "compressed data is broken")
}
