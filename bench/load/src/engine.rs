//! Many client sockets on one thread: connects them, cuts their input into messages, writes what waits.

use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use socket2::{Domain, Protocol, Socket as RawSocket, Type};

use crate::deflate::{Inflate, Inflater};
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
    /// The server sent what it must not; the connection ends for it.
    fn broken(&mut self, what: Broken);
    /// Called at least every `TICK` and after every batch of input; false ends the run.
    fn tick(&mut self, now: Instant, sockets: &mut Sockets) -> bool;
}

/// The longest time between two ticks.
const TICK: Duration = Duration::from_millis(1);
/// Holds the longest message that `wire` admits and a good deal of input behind it.
const READ_BUFFER: usize = 2 << 20;
/// What the kernel takes for a slow consumer, so that the server soon has to wait.
const SLOW_BUFFER: usize = 4096;

enum Phase {
    Connecting,
    Handshake,
    Open,
    Closed,
}

struct Socket {
    stream: TcpStream,
    phase: Phase,
    inflate: Inflate,
    /// Input that does not make a whole frame yet; empty nearly always.
    partial: Vec<u8>,
    /// Output that the kernel did not take yet; empty nearly always.
    pending: Vec<u8>,
    reading: bool,
}

/// What went over the wire, of all connections.
#[derive(Default)]
pub struct Traffic {
    /// Payload bytes of messages, as they came.
    pub payload_bytes: u64,
    /// Messages that came deflated.
    pub deflated: u64,
    /// Connections on which deflating was agreed.
    pub agreed: u64,
}

/// The sockets of a run, as a scenario sees them.
pub struct Sockets {
    poll: Poll,
    target: SocketAddr,
    source: Option<IpAddr>,
    all: Vec<Socket>,
    inflater: Inflater,
    /// The counters.
    pub traffic: Traffic,
    open: usize,
    closed: usize,
}

impl Sockets {
    /// None yet; all will connect to `target`, from `source` if that is given.
    pub fn new(target: SocketAddr, source: Option<IpAddr>) -> io::Result<Self> {
        Ok(Self {
            poll: Poll::new()?,
            target,
            source,
            all: Vec::new(),
            inflater: Inflater::new(),
            traffic: Traffic::default(),
            open: 0,
            closed: 0,
        })
    }

    /// How many were begun, are open now, and have ended.
    pub fn counts(&self) -> (usize, usize, usize) {
        (self.all.len(), self.open, self.closed)
    }

    /// Begins to connect one more; one that is `slow` never reads after the handshake.
    pub fn connect(&mut self, slow: bool) -> io::Result<()> {
        let socket = self.dial(self.all.len(), slow)?;
        self.all.push(socket);
        Ok(())
    }

    /// Connects `index`, which has ended, anew.
    pub fn reconnect(&mut self, index: usize) -> io::Result<()> {
        self.all[index] = self.dial(index, false)?;
        self.closed -= 1;
        Ok(())
    }

    fn dial(&self, index: usize, slow: bool) -> io::Result<Socket> {
        let socket = RawSocket::new(
            Domain::for_address(self.target),
            Type::STREAM,
            Some(Protocol::TCP),
        )?;
        socket.set_nonblocking(true)?;
        socket.set_tcp_nodelay(true)?;
        if slow {
            socket.set_recv_buffer_size(SLOW_BUFFER)?;
        }
        if let Some(source) = self.source {
            socket.bind(&SocketAddr::new(source, 0).into())?;
        }
        match socket.connect(&self.target.into()) {
            Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => return Err(error),
            _ => {}
        }
        let mut stream = TcpStream::from_std(socket.into());
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.poll
            .registry()
            .register(&mut stream, Token(index), interest)?;
        Ok(Socket {
            stream,
            phase: Phase::Connecting,
            inflate: Inflate::Off,
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
        let _ = self.all[index].stream.shutdown(std::net::Shutdown::Both);
    }
}

/// Runs `scenario` to its end.
pub fn run(sockets: &mut Sockets, scenario: &mut impl Scenario) -> io::Result<()> {
    let mut events = Events::with_capacity(1024);
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
                let hangup = event.is_read_closed() || event.is_error();
                readable(index, hangup, sockets, scenario, &mut buffer);
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

fn readable(
    index: usize,
    hangup: bool,
    sockets: &mut Sockets,
    scenario: &mut impl Scenario,
    buffer: &mut [u8],
) {
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
                // A read that did not fill the buffer emptied the socket; what comes later is another event.
                Ok(None) if kept + n < buffer.len() && !hangup => return,
                Ok(None) => {}
                Ok(Some(code)) => return end(index, Some(code), sockets, scenario),
                Err(what) => {
                    scenario.broken(what);
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
            Some(response) => {
                at = response.head;
                enter(index, response.extensions, sockets);
            }
            None => {
                sockets.all[index].partial = data.to_vec();
                return Ok(None);
            }
        }
        scenario.opened(index, sockets);
    }
    while let Some(frame) = wire::parse(&data[at..])? {
        let payload = &data[at + frame.start..at + frame.end];
        at += frame.end;
        match frame.opcode {
            1 | 2 => {
                sockets.traffic.payload_bytes += payload.len() as u64;
                if frame.deflated {
                    sockets.traffic.deflated += 1;
                    let message = sockets
                        .inflater
                        .inflate(&mut sockets.all[index].inflate, payload)?;
                    scenario.received(index, &message, sockets)?;
                } else {
                    scenario.received(index, payload, sockets)?;
                }
            }
            8 => {
                let code = payload.first_chunk();
                return Ok(Some(code.map_or(1005, |code| u16::from_be_bytes(*code))));
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

fn enter(index: usize, extensions: Option<&str>, sockets: &mut Sockets) {
    let socket = &mut sockets.all[index];
    socket.phase = Phase::Open;
    socket.inflate = Inflate::agreed(extensions);
    sockets.open += 1;
    sockets.traffic.agreed += u64::from(!matches!(socket.inflate, Inflate::Off));
}

fn end(index: usize, code: Option<u16>, sockets: &mut Sockets, scenario: &mut impl Scenario) {
    let socket = &mut sockets.all[index];
    if matches!(socket.phase, Phase::Open) {
        sockets.open -= 1;
    }
    socket.phase = Phase::Closed;
    socket.partial = Vec::new();
    socket.pending = Vec::new();
    let _ = sockets.poll.registry().deregister(&mut socket.stream);
    let _ = socket.stream.shutdown(std::net::Shutdown::Both);
    sockets.closed += 1;
    scenario.closed(index, code, sockets);
}
