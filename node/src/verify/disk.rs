//! What a comparison reads from the disk.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::fs::{self, ReadDir};
use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use bitswap_core::Block;
use bitswap_core::chunk::{LeafForm, Metadata, Profile, symlink};
use cid::Cid;

use crate::fs::regular::open_source;
use crate::fs::{native_names, read_from};

/// The longest file, in bytes, that can be a node by itself.
const LEAF_MAX: u64 = 2 << 20;

/// Names that are read from a directory at a time.
const NAMES_AT_ONCE: usize = 1024;

/// What is on a disk under a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnDisk {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A pipe, a socket, a device.
    Other,
}

/// What has a name; `None` for nothing.
pub(super) fn look(path: &Path, follow: bool) -> io::Result<Option<OnDisk>> {
    let metadata = if follow { fs::metadata(path) } else { fs::symlink_metadata(path) };
    match metadata {
        Ok(metadata) => Ok(Some(match metadata.file_type() {
            kind if kind.is_file() => OnDisk::File,
            kind if kind.is_dir() => OnDisk::Directory,
            kind if kind.is_symlink() => OnDisk::Symlink,
            _ => OnDisk::Other,
        })),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The ranges in which a short file differs from what it should be.
pub(super) fn different(path: &Path, expected: &[u8]) -> io::Result<Vec<Range<u64>>> {
    let (file, len) = (open_source(path)?, expected.len() as u64);
    let (found, found_len) = (read_from(&file, 0, expected.len())?, file.metadata()?.len());
    let within = (*found != *expected).then_some(0..len);
    let beyond = (found_len > len).then_some(len..found_len);
    Ok(within.into_iter().chain(beyond).collect())
}

/// The next names of a directory that are not among those that it should have, in order; and the rest of it.
pub(super) fn extras(
    path: &Path,
    rest: Option<ReadDir>,
    names: &HashSet<u64>,
    hasher: &RandomState,
) -> io::Result<(Vec<OsString>, Option<ReadDir>)> {
    let mut entries = match rest {
        Some(rest) => rest,
        None => fs::read_dir(path)?,
    };
    let (mut extra, mut is_over) = (Vec::new(), true);
    for (read, entry) in entries.by_ref().enumerate() {
        let name = entry?.file_name();
        if !names.contains(&key(hasher, &name)) {
            extra.push(name);
        }
        if read + 1 == NAMES_AT_ONCE {
            is_over = false;
            break;
        }
    }
    extra.sort();
    Ok((extra, (!is_over).then_some(entries)))
}

/// The same for names that this system takes for the same.
pub(super) fn key(hasher: &RandomState, name: &OsStr) -> u64 {
    let folded = name.to_str().and_then(|name| native_names(name).ok().flatten());
    folded.unwrap_or_else(|| hasher.hash_one(name))
}

/// The path of an entry below a root.
pub(super) fn on_disk(root: &Path, path: &str) -> PathBuf {
    let mut at = root.to_owned();
    at.extend(path.split('/').filter(|name| !name.is_empty()));
    at
}

/// The block of the small file or symbolic link at this place, if it has this CID.
pub(super) fn block_at(cid: Cid, place: &Path) -> Option<Block> {
    let metadata = fs::symlink_metadata(place).ok()?;
    if metadata.is_symlink() {
        let target = fs::read_link(place).ok()?;
        let target = target_text(&target)?;
        let (_, block) = symlink(Profile::default(), &target, &Metadata::default()).ok()?;
        return Block::new(cid, block.data().clone()).ok();
    }
    if !metadata.is_file() || metadata.len() > LEAF_MAX {
        return None;
    }
    let bytes = read_from(&open_source(place).ok()?, 0, LEAF_MAX as usize).ok()?;
    [LeafForm::WrappedFile, LeafForm::WrappedRaw]
        .into_iter()
        .find_map(|form| Block::new(cid, form.block(&bytes)).ok())
}

/// Where a link leads, as a tree says it.
fn target_text(target: &Path) -> Option<String> {
    let target = target.to_str()?;
    Some(if cfg!(windows) { target.replace('\\', "/") } else { target.to_owned() })
}

pub(super) fn is_target(found: &Path, expected: &str) -> bool {
    target_text(found).is_some_and(|found| {
        if cfg!(windows) { found == expected.replace('\\', "/") } else { found == expected }
    })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn a_small_file_and_a_link_are_blocks_by_what_is_in_them() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        fs::write(at("file"), "bytes").unwrap();
        for form in [LeafForm::WrappedFile, LeafForm::WrappedRaw] {
            let data = form.block(&Bytes::from_static(b"bytes"));
            let cid = Cid::new_v1(0x70, *Block::raw(data.clone()).cid().hash());
            assert_eq!(block_at(cid, &at("file")).unwrap().data(), &data);
            assert!(block_at(cid, &at("none")).is_none());
        }
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink("a/b", at("link")).unwrap();
            let link = |target| symlink(Profile::default(), target, &Metadata::default()).unwrap();
            let (_, block) = link("a/b");
            assert_eq!(block_at(*block.cid(), &at("link")).unwrap().data(), block.data());
            let (_, other) = link("a/c");
            assert!(block_at(*other.cid(), &at("link")).is_none());
        }
    }

    #[test]
    fn a_link_leads_where_its_text_says() {
        assert!(is_target(Path::new("a/b"), "a/b"));
        assert!(!is_target(Path::new("a/c"), "a/b"));
        assert_eq!(target_text(Path::new("a/b")).as_deref(), Some("a/b"));
    }
}
