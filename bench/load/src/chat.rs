//! Chat mode: users with tokens join their rooms over `chat.v1.json`, publish, and check every room's numbers.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use memchr::memmem;
use serde::Deserialize;
use serde_json::Value;

use crate::engine::{Scenario, Sockets};
use crate::raw::open_more;
use crate::report::{clock, emit, wait_for_go};
use crate::tally::Tally;
use crate::wire::{self, Broken};

/// One line of the users' file.
#[derive(Deserialize)]
pub struct User {
    token: String,
    rooms: Vec<String>,
}

/// How a chat run goes.
pub struct Plan {
    /// `Host` header.
    pub host: String,
    /// One connection each.
    pub users: Vec<User>,
    /// Handshakes under way at once.
    pub handshakes: usize,
    /// Bytes of text a message.
    pub text_bytes: usize,
    /// Messages a second, all publishers together (open loop) …
    pub rate: Option<f64>,
    /// … or how many users publish as fast as they are acknowledged (closed loop).
    pub publishers: usize,
    /// How long to measure.
    pub duration: Duration,
    /// Connections cut each second, which then come back and resume.
    pub cuts: f64,
}

/// One connection's place in one room.
#[derive(Clone, Copy)]
struct Place {
    room: usize,
    last: u64,
    joined: bool,
}

/// The state of a chat run.
pub struct Chat {
    plan: Plan,
    /// The counters.
    pub tally: Tally,
    rooms: HashMap<String, usize>,
    names: Vec<String>,
    epochs: Vec<String>,
    tops: Vec<u64>,
    places: Vec<Vec<Place>>,
    waiting: HashMap<u64, (usize, u64)>,
    next_id: u64,
    unjoined: usize,
    cut: u64,
    started: bool,
    start: Option<Instant>,
    stopping: Option<Instant>,
}

const GRACE: Duration = Duration::from_secs(30);
/// Ids below it are joins: the id is the index of the room among the user's own.
const FIRST_PUBLISH: u64 = 1_000_000;

impl Chat {
    /// Nothing opened yet.
    pub fn new(plan: Plan) -> Self {
        let mut rooms = HashMap::new();
        let mut names = Vec::new();
        let places: Vec<Vec<Place>> = (plan.users.iter())
            .map(|user| {
                (user.rooms.iter())
                    .map(|room| {
                        let room = *rooms.entry(room.clone()).or_insert_with(|| {
                            names.push(room.clone());
                            names.len() - 1
                        });
                        Place {
                            room,
                            last: 0,
                            joined: false,
                        }
                    })
                    .collect()
            })
            .collect();
        let unjoined = places.iter().map(Vec::len).sum();
        Self {
            tally: Tally::new(),
            epochs: vec![String::new(); names.len()],
            tops: vec![0; names.len()],
            rooms,
            names,
            places,
            waiting: HashMap::new(),
            next_id: FIRST_PUBLISH,
            unjoined,
            cut: 0,
            started: false,
            start: None,
            stopping: None,
            plan,
        }
    }

    fn join(&mut self, index: usize, sockets: &mut Sockets) {
        for (id, place) in self.places[index].iter().enumerate() {
            let since = if self.started {
                format!(
                    r#","since":{{"epoch":"{}","seq":{}}}"#,
                    self.epochs[place.room], place.last
                )
            } else {
                String::new()
            };
            let text = format!(
                r#"{{"id":{id},"op":"join","room":"{}"{since}}}"#,
                self.names[place.room]
            );
            sockets.send(index, 1, text.as_bytes());
        }
    }

    fn publish(&mut self, index: usize, sockets: &mut Sockets) {
        let places = &self.places[index];
        let place = places[fastrand::usize(..places.len())];
        let id = self.next_id;
        self.next_id += 1;
        let now = clock();
        let text = format!("t={now};{}", "x".repeat(self.plan.text_bytes.saturating_sub(24)));
        let frame = format!(
            r#"{{"id":{id},"op":"publish","room":"{}","key":"{:016x}-{id}","body":{{"text":"{text}"}}}}"#,
            self.names[place.room],
            fastrand::u64(..),
        );
        self.waiting.insert(id, (index, now));
        self.tally.published += 1;
        sockets.send(index, 1, frame.as_bytes());
    }

    fn answered(&mut self, index: usize, answer: &Value, sockets: &mut Sockets) {
        let id = answer["re"].as_u64().unwrap_or(u64::MAX);
        if let Some(code) = answer["err"]["code"].as_str() {
            *self.tally.errors.entry(code.to_owned()).or_default() += 1;
        }
        if id < FIRST_PUBLISH {
            self.joined(index, usize::try_from(id).unwrap_or(usize::MAX), &answer["ok"]);
        } else if let Some((publisher, sent)) = self.waiting.remove(&id) {
            if answer["ok"]["seq"].is_u64() {
                self.tally.acknowledged(sent);
            }
            if self.plan.rate.is_none() && self.stopping.is_none() && self.start.is_some() {
                self.publish(publisher, sockets);
            }
        }
    }

