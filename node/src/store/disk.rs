//! Blocks on disk: one file per block, written whole or not at all.
//!
//! `blocks/<shard>/<hash>`: the name is the hash in base 32, lower case, so that it means the same on
//! file systems that ignore case; the shard is two letters near its end, so that a directory
//! holds a thousandth of the blocks. A block is written to `new/`, synced, and renamed into its place:
//! a file that has its name holds its block. Then the directory is synced, so that a block that was put is
//! there after a crash. What a killed process left in `new/` is removed when the store is opened again.
//! `lock` keeps every other process out as long as the store is open.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use bitswap_core::Block;
use bitswap_core::chunk::RenameRetry;
use bitswap_libp2p::{Blockstore, StoreError};
use bytes::Bytes;
use cid::Cid;
use cid::multibase::Base;
use futures::future::BoxFuture;

use super::Hash;
use crate::fs::lock::Lock;
use crate::fs::{RETRY, durable, regular};
use crate::runtime::{Runtime, RuntimeExt};

/// The waits between the tries of a rename that is refused for a while: a second in all, for which a thread of
/// the blocking pool waits.
const WAITS_MS: [u64; 6] = [10, 30, 60, 100, 300, 500];

/// Blocks on disk.
#[derive(Clone, Debug)]
pub struct DiskStore {
    runtime: Arc<dyn Runtime>,
    directory: Arc<Directory>,
}

impl DiskStore {
    /// Opens the store in a directory, and makes it if need be. It is this value's alone until the last
    /// clone is dropped.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::WouldBlock`] when it is open already, here or in another process; or when the directory
    /// cannot be made, read or cleaned up.
    pub async fn open(runtime: impl Runtime, directory: impl Into<PathBuf>) -> io::Result<Self> {
        let directory = directory.into();
        let directory = runtime.run_blocking(move || Directory::open(&directory)).await??;
        Ok(Self { runtime: Arc::new(runtime), directory: Arc::new(directory) })
    }

    /// One job for a batch; a job that the runtime drops fails all of it.
    fn each<T: Send + 'static>(
        &self,
        cids: Vec<Cid>,
        look: fn(&Directory, &Hash) -> io::Result<Option<T>>,
    ) -> BoxFuture<'_, Vec<Result<Option<T>, StoreError>>> {
        let directory = self.directory.clone();
        Box::pin(async move {
            let asked = cids.len();
            let look = move |cid: &Cid| look(&directory, cid.hash()).map_err(StoreError::new);
            let looked = self.runtime.run_blocking(move || cids.iter().map(look).collect());
            looked.await.unwrap_or_else(|error| {
                let error = StoreError::new(error);
                (0..asked).map(|_| Err(error.clone())).collect()
            })
        })
    }
}

impl Blockstore for DiskStore {
    fn sizes(&self, cids: Vec<Cid>) -> BoxFuture<'_, Vec<Result<Option<u32>, StoreError>>> {
        self.each(cids, Directory::size)
    }

    fn get(&self, cids: Vec<Cid>) -> BoxFuture<'_, Vec<Result<Option<Bytes>, StoreError>>> {
        self.each(cids, Directory::get)
    }

    fn put(&self, blocks: Vec<Block>) -> BoxFuture<'_, Result<(), StoreError>> {
        let directory = self.directory.clone();
        Box::pin(async move {
            let put = move || directory.put(&blocks);
            self.runtime.run_blocking(put).await.and_then(|result| result).map_err(StoreError::new)
        })
    }
}

#[derive(Debug)]
struct Directory {
    blocks: PathBuf,
    new: PathBuf,
    next: AtomicU64,
    /// Held, and given back when the store is closed.
    _lock: Lock,
}

impl Directory {
    fn open(directory: &Path) -> io::Result<Self> {
        fs::create_dir_all(directory)?;
        let lock = Lock::take(directory.join("lock")).map_err(|error| match error.kind() {
            ErrorKind::WouldBlock => io::Error::new(
                ErrorKind::WouldBlock,
                format!("the block store in {} is open already", directory.display()),
            ),
            _ => error,
        })?;
        let (blocks, new) = (directory.join("blocks"), directory.join("new"));
        fs::create_dir_all(&blocks)?;
        fs::create_dir_all(&new)?;
        for left_over in fs::read_dir(&new)? {
            fs::remove_file(left_over?.path())?;
        }
        Ok(Self { blocks, new, next: AtomicU64::new(0), _lock: lock })
    }

    fn path(&self, hash: &Hash) -> PathBuf {
        let name = Base::Base32Lower.encode(hash.to_bytes());
        let shard = name.get(name.len().saturating_sub(3)..name.len() - 1).unwrap_or("_");
        self.blocks.join(shard).join(&name)
    }

