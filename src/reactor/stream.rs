//! One TCP stream and where it stands: the record that an idle connection costs.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use mio::net::TcpStream;

use crate::hub::Encoding;
use crate::protocol::handshake::{HeadReader, Request};
use crate::protocol::{self, Agreement, Phase};

use super::ConnectionId;
use super::outbox::Outbox;
use super::rate::Rate;

/// A socket with its state; no buffer, unless something is unfinished.
pub struct Stream {
    pub id: ConnectionId,
    pub socket: TcpStream,
    pub peer: IpAddr,
    pub state: State,
    pub outbox: Outbox,
    pub rate: Rate,
    pub encoding: Encoding,
    /// Until the handshake is over: its deadline. Afterwards: when the peer has been too slow for too long.
    /// Once refused: when the socket is dropped.
    pub deadline: Option<Instant>,
    /// What our side gave as the reason for closing, if it was the first.
    pub closing: Option<Box<(u16, Box<str>)>>,
    pub queued: Queued,
    /// The socket took less than it was offered; it will say when it takes more.
    pub blocked: bool,
    /// The socket may hold data that nobody will announce again: mio is edge-triggered.
    pub unread: bool,
    /// The peer has ended its side: read until its end.
    pub hangup: bool,
    /// Nothing more will be read.
    pub ended: bool,
    /// Our side is shut down.
    pub shut: bool,
    /// The outbox has been above its soft limit, and `Drained` is due when it is empty.
    pub lagging: bool,
    /// `Opened` has been told, and `Closed` has not.
    pub announced: bool,
}

/// The phases of a socket's life.
pub enum State {
    /// The request is being read; what has come of it.
    Head(Option<Box<Partial>>),
    /// The application decides.
    Verdict(Box<Pending>),
    /// The handshake is over.
    Open(protocol::Connection),
    /// An HTTP error is on its way; then the socket is closed.
    Refused,
}

/// A request that came in pieces.
#[derive(Default)]
pub struct Partial {
    pub reader: HeadReader,
    pub bytes: Vec<u8>,
}

/// A request that waits for the application's verdict.
pub struct Pending {
    pub request: Arc<Request>,
    /// What the client sent without waiting for the answer.
    pub early: Vec<u8>,
}

/// Where a stream waits for its turn to be flushed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Queued {
    No,
    Bulk,
    Prompt,
}

impl Stream {
    /// A socket that has just been accepted.
    pub fn new(id: ConnectionId, socket: TcpStream, peer: IpAddr, rate: Rate, deadline: Instant) -> Self {
        Self {
            id,
            socket,
            peer,
            state: State::Head(None),
            outbox: Outbox::default(),
            rate,
            encoding: 0,
            deadline: Some(deadline),
            closing: None,
            queued: Queued::No,
            blocked: false,
            unread: false,
            hangup: false,
            ended: false,
            shut: false,
            lagging: false,
            announced: false,
        }
    }

    /// Whether messages may be sent and received.
    pub fn is_open(&self) -> bool {
        matches!(&self.state, State::Open(protocol) if protocol.phase() == Phase::Open)
    }

    /// Whether its handshake counts as pending.
    pub fn is_pending(&self) -> bool {
        matches!(self.state, State::Head(_) | State::Verdict(_))
    }

    /// Whether our last byte has left.
    pub fn has_said_all(&self) -> bool {
        self.outbox.is_empty()
            && match &self.state {
                State::Open(protocol) => protocol.phase() != Phase::Open && !protocol.has_data_to_send(),
                State::Refused => true,
                State::Head(_) | State::Verdict(_) => false,
            }
    }

    /// Whether nothing that the peer may still send matters: not even the answer to our Close frame, if it failed.
    pub fn expects_nothing(&self) -> bool {
        match &self.state {
            State::Open(protocol) => match protocol.phase() {
                Phase::Open => false,
                Phase::Closing => !self.announced,
                Phase::Closed => true,
            },
            State::Refused => true,
            State::Head(_) | State::Verdict(_) => false,
        }
    }

    /// How messages to it are compressed.
    pub fn agreement(&self) -> Option<Agreement> {
        match &self.state {
            State::Open(protocol) => protocol.agreement(),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_connection_costs_a_small_record() {
        let size = size_of::<Stream>();
        assert!(size <= 232, "{size} bytes");
    }
}
