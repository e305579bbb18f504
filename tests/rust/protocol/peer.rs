//! The other end of a connection, written by the letter of the RFC and without the code under test.

use std::time::{Duration, Instant};

use gateway_core::error::ProtocolError;
use gateway_core::protocol::{
    Agreement, Connection, Event, Limits, Phase, Role, Shared, Timeouts, encode_message,
};

pub const FIN: u8 = 0x80;
pub const RSV1: u8 = 0x40;
pub const CONT: u8 = 0;
pub const TEXT: u8 = 1;
pub const BINARY: u8 = 2;
pub const CLOSE: u8 = 8;
pub const PING: u8 = 9;
pub const PONG: u8 = 10;

pub const COMPRESSED: Option<Agreement> = Some(Agreement {
    server_max_window_bits: 15,
    client_max_window_bits: 15,
});

pub const TIMEOUTS: Timeouts = Timeouts {
    ping_interval: Duration::from_secs(25),
    ping_timeout: Duration::from_secs(15),
    close_timeout: Duration::from_secs(5),
    message_timeout: Duration::from_secs(30),
};

/// A client's frame with these first byte and payload, masked.
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    raw_frame(first, payload.len() as u64, payload)
}

/// A client's frame that declares a length of its own.
pub fn raw_frame(first: u8, declared: u64, payload: &[u8]) -> Vec<u8> {
    let mut wire = vec![first];
    match declared {
        0..=125 => wire.push(0x80 | declared as u8),
        126..=0xffff => {
            wire.push(0x80 | 126);
            wire.extend((declared as u16).to_be_bytes());
        }
        _ => {
            wire.push(0x80 | 127);
            wire.extend(declared.to_be_bytes());
        }
    }
    let key = [0x5a, 0x00, 0xc3, 0x17];
    wire.extend(key);
    wire.extend(
        payload
            .iter()
            .zip(key.iter().cycle())
            .map(|(byte, mask)| byte ^ mask),
    );
    wire
}

pub fn close_frame(code: u16, reason: &[u8]) -> Vec<u8> {
    frame(FIN | CLOSE, &[&code.to_be_bytes(), reason].concat())
}

/// What the connection told or sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    Text(String),
    Binary(Vec<u8>),
    Pong(Vec<u8>),
    Closed(u16, String),
}

impl From<Event<'_>> for Seen {
    fn from(event: Event<'_>) -> Self {
        match event {
            Event::Message {
                payload,
                is_text: true,
            } => Seen::Text(
                std::str::from_utf8(payload)
                    .expect("a text event is UTF-8")
                    .to_owned(),
            ),
            Event::Message {
                payload,
                is_text: false,
            } => Seen::Binary(payload.to_vec()),
            Event::Pong { payload } => Seen::Pong(payload.to_vec()),
            Event::Closed { code, reason } => Seen::Closed(code, reason.to_owned()),
        }
    }
}

pub fn text(content: &str) -> Seen {
    Seen::Text(content.to_owned())
}

pub fn binary(content: &[u8]) -> Seen {
    Seen::Binary(content.to_vec())
}

pub fn pong(content: &[u8]) -> Seen {
    Seen::Pong(content.to_vec())
}

pub fn closed(code: u16, reason: &str) -> Seen {
    Seen::Closed(code, reason.to_owned())
}

/// A server's connection with everything that a reactor would keep beside it.
pub struct Server {
    pub connection: Connection,
    pub shared: Shared,
    pub now: Instant,
    pub events: Vec<Seen>,
    pub error: Option<ProtocolError>,
}

impl Server {
    pub fn new() -> Self {
        Self::with(Limits::default(), None)
    }

    pub fn with(limits: Limits, agreement: Option<Agreement>) -> Self {
        let now = Instant::now();
        Self {
            connection: Connection::new(Role::Server, agreement, 1.0, now),
            shared: Shared::new(limits),
            now,
            events: Vec::new(),
            error: None,
        }
    }

    /// Takes one read; events and an error add up.
    pub fn receive(&mut self, bytes: &[u8]) -> &mut Self {
        let Self {
            connection,
            shared,
            now,
            events,
            error,
        } = self;
        let mut data = bytes.to_vec();
        let result = connection.receive_data(&mut data, *now, shared, &mut |event| events.push(event.into()));
        if let Err(new) = result {
            assert_eq!(connection.phase(), Phase::Closed);
            assert_eq!(*error, None, "an error is told once");
            *error = Some(new);
        }
        self
    }

    /// Takes the bytes in reads of at most `size`.
    pub fn receive_in(&mut self, size: usize, bytes: &[u8]) -> &mut Self {
        for piece in bytes.chunks(size) {
            self.receive(piece);
        }
        self
    }

