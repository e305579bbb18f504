//! §4: the opening handshake.

use gateway_core::error::HandshakeError;
use gateway_core::protocol::handshake::{
    Head, HeadLimits, HeadReader, Request, accept, read_response, refuse, refuse_error, request,
};

/// The request of §1.3.
const EXAMPLE: &str = "GET /chat?room=1&x=%20 HTTP/1.1\r\n\
    Host: server.example.com\r\n\
    Upgrade: websocket\r\n\
    Connection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Origin: http://example.com\r\n\
    Sec-WebSocket-Protocol: chat, superchat\r\n\
    Sec-WebSocket-Version: 13\r\n\r\n";

fn read(head: impl AsRef<[u8]>) -> Result<Head, HandshakeError> {
    HeadReader::default().read(head.as_ref(), &HeadLimits::default())
}

fn upgrade(head: impl AsRef<[u8]>) -> Request {
    match read(head) {
        Ok(Head::Upgrade(request)) => *request,
        other => panic!("expected a request, got {other:?}"),
    }
}

fn status(head: impl AsRef<[u8]>) -> u16 {
    match read(head) {
        Err(error) => error.status,
        Ok(head) => panic!("expected an error, got {head:?}"),
    }
}

/// The example with one line replaced; an empty `new` removes it.
fn with(name: &str, new: &str) -> String {
    assert!(EXAMPLE.contains(name));
    EXAMPLE
        .split_inclusive("\r\n")
        .map(|line| match (line.starts_with(name), new) {
            (false, _) => line.to_owned(),
            (true, "") => String::new(),
            (true, new) => format!("{new}\r\n"),
        })
        .collect()
}

fn and(line: &str) -> String {
    with("Origin", line)
}

#[test]
fn the_example_of_section_1_3_is_accepted() {
    let request = upgrade(EXAMPLE);
    assert_eq!(
        (request.path.as_str(), request.query.as_str()),
        ("/chat", "room=1&x=%20")
    );
    assert_eq!(request.subprotocols, ["chat", "superchat"]);
    assert_eq!(
        request.headers[4],
        ("origin".to_owned(), "http://example.com".to_owned())
    );
    assert_eq!(request.head_len, EXAMPLE.len());
    let response = String::from_utf8(accept(&request, Some("chat"), None).expect("offered")).expect("ASCII");
    assert_eq!(
        response,
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\
         sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nsec-websocket-protocol: chat\r\n\r\n"
    );
}

#[test]
fn a_request_may_come_in_any_pieces() {
    let bytes = EXAMPLE.as_bytes();
    let mut reader = HeadReader::default();
    for end in 0..bytes.len() {
        assert_eq!(
            reader.read(&bytes[..end], &HeadLimits::default()),
            Ok(Head::Incomplete)
        );
    }
    assert_eq!(
        reader.read(bytes, &HeadLimits::default()),
        Ok(Head::Upgrade(Box::new(upgrade(EXAMPLE))))
    );
}

#[test]
fn what_browsers_and_proxies_send_is_accepted() {
    upgrade(with("Connection", "Connection: keep-alive, Upgrade"));
    upgrade(with("Connection", "connection:UPGRADE"));
    upgrade(with("Upgrade", "Upgrade: WebSocket"));
    upgrade(with("Host", "Host: [::1]:8000"));
    upgrade(and("Content-Length: 0"));
    upgrade(and("X-Name: caf\u{e9}"));
}

#[test]
fn values_are_decoded_as_latin_1() {
    let mut head = and("X-Name: caf@").into_bytes();
    let at = head.iter().position(|byte| *byte == b'@').expect("there");
    head[at] = 0xe9;
    assert!(
        upgrade(head)
            .headers
            .contains(&("x-name".to_owned(), "café".to_owned()))
    );
}

#[test]
fn frames_may_follow_the_request_in_the_same_read() {
    let bytes = [EXAMPLE.as_bytes(), &[0x81, 0x80, 0, 0, 0, 0]].concat();
    assert_eq!(upgrade(&bytes).head_len, EXAMPLE.len());
}

#[test]
fn everything_that_asks_for_no_websocket_is_for_the_http_server() {
    for head in [
        "GET /api/rooms HTTP/1.1\r\nHost: h\r\n\r\n",
        "POST /api/login HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n{}",
        "GET / HTTP/1.0\r\n\r\n",
        "GET http://h/ HTTP/1.1\r\nHost: h\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n",
        &with("Upgrade", ""),
        &with("Upgrade", "Upgrade: h2c"),
        &with("Upgrade", "Upgrade: websocketx"),
    ] {
        assert_eq!(read(head), Ok(Head::Http), "{head}");
    }
}

