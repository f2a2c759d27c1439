//! Which blocks go, and how.
//!
//! First all that is pinned is marked, by a walk of what the pinned blocks lead to. If that cannot be told of
//! one of them, nothing is removed. Then the blocks are looked at twice: to find whether enough can go and the age from which
//! on they have to, and to remove them. Removing is a call for each file, so wherever it stops, what is marked is there.

use std::fs;
use std::io;
use std::path::Path;
use std::time::SystemTime;

use bitswap_core::Block;
use bytes::Bytes;
use cid::Cid;

use super::block_files::Found;
use super::directory::Directory;
use super::fault::StoreFault;
use super::links;
use super::marks::{Marks, Pending};
use super::usage::Usage;
use crate::fs::durable;

/// What a collection has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Collected {
    /// What was removed.
    pub removed: Usage,
    /// What is left.
    pub left: Usage,
    /// Blocks that pinned ones lead to and that are not there.
    pub missing: u64,
}

/// How far a collection goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Goal {
    /// Blocks go until what is left has so many bytes at most; with 0 all go that can.
    pub(super) target: u64,
    /// None goes unless what is left can have so many bytes at most: what makes no room is removed for nothing.
    pub(super) most: u64,
}

/// What a collection came to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outcome {
    pub(super) collected: Collected,
    /// Bytes that stay, whatever goes.
    pub(super) stays: u64,
}

/// What a walk makes of a block that is not there.
enum Absent {
    Count(u64),
    Fail,
}

/// Ages in steps of a sixteenth of themselves: 1024 of them are more than all of time.
const AGES: usize = 1024;

fn age(used: SystemTime, now: SystemTime) -> usize {
    let seconds = now.duration_since(used).unwrap_or_default().as_secs();
    let Some(power) = seconds.checked_ilog2() else { return 0 };
    // The four bits behind the first.
    let rest = (seconds << (63 - power)) << 1 >> 60;
    (power as usize * 16 + rest as usize + 1).min(AGES - 1)
}

impl Directory {
    pub(super) fn collect(&self, target: u64) -> Result<Collected, StoreFault> {
        Ok(self.collect_for(Goal { target, most: u64::MAX })?.collected)
    }

    pub(super) fn collect_for(&self, goal: Goal) -> Result<Outcome, StoreFault> {
        self.collect_by(goal, &|path| fs::remove_file(path))
    }

    fn collect_by(
        &self,
        Goal { target, most }: Goal,
        remove: &dyn Fn(&Path) -> io::Result<()>,
    ) -> Result<Outcome, StoreFault> {
        let _only = self.collecting();
        let mut collected = Collected { left: self.usage()?, ..Collected::default() };
        if collected.left.bytes <= target && target > 0 {
            return Ok(Outcome { collected, stays: 0 });
        }
        let mut missing = Absent::Count(0);
        let marks = self.marked(&self.pins().all()?, &mut missing)?;
        if let Absent::Count(count) = missing {
            collected.missing = count;
        }
        let now = SystemTime::now();
        let is_held = |found: &Found| self.holds().since().is_some_and(|since| found.used >= since);
        let (mut by_age, mut stays) = (vec![0_u64; AGES], 0_u64);
        self.each(|found| {
            let bytes = u64::from(found.block.size);
            if is_held(found) || marks.contains(&found.block.hash)? {
                stays += bytes;
            } else {
                by_age[age(found.used, now)] += bytes;
            }
            Ok(())
        })?;
        if stays > most {
            return Ok(Outcome { collected, stays });
        }
        let oldest = oldest_to_stay(&by_age, collected.left.bytes.saturating_sub(target), target);
        // From the oldest on, all of them; of the last age only as many as need be.
        for shard in self.blocks().shards()? {
            let mut any = false;
            for found in self.blocks().in_shard(&shard)? {
                let age = age(found.used, now);
                let left = collected.left.bytes - collected.removed.bytes.min(collected.left.bytes);
                let goes = age > oldest || (age == oldest && (left > target || target == 0));
                if !goes || is_held(&found) || marks.contains(&found.block.hash)? {
                    continue;
                }
                let removed = self.remove_if(&found.block.hash, Some(found.used), remove)?;
                if let Some(bytes) = removed {
                    collected.removed.add(bytes);
                    any = true;
                }
            }
            if any {
                durable::sync_dir(&shard)?;
            }
        }
        collected.left = self.usage()?;
        Ok(Outcome { collected, stays: collected.left.bytes })
    }

