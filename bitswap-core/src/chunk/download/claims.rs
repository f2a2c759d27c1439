//! What the journal on disk claims of the temporary file, and what it may claim next.
//!
//! Every claim is durable: it was synced before it was saved. What an earlier run claimed and this one has
//! neither hashed nor written is *unverified*; it is always among the claims.

use alloc::vec::Vec;
use core::ops::Range;

use bytes::Bytes;

use super::effects::Stamp;
use super::journal::{Journal, PartId};
use super::options::{DownloadOptions, Resume};
use super::source::SourceFile;
use super::verification::VerificationPlan;
use crate::chunk::range_set::RangeSet;
use crate::rng::Rng;

/// Ranges that a sampled resume compares.
const SAMPLES: u64 = 16;

/// How a transfer starts: which bytes are written, and which are compared before they are requested.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    have: RangeSet,
    verification: VerificationPlan,
    present: u64,
}

impl Plan {
    /// Without claims: all that the temporary file has is compared.
    pub(super) fn without_claims(temp_len: u64, target_len: u64) -> Self {
        let (have, present) = (RangeSet::new(), temp_len.min(target_len));
        Self { have, verification: VerificationPlan::Below(temp_len), present }
    }

    /// The comparison of a whole file with the DAG; what lies beyond its end differs.
    pub(super) fn comparison() -> Self {
        let (have, verification) = (RangeSet::new(), VerificationPlan::Below(u64::MAX));
        Self { have, verification, present: 0 }
    }

    /// Bytes that take no more space on the disk.
    pub(super) const fn present(&self) -> u64 {
        self.present
    }

    pub(super) fn into_parts(self) -> (RangeSet, VerificationPlan) {
        (self.have, self.verification)
    }
}

/// See the [module](self).
#[derive(Clone, Debug)]
pub(super) struct Claims {
    id: PartId,
    /// What the journal on disk claims, or may.
    durable: RangeSet,
    unverified: RangeSet,
    /// Disproved while a checkpoint runs: its sync made nothing of that true.
    disproved: RangeSet,
    /// The unverified bytes are compared before the end, and until then do not count as written.
    must_verify: bool,
}

impl Claims {
    /// No claims on a new temporary file, whose id is drawn from the seed.
    pub(super) fn new(seed: &[u8; 32]) -> Self {
        let mut rng = Rng::new(seed, "part id");
        let mut id = PartId::default();
        for word in id.chunks_mut(8) {
            word.copy_from_slice(&rng.next_u64().to_le_bytes());
        }
        let none = RangeSet::new();
        let (durable, unverified, disproved) = (none.clone(), none.clone(), none);
        Self { id, durable, unverified, disproved, must_verify: false }
    }

    /// The id of the temporary file.
    pub(super) const fn id(&self) -> &PartId {
        &self.id
    }

    /// Takes over the claims of an earlier run's journal, and plans what of them is compared. The file
    /// `is_unchanged` since the journal was saved, as far as its metadata shows.
    pub(super) fn adopt(
        &mut self,
        journal: Journal,
        is_unchanged: bool,
        options: &DownloadOptions,
    ) -> Plan {
        self.id = journal.id;
        self.durable = journal.have;
        self.unverified = self.durable.clone();
        self.must_verify = !is_unchanged || options.resume() == Resume::Full;
        let mut plan = self.plan(self.durable.clone());
        if is_unchanged && options.resume() == Resume::Sample {
            plan.verification = VerificationPlan::Samples(self.samples(&options.seed));
        }
        plan
    }

    /// The plan for a temporary file that is opened again: only what is durable is left of it.
    pub(super) fn replan(&self) -> Plan {
        self.plan(self.durable.clone())
    }

    /// Some trusted bytes are wrong: the plan that compares all of them, while `have` is written.
    pub(super) fn reverify(&mut self, have: RangeSet) -> Plan {
        self.must_verify = true;
        self.plan(have)
    }

    /// A range was hashed, or written.
    pub(super) fn verified(&mut self, range: Range<u64>) {
        self.unverified.remove(range);
    }

    /// A range on disk is not what was claimed.
    pub(super) fn disproved(&mut self, range: Range<u64>) {
        self.durable.remove(range.clone());
        self.unverified.remove(range.clone());
        self.disproved.insert(range);
    }

    /// A checkpoint begins: what the journal may claim when its sync succeeds and `have` is written.
    pub(super) fn begin_checkpoint(&mut self, have: Option<&RangeSet>) -> RangeSet {
        self.disproved = RangeSet::new();
        self.next(have)
    }

    /// The sync of a checkpoint succeeded: returns what of its claims is true.
    pub(super) fn synced(&mut self, mut claims: RangeSet) -> RangeSet {
        for range in self.disproved.iter() {
            claims.remove(range);
        }
        self.durable.clone_from(&claims);
        claims
    }

    /// How many bytes of an earlier run are not verified.
    pub(super) const fn unverified(&self) -> u64 {
        self.unverified.total()
    }

    /// How many of them will be, and do not count as written until then.
    pub(super) const fn to_verify(&self) -> u64 {
        if self.must_verify { self.unverified.total() } else { 0 }
    }

    /// Whether a stamp may cover all claims: none of them is to be compared.
    pub(super) const fn may_stamp(&self) -> bool {
        self.to_verify() == 0
    }

    /// How many bytes are written and not claimed, when `have` bytes are written.
    pub(super) fn dirty(&self, have: u64) -> u64 {
        (have + self.to_verify()).saturating_sub(self.durable.total())
    }

    /// Whether the journal on disk claims just these.
    pub(super) fn are(&self, claims: &RangeSet) -> bool {
        self.durable == *claims
    }

