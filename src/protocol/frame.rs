//! One frame's header (§5.2), parsed and serialised.

use super::Role;
use super::close::{MESSAGE_TOO_BIG, PROTOCOL_ERROR};
use crate::error::ProtocolError;

/// The longest payload of a control frame (§5.5).
pub const MAX_CONTROL_PAYLOAD: usize = 125;
/// The longest header: two bytes, a 64-bit length, a masking key.
pub const MAX_HEADER: usize = 14;

const FIN: u8 = 0x80;
const RSV1: u8 = 0x40;
const RSV2_AND_3: u8 = 0x30;
const CONTROL: u8 = 0x08;
const MASK: u8 = 0x80;

/// What a frame is (§5.2, §11.8).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Opcode {
    /// Goes on with the message that an earlier frame began.
    Continuation = 0,
    /// Begins a message of UTF-8 text.
    Text = 1,
    /// Begins a binary message.
    Binary = 2,
    /// Begins or answers the closing handshake.
    Close = 8,
    /// Asks for a Pong with the same payload.
    Ping = 9,
    /// Answers a Ping, or comes unasked.
    Pong = 10,
}

impl Opcode {
    const fn from_bits(bits: u8) -> Option<Self> {
        Some(match bits {
            0 => Self::Continuation,
            1 => Self::Text,
            2 => Self::Binary,
            8 => Self::Close,
            9 => Self::Ping,
            10 => Self::Pong,
            _ => return None,
        })
    }

    /// Close, Ping or Pong: never fragmented, allowed between the fragments of a message (§5.5).
    #[must_use]
    pub const fn is_control(self) -> bool {
        self as u8 >= 8
    }
}

/// What comes before a frame's payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Last frame of its message.
    pub fin: bool,
    /// Begins a compressed message (RFC 7692 §6).
    pub rsv1: bool,
    /// What the frame is.
    pub opcode: Opcode,
    /// What the payload is masked with, if it is.
    pub masking_key: Option<[u8; 4]>,
    /// Bytes of payload that follow.
    pub payload_len: usize,
}

impl Header {
    /// The header of an unmasked, uncompressed frame that is a message of its own.
    #[must_use]
    pub const fn new(opcode: Opcode, payload_len: usize) -> Self {
        Self {
            fin: true,
            rsv1: false,
            opcode,
            masking_key: None,
            payload_len,
        }
    }

    /// Parses one frame header (§5.2) from the front of `buf`; `None` until its 2 to 14 bytes are there.
    ///
    /// `receiver` decides whether the frame has to be masked, `compression` whether RSV1 may be set.
    /// Errors: `ProtocolError`, close code 1002, as early as the bytes tell. Does not allocate.
    #[inline]
    pub fn parse(buf: &[u8], receiver: Role, compression: bool) -> Result<Option<Self>, ProtocolError> {
        let [first, second, ref rest @ ..] = *buf else {
            return Ok(None);
        };
        let header = Self::parse_flags(first, second, receiver, compression)?;
        let Some((payload_len, rest)) = parse_length(second, rest)? else {
            return Ok(None);
        };
        let payload_len = usize::try_from(payload_len)
            .map_err(|_| ProtocolError::new(MESSAGE_TOO_BIG, "message exceeds the limit"))?;
        let masking_key = match (receiver, rest.first_chunk()) {
            (Role::Client, _) => None,
            (Role::Server, Some(key)) => Some(*key),
            (Role::Server, None) => return Ok(None),
        };
        Ok(Some(Self {
            payload_len,
            masking_key,
            ..header
        }))
    }

    /// Judges the first two bytes; length and masking key are still to be read.
    #[inline]
    fn parse_flags(first: u8, second: u8, receiver: Role, compression: bool) -> Result<Self, ProtocolError> {
        let fault = |reason| Err(ProtocolError::new(PROTOCOL_ERROR, reason));
        let (fin, rsv1) = (first & FIN != 0, first & RSV1 != 0);
        if first & RSV2_AND_3 != 0 {
            return fault("reserved bits are set");
        }
        let Some(opcode) = Opcode::from_bits(first & 0x0f) else {
            return fault("reserved opcode");
        };
        if rsv1 && !(compression && matches!(opcode, Opcode::Text | Opcode::Binary)) {
            return fault("RSV1 is set where nothing is compressed");
        }
        if opcode.is_control() && !fin {
            return fault("fragmented control frame");
        }
        if opcode.is_control() && usize::from(second & !MASK) > MAX_CONTROL_PAYLOAD {
            return fault("control frame longer than 125 bytes");
        }
        match (receiver, second & MASK != 0) {
            (Role::Server, false) => fault("frame from a client is not masked"),
            (Role::Client, true) => fault("frame from a server is masked"),
            _ => Ok(Self {
                fin,
                rsv1,
                opcode,
                masking_key: None,
                payload_len: 0,
            }),
        }
    }

