//! Topic → subscribers and subscriber → topics; both directions change together.

use std::collections::HashMap;
use std::sync::Arc;

use slab::Slab;

/// Names a subscriber: the slot of its connection. Dense, and used again after [`Hub::remove`].
pub type Subscriber = u32;

/// The topics of one reactor.
///
/// A subscription is one entry on each side, and each entry knows where the other is: subscribing, ending a
/// subscription and removing a subscriber cost the same whatever the number of subscribers.
#[derive(Default)]
pub struct Hub {
    /// Names come from peers, at least in part: std's hasher is seeded (B29).
    by_name: HashMap<Arc<str>, u32>,
    topics: Slab<Topic>,
    /// Indexed by subscriber.
    of: Vec<Vec<Entry>>,
}

struct Topic {
    name: Arc<str>,
    subscribers: Vec<Subscription>,
}

/// The topic's side of a subscription.
struct Subscription {
    subscriber: Subscriber,
    /// Invariant: `of[subscriber][back]` is the other side.
    back: u32,
    /// The lowest position missed, once the subscriber has fallen behind; then nothing reaches it.
    missed: Option<u64>,
}

/// The subscriber's side of a subscription.
#[derive(Clone, Copy)]
struct Entry {
    topic: u32,
    /// Invariant: `topics[topic].subscribers[index]` is the other side.
    index: u32,
}

impl Hub {
    /// A hub without topics.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Topics with at least one subscriber.
    #[must_use]
    pub fn len(&self) -> usize {
        self.topics.len()
    }

    /// Whether nobody is subscribed to anything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.topics.is_empty()
    }

    /// How many subscribers `topic` has, those behind included.
    #[must_use]
    pub fn subscribers(&self, topic: &str) -> usize {
        self.by_name
            .get(topic)
            .map_or(0, |&key| self.topics[key as usize].subscribers.len())
    }

    /// Adds a subscription; twice is once, and a subscriber that is behind stays so. True if it is new.
    pub fn subscribe(&mut self, subscriber: Subscriber, topic: &str) -> bool {
        let key = self.topic_key(topic);
        let slot = subscriber as usize;
        if slot >= self.of.len() {
            self.of.resize_with(slot + 1, Vec::new);
        }
        let entries = &mut self.of[slot];
        if entries.iter().any(|entry| entry.topic == key) {
            return false;
        }
        let subscribers = &mut self.topics[key as usize].subscribers;
        entries.push(Entry {
            topic: key,
            index: index(subscribers.len()),
        });
        subscribers.push(Subscription {
            subscriber,
            back: index(entries.len() - 1),
            missed: None,
        });
        true
    }

    /// Ends a subscription, also one that is behind. True if there was one.
    pub fn unsubscribe(&mut self, subscriber: Subscriber, topic: &str) -> bool {
        let Some(&key) = self.by_name.get(topic) else {
            return false;
        };
        let entries = self.of.get(subscriber as usize).map_or(&[][..], Vec::as_slice);
        let Some(at) = entries.iter().position(|entry| entry.topic == key) else {
            return false;
        };
        self.end(subscriber, at);
        true
    }

    /// Ends all subscriptions of `subscriber`, whose number may then name somebody else.
    pub fn remove(&mut self, subscriber: Subscriber) {
        while let Some(last) = self
            .of
            .get(subscriber as usize)
            .and_then(|entries| entries.len().checked_sub(1))
        {
            self.end(subscriber, last);
        }
        if let Some(entries) = self.of.get_mut(subscriber as usize) {
            *entries = Vec::new();
        }
    }

    /// Calls `deliver` for each subscriber of `topic` that is not behind; returns the number of calls.
    ///
    /// It answers with the lowest position that the subscriber has no room for, if there is one. Then the
    /// subscriber is behind: the topic does not reach it until [`Hub::caught_up`], which tells the lowest position
    /// published meanwhile. `lowest` is the lowest position of what is published.
    pub fn publish(
        &mut self,
        topic: &str,
        lowest: Option<u64>,
        mut deliver: impl FnMut(Subscriber) -> Option<u64>,
    ) -> usize {
        let Some(&key) = self.by_name.get(topic) else {
            return 0;
        };
        let mut calls = 0;
        for subscription in &mut self.topics[key as usize].subscribers {
            if let Some(missed) = &mut subscription.missed {
                *missed = (*missed).min(lowest.unwrap_or(u64::MAX));
            } else {
                calls += 1;
                subscription.missed = deliver(subscription.subscriber);
            }
        }
        calls
    }

    /// Ends the subscriptions in which `subscriber` is behind: each topic with the lowest position missed.
    pub fn caught_up(&mut self, subscriber: Subscriber) -> Vec<(Arc<str>, u64)> {
        let mut missed = Vec::new();
        let mut at = 0;
        while let Some(&Entry { topic, index }) = self
            .of
            .get(subscriber as usize)
            .and_then(|entries| entries.get(at))
        {
            let topic = &self.topics[topic as usize];
            match topic.subscribers[index as usize].missed {
                Some(lowest) => {
                    missed.push((topic.name.clone(), lowest));
                    self.end(subscriber, at); // brings another entry to `at`
                }
                None => at += 1,
            }
        }
        missed
    }

    fn topic_key(&mut self, name: &str) -> u32 {
        if let Some(&key) = self.by_name.get(name) {
            return key;
        }
        let name: Arc<str> = name.into();
        let key = index(self.topics.insert(Topic {
            name: name.clone(),
            subscribers: Vec::new(),
        }));
        self.by_name.insert(name, key);
        key
    }

    /// Ends the subscription `of[subscriber][at]`: the last entry of each list takes the place that is freed.
    fn end(&mut self, subscriber: Subscriber, at: usize) {
        let entries = &mut self.of[subscriber as usize];
        let ended = entries.swap_remove(at);
        if let Some(moved) = entries.get(at) {
            self.topics[moved.topic as usize].subscribers[moved.index as usize].back = index(at);
        }
        let topic = &mut self.topics[ended.topic as usize];
        topic.subscribers.swap_remove(ended.index as usize);
        if let Some(moved) = topic.subscribers.get(ended.index as usize) {
            self.of[moved.subscriber as usize][moved.back as usize].index = ended.index;
        }
        if topic.subscribers.is_empty() {
            let topic = self.topics.remove(ended.topic as usize);
            self.by_name.remove(&topic.name);
        }
    }
}

/// Connections and topics are counted in slots of 18 bits, far below 2³².
fn index(n: usize) -> u32 {
    u32::try_from(n).expect("fewer than 2^32 subscriptions")
}
