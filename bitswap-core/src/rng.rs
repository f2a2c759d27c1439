//! The core's random numbers: xoshiro256++, seeded by the host and by nothing else.
//!
//! Choices that need spreading (which of several equal peers is asked) draw from here, so the same
//! seed and the same inputs give the same outputs. Each part takes its own stream by a label, so a
//! draw added in one part does not shift the others. Not for secrets.
//!
//! Source of the algorithm: Blackman and Vigna, "Scrambled linear pseudorandom number generators".

use core::hash::Hasher;

use siphasher::sip::SipHasher13;

/// A xoshiro256++ generator.
#[derive(Clone, Debug)]
pub struct Rng {
    state: [u64; 4],
}

impl Rng {
    /// A generator for the part of the engine named by `label`.
    #[must_use]
    pub fn new(seed: &[u8; 32], label: &str) -> Self {
        let mut state = [0; 4];
        for (word, stream) in state.iter_mut().zip(0u64..) {
            *word = sub_seed(seed, label, stream);
        }
        if state == [0; 4] {
            // The one state from which the generator never moves.
            state = [1, 2, 3, 4];
        }
        Self { state }
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        let [a, b, c, d] = self.state;
        let result = a.wrapping_add(d).rotate_left(23).wrapping_add(a);
        let c = c ^ a;
        let d = d ^ b;
        self.state = [a ^ d, b ^ c, c ^ (b << 17), d.rotate_left(45)];
        result
    }

    /// A number below `bound`, uniform to within 2⁻³² for bounds below 2³²; 0 when `bound` is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
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

    /// First outputs for the state 1, 2, 3, 4: the vector of the generator's reference code.
    #[test]
    fn matches_the_reference_vector() {
        let mut rng = Rng { state: [1, 2, 3, 4] };
        let expected = [
            41_943_041,
            58_720_359,
            3_588_806_011_781_223,
            3_591_011_842_654_386,
            9_228_616_714_210_784_205,
            9_973_669_472_204_895_162,
        ];
        for value in expected {
            assert_eq!(rng.next_u64(), value);
        }
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
