//! An identity that outlives the process.

use std::fmt;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use fs4::{FileExt, TryLockError};
use libp2p::PeerId;
use libp2p::identity::Keypair;
use thiserror::Error;

use crate::fs::lock::{Lock, has_no_locks};
use crate::fs::secret::{self, Exposed};

/// The longest key of all kinds, RSA with 8192 bits, has less than 5 KiB.
const LEN_MAX: u64 = 16 << 10;

/// An identity in a file, which one node uses at a time.
///
/// The file holds the private key in libp2p's protobuf encoding and nothing else: what
/// [`Keypair::to_protobuf_encoding`] gives, `ipfs key export` writes, and Kubo's configuration has in base64
/// as `PrivKey`. Keys of Ed25519, RSA, secp256k1 and ECDSA are read; a new one is of Ed25519.
///
/// The operating system's lock on the file is held until this value, or the node that it is
/// [given to](crate::NodeBuilder::with_identity_file), ends; where a file system has no locks, it is not held. On
/// Windows nobody else could read a file that is locked, so there the lock is on a file beside it, with `.lock`
/// behind its name.
pub struct IdentityFile {
    path: PathBuf,
    keypair: Keypair,
    _lock: Held,
}

/// What keeps others from the identity.
enum Held {
    /// The lock of the key's file, or nothing where there are no locks.
    Key { _file: File },
    /// That of a file beside it.
    Beside { _lock: Lock },
}

/// Why an identity was not read from a file, or not made.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// Another node has it.
    #[error("another process runs with the identity in {path}; stop it, or choose another file")]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// Others may read the key.
    #[error(
        "the key in {path} is no secret: others may read it (mode {mode:04o}); \
         allow it to nobody else with `chmod 600`, or remove it for a new identity"
    )]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// There is no private key in it.
    #[error(
        "{path} holds no private key in libp2p's protobuf encoding; \
         give another file, or remove this one for a new identity"
    )]
    Invalid {
        /// The file.
        path: PathBuf,
    },
    /// It cannot be read or made.
    #[error("cannot use {path} for the node's identity")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl IdentityFile {
    /// Reads the identity in a file, and makes a new one when there is no such file. It uses the file system,
    /// briefly.
    ///
    /// A new file is its owner's alone from the beginning (mode 0600). A link is not followed, and on Unix a
    /// file that others may read is refused.
    ///
    /// # Errors
    ///
    /// [`IdentityError`] says what to do.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, IdentityError> {
        Self::open_by(path.into(), if cfg!(windows) { lock_beside } else { lock_key })
    }

    fn open_by(path: PathBuf, lock: Locks) -> Result<Self, IdentityError> {
        let new = || {
            let key = Keypair::generate_ed25519().to_protobuf_encoding();
            key.map_err(io::Error::other)
        };
        let file = match secret::open_or_create(&path, new) {
            Ok(file) => file,
            Err(error) => return Err(failed(path, error)),
        };
        let read = secret::read(&file, LEN_MAX);
        let held = match lock(file, &path) {
            Ok(held) => held,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                return Err(IdentityError::InUse { path });
            }
            Err(error) => return Err(failed(path, error)),
        };
        let keypair = keypair(read, &path)?;
        Ok(Self { path, keypair, _lock: held })
    }

    /// Reads the key in a file that there is, to sign with: also while a node runs with it.
    ///
    /// # Errors
    ///
    /// As [`Self::open`], but [`IdentityError::InUse`].
    pub fn read_key(path: impl Into<PathBuf>) -> Result<Keypair, IdentityError> {
        let path = path.into();
        let read = secret::open(&path).and_then(|file| secret::read(&file, LEN_MAX));
        keypair(read, &path)
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The identity.
    #[must_use]
    pub const fn keypair(&self) -> &Keypair {
        &self.keypair
    }

    /// What others know it by.
    #[must_use]
    pub fn peer_id(&self) -> PeerId {
        self.keypair.public().to_peer_id()
    }
}

/// How an identity is locked.
type Locks = fn(File, &Path) -> io::Result<Held>;

fn lock_key(file: File, _: &Path) -> io::Result<Held> {
    // Named in full: newer standard libraries have a method of that name.
    match FileExt::try_lock(&file) {
        Err(TryLockError::WouldBlock) => Err(io::ErrorKind::WouldBlock.into()),
        Err(TryLockError::Error(error)) if !has_no_locks(&error) => Err(error),
        _ => Ok(Held::Key { _file: file }),
    }
}

fn lock_beside(_: File, path: &Path) -> io::Result<Held> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".lock");
    Lock::take(beside.into()).map(|lock| Held::Beside { _lock: lock })
}

fn failed(path: PathBuf, source: io::Error) -> IdentityError {
    let exposed = source.get_ref().and_then(|error| error.downcast_ref::<Exposed>());
    match exposed.map(|Exposed { mode }| *mode) {
        Some(mode) => IdentityError::Exposed { path, mode },
        None => IdentityError::File { path, source },
    }
}

