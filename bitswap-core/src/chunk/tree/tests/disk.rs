//! A folder in memory that fails and crashes on command.
//!
//! What it keeps through a crash is what a real disk must keep and no more. Names change in their order: after a
//! crash they are as they were at some moment since they were durable.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec;
use alloc::vec::Vec;

use bytes::Bytes;

use crate::chunk::testing::{Survives, fs_error};
use crate::chunk::{
    Done, Effect, FileRole, FsError, FsErrorKind, Metadata, Stamp, TreeEffect, TreePath,
};
use crate::rng::Rng;

/// What has a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Node {
    Dir,
    Link(String),
    File(usize),
}

#[derive(Clone, Debug, Default)]
struct Inode {
    live: Vec<u8>,
    synced: Vec<u8>,
    unsynced: Vec<(usize, Option<Bytes>)>,
    changed: u64,
}

type Names = BTreeMap<String, Node>;

/// The target is below `t`, the work directory below `w`.
#[derive(Clone, Debug, Default)]
pub(super) struct FakeFolder {
    inodes: Vec<Inode>,
    names: Names,
    /// Since they were durable, in order.
    history: Vec<Names>,
    open: BTreeMap<String, usize>,
    pub(super) is_locked: bool,
    clock: u64,
    pub(super) metadata: BTreeMap<String, Metadata>,
    pub(super) log: Vec<TreeEffect>,
    pub(super) fail_at: Option<(usize, FsError)>,
    pub(super) is_locked_elsewhere: bool,
    /// Another program holds the file of this name, for so many more tries to read or rename it.
    pub(super) held: Option<(String, u32)>,
    /// Bytes that can still be put.
    pub(super) space: Option<u64>,
    /// It will not crash: how its names were is forgotten.
    pub(super) is_eternal: bool,
}

fn temp(path: &TreePath) -> String {
    format!("w/{}", path.as_str().replace('/', ":"))
}

pub(super) fn target(path: &TreePath, number: u32) -> String {
    match (path.is_root(), number) {
        (true, _) => "t".to_string(),
        (false, 0) => format!("t/{path}"),
        (false, number) => format!("t/{path} ({number})"),
    }
}

impl FakeFolder {
    pub(super) fn new() -> Self {
        Self { history: vec![Names::new()], ..Self::default() }
    }

    /// Puts a durable file or directory of the user.
    pub(super) fn put(&mut self, path: &str, bytes: Option<&[u8]>) {
        let node = bytes.map_or(Node::Dir, |bytes| Node::File(self.inode(bytes)));
        self.names.insert(path.to_string(), node);
        self.durable();
    }

    fn inode(&mut self, bytes: &[u8]) -> usize {
        let (live, synced) = (bytes.to_vec(), bytes.to_vec());
        self.inodes.push(Inode { live, synced, unsynced: vec![], changed: 0 });
        self.inodes.len() - 1
    }

    /// The target's entries, each with its bytes if it is a file.
    pub(super) fn tree(&self) -> BTreeMap<String, Option<Vec<u8>>> {
        self.below("t")
    }

    pub(super) fn below(&self, root: &str) -> BTreeMap<String, Option<Vec<u8>>> {
        let prefix = format!("{root}/");
        let entries = self.names.iter().filter_map(|(path, node)| {
            let bytes = match node {
                Node::Dir => None,
                Node::Link(target) => Some(format!("-> {target}").into_bytes()),
                Node::File(inode) => Some(self.inodes[*inode].live.clone()),
            };
            path.strip_prefix(&prefix).map(|path| (path.to_string(), bytes))
        });
        entries.collect()
    }

    pub(super) fn has(&self, path: &str) -> bool {
        self.names.contains_key(path)
    }

    pub(super) fn bytes(&self, path: &str) -> Option<&[u8]> {
        match self.names.get(path)? {
            Node::File(inode) => Some(&self.inodes[*inode].live),
            _ => None,
        }
    }

    pub(super) fn is_idle(&self) -> bool {
        self.open.is_empty() && !self.is_locked
    }

    fn changed(&mut self) {
        if self.is_eternal {
            return;
        }
        self.history.push(self.names.clone());
    }

