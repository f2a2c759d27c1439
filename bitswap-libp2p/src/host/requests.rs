//! The gets of single blocks: who waits for which, and how far each block is.
//!
//! Pure bookkeeping. A block is looked up in the local store; if it is not there it is wanted, and looked up once
//! more, because it may have been stored in between and the engine was not notified for a want that it did not
//! know yet. All gets of a block end together.

use std::collections::HashMap;

use bitswap_core::SessionId;
use cid::Cid;

use crate::event::RequestId;

/// Names one lookup in the local store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FindId(u64);

/// The gets that have not ended.
#[derive(Debug, Default)]
pub(super) struct Requests {
    /// The session in which blocks are wanted, once there is one.
    session: Option<SessionId>,
    begun: u64,
    finds: u64,
    cids: HashMap<RequestId, Cid>,
    wanted: HashMap<Cid, Wanted>,
}

/// A block that somebody waits for.
#[derive(Debug)]
struct Wanted {
    waiting: Vec<RequestId>,
    stage: Stage,
    find: FindId,
}

/// How far the get of a block is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// It is looked up, and not wanted yet.
    LookedUp,
    /// It is wanted; the second lookup may be under way.
    Wanted,
    /// The want ended because the store has it; it is fetched from there.
    Stored,
}

impl Requests {
    /// A new get of a block. The lookup that must begin, unless the block is being got already.
    pub(super) fn begin(&mut self, cid: Cid) -> (RequestId, Option<FindId>) {
        let id = RequestId(self.begun);
        self.begun += 1;
        self.cids.insert(id, cid);
        if let Some(wanted) = self.wanted.get_mut(&cid) {
            wanted.waiting.push(id);
            return (id, None);
        }
        let find = self.next_find();
        self.wanted.insert(cid, Wanted { waiting: vec![id], stage: Stage::LookedUp, find });
        (id, Some(find))
    }

    /// Goes on to a stage; the lookup that must begin, if somebody waits for the block.
    pub(super) fn advance(&mut self, cid: &Cid, stage: Stage) -> Option<FindId> {
        let find = self.next_find();
        let wanted = self.wanted.get_mut(cid)?;
        (wanted.stage, wanted.find) = (stage, find);
        Some(find)
    }

    /// The stage of the block that this lookup is for; `None` when nobody waits for its answer.
    pub(super) fn found(&self, cid: &Cid, find: FindId) -> Option<Stage> {
        self.wanted.get(cid).filter(|wanted| wanted.find == find).map(|wanted| wanted.stage)
    }

    /// Ends all gets of a block.
    pub(super) fn end(&mut self, cid: &Cid) -> Vec<RequestId> {
        let ended = self.wanted.remove(cid).map(|wanted| wanted.waiting).unwrap_or_default();
        for id in &ended {
            self.cids.remove(id);
        }
        ended
    }

    /// Ends one get. Its block, if nobody else waits for it.
    pub(super) fn cancel(&mut self, id: RequestId) -> Option<Cid> {
        let cid = self.cids.remove(&id)?;
        let wanted = self.wanted.get_mut(&cid)?;
        wanted.waiting.retain(|waiting| *waiting != id);
        if !wanted.waiting.is_empty() {
            return None;
        }
        self.wanted.remove(&cid);
        Some(cid)
    }

    /// The session in which blocks are wanted.
    pub(super) const fn session(&self) -> Option<SessionId> {
        self.session
    }

    /// The session was opened.
    pub(super) const fn opened(&mut self, session: SessionId) {
        self.session = Some(session);
    }

    /// Whether no get is under way.
    pub(super) fn is_empty(&self) -> bool {
        self.cids.is_empty()
    }

    const fn next_find(&mut self) -> FindId {
        self.finds += 1;
        FindId(self.finds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cid(number: u8) -> Cid {
        *bitswap_core::Block::raw(vec![number]).cid()
    }

    #[test]
    fn gets_of_one_block_share_its_lookup_and_end_together() {
        let mut requests = Requests::default();
        let (first, find) = requests.begin(cid(1));
        let find = find.unwrap();
        let (second, none) = requests.begin(cid(1));
        assert_eq!(none, None);
        assert_eq!(requests.found(&cid(1), find), Some(Stage::LookedUp));
        let again = requests.advance(&cid(1), Stage::Wanted).unwrap();
        assert_eq!(requests.found(&cid(1), find), None, "the answer of an earlier stage");
        assert_eq!(requests.found(&cid(1), again), Some(Stage::Wanted));
        assert_eq!(requests.end(&cid(1)), [first, second]);
        assert!(requests.is_empty() && requests.wanted.is_empty());
    }

    #[test]
    fn a_block_is_given_up_with_the_last_get_that_waits_for_it() {
        let mut requests = Requests::default();
        let ((first, _), (second, _)) = (requests.begin(cid(1)), requests.begin(cid(1)));
        assert_eq!(requests.cancel(first), None);
        assert_eq!(requests.cancel(first), None, "it has ended");
        assert_eq!(requests.cancel(second), Some(cid(1)));
        assert_eq!(requests.advance(&cid(1), Stage::Wanted), None, "nobody waits");
        assert!(requests.is_empty() && requests.wanted.is_empty());
    }
}