    /// What the journal may claim once everything written is durable: `have`, and what an earlier run claimed
    /// until it is disproved. While nothing is fetched: what it claims now.
    pub(super) fn next(&self, have: Option<&RangeSet>) -> RangeSet {
        let Some(have) = have else { return self.durable.clone() };
        let mut claims = have.clone();
        for range in self.unverified.iter() {
            claims.insert(range);
        }
        claims
    }

    /// The journal that claims `have`.
    pub(super) fn journal(
        &self,
        source: &SourceFile,
        have: RangeSet,
        stamp: Option<Stamp>,
    ) -> Bytes {
        let (root, wanted) = (*source.root(), source.wanted().clone());
        Journal { id: self.id, stamp, root, wanted, size: source.size(), have }.encode()
    }

    fn plan(&self, mut have: RangeSet) -> Plan {
        let present = self.durable.total();
        if !self.must_verify {
            return Plan { have, verification: VerificationPlan::Nothing, present };
        }
        for range in self.unverified.iter() {
            have.remove(range);
        }
        let verification = VerificationPlan::Within(self.unverified.clone());
        Plan { have, verification, present }
    }

    /// Positions drawn from what is claimed, and always the last one.
    fn samples(&self, seed: &[u8; 32]) -> Vec<u64> {
        let (claimed, total) = (&self.durable, self.durable.total());
        let mut rng = Rng::new(seed, "resume samples");
        let mut skips: Vec<u64> = (0..SAMPLES).map(|_| rng.below(total)).collect();
        skips.push(total.saturating_sub(1));
        let position = |skip: u64| {
            let mut left = skip;
            claimed.iter().find_map(|range| {
                let len = range.end - range.start;
                if left < len {
                    return Some(range.start + left);
                }
                left -= len;
                None
            })
        };
        skips.into_iter().filter_map(position).collect()
    }

    /// Checks the structure.
    ///
    /// # Panics
    ///
    /// When something unverified is not claimed.
    #[cfg(any(test, feature = "testing"))]
    pub(super) fn validate(&self) {
        self.durable.validate();
        self.unverified.validate();
        for range in self.unverified.iter() {
            assert!(self.durable.contains(&range), "{range:?} is unverified and not claimed");
        }
    }
}

#[cfg(test)]
mod tests {
    use cid::Cid;
    use proptest::prelude::*;

    use super::*;

    const LEN: u64 = 40;

    fn adopted(claimed: RangeSet, is_unchanged: bool, resume: Resume) -> (Claims, Plan) {
        let options = DownloadOptions { resume, ..DownloadOptions::default() };
        let (root, wanted) = (Cid::default(), 0..u64::MAX);
        let journal = Journal { id: [7; 16], stamp: None, root, wanted, size: LEN, have: claimed };
        let mut claims = Claims::new(&[1; 32]);
        let plan = claims.adopt(journal, is_unchanged, &options);
        (claims, plan)
    }

    #[test]
    fn what_is_compared_follows_the_choice_and_the_stamp() {
        let claimed = RangeSet::from_iter([5..10, 20..30]);
        for (is_unchanged, resume) in
            [(true, Resume::Full), (false, Resume::Sample), (false, Resume::Changed)]
        {
            let (claims, plan) = adopted(claimed.clone(), is_unchanged, resume);
            let (have, verification) = plan.into_parts();
            assert_eq!(verification, VerificationPlan::Within(claimed.clone()));
            assert_eq!((have.total(), claims.to_verify(), claims.may_stamp()), (0, 15, false));
        }
        let (claims, plan) = adopted(claimed.clone(), true, Resume::Changed);
        assert_eq!((claims.to_verify(), claims.unverified()), (0, 15));
        assert_eq!(plan.into_parts(), (claimed.clone(), VerificationPlan::Nothing));
        let (_, plan) = adopted(claimed.clone(), true, Resume::Sample);
        let VerificationPlan::Samples(at) = plan.into_parts().1 else { panic!("samples") };
        assert_eq!((at.len(), at.last()), (SAMPLES as usize + 1, Some(&29)));
        assert!(at.iter().all(|at| claimed.contains(&(*at..*at + 1))));
    }

    proptest! {
        /// Against one flag per byte: claimed, unverified, written.
        #[test]
        fn claims_are_what_was_synced_and_not_disproved(
            claimed in proptest::collection::vec((0..LEN, 0..LEN), 0..4),
            ops in proptest::collection::vec((0..4u8, 0..LEN, 0..LEN), 0..30),
        ) {
            let claimed: RangeSet = claimed.into_iter().map(|(from, to)| from..to).collect();
            let (mut claims, plan) = adopted(claimed, false, Resume::Full);
            let (mut have, _) = plan.into_parts();
            for (op, from, to) in ops {
                let range = from..to.max(from);
                match op {
                    // Compared and equal, or fetched and written.
                    0 => {
                        have.insert(range.clone());
                        claims.verified(range.clone());
                        prop_assert!(claims.next(Some(&have)).contains(&range));
                    }
                    1 => {
                        have.remove(range.clone());
                        claims.disproved(range.clone());
                        prop_assert_eq!(claims.next(Some(&have)).covered(&range), 0);
                        prop_assert_eq!(claims.next(None).covered(&range), 0);
                    }
                    2 => {
                        let next = claims.begin_checkpoint(Some(&have));
                        prop_assert_eq!(&claims.synced(next.clone()), &next);
                        prop_assert!(claims.are(&next));
                        prop_assert_eq!(claims.dirty(have.total()), 0);
                    }
                    _ => {
                        let plan = claims.replan();
                        prop_assert_eq!(plan.present(), claims.next(None).total());
                        (have, _) = plan.into_parts();
                    }
                }
                claims.validate();
            }
        }
    }
}
