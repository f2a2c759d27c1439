//! The wants of one session, by how far they have come.
//!
//! Each of them is in the list of its stage, and in no other; the bytes that are asked for are the sum over
//! the list of those asked.

use alloc::collections::BTreeMap;
use core::cmp::Reverse;

use super::session_want::{SessionWant, Stage};
use super::want_table::OfSession;
use crate::rng::Rng;
use crate::util::list::List;
use crate::util::rows::{Ref, Rows};

type Wants = List<SessionWant, OfSession>;

#[derive(Debug, Default)]
pub(super) struct WantQueue {
    /// Not asked yet, by priority, then in the order given.
    queued: BTreeMap<Reverse<i32>, Wants>,
    queued_len: u32,
    asked: Wants,
    asked_bytes: u64,
    waiting: Wants,
    /// So many of the waiting, from the front, are to be looked at again.
    recheck: u32,
    ended: Wants,
}

impl WantQueue {
    /// Adds a want that is in no list, in the list of its stage.
    pub(super) fn insert(&mut self, rows: &mut Rows<SessionWant>, at: Ref<SessionWant>) {
        let Some(want) = rows.at(at) else {
            debug_assert!(false, "a want joins its session without a row");
            return;
        };
        let (stage, priority, size) = (want.stage(), want.priority(), u64::from(want.size()));
        match stage {
            Stage::Queued => {
                self.queued.entry(Reverse(priority)).or_default().push_back(rows, at);
                self.queued_len += 1;
            }
            Stage::Asked => {
                self.asked.push_back(rows, at);
                self.asked_bytes += size;
            }
            Stage::Waiting => self.waiting.push_back(rows, at),
            Stage::Ended(_) => self.ended.push_back(rows, at),
        }
    }

    /// Takes a want out of the list of its stage.
    pub(super) fn remove(&mut self, rows: &mut Rows<SessionWant>, at: Ref<SessionWant>) {
        let Some(want) = rows.at(at) else {
            debug_assert!(false, "a want leaves its session without a row");
            return;
        };
        let (stage, priority, size) = (want.stage(), want.priority(), u64::from(want.size()));
        match stage {
            Stage::Queued => {
                let Some(list) = self.queued.get_mut(&Reverse(priority)) else {
                    debug_assert!(false, "a queued want is in no list");
                    return;
                };
                list.remove(rows, at);
                self.queued_len -= 1;
                if list.is_empty() {
                    self.queued.remove(&Reverse(priority));
                }
            }
            Stage::Asked => {
                self.asked.remove(rows, at);
                self.asked_bytes = self.asked_bytes.saturating_sub(size);
            }
            Stage::Waiting => {
                self.waiting.remove(rows, at);
                self.recheck = self.recheck.min(self.waiting.len());
            }
            Stage::Ended(_) => self.ended.remove(rows, at),
        }
    }

    /// Moves a want to another stage.
    pub(super) fn move_to(
        &mut self,
        rows: &mut Rows<SessionWant>,
        at: Ref<SessionWant>,
        stage: Stage,
    ) {
        self.remove(rows, at);
        if let Some(want) = rows.at_mut(at) {
            want.set_stage(stage);
        }
        self.insert(rows, at);
    }

    /// Moves a queued want to another priority.
    pub(super) fn set_priority(
        &mut self,
        rows: &mut Rows<SessionWant>,
        at: Ref<SessionWant>,
        priority: i32,
    ) {
        self.remove(rows, at);
        if let Some(want) = rows.at_mut(at) {
            want.set_priority(priority);
        }
        self.insert(rows, at);
    }

    /// The most urgent of those not asked yet.
    pub(super) fn first_queued(&self) -> Option<Ref<SessionWant>> {
        self.queued.values().next().and_then(List::first)
    }

    /// One of those not asked yet, when whoever fetches the same is not to ask in the same order: any of the first `among` of
    /// the highest priority. None goes before another that somebody waits for, which is what a priority above 0 says.
    pub(super) fn any_queued(
        &self,
        rows: &Rows<SessionWant>,
        among: u32,
        rng: &mut Rng,
    ) -> Option<Ref<SessionWant>> {
        let (Reverse(priority), list) = self.queued.first_key_value()?;
        if *priority > 0 {
            return list.first();
        }
        let place = rng.below(list.len().min(among).into());
        list.iter(rows).nth(place as usize).map(|(at, _)| at)
    }

