//! The opening handshake: cuts change nothing, and what is accepted keeps its promises.

use gateway_core::protocol::handshake::{
    Head, HeadLimits, HeadReader, Request, accept, read_response, refuse_error,
};

const LIMITS: HeadLimits = HeadLimits {
    max_header_bytes: 2048,
    max_headers: 16,
};

pub fn handshake(data: &[u8]) {
    let whole = HeadReader::default().read(data, &LIMITS);
    let mut reader = HeadReader::default();
    let piecewise = (0..=data.len())
        .map(|end| reader.read(&data[..end], &LIMITS))
        .find(|result| !matches!(result, Ok(Head::Incomplete)))
        .unwrap_or(Ok(Head::Incomplete));
    assert_eq!(whole, piecewise);
    match whole {
        Ok(Head::Upgrade(request)) => check(&request, data),
        Ok(Head::Incomplete) => assert!(data.len() <= LIMITS.max_header_bytes),
        Ok(Head::Http) => {}
        Err(error) => {
            assert!(matches!(error.status, 400 | 414 | 426 | 431));
            assert!(refuse_error(&error).ends_with(format!("{}\n", error.reason).as_bytes()));
        }
    }
    let _ = read_response(data, *KEY); // must not panic
}

fn check(request: &Request, data: &[u8]) {
    assert!(request.path.starts_with('/'));
    assert!(data[..request.head_len].ends_with(b"\r\n\r\n"));
    assert!(request.headers.len() <= LIMITS.max_headers);
    for (name, value) in &request.headers {
        assert!(!name.is_empty() && !name.bytes().any(|byte| byte.is_ascii_uppercase()));
        assert!(!value.contains(['\r', '\n', '\0']));
    }
    let agreement = request.deflate_offer.map(|offer| offer.accept());
    let subprotocol = request.subprotocols.last().map(String::as_str);
    let response = accept(request, subprotocol, agreement).expect("what was offered can be accepted");
    let read = read_response(&response, *KEY);
    if request.key == KEY_IN_BASE64 {
        let read = read.expect("our client accepts it").expect("it is whole");
        assert_eq!(
            (read.subprotocol.as_deref(), read.agreement),
            (subprotocol, agreement)
        );
        assert_eq!(read.head_len, response.len());
    } else {
        assert!(read.is_err());
    }
}

/// The key of the seeds (§1.3).
const KEY: &[u8; 16] = b"the sample nonce";
const KEY_IN_BASE64: &str = "dGhlIHNhbXBsZSBub25jZQ==";
