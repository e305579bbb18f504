//! The descriptor on which the application waits for events.

use std::fs::File;
use std::io::{self, Read, Write};
#[cfg(target_os = "linux")]
use std::os::fd::FromRawFd;
#[cfg(not(target_os = "linux"))]
use std::os::fd::OwnedFd;
use std::os::fd::{AsRawFd, RawFd};

/// A descriptor that is readable while set: an eventfd, elsewhere than on Linux a socket pair.
pub struct Signal {
    read: File,
    #[cfg(not(target_os = "linux"))]
    write: File,
}

impl Signal {
    /// Not set. Errors: no descriptor is left.
    #[cfg(target_os = "linux")]
    pub fn new() -> io::Result<Self> {
        // SAFETY: takes no pointer; the result is checked below.
        let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: `fd` is open and belongs to nobody else.
        let read = unsafe { File::from_raw_fd(fd) };
        Ok(Self { read })
    }

    /// Not set. Errors: no descriptor is left.
    #[cfg(not(target_os = "linux"))]
    pub fn new() -> io::Result<Self> {
        let (read, write) = std::os::unix::net::UnixStream::pair()?;
        read.set_nonblocking(true)?;
        write.set_nonblocking(true)?;
        Ok(Self {
            read: File::from(OwnedFd::from(read)),
            write: File::from(OwnedFd::from(write)),
        })
    }

    /// For `poll`.
    pub fn fd(&self) -> RawFd {
        self.read.as_raw_fd()
    }

    /// Makes it readable.
    pub fn set(&self) {
        #[cfg(target_os = "linux")]
        let mut end = &self.read;
        #[cfg(not(target_os = "linux"))]
        let mut end = &self.write;
        // Eight bytes are what an eventfd takes. It fails only if the signal is set already.
        let _ = end.write(&1u64.to_ne_bytes());
    }

    /// Makes it not readable.
    pub fn clear(&self) {
        let _ = (&self.read).read(&mut [0; 64]);
    }
}
