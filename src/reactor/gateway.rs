//! The caller's side of the reactors: it checks commands, hands them over in batches, and takes events.

use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::RawFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::error::UsageError;
use crate::hub::{Encoding, Outgoing, Publication};
use crate::protocol::handshake;
use crate::protocol::{Shared, close};

use super::admission::Admission;
use super::mailbox::{Command, Commands, Event, Events};
use super::standings::Standings;
use super::stats::Published;
use super::{Common, Config, ConnectionId, MAX_REACTORS, Reactor, Stats, listener};

/// Commands are handed over at the latest when this many wait …
const BATCH_COMMANDS: usize = 512;
/// … or this many bytes of payload.
const BATCH_BYTES: usize = 1 << 20;
/// Bytes of a topic's name.
const MAX_TOPIC_BYTES: usize = 256;

/// A reactor has died; what it said when it did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fatal(pub String);

/// A listening gateway. One thread at a time may use it.
///
/// Commands wait here until [`Gateway::flush`] or until there are many; so a batch costs one wake-up. The names of
/// methods and their meaning are those of `gateway_core.Gateway`.
pub struct Gateway {
    address: SocketAddr,
    events: Arc<Events>,
    reactors: Vec<Handle>,
    encodings: HashMap<String, Encoding>,
    /// For framing only.
    shared: Shared,
    unsent_bytes: usize,
    standings: Standings,
    /// Reactors that have not emptied since draining began.
    draining: usize,
}

struct Handle {
    commands: Arc<Commands>,
    published: Arc<Published>,
    unsent: Vec<Command>,
    thread: Option<JoinHandle<()>>,
}

