//! The talk with the harness: JSON lines on standard output, answers on standard input.
//!
//! | we say | when | and wait for |
//! | --- | --- | --- |
//! | `open` | all connections stand; the harness reads the server's memory | any line |
//! | `stopped` | nothing more is published; with the last number of each stream as far as we know | `Finish` |
//! | `report` | everything has come, or nothing comes any more | – |
//!
//! Waiting never blocks: the sockets are served meanwhile. Without a harness (standard input is closed) we go on alone.

use std::collections::BTreeMap;
use std::io::{BufRead, Write};
use std::sync::mpsc::{Receiver, TryRecvError, channel};

use serde::{Deserialize, Serialize};

/// The last number of each stream: of the one broadcast, whose name is empty, or of each room.
pub type Tops = BTreeMap<String, u64>;

/// What the harness knows when all load processes have stopped.
#[derive(Deserialize)]
pub struct Finish {
    /// The highest of all processes' tops.
    pub tops: Tops,
    /// How many processes there are.
    pub processes: usize,
}

/// The harness at the other end.
pub struct Harness(Receiver<String>);

impl Harness {
    /// Listens from now on.
    pub fn new() -> Self {
        let (sender, receiver) = channel();
        std::thread::spawn(move || {
            for line in std::io::stdin().lock().lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self(receiver)
    }

    /// Whether it has said that the measured time begins.
    pub fn says_go(&self) -> bool {
        self.line().is_some()
    }

    /// Its answer to `stopped`, once it is there; `own` if nobody is there to answer.
    pub fn finish(&self, own: &Tops) -> Option<Finish> {
        let line = self.line()?;
        Some(serde_json::from_str(&line).unwrap_or_else(|_| Finish {
            tops: own.clone(),
            processes: 1,
        }))
    }

    /// The next line; empty for ever once there is no more harness.
    fn line(&self) -> Option<String> {
        match self.0.try_recv() {
            Ok(line) => Some(line),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => Some(String::new()),
        }
    }
}

/// Writes one line.
pub fn emit(event: &str, value: &impl Serialize) {
    let line = serde_json::json!({"event": event, "data": value});
    let mut out = std::io::stdout().lock();
    // A harness that has gone needs no report.
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}
