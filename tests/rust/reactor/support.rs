//! An application that a test plays step by step, and peers with blocking sockets.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use gateway_core::protocol::handshake::Request;
use gateway_core::reactor::{Config, ConnectionId, Event, Gateway};

/// Nothing in these tests takes this long, however loaded the machine is.
pub const WAIT: Duration = Duration::from_secs(60);

/// A gateway and the events that nobody has asked for yet.
pub struct App {
    pub gateway: Gateway,
    backlog: VecDeque<Event>,
}

impl App {
    pub fn start(config: Config) -> Self {
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let gateway = Gateway::start(config, address).expect("a free port");
        Self {
            gateway,
            backlog: VecDeque::new(),
        }
    }

    /// The first event that `wanted` makes something of; others stay for later.
    pub fn next<T>(&mut self, wanted: impl Fn(&Event) -> Option<T>) -> T {
        let deadline = Instant::now() + WAIT;
        loop {
            if let Some(at) = self.backlog.iter().position(|event| wanted(event).is_some()) {
                return self
                    .backlog
                    .remove(at)
                    .as_ref()
                    .and_then(wanted)
                    .expect("it was there");
            }
            self.wait(deadline);
        }
    }

    pub fn opened(&mut self) -> (ConnectionId, std::sync::Arc<Request>) {
        self.next(|event| match event {
            Event::Opened { id, request, .. } => Some((*id, request.clone())),
            _ => None,
        })
    }

    pub fn received(&mut self) -> (ConnectionId, Vec<u8>) {
        self.next(|event| match event {
            Event::Received { id, payload, .. } => Some((*id, payload.clone())),
            _ => None,
        })
    }

    pub fn closed(&mut self) -> (ConnectionId, u16, bool) {
        self.next(|event| match event {
            Event::Closed { id, code, clean, .. } => Some((*id, *code, *clean)),
            _ => None,
        })
    }

    pub fn drained(&mut self) -> (ConnectionId, Vec<(String, u64)>) {
        self.next(|event| match event {
            Event::Drained { id, missed } => Some((
                *id,
                missed
                    .iter()
                    .map(|(topic, position)| (topic.to_string(), *position))
                    .collect(),
            )),
            _ => None,
        })
    }

    /// An accepted connection, subscribed to `topics`.
    pub fn connect(&mut self, topics: &[&str]) -> (Peer, ConnectionId) {
        let mut peer = Peer::connect(self.gateway.address());
        peer.send(REQUEST);
        let (id, _) = self.opened();
        assert!(self.gateway.accept(id, None, "").expect("asked"));
        for topic in topics {
            assert!(self.gateway.subscribe(id, topic).expect("open"));
        }
        self.gateway.flush();
        assert!(peer.head().starts_with("HTTP/1.1 101 "));
        (peer, id)
    }

    /// Waits until the counters satisfy `enough`.
    pub fn until(&mut self, enough: impl Fn(&gateway_core::reactor::Stats) -> bool) {
        let deadline = Instant::now() + WAIT;
        while !enough(&self.gateway.stats()) {
            assert!(Instant::now() < deadline, "{:?}", self.gateway.stats());
            self.gateway.flush();
            std::thread::yield_now();
        }
    }

    /// Forgets the messages that nobody has asked for.
    pub fn forget_messages(&mut self) {
        self.backlog
            .retain(|event| !matches!(event, Event::Received { .. }));
    }

    /// Waits until the commands given so far are carried out: a handshake of its own has come and gone.
    pub fn settle(&mut self) {
        let accepted = self.gateway.stats().accepted;
        self.gateway.flush();
        for number in 1..=2 {
            // The second is accepted in a later turn than the first, and commands are taken in each.
            drop(Peer::connect(self.gateway.address()));
            self.until(|stats| stats.accepted >= accepted + number);
        }
    }

    /// Waits until every reactor has said that it holds no socket any more.
    pub fn until_drained(&mut self) {
        let deadline = Instant::now() + WAIT;
        while !self.gateway.is_drained() {
            assert!(Instant::now() < deadline, "a reactor still holds sockets");
            let events = self.poll(Duration::from_millis(100));
            self.backlog.extend(events);
        }
    }

