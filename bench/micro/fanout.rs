//! The hub: topics, and one publication to many subscribers, without their sockets.

use std::sync::Arc;

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use gateway_core::hub::{Frames, Hub, Outgoing, Publication, Subscriber};
use gateway_core::protocol::{Agreement, Limits, Shared};

use crate::deflate::AGREEMENT;
use crate::text::chat;

const TOPIC: &str = "room";
const SUBSCRIBERS: [Subscriber; 3] = [10, 1_000, 10_000];

/// Frames a message once and offers the shared bytes to each; counted by subscriber.
#[divan::bench(args = SUBSCRIBERS)]
fn fanout(bencher: Bencher, subscribers: Subscriber) {
    publish(bencher, subscribers, 1, |_| None);
}

/// Sixteen messages at once, joined into one piece.
#[divan::bench(args = SUBSCRIBERS)]
fn fanout_16(bencher: Bencher, subscribers: Subscriber) {
    publish(bencher, subscribers, 16, |_| None);
}

/// One message, deflated once for all.
#[divan::bench(args = SUBSCRIBERS)]
fn fanout_deflated(bencher: Bencher, subscribers: Subscriber) {
    publish(bencher, subscribers, 1, |_| Some(AGREEMENT));
}

/// Half of the subscribers without compression: two variants of the frame.
#[divan::bench(args = SUBSCRIBERS)]
fn fanout_mixed(bencher: Bencher, subscribers: Subscriber) {
    publish(bencher, subscribers, 1, |subscriber| {
        (subscriber % 2 == 0).then_some(AGREEMENT)
    });
}

/// Comes and goes among so many.
#[divan::bench(args = SUBSCRIBERS)]
fn subscribe_and_remove(bencher: Bencher, subscribers: Subscriber) {
    let mut hub = hub(subscribers);
    bencher.bench_local(|| {
        hub.subscribe(black_box(subscribers), TOPIC);
        hub.remove(subscribers);
    });
}

/// A hub of 500 rooms, where each subscriber is in three.
#[divan::bench]
fn publish_to_one_of_500_rooms(bencher: Bencher) {
    let names: Vec<String> = (0..500).map(|room| format!("room-{room}")).collect();
    let mut hub = Hub::new();
    for subscriber in 0..10_000 {
        for step in [0, 7, 31] {
            hub.subscribe(
                subscriber,
                &names[(subscriber as usize * 13 + step) % names.len()],
            );
        }
    }
    let mut next = names.iter().cycle();
    bencher.bench_local(|| {
        let room = next.next().expect("a cycle has no end");
        hub.publish(room, Some(1), |_| None)
    });
}

fn hub(subscribers: Subscriber) -> Hub {
    let mut hub = Hub::new();
    for subscriber in 0..subscribers {
        hub.subscribe(subscriber, TOPIC);
    }
    hub
}

fn publish(
    bencher: Bencher,
    subscribers: Subscriber,
    messages: u64,
    agreement: impl Fn(Subscriber) -> Option<Agreement>,
) {
    let mut hub = hub(subscribers);
    let mut shared = Shared::new(Limits::default());
    let message = Outgoing::new(chat(1_024).as_bytes(), true, &mut shared);
    let publications: Vec<_> = (1..=messages)
        .map(|position| {
            Arc::new(Publication {
                topic: Arc::from(TOPIC),
                variants: vec![(0, message.clone())],
                position: Some(position),
                exclude: Vec::new(),
            })
        })
        .collect();
    bencher.counter(ItemsCount::new(subscribers)).bench_local(|| {
        let mut frames = Frames::new(&publications);
        hub.publish(TOPIC, Some(1), |subscriber| {
            let batch = frames.batch(0, agreement(subscriber), &mut shared);
            black_box(batch.joined.clone());
            None
        })
    });
}