    fn joined(&mut self, index: usize, which: usize, answer: &Value) {
        let (Some(place), Some(seq)) = (self.places[index].get_mut(which), answer["seq"].as_u64()) else {
            return;
        };
        if self.started {
            if answer["recovered"] != Value::Bool(true) {
                *self.tally.errors.entry("not_recovered".to_owned()).or_default() += 1;
                place.last = seq;
            }
        } else {
            place.last = seq;
        }
        if !place.joined {
            place.joined = true;
            self.unjoined -= 1;
        }
        answer["epoch"]
            .as_str()
            .unwrap_or_default()
            .clone_into(&mut self.epochs[place.room]);
    }

    fn pushed(&mut self, index: usize, push: &[u8]) -> Result<(), Broken> {
        let room = string(push, b"\"room\":\"").ok_or(Broken("a message without a room"))?;
        let seq = number(push, b"\"seq\":").ok_or(Broken("a message without a seq"))?;
        let sent = number(push, b"\"text\":\"t=");
        let room = std::str::from_utf8(room)
            .ok()
            .and_then(|room| self.rooms.get(room));
        let Some(&room) = room else {
            return Err(Broken("a message of a foreign room"));
        };
        let place = self.places[index].iter_mut().find(|place| place.room == room);
        let Some(place) = place else {
            return Err(Broken("a message of a room that was not joined"));
        };
        self.tops[room] = self.tops[room].max(seq);
        self.tally.delivered(&mut place.last, seq, sent);
        Ok(())
    }

    fn behind(&self) -> u64 {
        (self.places.iter().flatten())
            .map(|place| self.tops[place.room].saturating_sub(place.last))
            .sum()
    }

    fn tick_measured(&mut self, start: Instant, now: Instant, sockets: &mut Sockets) -> bool {
        if now - start >= self.plan.duration && self.stopping.is_none() {
            self.stopping = Some(now);
            self.tally.stop();
        }
        if let Some(since) = self.stopping {
            let done = self.waiting.is_empty() && self.behind() == 0;
            if done || now - since > GRACE {
                self.tally.missing(self.behind());
                return false;
            }
            return true;
        }
        let passed = (now - start).as_secs_f64();
        if let Some(rate) = self.plan.rate {
            while (self.tally.published as f64) < passed * rate {
                self.publish(fastrand::usize(..self.places.len()), sockets);
            }
        }
        while (self.cut as f64) < passed * self.plan.cuts {
            self.cut += 1;
            sockets.cut(fastrand::usize(..self.places.len()));
        }
        true
    }
}

impl Scenario for Chat {
    fn request(&mut self, index: usize) -> Vec<u8> {
        let path = format!("/ws?access_token={}", self.plan.users[index].token);
        wire::request(&self.plan.host, &path, Some("chat.v1.json"), false)
    }

    fn opened(&mut self, index: usize, sockets: &mut Sockets) {
        self.join(index, sockets);
    }

    fn received(&mut self, index: usize, payload: &[u8], sockets: &mut Sockets) -> Result<(), Broken> {
        let mut pushes = memmem::find_iter(payload, b"\"push\":\"message\"").peekable();
        while let Some(at) = pushes.next() {
            let end = pushes.peek().copied().unwrap_or(payload.len());
            self.pushed(index, &payload[at..end])?;
        }
        if memmem::find(payload, b"\"re\":").is_some() {
            let value = serde_json::from_slice(payload).map_err(|_| Broken("not JSON"))?;
            match value {
                Value::Array(all) => {
                    all.iter()
                        .filter(|one| one.get("re").is_some())
                        .for_each(|one| self.answered(index, one, sockets));
                }
                one => self.answered(index, &one, sockets),
            }
        }
        Ok(())
    }

    fn closed(&mut self, index: usize, code: Option<u16>, sockets: &mut Sockets) {
        self.tally.closed(code);
        if self.started && self.plan.cuts > 0.0 {
            let _ = sockets.reconnect(index);
        }
    }

    fn tick(&mut self, now: Instant, sockets: &mut Sockets) -> bool {
        if let Some(start) = self.start {
            return self.tick_measured(start, now, sockets);
        }
        let (_, open, closed) = sockets.counts();
        if open + closed < self.plan.users.len() {
            open_more(
                &mut self.tally,
                self.plan.users.len(),
                self.plan.handshakes,
                sockets,
            );
        } else if self.unjoined == 0 || closed > 0 {
            self.tally.all_open(open);
            emit("open", &self.tally.report());
            wait_for_go();
            self.started = true;
            self.tally.start();
            self.start = Some(Instant::now());
            if self.plan.rate.is_none() {
                (0..self.plan.publishers).for_each(|index| self.publish(index, sockets));
            }
        }
        true
    }
}

/// The text between `before` and the next quote.
fn string<'a>(json: &'a [u8], before: &[u8]) -> Option<&'a [u8]> {
    let rest = &json[memmem::find(json, before)? + before.len()..];
    Some(&rest[..memchr::memchr(b'"', rest)?])
}

/// The digits after `before`.
fn number(json: &[u8], before: &[u8]) -> Option<u64> {
    let rest = &json[memmem::find(json, before)? + before.len()..];
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    std::str::from_utf8(&rest[..digits]).ok()?.parse().ok()
}
