//! Topics: whatever the order of commands, the hub does what one flat table of subscriptions would do.

use std::collections::BTreeMap;

use gateway_core::hub::{Hub, Subscriber};

const TOPICS: [&str; 4] = ["a", "b", "room:1", ""];

/// The lowest position missed of each subscription, `None` while it is not behind.
type Table = BTreeMap<(Subscriber, &'static str), Option<u64>>;

/// Three bytes are one command: which, whose and on what topic, with what position or lack of room.
pub fn topics(data: &[u8]) {
    let (mut hub, mut table) = (Hub::new(), Table::new());
    for command in data.chunks_exact(3) {
        run(command, &mut hub, &mut table);
        for topic in TOPICS {
            let expected = table.keys().filter(|(_, of)| *of == topic).count();
            assert_eq!(hub.subscribers(topic), expected);
        }
        let live = TOPICS.iter().filter(|topic| hub.subscribers(topic) > 0).count();
        assert_eq!((hub.len(), hub.is_empty()), (live, live == 0));
    }
}

fn run(command: &[u8], hub: &mut Hub, table: &mut Table) {
    let [which, whose, how] = *command else { return };
    let (subscriber, topic) = (
        Subscriber::from(whose & 7),
        TOPICS[usize::from(whose >> 3) % TOPICS.len()],
    );
    match which % 6 {
        0 | 1 => {
            let is_new = !table.contains_key(&(subscriber, topic));
            table.entry((subscriber, topic)).or_default();
            assert_eq!(hub.subscribe(subscriber, topic), is_new);
        }
        2 => {
            let was_there = table.remove(&(subscriber, topic)).is_some();
            assert_eq!(hub.unsubscribe(subscriber, topic), was_there);
        }
        3 => {
            table.retain(|(of, _), _| *of != subscriber);
            hub.remove(subscriber);
        }
        4 => publish(topic, which & 64 != 0, how, hub, table),
        _ => caught_up(subscriber, hub, table),
    }
}

/// Publishes with the position `how`, if any; the subscribers in the bits of `how` have no room.
fn publish(topic: &str, positioned: bool, how: u8, hub: &mut Hub, table: &mut Table) {
    let position = positioned.then_some(u64::from(how));
    let has_room = |subscriber: Subscriber| how >> subscriber & 1 == 0;
    let mut reached = Vec::new();
    let calls = hub.publish(topic, position, |subscriber| {
        reached.push(subscriber);
        position.filter(|_| !has_room(subscriber))
    });
    reached.sort_unstable();
    let mut expected = Vec::new();
    for ((subscriber, _), missed) in table.iter_mut().filter(|((_, of), _)| *of == topic) {
        match missed {
            Some(lowest) => *lowest = (*lowest).min(position.unwrap_or(u64::MAX)),
            None => {
                expected.push(*subscriber);
                if !has_room(*subscriber) {
                    *missed = position;
                }
            }
        }
    }
    assert_eq!((calls, reached), (expected.len(), expected));
}

fn caught_up(subscriber: Subscriber, hub: &mut Hub, table: &mut Table) {
    let mut missed: Vec<_> = hub
        .caught_up(subscriber)
        .into_iter()
        .map(|(topic, at)| (topic.to_string(), at))
        .collect();
    missed.sort_unstable();
    let behind = |(of, topic): &(Subscriber, &str), missed: &Option<u64>| {
        missed
            .filter(|_| *of == subscriber)
            .map(|at| ((*topic).to_owned(), at))
    };
    let expected: Vec<_> = table
        .iter()
        .filter_map(|(key, missed)| behind(key, missed))
        .collect();
    table.retain(|key, missed| behind(key, missed).is_none());
    assert_eq!(missed, expected);
}