impl Gateway {
    /// Listens on `address` and starts the reactors.
    ///
    /// Errors: the address cannot be bound, or the operating system is out of descriptors or threads.
    pub fn start(config: Config, address: SocketAddr) -> io::Result<Self> {
        let count = config.reactors.clamp(1, MAX_REACTORS);
        let (sockets, address) = listener::bind(address, count, config.share_port, config.backlog)?;
        let events = Arc::new(Events::new(&config)?);
        let admission = Arc::new(Admission::new(&config));
        let common = Common {
            config: Arc::new(config),
            admission,
            events,
        };
        let mut gateway = Self {
            shared: Shared::new(common.config.messages),
            address,
            events: Arc::clone(&common.events),
            reactors: Vec::new(),
            encodings: HashMap::new(),
            unsent_bytes: 0,
            standings: Standings::new(count),
            draining: 0,
        };
        for (index, socket) in sockets.into_iter().enumerate() {
            gateway.reactors.push(start_reactor(index, socket, &common)?);
        }
        Ok(gateway)
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A descriptor that is readable while events wait; it lives as long as the gateway.
    #[must_use]
    pub fn events_fd(&self) -> RawFd {
        self.events.fd()
    }

    /// Hands over the commands that wait, and takes at most `max` events.
    ///
    /// Errors: no event is left, and a reactor has died.
    pub fn take_events(&mut self, max: usize) -> Result<Vec<Event>, Fatal> {
        self.flush();
        let mut taken = self.events.take(max).map_err(Fatal)?;
        if self.events.resume() {
            self.reactors.iter().for_each(|reactor| reactor.commands.wake());
        }
        taken.retain(|event| self.note(event));
        Ok(taken)
    }

    /// Hands over the commands that wait. Never blocks.
    pub fn flush(&mut self) {
        self.unsent_bytes = 0;
        for reactor in &mut self.reactors {
            if !reactor.unsent.is_empty() {
                reactor.commands.push_all(&mut reactor.unsent);
            }
        }
    }

    /// Completes a handshake; false if the connection has gone.
    pub fn accept(
        &mut self,
        id: ConnectionId,
        subprotocol: Option<&str>,
        encoding: &str,
    ) -> Result<bool, UsageError> {
        if !self.standings.may_answer(id)? {
            return Ok(false);
        }
        if !subprotocol.is_none_or(|name| self.standings.has_offered(id, name)) {
            return Err(UsageError("the subprotocol was not offered"));
        }
        let encoding = self.encoding(encoding)?;
        self.standings.open(id);
        self.command(
            id,
            Command::Accept {
                id,
                subprotocol: subprotocol.map(Into::into),
                encoding,
            },
        );
        Ok(true)
    }

    /// Answers a handshake with an HTTP error; false if the connection has gone.
    pub fn reject(
        &mut self,
        id: ConnectionId,
        status: u16,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<bool, UsageError> {
        let response = handshake::refuse(status, headers, body)?;
        if !self.standings.may_answer(id)? {
            return Ok(false);
        }
        self.standings.end(id);
        self.command(id, Command::Reject { id, response });
        Ok(true)
    }

    /// Queues one message; false if the connection has gone.
    pub fn send(&mut self, id: ConnectionId, payload: &[u8], is_text: bool) -> Result<bool, UsageError> {
        if !self.standings.may_use(id)? {
            return Ok(false);
        }
        let message = self.frame(payload, is_text);
        self.command(id, Command::Send { id, message });
        Ok(true)
    }

    /// Starts the closing handshake; false if the connection has gone.
    pub fn close(&mut self, id: ConnectionId, code: u16, reason: &str) -> Result<bool, UsageError> {
        close::check(code, reason)?;
        if !self.standings.may_use(id)? {
            return Ok(false);
        }
        self.standings.end(id);
        self.command(
            id,
            Command::Close {
                id,
                code,
                reason: reason.into(),
            },
        );
        Ok(true)
    }

    /// Adds a subscription; false if the connection has gone.
    pub fn subscribe(&mut self, id: ConnectionId, topic: &str) -> Result<bool, UsageError> {
        check_topic(topic)?;
        if !self.standings.may_use(id)? {
            return Ok(false);
        }
        self.command(
            id,
            Command::Subscribe {
                id,
                topic: topic.into(),
            },
        );
        Ok(true)
    }

    /// Ends a subscription; false if the connection has gone.
    pub fn unsubscribe(&mut self, id: ConnectionId, topic: &str) -> Result<bool, UsageError> {
        check_topic(topic)?;
        if !self.standings.may_use(id)? {
            return Ok(false);
        }
        self.command(
            id,
            Command::Unsubscribe {
                id,
                topic: topic.into(),
            },
        );
        Ok(true)
    }

    /// Queues a message for each subscriber of `topic`, framed once for each of `variants` (encoding, payload, is text).
    pub fn publish<'a>(
        &mut self,
        topic: &str,
        variants: impl IntoIterator<Item = (&'a str, &'a [u8], bool)>,
        position: Option<u64>,
        mut exclude: Vec<u64>,
    ) -> Result<(), UsageError> {
        check_topic(topic)?;
        let mut framed = Vec::new();
        for (encoding, payload, is_text) in variants {
            framed.push((self.encoding(encoding)?, self.frame(payload, is_text)));
        }
        exclude.sort_unstable();
        let publication = Arc::new(Publication {
            topic: topic.into(),
            variants: framed,
            position,
            exclude,
        });
        for reactor in &mut self.reactors {
            reactor.unsent.push(Command::Publish(Arc::clone(&publication)));
        }
        self.flush_if_many(0);
        Ok(())
    }

    /// The sum over all reactors; topics are counted once in each.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let mut sum = Stats::default();
        self.reactors
            .iter()
            .for_each(|reactor| sum += reactor.published.get());
        sum
    }

    /// Stops accepting and begins to close all connections, spread over `over`.
    ///
    /// Errors: a code that must not be sent, or a reason that is too long.
    pub fn drain(&mut self, code: u16, reason: &str, over: Duration) -> Result<(), UsageError> {
        close::check(code, reason)?;
        self.draining = self.reactors.len();
        self.command_all(|| Command::Drain {
            code,
            reason: reason.into(),
            over,
        });
        Ok(())
    }

    /// Ends the closing; the listener stays closed.
    pub fn stop_draining(&mut self) {
        self.command_all(|| Command::StopDraining);
    }

