//! Chat mode: users with tokens join their rooms over `chat.v1.json`, publish, are cut off, come back, and check
//! that every room's numbers rise by one on every socket.
//!
//! Recovery is all or nothing. After a join that says `recovered`, a hole counts as lost and a repetition as
//! doubled; one that does not say so counts as an error, and the numbers start again from its answer.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use memchr::memmem;
use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

use crate::control::{Finish, Harness, Tops, emit};
use crate::engine::{Scenario, Sockets};
use crate::raw::{PATIENCE, open_more};
use crate::report::clock;
use crate::tally::Tally;
use crate::wire::{self, Broken};

mod scan;
mod text;

use text::Texts;

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
    /// How messages follow one another.
    pub pace: Pace,
    /// `typing` commands a second.
    pub typing: f64,
    /// Pages of history asked for in a second.
    pub histories: f64,
    /// How long to measure.
    pub duration: Duration,
    /// Connections cut each second, which then come back and resume.
    pub cuts: f64,
    /// Cut all connections at once, in the middle.
    pub storm: bool,
    /// Offer permessage-deflate.
    pub deflate: bool,
}

/// How messages follow one another.
#[derive(Clone, Copy)]
pub enum Pace {
    /// So many a second (open loop).
    Messages(f64),
    /// As many as make so many deliveries a second (open loop).
    Deliveries(f64),
    /// So many users, each when the last one was acknowledged (closed loop).
    Acknowledged(usize),
}

enum Stage {
    Opening,
    Ready,
    Running,
    Draining,
    Stopped,
    Settling,
}

/// One connection's place in one room.
#[derive(Clone, Copy)]
struct Place {
    room: usize,
    last: u64,
    joined: bool,
}

/// One user's connection.
struct Member {
    places: Vec<Place>,
    unjoined: usize,
    /// When it was cut, until it has all rooms again.
    cut: Option<u64>,
}

struct Room {
    name: String,
    epoch: String,
    members: usize,
    /// The position when the run began, and the highest that is known.
    base: u64,
    top: u64,
}

/// What an answer is awaited for.
enum Asked {
    Publish {
        member: usize,
        room: usize,
        sent: u64,
        /// To be sent again, with the same key, if the connection is cut.
        frame: Vec<u8>,
    },
    History {
        member: usize,
    },
    Typing {
        member: usize,
    },
}

/// The state of a chat run.
pub struct Chat {
    plan: Plan,
    /// The counters.
    pub tally: Tally,
    harness: Harness,
    texts: Texts,
    stage: Stage,
    start: Instant,
    index: HashMap<String, usize>,
    rooms: Vec<Room>,
    members: Vec<Member>,
    waiting: HashMap<u64, Asked>,
    next_id: u64,
    /// Joins that have not been answered.
    unjoined: usize,
    /// Connections that have to be made again.
    away: VecDeque<usize>,
    /// When the next message is due, in seconds.
    due: f64,
    typed: u64,
    paged: u64,
    cut: u64,
    stormed: bool,
}

/// Ids below it are joins: the id is the index of the room among the user's own.
const FIRST_ID: u64 = 1_000_000;

impl Chat {
    /// Nothing opened yet.
    pub fn new(plan: Plan, harness: Harness) -> Self {
        let mut chat = Self {
            tally: Tally::new(),
            harness,
            texts: Texts::new(plan.text_bytes),
            stage: Stage::Opening,
            start: Instant::now(),
            index: HashMap::new(),
            rooms: Vec::new(),
            members: Vec::new(),
            waiting: HashMap::new(),
            next_id: FIRST_ID,
            unjoined: 0,
            away: VecDeque::new(),
            due: 0.0,
            typed: 0,
            paged: 0,
            cut: 0,
            stormed: false,
            plan,
        };
        for user in std::mem::take(&mut chat.plan.users) {
            let places: Vec<_> = user.rooms.iter().map(|room| chat.place(room)).collect();
            chat.unjoined += places.len();
            chat.members.push(Member {
                unjoined: places.len(),
                places,
                cut: None,
            });
            chat.plan.users.push(user);
        }
        chat
    }

    fn place(&mut self, name: &str) -> Place {
        let room = *self.index.entry(name.to_owned()).or_insert_with(|| {
            self.rooms.push(Room {
                name: name.to_owned(),
                epoch: String::new(),
                members: 0,
                base: 0,
                top: 0,
            });
            self.rooms.len() - 1
        });
        self.rooms[room].members += 1;
        Place {
            room,
            last: 0,
            joined: false,
        }
    }