#[test]
fn b2_a_head_over_the_limit_is_refused_at_the_first_byte_over_it() {
    let limits = HeadLimits::default();
    let head = format!("GET / HTTP/1.1\r\nX: {}", "a".repeat(20_000_000)).into_bytes();
    let mut reader = HeadReader::default();
    assert_eq!(
        reader.read(&head[..limits.max_header_bytes], &limits),
        Ok(Head::Incomplete)
    );
    let refused = reader.read(&head[..=limits.max_header_bytes], &limits);
    assert_eq!(refused.map_err(|error| error.status), Err(431));
    assert_eq!(status(&head), 431);
}

#[test]
fn b2_a_path_over_half_the_limit_is_refused_with_414() {
    assert_eq!(
        status(format!("GET /{} HTTP/1.1\r\n", "a".repeat(64 * 1024))),
        414
    );
    assert_eq!(status(format!("GET /{}", "a".repeat(8192))), 414);
    assert_eq!(read(format!("GET /{}", "a".repeat(8000))), Ok(Head::Incomplete));
}

#[test]
fn b2_too_many_headers_are_refused_with_431() {
    let head = |count| format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(count));
    assert_eq!(read(head(64)), Ok(Head::Http));
    assert_eq!(status(head(65)), 431);
    assert_eq!(status(head(2000)), 431);
}

#[test]
fn b2_what_could_be_read_in_two_ways_is_refused_at_once() {
    for bad in [
        "Origin: a\n",
        "Origin: a\rb: c",
        "Origin: a\r\r",
        "Origin: a\0",
        "Origin: a\x01",
        "Origin: a\x7f",
        "Origin: a\r\n folded",
        "Origin: a\r\n\tfolded",
        "GET / HTTP/1.1\n",
    ] {
        let head = if bad.starts_with("GET") {
            bad.to_owned()
        } else {
            format!("GET / HTTP/1.1\r\n{bad}")
        };
        assert_eq!(status(&head), 400, "{bad:?}");
    }
    for line in ["Origin : a", ": a", "no colon", "Ori gin: a", "Orig\u{e9}n: a"] {
        assert_eq!(status(and(line)), 400, "{line:?}");
    }
}

#[test]
fn b2_the_work_is_linear_when_bytes_come_one_by_one() {
    // Quadratic work would take minutes here: 1 MiB in reads of a byte.
    let limits = HeadLimits {
        max_header_bytes: 1 << 21,
        max_headers: 64,
    };
    let head = format!("GET / HTTP/1.1\r\nHost: h\r\nX: {}\r\n\r\n", "a".repeat(1 << 20)).into_bytes();
    let mut reader = HeadReader::default();
    for end in 0..head.len() {
        assert_eq!(reader.read(&head[..end], &limits), Ok(Head::Incomplete));
    }
    assert_eq!(reader.read(&head, &limits), Ok(Head::Http));
}

#[test]
fn b3_missing_repeated_or_garbled_headers_are_refused_with_400() {
    for name in ["Host", "Connection", "Sec-WebSocket-Key"] {
        assert_eq!(status(with(name, "")), 400, "no {name}");
        let line = EXAMPLE
            .lines()
            .find(|line| line.starts_with(name))
            .expect("there");
        assert_eq!(status(and(line)), 400, "two {name}");
    }
    assert_eq!(status(and("Upgrade: websocket")), 400);
    assert_eq!(status(and("Upgrade: h2c")), 400);
    for line in [
        "Connection: close",
        "Connection: Upgraded",
        "Connection:",
        "Connection: \"Upgrade\"",
    ] {
        assert_eq!(status(with("Connection", line)), 400, "{line}");
    }
}

#[test]
fn b3_a_key_that_is_not_16_bytes_in_canonical_base64_is_refused_with_400() {
    for key in [
        "",
        "abc",
        "dGhlIHNhbXBsZSBub25jZQ=",
        "dGhlIHNhbXBsZSBub25jZQ",
        "dGhlIHNhbXBsZSBub25jZR==", // trailing bits
        "dGhlIHNhbXBsZSBub25jZXg=", // 17 bytes
        "dGhlIHNhbXBsZSBub25j",     // 15 bytes
        "dGhlIHNhbXBsZSBub25jZQ==, dGhlIHNhbXBsZSBub25jZQ==",
        "dGhlIHNhb\u{e9}sZSBub25jZQ==",
        "dGhlIHNhbXBs_SBub25jZQ==",
    ] {
        assert_eq!(
            status(with("Sec-WebSocket-Key", &format!("Sec-WebSocket-Key: {key}"))),
            400,
            "{key}"
        );
    }
}

