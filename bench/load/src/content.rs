//! What messages say: chat-like JSON of a fixed length, the same for everybody who knows its number.
//!
//! So every receiver, in whatever process, can check every byte but those of the time.

use crate::wire::Broken;

const HEAD: &str = r#"{"n":""#;
const TIME: &str = r#"","t":""#;
const TEXT: &str = r#"","user":"0b5f8c2ad1e94","name":"Ada Lovelace","text":""#;
const TAIL: &str = r#""}"#;
const HEX: usize = 16;
/// Where the time stands.
const TIME_AT: usize = HEAD.len() + HEX + TIME.len();
const TEXT_AT: usize = TIME_AT + HEX + TEXT.len();
/// Messages whose content is kept: more than a server has under way at once.
const KEPT: usize = 256;

/// The shortest message.
pub const MIN_BYTES: usize = TEXT_AT + TAIL.len();

/// Makes and checks messages of one length.
pub struct Content {
    bytes: usize,
    kept: Vec<(u64, Vec<u8>)>,
}

impl Content {
    /// Messages of `bytes`, at least `MIN_BYTES`.
    pub fn new(bytes: usize) -> Self {
        Self {
            bytes: bytes.max(MIN_BYTES),
            kept: vec![(u64::MAX, Vec::new()); KEPT],
        }
    }

    /// The length of a message.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Message `number`, sent at `time`.
    pub fn message(&mut self, number: u64, time: u64) -> &[u8] {
        let message = self.expected(number);
        write_hex(time, &mut message[TIME_AT..TIME_AT + HEX]);
        message
    }

    /// The number and time of a message that is as it was made.
    pub fn check(&mut self, message: &[u8]) -> Result<(u64, u64), Broken> {
        let parsed = (message.len() == self.bytes)
            .then(|| {
                let number = read_hex(&message[HEAD.len()..HEAD.len() + HEX])?;
                let time = read_hex(&message[TIME_AT..TIME_AT + HEX])?;
                Some((number, time))
            })
            .flatten();
        let (number, time) = parsed.ok_or(Broken("not what was sent"))?;
        let expected = self.expected(number);
        if message[..TIME_AT] != expected[..TIME_AT] || message[TIME_AT + HEX..] != expected[TIME_AT + HEX..]
        {
            return Err(Broken("not what was sent"));
        }
        Ok((number, time))
    }

    fn expected(&mut self, number: u64) -> &mut [u8] {
        let at = usize::try_from(number).unwrap_or(0) % KEPT;
        let (kept, message) = &mut self.kept[at];
        if *kept != number {
            *kept = number;
            message.clear();
            message.extend_from_slice(format!("{HEAD}{number:016x}{TIME}{:016x}{TEXT}", 0).as_bytes());
            push_words(number, self.bytes - TAIL.len(), message);
            message.extend_from_slice(TAIL.as_bytes());
        }
        message
    }
}

/// Appends words, chosen by `seed`, until `out` has `len` bytes. No word needs escaping.
pub fn push_words(seed: u64, len: usize, out: &mut Vec<u8>) {
    let mut rng = fastrand::Rng::with_seed(seed);
    while out.len() < len {
        out.extend_from_slice(WORDS[rng.usize(..WORDS.len())].as_bytes());
        out.push(b' ');
    }
    out.truncate(len);
}

/// Writes `number` as 16 digits.
pub fn write_hex(number: u64, out: &mut [u8]) {
    for (digit, shift) in out.iter_mut().zip((0..HEX).rev()) {
        *digit = b"0123456789abcdef"[(number >> (4 * shift)) as usize & 15];
    }
}

fn read_hex(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0, |number, digit| {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(number << 4 | u64::from(value))
    })
}

/// People's words in a chat; 1 KiB of them deflates by itself about as real messages do.
const WORDS: [&str; 128] = [
    "the",
    "you",
    "to",
    "and",
    "that",
    "it",
    "is",
    "of",
    "in",
    "we",
    "for",
    "on",
    "this",
    "have",
    "but",
    "not",
    "just",
    "with",
    "so",
    "can",
    "what",
    "was",
    "do",
    "if",
    "be",
    "are",
    "like",
    "at",
    "my",
    "there",
    "up",
    "out",
    "get",
    "about",
    "from",
    "they",
    "one",
    "when",
    "then",
    "yeah",
    "okay",
    "no",
    "know",
    "think",
    "will",
    "how",
    "or",
    "as",
    "would",
    "go",
    "now",
    "time",
    "see",
    "good",
    "going",
    "an",
    "your",
    "me",
    "by",
    "more",
    "some",
    "here",
    "all",
    "did",
    "why",
    "because",
    "need",
    "today",
    "tomorrow",
    "meeting",
    "server",
    "release",
    "deploy",
    "test",
    "build",
    "branch",
    "merged",
    "review",
    "please",
    "thanks",
    "morning",
    "lunch",
    "coffee",
    "anyone",
    "looking",
    "into",
    "issue",
    "works",
    "machine",
    "again",
    "still",
    "broken",
    "fixed",
    "latest",
    "version",
    "update",
    "should",
    "after",
    "before",
    "tonight",
    "great",
    "sorry",
    "late",
    "minutes",
    "call",
    "number",
    "link",
    "photo",
    "https://example.org/a/4711",
    "haha",
    "nice",
    "really",
    "maybe",
    "probably",
    "question",
    "client",
    "customer",
    "room",
    "message",
    "typing",
    "weekend",
    "train",
    "home",
    "working",
    "Friday",
    "Monday",
    "12:30",
    ":-)",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_known_by_its_number_in_every_process() {
        let (mut here, mut there) = (Content::new(300), Content::new(300));
        let message = here.message(7, 0x1234).to_vec();
        assert_eq!(message.len(), 300);
        assert_eq!(there.check(&message).ok(), Some((7, 0x1234)));
        assert!(serde_json::from_slice::<serde_json::Value>(&message).is_ok());
    }

    #[test]
    fn any_byte_but_the_time_is_checked() {
        let mut content = Content::new(MIN_BYTES + 20);
        let message = content.message(7, 0x1234).to_vec();
        for at in (0..message.len()).filter(|at| !(TIME_AT..TIME_AT + HEX).contains(at)) {
            let mut other = message.clone();
            other[at] ^= 1;
            assert!(content.check(&other).is_err(), "byte {at}");
        }
        assert!(content.check(&message[1..]).is_err());
        assert!(content.check(b"").is_err());
    }

    #[test]
    fn numbers_survive_as_digits() {
        for number in [0, 1, u64::MAX] {
            let mut digits = [0; HEX];
            write_hex(number, &mut digits);
            assert_eq!(read_hex(&digits), Some(number));
        }
        assert_eq!(read_hex(b"00000000000000g0"), None);
    }
}
