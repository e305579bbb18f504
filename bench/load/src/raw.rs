//! Raw mode: any server that sends to all, or back, or only counts what it receives.

use std::time::{Duration, Instant};

use clap::ValueEnum;

use crate::content::Content;
use crate::control::{Finish, Harness, Tops, emit};
use crate::dialect::Dialect;
use crate::engine::{Scenario, Sockets};
use crate::report::clock;
use crate::tally::Tally;
use crate::wire::{self, Broken};

/// What the connections do.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Pattern {
    /// The last one sends, the server sends to all.
    Broadcast,
    /// Another process sends, the server sends to all.
    Listen,
    /// Each sends, the server sends back.
    Echo,
    /// Each sends, the server counts. A message that is `?` it answers with the count, in decimal digits.
    Sink,
}

/// How a raw run goes.
pub struct Plan {
    /// `Host` header.
    pub host: String,
    /// What is asked for.
    pub path: String,
    /// What the connections do.
    pub pattern: Pattern,
    /// How broadcasts are wrapped.
    pub dialect: Dialect,
    /// Sockets to open.
    pub connections: usize,
    /// Handshakes under way at once.
    pub handshakes: usize,
    /// Bytes a message.
    pub payload_bytes: usize,
    /// Broadcasts under way at once (closed loop), unless there is a rate; messages between two receipts of a sink.
    pub window: u64,
    /// Broadcasts a second (open loop).
    pub rate: Option<f64>,
    /// Offer permessage-deflate.
    pub deflate: bool,
    /// How long to measure; zero only opens.
    pub duration: Duration,
    /// The first so many sockets never read.
    pub slow: usize,
}

enum Stage {
    Opening,
    Ready,
    /// A sink is asked for its count before anything is sent.
    Counting,
    Running,
    /// What is under way is awaited before the other processes hear of it.
    Draining,
    Stopped,
    Settling(u64),
}

/// The state of a raw run.
pub struct Raw {
    plan: Plan,
    /// The counters.
    pub tally: Tally,
    harness: Harness,
    content: Content,
    stage: Stage,
    start: Instant,
    /// The last number that each connection received; with a sink the time of its question.
    last: Vec<u64>,
    ready: usize,
    failed: usize,
    in_flight: u64,
    /// What a sink had counted before.
    counted: u64,
}

/// How long nothing may come before what is missing counts as lost.
pub const PATIENCE: Duration = Duration::from_secs(10);

impl Raw {
    /// Nothing opened yet.
    pub fn new(plan: Plan, harness: Harness) -> Self {
        Self {
            tally: Tally::new(),
            harness,
            content: Content::new(plan.payload_bytes),
            stage: Stage::Opening,
            start: Instant::now(),
            last: vec![0; plan.connections],
            ready: 0,
            failed: 0,
            in_flight: 0,
            counted: 0,
            plan,
        }
    }

    fn send(&mut self, index: usize, number: u64, time: u64, sockets: &mut Sockets) {
        self.tally.published += 1;
        let message = self.content.message(number, time);
        self.plan.dialect.publish(index, number, message, sockets);
    }

    fn publisher(&self) -> usize {
        self.plan.connections - 1
    }

    fn broadcast(&mut self, time: u64, sockets: &mut Sockets) {
        self.in_flight += 1;
        self.send(self.publisher(), self.tally.published + 1, time, sockets);
    }

    /// A sink gets a batch, and a question behind it.
    fn pour(&mut self, index: usize, sockets: &mut Sockets) {
        for _ in 0..self.plan.window {
            self.send(index, self.tally.published + 1, clock(), sockets);
        }
        self.ask(index, sockets);
    }

    fn ask(&mut self, index: usize, sockets: &mut Sockets) {
        self.in_flight += 1;
        self.last[index] = clock();
        sockets.send(index, 2, b"?");
    }

    fn begin(&mut self, sockets: &mut Sockets) {
        self.tally.start();
        self.start = Instant::now();
        self.stage = Stage::Running;
        if self.plan.duration.is_zero() {
            return;
        }
        for index in 0..self.plan.connections {
            match self.plan.pattern {
                Pattern::Echo => self.send(index, 1, clock(), sockets),
                Pattern::Sink => self.pour(index, sockets),
                Pattern::Broadcast | Pattern::Listen => return,
            }
        }
    }

    fn run(&mut self, now: Instant, sockets: &mut Sockets) {
        let passed = now - self.start;
        if passed >= self.plan.duration {
            self.stage = Stage::Draining;
            return;
        }
        if self.plan.pattern != Pattern::Broadcast {
            return;
        }
        match self.plan.rate {
            // A message that we are late with counts from when it was due.
            Some(rate) => {
                while (self.tally.published as f64) < passed.as_secs_f64() * rate {
                    let late = passed.as_secs_f64() - self.tally.published as f64 / rate;
                    let due =
                        clock().saturating_sub(Duration::from_secs_f64(late.max(0.0)).as_nanos() as u64);
                    self.broadcast(due, sockets);
                }
            }
            None => {
                while self.in_flight < self.plan.window {
                    self.broadcast(clock(), sockets);
                }
            }
        }
    }

    /// Whether all answers are there that no other process has to wait for.
    fn drained(&self) -> bool {
        match self.plan.pattern {
            Pattern::Echo => self.tally.deliveries >= self.tally.published,
            Pattern::Sink => self.in_flight == 0,
            Pattern::Broadcast | Pattern::Listen => true,
        }
    }

