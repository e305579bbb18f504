//! Judges a whole request (§4.2.1).

use super::fields::{Extensions, has_token, is_host, tokens};
use super::{EXTENSIONS, Head, PROTOCOL, Request};
use crate::error::HandshakeError;
use crate::protocol::deflate;

/// Subprotocols that one request may offer; each costs an allocation.
const MAX_SUBPROTOCOLS: usize = 64;

/// Parses the head of a request with so many header lines.
///
/// Errors: 400, or 426 for a version of the protocol that is not 13.
pub(super) fn parse(head: &[u8], header_count: usize) -> Result<Head, HandshakeError> {
    let mut storage = vec![httparse::EMPTY_HEADER; header_count];
    let mut parsed = httparse::Request::new(&mut storage);
    match parsed.parse(head) {
        Ok(httparse::Status::Complete(len)) if len == head.len() => {}
        _ => return Err(bad("malformed request")),
    }
    let headers = decode(parsed.headers);
    let wants_websocket = values(&headers, "upgrade").any(|value| has_token(value, "websocket"));
    if !wants_websocket {
        return Ok(Head::Http);
    }
    check_request_line(&parsed)?;
    check_headers(&headers)?;
    check_no_body(&headers)?;
    let target = parsed.path.unwrap_or_default();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    Ok(Head::Upgrade(Box::new(Request {
        path: path.to_owned(),
        query: query.to_owned(),
        subprotocols: subprotocols(&headers)?,
        deflate_offer: deflate_offer(&headers)?,
        key: key(&headers)?,
        head_len: head.len(),
        headers,
    })))
}

type Headers = [(String, String)];

/// Names in lower case, values as Latin-1.
fn decode(headers: &[httparse::Header<'_>]) -> Vec<(String, String)> {
    let latin1 = |value: &[u8]| value.iter().map(|byte| char::from(*byte)).collect();
    headers
        .iter()
        .map(|header| (header.name.to_ascii_lowercase(), latin1(header.value)))
        .collect()
}

fn values<'a>(headers: &'a Headers, name: &'a str) -> impl Iterator<Item = &'a str> {
    headers
        .iter()
        .filter(move |(key, _)| key == name)
        .map(|(_, value)| value.as_str())
}

/// The value of a header that must be there once.
fn only<'a>(headers: &'a Headers, name: &'a str) -> Option<&'a str> {
    let mut values = values(headers, name);
    values.next().filter(|_| values.next().is_none())
}

/// §4.2.1 item 1: GET, HTTP/1.1, a path; neither an absolute URI nor a fragment (§3).
fn check_request_line(request: &httparse::Request<'_, '_>) -> Result<(), HandshakeError> {
    if request.version != Some(1) {
        return Err(bad("a WebSocket needs HTTP/1.1"));
    }
    if request.method != Some("GET") {
        return Err(bad("a WebSocket begins with GET"));
    }
    match request.path {
        Some(path) if path.starts_with('/') && !path.contains('#') => Ok(()),
        _ => Err(bad("the request target is not a path")),
    }
}

/// §4.2.1 items 2, 3, 4 and 6.
fn check_headers(headers: &Headers) -> Result<(), HandshakeError> {
    if !only(headers, "host").is_some_and(is_host) {
        return Err(bad("Host is missing, repeated or malformed"));
    }
    if only(headers, "upgrade").is_none() {
        return Err(bad("Upgrade is repeated"));
    }
    if !only(headers, "connection").is_some_and(|value| has_token(value, "upgrade")) {
        return Err(bad("Connection is missing, repeated or without 'Upgrade'"));
    }
    if only(headers, "sec-websocket-version") != Some("13") {
        return Err(HandshakeError::new(
            426,
            "only version 13 of the WebSocket protocol is spoken here",
        ));
    }
    Ok(())
}

/// What would follow the head as a body would else be read as frames: a way to smuggle.
fn check_no_body(headers: &Headers) -> Result<(), HandshakeError> {
    let has_body = values(headers, "content-length").any(|value| value != "0")
        || values(headers, "transfer-encoding").next().is_some();
    if has_body {
        Err(bad("a WebSocket request has no body"))
    } else {
        Ok(())
    }
}

/// §4.2.1 item 5: 16 bytes in base64, in the one way to write them.
fn key(headers: &Headers) -> Result<String, HandshakeError> {
    only(headers, "sec-websocket-key")
        .filter(|key| key.len() == 24)
        .filter(|key| {
            data_encoding::BASE64
                .decode(key.as_bytes())
                .is_ok_and(|bytes| bytes.len() == 16)
        })
        .map(str::to_owned)
        .ok_or(bad("Sec-WebSocket-Key is missing, repeated or malformed"))
}

/// §4.2.1 item 8.
fn subprotocols(headers: &Headers) -> Result<Vec<String>, HandshakeError> {
    let mut offered = Vec::new();
    for token in values(headers, PROTOCOL).flat_map(tokens) {
        match token {
            Some(token) if offered.len() < MAX_SUBPROTOCOLS => offered.push(token.to_owned()),
            Some(_) => return Err(bad("too many subprotocols")),
            None => return Err(bad("Sec-WebSocket-Protocol is malformed")),
        }
    }
    Ok(offered)
}

/// §4.2.1 item 9: the first acceptable offer. The whole header must be well-formed (§9.1).
fn deflate_offer(headers: &Headers) -> Result<Option<deflate::Offer>, HandshakeError> {
    let mut offer = None;
    for extension in values(headers, EXTENSIONS).flat_map(Extensions::new) {
        let extension = extension.ok_or(bad("Sec-WebSocket-Extensions is malformed"))?;
        if offer.is_none() && extension.name == deflate::EXTENSION {
            offer = deflate::Offer::parse(&extension.parameters);
        }
    }
    Ok(offer)
}

const fn bad(reason: &'static str) -> HandshakeError {
    HandshakeError::new(400, reason)
}
