//! The directory of a store: one file per block, written whole or not at all.
//!
//! `blocks/<shard>/<hash>`: the name is the hash in base 32, lower case, so that it means the same on
//! file systems that ignore case; the shard is two letters near its end, so that a directory
//! holds a thousandth of the blocks. A block is written to `new/`, synced, and renamed into its place:
//! a file that has its name holds its block. Then the directory is synced, so that a block that was put is
//! there after a crash. What a killed process left in `new/` is removed when the store is opened again.
//! `pins/` says what must stay, and `usage` how much there is. When a block was used last is its file's time of
//! modification. `lock` keeps every other process out as long as the store is open.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, SystemTime};

use bitswap_core::Block;
use bytes::Bytes;
use cid::Cid;
use cid::multibase::Base;

use super::collect::{Goal, Outcome};
use super::counts::{Counts, Room, locked};
use super::fault::StoreFault;
use super::pins::Pins;
use super::renaming::{Renamed, Renaming};
use super::usage::{Record, Usage};
use super::{StoredBlock, is_block};
use crate::fs::lock::Lock;
use crate::fs::{RETRY, durable, regular};
use crate::store::Hash;

/// How exactly it is remembered when a block was used: that costs a write.
const USE_PRECISION: Duration = Duration::from_secs(3600);

/// Clocks of file systems are behind that of the process by some milliseconds, and some of them by two seconds.
const CLOCK_PRECISION: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub(super) struct Directory {
    blocks: PathBuf,
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
    holds: Mutex<Holds>,
    /// Held, and given back when the store is closed.
    _lock: Lock,
}

/// Since when what is put is not collected, for each who wants that.
#[derive(Debug, Default)]
struct Holds {
    next: u64,
    since: Vec<(u64, SystemTime)>,
}

/// A block that was found in its shard.
pub(super) struct Found {
    pub(super) block: StoredBlock,
    pub(super) used: SystemTime,
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
            blocks,
            new,
            next: AtomicU64::new(0),
            pins,
            record,
            limit: AtomicU64::new(u64::MAX),
            counts: Mutex::new(Counts::of(usage)),
            collecting: Mutex::default(),
            holds: Mutex::default(),
            _lock: lock,
        })
    }

    pub(super) fn set_limit(&self, bytes: u64) {
        self.limit.store(bytes, Ordering::Relaxed);
        locked(&self.counts).changed();
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

    pub(super) fn path(&self, hash: &Hash) -> PathBuf {
        let name = Base::Base32Lower.encode(hash.to_bytes());
        let shard = name.get(name.len().saturating_sub(3)..name.len() - 1).unwrap_or("_");
        self.blocks.join(shard).join(&name)
    }

    pub(super) fn get(&self, hash: &Hash) -> io::Result<Option<Bytes>> {
        let path = self.path(hash);
        found(regular::open_source(&path).and_then(|mut file| {
            let metadata = file.metadata()?;
            let mut bytes = Vec::with_capacity(metadata.len() as usize);
            file.read_to_end(&mut bytes)?;
            let age = metadata.modified().ok().and_then(|used| used.elapsed().ok());
            if age.is_some_and(|age| age > USE_PRECISION) {
                // Who may only read reads all the same.
                let _ = set_used(&path);
            }
            Ok(Bytes::from(bytes))
        }))
    }

    pub(super) fn get_verified(&self, cid: &Cid) -> Result<Option<Block>, StoreFault> {
        let Some(bytes) = self.get(cid.hash())? else { return Ok(None) };
        let block = Block::new(*cid, bytes);
        block.map(Some).map_err(|_| StoreFault::Corrupt { cid: *cid })
    }

    pub(super) fn size(&self, hash: &Hash) -> io::Result<Option<u32>> {
        // No block has 4 GiB.
        found(fs::metadata(self.path(hash)).map(|metadata| metadata.len() as u32))
    }

    /// The directories that blocks are in. What other programs put beside them, as file managers do, is passed over.
    pub(super) fn shards(&self) -> io::Result<Vec<PathBuf>> {
        let mut shards = Vec::new();
        for entry in fs::read_dir(&self.blocks)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                shards.push(entry.path());
            }
        }
        shards.sort_unstable();
        Ok(shards)
    }

    /// The blocks in one of them. What is no block is passed over.
    pub(super) fn blocks_in(&self, shard: &Path) -> io::Result<Vec<Found>> {
        let mut blocks = Vec::new();
        for entry in fs::read_dir(shard)? {
            let entry = entry?;
            let name = entry.file_name();
            let bytes = name.to_str().and_then(|name| Base::Base32Lower.decode(name).ok());
            let hash = bytes.and_then(|bytes| Hash::from_bytes(&bytes).ok());
            let Some(hash) = hash else { continue };
            // One that was removed in between is none.
            let Some(metadata) = found(entry.metadata())? else { continue };
            let block = StoredBlock { hash, size: metadata.len() as u32 };
            blocks.push(Found { block, used: metadata.modified()? });
        }
        Ok(blocks)
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
        for shard in self.shards()? {
            for found in self.blocks_in(&shard)? {
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
            let path = self.path(block.cid().hash());
            let shard = path.parent().unwrap_or(&self.blocks);
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
            counts.unsynced.named(&self.blocks);
        }
        drop(counts);
        self.sync(&self.blocks)
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
                if self.size(block.cid().hash())?.is_none() {
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
            || self.get(block.cid().hash()).ok().flatten().as_ref() == Some(block.data());
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
        let path = self.path(hash);
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
        let Some(bytes) = self.get(hash)? else { return Ok(false) };
        if is_block(hash, bytes) {
            return Ok(false);
        }
        let removed = self.remove_if(hash, None, &|path| fs::remove_file(path))?;
        // What it led to is kept no longer for its sake.
        locked(&self.counts).changed();
        if let Some(shard) = self.path(hash).parent() {
            durable::sync_dir(shard)?;
        }
        Ok(removed.is_some())
    }

    pub(super) fn unpin(&self, root: &Cid) -> io::Result<bool> {
        let removed = self.pins.remove(root)?;
        locked(&self.counts).changed();
        Ok(removed)
    }

    pub(super) fn hold(&self) -> u64 {
        let mut holds = locked(&self.holds);
        let id = holds.next;
        holds.next += 1;
        holds.since.push((id, SystemTime::now() - CLOCK_PRECISION));
        id
    }

    pub(super) fn release(&self, id: u64) {
        locked(&self.holds).since.retain(|(held, _)| *held != id);
        locked(&self.counts).changed();
    }

    /// Since when what was used is held.
    pub(super) fn held_since(&self) -> Option<SystemTime> {
        locked(&self.holds).since.iter().map(|(_, since)| *since).min()
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

/// Says that a block is used now, by its file's time. On Windows only what is open for writing has it set.
fn set_used(path: &Path) -> io::Result<()> {
    let file = File::options().read(true).write(cfg!(windows)).open(path)?;
    file.set_modified(SystemTime::now())
}

fn write(new: &Path, data: &[u8]) -> io::Result<()> {
    let mut file = File::create_new(new)?;
    file.write_all(data)?;
    // Synced before it has its name: a crash must not leave a name with other bytes.
    durable::sync(&file)
}

/// `None` for what is not there.
fn found<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests;
