//! Blocks on disk: one file per block, written whole or not at all.
//!
//! `blocks/<shard>/<hash>`: the name is the hash in base 32, lower case, so that it means the same on
//! file systems that ignore case; the shard is two letters near its end, so that a directory
//! holds a thousandth of the blocks. A block is written to `new/`, synced, and renamed into its place:
//! a file that has its name holds its block. What a killed process left in `new/` is removed when the
//! store is opened again.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bitswap_core::Block;
use bitswap_libp2p::{Blockstore, StoreError};
use bytes::Bytes;
use cid::Cid;
use cid::multibase::Base;
use futures::future::BoxFuture;

use super::Hash;
use crate::runtime::{Runtime, RuntimeExt};

/// Blocks on disk.
#[derive(Clone, Debug)]
pub struct DiskStore<R> {
    runtime: R,
    directory: Arc<Directory>,
}

impl<R: Runtime> DiskStore<R> {
    /// Opens the store in a directory that is this process's alone, and makes it if need be.
    ///
    /// # Errors
    ///
    /// When the directory cannot be made, read or cleaned up.
    pub async fn open(runtime: R, directory: impl Into<PathBuf>) -> io::Result<Self> {
        let directory = directory.into();
        let directory = runtime.run(move || Directory::open(&directory)).await??;
        Ok(Self { runtime, directory: Arc::new(directory) })
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
            let looked = self.runtime.run(move || cids.iter().map(look).collect());
            looked.await.unwrap_or_else(|error| {
                let error = StoreError::new(error);
                (0..asked).map(|_| Err(error.clone())).collect()
            })
        })
    }
}

impl<R: Runtime> Blockstore for DiskStore<R> {
    fn sizes(&self, cids: Vec<Cid>) -> BoxFuture<'_, Vec<Result<Option<u32>, StoreError>>> {
        self.each(cids, Directory::size)
    }

    fn get(&self, cids: Vec<Cid>) -> BoxFuture<'_, Vec<Result<Option<Bytes>, StoreError>>> {
        self.each(cids, Directory::get)
    }

    fn put(&self, blocks: Vec<Block>) -> BoxFuture<'_, Result<(), StoreError>> {
        let directory = self.directory.clone();
        Box::pin(async move {
            let put = move || blocks.iter().try_for_each(|block| directory.put(block));
            self.runtime.run(put).await.and_then(|result| result).map_err(StoreError::new)
        })
    }
}

#[derive(Debug)]
struct Directory {
    blocks: PathBuf,
    new: PathBuf,
    next: AtomicU64,
}

impl Directory {
    fn open(directory: &Path) -> io::Result<Self> {
        let (blocks, new) = (directory.join("blocks"), directory.join("new"));
        fs::create_dir_all(&blocks)?;
        fs::create_dir_all(&new)?;
        for left_over in fs::read_dir(&new)? {
            fs::remove_file(left_over?.path())?;
        }
        Ok(Self { blocks, new, next: AtomicU64::new(0) })
    }

    fn path(&self, hash: &Hash) -> PathBuf {
        let name = Base::Base32Lower.encode(hash.to_bytes());
        let shard = name.get(name.len().saturating_sub(3)..name.len() - 1).unwrap_or("_");
        self.blocks.join(shard).join(&name)
    }

    fn get(&self, hash: &Hash) -> io::Result<Option<Bytes>> {
        found(fs::read(self.path(hash)).map(Bytes::from))
    }

    fn size(&self, hash: &Hash) -> io::Result<Option<u32>> {
        // No block has 4 GiB.
        found(fs::metadata(self.path(hash)).map(|metadata| metadata.len() as u32))
    }

    fn put(&self, block: &Block) -> io::Result<()> {
        let path = self.path(block.cid().hash());
        if path.try_exists()? {
            return Ok(());
        }
        let new = self.new.join(self.next.fetch_add(1, Ordering::Relaxed).to_string());
        let written = write(&new, &path, block.data());
        if written.is_err() {
            // The first error is the one to tell.
            let _ = fs::remove_file(&new);
        }
        written
    }
}

fn write(new: &Path, path: &Path, data: &[u8]) -> io::Result<()> {
    let mut file = File::create_new(new)?;
    file.write_all(data)?;
    // Synced before it has its name: a crash must not leave a name with other bytes.
    file.sync_data()?;
    drop(file);
    if let Some(shard) = path.parent() {
        fs::create_dir_all(shard)?;
    }
    fs::rename(new, path)
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
    use super::super::sha2_256 as hash;
    use super::*;

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
                store.put(&block(data)).unwrap();
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
        store.put(&block(b"block")).unwrap();
        fs::write(directory.path().join("new/7"), "hal").unwrap();

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
        assert!(store.put(&block(b"block")).is_err());
        assert_eq!(left_in(directory.path()), 0);
    }
}
