//! Token buckets for what one peer may send.

/// How fast a peer may send, and how much at once.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RateLimits {
    /// Frames, control frames included.
    pub frames_per_second: f32,
    /// Depth of the bucket of frames.
    pub frames_burst: f32,
    /// Bytes as they come from the socket.
    pub bytes_per_second: f32,
    /// Depth of the bucket of bytes.
    pub bytes_burst: f32,
}

impl Default for RateLimits {
    fn default() -> Self {
        Self {
            frames_per_second: 200.0,
            frames_burst: 1_000.0,
            bytes_per_second: 1_048_576.0,
            bytes_burst: 4_194_304.0,
        }
    }
}

/// Both buckets of one connection, in twelve bytes.
#[derive(Debug, Clone, Copy)]
pub struct Rate {
    frames: f32,
    bytes: f32,
    /// When they were last filled, in milliseconds of the reactor's clock; it wraps after 49 days.
    filled: u32,
}

impl Rate {
    /// Full buckets.
    #[must_use]
    pub fn new(limits: &RateLimits, now_millis: u32) -> Self {
        Self {
            frames: limits.frames_burst,
            bytes: limits.bytes_burst,
            filled: now_millis,
        }
    }

    /// Takes `frames` and `bytes` out; false if either bucket held less.
    #[expect(
        clippy::cast_precision_loss,
        reason = "half a byte in four million does not matter"
    )]
    pub fn charge(&mut self, frames: u32, bytes: usize, now_millis: u32, limits: &RateLimits) -> bool {
        let elapsed = now_millis.wrapping_sub(self.filled) as f32 / 1000.0;
        self.filled = now_millis;
        self.frames =
            (self.frames + elapsed * limits.frames_per_second).min(limits.frames_burst) - frames as f32;
        self.bytes = (self.bytes + elapsed * limits.bytes_per_second).min(limits.bytes_burst) - bytes as f32;
        self.frames >= 0.0 && self.bytes >= 0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: RateLimits = RateLimits {
        frames_per_second: 10.0,
        frames_burst: 5.0,
        bytes_per_second: 1000.0,
        bytes_burst: 500.0,
    };

    #[test]
    fn a_burst_is_allowed_and_one_more_is_not() {
        let mut rate = Rate::new(&LIMITS, 0);
        assert!(rate.charge(5, 500, 0, &LIMITS));
        assert!(!rate.charge(1, 0, 0, &LIMITS));
    }

    #[test]
    fn bytes_are_bounded_as_well() {
        let mut rate = Rate::new(&LIMITS, 0);
        assert!(!rate.charge(1, 501, 0, &LIMITS));
    }

    #[test]
    fn time_fills_the_buckets_up_to_their_depth() {
        let mut rate = Rate::new(&LIMITS, 0);
        assert!(rate.charge(5, 500, 0, &LIMITS));
        assert!(rate.charge(1, 100, 100, &LIMITS));
        assert!(rate.charge(5, 500, 3_600_000, &LIMITS));
        assert!(!rate.charge(1, 1, 3_600_000, &LIMITS));
    }

    #[test]
    fn the_clock_may_wrap() {
        let mut rate = Rate::new(&LIMITS, u32::MAX - 50);
        assert!(rate.charge(5, 0, u32::MAX - 50, &LIMITS));
        assert!(rate.charge(1, 0, 49, &LIMITS));
    }
}
