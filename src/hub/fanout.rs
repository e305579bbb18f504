//! Frames and deflates a payload once for each variant, and shares the bytes.

use std::sync::Arc;

use bytes::Bytes;

use crate::protocol::{Agreement, Shared, encode_message};

/// Names an encoding of the application's: which variant of a publication a connection gets.
pub type Encoding = u16;

/// A message on its way out, framed without compression: the form in which most receivers get it.
#[derive(Debug, Clone)]
pub struct Outgoing {
    frame: Bytes,
    payload_at: usize,
    is_text: bool,
}

impl Outgoing {
    /// Copies and frames `payload`.
    pub fn new(payload: &[u8], is_text: bool, shared: &mut Shared) -> Self {
        let frame = encode_message(payload, is_text, None, shared);
        Self {
            payload_at: frame.len() - payload.len(),
            frame,
            is_text,
        }
    }

    /// Bytes of the frame without compression.
    #[must_use]
    pub fn frame_len(&self) -> usize {
        self.frame.len()
    }

    /// The frame for a connection with `agreement`, and whether the payload was deflated for it.
    ///
    /// Takes the message: a frame that goes to one connection only is moved there, not shared.
    #[must_use]
    pub fn into_frame(self, agreement: Option<Agreement>, shared: &mut Shared) -> (Bytes, bool) {
        let payload = &self.frame[self.payload_at..];
        if agreement.is_none() || payload.len() < shared.limits().min_compress_bytes {
            return (self.frame, false);
        }
        (encode_message(payload, self.is_text, agreement, shared), true)
    }
}

/// What is published to a topic.
#[derive(Debug)]
pub struct Publication {
    /// Where it goes.
    pub topic: Arc<str>,
    /// One message for each encoding; at most a handful.
    pub variants: Vec<(Encoding, Outgoing)>,
    /// Its place in the topic's history; without one the message may be dropped unnoticed.
    pub position: Option<u64>,
    /// Connections (by id, in order) that do not get it.
    pub exclude: Vec<u64>,
}

impl Publication {
    /// Whether `next`, given right after it, may be delivered together with it.
    #[must_use]
    pub fn joins(&self, next: &Self) -> bool {
        self.topic == next.topic && self.exclude.is_empty() && next.exclude.is_empty()
    }

    /// Bytes of its frames, without compression and all variants together.
    #[must_use]
    pub fn frame_bytes(&self) -> usize {
        self.variants.iter().map(|(_, message)| message.frame_len()).sum()
    }
}

/// The frames of consecutive publications to one topic in one reactor, made when the first subscriber needs them.
///
/// A burst is joined into one piece for each variant: then a subscriber costs the same whatever the burst's
/// length. With 16 messages for 10,000 subscribers that is worth half of all CPU.
pub struct Frames<'a> {
    publications: &'a [Arc<Publication>],
    made: Vec<(Variant, Batch)>,
    compressions: u64,
}

/// The frames for one variant.
pub struct Batch {
    /// All of them in one piece.
    pub joined: Bytes,
    /// Each with its position.
    pub frames: Vec<(Option<u64>, Bytes)>,
}

/// What decides the bytes of a frame: the client's own window does not.
type Variant = (Encoding, Option<u8>);

impl<'a> Frames<'a> {
    /// No frame is made yet.
    #[must_use]
    pub fn new(publications: &'a [Arc<Publication>]) -> Self {
        Self {
            publications,
            made: Vec::new(),
            compressions: 0,
        }
    }

    /// The frames for a connection of `encoding` and `agreement`; none if no variant is for it.
    pub fn batch(&mut self, encoding: Encoding, agreement: Option<Agreement>, shared: &mut Shared) -> &Batch {
        let variant = (
            encoding,
            agreement.map(|agreement| agreement.server_max_window_bits),
        );
        let made = self.made.iter().position(|(made, _)| *made == variant);
        let at = made.unwrap_or_else(|| {
            let batch = self.make(encoding, agreement, shared);
            self.made.push((variant, batch));
            self.made.len() - 1
        });
        &self.made[at].1
    }

    /// Payloads deflated so far.
    #[must_use]
    pub fn compressions(&self) -> u64 {
        self.compressions
    }

    fn make(&mut self, encoding: Encoding, agreement: Option<Agreement>, shared: &mut Shared) -> Batch {
        let mut frames = Vec::with_capacity(self.publications.len());
        for publication in self.publications {
            let variant = publication.variants.iter().find(|(of, _)| *of == encoding);
            if let Some((_, message)) = variant {
                let (frame, deflated) = message.clone().into_frame(agreement, shared);
                self.compressions += u64::from(deflated);
                frames.push((publication.position, frame));
            }
        }
        let joined = match &frames[..] {
            [(_, only)] => only.clone(),
            frames => frames
                .iter()
                .flat_map(|(_, frame)| frame.iter().copied())
                .collect(),
        };
        Batch { joined, frames }
    }
}
