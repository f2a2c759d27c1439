//! When a stream has stopped moving.
//!
//! A stream that owes bytes, because a frame has begun or a message waits to be written, must move
//! at least [`BYTES_PER_TICK`] on average of a window of ticks, or finish. One that moves slower is reset instead of
//! waited for: what it holds is worth more than what it delivers. A stream that owes nothing may rest for ever.

/// Ticks of a connection after which the bytes that were read are looked at.
pub(crate) const READ_WINDOW: u32 = 10;

/// Ticks after which those that were written are: yamux takes them in steps of half a window of its receiver, which
/// grows where a round trip takes long. On a path of 20 kB/s a step of half a MiB takes 26 s.
pub(crate) const WRITE_WINDOW: u32 = 3 * READ_WINDOW;

/// What a stream must move, on average of a window.
pub(crate) const BYTES_PER_TICK: u64 = 1024;

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

    /// A tick passed: true when the stream has stopped moving, which is looked at every `window` ticks.
    pub(crate) fn tick(&mut self, window: u32) -> bool {
        if !self.owing {
            return false;
        }
        self.ticks += 1;
        if self.ticks < window {
            return false;
        }
        let stalled = self.bytes < BYTES_PER_TICK * u64::from(window);
        self.ticks = 0;
        self.bytes = 0;
        stalled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: u32 = READ_WINDOW;

    /// Ticks until the stream counts as stalled, at most 100, with `bytes` moved before each.
    fn ticks_until_stalled(bytes: u64) -> Option<u32> {
        let mut progress = Progress::default();
        progress.moved(1, true);
        (1..=100).find(|_| {
            progress.moved(bytes, true);
            progress.tick(WINDOW)
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
        let stalled = (1..=100).find(|_| progress.tick(WINDOW));
        assert_eq!(stalled, Some(2 * WINDOW));
    }

    /// What a path of 20 kB/s takes of a stream with a window of 1 MiB.
    #[test]
    fn a_stream_that_is_written_in_steps_of_26_ticks_moves() {
        let mut progress = Progress::default();
        progress.moved(0, true);
        for _ in 0..100 {
            progress.moved(512 << 10, true);
            assert!((0..26).all(|_| !progress.tick(WRITE_WINDOW)));
        }
        let stalled = (1..=100).find(|_| progress.tick(WRITE_WINDOW));
        assert!(stalled.is_some_and(|ticks| ticks <= 2 * WRITE_WINDOW), "{stalled:?}");
    }

    #[test]
    fn a_stream_that_owes_nothing_may_rest() {
        let mut progress = Progress::default();
        assert!((0..1000).all(|_| !progress.tick(WINDOW)));
        progress.moved(10, true);
        progress.moved(10, false);
        assert!((0..1000).all(|_| !progress.tick(WINDOW)));
    }
}
