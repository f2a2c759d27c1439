//! A disk in memory that fails and crashes on command, for tests of downloads and of their drivers.
//!
//! What it keeps through a crash is what a real disk must keep and no more: data that was synced,
//! names whose directory was synced. Of the rest any part may survive, chosen by a seed.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use bytes::Bytes;

use super::{Done, Effect, FileRole, FsError, FsErrorKind, Stamp};
use crate::rng::Rng;

/// What of the data that was not synced survives a crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Survives {
    /// Nothing.
    Nothing,
    /// Everything.
    All,
    /// Some writes, some in part, and some names: drawn from this seed.
    Some(u8),
}

/// A file's data, apart from its name.
#[derive(Clone, Debug, Default)]
struct Inode {
    live: Vec<u8>,
    synced: Vec<u8>,
    /// What happened since the last sync, in order.
    unsynced: Vec<Change>,
    /// When that was, by the disk's clock.
    changed: u64,
}

#[derive(Clone, Debug)]
enum Change {
    Write(usize, Bytes),
    Len(usize),
}

/// The disk.
#[derive(Clone, Debug, Default)]
pub struct FakeDisk {
    inodes: Vec<Inode>,
    names: BTreeMap<FileRole, usize>,
    durable_names: BTreeMap<FileRole, usize>,
    open: BTreeMap<FileRole, usize>,
    is_locked: bool,
    /// Counts changes.
    clock: u64,
    /// Every operation, in order.
    pub log: Vec<Effect>,
    /// The operation of this number (from 0) fails with this.
    pub fail_at: Option<(usize, FsError)>,
    /// These failures of the next renames come first.
    pub rename_failures: Vec<FsError>,
    /// How many bytes can be written in all; `None` is endless.
    pub space: Option<u64>,
    /// That is a quota: the disk itself has more.
    pub is_quota: bool,
    /// Another process holds the lock.
    pub is_locked_elsewhere: bool,
    /// Another program holds this file, for so many more tries to open it.
    pub held: Option<(FileRole, u32)>,
    /// Something is mounted at the target.
    pub is_busy: bool,
    /// The file system has no locks.
    pub has_no_locks: bool,
    /// The file system cannot sync directories.
    pub has_no_dir_syncs: bool,
    /// The target is a link that leads to no file.
    pub is_dangling: bool,
    /// Lengths are not backed by memory and writes are forgotten: for files that no memory holds.
    is_sparse: bool,
}

/// An error of a kind without a code.
#[must_use]
pub const fn fs_error(kind: FsErrorKind) -> FsError {
    FsError { kind, code: None }
}

impl FakeDisk {
    /// An empty disk.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A disk that forgets what is written, for files larger than memory.
    #[must_use]
    pub fn sparse() -> Self {
        Self { is_sparse: true, ..Self::default() }
    }

    /// Puts a durable file.
    pub fn put(&mut self, role: FileRole, bytes: &[u8]) {
        self.clock += 1;
        self.inodes.push(Inode {
            live: bytes.to_vec(),
            synced: bytes.to_vec(),
            unsynced: Vec::new(),
            changed: self.clock,
        });
        self.names.insert(role, self.inodes.len() - 1);
        self.durable_names.insert(role, self.inodes.len() - 1);
    }

    /// Changes a file's bytes without changing its metadata, as a failing disk does.
    pub fn corrupt(&mut self, role: FileRole, bytes: &[u8]) {
        if let Some(inode) = self.names.get(&role) {
            self.inodes[*inode].live = bytes.to_vec();
            self.inodes[*inode].synced = bytes.to_vec();
        }
    }

    /// Removes a file, durably, as its user may.
    pub fn delete(&mut self, role: FileRole) {
        self.names.remove(&role);
        self.durable_names.remove(&role);
    }

    /// A file's bytes as programs see them.
    #[must_use]
    pub fn bytes(&self, role: FileRole) -> Option<&[u8]> {
        self.names.get(&role).map(|inode| &self.inodes[*inode].live[..])
    }

    /// The files that exist.
    #[must_use]
    pub fn files(&self) -> Vec<FileRole> {
        self.names.keys().copied().collect()
    }

