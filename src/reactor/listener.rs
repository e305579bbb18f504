//! Accepting, and shedding load: limits answered with 503, and a pause when descriptors run out.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::net::{TcpListener, TcpStream};
use mio::{Interest, Registry, Token};
use socket2::{Domain, Protocol, Socket, Type};

use crate::protocol::handshake;

/// First pause when descriptors or memory run out; doubled up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// Unsent bytes that the kernel takes for one peer: what is beyond waits in the outbox, where it counts.
#[cfg(target_os = "linux")]
const NOTSENT_BYTES: u32 = 131_072;

/// One listening socket.
pub struct Listener {
    socket: TcpListener,
    /// Whether connections may be waiting: mio is edge-triggered.
    pub ready: bool,
    resume_at: Option<Instant>,
    pause: Duration,
}

impl Listener {
    /// Takes over a socket made by `bind`.
    ///
    /// Errors: it cannot be registered.
    pub fn new(socket: std::net::TcpListener, registry: &Registry, token: Token) -> io::Result<Self> {
        let mut socket = TcpListener::from_std(socket);
        registry.register(&mut socket, token, Interest::READABLE)?;
        Ok(Self {
            socket,
            ready: true,
            resume_at: None,
            pause: FIRST_PAUSE,
        })
    }

    /// The next connection; `None` if none waits, or while descriptors are short.
    pub fn accept(&mut self, now: Instant) -> Option<(TcpStream, SocketAddr)> {
        loop {
            match self.socket.accept() {
                Ok(accepted) => {
                    self.pause = FIRST_PAUSE;
                    return Some(accepted);
                }
                // The peer gave up while it waited; the next may not have.
                Err(error) if is_of_one_peer(&error) => {}
                Err(error) => {
                    self.ready = false;
                    if error.kind() != io::ErrorKind::WouldBlock {
                        // EMFILE, ENFILE, ENOBUFS, ENOMEM: trying again at once would only spin.
                        self.resume_at = Some(now + self.pause);
                        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
                    }
                    return None;
                }
            }
        }
    }

    /// Ends a pause that is over.
    pub fn resume(&mut self, now: Instant) {
        if self.resume_at.is_some_and(|at| at <= now) {
            self.resume_at = None;
            self.ready = true;
        }
    }

    /// How long the pause lasts, if there is one.
    pub fn resumes_in(&self, now: Instant) -> Option<Duration> {
        self.resume_at.map(|at| at.saturating_duration_since(now))
    }
}

fn is_of_one_peer(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted
    )
}

/// Listening sockets on one address, one for each reactor, and that address with its port.
///
/// Several share the port (`SO_REUSEPORT`), with other processes too if `share_port`; otherwise a single one must
/// fail if somebody else has it.
/// Errors: the address is in use, forbidden, or not of this machine.
pub fn bind(
    address: SocketAddr,
    sockets: usize,
    share_port: bool,
    backlog: i32,
) -> io::Result<(Vec<std::net::TcpListener>, SocketAddr)> {
    let share_port = share_port || sockets > 1;
    let first = bind_one(address, share_port, backlog)?;
    let address = first.local_addr()?;
    let mut listeners = vec![first];
    for _ in 1..sockets {
        listeners.push(bind_one(address, share_port, backlog)?);
    }
    Ok((listeners, address))
}

fn bind_one(address: SocketAddr, share_port: bool, backlog: i32) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(share_port)?;
    socket.set_nonblocking(true)?;
    // Accepted sockets inherit both options, which saves two system calls for each.
    socket.set_tcp_nodelay(true)?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_notsent_lowat(NOTSENT_BYTES)?;
    socket.bind(&address.into())?;
    socket.listen(backlog)?;
    Ok(socket.into())
}

/// Turns a connection away, as well as that is possible without waiting for its request.
pub fn turn_away(mut socket: TcpStream) {
    if let Ok(response) = handshake::refuse(503, &[("retry-after", "1")], b"") {
        let _ = socket.write(&response);
    }
}
