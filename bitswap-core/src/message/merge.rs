//! What several items for one CID in one message mean together.

use alloc::vec::Vec;

use cid::Cid;

use super::{Entry, Message, Presence, WantKind};
use crate::block::Block;

impl Message {
    /// Adds verified blocks. One CID is kept once, and a block outdoes the presence of its CID: who
    /// sends the block has it, whatever else the message says.
    pub fn add_blocks(&mut self, blocks: impl IntoIterator<Item = Block>) {
        self.blocks.extend(blocks);
        collapse(&mut self.blocks, Block::cid, |_, _| {});
        if self.presences.is_empty() {
            return;
        }
        let mut cids: Vec<Cid> = self.blocks.iter().map(|block| *block.cid()).collect();
        cids.sort_unstable();
        self.presences.retain(|presence| cids.binary_search(&presence.cid).is_err());
    }
}

/// Collapses the entries of one CID.
///
/// Of wants of one kind the last priority counts. A want for the block outdoes one for its
/// presence, never the reverse. To cancel and to ask for DONT_HAVE stay said.
pub(super) fn entries(entries: &mut Vec<Entry>) {
    collapse(
        entries,
        |entry| &entry.cid,
        |entry, later| {
            if entry.kind == later.kind {
                entry.priority = later.priority;
            }
            entry.kind = entry.kind.max(later.kind);
            entry.cancel |= later.cancel;
            entry.send_dont_have |= later.send_dont_have;
        },
    );
    const { assert!((WantKind::Have as u8) < WantKind::Block as u8) }
}

/// Collapses the presences of one CID: the last one counts.
pub(super) fn presences(presences: &mut Vec<Presence>) {
    collapse(presences, |presence| &presence.cid, |presence, later| presence.have = later.have);
}

/// Merges items of one CID into the first of them, in their order; the order of the firsts stays.
///
/// By sorting, not by hashing: without a key that a peer cannot know, a hash table over its CIDs
/// would be the peer's to slow down. In place, or a message would take more than twice its memory.
fn collapse<T>(items: &mut Vec<T>, cid: impl Fn(&T) -> &Cid, merge: impl Fn(&mut T, &T)) {
    if items.len() < 2 {
        return;
    }
    let cid_at = |at: &u32| items.get(*at as usize).map(&cid);
    let mut order: Vec<u32> = (0..).take(items.len()).collect();
    order.sort_unstable_by(|a, b| cid_at(a).cmp(&cid_at(b)).then(a.cmp(b)));
    let repeats = |pair: &[u32]| matches!(pair, [a, b] if cid_at(a) == cid_at(b));
    if !order.windows(2).any(repeats) {
        return;
    }
    // For each item the place of the first item of its CID.
    let mut first_of: Vec<u32> = (0..).take(items.len()).collect();
    for same in order.chunk_by(|a, b| cid_at(a) == cid_at(b)) {
        let Some((first, later)) = same.split_first() else { continue };
        for at in later {
            if let Some(slot) = first_of.get_mut(*at as usize) {
                *slot = *first;
            }
        }
    }
    for (at, first) in first_of.iter().enumerate() {
        if let Some((before, [item, ..])) = items.split_at_mut_checked(at)
            && let Some(first) = before.get_mut(*first as usize)
        {
            merge(first, item);
        }
    }
    let mut places = first_of.iter().zip(0..);
    items.retain(|_| places.next().is_some_and(|(first, at)| *first == at));
}
