//! Commands from the application in, events to the application out: batches, with one wake-up for each.

use std::collections::VecDeque;
use std::io;
use std::mem;
use std::os::fd::{OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mio::Waker;

use crate::hub::{Encoding, Outgoing, Publication};
use crate::protocol::handshake::Request;

use super::signal::Signal;
use super::{Config, ConnectionId};

/// What the application asks a reactor to do. The caller's side has checked it.
/// `gateway_core.Gateway` says what they mean.
#[derive(Debug)]
pub enum Command {
    Accept {
        id: ConnectionId,
        subprotocol: Option<Box<str>>,
        encoding: Encoding,
    },
    Reject {
        id: ConnectionId,
        response: Vec<u8>,
    },
    Send {
        id: ConnectionId,
        message: Outgoing,
    },
    Close {
        id: ConnectionId,
        code: u16,
        reason: Box<str>,
    },
    Subscribe {
        id: ConnectionId,
        topic: Arc<str>,
    },
    Unsubscribe {
        id: ConnectionId,
        topic: Arc<str>,
    },
    Publish(Arc<Publication>),
    Drain {
        code: u16,
        reason: Box<str>,
        over: Duration,
    },
    StopDraining,
    ShutDown,
    #[cfg(test)]
    Panic,
}

/// What a reactor tells the application.
#[derive(Debug)]
#[expect(missing_docs, reason = "`gateway_core.gateway` says what they mean")]
pub enum Event {
    Opened {
        id: ConnectionId,
        request: Arc<Request>,
        peer: std::net::IpAddr,
    },
    Received {
        id: ConnectionId,
        payload: Vec<u8>,
        is_text: bool,
    },
    Closed {
        id: ConnectionId,
        code: u16,
        reason: Box<str>,
        clean: bool,
    },
    Drained {
        id: ConnectionId,
        missed: Vec<(Arc<str>, u64)>,
    },
    Http {
        socket: OwnedFd,
        data: Vec<u8>,
    },
    /// After `Command::Drain`: this reactor holds no connection any more. Sockets of connections that are gone may
    /// still wait for their peers to end them, too.
    Empty,
}

impl Event {
    fn payload_bytes(&self) -> usize {
        match self {
            Self::Received { payload, .. } => payload.len(),
            Self::Http { data, .. } => data.len(),
            _ => 0,
        }
    }
}

/// The commands that wait for one reactor.
pub struct Commands {
    waiting: Mutex<Vec<Command>>,
    /// Whether the reactor waits in `poll`, or is about to: only then a wake-up costs a system call.
    asleep: AtomicBool,
    waker: Waker,
}

impl Commands {
    /// None waits.
    #[must_use]
    pub fn new(waker: Waker) -> Self {
        Self {
            waiting: Mutex::default(),
            asleep: AtomicBool::new(false),
            waker,
        }
    }

    /// Queues `commands`, which is empty afterwards.
    pub fn push_all(&self, commands: &mut Vec<Command>) {
        {
            let mut waiting = lock(&self.waiting);
            if waiting.is_empty() {
                mem::swap(&mut *waiting, commands);
            } else {
                waiting.append(commands);
            }
        }
        self.wake();
    }

    /// Ends the reactor's sleep, if it sleeps.
    pub fn wake(&self) {
        if self.asleep.swap(false, Ordering::SeqCst) {
            // It can fail only if the reactor has gone.
            let _ = self.waker.wake();
        }
    }

    /// Announces a sleep; false if commands have come, and there is none.
    ///
    /// `asleep` is set before the queue is looked at, and a caller looks at `asleep` after it has put its
    /// commands there: at least one of them sees the other.
    pub fn may_sleep(&self) -> bool {
        self.asleep.store(true, Ordering::SeqCst);
        let may = lock(&self.waiting).is_empty();
        if !may {
            self.awake();
        }
        may
    }

    /// The sleep is over.
    pub fn awake(&self) {
        self.asleep.store(false, Ordering::SeqCst);
    }

    /// Moves what waits to the end of `commands`.
    pub fn take(&self, commands: &mut VecDeque<Command>) {
        let waiting = mem::take(&mut *lock(&self.waiting));
        if commands.is_empty() {
            *commands = waiting.into();
        } else {
            commands.extend(waiting);
        }
    }
}

/// The events of all reactors that wait for the application.
pub struct Events {
    waiting: Mutex<Waiting>,
    signal: Signal,
    len: AtomicUsize,
    payload_bytes: AtomicUsize,
    /// Whether a reactor has stopped reading until the application catches up.
    paused: AtomicBool,
    max_len: usize,
    max_payload_bytes: usize,
}

#[derive(Default)]
struct Waiting {
    events: VecDeque<Event>,
    /// Why a reactor has died.
    fatal: Option<String>,
    signalled: bool,
}

impl Events {
    /// Errors: no descriptor is left for the signal.
    pub fn new(config: &Config) -> io::Result<Self> {
        Ok(Self {
            waiting: Mutex::default(),
            signal: Signal::new()?,
            len: AtomicUsize::new(0),
            payload_bytes: AtomicUsize::new(0),
            paused: AtomicBool::new(false),
            max_len: config.max_events,
            max_payload_bytes: config.max_event_bytes,
        })
    }

    /// Readable while events wait.
    #[must_use]
    pub fn fd(&self) -> RawFd {
        self.signal.fd()
    }

    /// Queues `events`, which is empty afterwards.
    pub fn push_all(&self, events: &mut Vec<Event>) {
        if events.is_empty() {
            return;
        }
        self.len.fetch_add(events.len(), Ordering::SeqCst);
        self.payload_bytes
            .fetch_add(events.iter().map(Event::payload_bytes).sum(), Ordering::SeqCst);
        let mut waiting = lock(&self.waiting);
        waiting.events.extend(events.drain(..));
        self.signal(&mut waiting);
    }

    /// Tells the application that a reactor has died.
    pub fn fail(&self, why: String) {
        let mut waiting = lock(&self.waiting);
        waiting.fatal.get_or_insert(why);
        self.signal(&mut waiting);
    }

    /// At most `max` events, oldest first. Errors: none is left, and a reactor has died.
    pub fn take(&self, max: usize) -> Result<Vec<Event>, String> {
        let mut waiting = lock(&self.waiting);
        // Cleared before the events are taken: what comes later signals again.
        if mem::take(&mut waiting.signalled) {
            self.signal.clear();
        }
        let n = waiting.events.len().min(max);
        let taken: Vec<Event> = waiting.events.drain(..n).collect();
        if !waiting.events.is_empty() || waiting.fatal.is_some() {
            self.signal(&mut waiting);
        }
        if taken.is_empty()
            && let Some(why) = &waiting.fatal
        {
            return Err(why.clone());
        }
        drop(waiting);
        self.len.fetch_sub(n, Ordering::SeqCst);
        self.payload_bytes
            .fetch_sub(taken.iter().map(Event::payload_bytes).sum(), Ordering::SeqCst);
        Ok(taken)
    }

    /// Whether reading has to pause, `more` events being about to be queued.
    ///
    /// If so, [`Events::resume`] will be true once the application has caught up.
    pub fn is_full(&self, more: usize) -> bool {
        if !self.exceeds(more, self.max_len, self.max_payload_bytes) {
            return false;
        }
        self.paused.store(true, Ordering::SeqCst);
        // The application may have taken everything before it could see `paused`.
        self.exceeds(more, self.max_len, self.max_payload_bytes)
    }

    /// Whether paused reactors can go on; true once for each pause.
    pub fn resume(&self) -> bool {
        !self.exceeds(0, self.max_len / 2, self.max_payload_bytes / 2)
            && self.paused.swap(false, Ordering::SeqCst)
    }

    fn exceeds(&self, more: usize, len: usize, payload_bytes: usize) -> bool {
        self.len.load(Ordering::SeqCst) + more > len
            || self.payload_bytes.load(Ordering::SeqCst) > payload_bytes
    }

    fn signal(&self, waiting: &mut MutexGuard<'_, Waiting>) {
        if !mem::replace(&mut waiting.signalled, true) {
            self.signal.set();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What a panic left behind is a queue, whole at every moment.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(max_events: usize) -> Events {
        Events::new(&Config {
            max_events,
            max_event_bytes: 1000,
            ..Config::default()
        })
        .expect("a descriptor")
    }

    fn received(len: usize) -> Event {
        Event::Received {
            id: ConnectionId::from_u64(1),
            payload: vec![0; len],
            is_text: false,
        }
    }

    fn readable(events: &Events) -> bool {
        let mut poll = libc::pollfd {
            fd: events.fd(),
            events: libc::POLLIN,
            revents: 0,
        };
        // SAFETY: one valid pollfd.
        unsafe { libc::poll(&raw mut poll, 1, 0) == 1 }
    }

    #[test]
    fn the_signal_is_set_while_events_wait() {
        let events = events(10);
        assert!(!readable(&events));
        events.push_all(&mut vec![received(1), received(2), received(3)]);
        assert!(readable(&events));
        assert_eq!(events.take(2).expect("alive").len(), 2);
        assert!(readable(&events));
        assert_eq!(events.take(2).expect("alive").len(), 1);
        assert!(!readable(&events));
    }

    #[test]
    fn reading_pauses_beyond_the_limit_and_resumes_below_half_of_it() {
        let events = events(4);
        events.push_all(&mut (0..4).map(|_| received(1)).collect());
        assert!(!events.is_full(0));
        assert!(events.is_full(1));
        let _ = events.take(1);
        assert!(!events.resume());
        let _ = events.take(1);
        assert!(events.resume());
        assert!(!events.resume());
    }

    #[test]
    fn payload_bytes_pause_reading_too() {
        let events = events(1000);
        events.push_all(&mut vec![received(1001)]);
        assert!(events.is_full(0));
        let _ = events.take(1);
        assert!(events.resume());
    }

    #[test]
    fn a_death_is_told_after_the_last_event_and_for_ever() {
        let events = events(10);
        events.push_all(&mut vec![received(1)]);
        events.fail("why".into());
        assert_eq!(events.take(10).expect("an event").len(), 1);
        assert!(readable(&events));
        assert_eq!(events.take(10).expect_err("dead"), "why");
        assert_eq!(events.take(10).expect_err("dead"), "why");
        assert!(readable(&events));
    }

    #[test]
    fn only_a_sleeping_reactor_is_woken() {
        let poll = mio::Poll::new().expect("poll");
        let commands = Commands::new(Waker::new(poll.registry(), mio::Token(0)).expect("waker"));
        assert!(commands.may_sleep());
        commands.push_all(&mut vec![Command::ShutDown]);
        assert!(!commands.asleep.load(Ordering::SeqCst));
        assert!(!commands.may_sleep());
        let mut taken = VecDeque::new();
        commands.take(&mut taken);
        assert_eq!(taken.len(), 1);
        assert!(commands.may_sleep());
    }
}