    /// Those of the highest priority that are not asked yet, first to last.
    pub(super) fn most_urgent<'a>(
        &self,
        rows: &'a Rows<SessionWant>,
    ) -> impl Iterator<Item = (Ref<SessionWant>, &'a SessionWant)> + use<'a> {
        self.queued.values().next().map(|list| list.iter(rows)).into_iter().flatten()
    }

    pub(super) fn asked<'a>(
        &self,
        rows: &'a Rows<SessionWant>,
    ) -> impl Iterator<Item = (Ref<SessionWant>, &'a SessionWant)> + use<'a> {
        self.asked.iter(rows)
    }

    pub(super) fn waiting<'a>(
        &self,
        rows: &'a Rows<SessionWant>,
    ) -> impl Iterator<Item = (Ref<SessionWant>, &'a SessionWant)> + use<'a> {
        self.waiting.iter(rows)
    }

    pub(super) const fn first_asked(&self) -> Option<Ref<SessionWant>> {
        self.asked.first()
    }

    pub(super) const fn first_waiting(&self) -> Option<Ref<SessionWant>> {
        self.waiting.first()
    }

    pub(super) const fn first_ended(&self) -> Option<Ref<SessionWant>> {
        self.ended.first()
    }

    /// Some want that has not ended.
    pub(super) fn any_live(&self) -> Option<Ref<SessionWant>> {
        self.first_queued().or_else(|| self.first_asked()).or_else(|| self.first_waiting())
    }

    pub(super) const fn queued_len(&self) -> u32 {
        self.queued_len
    }

    pub(super) const fn asked_len(&self) -> u32 {
        self.asked.len()
    }

    pub(super) const fn waiting_len(&self) -> u32 {
        self.waiting.len()
    }

    /// Wants that have not ended.
    pub(super) const fn live_len(&self) -> u32 {
        self.queued_len + self.asked.len() + self.waiting.len()
    }

    /// Estimated bytes of the asked ones.
    pub(super) const fn asked_bytes(&self) -> u64 {
        self.asked_bytes
    }

    /// All that wait are to be looked at again.
    pub(super) const fn recheck_all(&mut self) {
        self.recheck = self.waiting.len();
    }

    pub(super) const fn recheck_none(&mut self) {
        self.recheck = 0;
    }

    pub(super) const fn recheck_len(&self) -> u32 {
        self.recheck
    }

    /// The next of those that are to be looked at again.
    pub(super) const fn next_recheck(&mut self) -> Option<Ref<SessionWant>> {
        if self.recheck == 0 {
            return None;
        }
        self.recheck -= 1;
        self.waiting.first()
    }

    /// Bytes held outside of the value itself.
    pub(super) fn heap_bytes(&self) -> usize {
        self.queued.len() * size_of::<(Reverse<i32>, Wants)>() * 3 / 2
    }

    /// The most bytes of the lists of so many wants of as many priorities.
    pub(super) const fn bytes_max(wants: u64) -> u64 {
        crate::memory::tree::<(Reverse<i32>, Wants)>(wants)
    }

    /// What is wrong with the lists, if anything; else how many wants they hold.
    #[cfg(any(test, feature = "testing"))]
    pub(super) fn validate(&self, rows: &Rows<SessionWant>) -> Result<u32, &'static str> {
        let mut queued = 0;
        for (Reverse(priority), list) in &self.queued {
            list.validate(rows)?;
            queued += list.len();
            let is_right =
                |want: &SessionWant| want.stage() == Stage::Queued && want.priority() == *priority;
            if list.is_empty() || !list.iter(rows).all(|(_, want)| is_right(want)) {
                return Err("a list of queued wants holds others, or none");
            }
        }
        for list in [&self.asked, &self.waiting, &self.ended] {
            list.validate(rows)?;
        }
        let mut bytes = 0;
        for (_, want) in self.asked.iter(rows) {
            bytes += u64::from(want.size());
            if want.stage() != Stage::Asked {
                return Err("a want among the asked is not asked");
            }
        }
        if !self.waiting.iter(rows).all(|(_, want)| want.stage() == Stage::Waiting)
            || !self.ended.iter(rows).all(|(_, want)| want.has_ended())
        {
            return Err("a want is in the list of another stage");
        }
        if (queued, bytes) != (self.queued_len, self.asked_bytes)
            || self.recheck > self.waiting.len()
        {
            return Err("a session's sums over its wants are wrong");
        }
        Ok(queued + self.asked.len() + self.waiting.len() + self.ended.len())
    }
}