    fn get(&self, hash: &Hash) -> io::Result<Option<Bytes>> {
        found(regular::open_source(&self.path(hash)).and_then(|mut file| {
            let mut bytes = Vec::with_capacity(file.metadata()?.len() as usize);
            file.read_to_end(&mut bytes)?;
            Ok(Bytes::from(bytes))
        }))
    }

    fn size(&self, hash: &Hash) -> io::Result<Option<u32>> {
        // No block has 4 GiB.
        found(fs::metadata(self.path(hash)).map(|metadata| metadata.len() as u32))
    }

    /// Puts blocks, and returns once they and their names are durable, as far as the system knows how.
    fn put(&self, blocks: &[Block]) -> io::Result<()> {
        let system = Renaming { rename: &durable::rename, retry: RETRY, wait: &thread::sleep };
        self.put_by(blocks, &system)
    }

    fn put_by(&self, blocks: &[Block], renaming: &Renaming<'_>) -> io::Result<()> {
        let mut shards = BTreeSet::new();
        for block in blocks {
            let path = self.path(block.cid().hash());
            if path.try_exists()? {
                continue;
            }
            if let Some(shard) = path.parent() {
                if !shard.try_exists()? {
                    fs::create_dir_all(shard)?;
                    durable::sync_dir(&self.blocks)?;
                }
                shards.insert(shard.to_owned());
            }
            self.add(&path, block, renaming)?;
        }
        shards.iter().try_for_each(|shard| durable::sync_dir(shard).map(drop))
    }

    /// Writes a block, and leaves nothing behind if it cannot have its name.
    fn add(&self, path: &Path, block: &Block, renaming: &Renaming<'_>) -> io::Result<()> {
        let new = self.new.join(self.next.fetch_add(1, Ordering::Relaxed).to_string());
        let is_there =
            || self.get(block.cid().hash()).ok().flatten().as_ref() == Some(block.data());
        let written =
            write(&new, block.data()).and_then(|()| renaming.rename(&new, path, is_there));
        if !matches!(written, Ok(Renamed::Now)) {
            // The first error is the one to tell.
            let _ = fs::remove_file(&new);
        }
        written.map(drop)
    }
}

/// How a block gets its name.
struct Renaming<'a> {
    rename: &'a dyn Fn(&Path, &Path) -> io::Result<()>,
    retry: RenameRetry,
    wait: &'a dyn Fn(Duration),
}

enum Renamed {
    Now,
    /// Another put was quicker.
    Before,
}

impl Renaming<'_> {
    /// Renames. On Windows a block that is being read cannot be replaced, and a file that was just written
    /// may be held by a virus scanner: the first needs nothing more, the second is tried again.
    fn rename(&self, new: &Path, path: &Path, is_there: impl Fn() -> bool) -> io::Result<Renamed> {
        let mut waits = WAITS_MS.into_iter().map(Duration::from_millis);
        loop {
            let Err(error) = (self.rename)(new, path) else { return Ok(Renamed::Now) };
            if is_there() {
                return Ok(Renamed::Before);
            }
            let passes = error.raw_os_error().is_some_and(|code| self.retry.codes.contains(&code));
            let Some(wait) = waits.next().filter(|_| passes) else { return Err(error) };
            (self.wait)(wait);
        }
    }
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
mod tests {
    use super::*;

    fn hash(data: &[u8]) -> Hash {
        *Block::raw(data.to_vec()).cid().hash()
    }
    use crate::fs::durable::log::{self, Step};

    fn block(data: &'static [u8]) -> Block {
        Block::new(Cid::new_v1(0x55, hash(data)), Bytes::from_static(data)).unwrap()
    }

    fn left_in(directory: &Path) -> usize {
        fs::read_dir(directory.join("new")).unwrap().count()
    }

