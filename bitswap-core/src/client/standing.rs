//! Whether a peer can be asked at all, and how many there are that can.

use super::contact::Contact;

/// Whether a peer can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Now, or as soon as its lane is open.
    Askable,
    /// Not before its lane may be opened again.
    Resting,
    /// It does not speak Bitswap, as far as it says.
    Mute,
}

impl Standing {
    pub(super) fn of(contact: &Contact) -> Self {
        if contact.is_mute() {
            Self::Mute
        } else if contact.lane.retry_at().is_some() {
            Self::Resting
        } else {
            Self::Askable
        }
    }
}

/// How many peers there are of each standing, so that nobody has to look at all of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Standings([u32; 3]);

impl Standings {
    pub(super) const fn count(&self, standing: Standing) -> u32 {
        self.0[standing as usize]
    }

    pub(super) const fn add(&mut self, standing: Standing) {
        self.0[standing as usize] += 1;
    }

    pub(super) const fn remove(&mut self, standing: Standing) {
        self.0[standing as usize] -= 1;
    }
}
