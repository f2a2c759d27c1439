//! The directory of a store: one file per block, written whole or not at all.
//!
//! `blocks/` has the [files of blocks](BlockFiles). A block is written to `new/`, synced, and renamed into its place:
//! a file that has its name holds its block. Then the directory is synced, so that a block that was put is
//! there after a crash. What a killed process left in `new/` is removed when the store is opened again.
//! `pins/` says what must stay, and `usage` how much there is. `lock` keeps every other process out as long as the store is
//! open.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::SystemTime;

use bitswap_core::Block;
use cid::Cid;

use super::block_files::{BlockFiles, found, set_used};
use super::collect::{Goal, Outcome};
use super::counts::{Counts, Room, locked};
use super::fault::StoreFault;
use super::holds::Holds;
use super::is_block;
use super::pins::Pins;
use super::renaming::{Renamed, Renaming};
use super::usage::{Record, Usage};
use crate::fs::lock::Lock;
use crate::fs::{RETRY, durable};
use crate::store::Hash;

#[derive(Debug)]
pub(super) struct Directory {
    blocks: BlockFiles,
    new: PathBuf,
    next: AtomicU64,
    pins: Pins,
    record: Record,
    /// `u64::MAX` for none.
    limit: AtomicU64,
    /// Held while a name comes or goes, so that what is counted is exact.
    counts: Mutex<Counts>,
    /// Held while blocks are collected or pinned.
    collecting: Mutex<()>,
    holds: Holds,
    /// Held, and given back when the store is closed.
    _lock: Lock,
}

impl Directory {
    pub(super) fn open(directory: &Path) -> io::Result<Self> {
        fs::create_dir_all(directory)?;
        let lock = Lock::take(directory.join("lock")).map_err(|error| match error.kind() {
            ErrorKind::WouldBlock => io::Error::new(
                ErrorKind::WouldBlock,
                format!("the block store in {} is open already", directory.display()),
            ),
            _ => error,
        })?;
        let (blocks, new) = (directory.join("blocks"), directory.join("new"));
        let is_new = !blocks.try_exists()?;
        fs::create_dir_all(&blocks)?;
        fs::create_dir_all(&new)?;
        for left_over in fs::read_dir(&new)? {
            fs::remove_file(left_over?.path())?;
        }
        let pins = Pins::open(directory.join("pins"))?;
        let record = Record::of(directory);
        let usage = record.take()?.or_else(|| is_new.then(Usage::default));
        Ok(Self {
            blocks: BlockFiles::in_directory(blocks),
            new,
            next: AtomicU64::new(0),
            pins,
            record,
            limit: AtomicU64::new(u64::MAX),
            counts: Mutex::new(Counts::of(usage)),
            collecting: Mutex::default(),
            holds: Holds::default(),
            _lock: lock,
        })
    }

    pub(super) fn set_limit(&self, bytes: u64) {
        self.limit.store(bytes, Ordering::Relaxed);
        locked(&self.counts).changed();
    }

    pub(super) const fn blocks(&self) -> &BlockFiles {
        &self.blocks
    }

    pub(super) const fn pins(&self) -> &Pins {
        &self.pins
    }

    /// Where what does not fit into memory may lie.
    pub(super) fn scratch(&self) -> &Path {
        &self.new
    }

