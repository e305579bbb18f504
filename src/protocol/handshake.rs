//! The opening handshake (§4): request in, response out.

use super::Agreement;
use super::deflate::Offer;
use crate::error::{HandshakeError, UsageError};

/// What bounds a request's head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeadLimits {
    /// Request line and headers together: more is answered with 431, a request line over half of it with 414.
    pub max_header_bytes: usize,
    /// Header lines: more are answered with 431.
    pub max_headers: usize,
}

/// What the bytes so far amount to.
#[derive(Debug, PartialEq, Eq)]
pub enum Head {
    /// The end of the headers has not come yet.
    Incomplete,
    /// A well-formed opening handshake.
    Upgrade(Box<Request>),
    /// A whole head that does not ask for a WebSocket: the application's HTTP server answers it.
    Http,
}

/// A well-formed opening handshake (§4.2.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Without the query, percent-encoded as it came.
    pub path: String,
    /// Without the question mark; empty if there is none.
    pub query: String,
    /// Names in lower case, in the order of arrival; values decoded as Latin-1.
    pub headers: Vec<(String, String)>,
    /// As offered, best first.
    pub subprotocols: Vec<String>,
    /// The first offer of permessage-deflate that can be accepted.
    pub deflate_offer: Option<Offer>,
    /// `Sec-WebSocket-Key`, 24 characters of base64.
    pub key: String,
    /// Bytes of the head; what follows them in the buffer are the client's first frames.
    pub head_len: usize,
}

/// Reads the head of a request as its bytes come; the work is linear in them however they are cut.
#[derive(Debug, Default)]
pub struct HeadReader {}

impl HeadReader {
    /// Looks at `buf`, which holds every byte since the start of the connection.
    ///
    /// Errors: `HandshakeError`, at the first byte that no continuation can mend.
    pub fn read(&mut self, _buf: &[u8], _limits: &HeadLimits) -> Result<Head, HandshakeError> {
        todo!()
    }
}

/// The response that accepts `request` (§4.2.2): 101 Switching Protocols.
///
/// Errors: `subprotocol` is not among those offered.
pub fn accept(
    _request: &Request,
    _subprotocol: Option<&str>,
    _agreement: Option<Agreement>,
) -> Result<Vec<u8>, UsageError> {
    todo!()
}

/// A response that refuses a request; adds `Content-Length` and `Connection: close`.
///
/// Errors: a status outside 400 to 599, a header name that is no token, a value with CR, LF or NUL.
pub fn refuse(_status: u16, _headers: &[(&str, &str)], _body: &[u8]) -> Result<Vec<u8>, UsageError> {
    todo!()
}

/// The response to a request that broke the rules; 426 names the version that we speak.
#[must_use]
pub fn refuse_error(_error: &HandshakeError) -> Vec<u8> {
    todo!()
}
