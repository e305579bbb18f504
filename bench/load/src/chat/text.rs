//! What users write: the time, a number, and words that follow from the number.

use crate::content::push_words;
use crate::wire::Broken;

use super::scan;

/// Makes and checks texts of one length.
pub struct Texts {
    bytes: usize,
    kept: Vec<(u64, Vec<u8>)>,
}

const KEPT: usize = 1024;
/// `t=`, the time, ` n=`, the number, a space: of fixed width, so that lengths are alike.
const HEAD: usize = 2 + 20 + 3 + 20 + 1;

impl Texts {
    /// Texts of `bytes`; shorter ones than the time and number are not made.
    pub fn new(bytes: usize) -> Self {
        Self {
            bytes: bytes.max(HEAD),
            kept: vec![(u64::MAX, Vec::new()); KEPT],
        }
    }

    /// Text `number`, written at `time`.
    pub fn write(&mut self, number: u64, time: u64) -> String {
        format!(
            "t={time:020} n={number:020} {}",
            String::from_utf8_lossy(self.words(number))
        )
    }

    /// When the text of a push was written. It must be as it was made.
    pub fn check(&mut self, push: &[u8]) -> Result<u64, Broken> {
        let text = scan::string(push, br#""text":""#).ok_or(Broken("a message without text"))?;
        let field = |from: usize| text.get(from..from + 20)?.parse().ok();
        let (Some(time), Some(number)) = (field(2), field(25)) else {
            return Err(Broken("not what was written"));
        };
        if text.as_bytes()[HEAD..] != *self.words(number) {
            return Err(Broken("not what was written"));
        }
        Ok(time)
    }

    fn words(&mut self, number: u64) -> &[u8] {
        let (kept, words) = &mut self.kept[usize::try_from(number).unwrap_or(0) % KEPT];
        if *kept != number {
            *kept = number;
            words.clear();
            push_words(number, self.bytes - HEAD, words);
        }
        words
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_known_again_and_anything_else_is_not() {
        let (mut here, mut there) = (Texts::new(100), Texts::new(100));
        let push = format!(r#"{{"body":{{"text":"{}"}}}}"#, here.write(5, 1_234));
        assert_eq!(there.check(push.as_bytes()).ok(), Some(1_234));
        for wrong in [
            push.replace("n=00000000000000000005", "n=00000000000000000006"),
            push.replace("t=0", "t=x"),
            push.replace(r#""text""#, r#""test""#),
            push.replace(r#""}}"#, r#" more"}}"#),
        ] {
            assert!(there.check(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }
}
