//! The engine's random numbers: xoshiro256++, seeded by the host and by nothing else.
//!
//! Choices that need spreading (which of several equal peers is asked) draw from here, so the same
//! seed and the same inputs give the same outputs. Each part has its own stream by a label, so a
//! draw added in one part does not shift the others. Not for secrets.

use core::hash::Hasher;

use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng as _, SeedableRng as _};
use siphasher::sip::SipHasher13;

/// A generator of random numbers.
#[derive(Clone, Debug)]
pub(crate) struct Rng(Xoshiro256PlusPlus);

impl Rng {
    /// A generator for the part of the engine named by `label`.
    pub(crate) fn new(seed: &[u8; 32], label: &str) -> Self {
        let mut state = [0; 32];
        for (word, stream) in state.chunks_exact_mut(8).zip(0u64..) {
            word.copy_from_slice(&sub_seed(seed, label, stream).to_le_bytes());
        }
        Self(Xoshiro256PlusPlus::from_seed(state))
    }

    /// The next 64 bits.
    pub(crate) fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number below `bound`, uniform to within 2⁻³² for bounds below 2³²; 0 when `bound` is 0.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        let wide = u128::from(self.next_u64()) * u128::from(bound);
        // The high half of a 64 × 64 bit product is below `bound`.
        (wide >> 64) as u64
    }
}

/// Eight bytes of key material for `label`, by SipHash-1-3 keyed with the seed.
pub(crate) fn sub_seed(seed: &[u8; 32], label: &str, stream: u64) -> u64 {
    let word = |at: usize| {
        let mut bytes = [0; 8];
        for (to, from) in bytes.iter_mut().zip(seed.iter().skip(at)) {
            *to = *from;
        }
        u64::from_le_bytes(bytes)
    };
    let mut hasher = SipHasher13::new_with_keys(word(0), word(8));
    hasher.write(&seed[16..]);
    hasher.write(label.as_bytes());
    hasher.write_u64(stream);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What an engine draws is part of its transcript: it must never change.
    #[test]
    fn the_streams_are_fixed() {
        let mut rng = Rng::new(&[7; 32], "client");
        assert_eq!(
            [rng.next_u64(), rng.next_u64()],
            [13_835_594_491_523_882_481, 5_861_299_855_153_331_960]
        );
    }

    #[test]
    fn streams_depend_on_seed_and_label() {
        let first = |seed: u8, label| Rng::new(&[seed; 32], label).next_u64();
        assert_eq!(first(1, "pick"), first(1, "pick"));
        assert_ne!(first(1, "pick"), first(2, "pick"));
        assert_ne!(first(1, "pick"), first(1, "jitter"));
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
