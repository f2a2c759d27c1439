//! The files of blocks: which name each has, and what is in them.
//!
//! `<shard>/<hash>`: the name is the hash in base 32, lower case, so that it means the same on file systems that
//! ignore case; the shard is two letters near its end, so that a directory holds a thousandth of the blocks. When a block was
//! used last is its file's time of modification.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use bitswap_core::Block;
use bytes::Bytes;
use cid::Cid;
use cid::multibase::Base;

use super::StoredBlock;
use super::fault::StoreFault;
use crate::fs::regular;
use crate::store::Hash;

/// How exactly it is remembered when a block was used: that costs a write.
const USE_PRECISION: Duration = Duration::from_secs(3600);

/// The files of all blocks, below one directory.
#[derive(Debug)]
pub(super) struct BlockFiles(PathBuf);

/// A block that was found in its shard.
pub(super) struct Found {
    pub(super) block: StoredBlock,
    pub(super) used: SystemTime,
}

impl BlockFiles {
    pub(super) const fn in_directory(directory: PathBuf) -> Self {
        Self(directory)
    }

    /// The directory that the shards are in.
    pub(super) fn directory(&self) -> &Path {
        &self.0
    }

    pub(super) fn path(&self, hash: &Hash) -> PathBuf {
        let name = Base::Base32Lower.encode(hash.to_bytes());
        let shard = name.get(name.len().saturating_sub(3)..name.len() - 1).unwrap_or("_");
        self.0.join(shard).join(&name)
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
        for entry in fs::read_dir(&self.0)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                shards.push(entry.path());
            }
        }
        shards.sort_unstable();
        Ok(shards)
    }

    /// The blocks in one of them. What is no block is passed over.
    pub(super) fn in_shard(&self, shard: &Path) -> io::Result<Vec<Found>> {
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
}

/// Says that a block is used now, by its file's time. On Windows only what is open for writing has it set.
pub(super) fn set_used(path: &Path) -> io::Result<()> {
    let file = File::options().read(true).write(cfg!(windows)).open(path)?;
    file.set_modified(SystemTime::now())
}

/// `None` for what is not there.
pub(super) fn found<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
