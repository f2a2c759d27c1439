//! One peer as it sees itself: what it wants, what it was answered, and what may be answered once more.

use std::collections::{BTreeMap, BTreeSet};

use bitswap_core::{Entry, Presence, WantKind};
use cid::Cid;

/// An answer that the transport took longer ago counts as received, in microseconds.
const UNCONFIRMED_FOR: u64 = 10_000_000;
/// A want-have is answered with blocks up to this size.
const SMALL: usize = 1024;

/// A want as its peer sees it.
#[derive(Clone, Copy, Debug)]
struct Wanted {
    block: bool,
    asks: bool,
    /// Told anew after it had ended: another want.
    life: u64,
    /// Told again, also while it lives.
    told: u64,
    /// Absence was said since it was told last.
    absent: bool,
}

/// A want that was answered.
#[derive(Clone, Copy, Debug)]
struct Answered {
    /// With the block, not with HAVE.
    block: bool,
    /// What had been asked for.
    wanted: Wanted,
    /// When the transport took it, in microseconds.
    at: u64,
}

/// What one answer in a message is about.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answer {
    cid: Cid,
    block: bool,
    have: bool,
    life: Option<u64>,
    told: u64,
}

/// What is asked for with one entry of a wantlist.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    pub(crate) cid: Cid,
    pub(crate) block: bool,
    pub(crate) asks: bool,
}

impl Asked {
    pub(crate) fn entry(self, priority: i8) -> Entry {
        let kind = if self.block { WantKind::Block } else { WantKind::Have };
        Entry::want(self.cid, kind, i32::from(priority), self.asks)
    }
}

/// A peer. Its number is told when a check fails.
pub(crate) struct PeerModel {
    peer: u32,
    wants: BTreeMap<Cid, Wanted>,
    /// Answered and not cancelled since: may be said again after a reset.
    ended: BTreeMap<Cid, Answered>,
    /// Put back by a reset.
    again: BTreeMap<Cid, Answered>,
    /// Asked for since the block was last sent. What the ledger had no room to remember as being
    /// answered is a new want when it is asked for again.
    asked: BTreeSet<Cid>,
}

impl PeerModel {
    pub(crate) fn new(peer: u32) -> Self {
        Self {
            peer,
            wants: BTreeMap::new(),
            ended: BTreeMap::new(),
            again: BTreeMap::new(),
            asked: BTreeSet::new(),
        }
    }

    pub(crate) fn cancel(&mut self, cid: &Cid) {
        self.wants.remove(cid);
        self.ended.remove(cid);
        self.again.remove(cid);
        self.asked.remove(cid);
    }

    /// What was answered may be said again.
    pub(crate) fn lost(&mut self, now: u64) {
        let ended = std::mem::take(&mut self.ended).into_iter();
        self.again.extend(ended.filter(|(_, kept)| kept.at + UNCONFIRMED_FOR >= now));
    }

    /// It wants nothing but this.
    pub(crate) fn keep_only(&mut self, list: &[Asked]) {
        let told = |cid: &Cid| list.iter().any(|asked| asked.cid == *cid);
        // What is asked with less begins anew.
        let no_less = |cid: &Cid, want: &Wanted| {
            list.iter().any(|asked| {
                asked.cid == *cid && asked.block >= want.block && asked.asks >= want.asks
            })
        };
        self.wants.retain(|cid, want| no_less(cid, want));
        self.ended.retain(|cid, _| told(cid));
        self.again.retain(|cid, answered| no_less(cid, &answered.wanted));
        self.asked.clear();
    }