    /// The events that come within `timeout`, the backlog aside.
    pub fn poll(&mut self, timeout: Duration) -> Vec<Event> {
        self.gateway.flush();
        wait_readable(self.gateway.events_fd(), timeout);
        self.gateway.take_events(4096).expect("no reactor has died")
    }

    /// Hands over commands, waits for events, and adds them to the backlog.
    fn wait(&mut self, deadline: Instant) {
        let events = self.gateway.take_events(4096).expect("no reactor has died");
        if events.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "nothing came; waiting: {:?}", self.backlog);
            wait_readable(self.gateway.events_fd(), left);
        }
        self.backlog.extend(events);
    }
}

fn wait_readable(fd: i32, timeout: Duration) {
    let mut poll = libc::pollfd {
        fd,
        events: libc::POLLIN,
        revents: 0,
    };
    let millis = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
    // SAFETY: one valid pollfd.
    unsafe { libc::poll(&raw mut poll, 1, millis) };
}

pub const REQUEST: &[u8] = b"GET /ws HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

pub const TEXT: u8 = 1;
pub const BINARY: u8 = 2;
pub const CLOSE: u8 = 8;
pub const PING: u8 = 9;
pub const PONG: u8 = 10;

/// The other end of a connection. Reading fails after `WAIT`.
pub struct Peer(pub TcpStream);

impl Peer {
    pub fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("the gateway listens");
        stream.set_read_timeout(Some(WAIT)).expect("a timeout");
        Self(stream)
    }

    pub fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).expect("the gateway reads");
    }

    pub fn send_frame(&mut self, opcode: u8, payload: &[u8]) {
        self.send(&frame(opcode, payload));
    }

    /// A response's head.
    pub fn head(&mut self) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            self.0.read_exact(&mut byte).expect("a whole head");
            head.extend(byte);
        }
        String::from_utf8(head).expect("ASCII")
    }

    /// The next frame: opcode and payload.
    pub fn frame(&mut self) -> (u8, Vec<u8>) {
        self.try_frame().expect("a whole frame")
    }

    pub fn try_frame(&mut self) -> io::Result<(u8, Vec<u8>)> {
        let mut start = [0; 2];
        self.0.read_exact(&mut start)?;
        let len = match start[1] {
            126 => {
                let mut len = [0; 2];
                self.0.read_exact(&mut len)?;
                usize::from(u16::from_be_bytes(len))
            }
            127 => {
                let mut len = [0; 8];
                self.0.read_exact(&mut len)?;
                usize::try_from(u64::from_be_bytes(len)).expect("fits")
            }
            len => usize::from(len),
        };
        let mut payload = vec![0; len];
        self.0.read_exact(&mut payload)?;
        Ok((start[0] & 15, payload))
    }

    /// The next message, as text.
    pub fn message(&mut self) -> String {
        let (opcode, payload) = self.frame();
        assert!(opcode == TEXT || opcode == BINARY, "opcode {opcode}: {payload:?}");
        String::from_utf8(payload).expect("text")
    }

    /// The close code of the next frame.
    pub fn close_code(&mut self) -> u16 {
        let (opcode, payload) = self.frame();
        assert_eq!(opcode, CLOSE);
        u16::from_be_bytes([payload[0], payload[1]])
    }

    /// Reads until the connection ends, in whichever way.
    pub fn end(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        if let Err(error) = self.0.read_to_end(&mut rest) {
            assert_ne!(
                error.kind(),
                io::ErrorKind::WouldBlock,
                "the connection does not end"
            );
        }
        rest
    }
}

/// A frame of a client.
pub fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x80 | opcode];
    match payload.len() {
        len @ 0..=125 => frame.push(0x80 | u8::try_from(len).expect("small")),
        len @ 126..=65_535 => {
            frame.push(0x80 | 126);
            frame.extend(u16::try_from(len).expect("medium").to_be_bytes());
        }
        len => {
            frame.push(0x80 | 127);
            frame.extend((len as u64).to_be_bytes());
        }
    }
    let key = [1, 2, 3, 4];
    frame.extend(key);
    frame.extend(
        payload
            .iter()
            .zip(key.iter().cycle())
            .map(|(byte, key)| byte ^ key),
    );
    frame
}