    pub(super) fn remove(&self, cids: &[Cid]) -> Result<Usage, StoreFault> {
        let _only = self.collecting();
        let marks = self.marked(&self.pins().all()?, &mut Absent::Count(0))?;
        for cid in cids {
            if marks.contains(cid.hash())? {
                return Err(StoreFault::Pinned { cid: *cid });
            }
        }
        let mut removed = Usage::default();
        for cid in cids {
            let gone = self.remove_if(cid.hash(), None, &|path| fs::remove_file(path))?;
            let Some(bytes) = gone else { continue };
            removed.add(bytes);
            if let Some(shard) = self.blocks().path(cid.hash()).parent() {
                durable::sync_dir(shard)?;
            }
        }
        Ok(removed)
    }

    pub(super) fn pin(&self, root: &Cid) -> Result<(), StoreFault> {
        let _only = self.collecting();
        self.marked(&[*root], &mut Absent::Fail)?;
        Ok(self.pins().add(root)?)
    }

    /// Marks these blocks and all that they lead to.
    fn marked(&self, roots: &[Cid], absent: &mut Absent) -> Result<Marks, StoreFault> {
        let mut marks = Marks::new(self.scratch());
        // Nobody links to the empty block: its hash is enough. If it is here it stays.
        marks.insert(Block::raw(Bytes::new()).cid().hash())?;
        let mut pending = Pending::new(self.scratch());
        let mut found: Vec<Cid> = roots.to_vec();
        loop {
            for cid in found {
                let is_new = marks.insert(cid.hash())?;
                if links::is_leaf(cid.codec()) {
                    if is_new && self.blocks().size(cid.hash())?.is_none() {
                        absent.met(&cid)?;
                    }
                } else if marks.insert_node(&cid)? {
                    pending.push(cid)?;
                }
            }
            let Some(cid) = pending.pop()? else { return Ok(marks) };
            // Hashed again: other bytes would lead elsewhere.
            found = match self.blocks().get_verified(&cid)? {
                Some(block) => links::links(&cid, block.data())?,
                // The block is in its name.
                None if cid.hash().code() == 0 => links::links(&cid, cid.hash().digest())?,
                None => {
                    absent.met(&cid)?;
                    Vec::new()
                }
            };
        }
    }

    fn each(
        &self,
        mut look: impl FnMut(&Found) -> Result<(), StoreFault>,
    ) -> Result<(), StoreFault> {
        for shard in self.blocks().shards()? {
            self.blocks().in_shard(&shard)?.iter().try_for_each(&mut look)?;
        }
        Ok(())
    }
}

impl Absent {
    fn met(&mut self, cid: &Cid) -> Result<(), StoreFault> {
        match self {
            _ if cid.hash().code() == 0 => Ok(()),
            Self::Count(count) => {
                *count += 1;
                Ok(())
            }
            Self::Fail => Err(StoreFault::Missing { cid: *cid }),
        }
    }
}

/// The age at which only some have to go, so that so many bytes do: all that are older go.
fn oldest_to_stay(by_age: &[u64], mut bytes: u64, target: u64) -> usize {
    if target == 0 {
        return 0;
    }
    for (age, here) in by_age.iter().enumerate().rev() {
        if *here >= bytes {
            return age;
        }
        bytes -= here;
    }
    0
}

#[cfg(test)]
mod tests;