#[test]
fn b3_another_version_is_refused_with_426_and_told_ours() {
    for version in ["8", "12", "14", "abc", "013", "13, 8", ""] {
        let head = with(
            "Sec-WebSocket-Version",
            &format!("Sec-WebSocket-Version: {version}"),
        );
        assert_eq!(status(head), 426, "{version}");
    }
    assert_eq!(status(with("Sec-WebSocket-Version", "")), 426);
    assert_eq!(status(and("Sec-WebSocket-Version: 13")), 426);
    let error = read(with("Sec-WebSocket-Version", "")).expect_err("426");
    let response = String::from_utf8(refuse_error(&error)).expect("UTF-8");
    assert!(response.starts_with("HTTP/1.1 426 Upgrade Required\r\n"));
    assert!(response.contains("\r\nsec-websocket-version: 13\r\n"));
}

#[test]
fn b4_malformed_lists_are_refused_with_400() {
    for line in [
        "Sec-WebSocket-Extensions: a; b=\"unclosed",
        "Sec-WebSocket-Extensions: a; b=\"x\\",
        "Sec-WebSocket-Extensions: permessage-deflate;",
        "Sec-WebSocket-Extensions: permessage-deflate; =",
        "Sec-WebSocket-Extensions: permessage-deflate, foo bar",
    ] {
        assert_eq!(status(and(line)), 400, "{line}");
    }
    for value in ["a b", "\"chat\"", "chat;1", "ch\u{e9}t"] {
        let line = format!("Sec-WebSocket-Protocol: {value}");
        assert_eq!(status(with("Sec-WebSocket-Protocol", &line)), 400, "{line}");
    }
}

#[test]
fn b4_long_lists_are_read_in_linear_time() {
    let limits = HeadLimits {
        max_header_bytes: 4_000_000,
        max_headers: 64,
    };
    let lists = [
        " ".repeat(1_000_000),
        "permessage-deflate; server_max_window_bits=7,".repeat(20_000),
        "a,".repeat(500_000),
        format!("a; b=\"{}\"", "\\\\".repeat(500_000)),
        format!("a{}", ";b".repeat(500_000)),
        "\"".repeat(1_000_000),
        ",".repeat(1_000_000),
    ];
    for list in lists {
        for name in ["Sec-WebSocket-Extensions", "Sec-WebSocket-Protocol"] {
            let head = and(&format!("{name}: {list}"));
            // Accepted or refused, but neither slow nor a panic.
            match HeadReader::default().read(head.as_bytes(), &limits) {
                Ok(Head::Upgrade(request)) => assert_eq!(request.deflate_offer, None),
                Err(error) => assert_eq!(error.status, 400),
                other => panic!("{other:?}"),
            }
        }
    }
}

#[test]
fn b4_many_subprotocols_are_refused_with_400() {
    assert_eq!(
        upgrade(and(&format!("Sec-WebSocket-Protocol: {}", "a,".repeat(62))))
            .subprotocols
            .len(),
        64
    );
    assert_eq!(
        status(and(&format!("Sec-WebSocket-Protocol: {}", "a,".repeat(63)))),
        400
    );
}

#[test]
fn b7_a_request_that_could_smuggle_is_refused_with_400() {
    for line in [
        "Content-Length: 5",
        "Content-Length: 00",
        "Content-Length: +0",
        "Content-Length: abc",
        "Content-Length: 0, 5",
        "Transfer-Encoding: chunked",
        "Transfer-Encoding: identity",
    ] {
        assert_eq!(status(and(line)), 400, "{line}");
    }
    for line in [
        "GET /chat HTTP/1.0",
        "POST /chat HTTP/1.1",
        "HEAD /chat HTTP/1.1",
        "get /chat HTTP/1.1",
        "GET http://server.example.com/chat HTTP/1.1",
        "GET ws://server.example.com/chat HTTP/1.1",
        "GET chat HTTP/1.1",
        "GET * HTTP/1.1",
        "GET /chat#fragment HTTP/1.1",
        "GET  /chat HTTP/1.1",
        "GET /chat HTTP/1.2",
        "GET /chat HTTP/2.0",
        "GET /chat",
        "GET /a b HTTP/1.1",
    ] {
        assert_eq!(status(with("GET", line)), 400, "{line}");
    }
    for host in [
        "",
        "user@host",
        "user:password@host",
        "a/b",
        "host:port",
        "a b",
        "h\u{f6}st",
    ] {
        assert_eq!(status(with("Host", &format!("Host: {host}"))), 400, "{host}");
    }
}

