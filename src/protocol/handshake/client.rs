//! The client's side of the handshake (§4.1): what tests and the load generator need of it.

use super::fields::{Extensions, has_token};
use super::{EXTENSIONS, PROTOCOL, accept_value};
use crate::error::HandshakeError;
use crate::protocol::{Agreement, deflate};

/// Header lines that a response may have.
const MAX_HEADERS: usize = 64;

/// What a server agreed to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// The subprotocol it chose.
    pub subprotocol: Option<String>,
    /// The compression it chose.
    pub agreement: Option<Agreement>,
    /// Bytes of the head; what follows them in the buffer are the server's first frames.
    pub head_len: usize,
}

/// A request for a WebSocket at `target` (path and query) on `host`, with a random `key` of 16 bytes.
///
/// `headers` are appended as they are; `compress` offers permessage-deflate.
#[must_use]
pub fn request(
    host: &str,
    target: &str,
    key: [u8; 16],
    subprotocols: &[&str],
    compress: bool,
    headers: &[(&str, &str)],
) -> Vec<u8> {
    let key = data_encoding::BASE64.encode(&key);
    let mut request = format!(
        "GET {target} HTTP/1.1\r\nhost: {host}\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: {key}\r\n"
    );
    if !subprotocols.is_empty() {
        request += &format!("{PROTOCOL}: {}\r\n", subprotocols.join(", "));
    }
    if compress {
        let name = deflate::EXTENSION;
        request += &format!("{EXTENSIONS}: {name}; server_no_context_takeover; client_max_window_bits\r\n");
    }
    for (name, value) in headers {
        request += &format!("{name}: {value}\r\n");
    }
    request += "\r\n";
    request.into_bytes()
}

/// Reads the response to `request` from the front of `buf`; `None` until its head is whole.
///
/// Errors: the server's status if it is not 101; status 101 if the response breaks §4.1.
pub fn read_response(buf: &[u8], key: [u8; 16]) -> Result<Option<Response>, HandshakeError> {
    let mut storage = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut parsed = httparse::Response::new(&mut storage);
    let head_len = match parsed.parse(buf) {
        Ok(httparse::Status::Complete(len)) => len,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(_) => return Err(broken("malformed response")),
    };
    match parsed.code {
        Some(101) => {}
        code => {
            return Err(HandshakeError::new(
                code.unwrap_or_default(),
                "the server refused",
            ));
        }
    }
    let value = |name: &str| {
        let mut values = parsed
            .headers
            .iter()
            .filter(|header| header.name.eq_ignore_ascii_case(name));
        values
            .next()
            .filter(|_| values.next().is_none())
            .and_then(|header| std::str::from_utf8(header.value).ok())
    };
    let upgrades = value("upgrade").is_some_and(|value| value.eq_ignore_ascii_case("websocket"))
        && value("connection").is_some_and(|value| has_token(value, "upgrade"));
    if !upgrades || value("sec-websocket-accept") != Some(&accept_value(&data_encoding::BASE64.encode(&key)))
    {
        return Err(broken("the response does not accept a WebSocket"));
    }
    let agreement = value(EXTENSIONS).map(agreement).transpose()?;
    let subprotocol = value(PROTOCOL).map(str::to_owned);
    Ok(Some(Response {
        subprotocol,
        agreement,
        head_len,
    }))
}

/// The agreement that the extensions of a response make: exactly one, that we offered.
fn agreement(value: &str) -> Result<Agreement, HandshakeError> {
    let mut extensions = Extensions::new(value);
    match (extensions.next(), extensions.next()) {
        (Some(Some(extension)), None) if extension.name == deflate::EXTENSION => {
            Agreement::from_response(&extension.parameters)
        }
        _ => None,
    }
    .ok_or(broken("the response chooses an extension that was not offered"))
}

const fn broken(reason: &'static str) -> HandshakeError {
    HandshakeError::new(101, reason)
}
