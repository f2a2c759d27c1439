//! What can lie where only a file may lie.

use std::fs;
use std::os::unix::fs::{FileTypeExt as _, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use bitswap_core::chunk::Obstacle;
use rustix::fs::{CWD, FileType, Mode, mknodat};

const VICTIM: &str = "not to be touched";

/// Something that is no regular file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Thing {
    Link,
    DanglingLink,
    Directory,
    Fifo,
    Device,
    Socket,
}

impl Thing {
    /// All of them; devices only for the superuser, who alone can make them.
    pub(crate) fn all() -> Vec<Self> {
        let mut all =
            vec![Self::Link, Self::DanglingLink, Self::Directory, Self::Fifo, Self::Socket];
        if rustix::process::geteuid().is_root() {
            all.push(Self::Device);
        }
        all
    }

    /// Puts it there.
    pub(crate) fn put_at(self, path: &Path) -> Obstacle {
        match self {
            Self::Link => {
                fs::write(victim(path), VICTIM).unwrap();
                symlink(victim(path), path).unwrap();
                Obstacle::Link
            }
            Self::DanglingLink => {
                symlink(victim(path), path).unwrap();
                Obstacle::Link
            }
            Self::Directory => {
                fs::create_dir(path).unwrap();
                Obstacle::Directory
            }
            Self::Fifo => {
                mknodat(CWD, path, FileType::Fifo, Mode::RWXU, 0).unwrap();
                Obstacle::Fifo
            }
            Self::Device => {
                // The numbers of /dev/zero: whoever reads it by mistake never ends.
                let zero = rustix::fs::makedev(1, 5);
                mknodat(CWD, path, FileType::CharacterDevice, Mode::RWXU, zero).unwrap();
                Obstacle::Device
            }
            Self::Socket => {
                drop(UnixListener::bind(path).unwrap());
                Obstacle::Socket
            }
        }
    }

    /// It is still there, and what a link leads to is as it was.
    pub(crate) fn assert_untouched(self, path: &Path) {
        let kind = fs::symlink_metadata(path).unwrap().file_type();
        assert!(match self {
            Self::Link => kind.is_symlink() && fs::read(path).unwrap() == VICTIM.as_bytes(),
            Self::DanglingLink => kind.is_symlink() && !victim(path).exists(),
            Self::Directory => kind.is_dir(),
            Self::Fifo => kind.is_fifo(),
            Self::Device => kind.is_char_device(),
            Self::Socket => kind.is_socket(),
        });
    }
}

fn victim(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap().to_owned();
    name.push("-victim");
    path.with_file_name(name)
}
