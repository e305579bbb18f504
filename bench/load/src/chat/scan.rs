//! Reads the few fields that matter out of a push, without building the rest.

use memchr::memmem;

/// A push in a frame: its kind, and its text up to the next push.
pub struct Push<'a> {
    /// `message`, `typing`, …
    pub kind: &'a str,
    /// Where to look for its fields.
    pub text: &'a [u8],
}

/// The pushes in a frame. What users write contains no quotes, so the mark is never part of it.
pub fn pushes(frame: &[u8]) -> impl Iterator<Item = Push<'_>> {
    const MARK: &[u8] = br#""push":""#;
    let mut starts = memmem::find_iter(frame, MARK).peekable();
    std::iter::from_fn(move || {
        let start = starts.next()?;
        let end = starts.peek().copied().unwrap_or(frame.len());
        let text = &frame[start..end];
        Some(Push {
            kind: string(text, MARK)?,
            text,
        })
    })
}

/// The text between `before` and the next quote.
pub fn string<'a>(json: &'a [u8], before: &[u8]) -> Option<&'a str> {
    let rest = &json[memmem::find(json, before)? + before.len()..];
    std::str::from_utf8(&rest[..memchr::memchr(b'"', rest)?]).ok()
}

/// The digits after `before`.
pub fn number(json: &[u8], before: &[u8]) -> Option<u64> {
    let rest = &json[memmem::find(json, before)? + before.len()..];
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    std::str::from_utf8(&rest[..digits]).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pushes_are_found_alone_and_in_arrays() {
        let frame =
            br#"[{"push":"message","room":"a","seq":7},{"re":1,"ok":{}},{"push":"typing","room":"b"}]"#;
        let found: Vec<_> = pushes(frame).collect();
        assert_eq!(
            found.iter().map(|push| push.kind).collect::<Vec<_>>(),
            ["message", "typing"]
        );
        assert_eq!(number(found[0].text, br#""seq":"#), Some(7));
        assert_eq!(string(found[1].text, br#""room":""#), Some("b"));
        assert_eq!(pushes(br#"{"re":1,"ok":{"seq":3}}"#).count(), 0);
    }

    #[test]
    fn what_is_not_there_is_none() {
        assert_eq!(number(br#"{"seq":x}"#, br#""seq":"#), None);
        assert_eq!(string(br#"{"room":"unended"#, br#""room":""#), None);
    }
}
