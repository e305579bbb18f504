//! Finds the end of a request's head, looking at each byte once.

use super::fields::is_token_byte;
use super::{Head, HeadLimits, request};
use crate::error::HandshakeError;

/// Reads the head of a request as its bytes come; the work is linear in them however they are cut.
///
/// It refuses what could be read in two ways (bare CR or LF, folded lines, control characters), so that no proxy
/// before us and no HTTP server behind us sees another request than we do.
#[derive(Debug, Default)]
pub struct HeadReader {
    /// `buf[..scanned]` has been judged.
    scanned: usize,
    /// Where the present line begins.
    line_start: usize,
    /// Whole lines so far, the request line included.
    lines: usize,
}

impl HeadReader {
    /// Looks at `buf`, which holds every byte since the start of the connection.
    ///
    /// Errors: `HandshakeError`, at the first byte that no continuation can mend.
    pub fn read(&mut self, buf: &[u8], limits: &HeadLimits) -> Result<Head, HandshakeError> {
        while let Some(&byte) = buf.get(self.scanned) {
            self.check_limits(limits)?;
            self.check_byte(byte, buf)?;
            self.scanned += 1;
            if byte == b'\n' && self.end_line(buf, limits)? {
                return request::parse(&buf[..self.scanned], self.lines - 1);
            }
        }
        Ok(Head::Incomplete)
    }

    /// Judges that one more byte may be part of the head.
    fn check_limits(&self, limits: &HeadLimits) -> Result<(), HandshakeError> {
        if self.scanned >= limits.max_header_bytes {
            return Err(HandshakeError::new(431, "the headers are too long"));
        }
        if self.lines == 0 && self.scanned >= limits.max_header_bytes / 2 {
            return Err(HandshakeError::new(414, "the request line is too long"));
        }
        Ok(())
    }

    /// Judges the byte at `scanned` by itself and by the one before.
    fn check_byte(&self, byte: u8, buf: &[u8]) -> Result<(), HandshakeError> {
        let at_line_start = self.scanned == self.line_start;
        let after_cr = !at_line_start && buf[self.scanned - 1] == b'\r';
        match byte {
            b'\n' if after_cr => Ok(()),
            b'\n' => Err(bad("line feed without carriage return")),
            _ if after_cr => Err(bad("carriage return without line feed")),
            b'\r' if self.lines > 0 || !at_line_start => Ok(()),
            _ if self.scanned == 0 && !is_token_byte(byte) => Err(bad("not an HTTP request")),
            b' ' | b'\t' if at_line_start => Err(bad("folded header line")),
            b'\t' => Ok(()),
            0..0x20 | 0x7f => Err(bad("control character in the headers")),
            _ => Ok(()),
        }
    }

    /// Takes note of a line that ends at `scanned`; returns whether it ends the head.
    fn end_line(&mut self, buf: &[u8], limits: &HeadLimits) -> Result<bool, HandshakeError> {
        let line = &buf[self.line_start..self.scanned - 2];
        if line.is_empty() {
            return Ok(true);
        }
        if self.lines == 0 && !(line.ends_with(b" HTTP/1.1") || line.ends_with(b" HTTP/1.0")) {
            return Err(bad("not an HTTP/1 request"));
        }
        if self.lines > limits.max_headers {
            return Err(HandshakeError::new(431, "too many headers"));
        }
        self.lines += 1;
        self.line_start = self.scanned;
        Ok(false)
    }
}

const fn bad(reason: &'static str) -> HandshakeError {
    HandshakeError::new(400, reason)
}
