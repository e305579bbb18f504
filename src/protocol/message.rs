//! Fragments to messages (§5.4), with incremental UTF-8 validation (§8.1).

use super::close::{INVALID_PAYLOAD, MESSAGE_TOO_BIG, POLICY_VIOLATION, PROTOCOL_ERROR};
use super::frame::{Header, Opcode};
use super::{Event, Limits, Shared, mask};
use crate::error::ProtocolError;

/// A message that has begun: what came of it, in one contiguous buffer.
///
/// Memory follows the bytes received, never a declared length or a number of fragments.
#[derive(Debug)]
pub(super) struct Message {
    is_text: bool,
    compressed: bool,
    /// Nobody will see the message: it is only followed to its end.
    discarded: bool,
    empty_fragments: u8,
    /// The frame that came last, and how much of its payload came.
    frame: Header,
    received: usize,
    buf: Vec<u8>,
    /// Up to here `buf` is whole, valid characters; at most three bytes of an unfinished one follow.
    valid_up_to: usize,
}

impl Message {
    /// The message that a Text or Binary frame begins. Errors: those of `next_frame`.
    pub(super) fn begin(frame: Header, limits: &Limits) -> Result<Self, ProtocolError> {
        let mut message = Self {
            is_text: frame.opcode == Opcode::Text,
            compressed: frame.rsv1,
            discarded: false,
            empty_fragments: 0,
            frame,
            received: 0,
            buf: Vec::new(),
            valid_up_to: 0,
        };
        message.next_frame(frame, limits)?;
        Ok(message)
    }

    /// Goes on with one more frame, judged by its header.
    ///
    /// Errors: 1009 if the message would pass the limit, 1008 for one empty fragment too many.
    pub(super) fn next_frame(&mut self, frame: Header, limits: &Limits) -> Result<(), ProtocolError> {
        check_size(self.buf.len(), &frame, self.compressed, limits)?;
        if frame.payload_len == 0 && !frame.fin {
            if self.empty_fragments == limits.max_empty_fragments {
                return Err(ProtocolError::new(POLICY_VIOLATION, "too many empty fragments"));
            }
            self.empty_fragments += 1;
        }
        self.frame = frame;
        self.received = 0;
        Ok(())
    }

    /// Whether payload of the present frame is still to come.
    pub(super) const fn inside_frame(&self) -> bool {
        self.received < self.frame.payload_len
    }

    /// Whether the last frame has come whole.
    pub(super) const fn is_complete(&self) -> bool {
        self.frame.fin && !self.inside_frame()
    }

    /// Takes payload of the present frame from the front of `data`, unmasking it there; returns the bytes used.
    ///
    /// Errors: 1007 as soon as no continuation can make the text UTF-8.
    pub(super) fn receive(&mut self, data: &mut [u8]) -> Result<usize, ProtocolError> {
        let used = data.len().min(self.frame.payload_len - self.received);
        let payload = &mut data[..used];
        unmask(payload, &self.frame, self.received);
        self.received += used;
        if !self.discarded {
            self.buf.extend_from_slice(payload);
            self.validate()?;
        }
        Ok(used)
    }

    /// Judges the text that has come since the last time.
    fn validate(&mut self) -> Result<(), ProtocolError> {
        if !self.is_text || self.compressed {
            return Ok(());
        }
        match simdutf8::compat::from_utf8(&self.buf[self.valid_up_to..]) {
            Ok(_) => self.valid_up_to = self.buf.len(),
            Err(error) if error.error_len().is_none() => self.valid_up_to += error.valid_up_to(),
            Err(_) => return Err(not_utf8()),
        }
        Ok(())
    }

    /// Reports the message, which is complete.
    ///
    /// Errors: 1007 if it ends inside a character; those of `deliver` if it is compressed.
    pub(super) fn finish(
        self,
        shared: &mut Shared,
        sink: &mut impl FnMut(Event<'_>),
    ) -> Result<(), ProtocolError> {
        if self.discarded {
            return Ok(());
        }
        if self.compressed {
            return deliver(&self.buf, self.is_text, true, shared, sink);
        }
        if self.is_text && self.valid_up_to < self.buf.len() {
            return Err(not_utf8());
        }
        sink(Event::Message {
            payload: &self.buf,
            is_text: self.is_text,
        });
        Ok(())
    }

    /// Heap memory held for the payload.
    pub(super) fn buffered_bytes(&self) -> usize {
        self.buf.capacity()
    }

    /// Lets go of the payload: from now on the message is only followed to its end.
    pub(super) fn discard(&mut self) {
        self.discarded = true;
        self.buf = Vec::new();
    }
}

/// Reports a message that lies whole, unmasked, in `payload`.
///
/// Errors: 1007 for text that is not UTF-8 and for broken compressed data, 1009 if it inflates over a limit.
pub(super) fn deliver(
    payload: &[u8],
    is_text: bool,
    compressed: bool,
    shared: &mut Shared,
    sink: &mut impl FnMut(Event<'_>),
) -> Result<(), ProtocolError> {
    let Shared {
        limits,
        codecs,
        scratch,
    } = shared;
    let payload = if compressed {
        codecs.decompress(payload, limits, scratch)?;
        scratch.as_slice()
    } else {
        payload
    };
    if is_text && !is_utf8(payload) {
        return Err(not_utf8());
    }
    sink(Event::Message { payload, is_text });
    Ok(())
}

/// Whether a whole text is UTF-8. Asking for ASCII first saves 12 ns of 35 for a frame of 32 bytes.
fn is_utf8(text: &[u8]) -> bool {
    text.is_ascii() || simdutf8::basic::from_utf8(text).is_ok()
}

/// Judges whether a data frame may stand here: Continuation only inside a message, others only outside.
pub(super) const fn check_sequence(opcode: Opcode, inside_message: bool) -> Result<(), ProtocolError> {
    match (opcode, inside_message) {
        (Opcode::Continuation, false) => {
            Err(ProtocolError::new(PROTOCOL_ERROR, "continuation without a start"))
        }
        (Opcode::Text | Opcode::Binary, true) => {
            Err(ProtocolError::new(PROTOCOL_ERROR, "new message inside a message"))
        }
        _ => Ok(()),
    }
}

/// Judges a data frame's length by its header, before anything is kept of it: 1009 if it is too long.
///
/// Deflate adds at most 5 bytes to 16 KiB that it cannot shrink; that must not refuse a message of the allowed size.
pub(super) fn check_size(
    received: usize,
    frame: &Header,
    compressed: bool,
    limits: &Limits,
) -> Result<(), ProtocolError> {
    let margin = if compressed {
        limits.max_message_bytes / 64 + 64
    } else {
        0
    };
    let room = limits
        .max_message_bytes
        .saturating_add(margin)
        .saturating_sub(received);
    if frame.payload_len > room {
        return Err(ProtocolError::new(MESSAGE_TOO_BIG, "message exceeds the limit"));
    }
    Ok(())
}

/// Unmasks a piece of the frame's payload, which begins `offset` bytes into it.
pub(super) fn unmask(payload: &mut [u8], frame: &Header, offset: usize) {
    if let Some(key) = frame.masking_key {
        mask::apply(payload, key, offset);
    }
}

const fn not_utf8() -> ProtocolError {
    ProtocolError::new(INVALID_PAYLOAD, "text is not UTF-8")
}
