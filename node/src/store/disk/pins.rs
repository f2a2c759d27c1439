//! Which blocks are pinned: a file each, named by the CID in base 32, so that it means the same on file
//! systems that ignore case. A pin is there or not, whenever a process is killed.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::PathBuf;

use cid::Cid;
use cid::multibase::Base;

use crate::fs::durable;

/// The pins of a store.
#[derive(Debug)]
pub(super) struct Pins(PathBuf);

impl Pins {
    pub(super) fn open(directory: PathBuf) -> io::Result<Self> {
        fs::create_dir_all(&directory)?;
        Ok(Self(directory))
    }

    fn path(&self, root: &Cid) -> PathBuf {
        self.0.join(Base::Base32Lower.encode(root.to_bytes()))
    }

    /// Pins durably.
    pub(super) fn add(&self, root: &Cid) -> io::Result<()> {
        match File::create_new(self.path(root)) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
        durable::sync_dir(&self.0).map(drop)
    }

    /// Unpins; false if it was not pinned.
    pub(super) fn remove(&self, root: &Cid) -> io::Result<bool> {
        match fs::remove_file(self.path(root)) {
            Ok(()) => durable::sync_dir(&self.0).map(|_| true),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// All of them, in the order of their names.
    pub(super) fn all(&self) -> io::Result<Vec<Cid>> {
        let mut pins = Vec::new();
        for entry in fs::read_dir(&self.0)? {
            let name = entry?.file_name();
            let wrong = || {
                let text = format!("{} in {} is no pin", name.display(), self.0.display());
                io::Error::new(ErrorKind::InvalidData, text)
            };
            let bytes = name.to_str().and_then(|name| Base::Base32Lower.decode(name).ok());
            let cid = bytes.and_then(|bytes| Cid::try_from(bytes).ok());
            // Not passed over: it may be one that is damaged, and what it pins would be removed.
            pins.push(cid.ok_or_else(wrong)?);
        }
        pins.sort_unstable();
        Ok(pins)
    }
}
