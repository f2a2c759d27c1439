//! How much a store holds.
//!
//! Counted while the store is open and written down when it is closed. The file is removed when the
//! store is opened, so one that is there is right; after a crash there is none, and the blocks are counted
//! again when somebody asks.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::fs::{durable, regular};

const MAGIC: &str = "bitswap usage 1\n";

/// How many blocks there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Usage {
    /// Blocks.
    pub blocks: u64,
    /// Their lengths, in all; what the file system needs beside them is not counted.
    pub bytes: u64,
}

impl Usage {
    /// One more block.
    pub(super) const fn add(&mut self, bytes: u64) {
        self.blocks = self.blocks.saturating_add(1);
        self.bytes = self.bytes.saturating_add(bytes);
    }

    /// One block less.
    pub(super) const fn take(&mut self, bytes: u64) {
        self.blocks = self.blocks.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes);
    }
}

/// The file in which the usage lies while the store is closed.
#[derive(Debug)]
pub(super) struct Record(PathBuf);

impl Record {
    pub(super) fn of(root: &Path) -> Self {
        Self(root.join("usage"))
    }

    /// Reads it and removes it. It is gone for good before anything changes.
    pub(super) fn take(&self) -> io::Result<Option<Usage>> {
        let read = regular::open_own(&self.0).and_then(io::read_to_string);
        let text = match read {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            // Whatever it is, it is no usage, and is replaced.
            Err(error) if error.kind() == io::ErrorKind::InvalidData => String::new(),
            Err(error) => return Err(error),
        };
        fs::remove_file(&self.0)?;
        if let Some(root) = self.0.parent() {
            durable::sync_dir(root)?;
        }
        Ok(parse(&text))
    }

    /// Writes it. A crash may leave none, and none that is wrong.
    pub(super) fn put(&self, usage: Usage) -> io::Result<()> {
        let new = self.0.with_extension("new");
        let Usage { blocks, bytes } = usage;
        let text = format!("{MAGIC}{blocks} {bytes}\n");
        let mut file = fs::File::create(&new)?;
        io::Write::write_all(&mut file, text.as_bytes())?;
        durable::sync(&file)?;
        drop(file);
        durable::rename(&new, &self.0)
    }
}

fn parse(text: &str) -> Option<Usage> {
    let (blocks, bytes) = text.strip_prefix(MAGIC)?.strip_suffix('\n')?.split_once(' ')?;
    Some(Usage { blocks: blocks.parse().ok()?, bytes: bytes.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_usage_is_read_once_and_only_if_it_is_whole() {
        let directory = tempfile::tempdir().unwrap();
        let record = Record::of(directory.path());
        assert_eq!(record.take().unwrap(), None);
        let usage = Usage { blocks: 3, bytes: 70 };
        record.put(usage).unwrap();
        assert_eq!(record.take().unwrap(), Some(usage));
        assert_eq!(record.take().unwrap(), None);
        for wrong in ["", "bitswap usage 1\n", "bitswap usage 1\n3 7", "bitswap usage 2\n3 7\n"] {
            fs::write(directory.path().join("usage"), wrong).unwrap();
            assert_eq!(record.take().unwrap(), None, "{wrong:?}");
        }
        fs::write(directory.path().join("usage"), [0xff; 9]).unwrap();
        assert_eq!(record.take().unwrap(), None);
    }
}
