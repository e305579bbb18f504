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
    #[must_use]
    pub fn frame(&self, agreement: Option<Agreement>, shared: &mut Shared) -> (Bytes, bool) {
        let payload = &self.frame[self.payload_at..];
        if agreement.is_none() || payload.len() < shared.limits().min_compress_bytes {
            return (self.frame.clone(), false);
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

/// The frames of one publication in one reactor, each made when the first subscriber needs it.
pub struct Frames<'a> {
    publication: &'a Publication,
    made: Vec<(Variant, Bytes)>,
    compressions: u64,
}

/// What decides the bytes of a frame: the client's own window does not.
type Variant = (Encoding, Option<u8>);

impl<'a> Frames<'a> {
    /// No frame is made yet.
    #[must_use]
    pub fn new(publication: &'a Publication) -> Self {
        Self {
            publication,
            made: Vec::new(),
            compressions: 0,
        }
    }

    /// The frame for a connection of `encoding` and `agreement`; `None` if no variant is for it.
    pub fn frame(
        &mut self,
        encoding: Encoding,
        agreement: Option<Agreement>,
        shared: &mut Shared,
    ) -> Option<&Bytes> {
        let variant = (
            encoding,
            agreement.map(|agreement| agreement.server_max_window_bits),
        );
        if let Some(at) = self.made.iter().position(|(made, _)| *made == variant) {
            return Some(&self.made[at].1);
        }
        let (_, message) = self.publication.variants.iter().find(|(of, _)| *of == encoding)?;
        let (frame, deflated) = message.frame(agreement, shared);
        self.compressions += u64::from(deflated);
        self.made.push((variant, frame));
        self.made.last().map(|(_, frame)| frame)
    }

    /// Payloads deflated so far.
    #[must_use]
    pub fn compressions(&self) -> u64 {
        self.compressions
    }
}
