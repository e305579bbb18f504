//! The floor: the least that a broadcast over WebSocket can cost on this machine.
//!
//! Bare epoll, no limits, no timers, no topics: every connection belongs to one room. What it spends is the
//! kernel's send and nothing else; a real server is measured as a ratio to it. Not for any other use.
//!
//! - `write`: each message is one `write` of one ready frame to each socket.
//! - `coalesced`: the messages of one turn go out as one contiguous `write` to each socket.
//! - `echo`: each message goes back to its sender.
//! - `sink`: messages are counted; one that is `?` is answered with the count.

use std::io::{self, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd, RawFd};

use clap::{Parser, ValueEnum};
use sha1::{Digest, Sha1};
use socket2::{Domain, Protocol, Socket, Type};

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Mode {
    Write,
    Coalesced,
    Echo,
    Sink,
}

#[derive(Parser)]
#[command(version, about)]
struct Arguments {
    /// Where to listen on 127.0.0.1; 0 lets the system choose.
    #[arg(long, default_value_t = 0)]
    port: u16,
    #[arg(long, value_enum, default_value_t = Mode::Write)]
    mode: Mode,
}

struct Peer {
    stream: TcpStream,
    open: bool,
    /// Input that is no whole frame yet.
    partial: Vec<u8>,
    /// Output that the kernel did not take yet.
    pending: Vec<u8>,
}

struct Floor {
    epoll: RawFd,
    listener: TcpListener,
    mode: Mode,
    peers: Vec<Option<Peer>>,
    turn: Vec<u8>,
    /// Messages that a sink has had.
    count: u64,
}

const EVENTS: usize = 1024;
const LISTENER: u64 = u64::MAX;

fn main() -> io::Result<()> {
    let arguments = Arguments::parse();
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.bind(&std::net::SocketAddr::from(([127, 0, 0, 1], arguments.port)).into())?;
    socket.listen(4096)?;
    socket.set_nonblocking(true)?;
    let listener = TcpListener::from(socket);
    println!("listening on {}", listener.local_addr()?);
    // SAFETY: no pointers are passed.
    let epoll = unsafe { libc::epoll_create1(0) };
    let mut floor = Floor {
        epoll,
        listener,
        mode: arguments.mode,
        peers: Vec::new(),
        turn: Vec::new(),
        count: 0,
    };
    floor.watch(
        libc::EPOLL_CTL_ADD,
        floor.listener.as_raw_fd(),
        LISTENER,
        libc::EPOLLIN,
    )?;
    floor.run()
}

