//! Reactors: the only place with sockets, clocks and threads.
//!
//! A [`Reactor`] is a thread with its own listener, connections, topics and timers; [`Gateway`] is the caller's
//! side of all of them. They share three things: the commands that wait for a reactor, the events that wait for
//! the application, and the number of sockets. One turn:
//!
//! 1. `poll` tells which sockets are ready; connections are accepted, a bounded number.
//! 2. What is ready is read, 64 KiB of each socket at most: requests, messages and ends become events.
//! 3. All waiting commands are carried out: frames go to outboxes.
//! 4. Each outbox with something in it goes to its socket in one send. Sweeps over large topics come last and
//!    are cut into slices, between which the reactor polls again.
//! 5. Deadlines that have passed are acted on.
//!
//! By concern: `stream` is the record of a connection, `receive` the way in, `send` and `sender` the way out,
//! `closing` the end, `deadlines` the clock, `commands` the application's will.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::{Interest, Poll, Token, Waker};
use slab::Slab;

use crate::hub::Hub;
use crate::protocol::Shared;

mod admission;
mod closing;
mod commands;
mod config;
mod deadlines;
mod gateway;
mod id;
mod listener;
mod mailbox;
mod outbox;
mod rate;
mod receive;
mod send;
mod sender;
mod signal;
mod standings;
mod stats;
mod stream;
mod timers;

pub use config::Config;
pub use gateway::{Fatal, Gateway};
pub use id::{ConnectionId, MAX_REACTORS};
pub use mailbox::Event;
pub use rate::RateLimits;
pub use stats::Stats;

use admission::Admission;
use deadlines::Drain;
use id::MAX_SLOTS;
use listener::{Listener, turn_away};
use mailbox::{Command, Commands, Events};
use rate::Rate;
use send::DirtyQueues;
use sender::Sender;
use stats::Published;
use stream::Stream;
use timers::Timers;

/// Most bytes of one read.
const READ_BYTES: usize = 65_536;
/// Connections accepted in one turn: established ones keep their service in a storm.
const TURN_ACCEPTS: usize = 128;
/// A reactor that has held more connections gives its memory back when the last has gone.
const KEPT_SLOTS: usize = 1024;
const LISTENER: Token = Token(usize::MAX);
const WAKER: Token = Token(usize::MAX - 1);

/// What the reactors of a gateway and its caller share.
struct Common {
    config: Arc<Config>,
    admission: Arc<Admission>,
    events: Arc<Events>,
}

/// One thread's sockets, topics and timers.
struct Reactor {
    index: usize,
    config: Arc<Config>,
    admission: Arc<Admission>,
    commands: Arc<Commands>,
    events: Arc<Events>,
    published: Arc<Published>,
    poll: Poll,
    listener: Option<Listener>,
    streams: Slab<Stream>,
    /// Slots used since `streams` was new.
    used_slots: usize,
    hub: Hub,
    shared: Shared,
    sender: Sender,
    dirty: DirtyQueues,
    timers: Timers,
    stats: Stats,
    /// Connections announced to the application, and not told closed.
    live: u64,
    /// Commands taken and not yet carried out.
    orders: VecDeque<Command>,
    /// Events of this turn.
    told: Vec<Event>,
    /// Streams that may hold unread data.
    unread: VecDeque<u32>,
    drain: Option<Drain>,
    ends_at: Option<Instant>,
    started: Instant,
    /// The time of this turn.
    now: Instant,
    /// The same in milliseconds since the start.
    millis: u32,
    buffer: Box<[u8]>,
    /// Scratch lists, empty between their uses.
    due: Vec<u32>,
    touched: Vec<u32>,
    overflowed: Vec<u32>,
}

impl Reactor {
    /// Errors: the operating system gives no poll, or no more descriptors.
    fn new(index: usize, listener: std::net::TcpListener, common: &Common) -> io::Result<Self> {
        let poll = Poll::new()?;
        let waker = Waker::new(poll.registry(), WAKER)?;
        let listener = Listener::new(listener, poll.registry(), LISTENER)?;
        let config = Arc::clone(&common.config);
        let now = Instant::now();
        Ok(Self {
            index,
            admission: Arc::clone(&common.admission),
            commands: Arc::new(Commands::new(waker)),
            events: Arc::clone(&common.events),
            published: Arc::default(),
            poll,
            listener: Some(listener),
            streams: empty_slots(&config),
            used_slots: 0,
            hub: Hub::new(),
            shared: Shared::new(config.messages),
            sender: Sender::default(),
            dirty: DirtyQueues::default(),
            timers: Timers::new(now),
            stats: Stats::default(),
            live: 0,
            orders: VecDeque::new(),
            told: Vec::new(),
            unread: VecDeque::new(),
            drain: None,
            ends_at: None,
            started: now,
            now,
            millis: 0,
            buffer: vec![0; READ_BYTES].into(),
            due: Vec::new(),
            touched: Vec::new(),
            overflowed: Vec::new(),
            config,
        })
    }

    /// Turns until it is shut down. Errors: `poll` fails, which it does only for bugs and lack of memory.
    fn run(mut self) -> io::Result<()> {
        let mut ready = mio::Events::with_capacity(1024);
        while !self.is_over() {
            self.turn(&mut ready)?;
        }
        Ok(())
    }

