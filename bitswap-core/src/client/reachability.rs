//! Whether a peer can be asked at all, and how many there are that can.

use super::peer_state::PeerState;

/// Whether a peer can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reachability {
    /// Now, or as soon as its stream is open.
    Askable,
    /// Not before its stream may be opened again.
    Resting,
    /// It does not speak Bitswap, as far as it says.
    Mute,
}

impl Reachability {
    pub(super) fn of(peer: &PeerState) -> Self {
        if peer.is_mute() {
            Self::Mute
        } else if peer.stream().retry_at().is_some() {
            Self::Resting
        } else {
            Self::Askable
        }
    }
}

/// How many peers there are of each kind, so that nobody has to look at all of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ReachabilityCounts([u32; 3]);

impl ReachabilityCounts {
    pub(super) const fn count(self, reachability: Reachability) -> u32 {
        let [askable, resting, mute] = self.0;
        match reachability {
            Reachability::Askable => askable,
            Reachability::Resting => resting,
            Reachability::Mute => mute,
        }
    }

    pub(super) const fn add(&mut self, reachability: Reachability) {
        *self.count_mut(reachability) += 1;
    }

    pub(super) const fn remove(&mut self, reachability: Reachability) {
        *self.count_mut(reachability) -= 1;
    }

    const fn count_mut(&mut self, reachability: Reachability) -> &mut u32 {
        let [askable, resting, mute] = &mut self.0;
        match reachability {
            Reachability::Askable => askable,
            Reachability::Resting => resting,
            Reachability::Mute => mute,
        }
    }
}