    /// Whether no file is open and the lock is free.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.open.is_empty() && !self.is_locked
    }

    /// The disk after a crash: nothing is open, and what was not synced survives as chosen by `survives`.
    #[must_use]
    pub fn crash(&self, survives: Survives) -> Self {
        let mut rng =
            Rng::new(&[if let Survives::Some(seed) = survives { seed } else { 0 }; 32], "crash");
        let mut keeps = |_what: &str| match survives {
            Survives::Nothing => false,
            Survives::All => true,
            Survives::Some(_) => rng.below(2) == 1,
        };
        let mut after = Self { clock: self.clock, ..Self::default() };
        (after.space, after.is_quota) = (self.space, self.is_quota);
        for inode in &self.inodes {
            let mut bytes = inode.synced.clone();
            for change in &inode.unsynced {
                match change {
                    Change::Len(len) if keeps("length") => bytes.resize(*len, 0),
                    Change::Len(_) => {}
                    Change::Write(at, data) => {
                        // Disks write sectors: any of them may be there.
                        for (sector, part) in data.chunks(8).enumerate() {
                            if keeps("sector") {
                                write_at(&mut bytes, at + sector * 8, part);
                            }
                        }
                    }
                }
            }
            // The time of the last change is on disk, whatever became of the change.
            let (live, synced, changed) = (bytes.clone(), bytes, inode.changed);
            after.inodes.push(Inode { live, synced, unsynced: Vec::new(), changed });
        }
        // Names change together or not at all, as in a journaling file system.
        let names = if keeps("names") { &self.names } else { &self.durable_names };
        after.names.clone_from(names);
        after.durable_names.clone_from(names);
        after
    }

    /// RangeSet one operation.
    ///
    /// # Errors
    ///
    /// What a real disk would report, and the injected failures.
    pub fn run(&mut self, effect: &Effect) -> Result<Done, FsError> {
        let number = self.log.len();
        self.log.push(match effect {
            // A disk does not keep what it was given to write.
            Effect::Write { offset, bytes } => {
                Effect::Write { offset: *offset, bytes: Bytes::copy_from_slice(bytes) }
            }
            other => other.clone(),
        });
        if let Some((_, error)) = self.fail_at.filter(|(at, _)| *at == number) {
            if let Effect::Write { offset, bytes } = effect {
                // A short write before the failure.
                self.write(*offset, &bytes.slice(..bytes.len() / 2))?;
            }
            if let Effect::Sync = effect {
                // The failed pages count as clean: they will never be written.
                if let Some(inode) = self.open.get(&FileRole::Temp) {
                    self.inodes[*inode].unsynced.clear();
                }
            }
            if let Effect::Close { role } = effect {
                self.open.remove(role);
            }
            return Err(error);
        }
        let opens = match effect {
            Effect::Lock => Some(FileRole::Lock),
            Effect::Open { role, .. } | Effect::Read { role, .. } => Some(*role),
            _ => None,
        };
        if let Some((role, tries)) = &mut self.held
            && opens == Some(*role)
            && *tries > 0
        {
            *tries -= 1;
            return Err(fs_error(FsErrorKind::Busy));
        }
        match effect {
            Effect::Lock if self.is_locked_elsewhere || self.is_locked => {
                Err(fs_error(FsErrorKind::Locked))
            }
            Effect::Lock => {
                self.is_locked = true;
                Ok(if self.has_no_locks { Done::LockFile } else { Done::Unit })
            }
            Effect::Unlock => {
                self.is_locked = false;
                Ok(Done::Unit)
            }
            Effect::Read { role, .. } => {
                let bytes = self.bytes(*role).ok_or(fs_error(FsErrorKind::NotFound))?;
                Ok(Done::Bytes(Bytes::copy_from_slice(bytes)))
            }
            Effect::Open { role, create } => self.open(*role, *create),
            Effect::CheckReplace { .. } if self.is_busy => Err(fs_error(FsErrorKind::Busy)),
            Effect::CheckReplace { .. } => Ok(Done::Unit),
            Effect::FreeSpace => {
                let space = self.space.filter(|_| !self.is_quota);
                Ok(Done::Space(space.unwrap_or(u64::MAX)))
            }
            Effect::Allocate { .. } | Effect::Write { .. } if self.is_sparse => Ok(Done::Unit),
            Effect::Stamp => {
                let inode = self.inode(FileRole::Temp)?;
                let (len, changed) = (inode.live.len() as u64, inode.changed);
                // All files have one number, as on a disk that gives it to another once it is free.
                let mut stamp = [0; 32];
                stamp[..8].copy_from_slice(&len.to_le_bytes());
                stamp[8..16].copy_from_slice(&changed.to_le_bytes());
                Ok(Done::Stamp(Stamp(stamp)))
            }
            Effect::Allocate { len, .. } => {
                let inode = self.changing()?;
                inode.live.resize(*len as usize, 0);
                inode.unsynced.push(Change::Len(*len as usize));
                Ok(Done::Unit)
            }
            Effect::Check(check) => {
                let live = &self.inode(check.role)?.live;
                let start = live.len().min(check.offset as usize);
                let end = live.len().min(start + check.len);
                Ok(Done::Equal(check.matches(&Bytes::copy_from_slice(&live[start..end]))))
            }
            Effect::Digest { role, len, leaves } => {
                let live = &self.inode(*role)?.live;
                let mut digest = match leaves {
                    Some(leaves) => super::FileDigest::merkle_root(leaves),
                    None => super::FileDigest::sha256(),
                };
                let bytes = live.get(..*len as usize).ok_or(fs_error(FsErrorKind::Io))?;
                digest.update(bytes);
                Ok(Done::Digest(digest.finish()))
            }
            Effect::Write { offset, bytes } => self.write(*offset, bytes),
            Effect::Sync => {
                let inode = self.inode(FileRole::Temp)?;
                // Only what is not lost already becomes durable.
                for change in core::mem::take(&mut inode.unsynced) {
                    match change {
                        Change::Write(at, data) => write_at(&mut inode.synced, at, &data),
                        Change::Len(len) => inode.synced.resize(len, 0),
                    }
                }
                Ok(Done::Unit)
            }
            Effect::SaveJournal { bytes } => {
                self.put(FileRole::Journal, bytes);
                Ok(Done::Unit)
            }
            Effect::Close { role } => {
                self.open.remove(role).map(|_| Done::Unit).ok_or(fs_error(FsErrorKind::Io))
            }
            Effect::Rename { to, replace } => self.rename(*to, *replace),
            Effect::SyncDir if self.has_no_dir_syncs => Err(fs_error(FsErrorKind::Unsupported)),
            Effect::SyncDir => {
                self.durable_names = self.names.clone();
                Ok(Done::Unit)
            }
            Effect::Remove { role } => {
                self.names.remove(role);
                Ok(Done::Unit)
            }
        }
    }

    fn open(&mut self, role: FileRole, create: bool) -> Result<Done, FsError> {
        if role == FileRole::Target(0) && self.is_dangling {
            return Err(fs_error(FsErrorKind::Exists));
        }
        if !self.names.contains_key(&role) {
            if !create {
                return Err(fs_error(FsErrorKind::NotFound));
            }
            self.inodes.push(Inode::default());
            self.names.insert(role, self.inodes.len() - 1);
        }
        let inode = self.names[&role];
        self.open.insert(role, inode);
        Ok(Done::Opened { len: self.inodes[inode].live.len() as u64 })
    }

    fn write(&mut self, offset: u64, bytes: &Bytes) -> Result<Done, FsError> {
        if let Some(space) = &mut self.space {
            let left = space.checked_sub(bytes.len() as u64);
            let kind =
                if self.is_quota { FsErrorKind::QuotaExceeded } else { FsErrorKind::DiskFull };
            *space = left.ok_or_else(|| fs_error(kind))?;
        }
        let inode = self.changing()?;
        write_at(&mut inode.live, offset as usize, bytes);
        inode.unsynced.push(Change::Write(offset as usize, Bytes::copy_from_slice(bytes)));
        Ok(Done::Unit)
    }

    fn rename(&mut self, to: FileRole, replace: bool) -> Result<Done, FsError> {
        if !self.rename_failures.is_empty() {
            return Err(self.rename_failures.remove(0));
        }
        if self.open.contains_key(&FileRole::Temp) || self.open.contains_key(&to) {
            return Err(FsError { kind: FsErrorKind::Io, code: Some(32) });
        }
        if self.names.contains_key(&to) && !replace {
            return Err(fs_error(FsErrorKind::Exists));
        }
        let inode = self.names.remove(&FileRole::Temp).ok_or(fs_error(FsErrorKind::NotFound))?;
        self.names.insert(to, inode);
        Ok(Done::Unit)
    }

    /// The temporary file, which is about to be changed.
    fn changing(&mut self) -> Result<&mut Inode, FsError> {
        self.clock += 1;
        let clock = self.clock;
        let inode = self.inode(FileRole::Temp)?;
        inode.changed = clock;
        Ok(inode)
    }

    fn inode(&mut self, role: FileRole) -> Result<&mut Inode, FsError> {
        let inode = self.open.get(&role).ok_or(fs_error(FsErrorKind::Io))?;
        Ok(&mut self.inodes[*inode])
    }
}

fn write_at(bytes: &mut Vec<u8>, at: usize, data: &[u8]) {
    if bytes.len() < at + data.len() {
        bytes.resize(at + data.len(), 0);
    }
    bytes[at..at + data.len()].copy_from_slice(data);
}