    fn durable(&mut self) {
        self.history = vec![self.names.clone()];
    }

    pub(super) fn crash(&self, survives: Survives) -> Self {
        let seed = if let Survives::Some(seed) = survives { seed } else { 0 };
        let mut rng = Rng::new(&[seed; 32], "crash");
        let mut after = Self { clock: self.clock, ..Self::new() };
        for inode in &self.inodes {
            let mut bytes = inode.synced.clone();
            for (at, data) in &inode.unsynced {
                let keeps = match survives {
                    Survives::Nothing => false,
                    Survives::All => true,
                    Survives::Some(_) => rng.below(2) == 1,
                };
                match data {
                    _ if !keeps => {}
                    Some(data) => write_at(&mut bytes, *at, data),
                    None => bytes.resize(*at, 0),
                }
            }
            let (live, synced, changed) = (bytes.clone(), bytes, inode.changed);
            after.inodes.push(Inode { live, synced, unsynced: vec![], changed });
        }
        let last = self.history.len() - 1;
        let at = match survives {
            Survives::Nothing => 0,
            Survives::All => last,
            Survives::Some(_) => rng.below(last as u64 + 1) as usize,
        };
        after.names = self.history[at].clone();
        after.durable();
        after
    }

    pub(super) fn run(&mut self, effect: &TreeEffect) -> Result<Done, FsError> {
        let number = self.log.len();
        self.log.push(effect.clone());
        if let Some((_, error)) = self.fail_at.filter(|(at, _)| *at == number) {
            self.fail(effect);
            return Err(error);
        }
        self.perform(effect)
    }

    /// What an operation leaves that fails half-way.
    fn fail(&mut self, effect: &TreeEffect) {
        match effect {
            TreeEffect::Put { number, bytes } => {
                let half = bytes.slice(..bytes.len() / 2);
                let _ = self.perform(&TreeEffect::Put { number: *number, bytes: half });
            }
            // Pages that failed count as clean: they will never be written.
            TreeEffect::Sync => self.inodes.iter_mut().for_each(|inode| inode.unsynced.clear()),
            TreeEffect::File { path, effect: Effect::Sync } => {
                if let Some(inode) = self.open.get(&temp(path)) {
                    self.inodes[*inode].unsynced.clear();
                }
            }
            TreeEffect::File { path, effect: Effect::Close { role } } => {
                self.open.remove(&Self::name(path, *role));
            }
            _ => {}
        }
    }

    /// Whether another program holds the file of an entry, for one try less now.
    fn is_held(&mut self, path: &TreePath, number: u32) -> bool {
        let Some((held, tries)) = &mut self.held else { return false };
        let is_held = *tries > 0 && *held == target(path, number);
        *tries -= u32::from(is_held);
        is_held
    }