#[test]
fn b8_what_is_no_http_is_refused_at_once() {
    for junk in [
        b"\x16\x03\x01\x02\x00".as_slice(), // TLS ClientHello
        b"\x16",
        b"\0",
        b"\r\n",
        b" GET / HTTP/1.1\r\n",
        b"\xff\xfe",
        b"\x0d\x0a\x0d\x0a\x00\x0d\x0a\x51\x55\x49\x54\x0a", // PROXY version 2
        b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"PRI * HTTP/2.0\r\n",
        b"{\"protocol\":\"json\"}\x1e",
    ] {
        assert_eq!(status(junk), 400, "{junk:x?}");
    }
}

#[test]
fn a_subprotocol_that_was_not_offered_is_the_callers_mistake() {
    let request = upgrade(EXAMPLE);
    assert!(accept(&request, Some("other"), None).is_err());
    assert!(accept(&request, Some("chat\r\nx: y"), None).is_err());
    assert!(accept(&request, None, crate::peer::COMPRESSED).is_err());
}

#[test]
fn a_refusal_closes_and_tells_its_length() {
    let response = refuse(503, &[("retry-after", "5")], b"later").expect("legal");
    let expected = "HTTP/1.1 503 Service Unavailable\r\nretry-after: 5\r\ncontent-length: 5\r\n\
        connection: close\r\n\r\nlater";
    assert_eq!(String::from_utf8(response).expect("UTF-8"), expected);
}

#[test]
fn b7_a_refusal_cannot_be_split() {
    for (name, value) in [
        ("x", "a\r\nset-cookie: b"),
        ("x", "a\nb"),
        ("x", "a\0"),
        ("x\r\ny", "a"),
        ("x y", "a"),
        ("", "a"),
        ("Content-Length", "3"),
        ("connection", "keep-alive"),
        ("Transfer-Encoding", "chunked"),
    ] {
        assert!(refuse(403, &[(name, value)], b"").is_err(), "{name}: {value:?}");
    }
    for status in [0, 101, 200, 302, 399, 600] {
        assert!(refuse(status, &[], b"").is_err(), "{status}");
    }
}

#[test]
fn a_client_refuses_a_response_that_breaks_the_rules() {
    let key = [7; 16];
    let parsed = upgrade(request("h", "/", key, &[], true, &[]));
    let good = String::from_utf8(accept(&parsed, None, None).expect("legal")).expect("ASCII");
    assert!(read_response(good.as_bytes(), key).is_ok_and(|response| response.is_some()));
    assert_eq!(read_response(&good.as_bytes()[..good.len() - 1], key), Ok(None));
    assert!(read_response(good.as_bytes(), [8; 16]).is_err());
    for (old, new) in [
        ("upgrade: websocket", "upgrade: h2c"),
        ("connection: Upgrade", "connection: close"),
        (
            "\r\n\r\n",
            "\r\nsec-websocket-extensions: permessage-deflate\r\n\r\n",
        ), // keeps a context
        ("\r\n\r\n", "\r\nsec-websocket-extensions: foo\r\n\r\n"),
        ("HTTP/1.1 101", "HTTP/1.1"),
    ] {
        assert!(
            read_response(good.replacen(old, new, 1).as_bytes(), key).is_err(),
            "{new}"
        );
    }
    let refused = refuse(403, &[], b"no").expect("legal");
    assert_eq!(
        read_response(&refused, key).map_err(|error| error.status),
        Err(403)
    );
}

#[test]
fn b4_a_client_survives_a_bad_window_in_the_response() {
    let key = [7; 16];
    let parsed = upgrade(request("h", "/", key, &[], true, &[]));
    let good = String::from_utf8(accept(&parsed, None, None).expect("legal")).expect("ASCII");
    for (bits, legal) in [
        ("7", false),
        ("8", false),
        ("9", true),
        ("15", true),
        ("16", false),
        ("abc", false),
    ] {
        let header = format!(
            "\r\nsec-websocket-extensions: permessage-deflate; server_no_context_takeover; \
             client_max_window_bits={bits}\r\n\r\n"
        );
        assert_eq!(
            read_response(good.replacen("\r\n\r\n", &header, 1).as_bytes(), key).is_ok(),
            legal,
            "{bits}"
        );
    }
}