    fn turn(&mut self, ready: &mut mio::Events) -> io::Result<()> {
        let timeout = if self.commands.may_sleep() {
            self.timeout()
        } else {
            Some(Duration::ZERO)
        };
        let polled = self.poll.poll(ready, timeout);
        self.commands.awake();
        match polled {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => ready.clear(),
            other => other?,
        }
        self.tick();
        self.handle(ready);
        self.accept_round();
        self.read_round();
        self.tell();
        self.obey();
        self.tell();
        self.flush_slice();
        self.expire_deadlines();
        self.drain_step();
        self.tell();
        self.give_back();
        Ok(())
    }

    /// Frees the records of many connections once all of them have gone, and what is kept for each slot.
    fn give_back(&mut self) {
        if self.streams.is_empty() && self.used_slots > KEPT_SLOTS {
            self.streams = empty_slots(&self.config);
            self.used_slots = 0;
            self.hub = Hub::new();
            self.timers = Timers::new(self.now);
            self.dirty = DirtyQueues::default();
            self.unread = VecDeque::new();
            trim_heap();
        }
    }

    /// How long to wait for sockets: not at all while something is left from the last turn.
    fn timeout(&self) -> Option<Duration> {
        let more_to_accept = self.listener.as_ref().is_some_and(|listener| listener.ready);
        let more_to_read = !self.unread.is_empty() && !self.events.is_full(0);
        if more_to_accept || more_to_read || !self.dirty.is_empty() || !self.orders.is_empty() {
            return Some(Duration::ZERO);
        }
        let resume = self
            .listener
            .as_ref()
            .and_then(|listener| listener.resumes_in(self.now));
        let end = self.ends_at.map(|at| at.saturating_duration_since(self.now));
        self.timers
            .next(self.now)
            .into_iter()
            .chain(resume)
            .chain(end)
            .chain(self.drain_wait())
            .min()
    }

    #[expect(clippy::cast_possible_truncation, reason = "the clock of the rates wraps")]
    fn tick(&mut self) {
        self.now = Instant::now();
        self.millis = self.now.duration_since(self.started).as_millis() as u32;
    }

    fn handle(&mut self, ready: &mio::Events) {
        for event in ready {
            match event.token() {
                WAKER => {}
                LISTENER => self
                    .listener
                    .iter_mut()
                    .for_each(|listener| listener.ready = true),
                Token(slot) => {
                    if event.is_writable() && self.streams.contains(slot) {
                        self.writable(slot_u32(slot));
                    }
                    let hangup = event.is_read_closed() || event.is_error();
                    if (event.is_readable() || hangup) && self.streams.contains(slot) {
                        self.readable(slot_u32(slot), hangup);
                    }
                }
            }
        }
    }

    fn accept_round(&mut self) {
        let Some(mut listener) = self.listener.take() else {
            return;
        };
        listener.resume(self.now);
        for _ in 0..TURN_ACCEPTS {
            if !listener.ready {
                break;
            }
            let Some((socket, address)) = listener.accept(self.now) else {
                break;
            };
            self.stats.accepted += 1;
            self.enter(socket, address.ip().to_canonical());
        }
        self.listener = Some(listener);
    }

    /// Takes a new socket in, or turns it away if a limit is reached.
    fn enter(&mut self, mut socket: mio::net::TcpStream, peer: std::net::IpAddr) {
        let admitted = self.admission.enter(peer);
        let entry = self.streams.vacant_entry();
        let slot = entry.key();
        let interest = Interest::READABLE | Interest::WRITABLE;
        if !admitted
            || slot >= MAX_SLOTS
            || self
                .poll
                .registry()
                .register(&mut socket, Token(slot), interest)
                .is_err()
        {
            if admitted {
                self.admission.handshake_done();
                self.admission.leave(peer);
            }
            self.stats.refused += 1;
            return turn_away(socket);
        }
        let id = ConnectionId::new(self.index, slot);
        self.used_slots = self.used_slots.max(slot + 1);
        let deadline = self.now + self.config.handshake_timeout;
        let rate = Rate::new(&self.config.rates, self.millis);
        entry.insert(Stream::new(id, socket, peer, rate, deadline));
        self.timers.arm(slot_u32(slot), deadline);
    }

    fn stop_accepting(&mut self) {
        self.listener = None;
    }

    /// Publishes the stats, then the events of this turn: who sees an event sees its effect.
    fn tell(&mut self) {
        if self.drain.as_ref().is_some_and(Drain::is_through) && self.live == 0 {
            self.drain = None;
            self.told.push(Event::Empty);
        }
        self.stats.connections = self.live;
        self.stats.topics = self.hub.len() as u64;
        self.stats.outbox_bytes = self.sender.arena.bytes() as u64;
        self.stats.bytes_out = self.sender.bytes_out;
        self.published.set(self.stats);
        if self.ends_at.is_some() {
            self.told.clear(); // nobody listens any more
        }
        self.events.push_all(&mut self.told);
    }

    fn is_over(&self) -> bool {
        self.ends_at
            .is_some_and(|at| self.streams.is_empty() || at <= self.now)
    }
}

/// Room for all connections: address space only, as pages are touched when slots are used. Records never move.
fn empty_slots(config: &Config) -> Slab<Stream> {
    Slab::with_capacity(config.max_connections.min(MAX_SLOTS))
}

/// Gives freed memory back to the system: glibc keeps what lies between blocks in use, and large blocks, too, once it
/// has seen some come and go.
fn trim_heap() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: takes no pointer, and may be called from any thread.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Slots stay below `MAX_SLOTS`.
#[expect(clippy::cast_possible_truncation, reason = "below 2^18")]
fn slot_u32(slot: usize) -> u32 {
    slot as u32
}
