//! The three ways in which something goes wrong: the type says who erred.
//!
//! | type | who | what follows |
//! | --- | --- | --- |
//! | [`ProtocolError`] | the peer, on an open connection | a Close frame with its code |
//! | [`HandshakeError`] | the peer, in the opening handshake | an HTTP answer with its status |
//! | [`UsageError`] | the caller | it surfaces: a bug |

use std::error::Error;
use std::fmt;

/// The peer broke the protocol on an open connection (§7.1.7): it gets a Close frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProtocolError {
    /// The close code: 1002, 1007, 1008 or 1009.
    pub close_code: u16,
    /// What was wrong; at most 123 bytes, so that it fits into a Close frame.
    pub reason: &'static str,
}

impl ProtocolError {
    pub(crate) const fn new(close_code: u16, reason: &'static str) -> Self {
        Self { close_code, reason }
    }
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (close code {})", self.reason, self.close_code)
    }
}

impl Error for ProtocolError {}

/// The opening handshake is refused (§4.2.2).
///
/// [`refuse_error`](crate::protocol::handshake::refuse_error) makes the HTTP answer of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HandshakeError {
    /// The HTTP status: 400, 414, 426 or 431.
    pub status: u16,
    /// What was wrong; becomes the body of the answer.
    pub reason: &'static str,
}

impl HandshakeError {
    pub(crate) const fn new(status: u16, reason: &'static str) -> Self {
        Self { status, reason }
    }
}

impl fmt::Display for HandshakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (HTTP status {})", self.reason, self.status)
    }
}

impl Error for HandshakeError {}

/// The caller broke a contract; retrying cannot help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UsageError(pub &'static str);

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl Error for UsageError {}
