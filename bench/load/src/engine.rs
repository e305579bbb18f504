//! Many client sockets on one thread: connects them, cuts their input into messages, writes what waits.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use crate::wire::{self, Broken};

/// What a scenario does with its connections. `index` counts from 0 in the order of opening.
pub trait Scenario {
    /// The handshake of connection `index`.
    fn request(&mut self, index: usize) -> Vec<u8>;
    /// The handshake is done.
    fn opened(&mut self, index: usize, sockets: &mut Sockets);
    /// A whole message.
    fn received(&mut self, index: usize, payload: &[u8], sockets: &mut Sockets) -> Result<(), Broken>;
    /// The connection ended; `code` is the peer's close code, if it sent one.
    fn closed(&mut self, index: usize, code: Option<u16>, sockets: &mut Sockets);
    /// Called at least every `TICK` and after every batch of input; false ends the run.
    fn tick(&mut self, now: Instant, sockets: &mut Sockets) -> bool;
}

/// The longest time between two ticks.
const TICK: Duration = Duration::from_millis(1);
/// Holds the longest message that `wire` admits and a good deal of input behind it.
const READ_BUFFER: usize = 2 << 20;

enum Phase {
    Connecting,
    Handshake,
    Open,
    Closed,
}

struct Socket {
    stream: TcpStream,
    phase: Phase,
    /// Input that does not make a whole frame yet; empty nearly always.
    partial: Vec<u8>,
    /// Output that the kernel did not take yet; empty nearly always.
    pending: Vec<u8>,
    reading: bool,
}

/// The sockets of a run, as a scenario sees them.
pub struct Sockets {
    poll: Poll,
    target: SocketAddr,
    all: Vec<Socket>,
    open: usize,
    closed: usize,
}

impl Sockets {
    /// None yet; all will connect to `target`.
    pub fn new(target: SocketAddr) -> io::Result<Self> {
        Ok(Self {
            poll: Poll::new()?,
            target,
            all: Vec::new(),
            open: 0,
            closed: 0,
        })
    }

    /// How many were begun, are open now, and have ended.
    pub fn counts(&self) -> (usize, usize, usize) {
        (self.all.len(), self.open, self.closed)
    }

    /// Begins to connect one more.
    pub fn connect(&mut self) -> io::Result<()> {
        let socket = self.dial(self.all.len())?;
        self.all.push(socket);
        Ok(())
    }

    /// Connects `index`, which has ended, anew.
    pub fn reconnect(&mut self, index: usize) -> io::Result<()> {
        self.all[index] = self.dial(index)?;
        self.closed -= 1;
        Ok(())
    }

    fn dial(&self, index: usize) -> io::Result<Socket> {
        let mut stream = TcpStream::connect(self.target)?;
        stream.set_nodelay(true)?;
        self.poll
            .registry()
            .register(&mut stream, Token(index), Interest::READABLE | Interest::WRITABLE)?;
        Ok(Socket {
            stream,
            phase: Phase::Connecting,
            partial: Vec::new(),
            pending: Vec::new(),
            reading: true,
        })
    }

    /// Sends one frame on connection `index`; does nothing if it has ended.
    pub fn send(&mut self, index: usize, opcode: u8, payload: &[u8]) {
        let socket = &mut self.all[index];
        if matches!(socket.phase, Phase::Open) {
            wire::push_frame(&mut socket.pending, opcode, payload);
            flush(socket);
        }
    }

    /// Stops reading connection `index` for good: a slow consumer.
    pub fn stop_reading(&mut self, index: usize) {
        self.all[index].reading = false;
    }

    /// Cuts connection `index` off without a closing handshake.
    pub fn cut(&mut self, index: usize) {
        let socket = &mut self.all[index];
        let _ = socket.stream.shutdown(std::net::Shutdown::Both);
    }
}

