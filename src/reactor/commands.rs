//! What the application asks for.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crate::hub::Publication;

use super::mailbox::Command;
use super::outbox::MAX_SEND_BYTES;
use super::stream::State;
use super::{ConnectionId, Reactor, slot_u32};

/// Deliveries of one turn: what is beyond it waits for the next, so that sockets are served meanwhile.
const TURN_DELIVERIES: usize = 32_768;
/// The longest wait for peers to take their last bytes when the gateway is shut down.
const LONGEST_GOODBYE: Duration = Duration::from_secs(1);
/// Close code: the server goes down (RFC 6455 §7.4.1).
const GOING_AWAY: u16 = 1001;

impl Reactor {
    /// Carries out the commands that wait, in order.
    pub(super) fn obey(&mut self) {
        self.commands.take(&mut self.orders);
        let mut orders = std::mem::take(&mut self.orders);
        let mut deliveries = 0;
        while deliveries < TURN_DELIVERIES
            && let Some(command) = orders.pop_front()
        {
            deliveries += self.obey_one(command, &mut orders);
        }
        self.orders = orders;
    }

    /// Publishes `first` together with what follows it to the same topic.
    fn publish_burst(&mut self, first: Arc<Publication>, orders: &mut VecDeque<Command>) -> usize {
        let mut bytes = first.frame_bytes();
        let mut burst = vec![first];
        while let Some(Command::Publish(next)) = orders.front()
            && burst[0].joins(next)
            && bytes + next.frame_bytes() <= MAX_SEND_BYTES
        {
            bytes += next.frame_bytes();
            burst.push(Arc::clone(next));
            orders.pop_front();
        }
        self.publish(&burst)
    }

    /// Carries out one command, with those of `orders` that go together with it; returns the deliveries.
    fn obey_one(&mut self, command: Command, orders: &mut VecDeque<Command>) -> usize {
        match command {
            Command::Publish(first) => return self.publish_burst(first, orders),
            Command::Send { id, message } => self.with(id, |reactor, slot| reactor.send(slot, message)),
            Command::Accept {
                id,
                subprotocol,
                encoding,
            } => {
                self.with(id, |reactor, slot| {
                    reactor.accept(slot, subprotocol.as_deref(), encoding)
                });
            }
            Command::Reject { id, response } => self.with(id, |reactor, slot| reactor.reject(slot, response)),
            Command::Close { id, code, reason } => {
                self.with(id, |reactor, slot| reactor.close(slot, code, &reason))
            }
            Command::Subscribe { id, topic } => self.with(id, |reactor, slot| {
                if reactor.streams[slot as usize].is_open() {
                    reactor.hub.subscribe(slot, &topic);
                }
            }),
            Command::Unsubscribe { id, topic } => self.with(id, |reactor, slot| {
                reactor.hub.unsubscribe(slot, &topic);
            }),
            Command::Drain { code, reason, over } => self.start_draining(code, reason, over),
            Command::StopDraining => self.drain = None,
            Command::ShutDown => self.shut_down(),
            #[cfg(test)]
            Command::Panic => panic!("asked for by a test"),
        }
        1
    }

    /// Calls `action` if the connection is still there.
    fn with(&mut self, id: ConnectionId, action: impl FnOnce(&mut Self, u32)) {
        if self.streams.get(id.slot()).is_some_and(|stream| stream.id == id) {
            action(self, slot_u32(id.slot()));
        }
    }

    fn reject(&mut self, slot: u32, response: Vec<u8>) {
        if matches!(self.streams[slot as usize].state, State::Verdict(_)) {
            self.stats.refused += 1;
            self.answer_and_close(slot, response);
        }
    }

    /// Says goodbye to everybody; the reactor ends when all have gone, or soon.
    fn shut_down(&mut self) {
        self.stop_accepting();
        self.ends_at = Some(self.now + self.config.timeouts.close_timeout.min(LONGEST_GOODBYE));
        self.start_draining(GOING_AWAY, "".into(), Duration::ZERO);
        self.drain_step();
    }
}