    fn tops(&self) -> Tops {
        match self.plan.pattern {
            Pattern::Broadcast => Tops::from([(String::new(), self.tally.published)]),
            _ => Tops::new(),
        }
    }

    fn settle(&mut self, finish: &Finish) {
        self.stage = Stage::Settling(finish.tops.get("").copied().unwrap_or(0));
    }

    /// Messages up to `top` that have not come.
    fn behind(&self, top: u64) -> u64 {
        match self.plan.pattern {
            Pattern::Broadcast | Pattern::Listen => {
                let readers = &self.last[self.plan.slow..];
                readers.iter().map(|last| top.saturating_sub(*last)).sum()
            }
            Pattern::Echo => self.tally.published.saturating_sub(self.tally.deliveries),
            Pattern::Sink => self.tally.published.saturating_sub(self.tally.acknowledged),
        }
    }

    /// A sink's answer: how many messages it has had.
    fn count(&mut self, index: usize, payload: &[u8], sockets: &mut Sockets) -> Result<(), Broken> {
        let count = std::str::from_utf8(payload)
            .ok()
            .and_then(|text| text.parse::<u64>().ok());
        let count = count.ok_or(Broken("not a count"))?;
        self.in_flight -= 1;
        if matches!(self.stage, Stage::Counting) {
            self.counted = count;
            self.begin(sockets);
            return Ok(());
        }
        self.tally.answered(self.last[index]);
        self.tally.acknowledged = self.tally.acknowledged.max(count - self.counted);
        self.tally.operations = Some(self.tally.acknowledged);
        if matches!(self.stage, Stage::Running) {
            self.pour(index, sockets);
        }
        Ok(())
    }

    fn delivered(&mut self, index: usize, message: &[u8], sockets: &mut Sockets) -> Result<(), Broken> {
        let (number, sent) = self.content.check(message)?;
        self.tally.delivered(&mut self.last[index], number, Some(sent));
        match self.plan.pattern {
            Pattern::Echo if matches!(self.stage, Stage::Running) => {
                self.send(index, number + 1, clock(), sockets)
            }
            Pattern::Broadcast if index == self.publisher() => {
                self.in_flight = self.in_flight.saturating_sub(1);
            }
            _ => {}
        }
        Ok(())
    }
}

impl Scenario for Raw {
    fn request(&mut self, _index: usize) -> Vec<u8> {
        wire::request(&self.plan.host, &self.plan.path, None, self.plan.deflate)
    }

    fn opened(&mut self, index: usize, sockets: &mut Sockets) {
        if index < self.plan.slow {
            sockets.stop_reading(index);
        }
        if self.plan.dialect.greet(index, sockets) {
            self.ready += 1;
        }
    }

    fn received(&mut self, index: usize, payload: &[u8], sockets: &mut Sockets) -> Result<(), Broken> {
        if self.plan.pattern == Pattern::Sink {
            return self.count(index, payload, sockets);
        }
        let dialect = self.plan.dialect;
        for line in dialect.lines(payload) {
            if dialect.is_greeting(line) {
                self.ready += 1;
            } else if let Some(message) = dialect.message(index, line, self.content.bytes(), sockets)? {
                self.delivered(index, message, sockets)?;
            }
        }
        Ok(())
    }

    fn closed(&mut self, _index: usize, code: Option<u16>, _sockets: &mut Sockets) {
        self.tally.closed(code);
        self.failed += 1;
    }

    fn broken(&mut self, what: Broken) {
        self.tally.error(what.0);
    }

    fn tick(&mut self, now: Instant, sockets: &mut Sockets) -> bool {
        match self.stage {
            Stage::Opening => {
                let all = self.plan.connections;
                let begun = open_more(all, self.plan.handshakes, self.plan.slow, sockets);
                if begun && self.ready + self.failed >= all {
                    self.tally.all_open(sockets.counts().1);
                    emit("open", &self.tally.report(&sockets.traffic));
                    self.stage = Stage::Ready;
                }
            }
            Stage::Ready if self.harness.says_go() => {
                if self.plan.pattern == Pattern::Sink && !self.plan.duration.is_zero() {
                    self.stage = Stage::Counting;
                    self.ask(0, sockets);
                } else {
                    self.begin(sockets);
                }
            }
            Stage::Running => self.run(now, sockets),
            Stage::Draining if self.drained() || self.tally.silence() > PATIENCE => {
                emit(
                    "stopped",
                    &serde_json::json!({"tops": self.tops(), "published": self.tally.published}),
                );
                self.stage = Stage::Stopped;
            }
            Stage::Stopped => {
                if let Some(finish) = self.harness.finish(&self.tops()) {
                    self.settle(&finish);
                }
            }
            Stage::Settling(top) => {
                let behind = self.behind(top);
                if behind == 0 || self.tally.silence() > PATIENCE {
                    self.tally.missing(behind);
                    return false;
                }
            }
            Stage::Ready | Stage::Counting | Stage::Draining => {}
        }
        true
    }
}

/// Keeps `handshakes` under way until all `connections` are begun; true once none is under way any more.
pub fn open_more(connections: usize, handshakes: usize, slow: usize, sockets: &mut Sockets) -> bool {
    let (begun, open, closed) = sockets.counts();
    for index in begun..connections.min(open + closed + handshakes) {
        if let Err(error) = sockets.connect(index < slow) {
            eprintln!("cannot connect: {error}");
            std::process::exit(1);
        }
    }
    open + closed >= connections
}
