//! The client's side of RFC 6455, as far as a load generator needs it.
//!
//! It is written apart from the engine under test on purpose: two implementations that agree are
//! worth more than one that agrees with itself.

/// What went wrong on the wire; the server is to blame.
#[derive(Debug)]
pub struct Broken(pub &'static str);

/// One frame in a buffer: where its payload lies and where the next frame begins.
pub struct Frame {
    /// The opcode (§5.2): 1 text, 2 binary, 8 close, 9 ping, 10 pong.
    pub opcode: u8,
    /// RSV1: the payload is deflated (RFC 7692).
    pub deflated: bool,
    /// First byte of the payload.
    pub start: usize,
    /// End of the payload and of the frame.
    pub end: usize,
}

/// Longest message that a load scenario can expect.
const MAX_PAYLOAD: u64 = 1 << 20;

/// The frame at the front of `buf`, or `None` until it is complete.
pub fn parse(buf: &[u8]) -> Result<Option<Frame>, Broken> {
    let [first, second, rest @ ..] = buf else {
        return Ok(None);
    };
    if first & 0x30 != 0 {
        return Err(Broken("reserved bit"));
    }
    if first & 0x80 == 0 {
        return Err(Broken("a fragment: the servers under test send whole messages"));
    }
    if second & 0x80 != 0 {
        return Err(Broken("masked by the server"));
    }
    let (start, length) = match second & 0x7f {
        126 => match rest {
            [a, b, ..] => (4, u64::from(u16::from_be_bytes([*a, *b]))),
            _ => return Ok(None),
        },
        127 => match rest.first_chunk::<8>() {
            Some(bytes) => (10, u64::from_be_bytes(*bytes)),
            None => return Ok(None),
        },
        short => (2, u64::from(short)),
    };
    if length > MAX_PAYLOAD {
        return Err(Broken("an absurd length"));
    }
    let end = start + usize::try_from(length).map_err(|_| Broken("an absurd length"))?;
    Ok((buf.len() >= end).then_some(Frame {
        opcode: first & 0x0f,
        deflated: first & 0x40 != 0,
        start,
        end,
    }))
}

/// Appends one masked frame to `out`.
pub fn push_frame(out: &mut Vec<u8>, opcode: u8, payload: &[u8]) {
    out.push(0x80 | opcode);
    match payload.len() {
        n @ 0..=125 => out.push(0x80 | u8::try_from(n).unwrap_or(0)),
        n if u16::try_from(n).is_ok() => {
            out.push(0x80 | 126);
            out.extend_from_slice(&u16::try_from(n).unwrap_or(0).to_be_bytes());
        }
        n => {
            out.push(0x80 | 127);
            out.extend_from_slice(&(n as u64).to_be_bytes());
        }
    }
    let key = fastrand::u32(..).to_ne_bytes();
    out.extend_from_slice(&key);
    out.extend(
        payload
            .iter()
            .zip(key.iter().cycle())
            .map(|(byte, mask)| byte ^ mask),
    );
}

/// The opening handshake of one client; `deflate` offers compression as browsers do.
pub fn request(host: &str, path: &str, subprotocol: Option<&str>, deflate: bool) -> Vec<u8> {
    let subprotocol = subprotocol.map_or(String::new(), |name| {
        format!("Sec-WebSocket-Protocol: {name}\r\n")
    });
    let deflate = if deflate {
        "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"
    } else {
        ""
    };
    format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{subprotocol}{deflate}\r\n"
    )
    .into_bytes()
}

/// A whole response: how long its head is, and the extensions that it agrees to.
pub struct Response<'a> {
    /// Bytes up to the first frame.
    pub head: usize,
    /// The value of `Sec-WebSocket-Extensions`.
    pub extensions: Option<&'a str>,
}

/// The response at the front of `buf` once it is complete; it must be a 101 with the right proof.
pub fn response(buf: &[u8]) -> Result<Option<Response<'_>>, Broken> {
    let Some(end) = memchr::memmem::find(buf, b"\r\n\r\n") else {
        return if buf.len() > 16_384 {
            Err(Broken("no end of the response"))
        } else {
            Ok(None)
        };
    };
    let head = std::str::from_utf8(&buf[..end]).map_err(|_| Broken("a response that is no text"))?;
    if !head.starts_with("HTTP/1.1 101 ") {
        return Err(Broken("the handshake was refused"));
    }
    let header = |wanted: &str| {
        (head.lines().filter_map(|line| line.split_once(':')))
            .find_map(|(name, value)| name.eq_ignore_ascii_case(wanted).then(|| value.trim()))
    };
    // The proof for the key above (RFC 6455 §1.3).
    if header("sec-websocket-accept") != Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=") {
        return Err(Broken("a wrong Sec-WebSocket-Accept"));
    }
    Ok(Some(Response {
        head: end + 4,
        extensions: header("sec-websocket-extensions"),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_parsed_once_they_are_whole() {
        let frame = [0x81, 3, b'a', b'b', b'c', 0x82];
        for cut in 0..5 {
            assert!(parse(&frame[..cut]).is_ok_and(|frame| frame.is_none()));
        }
        let found = parse(&frame).ok().flatten().expect("it is whole");
        assert_eq!(
            (found.opcode, found.start, found.end, found.deflated),
            (1, 2, 5, false)
        );
    }

    #[test]
    fn a_server_must_not_mask_fragment_or_use_reserved_bits() {
        for wrong in [[0x81, 0x83], [0x01, 3], [0xa1, 3]] {
            assert!(parse(&wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_response_needs_the_proof() {
        let good =
            b"HTTP/1.1 101 Switching Protocols\r\nsec-websocket-ACCEPT: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\
                     Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n\x81";
        let found = response(good).ok().flatten().expect("it is whole");
        assert_eq!(
            (found.head, found.extensions),
            (good.len() - 1, Some("permessage-deflate"))
        );
        assert!(response(&good[..40]).is_ok_and(|found| found.is_none()));
        assert!(response(b"HTTP/1.1 403 Forbidden\r\n\r\n").is_err());
        assert!(response(b"HTTP/1.1 101 Switching Protocols\r\n\r\n").is_err());
    }
}
