//! The opening handshake (§4): request in, response out.
//!
//! `head.rs` finds the end of a request's head, `request.rs` judges the request, `fields.rs` knows the grammar of
//! header values, `response.rs` answers, `client.rs` is the other side.

use super::deflate::Offer;

mod client;
mod fields;
mod head;
mod request;
mod response;

pub use client::{Response, read_response, request};
pub use head::HeadReader;
pub use response::{accept, refuse, refuse_error};

/// What bounds a request's head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeadLimits {
    /// Request line and headers together: more is answered with 431, a request line over half of it with 414.
    pub max_header_bytes: usize,
    /// Header lines: more are answered with 431.
    pub max_headers: usize,
}

impl Default for HeadLimits {
    fn default() -> Self {
        Self {
            max_header_bytes: 16_384,
            max_headers: 64,
        }
    }
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

/// The header that carries the extensions, both ways.
const EXTENSIONS: &str = "sec-websocket-extensions";
/// The header that carries the subprotocols, both ways.
const PROTOCOL: &str = "sec-websocket-protocol";

/// The value of `Sec-WebSocket-Accept` for a key (§4.2.2).
fn accept_value(key: &str) -> String {
    use sha1::{Digest, Sha1};
    let digest = Sha1::new()
        .chain_update(key)
        .chain_update("258EAFA5-E914-47DA-95CA-C5AB0DC85B11")
        .finalize();
    data_encoding::BASE64.encode(&digest)
}