impl Floor {
    fn watch(&self, operation: i32, fd: RawFd, data: u64, interest: i32) -> io::Result<()> {
        let mut event = libc::epoll_event {
            events: interest.cast_unsigned(),
            u64: data,
        };
        // SAFETY: `event` is valid for the call's duration.
        match unsafe { libc::epoll_ctl(self.epoll, operation, fd, &raw mut event) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }

    fn run(&mut self) -> io::Result<()> {
        let mut events = vec![libc::epoll_event { events: 0, u64: 0 }; EVENTS];
        let mut buffer = vec![0; 1 << 20];
        loop {
            let capacity = i32::try_from(EVENTS).unwrap_or(i32::MAX);
            // SAFETY: `events` has room for `capacity` entries.
            let count = unsafe { libc::epoll_wait(self.epoll, events.as_mut_ptr(), capacity, -1) };
            for event in &events[..usize::try_from(count).unwrap_or(0)] {
                match event.u64 {
                    LISTENER => self.accept()?,
                    peer => {
                        let peer = usize::try_from(peer).unwrap_or(usize::MAX);
                        if event.events & libc::EPOLLOUT.cast_unsigned() != 0 {
                            self.flush(peer);
                        }
                        self.read(peer, &mut buffer);
                    }
                }
            }
            if !self.turn.is_empty() {
                let turn = std::mem::take(&mut self.turn);
                self.broadcast(&turn);
            }
        }
    }

    fn accept(&mut self) -> io::Result<()> {
        for _ in 0..256 {
            let Ok((stream, _)) = self.listener.accept() else {
                break;
            };
            stream.set_nonblocking(true)?;
            stream.set_nodelay(true)?;
            let index = self.peers.len();
            self.watch(
                libc::EPOLL_CTL_ADD,
                stream.as_raw_fd(),
                index as u64,
                libc::EPOLLIN,
            )?;
            self.peers.push(Some(Peer {
                stream,
                open: false,
                partial: Vec::new(),
                pending: Vec::new(),
            }));
        }
        Ok(())
    }

    fn read(&mut self, index: usize, buffer: &mut [u8]) {
        let Some(peer) = self.peers[index].as_mut() else {
            return;
        };
        let kept = peer.partial.len();
        buffer[..kept].copy_from_slice(&peer.partial);
        peer.partial = Vec::new();
        match io::Read::read(&mut peer.stream, &mut buffer[kept..]) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                buffer[..kept].clone_into(&mut peer.partial)
            }
            Ok(0) | Err(_) => self.peers[index] = None,
            Ok(n) => self.consume(index, &mut buffer[..kept + n]),
        }
    }

    fn consume(&mut self, index: usize, mut data: &mut [u8]) {
        let peer = self.peers[index].as_mut().expect("just read from it");
        if !peer.open {
            let Some(end) = data.windows(4).position(|window| window == b"\r\n\r\n") else {
                peer.partial = data.to_vec();
                return;
            };
            let response = handshake(&data[..end]);
            peer.open = true;
            self.write(index, &response);
            data = &mut data[end + 4..];
        }
        while let Some((start, end)) = unmask(data) {
            let (frame, rest) = data.split_at_mut(end);
            data = rest;
            match frame[0] & 0x0f {
                1 | 2 => self.message(index, frame[0], &frame[start..]),
                8 => return self.peers[index] = None,
                _ => {}
            }
        }
        if let Some(peer) = self.peers[index].as_mut() {
            peer.partial = data.to_vec();
        }
    }

    fn message(&mut self, index: usize, first: u8, payload: &[u8]) {
        if self.mode == Mode::Sink {
            if payload != b"?" {
                self.count += 1;
                return;
            }
            let count = self.count.to_string();
            let mut answer = vec![first, u8::try_from(count.len()).unwrap_or(0)];
            answer.extend_from_slice(count.as_bytes());
            return self.write(index, &answer);
        }
        let mut frame = Vec::with_capacity(payload.len() + 4);
        frame.push(first);
        match u8::try_from(payload.len()) {
            Ok(short @ 0..=125) => frame.push(short),
            _ => {
                frame.push(126);
                let length = u16::try_from(payload.len()).expect("benchmarks send less than 64 KiB");
                frame.extend_from_slice(&length.to_be_bytes());
            }
        }
        frame.extend_from_slice(payload);
        match self.mode {
            Mode::Echo => self.write(index, &frame),
            Mode::Write => self.broadcast(&frame),
            Mode::Coalesced => self.turn.extend_from_slice(&frame),
            Mode::Sink => {}
        }
    }

    fn broadcast(&mut self, bytes: &[u8]) {
        for index in 0..self.peers.len() {
            self.write(index, bytes);
        }
    }

    fn write(&mut self, index: usize, bytes: &[u8]) {
        let Some(peer) = self.peers[index].as_mut().filter(|peer| peer.open) else {
            return;
        };
        let written = if peer.pending.is_empty() {
            peer.stream.write(bytes).unwrap_or(0)
        } else {
            0
        };
        if written < bytes.len() {
            let fd = peer.stream.as_raw_fd();
            peer.pending.extend_from_slice(&bytes[written..]);
            let _ = self.watch(
                libc::EPOLL_CTL_MOD,
                fd,
                index as u64,
                libc::EPOLLIN | libc::EPOLLOUT,
            );
        }
    }

    fn flush(&mut self, index: usize) {
        let Some(peer) = self.peers[index].as_mut() else {
            return;
        };
        let written = peer.stream.write(&peer.pending).unwrap_or(0);
        peer.pending.drain(..written);
        if peer.pending.is_empty() {
            let fd = peer.stream.as_raw_fd();
            let _ = self.watch(libc::EPOLL_CTL_MOD, fd, index as u64, libc::EPOLLIN);
        }
    }
}

/// Unmasks the frame at the front of `data`; where its payload begins and the frame ends.
fn unmask(data: &mut [u8]) -> Option<(usize, usize)> {
    let (header, length) = match data.get(1)? & 0x7f {
        126 => (4, usize::from(u16::from_be_bytes([*data.get(2)?, *data.get(3)?]))),
        127 => return None,
        short => (2, usize::from(short)),
    };
    let end = header + 4 + length;
    if data.len() < end {
        return None;
    }
    let (head, payload) = data[..end].split_at_mut(header + 4);
    for (byte, mask) in payload.iter_mut().zip(head[header..].iter().cycle()) {
        *byte ^= mask;
    }
    Some((header + 4, end))
}

fn handshake(head: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(head);
    let key = (text.lines())
        .find_map(|line| {
            line.split_once(':')
                .filter(|(name, _)| name.eq_ignore_ascii_case("sec-websocket-key"))
        })
        .map_or("", |(_, value)| value.trim());
    let digest = Sha1::new()
        .chain_update(key)
        .chain_update("258EAFA5-E914-47DA-95CA-C5AB0DC85B11")
        .finalize();
    let accept = data_encoding::BASE64.encode(&digest);
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n\r\n"
    )
    .into_bytes()
}
