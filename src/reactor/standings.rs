//! What the caller may do with the connections that it has been told of.

use std::collections::HashMap;
use std::sync::Arc;

use crate::error::UsageError;
use crate::protocol::handshake::Request;

use super::ConnectionId;

/// The caller's view of all connections: as of the events taken and the commands given, not of the sockets.
pub struct Standings {
    /// By reactor and slot: sixteen bytes for a connection.
    entries: Vec<Vec<Entry>>,
    /// What those asked for that wait for a verdict.
    asked: HashMap<ConnectionId, Arc<Request>>,
}

#[derive(Clone, Copy)]
struct Entry {
    id: ConnectionId,
    standing: Standing,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Standing {
    Asked,
    Open,
    /// Closed or rejected by us, or gone.
    Over,
}

impl Standings {
    /// Nobody is known.
    pub fn new(reactors: usize) -> Self {
        Self {
            entries: vec![Vec::new(); reactors],
            asked: HashMap::new(),
        }
    }

    /// A handshake waits for its verdict.
    pub fn ask(&mut self, id: ConnectionId, request: Arc<Request>) {
        self.asked.insert(id, request);
        let entries = &mut self.entries[id.reactor()];
        if id.slot() >= entries.len() {
            entries.resize(
                id.slot() + 1,
                Entry {
                    id,
                    standing: Standing::Over,
                },
            );
        }
        entries[id.slot()] = Entry {
            id,
            standing: Standing::Asked,
        };
    }

    /// The handshake is accepted.
    pub fn open(&mut self, id: ConnectionId) {
        self.set(id, Standing::Open);
    }

    /// Commands have no effect any more.
    pub fn end(&mut self, id: ConnectionId) {
        self.set(id, Standing::Over);
    }

    /// Whether `id` asked for `subprotocol`.
    pub fn has_offered(&self, id: ConnectionId, subprotocol: &str) -> bool {
        self.asked
            .get(&id)
            .is_some_and(|request| request.subprotocols.iter().any(|offered| offered == subprotocol))
    }

    /// Whether a verdict can be given; false if the connection has gone.
    ///
    /// Errors: it has been accepted already.
    pub fn may_answer(&self, id: ConnectionId) -> Result<bool, UsageError> {
        match self.of(id) {
            Standing::Asked => Ok(true),
            Standing::Open => Err(UsageError("the handshake has been accepted already")),
            Standing::Over => Ok(false),
        }
    }

    /// Whether commands reach the connection; false if it has gone.
    ///
    /// Errors: it has not been accepted yet.
    pub fn may_use(&self, id: ConnectionId) -> Result<bool, UsageError> {
        match self.of(id) {
            Standing::Asked => Err(UsageError("the handshake has not been accepted yet")),
            Standing::Open => Ok(true),
            Standing::Over => Ok(false),
        }
    }

    fn of(&self, id: ConnectionId) -> Standing {
        let entry = self
            .entries
            .get(id.reactor())
            .and_then(|entries| entries.get(id.slot()));
        entry
            .filter(|entry| entry.id == id)
            .map_or(Standing::Over, |entry| entry.standing)
    }

    fn set(&mut self, id: ConnectionId, standing: Standing) {
        self.asked.remove(&id);
        let entry = self
            .entries
            .get_mut(id.reactor())
            .and_then(|entries| entries.get_mut(id.slot()));
        if let Some(entry) = entry.filter(|entry| entry.id == id) {
            entry.standing = standing;
        }
    }
}
