//! The blocks that a walk has met: exact, however many they are, and in bounded memory.
//!
//! The youngest are in memory. When there are many they are sorted and written to a file, in which others
//! are found by bisection. The blocks that are still to be visited overflow into a file likewise.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use cid::Cid;
use sha2::{Digest as _, Sha256};

use crate::fs::{read_at, write_at};
use crate::store::Hash;

/// Blocks in memory.
const MEMORY: usize = 1 << 19;

/// CIDs to visit that are in memory, and that are written at once.
const PENDING: usize = 1 << 14;

const KEY: usize = 32;
/// What a CID takes in the file: its length, and its bytes.
const RECORD: usize = 104;

type Key = [u8; KEY];

fn key(bytes: &[u8]) -> Key {
    Sha256::digest(bytes).into()
}

/// A set of blocks.
pub(super) struct Marks {
    young: HashSet<Key>,
    runs: Vec<Run>,
    directory: PathBuf,
    memory: usize,
}

/// Sorted keys in a file, which is removed with the value.
struct Run {
    file: File,
    len: u64,
    path: PathBuf,
}

impl Drop for Run {
    fn drop(&mut self) {
        // What stays is removed when the store is opened.
        let _ = fs::remove_file(&self.path);
    }
}

impl Marks {
    /// None yet; the directory is for what does not fit into memory.
    pub(super) fn new(directory: &Path) -> Self {
        Self::within(directory, MEMORY)
    }

    fn within(directory: &Path, memory: usize) -> Self {
        Self { young: HashSet::new(), runs: Vec::new(), directory: directory.to_owned(), memory }
    }

    /// Marks a block; false if it was already.
    pub(super) fn insert(&mut self, hash: &Hash) -> io::Result<bool> {
        self.insert_key(key(&hash.to_bytes()))
    }

    /// Marks a block as one whose links are followed; false if they were already. It is apart from the block
    /// itself, which others may have called a leaf.
    pub(super) fn insert_node(&mut self, cid: &Cid) -> io::Result<bool> {
        let mut name = b"node".to_vec();
        name.extend(cid.codec().to_be_bytes());
        name.extend(cid.hash().to_bytes());
        self.insert_key(key(&name))
    }

    /// Whether a block is marked.
    pub(super) fn contains(&self, hash: &Hash) -> io::Result<bool> {
        self.has(&key(&hash.to_bytes()))
    }

    fn insert_key(&mut self, key: Key) -> io::Result<bool> {
        if self.has(&key)? {
            return Ok(false);
        }
        if self.young.len() >= self.memory {
            self.write_out()?;
        }
        Ok(self.young.insert(key))
    }

