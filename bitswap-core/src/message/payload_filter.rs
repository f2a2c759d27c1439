//! What of a peer's blocks is worth hashing.

use alloc::collections::BTreeMap;

use super::Message;
use crate::limits::PAYLOAD_SLACK;
use crate::prefix::Prefix;

/// Prefixes remembered at most. A peer is never sent that many wants at a time, so of those that
/// wait for their blocks none is forgotten.
const PREFIXES_MAX: usize = 1024;

/// Which payloads of one peer are hashed and which are dropped unread.
///
/// Hashing is the costliest thing a peer can make us do, and the peer picks hash and size. So it is
/// done only for what the peer was asked for: a payload under a prefix that was never asked of it is
/// rejected, and so are more payloads than wants that it was sent plus a slack of 64. Over the life
/// of a value, at most *wants sent + 64* payloads are admitted.
///
/// A want-have counts as much as a want-block, since a small block may answer it; a want sent again
/// counts again, since it may be answered again. A cancel takes nothing back: the block may be under
/// way.
///
/// Memory is at most 1024 prefixes (about 60 KiB); the one sent least recently is dropped.
#[derive(Clone, Debug, Default)]
pub struct PayloadFilter {
    /// Each prefix asked for, with the number of the want that named it last.
    prefixes: BTreeMap<Prefix, u64>,
    wants_sent: u64,
    admitted: u64,
    rejected: Rejected,
}

/// Payloads that were rejected and not hashed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Rejected {
    /// Under a prefix that this peer was never asked for.
    pub not_asked: u64,
    /// More than this peer was asked for.
    pub too_many: u64,
}

impl PayloadFilter {
    /// A value for a peer that was sent nothing.
    #[must_use]
    pub const fn new() -> Self {
        let rejected = Rejected { not_asked: 0, too_many: 0 };
        Self { prefixes: BTreeMap::new(), wants_sent: 0, admitted: 0, rejected }
    }

    /// Must see every message that is sent to the peer, before its answer can arrive.
    pub fn sent(&mut self, message: &Message) {
        for entry in message.wantlist.entries.iter().filter(|entry| !entry.cancel) {
            let Ok(prefix) = Prefix::of(&entry.cid) else { continue };
            self.wants_sent = self.wants_sent.saturating_add(1);
            self.prefixes.insert(prefix, self.wants_sent);
            if self.prefixes.len() > PREFIXES_MAX {
                self.forget_oldest();
            }
        }
    }

    /// Whether to hash a payload under this prefix; counts it either way.
    pub fn admit(&mut self, prefix: &Prefix) -> bool {
        if !self.prefixes.contains_key(prefix) {
            self.rejected.not_asked = self.rejected.not_asked.saturating_add(1);
            return false;
        }
        if self.admitted >= self.wants_sent.saturating_add(PAYLOAD_SLACK.into()) {
            self.rejected.too_many = self.rejected.too_many.saturating_add(1);
            return false;
        }
        self.admitted = self.admitted.saturating_add(1);
        true
    }

    /// What was rejected so far.
    #[must_use]
    pub const fn rejected(&self) -> Rejected {
        self.rejected
    }

    fn forget_oldest(&mut self) {
        let oldest = self.prefixes.iter().min_by_key(|(_, sent)| **sent);
        if let Some(prefix) = oldest.map(|(prefix, _)| *prefix) {
            self.prefixes.remove(&prefix);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Entry, WantKind};
    use cid::Cid;
    use cid::multihash::Multihash;

    fn want(codec: u64, count: usize, kind: WantKind) -> Message {
        let cid = Cid::new_v1(codec, Multihash::wrap(0x12, &[1; 32]).unwrap());
        let mut message = Message::default();
        message.wantlist.entries.resize(count, Entry::want(cid, kind, 0, false));
        message
    }

    fn prefix(codec: u64) -> Prefix {
        Prefix::of(&want(codec, 1, WantKind::Block).wantlist.entries[0].cid).unwrap()
    }

    #[test]
    fn nothing_is_hashed_that_was_never_asked() {
        let mut filter = PayloadFilter::new();
        assert!(!filter.admit(&prefix(0x55)));
        filter.sent(&want(0x55, 1, WantKind::Block));
        assert!(filter.admit(&prefix(0x55)));
        assert!(!filter.admit(&prefix(0x70)));
        assert!(!filter.admit(&Prefix::V0));
        assert_eq!(filter.rejected(), Rejected { not_asked: 3, too_many: 0 });
    }

    #[test]
    fn admits_what_was_told_and_the_slack() {
        for kind in [WantKind::Have, WantKind::Block] {
            let mut filter = PayloadFilter::new();
            filter.sent(&want(0x55, 10, kind));
            let admitted = (0..200).filter(|_| filter.admit(&prefix(0x55))).count();
            assert_eq!(admitted, 74);
            assert_eq!(filter.rejected(), Rejected { not_asked: 0, too_many: 126 });
            filter.sent(&want(0x55, 1, kind));
            assert!(filter.admit(&prefix(0x55)));
            assert!(!filter.admit(&prefix(0x55)));
        }
    }

    #[test]
    fn a_cancel_neither_gives_nor_takes() {
        let mut filter = PayloadFilter::new();
        let mut cancel = want(0x55, 1, WantKind::Block);
        cancel.wantlist.entries[0].cancel = true;
        filter.sent(&cancel);
        assert!(!filter.admit(&prefix(0x55)));
        filter.sent(&want(0x55, 1, WantKind::Block));
        filter.sent(&cancel);
        assert!(filter.admit(&prefix(0x55)));
    }

    #[test]
    fn the_prefix_told_least_recently_gives_way() {
        let mut filter = PayloadFilter::new();
        for codec in 0..PREFIXES_MAX as u64 {
            filter.sent(&want(codec, 1, WantKind::Block));
        }
        filter.sent(&want(0, 1, WantKind::Block));
        filter.sent(&want(5000, 1, WantKind::Block));
        assert_eq!(filter.prefixes.len(), PREFIXES_MAX);
        assert!(filter.admit(&prefix(0)));
        assert!(!filter.admit(&prefix(1)));
        assert!(filter.admit(&prefix(2)));
        assert!(filter.admit(&prefix(5000)));
    }
}
