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
/// would be the peer's to slow down.
fn collapse<T>(items: &mut Vec<T>, cid: impl Fn(&T) -> &Cid, merge: impl Fn(&mut T, T)) {
    if items.len() < 2 {
        return;
    }
    let mut order: Vec<(Cid, usize)> = items.iter().map(cid).copied().zip(0..).collect();
    order.sort_unstable();
    let repeats = order.windows(2).any(|pair| matches!(pair, [a, b] if a.0 == b.0));
    if !repeats {
        return;
    }
    // For each item the place of the first item of its CID.
    let mut first_of: Vec<usize> = (0..items.len()).collect();
    let mut first = None;
    for (cid, at) in order {
        let (_, place) = *first.insert(match first {
            Some((same, place)) if same == cid => (same, place),
            _ => (cid, at),
        });
        if let Some(slot) = first_of.get_mut(at) {
            *slot = place;
        }
    }
    let mut merged: Vec<Option<T>> = Vec::with_capacity(items.len());
    for (item, first) in items.drain(..).zip(first_of) {
        // A first item's place is its own, so it is never before the end.
        match merged.get_mut(first) {
            Some(Some(kept)) => {
                merge(kept, item);
                merged.push(None);
            }
            _ => merged.push(Some(item)),
        }
    }
    items.extend(merged.into_iter().flatten());
}