    fn perform(&mut self, effect: &TreeEffect) -> Result<Done, FsError> {
        match effect {
            TreeEffect::Look { path, number, .. }
                if self.has(&target(path, *number)) && self.is_held(path, *number) =>
            {
                return Err(fs_error(FsErrorKind::Busy));
            }
            TreeEffect::Name { path, to, .. } if self.is_held(path, *to) => {
                return Err(FsError { kind: FsErrorKind::PermissionDenied, code: Some(5) });
            }
            TreeEffect::Lock if self.is_locked_elsewhere => {
                return Err(fs_error(FsErrorKind::Locked));
            }
            TreeEffect::Lock => self.is_locked = true,
            TreeEffect::Unlock => self.is_locked = false,
            TreeEffect::ReadJournal { .. } => {
                let journal = self.bytes("w/journal").ok_or(fs_error(FsErrorKind::NotFound))?;
                return Ok(Done::Bytes(Bytes::copy_from_slice(journal)));
            }
            TreeEffect::SaveJournal { bytes } => {
                let inode = self.inode(bytes);
                // Only this name becomes durable, whatever becomes of the others.
                for names in self.history.iter_mut().chain([&mut self.names]) {
                    names.insert("w/journal".to_string(), Node::File(inode));
                }
            }
            TreeEffect::Begin => {
                self.names.insert("w".to_string(), Node::Dir);
                self.names.retain(|path, _| !path.starts_with("w/put-"));
                self.durable();
                return self.make_dir("t");
            }
            TreeEffect::MakeDir { path } => return self.make_dir(&target(path, 0)),
            TreeEffect::MakeLink { path, number, target: to, replace } => {
                let name = target(path, *number);
                match self.names.get(&name) {
                    Some(Node::Link(there)) if there == to => return Ok(Done::Equal(true)),
                    Some(Node::Dir) => return Err(fs_error(FsErrorKind::Exists)),
                    Some(_) if !replace => return Err(fs_error(FsErrorKind::Exists)),
                    _ => {}
                }
                self.names.insert(name, Node::Link(to.clone()));
                self.changed();
                return Ok(Done::Equal(false));
            }
            TreeEffect::Look { path, number, expected } => {
                return match self.names.get(&target(path, *number)) {
                    None => Err(fs_error(FsErrorKind::NotFound)),
                    Some(Node::Dir) => Err(fs_error(FsErrorKind::IsDirectory)),
                    Some(Node::Link(_)) => Ok(Done::Equal(false)),
                    Some(Node::File(inode)) => {
                        let bytes = self.inodes[*inode].live.clone();
                        Ok(Done::Equal(expected.matches(&bytes.into())))
                    }
                };
            }
            TreeEffect::Put { number, bytes } => {
                if let Some(space) = &mut self.space {
                    let left = space.checked_sub(bytes.len() as u64);
                    *space = left.ok_or(fs_error(FsErrorKind::DiskFull))?;
                }
                let (live, unsynced) = (bytes.to_vec(), vec![(0, Some(bytes.clone()))]);
                self.inodes.push(Inode { live, unsynced, ..Inode::default() });
                let inode = self.inodes.len() - 1;
                self.names.insert(format!("w/put-{number}"), Node::File(inode));
                self.changed();
            }
            TreeEffect::Sync => {
                for inode in &mut self.inodes {
                    inode.sync();
                }
                self.durable();
            }
            TreeEffect::Name { number, path, to, replace, metadata } => {
                let from = format!("w/put-{number}");
                self.rename(&from, &target(path, *to), *replace)?;
                self.metadata.insert(target(path, *to), *metadata);
            }
            TreeEffect::SetMetadata { path, number, metadata } => {
                self.metadata.insert(target(path, *number), *metadata);
            }
            TreeEffect::File { path, effect } => return self.file(path, effect),
            TreeEffect::RemoveWork => {
                self.names.retain(|path, _| path != "w" && !path.starts_with("w/"));
                self.changed();
            }
        }
        Ok(Done::Unit)
    }

    fn make_dir(&mut self, name: &str) -> Result<Done, FsError> {
        match self.names.get(name) {
            Some(Node::Dir) => return Ok(Done::Made { is_new: false }),
            Some(_) => return Err(fs_error(FsErrorKind::Exists)),
            None => {}
        }
        let parent = name.rsplit_once('/').map(|(parent, _)| parent);
        assert!(parent.is_none_or(|it| self.names.get(it) == Some(&Node::Dir)), "{name}");
        self.names.insert(name.to_string(), Node::Dir);
        self.changed();
        Ok(Done::Made { is_new: true })
    }

    fn rename(&mut self, from: &str, to: &str, replace: bool) -> Result<Done, FsError> {
        let parent = to.rsplit_once('/').map(|(parent, _)| parent).unwrap();
        assert_eq!(self.names.get(parent), Some(&Node::Dir), "{to}: its directory is there");
        match self.names.get(to) {
            Some(Node::Dir) => return Err(fs_error(FsErrorKind::IsDirectory)),
            Some(_) if !replace => return Err(fs_error(FsErrorKind::Exists)),
            _ => {}
        }
        let node = self.names.remove(from).ok_or(fs_error(FsErrorKind::NotFound))?;
        self.names.insert(to.to_string(), node);
        self.changed();
        Ok(Done::Unit)
    }

