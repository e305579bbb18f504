//! The hub: topics against a naive model, and frames made once.

use std::collections::{BTreeMap, BTreeSet};

use std::sync::Arc;

use gateway_core::hub::{Frames, Hub, Outgoing, Publication};
use gateway_core::protocol::{Agreement, Limits, Shared};
use proptest::prelude::*;

/// What a naive hub would hold: each subscription, and the lowest position missed once it is behind.
type Model = BTreeMap<(u32, &'static str), Option<u64>>;

const TOPICS: [&str; 4] = ["red", "green", "blue", "räume/🐢"];

#[derive(Debug, Clone)]
enum Step {
    Subscribe(u32, &'static str),
    Unsubscribe(u32, &'static str),
    Remove(u32),
    CaughtUp(u32),
    /// To the topic, at a position; the subscribers in the set have no room.
    Publish(&'static str, Option<u64>, BTreeSet<u32>),
}

fn step() -> impl Strategy<Value = Step> {
    let subscriber = 0u32..6;
    let topic = prop::sample::select(&TOPICS[..]);
    let full = prop::collection::btree_set(0u32..6, 0..4);
    prop_oneof![
        4 => (subscriber.clone(), topic.clone()).prop_map(|(s, t)| Step::Subscribe(s, t)),
        2 => (subscriber.clone(), topic.clone()).prop_map(|(s, t)| Step::Unsubscribe(s, t)),
        1 => subscriber.clone().prop_map(Step::Remove),
        1 => subscriber.prop_map(Step::CaughtUp),
        4 => (topic, prop::option::of(0u64..100), full).prop_map(|(t, p, full)| Step::Publish(t, p, full)),
    ]
}

/// Does the step with the model: who is called, and what `caught_up` tells.
fn apply(model: &mut Model, step: &Step) -> (BTreeSet<u32>, BTreeMap<String, u64>) {
    let mut called = BTreeSet::new();
    let mut missed = BTreeMap::new();
    match step {
        Step::Subscribe(s, t) => drop(model.entry((*s, t)).or_insert(None)),
        Step::Unsubscribe(s, t) => drop(model.remove(&(*s, t))),
        Step::Remove(s) => model.retain(|(subscriber, _), _| subscriber != s),
        Step::CaughtUp(s) => model.retain(|(subscriber, topic), lowest| match lowest {
            Some(lowest) if subscriber == s => {
                missed.insert((*topic).to_owned(), *lowest);
                false
            }
            _ => true,
        }),
        Step::Publish(t, position, full) => {
            for ((subscriber, topic), lowest) in model.iter_mut() {
                if topic != t {
                    continue;
                }
                match lowest {
                    Some(lowest) => *lowest = (*lowest).min(position.unwrap_or(u64::MAX)),
                    None => {
                        called.insert(*subscriber);
                        *lowest = position.filter(|_| full.contains(subscriber));
                    }
                }
            }
        }
    }
    (called, missed)
}

fn apply_to_hub(hub: &mut Hub, step: &Step) -> (BTreeSet<u32>, BTreeMap<String, u64>) {
    let mut called = BTreeSet::new();
    let mut missed = BTreeMap::new();
    match step {
        Step::Subscribe(s, t) => drop(hub.subscribe(*s, t)),
        Step::Unsubscribe(s, t) => drop(hub.unsubscribe(*s, t)),
        Step::Remove(s) => hub.remove(*s),
        Step::CaughtUp(s) => missed.extend(
            hub.caught_up(*s)
                .into_iter()
                .map(|(t, lowest)| (t.to_string(), lowest)),
        ),
        Step::Publish(t, position, full) => {
            let calls = hub.publish(t, *position, |subscriber| {
                assert!(called.insert(subscriber), "called twice for {subscriber}");
                position.filter(|_| full.contains(&subscriber))
            });
            assert_eq!(calls, called.len());
        }
    }
    (called, missed)
}

proptest! {
    #[test]
    fn a_hub_does_what_a_naive_one_does(steps in prop::collection::vec(step(), 0..200)) {
        let (mut hub, mut model) = (Hub::new(), Model::new());
        for step in &steps {
            prop_assert_eq!(apply_to_hub(&mut hub, step), apply(&mut model, step), "{:?}", step);
            for topic in TOPICS {
                prop_assert_eq!(hub.subscribers(topic), model.keys().filter(|(_, t)| *t == topic).count());
            }
            let topics: BTreeSet<_> = model.keys().map(|(_, topic)| topic).collect();
            prop_assert_eq!(hub.len(), topics.len());
            prop_assert_eq!(hub.is_empty(), topics.is_empty());
        }
    }
}

#[test]
fn subscribing_twice_is_once() {
    let mut hub = Hub::new();
    assert!(hub.subscribe(3, "room"));
    assert!(!hub.subscribe(3, "room"));
    assert_eq!(hub.publish("room", None, |_| None), 1);
}

#[test]
fn who_is_behind_stays_so_until_it_has_caught_up() {
    let mut hub = Hub::new();
    hub.subscribe(1, "room");
    assert_eq!(hub.publish("room", Some(10), |_| Some(10)), 1);
    assert!(!hub.subscribe(1, "room"));
    assert_eq!(hub.publish("room", Some(11), |_| None), 0);
    assert_eq!(
        hub.publish("room", Some(4), |_| None),
        0,
        "an edit of an older message"
    );
    assert_eq!(hub.caught_up(1), [("room".into(), 4)]);
    assert!(hub.subscribe(1, "room"));
    assert_eq!(hub.publish("room", Some(12), |_| None), 1);
}

#[test]
fn a_message_without_a_position_puts_nobody_behind() {
    let mut hub = Hub::new();
    hub.subscribe(1, "room");
    hub.publish("room", None, |_| None);
    assert_eq!(hub.publish("room", None, |_| None), 1);
    assert!(hub.caught_up(1).is_empty());
}

const LONG: &[u8] = &[b'a'; 1000];

fn agreement(server: u8, client: u8) -> Option<Agreement> {
    Some(Agreement {
        server_max_window_bits: server,
        client_max_window_bits: client,
    })
}

fn publication(shared: &mut Shared, position: u64) -> Arc<Publication> {
    Arc::new(Publication {
        topic: "room".into(),
        variants: vec![
            (0, Outgoing::new(LONG, true, shared)),
            (7, Outgoing::new(b"short", false, shared)),
        ],
        position: Some(position),
        exclude: Vec::new(),
    })
}

#[test]
fn each_variant_is_framed_once_and_shared() {
    let mut shared = Shared::new(Limits::default());
    let publications = [publication(&mut shared, 1)];
    let mut frames = Frames::new(&publications);
    let mut address = |encoding, agreement| frames.batch(encoding, agreement, &mut shared).joined.as_ptr();
    let plain = address(0, None);
    assert_eq!(address(0, None), plain);
    let deflated = address(0, agreement(15, 15));
    assert_ne!(deflated, plain);
    assert_eq!(
        address(0, agreement(15, 10)),
        deflated,
        "the client's window does not matter"
    );
    assert_ne!(address(0, agreement(10, 15)), deflated);
    assert_eq!(frames.compressions(), 2);
}

#[test]
fn an_encoding_without_a_variant_gets_nothing() {
    let mut shared = Shared::new(Limits::default());
    let publications = [publication(&mut shared, 1)];
    let mut frames = Frames::new(&publications);
    let batch = frames.batch(1, None, &mut shared);
    assert!(batch.frames.is_empty() && batch.joined.is_empty());
}

#[test]
fn short_payloads_are_not_deflated() {
    let mut shared = Shared::new(Limits::default());
    let publications = [publication(&mut shared, 1)];
    let mut frames = Frames::new(&publications);
    assert_eq!(
        frames.batch(7, agreement(15, 15), &mut shared).joined,
        b"\x82\x05short"[..]
    );
    assert_eq!(frames.compressions(), 0);
}

#[test]
fn a_burst_is_joined_into_one_piece() {
    let mut shared = Shared::new(Limits::default());
    let publications = [publication(&mut shared, 5), publication(&mut shared, 6)];
    assert!(publications[0].joins(&publications[1]));
    let mut frames = Frames::new(&publications);
    let batch = frames.batch(7, None, &mut shared);
    assert_eq!(batch.joined, b"\x82\x05short\x82\x05short"[..]);
    assert_eq!(
        batch
            .frames
            .iter()
            .map(|(position, _)| *position)
            .collect::<Vec<_>>(),
        [Some(5), Some(6)]
    );
}

#[test]
fn only_what_goes_to_the_same_receivers_is_joined() {
    let mut shared = Shared::new(Limits::default());
    let plain = publication(&mut shared, 5);
    let excluding = Publication {
        exclude: vec![1],
        ..publication_like(&plain)
    };
    let elsewhere = Publication {
        topic: "other".into(),
        ..publication_like(&plain)
    };
    assert!(!plain.joins(&excluding));
    assert!(!excluding.joins(&plain));
    assert!(!plain.joins(&elsewhere));
}

fn publication_like(other: &Publication) -> Publication {
    Publication {
        topic: other.topic.clone(),
        variants: other.variants.clone(),
        position: other.position,
        exclude: other.exclude.clone(),
    }
}
