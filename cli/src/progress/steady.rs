//! Whether a rate has settled enough to say how long the rest will take.

/// Rates in a row that must be alike.
const ALIKE: usize = 4;

/// The last rates.
#[derive(Debug, Default)]
pub(super) struct Steady {
    last: [u64; ALIKE],
}

impl Steady {
    /// Learns a rate; whether the last few, this one included, are alike: none is more than twice another, and none is zero.
    pub(super) fn is_steady(&mut self, rate: u64) -> bool {
        self.last.rotate_left(1);
        self.last[ALIKE - 1] = rate;
        let least = self.last.iter().min().copied().unwrap_or_default();
        let most = self.last.iter().max().copied().unwrap_or_default();
        least > 0 && most <= least.saturating_mul(2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_that_jumps_says_nothing_and_one_that_stays_does() {
        let mut steady = Steady::default();
        let rates = [100, 110, 90, 95, 100, 500, 480, 490, 500, 0, 500, 500, 500, 500];
        let said: Vec<bool> = rates.iter().map(|rate| steady.is_steady(*rate)).collect();
        let (no, yes) = (false, true);
        assert_eq!(said, [no, no, no, yes, yes, no, no, no, yes, no, no, no, no, yes]);
    }
}