    #[test]
    fn a_block_is_there_once_put_and_a_second_put_changes_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let store = Directory::open(directory.path()).unwrap();
        for data in [&b""[..], b"a", &[7; 70_000]] {
            assert_eq!(store.get(&hash(data)).unwrap(), None);
            assert_eq!(store.size(&hash(data)).unwrap(), None);
            for _ in 0..2 {
                store.put(&[block(data)]).unwrap();
                assert_eq!(store.get(&hash(data)).unwrap().unwrap(), data);
                assert_eq!(store.size(&hash(data)).unwrap(), Some(data.len() as u32));
            }
        }
        assert_eq!(left_in(directory.path()), 0);
    }

    #[test]
    fn blocks_outlive_the_process_and_half_written_ones_do_not() {
        let directory = tempfile::tempdir().unwrap();
        let store = Directory::open(directory.path()).unwrap();
        store.put(&[block(b"block")]).unwrap();
        fs::write(directory.path().join("new/7"), "hal").unwrap();
        drop(store);

        let store = Directory::open(directory.path()).unwrap();
        assert_eq!(store.get(&hash(b"block")).unwrap().unwrap(), "block");
        assert_eq!(left_in(directory.path()), 0);
    }

    #[test]
    fn a_write_that_fails_leaves_nothing_behind() {
        let directory = tempfile::tempdir().unwrap();
        let store = Directory::open(directory.path()).unwrap();
        // The place of the shard's directory is taken by a file.
        let path = store.path(&hash(b"block"));
        fs::write(path.parent().unwrap(), "").unwrap();
        assert!(store.put(&[block(b"block")]).is_err());
        assert_eq!(left_in(directory.path()), 0);
    }

    /// "Access denied" of Windows.
    fn denied() -> io::Error {
        io::Error::from_raw_os_error(5)
    }

    #[test]
    fn a_block_that_is_there_already_needs_no_rename() {
        let directory = tempfile::tempdir().unwrap();
        let store = Directory::open(directory.path()).unwrap();
        let put_by = |written: &'static [u8], retry| {
            // Another put writes the block between the look for it and the rename.
            let path = store.path(&hash(b"block"));
            let rename = |_: &Path, _: &Path| {
                fs::write(&path, written).unwrap();
                Err(denied())
            };
            let renaming = Renaming { rename: &rename, retry, wait: &|_| {} };
            let put = store.put_by(&[block(b"block")], &renaming);
            fs::remove_file(&path).unwrap();
            put.map_err(|error| error.raw_os_error())
        };
        for retry in [RenameRetry::NONE, RenameRetry::WINDOWS] {
            assert_eq!(put_by(b"block", retry), Ok(()));
            assert_eq!(put_by(b"other", retry), Err(Some(5)));
            assert_eq!(left_in(directory.path()), 0);
        }
    }

    #[test]
    fn a_rename_that_is_refused_for_a_while_is_tried_again() {
        use std::cell::{Cell, RefCell};
        let directory = tempfile::tempdir().unwrap();
        let store = Directory::open(directory.path()).unwrap();
        let put_by = |data: &'static [u8], failures, retry| {
            let (tries, waits) = (Cell::new(0), RefCell::new(Vec::new()));
            let rename = |from: &Path, to: &Path| {
                tries.set(tries.get() + 1);
                if tries.get() <= failures { Err(denied()) } else { durable::rename(from, to) }
            };
            let wait = |time: Duration| waits.borrow_mut().push(time.as_millis() as u64);
            let renaming = Renaming { rename: &rename, retry, wait: &wait };
            let put = store.put_by(&[block(data)], &renaming).map_err(|error| error.raw_os_error());
            assert_eq!(left_in(directory.path()), 0);
            (put, waits.into_inner())
        };
        assert_eq!(put_by(b"a", 2, RenameRetry::WINDOWS), (Ok(()), WAITS_MS[..2].to_vec()));
        assert_eq!(store.get(&hash(b"a")).unwrap().unwrap(), "a");
        assert_eq!(put_by(b"b", 7, RenameRetry::WINDOWS), (Err(Some(5)), WAITS_MS.to_vec()));
        assert_eq!(put_by(b"c", 1, RenameRetry::NONE), (Err(Some(5)), vec![]));
        assert_eq!(store.get(&hash(b"c")).unwrap(), None);
    }

    #[test]
    fn a_directory_is_one_stores_alone_until_it_is_closed() {
        let directory = tempfile::tempdir().unwrap();
        let store = Directory::open(directory.path()).unwrap();
        fs::write(directory.path().join("new/7"), "being written").unwrap();
        let refused = Directory::open(directory.path()).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::WouldBlock);
        assert!(refused.to_string().contains("is open already"), "{refused}");
        assert_eq!(left_in(directory.path()), 1, "what the other writes is left alone");
        drop(store);
        Directory::open(directory.path()).unwrap();
    }

    #[test]
    fn bytes_are_durable_before_they_have_a_name_and_names_before_a_put_returns() {
        let directory = tempfile::tempdir().unwrap();
        let store = Directory::open(directory.path()).unwrap();
        log::take();
        let name = |data: &[u8]| Step::Rename(log::name(&store.path(&hash(data))));
        let shard =
            |data: &[u8]| Step::SyncDir(log::name(store.path(&hash(data)).parent().unwrap()));
        let blocks = || Step::SyncDir("blocks".to_owned());
        store.put(&[block(b"a"), block(b"b")]).unwrap();
        let mut shards = [shard(b"a"), shard(b"b")];
        shards.sort_by_key(|step| format!("{step:?}"));
        let [first, last] = shards;
        assert_ne!(first, last);
        let expected = [blocks(), Step::Sync, name(b"a"), blocks(), Step::Sync, name(b"b")];
        assert_eq!(log::take(), [&expected[..], &[first, last]].concat());
        // What is there needs nothing.
        store.put(&[block(b"a")]).unwrap();
        assert_eq!(log::take(), []);
    }
}
