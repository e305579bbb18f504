//! The fuzz targets with a fixed budget, on any toolchain: the seeds, their prefixes, and mutations of them.
//!
//! `FUZZ_ITERATIONS` (default 3,000 for each target) and `FUZZ_SEED` (default 1) come from the environment.
//! A failure names the input; put it into `seeds/` once it is understood.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;

mod targets;

#[test]
fn frames_survive_mutated_seeds() {
    run("frames", targets::frames);
}

#[test]
fn the_handshake_survives_mutated_seeds() {
    run("handshake", targets::handshake);
}

#[test]
fn deflate_survives_mutated_seeds() {
    run("deflate", targets::deflate);
}

#[test]
fn topics_survive_mutated_seeds() {
    run("topics", targets::topics);
}

fn run(name: &str, target: fn(&[u8])) {
    let seeds = seeds(name);
    assert!(!seeds.is_empty(), "no seeds for {name}");
    for seed in &seeds {
        let step = (seed.len() / 200).max(1);
        for end in (0..seed.len()).step_by(step).chain([seed.len()]) {
            check(target, &seed[..end]);
        }
    }
    let mut rng = fastrand::Rng::with_seed(setting("FUZZ_SEED", 1));
    for _ in 0..setting("FUZZ_ITERATIONS", 3_000) {
        let mut input = seeds[rng.usize(..seeds.len())].clone();
        for _ in 0..rng.usize(1..8) {
            mutate(&mut input, &seeds, &mut rng);
        }
        check(target, &input);
    }
}

fn seeds(name: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fuzz/seeds")
        .join(name);
    let mut paths: Vec<_> = fs::read_dir(folder)
        .expect("a folder of seeds")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).expect("a seed")).collect()
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |value| value.parse().expect("a number"))
}

/// Runs the target; a panic is shown with its input.
fn check(target: fn(&[u8]), input: &[u8]) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| target(input))) {
        eprintln!("the input was {input:?}");
        resume_unwind(panic);
    }
}

/// Bytes at which parsers decide.
const INTERESTING: [u8; 16] = [
    0, 1, 8, 9, 13, 10, 32, 44, 59, 125, 126, 127, 0x80, 0x81, 0xfe, 0xff,
];

fn mutate(input: &mut Vec<u8>, seeds: &[Vec<u8>], rng: &mut fastrand::Rng) {
    if input.is_empty() {
        input.push(rng.u8(..));
        return;
    }
    let at = rng.usize(..input.len());
    let end = at + rng.usize(..=(input.len() - at).min(16));
    match rng.u8(..8) {
        0 => input[at] ^= 1 << rng.u8(..8),
        1 => input[at] = rng.u8(..),
        2 => input[at] = INTERESTING[rng.usize(..INTERESTING.len())],
        3 => input.insert(at, INTERESTING[rng.usize(..INTERESTING.len())]),
        4 => drop(input.drain(at..end)),
        5 => {
            let copy = input[at..end].to_vec();
            input.splice(at..at, copy);
        }
        6 => {
            let other = &seeds[rng.usize(..seeds.len())];
            let from = rng.usize(..=other.len());
            input.truncate(at);
            input.extend_from_slice(&other[from..]);
        }
        _ => input.truncate(end),
    }
}
