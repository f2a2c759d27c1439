//! Large files of a tree: their temporary files are in the work directory.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::sync::Arc;

use bitswap_core::chunk::{Done, Effect, FileRole, Obstacle, TreePath};
use fs4::FileExt as _;

use super::{FILE, Folder, digest, numbered_name};
use crate::fs::disk::free_space;
use crate::fs::errors::in_the_way;
use crate::fs::regular::obstacle;
use crate::fs::stamp::stamp;
use crate::fs::{durable, locked, read_at};

impl Folder {
    /// An operation on one of the large files.
    pub(super) fn file(&self, path: TreePath, effect: Effect) -> io::Result<Done> {
        let file = |role| {
            let file = locked(&self.open).files.get(&(path.clone(), role)).cloned();
            file.ok_or_else(|| io::Error::other("the file is not open"))
        };
        let temp_name = format!("{FILE}{}", digest(path.as_str()));
        let temp = || locked(&self.open).temps.entry(path.clone()).or_default().clone();
        // Does something to the temporary file.
        let on_temp = |operation: &dyn Fn(&File) -> io::Result<Done>| {
            temp().operate(&*file(FileRole::Temp)?, operation)
        };
        match effect {
            Effect::Open { role, create } => {
                let opened = self.open_large(&path, role, &temp_name, create);
                let opened = opened.map_err(in_the_way(role))?;
                let len = opened.metadata()?.len();
                if role == FileRole::Temp {
                    temp().opened(&opened)?;
                }
                locked(&self.open).files.insert((path, role), Arc::new(opened));
                return Ok(Done::Opened { len });
            }
            Effect::CheckReplace { role } => {
                let FileRole::Target(number) = role else { return Err(unknown()) };
                let dir = self.dir_of(&path)?;
                dir.may_replace(&numbered_name(&path, number)).map_err(in_the_way(role))?;
            }
            Effect::FreeSpace => return free_space(self.paths.dir()).map(Done::Space),
            Effect::Allocate { len, reserve } => {
                return on_temp(&|file| {
                    file.set_len(len)?;
                    if reserve {
                        file.allocate(len)?;
                    }
                    Ok(Done::Unit)
                });
            }
            Effect::Check(check) => {
                let mut bytes = vec![0; check.len];
                let read = read_at(&*file(check.role)?, check.offset, &mut bytes)?;
                return Ok(Done::Equal(read == check.len && check.matches(&bytes.into())));
            }
            Effect::Digest { role, len, leaves } => {
                let digest = crate::fs::digest::of(&*file(role)?, len, leaves.as_deref());
                return digest.map(Done::Digest);
            }
            Effect::Write { offset, bytes } => {
                return on_temp(&|file| (self.write)(file, offset, &bytes).map(|()| Done::Unit));
            }
            Effect::Sync => durable::sync(&*file(FileRole::Temp)?)?,
            Effect::Stamp => return on_temp(&|file| stamp(file).map(Done::Stamp)),
            Effect::Close { role } => drop(locked(&self.open).files.remove(&(path, role))),
            Effect::Rename { to, replace } => {
                let FileRole::Target(number) = to else { return Err(unknown()) };
                let (work, dir) = (self.work()?, self.dir_of(&path)?);
                temp().rename(
                    || work.read(&temp_name),
                    || {
                        let name = numbered_name(&path, number);
                        work.rename(&temp_name, &dir, &name, replace).map_err(in_the_way(to))
                    },
                )?;
                locked(&self.open).temps.remove(&path);
            }
            Effect::SyncDir => {
                self.work()?.sync()?;
                self.dir_of(&path)?.sync()?;
            }
            Effect::Remove { role: FileRole::Temp } => {
                locked(&self.open).temps.remove(&path);
                self.work()?.remove(&temp_name)?;
            }
            // The lock and the journal are the tree's.
            Effect::Remove { .. }
            | Effect::Lock
            | Effect::Unlock
            | Effect::Read { .. }
            | Effect::SaveJournal { .. } => return Err(unknown()),
        }
        Ok(Done::Unit)
    }

    fn open_large(
        &self,
        path: &TreePath,
        role: FileRole,
        temp_name: &str,
        create: bool,
    ) -> io::Result<File> {
        if let FileRole::Target(number) = role {
            return match self.dir_of(path)?.read(&numbered_name(path, number)) {
                // A link is another file, whatever it leads to.
                Err(error) if obstacle(&error) == Some(Obstacle::Link) => {
                    Err(ErrorKind::AlreadyExists.into())
                }
                file => file,
            };
        }
        let work = self.work()?;
        match work.write(temp_name) {
            Err(error) if error.kind() == ErrorKind::NotFound && create => work.create(temp_name),
            file => file,
        }
    }
}

fn unknown() -> io::Error {
    io::Error::other("no operation on a file of a tree")
}
