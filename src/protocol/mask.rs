//! Masking (§5.3): the payload of a client's frame XORed with its four-byte key.

/// Masks or unmasks `payload` in place; doing it twice changes nothing.
///
/// `offset` is the place of `payload[0]` in the frame's payload: a frame that comes in pieces is unmasked
/// piece by piece. Needs no alignment. The compiler turns the loop over words into vector instructions.
pub fn apply(payload: &mut [u8], masking_key: [u8; 4], offset: usize) {
    let key = rotate(masking_key, offset);
    let mut words = payload.chunks_exact_mut(8);
    for word in &mut words {
        xor_word(word, key);
    }
    for (byte, mask) in words.into_remainder().iter_mut().zip(key.to_ne_bytes()) {
        *byte ^= mask;
    }
}

/// The key twice over, as seen from `offset` bytes into the payload.
fn rotate(key: [u8; 4], offset: usize) -> u64 {
    let [a, b, c, d] = match offset & 3 {
        0 => key,
        1 => [key[1], key[2], key[3], key[0]],
        2 => [key[2], key[3], key[0], key[1]],
        _ => [key[3], key[0], key[1], key[2]],
    };
    u64::from_ne_bytes([a, b, c, d, a, b, c, d])
}

#[inline(always)]
fn xor_word(bytes: &mut [u8], mask: u64) {
    if let Ok(bytes) = <&mut [u8; 8]>::try_from(bytes) {
        *bytes = (u64::from_ne_bytes(*bytes) ^ mask).to_ne_bytes();
    }
}

#[cfg(test)]
mod tests {
    use super::apply;

    /// §5.3 to the letter: octet i is XORed with octet i mod 4 of the key.
    fn apply_by_the_letter(payload: &mut [u8], key: [u8; 4], offset: usize) {
        for (i, byte) in payload.iter_mut().enumerate() {
            *byte ^= key[(i + offset) % 4];
        }
    }

    fn bytes(len: usize) -> Vec<u8> {
        (0..=250).cycle().step_by(31).take(len).collect()
    }

    #[test]
    fn every_length_alignment_and_offset_agrees_with_the_letter_of_the_rfc() {
        let key = [0x37, 0xfa, 0x21, 0x3d];
        for len in 0..300 {
            for alignment in 0..8 {
                for offset in [0, 1, 2, 3, 4, 125, usize::MAX] {
                    let mut ours = bytes(len + alignment);
                    let mut theirs = ours.clone();
                    apply(&mut ours[alignment..], key, offset);
                    apply_by_the_letter(&mut theirs[alignment..], key, offset % 4);
                    assert_eq!(
                        ours, theirs,
                        "length {len}, alignment {alignment}, offset {offset}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_payload_in_pieces_is_unmasked_like_the_whole() {
        let key = [1, 2, 3, 4];
        let mut whole = bytes(200);
        apply(&mut whole, key, 0);
        for cut in 0..=200 {
            let mut pieces = bytes(200);
            let (front, back) = pieces.split_at_mut(cut);
            apply(front, key, 0);
            apply(back, key, cut);
            assert_eq!(pieces, whole, "cut at {cut}");
        }
    }
}