    fn has(&self, key: &Key) -> io::Result<bool> {
        if self.young.contains(key) {
            return Ok(true);
        }
        for run in &self.runs {
            if run.contains(key)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn write_out(&mut self) -> io::Result<()> {
        let mut keys: Vec<Key> = self.young.drain().collect();
        keys.sort_unstable();
        let path = self.directory.join(format!("marks-{}", self.runs.len()));
        let file = File::options().read(true).write(true).create_new(true).open(&path)?;
        let run = Run { file, len: keys.len() as u64, path };
        let mut writer = BufWriter::new(&run.file);
        for key in keys {
            writer.write_all(&key)?;
        }
        writer.flush()?;
        drop(writer);
        self.runs.push(run);
        Ok(())
    }
}

impl Run {
    fn contains(&self, wanted: &Key) -> io::Result<bool> {
        let (mut low, mut high) = (0, self.len);
        while low < high {
            let middle = low + (high - low) / 2;
            let mut key = [0; KEY];
            if read_at(&self.file, middle * KEY as u64, &mut key)? < KEY {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            match key.cmp(wanted) {
                std::cmp::Ordering::Equal => return Ok(true),
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
            }
        }
        Ok(false)
    }
}

/// What is still to be visited; the last that came is the first to go.
pub(super) struct Pending {
    top: Vec<Cid>,
    below: Option<(File, PathBuf)>,
    /// Records in the file.
    written: u64,
    path: PathBuf,
    memory: usize,
}

impl Pending {
    pub(super) fn new(directory: &Path) -> Self {
        Self::within(directory, PENDING)
    }

    fn within(directory: &Path, memory: usize) -> Self {
        let path = directory.join("pending");
        Self { top: Vec::new(), below: None, written: 0, path, memory }
    }

    pub(super) fn push(&mut self, cid: Cid) -> io::Result<()> {
        if self.top.len() >= 2 * self.memory {
            self.write_out()?;
        }
        self.top.push(cid);
        Ok(())
    }

    pub(super) fn pop(&mut self) -> io::Result<Option<Cid>> {
        if self.top.is_empty() && self.written > 0 {
            self.read_in()?;
        }
        Ok(self.top.pop())
    }

    fn file(&mut self) -> io::Result<&File> {
        let file = match self.below.take() {
            Some(below) => below,
            None => {
                let mut options = File::options();
                let file = options.read(true).write(true).create_new(true).open(&self.path)?;
                (file, self.path.clone())
            }
        };
        Ok(&self.below.insert(file).0)
    }

    fn write_out(&mut self) -> io::Result<()> {
        let out: Vec<Cid> = self.top.drain(..self.memory).collect();
        let mut bytes = Vec::with_capacity(out.len() * RECORD);
        for cid in &out {
            let cid = cid.to_bytes();
            let end = bytes.len() + RECORD;
            bytes.push(cid.len() as u8);
            bytes.extend(cid);
            bytes.resize(end, 0);
        }
        let at = self.written * RECORD as u64;
        write_at(self.file()?, at, &bytes)?;
        self.written += out.len() as u64;
        Ok(())
    }

    fn read_in(&mut self) -> io::Result<()> {
        let count = self.written.min(self.memory as u64);
        let mut bytes = vec![0; count as usize * RECORD];
        let at = (self.written - count) * RECORD as u64;
        let torn = || io::Error::from(io::ErrorKind::InvalidData);
        if read_at(self.file()?, at, &mut bytes)? < bytes.len() {
            return Err(torn());
        }
        for record in bytes.chunks_exact(RECORD) {
            let cid = record.get(1..1 + usize::from(record[0])).ok_or_else(torn)?;
            self.top.push(Cid::try_from(cid).map_err(|_| torn())?);
        }
        self.written -= count;
        Ok(())
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if let Some((file, path)) = self.below.take() {
            drop(file);
            let _ = fs::remove_file(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use bitswap_core::Block;

    use super::*;

    fn cid(number: u32) -> Cid {
        *Block::raw(number.to_be_bytes().to_vec()).cid()
    }

    fn left_in(directory: &Path) -> usize {
        fs::read_dir(directory).unwrap().count()
    }

    #[test]
    fn marks_that_do_not_fit_into_memory_are_found_in_files_which_go_with_them() {
        let directory = tempfile::tempdir().unwrap();
        let mut marks = Marks::within(directory.path(), 7);
        for number in 0..100 {
            assert!(marks.insert(cid(number).hash()).unwrap(), "{number}");
            assert!(!marks.insert(cid(number / 2).hash()).unwrap(), "{number}");
            assert!(marks.young.len() <= 7);
        }
        assert_eq!(left_in(directory.path()), 14);
        for number in 0..200 {
            assert_eq!(marks.contains(cid(number).hash()).unwrap(), number < 100, "{number}");
        }
        // A leaf is no node, whatever others say.
        assert!(marks.insert_node(&cid(1)).unwrap());
        assert!(!marks.insert_node(&cid(1)).unwrap());
        drop(marks);
        assert_eq!(left_in(directory.path()), 0);
    }

    #[test]
    fn what_is_to_be_visited_and_does_not_fit_into_memory_comes_back_last_first() {
        let directory = tempfile::tempdir().unwrap();
        let mut pending = Pending::within(directory.path(), 3);
        let mut model = Vec::new();
        for number in 0..200 {
            pending.push(cid(number)).unwrap();
            model.push(cid(number));
            assert!(pending.top.len() <= 6);
            if number % 5 == 0 {
                for _ in 0..3 {
                    assert_eq!(pending.pop().unwrap(), model.pop(), "{number}");
                }
            }
        }
        assert_eq!(left_in(directory.path()), 1);
        while let Some(expected) = model.pop() {
            assert_eq!(pending.pop().unwrap(), Some(expected));
        }
        assert_eq!(pending.pop().unwrap(), None);
        drop(pending);
        assert_eq!(left_in(directory.path()), 0);
    }
}
