//! A lock that one process holds at a time.
//!
//! The operating system's advisory lock on a file, which dies with the process. The file is removed with
//! the lock; so whoever gets the lock looks whether the file that it locked still has the name,
//! and otherwise tries again: the one that held it may have removed it in between.
//!
//! Some file systems have no such locks. There the file itself stands for one: whoever makes it has the
//! lock, and its owner is written in it, so that another process can tell whether it still runs. One
//! that does not run any more loses it.
//!
//! The file also remembers, for whoever takes the lock after a crash, what its holder was about to do.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read as _};
use std::path::{Path, PathBuf};

use bitswap_core::chunk::Obstacle;
use fs4::{FileExt, TryLockError};

use super::owner::{Owner, State};
use super::regular::{self, NotRegular};
use super::{durable, write_at};

/// How often another process may remove the file in the very moment that we lock it.
const TRIES: u32 = 16;

/// What a lock file of ours begins with.
const MAGIC: &str = "bitswap lock 1\n";
const OWNER: &str = "owner ";
const CLAIM: &str = "claim ";

/// More than any lock file has.
const LEN_MAX: u64 = 4096;

type TryLock = fn(&File) -> Result<(), TryLockError>;

/// The error of a lock file whose owner cannot be asked from here whether it still runs.
#[derive(Debug, thiserror::Error)]
#[error("a lock file is there, of another machine or of nobody known")]
pub(crate) struct Unknown;

/// A held lock. It ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Lock {
    path: PathBuf,
    file: Option<File>,
    is_file: bool,
    /// Whether an earlier holder left its file, and what it had claimed.
    was_left: bool,
    left: Option<u32>,
}

impl Lock {
    /// Takes the lock. Fails with [`ErrorKind::WouldBlock`] when another process or value holds it, with
    /// [`Unknown`] when perhaps one does.
    pub(crate) fn take(path: PathBuf) -> io::Result<Self> {
        // Named in full: newer standard libraries have a method of that name.
        Self::take_by(path, FileExt::try_lock)
    }

    fn take_by(path: PathBuf, try_lock: TryLock) -> io::Result<Self> {
        let mut was_left = false;
        for _ in 0..TRIES {
            let (file, is_new) = regular::open_or_create_own(&path)?;
            let is_file = match try_lock(&file) {
                Ok(()) if !regular::has_name(&file, &path)? => continue,
                Ok(()) => false,
                Err(TryLockError::WouldBlock) => return Err(ErrorKind::WouldBlock.into()),
                Err(TryLockError::Error(error)) if !has_no_locks(&error) => return Err(error),
                Err(TryLockError::Error(_)) if is_new => true,
                Err(TryLockError::Error(_)) => {
                    remove_if_stale(&path, &content(&file)?)?;
                    was_left = true;
                    continue;
                }
            };
            let content = content(&file)?;
            let (was_left, left) = (was_left || !content.0.is_empty(), content.claim());
            let lock = Self { path, file: Some(file), is_file, was_left, left };
            lock.write(None)?;
            return Ok(lock);
        }
        Err(ErrorKind::WouldBlock.into())
    }

    /// Whether the file stands for the lock, and stays when the process is killed.
    pub(super) const fn is_file(&self) -> bool {
        self.is_file
    }

    /// Whether the holder before was killed, or [left](Self::leave) it.
    pub(super) const fn was_left(&self) -> bool {
        self.was_left
    }

    /// Gives the lock back and keeps its file, so that the next holder knows of this one. Where the file stands for the lock
    /// it goes all the same.
    pub(super) fn leave(mut self) -> io::Result<()> {
        if self.is_file {
            return Ok(());
        }
        match self.file.take() {
            // Who had it is no holder any more.
            Some(file) => file.set_len(MAGIC.len() as u64),
            None => Ok(()),
        }
    }

    /// What the holder before had claimed and not taken back, when it was killed.
    pub(super) const fn left_claim(&self) -> Option<u32> {
        self.left
    }

    /// Remembers durably that something with this number is claimed, or that nothing is.
    pub(super) fn claim(&self, number: Option<u32>) -> io::Result<()> {
        self.write(number)
    }