/// Runs `scenario` to its end.
pub fn run(sockets: &mut Sockets, scenario: &mut impl Scenario) -> io::Result<()> {
    let mut events = Events::with_capacity(4096);
    let mut buffer = vec![0; READ_BUFFER];
    while scenario.tick(Instant::now(), sockets) {
        match sockets.poll.poll(&mut events, Some(TICK)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            other => other?,
        }
        for event in &events {
            let index = event.token().0;
            if event.is_writable() {
                writable(index, sockets, scenario);
            }
            if event.is_readable() || event.is_read_closed() || event.is_error() {
                readable(index, sockets, scenario, &mut buffer);
            }
        }
    }
    Ok(())
}

fn writable(index: usize, sockets: &mut Sockets, scenario: &mut impl Scenario) {
    let socket = &mut sockets.all[index];
    if matches!(socket.phase, Phase::Connecting) {
        socket.phase = Phase::Handshake;
        socket.pending = scenario.request(index);
    }
    flush(socket);
}

fn flush(socket: &mut Socket) {
    let mut written = 0;
    while written < socket.pending.len() {
        match socket.stream.write(&socket.pending[written..]) {
            Ok(n) => written += n,
            // An error shows again when the socket is read.
            Err(_) => break,
        }
    }
    socket.pending.drain(..written);
    if socket.pending.is_empty() {
        socket.pending = Vec::new();
    }
}

fn readable(index: usize, sockets: &mut Sockets, scenario: &mut impl Scenario, buffer: &mut [u8]) {
    loop {
        let socket = &mut sockets.all[index];
        if matches!(socket.phase, Phase::Closed) || !socket.reading {
            return;
        }
        let kept = socket.partial.len();
        buffer[..kept].copy_from_slice(&socket.partial);
        match socket.stream.read(&mut buffer[kept..]) {
            Ok(0) => return end(index, None, sockets, scenario),
            Ok(n) => match consume(index, &buffer[..kept + n], sockets, scenario) {
                Ok(None) => {}
                Ok(Some(code)) => return end(index, Some(code), sockets, scenario),
                Err(Broken(what)) => {
                    eprintln!("connection {index}: {what}");
                    return end(index, None, sockets, scenario);
                }
            },
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return end(index, None, sockets, scenario),
        }
    }
}

/// Handles all whole frames of `data` and keeps the rest. Returns the code of a close frame.
fn consume(
    index: usize,
    data: &[u8],
    sockets: &mut Sockets,
    scenario: &mut impl Scenario,
) -> Result<Option<u16>, Broken> {
    let mut at = 0;
    if matches!(sockets.all[index].phase, Phase::Handshake) {
        match wire::response(data)? {
            Some(head) => at = head,
            None => {
                sockets.all[index].partial = data.to_vec();
                return Ok(None);
            }
        }
        sockets.all[index].phase = Phase::Open;
        sockets.open += 1;
        scenario.opened(index, sockets);
    }
    while let Some(frame) = wire::parse(&data[at..])? {
        let payload = &data[at + frame.start..at + frame.end];
        at += frame.end;
        match frame.opcode {
            1 | 2 => scenario.received(index, payload, sockets)?,
            8 => {
                return Ok(Some(
                    payload
                        .first_chunk()
                        .map_or(1005, |code| u16::from_be_bytes(*code)),
                ));
            }
            9 => sockets.send(index, 10, payload),
            _ => {}
        }
    }
    let partial = &mut sockets.all[index].partial;
    if at < data.len() {
        partial.clear();
        partial.extend_from_slice(&data[at..]);
    } else if partial.capacity() > 0 {
        *partial = Vec::new();
    }
    Ok(None)
}

fn end(index: usize, code: Option<u16>, sockets: &mut Sockets, scenario: &mut impl Scenario) {
    let socket = &mut sockets.all[index];
    if matches!(socket.phase, Phase::Open) {
        sockets.open -= 1;
    }
    socket.phase = Phase::Closed;
    let _ = sockets.poll.registry().deregister(&mut socket.stream);
    let _ = socket.stream.shutdown(std::net::Shutdown::Both);
    sockets.closed += 1;
    scenario.closed(index, code, sockets);
}
