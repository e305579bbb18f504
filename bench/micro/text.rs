//! What messages say in these benchmarks.

/// Chat-like JSON of `len` bytes.
pub fn chat(len: usize) -> String {
    let mut random = fastrand::Rng::with_seed(1);
    let mut text = String::new();
    while text.len() < len {
        text += &format!(
            "{{\"user\":\"u{}\",\"text\":\"see you at {} o'clock\"}},",
            random.u32(..),
            random.u8(..24)
        );
    }
    text.truncate(len);
    text
}

/// Letters of two, three and four bytes, at most `len` bytes in all.
pub fn foreign(len: usize) -> String {
    let mut text = "привет 世界 🦀 ".repeat(len / 20 + 1);
    while text.len() > len {
        text.pop();
    }
    text
}