/// The key in what was read.
fn keypair<B: AsRef<[u8]>>(read: io::Result<B>, path: &Path) -> Result<Keypair, IdentityError> {
    let invalid = || IdentityError::Invalid { path: path.to_owned() };
    match read {
        // What it says of the bytes helps nobody, and they are secret.
        Ok(bytes) => Keypair::from_protobuf_encoding(bytes.as_ref()).map_err(|_| invalid()),
        Err(error) if error.kind() == io::ErrorKind::FileTooLarge => Err(invalid()),
        Err(error) => Err(failed(path.to_owned(), error)),
    }
}

impl fmt::Debug for IdentityFile {
    /// Only what others may know.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IdentityFile")
            .field("path", &self.path)
            .field("peer_id", &self.peer_id())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory() -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("identity");
        (directory, path)
    }

    #[test]
    fn an_identity_is_made_once_and_is_the_same_ever_after() {
        let (directory, path) = directory();
        let made = IdentityFile::open(&path).unwrap();
        let peer = made.peer_id();
        // What is in the file is the key as other implementations write it.
        let bytes = std::fs::read(&path).unwrap();
        assert_eq!(bytes, made.keypair().to_protobuf_encoding().unwrap());
        assert_eq!(bytes[..4], [8, 1, 18, 64], "an Ed25519 key of 64 bytes");
        drop(made);
        assert_eq!(IdentityFile::open(&path).unwrap().peer_id(), peer);
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1, "nothing is left");
    }

    #[test]
    fn an_identity_that_is_in_use_is_not_used_twice() {
        let (_directory, path) = directory();
        let first = IdentityFile::open(&path).unwrap();
        assert!(matches!(IdentityFile::open(&path), Err(IdentityError::InUse { .. })));
        drop(first);
        assert!(IdentityFile::open(&path).is_ok());
    }

    #[test]
    fn a_key_is_read_while_a_node_runs_with_it() {
        for lock in [lock_key as Locks, lock_beside] {
            let (directory, path) = directory();
            let used = IdentityFile::open_by(path.clone(), lock).unwrap();
            let again = IdentityFile::open_by(path.clone(), lock);
            assert!(matches!(again, Err(IdentityError::InUse { .. })));
            let key = IdentityFile::read_key(&path).unwrap();
            assert_eq!(key.public(), used.keypair().public());
            drop(used);
            assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
        }
    }

    /// Where nobody reads what another has locked, the key is not what is locked.
    #[test]
    fn a_lock_beside_the_key_leaves_the_key_unlocked() {
        let (_directory, path) = directory();
        let _used = IdentityFile::open_by(path.clone(), lock_beside).unwrap();
        FileExt::try_lock(&File::open(&path).unwrap()).unwrap();
    }

    #[test]
    fn of_many_that_make_one_identity_at_once_all_find_the_same() {
        let (_directory, path) = directory();
        let start = std::sync::Barrier::new(8);
        let found: Vec<Option<PeerId>> = std::thread::scope(|threads| {
            let open = || {
                start.wait();
                match IdentityFile::open(&path) {
                    Ok(identity) => Some(identity.peer_id()),
                    Err(IdentityError::InUse { .. }) => None,
                    Err(error) => panic!("{error:?}"),
                }
            };
            let threads: Vec<_> = (0..8).map(|_| threads.spawn(open)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let last = IdentityFile::open(&path).unwrap().peer_id();
        assert!(found.iter().flatten().all(|peer| *peer == last), "{found:?}");
        assert!(found.iter().any(Option::is_some));
    }

    #[test]
    fn what_is_no_key_is_refused_and_left_as_it_is() {
        let (_directory, path) = directory();
        for bytes in [&b""[..], b"no key", &[0; 20_000], &[8, 1, 18, 64, 1, 2, 3]] {
            std::fs::write(&path, bytes).unwrap();
            #[cfg(unix)]
            set_mode(&path, 0o600);
            let refused = IdentityFile::open(&path).unwrap_err();
            assert!(matches!(refused, IdentityError::Invalid { .. }), "{refused}");
            assert_eq!(std::fs::read(&path).unwrap(), bytes);
        }
    }

    #[cfg(unix)]
    fn set_mode(path: &Path, mode: u32) {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    #[cfg(unix)]
    #[test]
    fn a_key_is_its_owners_alone_from_the_beginning_and_refused_when_others_may_read_it() {
        use std::os::unix::fs::PermissionsExt as _;
        let (_directory, path) = directory();
        drop(IdentityFile::open(&path).unwrap());
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        for (mode, is_private) in
            [(0o400, true), (0o600, true), (0o640, false), (0o604, false), (0o620, false)]
        {
            set_mode(&path, mode);
            let opened = IdentityFile::open(&path);
            match opened {
                Ok(_) => assert!(is_private, "{mode:o}"),
                Err(IdentityError::Exposed { mode: said, .. }) => {
                    assert_eq!((said, is_private), (mode, false));
                }
                Err(error) => panic!("{mode:o}: {error}"),
            }
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_link_is_no_place_for_an_identity() {
        let (directory, path) = directory();
        let elsewhere = directory.path().join("elsewhere");
        std::os::unix::fs::symlink(&elsewhere, &path).unwrap();
        for _ in 0..2 {
            // To nothing at first, and then to a key.
            let refused = IdentityFile::open(&path).unwrap_err();
            let said = crate::ErrorChain(&refused).to_string();
            assert!(said.ends_with("it is a symbolic link"), "{said}");
            drop(IdentityFile::open(&elsewhere).unwrap());
        }
    }
}
