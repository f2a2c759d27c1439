//! The simulator's random numbers.

use std::hash::Hasher as _;

use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng as _, SeedableRng as _};
use siphasher::sip::SipHasher13;

/// A generator of random numbers, the same on every machine: xoshiro256++. Each part of a run has its own
/// stream by a label, so a draw added in one part does not shift the others.
#[derive(Clone, Debug)]
pub struct Rng(Xoshiro256PlusPlus);

impl Rng {
    /// The stream of `seed` that is named by `label`.
    #[must_use]
    pub fn new(seed: &[u8; 32], label: &str) -> Self {
        let key = |at: usize| u64::from_le_bytes(std::array::from_fn(|byte| seed[at + byte]));
        let mut state = [0; 32];
        for (word, stream) in state.chunks_exact_mut(8).zip(0u64..) {
            let mut hasher = SipHasher13::new_with_keys(key(0), key(8));
            hasher.write(&seed[16..]);
            hasher.write(label.as_bytes());
            hasher.write_u64(stream);
            word.copy_from_slice(&hasher.finish().to_le_bytes());
        }
        Self(Xoshiro256PlusPlus::from_seed(state))
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number below `bound`, uniform to within 2⁻³² for bounds below 2³²; 0 when `bound` is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        // The high half of a 64 × 64 bit product is below `bound`.
        ((u128::from(self.next_u64()) * u128::from(bound)) >> 64) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_depend_on_seed_and_label() {
        let first = |seed: u8, label| Rng::new(&[seed; 32], label).next_u64();
        assert_eq!(first(1, "world"), first(1, "world"));
        assert_ne!(first(1, "world"), first(2, "world"));
        assert_ne!(first(1, "world"), first(1, "server"));
    }

    #[test]
    fn below_stays_below() {
        let mut rng = Rng::new(&[7; 32], "test");
        for bound in 1..200 {
            assert!(rng.below(bound) < bound);
        }
        assert_eq!(rng.below(0), 0);
    }
}
