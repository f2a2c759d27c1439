//! Time as an argument.
//!
//! The core never reads a clock. Its host hands every input a [`Timestamp`]: microseconds since an
//! origin that the host picks once (its start, usually). All arithmetic saturates, so neither a
//! clock that jumps nor one near the end of its range can wrap or panic.

use core::time::Duration;

/// A point in time: microseconds since an origin that the host picked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Timestamp(u64);

impl Timestamp {
    /// The origin.
    pub const ZERO: Self = Self(0);
    /// The last representable point; arithmetic saturates here.
    pub const MAX: Self = Self(u64::MAX);

    /// The point `micros` microseconds after the origin.
    #[must_use]
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// Microseconds since the origin.
    #[must_use]
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// Whether what was put off to this point is due. Nothing is due at the end of time: what is put off
    /// from there would be due again at once, and without end.
    pub(crate) fn is_due(self, now: Self) -> bool {
        self <= now && self != Self::MAX
    }

    /// The time from `earlier` to `self`; zero when `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

impl core::ops::Add<Duration> for Timestamp {
    type Output = Self;

    /// Adds a duration, saturating at [`Timestamp::MAX`]. Parts of a microsecond are cut off.
    fn add(self, duration: Duration) -> Self {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(micros))
    }
}

/// Whole microseconds of a duration, at most as many as a `u64` holds.
pub(crate) fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_saturates_at_both_ends() {
        assert_eq!(Timestamp::MAX + Duration::from_secs(1), Timestamp::MAX);
        assert_eq!(Timestamp::ZERO + Duration::MAX, Timestamp::MAX);
        assert_eq!(Timestamp::ZERO.since(Timestamp::MAX), Duration::ZERO);
        assert_eq!(
            Timestamp::from_micros(5).since(Timestamp::from_micros(2)),
            Duration::from_micros(3)
        );
    }
}