    /// Bytes of the header on the wire. As lengths are minimal, a parsed header tells its own.
    #[inline]
    #[must_use]
    pub const fn encoded_len(&self) -> usize {
        let length = match self.payload_len {
            0..=125 => 2,
            126..=0xffff => 4,
            _ => 10,
        };
        length + if self.masking_key.is_some() { 4 } else { 0 }
    }

    /// Appends the header as it goes on the wire.
    pub fn write(&self, out: &mut Vec<u8>) {
        let flags = if self.fin { FIN } else { 0 } | if self.rsv1 { RSV1 } else { 0 };
        let mask = if self.masking_key.is_some() { MASK } else { 0 };
        let first = flags | self.opcode as u8;
        if let (Ok(len), true) = (u8::try_from(self.payload_len), self.payload_len <= 125) {
            out.extend_from_slice(&[first, mask | len]);
        } else if let Ok(len) = u16::try_from(self.payload_len) {
            let [high, low] = len.to_be_bytes();
            out.extend_from_slice(&[first, mask | 126, high, low]);
        } else {
            out.extend_from_slice(&[first, mask | 127]);
            out.extend_from_slice(&(self.payload_len as u64).to_be_bytes());
        }
        out.extend(self.masking_key.into_iter().flatten());
    }
}

/// The payload length and what follows it; `None` until it is there.
#[inline]
fn parse_length(second: u8, rest: &[u8]) -> Result<Option<(u64, &[u8])>, ProtocolError> {
    let (len, minimum, rest) = match second & !MASK {
        126 => match rest.split_first_chunk() {
            Some((len, rest)) => (u64::from(u16::from_be_bytes(*len)), 126, rest),
            None => return Ok(None),
        },
        127 => match rest.split_first_chunk() {
            Some((len, rest)) => (u64::from_be_bytes(*len), 0x1_0000, rest),
            None => return Ok(None),
        },
        len => (u64::from(len), 0, rest),
    };
    if len < minimum {
        return Err(ProtocolError::new(
            PROTOCOL_ERROR,
            "payload length is not minimal",
        ));
    }
    if len >> 63 != 0 {
        return Err(ProtocolError::new(
            PROTOCOL_ERROR,
            "payload length has its top bit set",
        ));
    }
    Ok(Some((len, rest)))
}

/// Bytes of the header, or of the whole control frame, that begins with `buf`, as far as `buf` tells.
pub(super) fn wanted_len(buf: &[u8]) -> usize {
    let [first, second, ..] = *buf else { return 2 };
    let len = usize::from(second & !MASK);
    let length = match len {
        126 => 4,
        127 => 10,
        _ => 2,
    };
    let header = length + if second & MASK != 0 { 4 } else { 0 };
    if first & CONTROL != 0 {
        header + len.min(MAX_CONTROL_PAYLOAD)
    } else {
        header
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(buf: &[u8], receiver: Role) -> Result<Option<Header>, ProtocolError> {
        Header::parse(buf, receiver, true)
    }

    #[test]
    fn a_header_survives_the_round_trip_at_every_border_of_the_length() {
        for payload_len in [0, 1, 125, 126, 127, 0xffff, 0x1_0000, 0x7fff_ffff] {
            for masking_key in [None, Some([1, 2, 3, 4])] {
                let header = Header {
                    masking_key,
                    rsv1: true,
                    fin: false,
                    ..Header::new(Opcode::Text, payload_len)
                };
                let receiver = if masking_key.is_some() {
                    Role::Server
                } else {
                    Role::Client
                };
                let mut wire = Vec::new();
                header.write(&mut wire);
                assert_eq!(wire.len(), header.encoded_len());
                assert_eq!(wanted_len(&wire), wire.len());
                for cut in 0..wire.len() {
                    assert_eq!(
                        parse(&wire[..cut], receiver),
                        Ok(None),
                        "length {payload_len}, cut at {cut}"
                    );
                }
                assert_eq!(parse(&wire, receiver), Ok(Some(header)));
            }
        }
    }

    #[test]
    fn the_examples_of_section_5_7_parse() {
        let hello = parse(&[0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f], Role::Server);
        let masking_key = Some([0x37, 0xfa, 0x21, 0x3d]);
        assert_eq!(
            hello,
            Ok(Some(Header {
                masking_key,
                ..Header::new(Opcode::Text, 5)
            }))
        );
        let large = parse(&[0x82, 0x7f, 0, 0, 0, 0, 0, 1, 0, 0], Role::Client);
        assert_eq!(large, Ok(Some(Header::new(Opcode::Binary, 65_536))));
    }
}
