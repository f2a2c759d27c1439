//! What is told of several runs.

/// The one in the middle; between the two in the middle when there are as many above as below.
pub(crate) fn median(all: &[f64]) -> f64 {
    let mut sorted = all.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match (sorted.get(middle), sorted.len() % 2) {
        (Some(high), 0) => f64::midpoint(sorted[middle - 1], *high),
        (Some(only), _) => *only,
        (None, _) => 0.0,
    }
}

/// The single runs, in order.
pub(crate) fn listed(all: &[f64]) -> String {
    let all: Vec<String> = all.iter().map(|speed| format!("{speed:.0}")).collect();
    all.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 3.0, 2.0]), 2.5);
        assert_eq!(median(&[7.0]), 7.0);
    }
}
