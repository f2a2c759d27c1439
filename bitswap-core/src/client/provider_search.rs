//! Provider lookups: which are under way, for which session, and when a session searches next.

use alloc::collections::BTreeMap;
use core::time::Duration;

use super::session::Session;
use super::want_table::Want;
use crate::memory::tree;
use crate::time::Timestamp;
use crate::util::rows::{Id, Ref};

/// Lookups under way, of all sessions together.
pub(super) const LOOKUPS_MAX: usize = 64;
/// How often the search interval doubles.
const DOUBLINGS_MAX: u32 = 6;
/// Searches without progress after which silence of a peer that cannot say DONT_HAVE counts as one.
const PATIENCE: u32 = 3;

/// A provider lookup under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lookup {
    pub(super) id: u64,
    pub(super) want: Id<Want>,
}

/// The lookups of all sessions. Each session has one at most, and both know of it.
#[derive(Debug, Default)]
pub(super) struct Lookups {
    under_way: BTreeMap<u64, Ref<Session>>,
    next: u64,
}

impl Lookups {
    /// Starts one for a session that has none, if there is room.
    pub(super) fn start(
        &mut self,
        session: Ref<Session>,
        state: &mut SearchState,
        want: Id<Want>,
    ) -> Option<u64> {
        if state.lookup.is_some() || self.under_way.len() >= LOOKUPS_MAX {
            return None;
        }
        let id = self.next;
        self.next += 1;
        self.under_way.insert(id, session);
        state.lookup = Some(Lookup { id, want });
        Some(id)
    }

    /// The session that a lookup is for.
    pub(super) fn session(&self, id: u64) -> Option<Ref<Session>> {
        self.under_way.get(&id).copied()
    }

    /// Ends the lookup of a session, if it has one and `which` holds for it.
    pub(super) fn end(
        &mut self,
        state: &mut SearchState,
        which: impl FnOnce(&Lookup) -> bool,
    ) -> Option<Lookup> {
        let lookup = state.lookup.take_if(|lookup| which(lookup))?;
        let known = self.under_way.remove(&lookup.id);
        debug_assert!(known.is_some(), "a session has a lookup that is not under way");
        Some(lookup)
    }

    /// Gives up what an empty map keeps for the next time.
    pub(super) fn release(&mut self) {
        if self.under_way.is_empty() {
            self.under_way = BTreeMap::new();
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.under_way.len() * size_of::<(u64, Ref<Session>)>() * 3 / 2
    }

    pub(super) const fn bytes_max() -> u64 {
        tree::<(u64, Ref<Session>)>(LOOKUPS_MAX as u64)
    }

    #[cfg(any(test, feature = "testing"))]
    pub(super) fn len(&self) -> usize {
        self.under_way.len()
    }
}

/// How far a session has searched.
#[derive(Debug, Default)]
pub(super) struct SearchState {
    lookup: Option<Lookup>,
    /// The armed timer.
    due: Option<Timestamp>,
    /// Searches in a row without progress.
    fruitless: u32,
    last_progress: Option<Timestamp>,
}

impl SearchState {
    pub(super) const fn lookup(&self) -> Option<Lookup> {
        self.lookup
    }

    /// Sets the timer; the one before.
    pub(super) const fn set_due(&mut self, at: Option<Timestamp>) -> Option<Timestamp> {
        core::mem::replace(&mut self.due, at)
    }

    pub(super) const fn due(&self) -> Option<Timestamp> {
        self.due
    }

    /// When it made progress, if that is less than `interval` ago.
    pub(super) fn recent_progress(&self, interval: Duration, now: Timestamp) -> Option<Timestamp> {
        self.last_progress.filter(|last| now.since(*last) < interval)
    }

    /// A want has ended well; whether searches before it were in vain, so that pauses had grown long.
    pub(super) const fn progress(&mut self, now: Timestamp) -> bool {
        self.last_progress = Some(now);
        core::mem::replace(&mut self.fruitless, 0) > 0
    }

    /// It searches because it makes no progress; the pause until it does so again.
    pub(super) fn search(&mut self, interval: Duration) -> Duration {
        let pause = interval.saturating_mul(1 << self.fruitless.min(DOUBLINGS_MAX));
        self.fruitless = self.fruitless.saturating_add(1);
        pause.max(Duration::from_micros(1))
    }

    /// It has not searched since it made progress.
    pub(super) const fn is_first(&self) -> bool {
        self.fruitless == 0
    }

    /// Peers that cannot say DONT_HAVE were waited for long enough.
    pub(super) const fn is_out_of_patience(&self) -> bool {
        self.fruitless >= PATIENCE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn pauses_double_until_there_is_progress() {
        let mut state = SearchState::default();
        let pauses: alloc::vec::Vec<u64> = (0..9).map(|_| state.search(SECOND).as_secs()).collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 64, 64, 64]);
        assert!(state.is_out_of_patience() && !state.is_first());
        let now = Timestamp::from_micros(5_000_000);
        assert!(state.progress(now), "the pauses had grown");
        assert!(!state.progress(now) && state.is_first());
        assert_eq!(state.search(Duration::ZERO), Duration::from_micros(1));
        assert_eq!(state.recent_progress(SECOND, now + SECOND / 2), Some(now));
        assert_eq!(state.recent_progress(SECOND, now + SECOND), None);
    }

    #[test]
    fn a_session_has_one_lookup_and_all_together_have_few() {
        let mut lookups = Lookups::default();
        let want = Id::from_bits(3);
        let mut states: alloc::vec::Vec<SearchState> = Default::default();
        for place in 0..LOOKUPS_MAX as u32 {
            let mut state = SearchState::default();
            let session = Ref::from_place(place);
            let id = lookups.start(session, &mut state, want).unwrap();
            assert_eq!(lookups.start(session, &mut state, want), None);
            assert_eq!((lookups.session(id), id), (Some(session), u64::from(place)));
            states.push(state);
        }
        let mut more = SearchState::default();
        assert_eq!(lookups.start(Ref::from_place(99), &mut more, want), None);
        assert_eq!(lookups.end(&mut states[5], |_| false), None);
        let ended = lookups.end(&mut states[5], |lookup| lookup.want == want);
        assert_eq!(ended, Some(Lookup { id: 5, want }));
        assert_eq!((lookups.session(5), states[5].lookup()), (None, None));
        assert!(lookups.start(Ref::from_place(99), &mut more, want).is_some());
    }

    #[test]
    fn a_lookup_takes_its_entry_and_half_of_that() {
        let mut lookups = Lookups::default();
        let mut states = [(); 6].map(|()| SearchState::default());
        for (place, state) in (0..).zip(&mut states) {
            lookups.start(Ref::from_place(place), state, Id::from_bits(1)).unwrap();
        }
        assert_eq!(lookups.bytes(), 9 * size_of::<(u64, Ref<Session>)>());
        assert_eq!(lookups.end(&mut states[2], |lookup| lookup.id == 3), None);
        assert_eq!(lookups.end(&mut states[2], |lookup| lookup.id == 2).map(|it| it.id), Some(2));
        assert_eq!((lookups.session(2), lookups.session(3)), (None, Some(Ref::from_place(3))));
    }
}
