//! Masking (§5.3).

use divan::counter::BytesCount;
use divan::{Bencher, black_box};
use gateway_core::protocol::mask::apply;

#[divan::bench(args = [16, 125, 1_024, 16_384, 65_536])]
fn mask(bencher: Bencher, size: usize) {
    let mut payload = vec![7_u8; size];
    bencher
        .counter(BytesCount::new(size))
        .bench_local(|| apply(black_box(&mut payload), black_box([1, 2, 3, 4]), 0));
}

/// A frame that comes in pieces is unmasked from wherever the last piece ended.
#[divan::bench(args = [1, 2, 3])]
fn mask_1024_from(bencher: Bencher, offset: usize) {
    let mut payload = vec![7_u8; 1_024];
    bencher
        .counter(BytesCount::new(1_024_usize))
        .bench_local(|| apply(black_box(&mut payload), black_box([1, 2, 3, 4]), offset));
}
