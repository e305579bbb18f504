//! The server's answers to a request (§4.2.2).

use super::fields::is_token;
use super::{EXTENSIONS, PROTOCOL, Request, accept_value};
use crate::error::{HandshakeError, UsageError};
use crate::protocol::Agreement;

/// The response that accepts `request` (§4.2.2): 101 Switching Protocols.
///
/// Errors: `subprotocol` is not among those offered, or `agreement` answers an offer that was not made.
pub fn accept(
    request: &Request,
    subprotocol: Option<&str>,
    agreement: Option<Agreement>,
) -> Result<Vec<u8>, UsageError> {
    let mut response = format!(
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\nsec-websocket-accept: {}\r\n",
        accept_value(&request.key)
    );
    if let Some(subprotocol) = subprotocol {
        if !request.subprotocols.iter().any(|offered| offered == subprotocol) {
            return Err(UsageError("this subprotocol was not offered"));
        }
        response += &format!("{PROTOCOL}: {subprotocol}\r\n");
    }
    if let Some(agreement) = agreement {
        let Some(offer) = request.deflate_offer else {
            return Err(UsageError("compression was not offered"));
        };
        response += &format!("{EXTENSIONS}: {}\r\n", agreement.response(offer));
    }
    response += "\r\n";
    Ok(response.into_bytes())
}

/// A response that refuses a request; adds `Content-Length` and `Connection: close`.
///
/// Errors: a status outside 400 to 599, a header name that is no token or one of those two, a value with a
/// control character.
pub fn refuse(status: u16, headers: &[(&str, &str)], body: &[u8]) -> Result<Vec<u8>, UsageError> {
    if !(400..=599).contains(&status) {
        return Err(UsageError("a refusal has a status from 400 to 599"));
    }
    for (name, value) in headers {
        if !is_token(name) || value.bytes().any(|byte| byte.is_ascii_control() && byte != b'\t') {
            return Err(UsageError(
                "a header name or value has characters that do not belong there",
            ));
        }
        if ["connection", "content-length", "transfer-encoding"]
            .iter()
            .any(|own| name.eq_ignore_ascii_case(own))
        {
            return Err(UsageError(
                "Connection, Content-Length and Transfer-Encoding are not the caller's",
            ));
        }
    }
    Ok(write_refusal(status, headers, body))
}

/// The response to a request that broke the rules; 426 names the version that we speak.
#[must_use]
pub fn refuse_error(error: &HandshakeError) -> Vec<u8> {
    let text = ("content-type", "text/plain; charset=utf-8");
    let version = [text, ("upgrade", "websocket"), ("sec-websocket-version", "13")];
    let headers = if error.status == 426 {
        &version[..]
    } else {
        &version[..1]
    };
    write_refusal(error.status, headers, format!("{}\n", error.reason).as_bytes())
}

fn write_refusal(status: u16, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut response = format!("HTTP/1.1 {status} {}\r\n", reason_phrase(status)).into_bytes();
    for (name, value) in headers {
        response.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
    }
    response
        .extend_from_slice(format!("content-length: {}\r\nconnection: close\r\n\r\n", body.len()).as_bytes());
    response.extend_from_slice(body);
    response
}

/// The usual words (RFC 9110 §15); they carry no meaning.
const fn reason_phrase(status: u16) -> &'static str {
    match status {
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        414 => "URI Too Long",
        426 => "Upgrade Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        503 => "Service Unavailable",
        _ => "Refused",
    }
}
