//! A second reading of RFC 6455 for whole streams: slow, plain, and nothing in common with the engine.

/// What a stream means.
#[derive(Debug, PartialEq, Eq)]
pub enum Meaning {
    Message {
        payload: Vec<u8>,
        is_text: bool,
    },
    Pong(Vec<u8>),
    Closed(u16, Vec<u8>),
    /// Refused with this close code: 1002, 1007, 1008 or 1009.
    Refused(u16),
}

/// Reads a client's uncompressed stream; what is incomplete at its end means nothing, but text that can no
/// longer become UTF-8.
pub fn read(mut wire: &[u8], max_message: usize, max_empty: usize) -> Vec<Meaning> {
    let mut meanings = Vec::new();
    let mut message: Option<(Vec<u8>, bool, usize)> = None; // payload, is_text, empty fragments
    loop {
        let frame = match frame(wire) {
            Err(code) => {
                meanings.push(Meaning::Refused(code));
                return meanings;
            }
            Ok(None) => return meanings,
            Ok(Some(frame)) => frame,
        };
        let whole = frame.payload.len() == frame.declared;
        let opcode = frame.first & 0x0f;
        let fin = frame.first & 0x80 != 0;
        if opcode >= 8 {
            if !whole {
                return meanings;
            }
            match control(opcode, frame.payload) {
                Some(Meaning::Pong(payload)) => meanings.push(Meaning::Pong(payload)),
                Some(last) => {
                    meanings.push(last);
                    return meanings;
                }
                None => {}
            }
        } else {
            let refused = match (opcode, &message) {
                (0, None) | (1 | 2, Some(_)) => Some(1002),
                _ => None,
            };
            let (payload, is_text, empty) = message.get_or_insert((Vec::new(), opcode == 1, 0));
            let refused = refused.or((frame.declared > max_message - payload.len()).then_some(1009));
            *empty += usize::from(frame.declared == 0 && !fin);
            let refused = refused.or((*empty > max_empty).then_some(1008));
            payload.extend_from_slice(&frame.payload);
            let refused = refused.or((*is_text && hopeless(payload, fin && whole)).then_some(1007));
            if let Some(code) = refused {
                meanings.push(Meaning::Refused(code));
                return meanings;
            }
            if !whole {
                return meanings;
            }
            if fin {
                if let Some((payload, is_text, _)) = message.take() {
                    meanings.push(Meaning::Message { payload, is_text });
                }
            }
        }
        wire = frame.rest;
    }
}

struct Frame<'a> {
    first: u8,
    declared: usize,
    /// Unmasked; shorter than declared if the stream ends.
    payload: Vec<u8>,
    rest: &'a [u8],
}

fn frame(wire: &[u8]) -> Result<Option<Frame<'_>>, u16> {
    let [first, second, rest @ ..] = wire else {
        return Ok(None);
    };
    let (control, len) = (first & 8 != 0, second & 0x7f);
    if first & 0x70 != 0
        || matches!(first & 0x0f, 3..=7 | 11..=15)
        || control && (first & 0x80 == 0 || len > 125)
        || second & 0x80 == 0
    {
        return Err(1002);
    }
    let size = match len {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    if rest.len() < size {
        return Ok(None);
    }
    let (extended, rest) = rest.split_at(size);
    let extended = extended
        .iter()
        .fold(0_u64, |value, byte| value << 8 | u64::from(*byte));
    if size == 2 && extended < 126 || size == 8 && (extended <= 0xffff || extended >= 1 << 63) {
        return Err(1002);
    }
    if rest.len() < 4 {
        return Ok(None);
    }
    let (key, rest) = rest.split_at(4);
    let declared = if size == 0 {
        usize::from(len)
    } else {
        usize::try_from(extended).map_err(|_| 1009_u16)?
    };
    let (payload, rest) = rest.split_at(declared.min(rest.len()));
    let payload = payload
        .iter()
        .enumerate()
        .map(|(i, byte)| byte ^ key[i % 4])
        .collect();
    Ok(Some(Frame {
        first: *first,
        declared,
        payload,
        rest,
    }))
}

fn control(opcode: u8, payload: Vec<u8>) -> Option<Meaning> {
    match (opcode, payload.as_slice()) {
        (9, _) => None,
        (10, _) => Some(Meaning::Pong(payload)),
        (_, []) => Some(Meaning::Closed(1005, vec![])),
        (_, [_]) => Some(Meaning::Refused(1002)),
        (_, [high, low, reason @ ..]) => {
            let code = u16::from(*high) << 8 | u16::from(*low);
            Some(match code {
                1000..=1003 | 1007..=1014 | 3000..=4999 if std::str::from_utf8(reason).is_ok() => {
                    Meaning::Closed(code, reason.to_vec())
                }
                1000..=1003 | 1007..=1014 | 3000..=4999 => Meaning::Refused(1007),
                _ => Meaning::Refused(1002),
            })
        }
    }
}

/// Whether the text is not UTF-8 and, unless `ended`, cannot become it.
fn hopeless(text: &[u8], ended: bool) -> bool {
    match std::str::from_utf8(text) {
        Ok(_) => false,
        Err(error) => ended || error.error_len().is_some(),
    }
}