    fn write(&self, claim: Option<u32>) -> io::Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        let mut text = format!("{MAGIC}{OWNER}{}\n", Owner::this());
        if let Some(number) = claim {
            text.push_str(&format!("{CLAIM}{number}\n"));
        }
        write_at(file, 0, text.as_bytes())?;
        file.set_len(text.len() as u64)?;
        if claim.is_some() { durable::sync(file) } else { Ok(()) }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Removed while it is held: afterwards it may be another's. If it stays, it is only litter.
        if self
            .file
            .as_ref()
            .is_some_and(|file| regular::has_name(file, &self.path).unwrap_or(false))
        {
            let _ = fs::remove_file(&self.path);
        }
        self.file = None;
    }
}

/// What a lock file says, without taking the lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub enum LockState {
    /// There is none.
    Free,
    /// A running process has it.
    Held,
    /// Its process has ended; whoever comes next takes it over.
    Stale,
    /// It cannot be told from here: of another machine, or of something else.
    Unknown,
}

/// Looks at a lock file. Where its owner tells nothing, the lock is taken for a moment, as others that look may too.
///
/// # Errors
///
/// What the operating system says.
pub(crate) fn look(path: &Path) -> io::Result<LockState> {
    look_by(path, FileExt::try_lock_shared)
}

fn look_by(path: &Path, try_lock_shared: TryLock) -> io::Result<LockState> {
    let read = regular::open_itself(path).and_then(|file| Ok((content(&file)?, file)));
    let (content, file) = match read {
        Ok(read) => read,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(LockState::Free),
        Err(error) if regular::obstacle(&error).is_some() => return Ok(LockState::Unknown),
        // On Windows nobody else reads a locked file.
        Err(error) if cfg!(windows) && matches!(error.raw_os_error(), Some(32 | 33)) => {
            return Ok(LockState::Held);
        }
        Err(error) => return Err(error),
    };
    Ok(match content.owner().map_or(State::Unknown, |owner| owner.state()) {
        State::Runs => LockState::Held,
        State::Gone => LockState::Stale,
        // The lock ends with its process, and also with the machine that it ran on.
        State::Unknown => match try_lock_shared(&file) {
            Ok(()) => LockState::Stale,
            Err(TryLockError::WouldBlock) => LockState::Held,
            Err(TryLockError::Error(error)) if has_no_locks(&error) => LockState::Unknown,
            Err(TryLockError::Error(error)) => return Err(error),
        },
    })
}