    /// It asks for something, for the `tick`th time that anybody does, while these answers are on their way to it.
    pub(crate) fn ask<'a>(
        &mut self,
        asked: Asked,
        tick: u64,
        in_flight: impl Iterator<Item = &'a mut Answer>,
    ) {
        let Asked { cid, block, asks } = asked;
        self.ended.remove(&cid);
        self.asked.insert(cid);
        if self.again.contains_key(&cid) && !self.wants.contains_key(&cid) {
            // A block that is on its way again after a reset answers the new want too.
            for answer in in_flight {
                if answer.block && answer.cid == cid && answer.life.is_none() {
                    answer.life = Some(tick);
                }
            }
        }
        // What was put back and is asked for again is one want, which asks for both.
        let before = self.again.get(&cid).map(|answered| answered.wanted);
        let want = self.wants.entry(cid).or_insert_with(|| Wanted {
            block: before.is_some_and(|before| before.block),
            asks: before.is_some_and(|before| before.asks),
            life: tick,
            told: tick,
            absent: false,
        });
        want.block |= block;
        want.asks |= asks;
        want.told = tick;
        want.absent &= !asks;
    }

    /// A block is sent to it, of a size: not twice, and only what it wants. `wide`: no limit had it forgotten. Other answers
    /// are on their way to it.
    pub(crate) fn check_block<'a>(
        &mut self,
        cid: Cid,
        size: usize,
        wide: bool,
        mut in_flight: impl Iterator<Item = &'a Answer>,
    ) -> Answer {
        let peer = self.peer;
        let evicted = self.asked.remove(&cid) && !wide;
        let want = self.wants.get(&cid);
        let fresh = want.is_some_and(|want| want.block || size <= SMALL);
        let again = self.again.get(&cid).is_some_and(|put_back| put_back.block || size <= SMALL);
        assert!(fresh || again || evicted, "{cid} to {peer}, who wants {want:?}");
        let life = want.map(|want| want.life);
        let twice = in_flight.any(|a| a.block && a.cid == cid && a.life == life);
        assert!(!twice || again || evicted, "{cid} twice to {peer}");
        let told = want.map_or(0, |want| want.told);
        Answer { cid, block: true, have: false, life, told }
    }

    /// HAVE or DONT_HAVE is sent to it: only where it was asked for.
    pub(crate) fn check_presence(&mut self, presence: &Presence, wide: bool) -> Answer {
        let Presence { cid, have, .. } = *presence;
        let again = self.again.contains_key(&cid);
        let want = self.wants.get_mut(&cid);
        let (life, told) = want.as_ref().map_or((None, 0), |want| (Some(want.life), want.told));
        if let Some(want) = want {
            assert!(have || want.asks, "DONT_HAVE that nobody asked for");
            want.absent |= !have;
        } else {
            // Its answer was on its way, and forgotten, when it was asked for again.
            let evicted = self.asked.remove(&cid) && !wide;
            assert!(again || evicted, "a presence that nobody asked for");
        }
        Answer { cid, block: false, have, life, told }
    }

    /// The transport took an answer.
    pub(crate) fn answered(&mut self, answer: Answer, at: u64) {
        let same = |want: &&Wanted| Some(want.life) == answer.life;
        let want = self.wants.get(&answer.cid).filter(same).copied();
        // An answer to a want that had begun anew before it was put back is no answer to this one.
        let same =
            |put_back: &&Answered| answer.life.is_none_or(|life| life == put_back.wanted.life);
        let put_back = self.again.get(&answer.cid).filter(same).copied();
        if answer.block {
            if let Some(wanted) = want.or_else(|| put_back.map(|put_back| put_back.wanted)) {
                self.wants.retain(|cid, _| *cid != answer.cid || want.is_none());
                self.again.remove(&answer.cid);
                self.ended.insert(answer.cid, Answered { block: true, wanted, at });
            }
        } else if answer.have {
            if let Some(want) = want
                && !want.block
                && want.told == answer.told
            {
                self.wants.remove(&answer.cid);
                self.again.remove(&answer.cid);
                self.ended.insert(answer.cid, Answered { block: false, wanted: want, at });
            } else if let Some(put_back) = put_back
                && want.is_none()
                && !put_back.block
                && (answer.life.is_none() || answer.told == put_back.wanted.told)
            {
                self.again.remove(&answer.cid);
                self.ended.insert(answer.cid, Answered { at, ..put_back });
            }
        }
    }

    /// Everything is answered: it wants only what is not there, and was told that if it asks. What it wants is returned.
    pub(crate) fn check_rest(&self, is_there: impl Fn(&Cid) -> bool) -> Vec<Cid> {
        let peer = self.peer;
        for (cid, want) in &self.wants {
            assert!(!is_there(cid), "{peer} still wants {cid}: {want:?}");
            assert!(!want.asks || want.absent, "{peer} was not told that {cid} is missing");
        }
        self.wants.keys().copied().collect()
    }
}
