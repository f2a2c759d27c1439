//! Drawing from distributions. Plain arithmetic only, so that every machine draws the same.

use std::time::Duration;

use crate::rng::Rng;

/// A 32-byte engine seed from a run's number and a place in it.
#[must_use]
pub fn seed(run: u64, place: u64) -> [u8; 32] {
    let mut seed = [0; 32];
    seed[..8].copy_from_slice(&run.to_le_bytes());
    seed[8..16].copy_from_slice(&place.to_le_bytes());
    seed
}

/// A number in 0.0 .. 1.0.
#[must_use]
pub fn unit(rng: &mut Rng) -> f64 {
    (rng.next_u64() >> 11) as f64 / (1u64 << 53) as f64
}

/// True in `per_mille` of 1000 cases.
#[must_use]
pub fn chance(rng: &mut Rng, per_mille: u32) -> bool {
    rng.below(1000) < u64::from(per_mille)
}

/// A whole number from `low` to `high`, both included.
#[must_use]
pub fn between(rng: &mut Rng, low: u64, high: u64) -> u64 {
    low + rng.below(high.saturating_sub(low).saturating_add(1))
}

/// A duration between zero and `most`.
#[must_use]
pub fn up_to(rng: &mut Rng, most: Duration) -> Duration {
    Duration::from_micros(rng.below(most.as_micros() as u64 + 1))
}

/// Close to a normal distribution: twelve uniform draws, within six deviations of the mean.
#[must_use]
pub fn normal(rng: &mut Rng, mean: f64, deviation: f64) -> f64 {
    let sum: f64 = (0..12).map(|_| unit(rng)).sum();
    mean + (sum - 6.0) * deviation
}

/// Most draws near `low`, few near `high`: each halving of the distance is half as likely.
#[must_use]
pub fn skewed(rng: &mut Rng, low: u64, high: u64) -> u64 {
    let share = unit(rng);
    low + ((high - low) as f64 * share * share * share) as u64
}

/// Puts `items` into a random order.
pub fn shuffle<T>(rng: &mut Rng, items: &mut [T]) {
    for end in (1..items.len()).rev() {
        items.swap(end, rng.below(end as u64 + 1) as usize);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_normal_draw_has_its_mean_and_deviation() {
        let mut rng = Rng::new(&seed(1, 0), "test");
        let draws: Vec<f64> = (0..10_000).map(|_| normal(&mut rng, 60.0, 20.0)).collect();
        let mean = draws.iter().sum::<f64>() / 1e4;
        let variance = draws.iter().map(|draw| (draw - mean).powi(2)).sum::<f64>() / 1e4;
        assert!((mean - 60.0).abs() < 1.0, "{mean}");
        assert!((variance.sqrt() - 20.0).abs() < 1.0, "{}", variance.sqrt());
    }
}
