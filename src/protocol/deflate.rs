//! permessage-deflate (RFC 7692), always without context takeover.

/// What both ends agreed on; decides how messages are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Agreement {
    /// Window of the server's compressor: 9 to 15 bits.
    pub server_max_window_bits: u8,
    /// Window of the client's compressor: 9 to 15 bits.
    pub client_max_window_bits: u8,
}

/// An offer of permessage-deflate that the server is able to accept (RFC 7692 §7.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offer {
    /// The client asks the server to keep to this window: 9 to 15 bits.
    pub server_max_window_bits: Option<u8>,
}

impl Offer {
    /// The agreement that a server answers the offer with.
    #[must_use]
    pub fn accept(self) -> Agreement {
        todo!()
    }
}

/// The compressors and decompressors of one thread, made when first needed.
#[derive(Default)]
pub(crate) struct Codecs {}
