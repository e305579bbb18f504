//! permessage-deflate (RFC 7692) as a client sees it: what was agreed, and the way back to the message.

use std::rc::Rc;

use flate2::{Decompress, FlushDecompress, Status};

use crate::wire::Broken;

/// What every message's deflated form ends with, and the wire leaves out (§7.2.2).
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];
/// Inflated messages that are kept.
const KEPT: usize = 64;
/// Longest message that a load scenario can expect.
const MAX_BYTES: usize = 1 << 20;

/// One connection's way of inflating.
pub enum Inflate {
    /// Nothing was agreed.
    Off,
    /// Each message stands by itself: equal bytes are equal messages, whoever gets them.
    Shared,
    /// Messages refer to the ones before, so the connection has a window of its own.
    Own(Box<Decompress>),
}

impl Inflate {
    /// What a response's `Sec-WebSocket-Extensions` means, if it has one.
    pub fn agreed(extensions: Option<&str>) -> Self {
        match extensions {
            Some(text) if text.contains("permessage-deflate") => {
                if text.contains("server_no_context_takeover") {
                    Self::Shared
                } else {
                    Self::Own(Box::new(Decompress::new(false)))
                }
            }
            _ => Self::Off,
        }
    }
}

/// Inflates for all connections; messages that stand by themselves only once.
pub struct Inflater {
    shared: Decompress,
    /// Deflated and inflated.
    kept: Vec<(Vec<u8>, Rc<[u8]>)>,
    next: usize,
    out: Vec<u8>,
}

impl Inflater {
    /// Keeps nothing yet.
    pub fn new() -> Self {
        Self {
            shared: Decompress::new(false),
            kept: vec![(Vec::new(), Rc::from([])); KEPT],
            next: 0,
            out: vec![0; MAX_BYTES],
        }
    }

    /// The message in `payload`.
    pub fn inflate(&mut self, connection: &mut Inflate, payload: &[u8]) -> Result<Rc<[u8]>, Broken> {
        match connection {
            Inflate::Off => Err(Broken("a compressed frame that was not agreed")),
            Inflate::Own(window) => Ok(Rc::from(inflate(window, payload, &mut self.out)?)),
            Inflate::Shared => {
                // Sockets get the same messages in the same order, so it is mostly the next one.
                let order = (0..KEPT).map(|step| (self.next + step) % KEPT);
                if let Some(at) = order.into_iter().find(|&at| self.kept[at].0 == payload) {
                    self.next = at + 1;
                    return Ok(Rc::clone(&self.kept[at].1));
                }
                self.shared.reset(false);
                let message: Rc<[u8]> = Rc::from(inflate(&mut self.shared, payload, &mut self.out)?);
                self.next %= KEPT;
                self.kept[self.next] = (payload.to_vec(), Rc::clone(&message));
                self.next += 1;
                Ok(message)
            }
        }
    }
}

fn inflate<'a>(window: &mut Decompress, payload: &[u8], out: &'a mut [u8]) -> Result<&'a [u8], Broken> {
    let before = window.total_out();
    for part in [payload, &TAIL] {
        let mut part = part;
        while !part.is_empty() {
            let (read, written) = (window.total_in(), window.total_out());
            let free = &mut out[usize::try_from(written - before).unwrap_or(usize::MAX)..];
            let status = window
                .decompress(part, free, FlushDecompress::Sync)
                .map_err(|_| Broken("a payload that does not inflate"))?;
            let consumed = usize::try_from(window.total_in() - read).unwrap_or(0);
            if status == Status::BufError || (consumed == 0 && window.total_out() == written) {
                return Err(Broken("a payload that does not inflate"));
            }
            part = &part[consumed..];
        }
    }
    Ok(&out[..usize::try_from(window.total_out() - before).unwrap_or(0)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compress, Compression, FlushCompress};

    fn deflate(window: &mut Compress, message: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(4096);
        window
            .compress_vec(message, &mut out, FlushCompress::Sync)
            .expect("it fits");
        out.truncate(out.len() - TAIL.len());
        out
    }

    #[test]
    fn with_context_takeover_each_connection_has_its_window() {
        let mut inflater = Inflater::new();
        let mut server = Compress::new(Compression::default(), false);
        let frames: Vec<_> = (0..3)
            .map(|_| deflate(&mut server, b"the same words again"))
            .collect();
        assert!(frames[1].len() < frames[0].len());
        for mut connection in [
            Inflate::agreed(Some("permessage-deflate")),
            Inflate::agreed(Some("permessage-deflate")),
        ] {
            for frame in &frames {
                let message = inflater.inflate(&mut connection, frame);
                assert_eq!(message.ok().as_deref(), Some(&b"the same words again"[..]));
            }
        }
    }

    #[test]
    fn without_it_equal_frames_are_inflated_once() {
        let mut inflater = Inflater::new();
        let mut connection = Inflate::agreed(Some("permessage-deflate; server_no_context_takeover"));
        let frame = deflate(&mut Compress::new(Compression::default(), false), b"hello");
        let first = inflater.inflate(&mut connection, &frame).expect("it inflates");
        let again = inflater.inflate(&mut connection, &frame).expect("it inflates");
        assert_eq!(&*first, b"hello");
        assert!(Rc::ptr_eq(&first, &again));
    }

    #[test]
    fn what_was_not_agreed_or_does_not_inflate_is_the_servers_fault() {
        let mut inflater = Inflater::new();
        assert!(inflater.inflate(&mut Inflate::agreed(None), b"\x03\x00").is_err());
        let mut connection = Inflate::agreed(Some("permessage-deflate; server_no_context_takeover"));
        assert!(inflater.inflate(&mut connection, b"\xff\xff\xff").is_err());
    }
}
