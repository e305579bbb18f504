//! Close codes and the payload of a Close frame (§5.5.1, §7.4).

use super::frame::MAX_CONTROL_PAYLOAD;
use crate::error::{ProtocolError, UsageError};

/// The purpose of the connection has been fulfilled.
pub const NORMAL: u16 = 1000;
/// The peer broke the protocol.
pub const PROTOCOL_ERROR: u16 = 1002;
/// Never sent: stands for a Close frame without a code.
pub const NO_STATUS: u16 = 1005;
/// Never sent: stands for an end without a Close frame.
pub const ABNORMAL: u16 = 1006;
/// Text that is not UTF-8, or compressed data that is broken.
pub const INVALID_PAYLOAD: u16 = 1007;
/// The peer broke a rule that has no code of its own.
pub const POLICY_VIOLATION: u16 = 1008;
/// The message exceeds a limit.
pub const MESSAGE_TOO_BIG: u16 = 1009;
/// Our own: the peer did not answer a ping; it may reconnect and resume.
pub const PING_TIMEOUT: u16 = 4012;

/// The longest reason, in bytes: a control frame's payload less the code.
pub const MAX_REASON: usize = MAX_CONTROL_PAYLOAD - 2;

/// Whether `code` may travel in a Close frame (§7.4.1 with the IANA registry, §7.4.2).
#[must_use]
pub const fn is_sendable(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

/// Reads the payload of a Close frame: code and reason; 1005 and "" if it is empty.
///
/// Errors: 1002 for a payload of one byte or a code that must not be sent, 1007 for a reason that is not UTF-8.
pub fn parse(payload: &[u8]) -> Result<(u16, &str), ProtocolError> {
    let Some((code, reason)) = payload.split_first_chunk() else {
        return match payload {
            [] => Ok((NO_STATUS, "")),
            _ => Err(ProtocolError::new(PROTOCOL_ERROR, "close payload of one byte")),
        };
    };
    let code = u16::from_be_bytes(*code);
    if !is_sendable(code) {
        return Err(ProtocolError::new(PROTOCOL_ERROR, "invalid close code"));
    }
    let reason = simdutf8::basic::from_utf8(reason)
        .map_err(|_| ProtocolError::new(INVALID_PAYLOAD, "close reason is not UTF-8"))?;
    Ok((code, reason))
}

/// Whether a Close frame may be sent with `code` and `reason`.
pub(crate) const fn check(code: u16, reason: &str) -> Result<(), UsageError> {
    if !is_sendable(code) {
        return Err(UsageError("this close code must not be sent"));
    }
    if reason.len() > MAX_REASON {
        return Err(UsageError("a close reason has at most 123 bytes"));
    }
    Ok(())
}

/// The payload of a Close frame; empty for 1005, which is never sent.
pub(super) fn payload(code: u16, reason: &str) -> Vec<u8> {
    if code == NO_STATUS {
        return Vec::new();
    }
    [&code.to_be_bytes(), reason.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_survives_the_round_trip() {
        for (code, reason) in [(1000, ""), (4012, "still there? — no"), (NO_STATUS, "")] {
            assert_eq!(parse(&payload(code, reason)), Ok((code, reason)));
        }
    }

    #[test]
    fn only_codes_that_may_be_sent_are_sent() {
        for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, u16::MAX] {
            assert!(check(code, "").is_err(), "{code}");
        }
        assert!(check(4999, &"x".repeat(123)).is_ok());
        assert!(check(4999, &"x".repeat(124)).is_err());
    }
}