/// Removes a lock file whose owner does not run any more. Only one process does this at a time, so that
/// none removes the file that another has just made.
fn remove_if_stale(path: &Path, content: &Content) -> io::Result<()> {
    match content.owner() {
        None => return Err(io::Error::other(Unknown)),
        Some(owner) => match owner.state() {
            State::Unknown => return Err(io::Error::other(Unknown)),
            State::Runs => return Err(ErrorKind::WouldBlock.into()),
            State::Gone => {}
        },
    }
    let mut guard = path.as_os_str().to_owned();
    guard.push("-new");
    let guard = Path::new(&guard);
    match File::create_new(guard) {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            return Err(io::Error::other(Unknown));
        }
        Err(error) => return Err(error),
    }
    let removed = regular::open_own(path).and_then(|file| {
        if self::content(&file)? == *content { fs::remove_file(path) } else { Ok(()) }
    });
    fs::remove_file(guard)?;
    match removed {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

/// What a lock file says.
#[derive(Debug, PartialEq, Eq)]
struct Content(String);

impl Content {
    fn owner(&self) -> Option<Owner> {
        self.line(OWNER).and_then(Owner::parse)
    }

    fn claim(&self) -> Option<u32> {
        self.line(CLAIM)?.parse().ok()
    }

    fn line(&self, begin: &str) -> Option<&str> {
        self.0.lines().find_map(|line| line.strip_prefix(begin))
    }
}

/// Refuses a file that is not a lock file. One that was just made is empty.
fn content(file: &File) -> io::Result<Content> {
    let mut bytes = Vec::new();
    let mut file = file;
    io::Seek::rewind(&mut file)?;
    file.take(LEN_MAX).read_to_end(&mut bytes)?;
    let text = String::from_utf8(bytes).unwrap_or_else(|_| "?".to_owned());
    if !text.is_empty() && !text.starts_with(MAGIC) {
        return Err(NotRegular(Obstacle::NotOurs).into());
    }
    Ok(Content(text))
}

/// Whether the file system, or the server behind it, has no locks.
pub(crate) fn has_no_locks(error: &io::Error) -> bool {
    #[cfg(unix)]
    {
        use rustix::io::Errno;
        let none = [Errno::NOSYS, Errno::NOLCK, Errno::OPNOTSUPP, Errno::NOTSUP, Errno::INVAL];
        Errno::from_io_error(error).is_some_and(|errno| none.contains(&errno))
    }
    #[cfg(windows)]
    {
        // Invalid function, not supported.
        matches!(error.raw_os_error(), Some(1 | 50))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path() -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lock");
        (directory, path)
    }

    #[test]
    fn a_lock_that_was_left_says_so_to_the_next_holder_and_one_that_was_given_back_does_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lock");
        for leaves in [false, true, false, false] {
            let lock = Lock::take(path.clone()).unwrap();
            let was_left = path.with_extension("left");
            assert_eq!(lock.was_left(), was_left.exists());
            let _ = fs::remove_file(&was_left);
            if leaves {
                lock.leave().unwrap();
                fs::write(&was_left, "").unwrap();
                assert_eq!(look(&path).unwrap(), LockState::Stale);
            } else {
                drop(lock);
                assert_eq!(look(&path).unwrap(), LockState::Free);
            }
        }
    }

    #[test]
    fn one_holds_it_at_a_time_and_nothing_is_left_behind() {
        let (_directory, path) = path();
        let lock = Lock::take(path.clone()).unwrap();
        assert!(!lock.is_file());
        assert_eq!(Lock::take(path.clone()).unwrap_err().kind(), ErrorKind::WouldBlock);
        drop(lock);
        assert!(!path.exists());
        Lock::take(path).unwrap();
    }

    #[cfg(unix)]
    #[test]
    fn a_look_tells_whether_a_process_has_it_and_takes_nothing() {
        let (_directory, path) = path();
        assert_eq!(look(&path).unwrap(), LockState::Free);
        let lock = Lock::take(path.clone()).unwrap();
        assert_eq!(look(&path).unwrap(), LockState::Held);
        drop(lock);
        // Whoever had it before the machine was started again, or on another machine, has it no more if it is free.
        for owner in [Owner::gone(), Owner::elsewhere()] {
            fs::write(&path, format!("{MAGIC}{OWNER}{owner}\n")).unwrap();
            assert_eq!(look(&path).unwrap(), LockState::Stale);
            Lock::take(path.clone()).unwrap();
        }
        fs::write(&path, format!("{MAGIC}{OWNER}{}\n", Owner::elsewhere())).unwrap();
        let held = File::open(&path).unwrap();
        FileExt::lock(&held).unwrap();
        assert_eq!(look(&path).unwrap(), LockState::Held);
        drop(held);
        fs::write(&path, "mine").unwrap();
        assert_eq!(look(&path).unwrap(), LockState::Unknown);
        assert!(path.exists());
    }

    #[test]
    fn a_file_left_by_a_process_that_died_is_no_lock() {
        let (_directory, path) = path();
        fs::write(&path, "").unwrap();
        Lock::take(path).unwrap();
    }

    #[cfg(unix)]
    #[test]
    fn a_locked_file_that_lost_its_name_is_not_the_lock() {
        let (_directory, path) = path();
        // The holder before removes the file between our opening and our locking it.
        thread_local!(static TRIES: std::cell::Cell<u32> = const { std::cell::Cell::new(0) });
        thread_local!(static PATH: std::cell::RefCell<PathBuf> = const { std::cell::RefCell::new(PathBuf::new()) });
        PATH.set(path.clone());
        let lock = Lock::take_by(path.clone(), |file| {
            if TRIES.replace(TRIES.get() + 1) == 0 {
                fs::remove_file(PATH.with_borrow(Clone::clone)).unwrap();
            }
            FileExt::try_lock(file)
        });
        assert_eq!(TRIES.get(), 2);
        drop(lock.unwrap());
        assert!(!path.exists());
    }

    // On Windows nobody else reads a locked file.
    #[cfg(unix)]
    #[test]
    fn a_file_that_somebody_else_put_there_is_neither_locked_nor_removed() {
        let (_directory, path) = path();
        fs::write(&path, "mine").unwrap();
        let refused = Lock::take(path.clone()).unwrap_err();
        assert_eq!(regular::obstacle(&refused), Some(Obstacle::NotOurs));
        assert_eq!(fs::read(&path).unwrap(), b"mine");
        fs::remove_file(&path).unwrap();
        // It takes the place of the lock while that is held.
        let lock = Lock::take(path.clone()).unwrap();
        fs::remove_file(&path).unwrap();
        fs::write(&path, "mine").unwrap();
        drop(lock);
        assert_eq!(fs::read(&path).unwrap(), b"mine");
    }

    // On Windows nobody else reads a locked file.
    #[cfg(unix)]
    #[test]
    fn what_was_claimed_is_known_after_a_crash_and_not_after_the_end() {
        let (_directory, path) = path();
        let lock = Lock::take(path.clone()).unwrap();
        assert_eq!(lock.left_claim(), None);
        lock.claim(Some(3)).unwrap();
        let left = fs::read(&path).unwrap();
        lock.claim(None).unwrap();
        let taken_back = fs::read(&path).unwrap();
        drop(lock);
        for (content, claim) in [(left, Some(3)), (taken_back, None)] {
            fs::write(&path, content).unwrap();
            assert_eq!(Lock::take(path.clone()).unwrap().left_claim(), claim);
        }
    }

    #[cfg(unix)]
    mod without_locks {
        use rustix::io::Errno;

        use super::*;

        fn failing(errno: Errno) -> Result<(), TryLockError> {
            Err(TryLockError::Error(errno.into()))
        }

        const NOT_SUPPORTED: TryLock = |_| failing(Errno::OPNOTSUPP);

        #[test]
        fn the_file_itself_is_the_lock() {
            let tries: [TryLock; 4] = [
                |_| failing(Errno::NOSYS),
                |_| failing(Errno::NOLCK),
                |_| failing(Errno::INVAL),
                NOT_SUPPORTED,
            ];
            for try_lock in tries {
                let (_directory, path) = path();
                let lock = Lock::take_by(path.clone(), try_lock).unwrap();
                assert!(lock.is_file());
                let content = fs::read_to_string(&path).unwrap();
                assert!(content.contains(&Owner::this().to_string()), "{content}");
                let refused = Lock::take_by(path.clone(), try_lock).unwrap_err();
                assert_eq!(refused.kind(), ErrorKind::WouldBlock);
                drop(lock);
                assert!(!path.exists());
                Lock::take_by(path, try_lock).unwrap();
            }
        }

        #[test]
        fn any_other_failure_is_one() {
            let (_directory, path) = path();
            let refused = Lock::take_by(path, |_| failing(Errno::IO)).unwrap_err();
            assert_eq!(Errno::from_io_error(&refused), Some(Errno::IO));
        }

        #[test]
        fn a_look_cannot_tell_whether_an_owner_elsewhere_still_has_it() {
            let (_directory, path) = path();
            for (owner, state) in [
                (Owner::gone(), LockState::Stale),
                (Owner::this(), LockState::Held),
                (Owner::elsewhere(), LockState::Unknown),
            ] {
                locked_by(&owner, &path);
                assert_eq!(look_by(&path, NOT_SUPPORTED).unwrap(), state);
            }
        }

        fn locked_by(owner: &Owner, path: &Path) {
            fs::write(path, format!("{MAGIC}{OWNER}{owner}\n")).unwrap();
        }

        #[test]
        fn an_owner_that_is_gone_loses_it_and_any_other_keeps_it() {
            let (directory, path) = path();
            locked_by(&Owner::gone(), &path);
            drop(Lock::take_by(path.clone(), NOT_SUPPORTED).unwrap());
            locked_by(&Owner::elsewhere(), &path);
            let refused = Lock::take_by(path.clone(), NOT_SUPPORTED).unwrap_err();
            assert!(refused.get_ref().is_some_and(|error| error.is::<Unknown>()));
            // Somebody is just about to write its name, or died before.
            fs::write(&path, "").unwrap();
            let refused = Lock::take_by(path, NOT_SUPPORTED).unwrap_err();
            assert!(refused.get_ref().is_some_and(|error| error.is::<Unknown>()));
            assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
        }

        #[test]
        fn a_stale_file_is_removed_only_as_long_as_it_is_the_same() {
            let (_directory, path) = path();
            locked_by(&Owner::gone(), &path);
            let stale = content(&File::open(&path).unwrap()).unwrap();
            // Another process was quicker.
            locked_by(&Owner::this(), &path);
            remove_if_stale(&path, &stale).unwrap();
            let now = content(&File::open(&path).unwrap()).unwrap();
            assert_eq!(now.owner(), Some(Owner::this()));
        }
    }
}
