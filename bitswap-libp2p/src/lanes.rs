//! Something for each of the two lanes.

use bitswap_core::Lane;

/// A value for each lane.
#[derive(Debug, Default)]
pub(crate) struct Lanes<T> {
    wants: T,
    answers: T,
}

impl<T> Lanes<T> {
    pub(crate) const fn get(&self, lane: Lane) -> &T {
        match lane {
            Lane::Wants => &self.wants,
            Lane::Answers => &self.answers,
        }
    }

    pub(crate) const fn get_mut(&mut self, lane: Lane) -> &mut T {
        match lane {
            Lane::Wants => &mut self.wants,
            Lane::Answers => &mut self.answers,
        }
    }
}

/// Both lanes.
pub(crate) const LANES: [Lane; 2] = [Lane::Wants, Lane::Answers];
