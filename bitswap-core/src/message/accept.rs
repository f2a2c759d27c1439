//! What of a peer's blocks is worth hashing.

use alloc::collections::BTreeMap;

use super::Message;
use crate::limits::ACCEPT_SLACK;
use crate::prefix::Prefix;

/// Prefixes remembered at most. A peer is never told that many wants at a time, so of those that
/// wait for their blocks none is forgotten.
const PREFIXES_MAX: usize = 1024;

/// Which payloads of one peer are hashed and which are dropped unread.
///
/// Hashing is the costliest thing a peer can make us do, and the peer picks hash and size. So it is
/// done only for what the peer was asked for: a payload under a prefix that was never asked of it is
/// refused, and so are more payloads than wants that it was told plus a slack of 64. Over the life
/// of a value, at most *told + 64* payloads are admitted.
///
/// A want-have counts as much as a want-block, since a small block may answer it; a want told again
/// counts again, since it may be answered again. A cancel takes nothing back: the block may be under
/// way.
///
/// Memory is at most 1024 prefixes (about 60 KiB); the one told least recently gives way.
#[derive(Clone, Debug, Default)]
pub struct Accept {
    /// Each prefix asked for, with the number of the want that named it last.
    prefixes: BTreeMap<Prefix, u64>,
    told: u64,
    admitted: u64,
    refused: Refused,
}

/// Payloads that were refused and not hashed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Refused {
    /// Under a prefix that this peer was never asked for.
    pub not_asked: u64,
    /// More than this peer was asked for.
    pub too_many: u64,
}

impl Accept {
    /// A value for a peer that was told nothing.
    #[must_use]
    pub const fn new() -> Self {
        let refused = Refused { not_asked: 0, too_many: 0 };
        Self { prefixes: BTreeMap::new(), told: 0, admitted: 0, refused }
    }

    /// Must see every message that is sent to the peer, before its answer can arrive.
    pub fn told(&mut self, message: &Message) {
        for entry in message.wantlist.entries.iter().filter(|entry| !entry.cancel) {
            let Ok(prefix) = Prefix::of(&entry.cid) else { continue };
            self.told = self.told.saturating_add(1);
            self.prefixes.insert(prefix, self.told);
            if self.prefixes.len() > PREFIXES_MAX {
                self.forget_oldest();
            }
        }
    }

    /// Whether to hash a payload under this prefix; counts it either way.
    pub fn admit(&mut self, prefix: &Prefix) -> bool {
        if !self.prefixes.contains_key(prefix) {
            self.refused.not_asked = self.refused.not_asked.saturating_add(1);
            return false;
        }
        if self.admitted >= self.told.saturating_add(ACCEPT_SLACK.into()) {
            self.refused.too_many = self.refused.too_many.saturating_add(1);
            return false;
        }
        self.admitted = self.admitted.saturating_add(1);
        true
    }

    /// What was refused so far.
    #[must_use]
    pub const fn refused(&self) -> Refused {
        self.refused
    }

    fn forget_oldest(&mut self) {
        let oldest = self.prefixes.iter().min_by_key(|(_, told)| **told);
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
        let mut accept = Accept::new();
        assert!(!accept.admit(&prefix(0x55)));
        accept.told(&want(0x55, 1, WantKind::Block));
        assert!(accept.admit(&prefix(0x55)));
        assert!(!accept.admit(&prefix(0x70)));
        assert!(!accept.admit(&Prefix::V0));
        assert_eq!(accept.refused(), Refused { not_asked: 3, too_many: 0 });
    }

    #[test]
    fn admits_what_was_told_and_the_slack() {
        for kind in [WantKind::Have, WantKind::Block] {
            let mut accept = Accept::new();
            accept.told(&want(0x55, 10, kind));
            let admitted = (0..200).filter(|_| accept.admit(&prefix(0x55))).count();
            assert_eq!(admitted, 74);
            assert_eq!(accept.refused(), Refused { not_asked: 0, too_many: 126 });
            accept.told(&want(0x55, 1, kind));
            assert!(accept.admit(&prefix(0x55)));
            assert!(!accept.admit(&prefix(0x55)));
        }
    }

    #[test]
    fn a_cancel_neither_gives_nor_takes() {
        let mut accept = Accept::new();
        let mut cancel = want(0x55, 1, WantKind::Block);
        cancel.wantlist.entries[0].cancel = true;
        accept.told(&cancel);
        assert!(!accept.admit(&prefix(0x55)));
        accept.told(&want(0x55, 1, WantKind::Block));
        accept.told(&cancel);
        assert!(accept.admit(&prefix(0x55)));
    }

    #[test]
    fn the_prefix_told_least_recently_gives_way() {
        let mut accept = Accept::new();
        for codec in 0..PREFIXES_MAX as u64 {
            accept.told(&want(codec, 1, WantKind::Block));
        }
        accept.told(&want(0, 1, WantKind::Block));
        accept.told(&want(5000, 1, WantKind::Block));
        assert_eq!(accept.prefixes.len(), PREFIXES_MAX);
        assert!(accept.admit(&prefix(0)));
        assert!(!accept.admit(&prefix(1)));
        assert!(accept.admit(&prefix(2)));
        assert!(accept.admit(&prefix(5000)));
    }
}