    /// Whether draining is over: the events that say so have been taken.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        self.draining == 0
    }

    /// Closes every connection with 1001 and ends the threads, within about a second.
    ///
    /// Returns what is to be joined, which can be done in another thread.
    pub fn shut_down(&mut self) -> Vec<JoinHandle<()>> {
        self.command_all(|| Command::ShutDown);
        self.reactors
            .iter_mut()
            .filter_map(|reactor| reactor.thread.take())
            .collect()
    }

    #[cfg(test)]
    fn panic(&mut self) {
        self.command_all(|| Command::Panic);
    }

    /// Keeps the standings up to date; false for events that end here.
    fn note(&mut self, event: &Event) -> bool {
        match event {
            Event::Opened { id, request, .. } => self.standings.ask(*id, Arc::clone(request)),
            Event::Closed { id, .. } => self.standings.end(*id),
            Event::Empty => {
                self.draining = self.draining.saturating_sub(1);
                return false;
            }
            Event::Received { .. } | Event::Drained { .. } | Event::Http { .. } => {}
        }
        true
    }

    fn encoding(&mut self, name: &str) -> Result<Encoding, UsageError> {
        if let Some(&encoding) = self.encodings.get(name) {
            return Ok(encoding);
        }
        let encoding =
            Encoding::try_from(self.encodings.len()).map_err(|_| UsageError("too many encodings"))?;
        self.encodings.insert(name.to_owned(), encoding);
        Ok(encoding)
    }

    fn frame(&mut self, payload: &[u8], is_text: bool) -> Outgoing {
        self.unsent_bytes += payload.len();
        Outgoing::new(payload, is_text, &mut self.shared)
    }

    fn command(&mut self, id: ConnectionId, command: Command) {
        let index = id.reactor(); // known, as the connection is
        self.reactors[index].unsent.push(command);
        self.flush_if_many(index);
    }

    fn command_all(&mut self, command: impl Fn() -> Command) {
        self.reactors
            .iter_mut()
            .for_each(|reactor| reactor.unsent.push(command()));
        self.flush();
    }

    /// A long batch is handed over in parts, so that the reactors work meanwhile.
    fn flush_if_many(&mut self, index: usize) {
        if self.reactors[index].unsent.len() >= BATCH_COMMANDS || self.unsent_bytes >= BATCH_BYTES {
            self.flush();
        }
    }
}

impl Drop for Gateway {
    /// Ends the threads and waits for them.
    fn drop(&mut self) {
        for thread in self.shut_down() {
            let _ = thread.join();
        }
    }
}

fn check_topic(topic: &str) -> Result<(), UsageError> {
    if topic.len() > MAX_TOPIC_BYTES {
        return Err(UsageError("a topic has at most 256 bytes"));
    }
    Ok(())
}

fn start_reactor(index: usize, socket: TcpListener, common: &Common) -> io::Result<Handle> {
    let reactor = Reactor::new(index, socket, common)?;
    let (commands, published) = (Arc::clone(&reactor.commands), Arc::clone(&reactor.published));
    let events = Arc::clone(&common.events);
    let thread = thread::Builder::new()
        .name(format!("reactor-{index}"))
        .spawn(move || run(reactor, &events))?;
    Ok(Handle {
        commands,
        published,
        unsent: Vec::new(),
        thread: Some(thread),
    })
}

/// A reactor's thread: whatever ends it before its time is told to the application.
fn run(reactor: Reactor, events: &Events) {
    match catch_unwind(AssertUnwindSafe(|| reactor.run())) {
        Ok(Ok(())) => {}
        Ok(Err(error)) => events.fail(format!("a reactor failed: {error}")),
        Err(panic) => {
            let words = panic.downcast_ref::<String>().map(String::as_str);
            let words = words
                .or_else(|| panic.downcast_ref::<&str>().copied())
                .unwrap_or("no message");
            events.fail(format!("a reactor panicked: {words}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[test]
    fn a_panic_is_told_and_hangs_nobody() {
        let address = "127.0.0.1:0".parse().expect("an address");
        let mut gateway = Gateway::start(Config::default(), address).expect("a free port");
        gateway.panic();
        let deadline = Instant::now() + Duration::from_secs(30);
        let fatal = loop {
            match gateway.take_events(10) {
                Err(fatal) => break fatal,
                Ok(_) => assert!(Instant::now() < deadline, "nothing was told"),
            }
            thread::yield_now();
        };
        assert!(fatal.0.contains("asked for by a test"), "{}", fatal.0);
        drop(gateway);
    }
}
