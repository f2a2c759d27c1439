//! What waits at one peer, in the order in which it is due.

use alloc::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use crate::output::What;

use super::want::{Place, State, Want};

/// Wants that could be given up for new ones, in the order in which they would be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Spare {
    /// Answered at that time.
    Sent(u64, u32),
    /// The block is not there; of that age.
    Idle(u64, u32),
}

/// The queues of one peer. A want is in the one that its state names, or in none while its lookup
/// or its answer is under way.
#[derive(Debug, Default)]
pub(super) struct Queues {
    /// To be looked up by size.
    pub(super) sizes: BTreeSet<Place>,
    /// To be loaded.
    pub(super) datas: BTreeSet<Place>,
    /// Of these, the ones of unknown size whose absence has to be said.
    pub(super) unsure: BTreeSet<Place>,
    /// HAVE or DONT_HAVE is to be said.
    pub(super) presences: BTreeSet<Place>,
    /// To be sent.
    pub(super) blocks: BTreeMap<Place, Bytes>,
    spare: BTreeSet<Spare>,
    /// Bytes of `blocks`.
    loaded: u64,
    /// Bytes to be loaded, where the size is known.
    known: u64,
    /// Blocks to be loaded whose size is not known.
    unknown: u64,
    /// Wants in the state [`State::Sent`].
    sent: u32,
}

impl Queues {
    /// Takes a want out of the queue of its state, before the state or the priority changes.
    pub(super) fn take(&mut self, want: &Want, row: u32) -> Option<Bytes> {
        let place = want.place(row);
        match want.state {
            State::Idle => {
                self.spare.remove(&Spare::Idle(want.age, row));
            }
            State::Queued(What::Size) => {
                self.sizes.remove(&place);
            }
            State::Queued(What::Data) => {
                self.unsure.remove(&place);
                if self.datas.remove(&place) {
                    match want.size {
                        Some(size) => self.known -= u64::from(size),
                        None => self.unknown -= 1,
                    }
                }
            }
            State::Presence { .. } => {
                self.presences.remove(&place);
            }
            State::Block => {
                let data = self.blocks.remove(&place);
                self.loaded -= data.as_ref().map_or(0, |data| data.len() as u64);
                return data;
            }
            State::Sent(at) => {
                self.sent -= u32::from(self.spare.remove(&Spare::Sent(at.as_micros(), row)));
            }
            State::Loading(_) | State::Sending(..) => {}
        }
        None
    }

    /// Puts a want into the queue of its state. `data` goes with [`State::Block`].
    pub(super) fn put(&mut self, want: &Want, row: u32, data: Option<Bytes>) {
        let place = want.place(row);
        match want.state {
            State::Idle => {
                self.spare.insert(Spare::Idle(want.age, row));
            }
            State::Queued(What::Size) => {
                self.sizes.insert(place);
            }
            State::Queued(What::Data) => {
                self.datas.insert(place);
                if want.owes && want.size.is_none() {
                    self.unsure.insert(place);
                }
                match want.size {
                    Some(size) => self.known += u64::from(size),
                    None => self.unknown += 1,
                }
            }
            State::Presence { .. } => {
                self.presences.insert(place);
            }
            State::Block => {
                let data = data.unwrap_or_default();
                self.loaded += data.len() as u64;
                self.blocks.insert(place, data);
            }
            State::Sent(at) => {
                self.spare.insert(Spare::Sent(at.as_micros(), row));
                self.sent += 1;
            }
            State::Loading(_) | State::Sending(..) => {}
        }
    }

    /// The want that costs least to give up: one answered already, else the oldest whose block is
    /// not there.
    pub(super) fn spare(&self) -> Option<u32> {
        self.spare.first().map(|(Spare::Sent(_, row) | Spare::Idle(_, row))| *row)
    }

    /// The least urgent of the wants that nothing was done for yet.
    pub(super) fn last_queued(&self) -> Option<Place> {
        self.sizes.last().max(self.datas.last()).copied()
    }

    /// The wants answered lately, the oldest first.
    pub(super) fn sent(&self) -> impl Iterator<Item = u32> {
        self.spare.iter().map_while(|spare| match spare {
            Spare::Sent(_, row) => Some(*row),
            Spare::Idle(..) => None,
        })
    }

    pub(super) const fn sent_len(&self) -> u32 {
        self.sent
    }

    /// Bytes of blocks in memory.
    pub(super) const fn loaded(&self) -> u64 {
        self.loaded
    }

    /// Bytes of blocks to be loaded, those of unknown size as `estimate`.
    pub(super) fn to_load(&self, estimate: u32) -> u64 {
        self.known + self.unknown * u64::from(estimate)
    }

    /// Bytes allocated, by the rule that B-tree nodes are two thirds full.
    pub(super) fn bytes(&self) -> usize {
        let places = self.sizes.len() + self.datas.len() + self.unsure.len() + self.presences.len();
        (places * size_of::<Place>()
            + self.blocks.len() * size_of::<(Place, Bytes)>()
            + self.spare.len() * size_of::<Spare>())
            * 3
            / 2
            + self.loaded as usize
    }
}
