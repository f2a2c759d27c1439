//! When a stream has stopped moving.
//!
//! A stream that owes bytes, because a frame has begun or a message waits to be written, must move
//! at least [`BYTES_MIN`] in every [`WINDOW`] ticks of its connection, or finish. One that moves
//! slower is reset instead of waited for: what it holds is worth more than what it delivers.
//! A stream that owes nothing may rest for ever.

/// Ticks after which the bytes moved are looked at.
pub(crate) const WINDOW: u32 = 10;

/// What a stream must move within a window: 1 KiB per tick, on average.
pub(crate) const BYTES_MIN: u64 = 1024 * WINDOW as u64;

/// The progress of one direction of one stream.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    owing: bool,
    ticks: u32,
    bytes: u64,
}

impl Progress {
    /// Bytes went by; afterwards the stream owes more, or does not.
    pub(crate) fn moved(&mut self, bytes: u64, owing: bool) {
        if owing && self.owing {
            self.bytes += bytes;
        } else {
            *self = Self { owing, ticks: 0, bytes: 0 };
        }
    }

    /// A tick passed: true when the stream has stopped moving.
    pub(crate) fn tick(&mut self) -> bool {
        if !self.owing {
            return false;
        }
        self.ticks += 1;
        if self.ticks < WINDOW {
            return false;
        }
        let stalled = self.bytes < BYTES_MIN;
        self.ticks = 0;
        self.bytes = 0;
        stalled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ticks until the stream counts as stalled, at most 100, with `bytes` moved before each.
    fn ticks_until_stalled(bytes: u64) -> Option<u32> {
        let mut progress = Progress::default();
        progress.moved(1, true);
        (1..=100).find(|_| {
            progress.moved(bytes, true);
            progress.tick()
        })
    }

    #[test]
    fn a_kibibyte_per_tick_is_enough_and_less_is_not() {
        assert_eq!(ticks_until_stalled(1024), None);
        assert_eq!(ticks_until_stalled(1023), Some(WINDOW));
        assert_eq!(ticks_until_stalled(0), Some(WINDOW));
    }

    #[test]
    fn a_fast_start_does_not_pay_for_a_later_stall() {
        let mut progress = Progress::default();
        progress.moved(0, true);
        progress.moved(4 << 20, true);
        let stalled = (1..=100).find(|_| progress.tick());
        assert_eq!(stalled, Some(2 * WINDOW));
    }

    #[test]
    fn a_stream_that_owes_nothing_may_rest() {
        let mut progress = Progress::default();
        assert!((0..1000).all(|_| !progress.tick()));
        progress.moved(10, true);
        progress.moved(10, false);
        assert!((0..1000).all(|_| !progress.tick()));
    }
}
