//! Raw mode: any server that sends to all, or back, what it receives.
//!
//! A payload is `number (u64) · time (u64, ns) · padding`, big-endian.

use std::time::{Duration, Instant};

use crate::engine::{Scenario, Sockets};
use crate::report::{clock, emit, wait_for_go};
use crate::tally::Tally;
use crate::wire::{self, Broken};

/// How a raw run goes.
pub struct Plan {
    /// `Host` header and path.
    pub host: String,
    /// Sockets to open.
    pub connections: usize,
    /// Handshakes under way at once.
    pub handshakes: usize,
    /// Bytes a message, at least 16.
    pub payload_bytes: usize,
    /// Broadcasts under way at once (closed loop), unless there is a rate.
    pub window: u64,
    /// Broadcasts a second (open loop).
    pub rate: Option<f64>,
    /// Each connection sends to itself, instead of one to all.
    pub echo: bool,
    /// Offer permessage-deflate (servers answer compressed; only for idle memory and handshakes).
    pub deflate: bool,
    /// How long to measure; zero only opens.
    pub duration: Duration,
    /// The first so many sockets never read.
    pub slow: usize,
}

/// The state of a raw run.
pub struct Raw {
    plan: Plan,
    /// The counters.
    pub tally: Tally,
    last: Vec<u64>,
    payload: Vec<u8>,
    in_flight: u64,
    start: Option<Instant>,
    stopping: Option<Instant>,
}

/// How long to wait for what is under way when the time is up.
const GRACE: Duration = Duration::from_secs(30);

impl Raw {
    /// Nothing opened yet.
    pub fn new(plan: Plan) -> Self {
        let last = vec![0; plan.connections];
        let payload = vec![b'x'; plan.payload_bytes.max(16)];
        Self {
            plan,
            tally: Tally::new(),
            last,
            payload,
            in_flight: 0,
            start: None,
            stopping: None,
        }
    }

    fn send(&mut self, index: usize, number: u64, sockets: &mut Sockets) {
        self.payload[..8].copy_from_slice(&number.to_be_bytes());
        self.payload[8..16].copy_from_slice(&clock().to_be_bytes());
        self.tally.published += 1;
        sockets.send(index, 2, &self.payload);
    }

    fn publisher(&self) -> usize {
        self.plan.connections - 1
    }

    fn broadcast(&mut self, sockets: &mut Sockets) {
        self.in_flight += 1;
        self.send(self.publisher(), self.tally.published + 1, sockets);
    }

    fn begin(&mut self, sockets: &mut Sockets) {
        emit("open", &self.tally.report());
        wait_for_go();
        for index in 0..self.plan.slow {
            sockets.stop_reading(index);
        }
        self.tally.start();
        self.start = Some(Instant::now());
        if self.plan.echo && !self.plan.duration.is_zero() {
            for index in 0..self.plan.connections {
                self.send(index, 1, sockets);
            }
        }
    }

    fn expected(&self) -> u64 {
        let receivers = if self.plan.echo {
            1
        } else {
            self.plan.connections - self.plan.slow
        };
        self.tally.published * receivers as u64
    }

    fn finish(&mut self) -> bool {
        self.tally.stop();
        if self.plan.slow == 0 {
            self.tally
                .missing(self.expected().saturating_sub(self.tally.deliveries()));
        }
        false
    }
}

impl Scenario for Raw {
    fn request(&mut self, _index: usize) -> Vec<u8> {
        wire::request(&self.plan.host, "/ws", None, self.plan.deflate)
    }

    fn opened(&mut self, _index: usize, _sockets: &mut Sockets) {}

    fn received(&mut self, index: usize, payload: &[u8], sockets: &mut Sockets) -> Result<(), Broken> {
        let (Some(number), true) = (payload.first_chunk::<8>(), payload.len() == self.payload.len()) else {
            return Err(Broken("not what was sent"));
        };
        let number = u64::from_be_bytes(*number);
        let sent = payload[8..]
            .first_chunk::<8>()
            .map(|time| u64::from_be_bytes(*time));
        self.tally.delivered(&mut self.last[index], number, sent);
        if self.plan.echo {
            if self.stopping.is_none() {
                self.send(index, number + 1, sockets);
            }
        } else if index == self.publisher() {
            self.in_flight -= 1;
        }
        Ok(())
    }

    fn closed(&mut self, _index: usize, code: Option<u16>, _sockets: &mut Sockets) {
        self.tally.closed(code);
    }

    fn tick(&mut self, now: Instant, sockets: &mut Sockets) -> bool {
        let Some(start) = self.start else {
            if open_more(
                &mut self.tally,
                self.plan.connections,
                self.plan.handshakes,
                sockets,
            ) {
                self.begin(sockets);
            }
            return true;
        };
        if now - start >= self.plan.duration && self.stopping.is_none() {
            self.stopping = Some(now);
            self.tally.stop();
        }
        if let Some(since) = self.stopping {
            let done = self.tally.deliveries() >= self.expected();
            return if done || now - since > GRACE {
                self.finish()
            } else {
                true
            };
        }
        match self.plan.rate {
            _ if self.plan.echo => {}
            Some(rate) => {
                while (self.tally.published as f64) < (now - start).as_secs_f64() * rate {
                    self.broadcast(sockets);
                }
            }
            None => {
                while self.in_flight < self.plan.window {
                    self.broadcast(sockets);
                }
            }
        }
        true
    }
}

/// Keeps `handshakes` under way until all `connections` are begun; true once all are open.
pub fn open_more(tally: &mut Tally, connections: usize, handshakes: usize, sockets: &mut Sockets) -> bool {
    let (begun, open, closed) = sockets.counts();
    for _ in begun..connections.min(open + closed + handshakes) {
        if let Err(error) = sockets.connect() {
            eprintln!("cannot connect: {error}");
            std::process::exit(1);
        }
    }
    if open + closed < connections {
        return false;
    }
    tally.all_open(open);
    true
}
