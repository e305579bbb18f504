//! How a server wants its broadcasts wrapped.

use clap::ValueEnum;
use memchr::memmem;

use crate::engine::Sockets;
use crate::wire::Broken;

/// What stands around a message.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Dialect {
    /// Nothing: the message is the frame's payload, binary.
    Plain,
    /// The JSON protocol of Centrifugo; the server subscribes everybody to the channel `all`.
    Centrifuge,
}

impl Dialect {
    /// Says what a new connection has to say; true if nothing is to be waited for.
    pub fn greet(self, index: usize, sockets: &mut Sockets) -> bool {
        if self == Self::Centrifuge {
            sockets.send(index, 1, br#"{"id":1,"connect":{}}"#);
        }
        self == Self::Plain
    }

    /// The parts of a frame.
    pub fn lines(self, payload: &[u8]) -> impl Iterator<Item = &[u8]> {
        let is_plain = self == Self::Plain;
        payload.split(move |&byte| !is_plain && byte == b'\n')
    }

    /// Whether `line` answers the greeting.
    pub fn is_greeting(self, line: &[u8]) -> bool {
        self == Self::Centrifuge && line.starts_with(br#"{"id":1,"connect":{"#)
    }

    /// Publishes `message`, which is JSON.
    pub fn publish(self, index: usize, number: u64, message: &[u8], sockets: &mut Sockets) {
        if self == Self::Plain {
            return sockets.send(index, 2, message);
        }
        let mut command =
            format!(r#"{{"id":{},"publish":{{"channel":"all","data":"#, number + 1).into_bytes();
        command.extend_from_slice(message);
        command.extend_from_slice(b"}}");
        sockets.send(index, 1, &command);
    }

    /// The message of `bytes` in a part of a frame, if it holds one.
    pub fn message<'a>(
        self,
        index: usize,
        line: &'a [u8],
        bytes: usize,
        sockets: &mut Sockets,
    ) -> Result<Option<&'a [u8]>, Broken> {
        if self == Self::Plain {
            return Ok(Some(line));
        }
        if line == b"{}" {
            sockets.send(index, 1, b"{}"); // their ping and pong
            return Ok(None);
        }
        if !line.starts_with(br#"{"push":"#) {
            let refused = memmem::find(line, br#""error":"#).is_some();
            return if refused {
                Err(Broken("a refused command"))
            } else {
                Ok(None)
            };
        }
        let start = memmem::find(line, br#""data":"#).ok_or(Broken("a push without data"))? + 7;
        Ok(Some(
            line.get(start..start + bytes)
                .ok_or(Broken("not what was sent"))?,
        ))
    }
}