    pub fn events(&mut self) -> Vec<Seen> {
        std::mem::take(&mut self.events)
    }

    /// The close code of the protocol error, 0 if there was none.
    pub fn error_code(&self) -> u16 {
        self.error.map_or(0, |error| error.close_code)
    }

    /// What it has to send, as frames.
    pub fn sent(&mut self) -> Vec<(u8, Vec<u8>)> {
        let mut wire = Vec::new();
        self.connection.data_to_send(&mut wire);
        assert!(!self.connection.has_data_to_send());
        server_frames(&wire)
    }

    /// The code of the one Close frame it has to send.
    pub fn sent_close(&mut self) -> u16 {
        match self.sent().as_slice() {
            [(first, payload)] if *first == FIN | CLOSE => payload
                .first_chunk()
                .map_or(1005, |code| u16::from_be_bytes(*code)),
            other => panic!("expected one Close frame, got {other:?}"),
        }
    }

    /// Whether the connection has let go of all its memory.
    pub fn holds_nothing(&self) -> bool {
        self.connection.buffered_bytes() == 0
    }
}

/// The answer to everything in `bytes` of a server that echoes messages, as an Autobahn client sees it.
pub fn echo(server: &mut Server, reads: &[Vec<u8>]) -> Vec<Seen> {
    let agreement = server.connection.agreement();
    let mut wire = Vec::new();
    for read in reads {
        server.receive(read);
        if server.connection.phase() == Phase::Open {
            server.connection.data_to_send(&mut wire); // pongs are faster than the application
        }
        for event in server.events() {
            match event {
                Seen::Text(content) => {
                    wire.extend_from_slice(&encode_message(
                        content.as_bytes(),
                        true,
                        agreement,
                        &mut server.shared,
                    ));
                }
                Seen::Binary(content) => {
                    wire.extend_from_slice(&encode_message(&content, false, agreement, &mut server.shared));
                }
                Seen::Pong(_) | Seen::Closed(..) => {}
            }
        }
        server.connection.data_to_send(&mut wire);
    }
    server_frames(&wire)
        .into_iter()
        .map(|(first, payload)| seen(first, payload, agreement.is_some()))
        .collect()
}

/// A server's frame as the client understands it.
fn seen(first: u8, payload: Vec<u8>, compression: bool) -> Seen {
    let payload = if first & RSV1 != 0 {
        assert!(compression, "a compressed frame without agreement");
        inflate(&payload)
    } else {
        payload
    };
    match first & !RSV1 {
        0x81 => Seen::Text(String::from_utf8(payload).expect("UTF-8")),
        0x82 => Seen::Binary(payload),
        0x8a => Seen::Pong(payload),
        0x88 => match payload.split_first_chunk() {
            Some((code, reason)) => Seen::Closed(
                u16::from_be_bytes(*code),
                String::from_utf8_lossy(reason).into_owned(),
            ),
            None => closed(1005, ""),
        },
        other => panic!("a server that echoes sends no frame {other:#x}"),
    }
}

/// Cuts a server's bytes into frames: first byte and payload.
pub fn server_frames(mut wire: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut frames = Vec::new();
    while let [first, second, rest @ ..] = wire {
        assert_eq!(second & 0x80, 0, "a server masks nothing");
        let (len, rest) = match second {
            126 => (usize::from(u16::from_be_bytes([rest[0], rest[1]])), &rest[2..]),
            127 => (
                u64::from_be_bytes(rest[..8].try_into().expect("8 bytes")) as usize,
                &rest[8..],
            ),
            len => (usize::from(*len), rest),
        };
        frames.push((*first, rest[..len].to_vec()));
        wire = &rest[len..];
    }
    assert!(wire.is_empty(), "half a frame was sent");
    frames
}

/// Deflates like a client that uses the `flate2` crate by itself; with the tail taken off.
pub fn deflate(payload: &[u8]) -> Vec<u8> {
    let mut codec = flate2::Compress::new(flate2::Compression::default(), false);
    let mut out = Vec::with_capacity(payload.len() * 2 + 64);
    codec
        .compress_vec(payload, &mut out, flate2::FlushCompress::Sync)
        .expect("deflates");
    assert!(out.ends_with(&[0, 0, 0xff, 0xff]));
    out.truncate(out.len() - 4);
    out
}

/// Inflates one message as a client does that keeps no window.
pub fn inflate(payload: &[u8]) -> Vec<u8> {
    use std::io::Read;
    let whole = [payload, &[0, 0, 0xff, 0xff, 1, 0, 0, 0xff, 0xff]].concat();
    let mut out = Vec::new();
    flate2::read::DeflateDecoder::new(whole.as_slice())
        .read_to_end(&mut out)
        .expect("inflates");
    out
}