    // What users do

    fn join(&mut self, member: usize, sockets: &mut Sockets) {
        let resumes = self.members[member].cut.is_some();
        let mut frame = String::from("[");
        for (id, place) in self.members[member].places.iter().enumerate() {
            let Room { name, epoch, .. } = &self.rooms[place.room];
            let comma = if id > 0 { "," } else { "" };
            frame += &format!(r#"{comma}{{"id":{id},"op":"join","room":"{name}""#);
            if resumes {
                frame += &format!(r#","since":{{"epoch":"{epoch}","seq":{}}}"#, place.last);
            }
            frame.push('}');
        }
        frame.push(']');
        sockets.send(member, 1, frame.as_bytes());
    }

    fn publish(&mut self, member: usize, due: u64, sockets: &mut Sockets) -> usize {
        let places = &self.members[member].places;
        let room = places[fastrand::usize(..places.len())].room;
        let id = self.id();
        let frame = format!(
            r#"{{"id":{id},"op":"publish","room":"{}","key":"{}","body":{{"text":"{}"}}}}"#,
            self.rooms[room].name,
            Uuid::now_v7(), // as our own client does it
            self.texts.write(id, due),
        )
        .into_bytes();
        sockets.send(member, 1, &frame);
        self.tally.published += 1;
        let asked = Asked::Publish {
            member,
            room,
            sent: due,
            frame,
        };
        self.waiting.insert(id, asked);
        self.rooms[room].members
    }

    fn ask(&mut self, op: &str, more: &str, asked: Asked, sockets: &mut Sockets) {
        let (Asked::Typing { member } | Asked::History { member } | Asked::Publish { member, .. }) = asked;
        let id = self.id();
        let room = &self.rooms[self.members[member].places[0].room].name;
        let frame = format!(r#"{{"id":{id},"op":"{op}","room":"{room}"{more}}}"#);
        sockets.send(member, 1, frame.as_bytes());
        self.waiting.insert(id, asked);
    }

    fn id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    fn anybody(&self) -> usize {
        fastrand::usize(..self.members.len())
    }

    fn cut(&mut self, member: usize, sockets: &mut Sockets) {
        if self.members[member].cut.is_none() {
            self.members[member].cut = Some(clock());
            sockets.cut(member);
        }
    }

    // What the node says

    fn answered(&mut self, member: usize, answer: &Value, sockets: &mut Sockets) {
        let id = answer["re"].as_u64().unwrap_or(u64::MAX);
        if let Some(code) = answer["err"]["code"].as_str() {
            self.tally.error(code);
        }
        let ok = &answer["ok"];
        if id < FIRST_ID {
            return self.joined(member, usize::try_from(id).unwrap_or(usize::MAX), ok);
        }
        match self.waiting.remove(&id) {
            Some(Asked::Publish { room, sent, .. }) => {
                if let Some(seq) = ok["seq"].as_u64() {
                    self.tally.acknowledged += 1;
                    self.tally.answered(sent);
                    self.rooms[room].top = self.rooms[room].top.max(seq);
                }
                if matches!(
                    (self.plan.pace, &self.stage),
                    (Pace::Acknowledged(_), Stage::Running)
                ) {
                    self.publish(member, clock(), sockets);
                }
            }
            Some(Asked::History { .. }) => self.paged(ok),
            Some(Asked::Typing { .. }) | None => {}
        }
    }

    /// A page of history must be without holes.
    fn paged(&mut self, page: &Value) {
        let seqs = page["messages"].as_array().into_iter().flatten();
        let seqs: Vec<_> = seqs.filter_map(|message| message["seq"].as_u64()).collect();
        if seqs.windows(2).any(|pair| pair[1] != pair[0] + 1) {
            self.tally.error("a hole in the history");
        }
    }

    fn joined(&mut self, member: usize, which: usize, answer: &Value) {
        let (Some(seq), Some(top)) = (answer["seq"].as_u64(), answer["top"].as_u64()) else {
            return;
        };
        let resumes = self.members[member].cut.is_some();
        let Some(place) = self.members[member].places.get_mut(which) else {
            return;
        };
        let room = &mut self.rooms[place.room];
        room.top = room.top.max(top);
        if !resumes {
            room.base = room.base.max(top);
            place.last = seq;
        } else if answer["recovered"] != Value::Bool(true) {
            self.tally.error("not recovered");
            place.last = seq;
        } else if seq != place.last {
            self.tally.error("recovered from another place");
        }
        answer["epoch"]
            .as_str()
            .unwrap_or_default()
            .clone_into(&mut room.epoch);
        if !place.joined {
            place.joined = true;
            self.unjoined -= 1;
            self.members[member].unjoined -= 1;
        }
        if self.members[member].unjoined == 0
            && let Some(cut) = self.members[member].cut.take()
        {
            self.tally.resumed(cut);
        }
    }

    fn pushed(&mut self, member: usize, push: &scan::Push<'_>) -> Result<(), Broken> {
        match self.tally.pushes.get_mut(push.kind) {
            Some(count) => *count += 1,
            None => drop(self.tally.pushes.insert(push.kind.to_owned(), 1)),
        }
        let (position, is_gap) = match push.kind {
            "message" => (&br#""seq":"#[..], false),
            "gap" => (&br#""to":"#[..], true),
            _ => return Ok(()),
        };
        let room = scan::string(push.text, br#""room":""#).ok_or(Broken("a push without a room"))?;
        let seq = scan::number(push.text, position).ok_or(Broken("a push without a position"))?;
        let room = *self
            .index
            .get(room)
            .ok_or(Broken("a message of a foreign room"))?;
        let places = &mut self.members[member].places;
        let place = places.iter_mut().find(|place| place.room == room);
        let place = place.ok_or(Broken("a message of a room that was not joined"))?;
        self.rooms[room].top = self.rooms[room].top.max(seq);
        if is_gap {
            place.last = place.last.max(seq);
        } else {
            let sent = self.texts.check(push.text)?;
            self.tally.delivered(&mut place.last, seq, Some(sent));
        }
        Ok(())
    }

    // The course of a run

    fn begin(&mut self, sockets: &mut Sockets) {
        self.tally.start();
        self.start = Instant::now();
        self.stage = Stage::Running;
        if let Pace::Acknowledged(publishers) = self.plan.pace
            && !self.plan.duration.is_zero()
        {
            for member in 0..publishers.min(self.members.len()) {
                self.publish(member, clock(), sockets);
            }
        }
    }

    fn run(&mut self, now: Instant, sockets: &mut Sockets) {
        let passed = (now - self.start).as_secs_f64();
        if now - self.start >= self.plan.duration {
            self.stage = Stage::Draining;
            return;
        }
        self.publish_due(passed, sockets);
        while (self.typed as f64) < passed * self.plan.typing {
            self.typed += 1;
            let member = self.anybody();
            self.ask("typing", "", Asked::Typing { member }, sockets);
        }
        while (self.paged as f64) < passed * self.plan.histories {
            self.paged += 1;
            let member = self.anybody();
            self.ask("history", r#","limit":50"#, Asked::History { member }, sockets);
        }
        while (self.cut as f64) < passed * self.plan.cuts {
            self.cut += 1;
            self.cut(self.anybody(), sockets);
        }
        if self.plan.storm && !self.stormed && passed * 2.0 >= self.plan.duration.as_secs_f64() {
            self.stormed = true;
            (0..self.members.len()).for_each(|member| self.cut(member, sockets));
        }
    }

    /// A message that we are late with counts from when it was due.
    fn publish_due(&mut self, passed: f64, sockets: &mut Sockets) {
        let (Pace::Messages(rate) | Pace::Deliveries(rate)) = self.plan.pace else {
            return;
        };
        while self.due <= passed {
            let late = Duration::from_secs_f64(passed - self.due).as_nanos();
            let due = clock().saturating_sub(u64::try_from(late).unwrap_or(0));
            let deliveries = self.publish(self.anybody(), due, sockets);
            self.due += match self.plan.pace {
                Pace::Deliveries(_) => deliveries as f64 / rate,
                _ => 1.0 / rate,
            };
        }
    }

    fn come_back(&mut self, sockets: &mut Sockets) {
        let (_, open, _) = sockets.counts();
        let under_way = self.members.len() - open - self.away.len();
        for _ in under_way..self.plan.handshakes {
            let Some(member) = self.away.pop_front() else {
                return;
            };
            if sockets.reconnect(member).is_err() {
                self.away.push_back(member);
                return;
            }
        }
    }

    fn tops(&self) -> Tops {
        (self.rooms.iter())
            .map(|room| (room.name.clone(), room.top))
            .collect()
    }

    fn behind(&self) -> u64 {
        let places = self.members.iter().flat_map(|member| &member.places);
        places
            .map(|place| self.rooms[place.room].top.saturating_sub(place.last))
            .sum()
    }

    fn settle(&mut self, finish: &Finish) {
        for room in &mut self.rooms {
            room.top = room.top.max(finish.tops.get(&room.name).copied().unwrap_or(0));
        }
        // More messages than acknowledgements: something was stored twice.
        let stored: u64 = self.rooms.iter().map(|room| room.top - room.base).sum();
        if finish.processes == 1 && self.waiting.is_empty() {
            self.tally.surplus(stored.saturating_sub(self.tally.acknowledged));
        }
        self.stage = Stage::Settling;
    }

    fn is_drained(&self) -> bool {
        (self.waiting.is_empty() && self.unjoined == 0 && self.away.is_empty())
            || self.tally.silence() > PATIENCE
    }
}

impl Scenario for Chat {
    fn request(&mut self, index: usize) -> Vec<u8> {
        let path = format!("/ws?access_token={}", self.plan.users[index].token);
        wire::request(&self.plan.host, &path, Some("chat.v1.json"), self.plan.deflate)
    }

    fn opened(&mut self, index: usize, sockets: &mut Sockets) {
        self.join(index, sockets);
        if self.members[index].cut.is_some() {
            for asked in self.waiting.values() {
                if let Asked::Publish { member, frame, .. } = asked
                    && *member == index
                {
                    sockets.send(index, 1, frame);
                }
            }
        }
    }

    fn received(&mut self, index: usize, payload: &[u8], sockets: &mut Sockets) -> Result<(), Broken> {
        for push in scan::pushes(payload) {
            self.pushed(index, &push)?;
        }
        if memmem::find(payload, br#""re":"#).is_some() {
            let value = serde_json::from_slice(payload).map_err(|_| Broken("not JSON"))?;
            match value {
                Value::Array(all) => {
                    let answers = all.iter().filter(|one| one.get("re").is_some());
                    answers.for_each(|answer| self.answered(index, answer, sockets));
                }
                one => self.answered(index, &one, sockets),
            }
        }
        Ok(())
    }

    fn closed(&mut self, index: usize, code: Option<u16>, _sockets: &mut Sockets) {
        if self.members[index].cut.is_none() {
            self.tally.closed(code);
        }
        // Only what can be sent again is still waited for.
        self.waiting.retain(|_, asked| match asked {
            Asked::Publish { .. } => true,
            Asked::History { member } | Asked::Typing { member } => *member != index,
        });
        if matches!(self.stage, Stage::Opening | Stage::Ready) {
            return;
        }
        let member = &mut self.members[index];
        member.cut.get_or_insert_with(clock);
        for place in &mut member.places {
            if place.joined {
                place.joined = false;
                member.unjoined += 1;
                self.unjoined += 1;
            }
        }
        self.away.push_back(index);
    }

    fn broken(&mut self, what: Broken) {
        self.tally.error(what.0);
    }

    fn tick(&mut self, now: Instant, sockets: &mut Sockets) -> bool {
        if !self.away.is_empty() {
            self.come_back(sockets);
        }
        match self.stage {
            Stage::Opening => {
                let begun = open_more(self.members.len(), self.plan.handshakes, 0, sockets);
                let (_, open, closed) = sockets.counts();
                if begun && (self.unjoined == 0 || closed > 0) {
                    self.tally.all_open(open);
                    emit("open", &self.tally.report(&sockets.traffic));
                    self.stage = Stage::Ready;
                }
            }
            Stage::Ready if self.harness.says_go() => self.begin(sockets),
            Stage::Running => self.run(now, sockets),
            Stage::Draining if self.is_drained() => {
                for _ in 0..self.waiting.len() {
                    self.tally.error("not answered");
                }
                emit("stopped", &serde_json::json!({"tops": self.tops()}));
                self.stage = Stage::Stopped;
            }
            Stage::Stopped => {
                if let Some(finish) = self.harness.finish(&self.tops()) {
                    self.settle(&finish);
                }
            }
            Stage::Settling => {
                let behind = self.behind();
                if behind == 0 || self.tally.silence() > PATIENCE {
                    self.tally.missing(behind);
                    return false;
                }
            }
            Stage::Ready | Stage::Draining => {}
        }
        true
    }
}