    fn name(path: &TreePath, role: FileRole) -> String {
        match role {
            FileRole::Temp => temp(path),
            FileRole::Target(number) => target(path, number),
            other => panic!("{other:?} is the tree's"),
        }
    }

    fn opened(&mut self, path: &TreePath, role: FileRole) -> Result<&mut Inode, FsError> {
        let inode = self.open.get(&Self::name(path, role)).ok_or(fs_error(FsErrorKind::Io))?;
        Ok(&mut self.inodes[*inode])
    }

    fn file(&mut self, path: &TreePath, effect: &Effect) -> Result<Done, FsError> {
        self.clock += 1;
        let clock = self.clock;
        match effect {
            Effect::Open { role, create } => {
                let name = Self::name(path, *role);
                let inode = match self.names.get(&name) {
                    Some(Node::File(inode)) => *inode,
                    Some(Node::Dir) => return Err(fs_error(FsErrorKind::IsDirectory)),
                    Some(Node::Link(_)) => return Err(fs_error(FsErrorKind::Exists)),
                    None if !create => return Err(fs_error(FsErrorKind::NotFound)),
                    None => {
                        self.inodes.push(Inode::default());
                        self.names.insert(name.clone(), Node::File(self.inodes.len() - 1));
                        self.changed();
                        self.inodes.len() - 1
                    }
                };
                self.open.insert(name, inode);
                return Ok(Done::Opened { len: self.inodes[inode].live.len() as u64 });
            }
            Effect::CheckReplace { .. } => {}
            Effect::FreeSpace => return Ok(Done::Space(self.space.unwrap_or(u64::MAX))),
            Effect::Stamp => {
                let inode = self.opened(path, FileRole::Temp)?;
                let mut stamp = [0; 32];
                stamp[..8].copy_from_slice(&(inode.live.len() as u64).to_le_bytes());
                stamp[8..16].copy_from_slice(&inode.changed.to_le_bytes());
                return Ok(Done::Stamp(Stamp(stamp)));
            }
            Effect::Allocate { len, .. } => {
                let inode = self.opened(path, FileRole::Temp)?;
                inode.live.resize(*len as usize, 0);
                inode.unsynced.push((*len as usize, None));
                inode.changed = clock;
            }
            Effect::Check(check) => {
                let live = &self.opened(path, check.role)?.live;
                let start = live.len().min(check.offset as usize);
                let end = live.len().min(start + check.len);
                let bytes = Bytes::copy_from_slice(&live[start..end]);
                return Ok(Done::Equal(check.matches(&bytes)));
            }
            Effect::Write { offset, bytes } => {
                let inode = self.opened(path, FileRole::Temp)?;
                write_at(&mut inode.live, *offset as usize, bytes);
                let bytes = Bytes::copy_from_slice(bytes);
                inode.unsynced.push((*offset as usize, Some(bytes)));
                inode.changed = clock;
            }
            Effect::Sync => self.opened(path, FileRole::Temp)?.sync(),
            Effect::Close { role } => {
                let closed = self.open.remove(&Self::name(path, *role));
                closed.ok_or(fs_error(FsErrorKind::Io))?;
            }
            Effect::Rename { to, replace } => {
                let (from, to) = (temp(path), Self::name(path, *to));
                assert!(!self.open.contains_key(&from), "closed before it is renamed");
                return self.rename(&from, &to, *replace);
            }
            Effect::SyncDir => self.durable(),
            Effect::Remove { role } => {
                self.names.remove(&Self::name(path, *role));
                self.changed();
            }
            other => panic!("{other:?} is the tree's"),
        }
        Ok(Done::Unit)
    }
}

impl Inode {
    fn sync(&mut self) {
        for (at, data) in core::mem::take(&mut self.unsynced) {
            match data {
                Some(data) => write_at(&mut self.synced, at, &data),
                None => self.synced.resize(at, 0),
            }
        }
    }
}

fn write_at(bytes: &mut Vec<u8>, at: usize, data: &[u8]) {
    if bytes.len() < at + data.len() {
        bytes.resize(at + data.len(), 0);
    }
    bytes[at..at + data.len()].copy_from_slice(data);
}
