//! Files shared in place: their blocks are read from where the user keeps them, without a second copy.
//!
//! The user may change such a file at any time, and a block must never leave under a hash that its bytes
//! no longer have. So a file has a [`Stamp`] from when it was hashed. While the stamp fits, before
//! and after the read, the bytes are what they were; once it does not, and for a file that is
//! still being written, every block is hashed anew, and one that differs is forgotten. So is every
//! block on Windows, where the stamp is only a sign of change: it lacks the time of the last change, which nobody can
//! set back and which the standard library does not tell there. How long a
//! block is needs no reading: asking costs a peer a few bytes, and must not cost us a block.

use std::collections::{BTreeMap, HashMap};
use std::fs::{File, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::SystemTime;

use bitswap_core::Block;
use bitswap_core::chunk::{LeafForm, RAW};
use bytes::Bytes;
use cid::Cid;

use super::Hash;
use crate::fs::read_from;
use crate::fs::regular::{obstacle, open_source};

/// Files shared in place.
#[derive(Debug)]
pub struct SharedFiles {
    index: RwLock<Index>,
    /// Whether a stamp that fits proves that nobody wrote to the file.
    stamps_prove: bool,
}

impl Default for SharedFiles {
    fn default() -> Self {
        Self { index: RwLock::default(), stamps_prove: cfg!(unix) }
    }
}

#[derive(Debug, Default)]
struct Index {
    next: u64,
    files: BTreeMap<FileId, Shared>,
    /// One place per file at most, although a block may occur in it many times.
    leaves: HashMap<Hash, Vec<Place>>,
}

/// Names a shared file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FileId(u64);

#[derive(Debug)]
struct Shared {
    path: PathBuf,
    /// `None`: it was written or has changed since, so its bytes are always checked.
    stamp: Option<Stamp>,
    leaves: Vec<Hash>,
    /// Its blocks are in the store, whatever becomes of it.
    is_copied: bool,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    file: FileId,
    leaf: SharedLeaf,
}

/// Where a block's bytes lie in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SharedLeaf {
    /// The first byte's position.
    pub offset: u64,
    /// How many bytes of the file the block holds.
    pub len: u32,
    /// How the bytes become the block.
    pub form: LeafForm,
}

/// What a file looked like when it was hashed. A write changes it, unless it comes so soon after the
/// write before it that the file system's clock does not tell them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    len: u64,
    modified: Option<SystemTime>,
    changed: Option<(i64, i64)>,
    identity: Option<(u64, u64)>,
}

impl Stamp {
    /// The file's length in bytes, as it says.
    pub(crate) const fn len(&self) -> u64 {
        self.len
    }

    /// The stamp of a file as it is now.
    #[must_use]
    pub fn of(metadata: &Metadata) -> Self {
        #[cfg(unix)]
        let (changed, identity) = {
            use std::os::unix::fs::MetadataExt;
            // The time of change cannot be set back, as the time of modification can.
            let changed = (metadata.ctime(), metadata.ctime_nsec());
            (Some(changed), Some((metadata.dev(), metadata.ino())))
        };
        #[cfg(not(unix))]
        let (changed, identity) = (None, None);
        Self { len: metadata.len(), modified: metadata.modified().ok(), changed, identity }
    }
}

impl SharedFiles {
    /// Shares a file. Without a stamp it is one that is being written.
    pub fn share(
        &self,
        path: PathBuf,
        stamp: Option<Stamp>,
        leaves: impl IntoIterator<Item = (Hash, SharedLeaf)>,
    ) -> FileId {
        let mut index = self.write();
        let id = index.insert(Shared { path, stamp, leaves: Vec::new(), is_copied: false });
        for (hash, leaf) in leaves {
            index.add(id, hash, leaf);
        }
        id
    }

    /// Notes a file whose blocks are all in the store: it may change, and nothing is read from it.
    pub fn note_copied(&self, path: PathBuf) -> FileId {
        self.write().insert(Shared { path, stamp: None, leaves: Vec::new(), is_copied: true })
    }

    /// One more block of a file that is being written.
    pub fn add(&self, file: FileId, hash: Hash, leaf: SharedLeaf) {
        self.write().add(file, hash, leaf);
    }

    /// Shares a file no longer. The file itself is left alone.
    pub fn remove(&self, file: FileId) {
        let mut index = self.write();
        let Some(shared) = index.files.remove(&file) else { return };
        for hash in shared.leaves {
            index.forget(file, &hash);
        }
    }

    /// Whether a file looks as it did when it was hashed, or need not. One that is gone, or is shared no longer,
    /// does not.
    #[must_use]
    pub fn is_unchanged(&self, file: FileId) -> bool {
        let (path, stamp) = match self.read().files.get(&file) {
            None => return false,
            Some(shared) if shared.is_copied => return true,
            Some(shared) => (shared.path.clone(), shared.stamp),
        };
        std::fs::metadata(path).is_ok_and(|now| stamp == Some(Stamp::of(&now)))
    }

    /// Whether some shared file had this block when it was hashed.
    #[must_use]
    pub fn contains(&self, hash: &Hash) -> bool {
        self.read().leaves.contains_key(hash)
    }