    pub(super) fn collecting(&self) -> MutexGuard<'_, ()> {
        locked(&self.collecting)
    }

    /// How much there is.
    pub(super) fn usage(&self) -> io::Result<Usage> {
        self.counted(&mut locked(&self.counts))
    }

    /// Nothing comes or goes while it is counted.
    fn counted(&self, counts: &mut Counts) -> io::Result<Usage> {
        if let Some(known) = counts.usage {
            return Ok(known);
        }
        let mut counted = Usage::default();
        for shard in self.blocks.shards()? {
            for found in self.blocks.in_shard(&shard)? {
                counted.add(found.block.size.into());
            }
        }
        counts.usage = Some(counted);
        Ok(counted)
    }

    /// Puts blocks, and returns once they and their names are durable, as far as the system knows how.
    pub(super) fn put(&self, blocks: &[Block]) -> io::Result<()> {
        let system = Renaming { rename: &durable::rename, retry: RETRY, wait: &thread::sleep };
        self.put_by(blocks, &system)
    }

    fn put_by(&self, blocks: &[Block], renaming: &Renaming<'_>) -> io::Result<()> {
        let mut room = self.make_room(blocks)?;
        let mut shards = BTreeSet::new();
        for block in blocks {
            let path = self.blocks.path(block.cid().hash());
            let shard = path.parent().unwrap_or_else(|| self.blocks.directory());
            // That of a block that is there too: another put may be about to sync it.
            shards.insert(shard.to_owned());
            if self.use_again(&path)? {
                continue;
            }
            self.make_shard(shard)?;
            self.add(&path, shard, block, renaming, &mut room)?;
        }
        shards.iter().try_for_each(|shard| self.sync(shard))
    }

    fn make_shard(&self, shard: &Path) -> io::Result<()> {
        let mut counts = locked(&self.counts);
        if !shard.try_exists()? {
            fs::create_dir_all(shard)?;
            counts.unsynced.named(self.blocks.directory());
        }
        drop(counts);
        self.sync(self.blocks.directory())
    }

    /// Makes the names in a directory durable, unless they are.
    fn sync(&self, directory: &Path) -> io::Result<()> {
        let last = locked(&self.counts).unsynced.last(directory);
        let Some(last) = last else { return Ok(()) };
        durable::sync_dir(directory)?;
        locked(&self.counts).unsynced.synced(directory, last);
        Ok(())
    }

    /// Removes what must go before these blocks fit.
    fn make_room(&self, blocks: &[Block]) -> io::Result<Room<'_>> {
        self.make_room_by(blocks, &|goal| self.collect_for(goal))
    }

    fn make_room_by(
        &self,
        blocks: &[Block],
        collect: &dyn Fn(Goal) -> Result<Outcome, StoreFault>,
    ) -> io::Result<Room<'_>> {
        let limit = self.limit.load(Ordering::Relaxed);
        let mut coming = 0;
        if limit < u64::MAX {
            for block in blocks {
                if self.blocks.size(block.cid().hash())?.is_none() {
                    coming += block.data().len() as u64;
                }
            }
        }
        // Nothing is removed for what does not fit into an empty store either.
        if coming > limit {
            let text = format!(
                "the store has a limit of {limit} bytes, and what is put into it at once has {coming}; raise the limit"
            );
            return Err(io::Error::new(ErrorKind::StorageFull, text));
        }
        loop {
            if let Some(room) = self.reserve(coming, limit)? {
                return Ok(room);
            }
            let counts = locked(&self.counts);
            let taken = coming.saturating_add(counts.reserved);
            let most = limit.saturating_sub(taken);
            let (is_full, changes) = (counts.is_full(most), counts.changes());
            drop(counts);
            // A walk of all that is pinned, for each block that comes, would find the same.
            if is_full {
                break;
            }
            let target = (limit - limit / 10).saturating_sub(taken);
            let Outcome { collected, stays } =
                collect(Goal { target, most }).map_err(|fault| match fault {
                    StoreFault::File(error) => error,
                    fault => io::Error::other(fault),
                })?;
            if let Some(room) = self.reserve(coming, limit)? {
                return Ok(room);
            }
            // Otherwise another put was quicker to take the room.
            if collected.left.bytes > target {
                locked(&self.counts).found_full(changes, stays);
            } else if target == 0 {
                // What comes is nearly all that the limit allows.
                break;
            }
        }
        let text = format!(
            "the store has a limit of {limit} bytes, and {coming} more do not fit beside what is pinned or being added; \
             raise the limit or unpin something"
        );
        Err(io::Error::new(ErrorKind::StorageFull, text))
    }

    /// Room for so many bytes, if there is any: not even puts at the same time exceed the limit.
    fn reserve(&self, bytes: u64, limit: u64) -> io::Result<Option<Room<'_>>> {
        if bytes == 0 {
            return Ok(Some(Room::new(&self.counts, bytes)));
        }
        let mut counts = locked(&self.counts);
        let taken = self.counted(&mut counts)?.bytes.saturating_add(counts.reserved);
        if taken.saturating_add(bytes) > limit {
            return Ok(None);
        }
        counts.reserved += bytes;
        drop(counts);
        Ok(Some(Room::new(&self.counts, bytes)))
    }

    /// Whether the block is there; then this is a use of it.
    fn use_again(&self, path: &Path) -> io::Result<bool> {
        // It is not removed meanwhile.
        let _names = locked(&self.counts);
        Ok(found(set_used(path))?.is_some())
    }

    /// Writes a block, and leaves nothing behind if it cannot have its name.
    fn add(
        &self,
        path: &Path,
        shard: &Path,
        block: &Block,
        renaming: &Renaming<'_>,
        room: &mut Room<'_>,
    ) -> io::Result<()> {
        let new = self.new.join(self.next.fetch_add(1, Ordering::Relaxed).to_string());
        let is_there =
            || self.blocks.get(block.cid().hash()).ok().flatten().as_ref() == Some(block.data());
        let written = write(&new, block.data()).and_then(|()| {
            let mut counts = locked(&self.counts);
            let was_there = path.try_exists()?;
            let renamed = renaming.rename(&new, path, is_there)?;
            counts.unsynced.named(shard);
            let len = block.data().len() as u64;
            if !was_there && matches!(renamed, Renamed::Now) {
                if let Some(usage) = &mut counts.usage {
                    usage.add(len);
                }
                room.used(&mut counts, len);
                counts.changed();
            }
            Ok(renamed)
        });
        if !matches!(written, Ok(Renamed::Now)) {
            // The first error is the one to tell.
            let _ = fs::remove_file(&new);
        }
        written.map(drop)
    }

    /// Removes a block if it still is as it was found, or whatever it is now. The length of what was removed.
    pub(super) fn remove_if(
        &self,
        hash: &Hash,
        unused_since: Option<SystemTime>,
        remove: &dyn Fn(&Path) -> io::Result<()>,
    ) -> io::Result<Option<u64>> {
        let path = self.blocks.path(hash);
        let mut counts = locked(&self.counts);
        let Some(metadata) = found(fs::metadata(&path))? else { return Ok(None) };
        if unused_since.is_some_and(|time| metadata.modified().ok() != Some(time)) {
            // The next who looks may find that it can go.
            counts.changed();
            return Ok(None);
        }
        remove(&path)?;
        if let Some(usage) = &mut counts.usage {
            usage.take(metadata.len());
        }
        Ok(Some(metadata.len()))
    }

    pub(super) fn remove_corrupt(&self, hash: &Hash) -> io::Result<bool> {
        let Some(bytes) = self.blocks.get(hash)? else { return Ok(false) };
        if is_block(hash, bytes) {
            return Ok(false);
        }
        let removed = self.remove_if(hash, None, &|path| fs::remove_file(path))?;
        // What it led to is kept no longer for its sake.
        locked(&self.counts).changed();
        if let Some(shard) = self.blocks.path(hash).parent() {
            durable::sync_dir(shard)?;
        }
        Ok(removed.is_some())
    }

    pub(super) fn unpin(&self, root: &Cid) -> io::Result<bool> {
        let removed = self.pins.remove(root)?;
        locked(&self.counts).changed();
        Ok(removed)
    }

    pub(super) const fn holds(&self) -> &Holds {
        &self.holds
    }

    /// What was held may go now.
    pub(super) fn release(&self, id: u64) {
        self.holds.release(id);
        locked(&self.counts).changed();
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let counts = self.counts.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(usage) = counts.usage.take() {
            // Without it the blocks are counted again.
            let _ = self.record.put(usage);
        }
    }
}

fn write(new: &Path, data: &[u8]) -> io::Result<()> {
    let mut file = File::create_new(new)?;
    file.write_all(data)?;
    // Synced before it has its name: a crash must not leave a name with other bytes.
    durable::sync(&file)
}

#[cfg(test)]
mod tests;
