//! Masking (§5.3): the payload of a client's frame XORed with its four-byte key.

/// Bytes handled at once: enough for the widest vector registers, two at a time.
const BLOCK: usize = 64;

/// Masks or unmasks `payload` in place; doing it twice changes nothing.
///
/// `offset` is the place of `payload[0]` in the frame's payload: a frame that comes in pieces is unmasked
/// piece by piece. Needs no alignment. Safe code that the compiler turns into vector instructions.
pub fn apply(payload: &mut [u8], masking_key: [u8; 4], offset: usize) {
    let key = rotate(masking_key, offset);
    let mut blocks = payload.chunks_exact_mut(BLOCK);
    for block in &mut blocks {
        xor(block, &repeat::<BLOCK>(key));
    }
    let mut words = blocks.into_remainder().chunks_exact_mut(8);
    for word in &mut words {
        xor(word, &repeat::<8>(key));
    }
    xor(words.into_remainder(), &repeat::<8>(key));
}

/// The key as seen from `offset` bytes into the payload.
const fn rotate(key: [u8; 4], offset: usize) -> [u8; 4] {
    let shift = offset & 3;
    [
        key[shift],
        key[(shift + 1) & 3],
        key[(shift + 2) & 3],
        key[(shift + 3) & 3],
    ]
}

/// The key written `N / 4` times over.
const fn repeat<const N: usize>(key: [u8; 4]) -> [u8; N] {
    let mut wide = [0; N];
    let mut i = 0;
    while i < N {
        wide[i] = key[i & 3];
        i += 1;
    }
    wide
}

#[inline(always)]
fn xor(bytes: &mut [u8], mask: &[u8]) {
    for (byte, mask) in bytes.iter_mut().zip(mask) {
        *byte ^= mask;
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