    /// The block with this hash, if a file still has it.
    ///
    /// # Errors
    ///
    /// When the disk fails. A file that is gone, shorter or different is none.
    pub fn get(&self, hash: &Hash) -> io::Result<Option<Bytes>> {
        let mut changed = Vec::new();
        let found = self.first(hash, |file, path, stamp, leaf| {
            let Some((bytes, unchanged)) = read(path, stamp, leaf, read_from)? else {
                return Ok(None);
            };
            if unchanged && self.stamps_prove {
                return Ok(Some(leaf.form.block(&bytes)));
            }
            // Of a fetched file it is not known how its leaves are wrapped.
            let forms = match leaf.form {
                LeafForm::Raw => &[LeafForm::Raw][..],
                _ => &[LeafForm::WrappedFile, LeafForm::WrappedRaw],
            };
            // The codec does not matter here, only the hash.
            let cid = Cid::new_v1(RAW, *hash);
            let checked = forms.iter().find_map(|form| Block::new(cid, form.block(&bytes)).ok());
            if !unchanged || checked.is_none() {
                changed.push((file, checked.is_some()));
            }
            Ok(checked.map(|block| block.into_parts().1))
        });
        self.changed(hash, &changed);
        found
    }

    /// These files are not what they were when they were hashed; whether they still have a block.
    fn changed(&self, hash: &Hash, files: &[(FileId, bool)]) {
        if files.is_empty() {
            return;
        }
        let mut index = self.write();
        for (file, has_it) in files {
            let Some(shared) = index.files.get_mut(file) else { continue };
            shared.stamp = None;
            if !has_it {
                shared.leaves.retain(|leaf| leaf != hash);
                index.forget(*file, hash);
            }
        }
    }

    /// The block's length in bytes, if a file still has it. Nothing is read, but once after a file
    /// that was shared has changed: of others it is only looked whether they are long enough.
    ///
    /// # Errors
    ///
    /// As [`Self::get`].
    pub fn size(&self, hash: &Hash) -> io::Result<Option<u32>> {
        let unchanged = self.first(hash, |_, path, stamp, leaf| {
            let metadata = match std::fs::metadata(path) {
                Ok(metadata) => metadata,
                Err(error) => return absent(error),
            };
            let here = match stamp {
                Some(stamp) => stamp == Stamp::of(&metadata),
                None => {
                    let end = leaf.offset + u64::from(leaf.len);
                    metadata.is_file() && metadata.len() >= end
                }
            };
            Ok(here.then(|| leaf.form.block_len(leaf.len as usize) as u32))
        })?;
        match unchanged {
            Some(size) => Ok(Some(size)),
            None => Ok(self.get(hash)?.map(|block| block.len() as u32)),
        }
    }

    /// The first file that gives something for this hash. An error counts only if none does.
    fn first<T>(
        &self,
        hash: &Hash,
        mut look: impl FnMut(FileId, &Path, Option<Stamp>, SharedLeaf) -> io::Result<Option<T>>,
    ) -> io::Result<Option<T>> {
        let mut result = Ok(None);
        for (file, path, stamp, leaf) in self.places(hash) {
            match look(file, &path, stamp, leaf) {
                Ok(Some(found)) => return Ok(Some(found)),
                Ok(None) => {}
                Err(error) => result = Err(error),
            }
        }
        result
    }

    /// A copy, so that no lock is held while a disk is waited for.
    fn places(&self, hash: &Hash) -> Vec<(FileId, PathBuf, Option<Stamp>, SharedLeaf)> {
        let index = self.read();
        let places = index.leaves.get(hash).into_iter().flatten();
        places
            .filter_map(|place| {
                let shared = index.files.get(&place.file)?;
                Some((place.file, shared.path.clone(), shared.stamp, place.leaf))
            })
            .collect()
    }

    fn read(&self) -> RwLockReadGuard<'_, Index> {
        // Nothing under the lock panics half-way.
        self.index.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Index> {
        self.index.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Index {
    fn insert(&mut self, shared: Shared) -> FileId {
        let id = FileId(self.next);
        self.next += 1;
        self.files.insert(id, shared);
        id
    }

    /// This block is not in this file.
    fn forget(&mut self, file: FileId, hash: &Hash) {
        if let Some(places) = self.leaves.get_mut(hash) {
            places.retain(|place| place.file != file);
            if places.is_empty() {
                self.leaves.remove(hash);
            }
        }
    }

    fn add(&mut self, file: FileId, hash: Hash, leaf: SharedLeaf) {
        let Some(shared) = self.files.get_mut(&file) else { return };
        let places = self.leaves.entry(hash).or_default();
        if places.iter().all(|place| place.file != file) {
            places.push(Place { file, leaf });
            shared.leaves.push(hash);
        }
    }
}

/// The bytes of a leaf, and whether the stamp fitted before and after they were read.
fn read(
    path: &Path,
    stamp: Option<Stamp>,
    leaf: SharedLeaf,
    read_from: impl FnOnce(&File, u64, usize) -> io::Result<Bytes>,
) -> io::Result<Option<(Bytes, bool)>> {
    let file = match open_source(path) {
        Ok(file) => file,
        // Something else than a file has the name now.
        Err(error) if obstacle(&error).is_some() => return Ok(None),
        Err(error) => return absent(error),
    };
    let fits = || io::Result::Ok(stamp == Some(Stamp::of(&file.metadata()?)));
    let before = fits()?;
    let bytes = read_from(&file, leaf.offset, leaf.len as usize)?;
    if bytes.len() < leaf.len as usize {
        return Ok(None);
    }
    Ok(Some((bytes, before && fits()?)))
}

fn absent<T>(error: io::Error) -> io::Result<Option<T>> {
    if error.kind() == io::ErrorKind::NotFound { Ok(None) } else { Err(error) }
}

#[cfg(test)]
mod tests;
