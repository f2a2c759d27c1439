//! Gives a finished file its name.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
#[cfg(unix)]
use std::os::fd::AsFd;
use std::path::Path;

#[cfg(unix)]
use rustix::path::Arg;

use super::{durable, regular};

/// Renames, and replaces a file that has the name.
pub(super) fn over(from: &Path, to: &Path) -> io::Result<()> {
    may_replace(to)?;
    if regular::is_same_file(from, to)? {
        // A rename of one name of a file to another does nothing.
        return fs::remove_file(from);
    }
    durable::rename(from, to)
}

/// Refuses a name of something that a rename cannot replace; it may be free. Windows says "access denied" of
/// that, as of a file that another program holds, and only the latter passes by itself.
pub(super) fn may_replace(to: &Path) -> io::Result<()> {
    match fs::symlink_metadata(to) {
        // The link itself is replaced, and not what it leads to.
        Ok(metadata) if metadata.is_symlink() => Ok(()),
        Ok(metadata) => regular::must_be_replaceable(&metadata, cfg!(windows)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// What can give a name only if it is free.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ways {
    rename: Way,
    link: Way,
}

type Way = fn(&Path, &Path) -> io::Result<()>;

impl Ways {
    /// What this system has.
    pub(super) const SYSTEM: Self =
        Self { rename: sys::rename_to_new, link: |from, to| fs::hard_link(from, to) };
}

/// Renames without replacing, whoever else makes a file of that name meanwhile.
///
/// Where the system cannot do it in one step, a second link is made under the new name, which fails when
/// the name is taken, and the old name removed. Where the file system has no links either, the name is
/// claimed by an empty file, which is then replaced: `claim` is told before, and after a failure that
/// left the name free again.
pub(super) fn to_new(
    from: &Path,
    to: &Path,
    ways: Ways,
    claim: impl Fn(bool) -> io::Result<()>,
) -> io::Result<()> {
    match (ways.rename)(from, to) {
        Err(error) if is_not_possible(&error) => {}
        result => return known_or(result, from, to),
    }
    match (ways.link)(from, to) {
        Ok(()) => fs::remove_file(from),
        Err(error) if is_not_possible(&error) => by_claim(from, to, claim),
        result => known_or(result, from, to),
    }
}

/// An earlier try may have made a link and failed to remove the old name.
fn known_or(result: io::Result<()>, from: &Path, to: &Path) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            if regular::is_same_file(from, to)? { fs::remove_file(from) } else { Err(error) }
        }
        result => result,
    }
}

fn by_claim(from: &Path, to: &Path, claim: impl Fn(bool) -> io::Result<()>) -> io::Result<()> {
    if fs::symlink_metadata(to).is_ok() {
        // Not even for a moment a claim: after a crash an empty file of somebody else would be taken for it.
        return Err(ErrorKind::AlreadyExists.into());
    }
    claim(true)?;
    let renamed = File::create_new(to).and_then(|file| {
        drop(file);
        durable::rename(from, to).inspect_err(|_| {
            // The first error is the one to tell; the next run removes what stays.
            let _ = give_up_claim(to);
        })
    });
    // One that stays claimed is only looked at again, and found to be no empty file.
    let _ = claim(false);
    renamed
}

/// Removes the empty file that claims a name. A file with something in it is no claim.
pub(super) fn give_up_claim(to: &Path) -> io::Result<()> {
    match fs::symlink_metadata(to) {
        Ok(metadata) if metadata.is_file() && metadata.len() == 0 => fs::remove_file(to),
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Whether something else can still work: the file system, the system or a filter does not do it this way.
fn is_not_possible(error: &io::Error) -> bool {
    #[cfg(unix)]
    {
        use rustix::io::Errno;
        let says = [
            Errno::NOSYS,
            Errno::OPNOTSUPP,
            Errno::NOTSUP,
            Errno::PERM,
            Errno::ACCESS,
            Errno::INVAL,
            Errno::XDEV,
            Errno::MLINK,
        ];
        error.kind() == ErrorKind::Unsupported
            || Errno::from_io_error(error).is_some_and(|errno| says.contains(&errno))
    }
    #[cfg(windows)]
    {
        // Invalid function, not supported, too many links.
        error.kind() == ErrorKind::Unsupported
            || matches!(error.raw_os_error(), Some(1 | 50 | 1142))
    }
}

/// Whether something is mounted at a path within an open directory. Only Linux tells.
#[cfg(unix)]
pub(super) fn is_mount_point(dir: impl AsFd, path: impl Arg) -> bool {
    sys::is_mount_point(dir, path)
}

#[cfg(target_os = "linux")]
mod sys {
    use std::io;
    use std::os::fd::AsFd;
    use std::path::Path;

    use rustix::fs::{
        AtFlags, CWD, RenameFlags, StatxAttributes, StatxFlags, renameat_with, statx,
    };
    use rustix::path::Arg;

    pub(super) fn rename_to_new(from: &Path, to: &Path) -> io::Result<()> {
        Ok(renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE)?)
    }

    pub(super) fn is_mount_point(dir: impl AsFd, path: impl Arg) -> bool {
        // A system that does not know has an error at the rename instead.
        statx(dir, path, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::empty())
            .is_ok_and(|found| found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
    }
}

#[cfg(not(target_os = "linux"))]
mod sys {
    use std::io;
    use std::path::Path;

    pub(super) fn rename_to_new(_: &Path, _: &Path) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    #[cfg(unix)]
    pub(super) fn is_mount_point(_: impl super::AsFd, _: impl super::Arg) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    #[cfg(unix)]
    use std::os::unix::fs::symlink;
    use std::path::PathBuf;

    #[cfg(unix)]
    use rustix::io::Errno;

    use super::*;

    struct Fixture {
        _directory: tempfile::TempDir,
        from: PathBuf,
        to: PathBuf,
        claims: RefCell<Vec<bool>>,
    }

    fn fixture() -> Fixture {
        let directory = tempfile::tempdir().unwrap();
        let (from, to) = (directory.path().join("from"), directory.path().join("to"));
        fs::write(&from, "bytes").unwrap();
        Fixture { _directory: directory, from, to, claims: RefCell::default() }
    }

    impl Fixture {
        fn to_new(&self, ways: Ways) -> io::Result<()> {
            to_new(&self.from, &self.to, ways, |is_claimed| {
                self.claims.borrow_mut().push(is_claimed);
                Ok(())
            })
        }

        fn read(&self) -> (Option<Vec<u8>>, Option<Vec<u8>>) {
            (fs::read(&self.from).ok(), fs::read(&self.to).ok())
        }
    }

    const NO: Way = |_, _| Err(ErrorKind::Unsupported.into());
    const LINKS: Ways = Ways { rename: NO, ..Ways::SYSTEM };
    const NEITHER: Ways = Ways { rename: NO, link: NO };
    const ALL: [Ways; 3] = [Ways::SYSTEM, LINKS, NEITHER];

    #[test]
    fn a_free_name_is_given_and_a_taken_one_is_left_alone_in_every_way() {
        for ways in ALL {
            let fixture = fixture();
            fixture.to_new(ways).unwrap();
            assert_eq!(fixture.read(), (None, Some(b"bytes".to_vec())));
            fs::write(&fixture.from, "more").unwrap();
            assert_eq!(fixture.to_new(ways).unwrap_err().kind(), ErrorKind::AlreadyExists);
            assert_eq!(fixture.read(), (Some(b"more".to_vec()), Some(b"bytes".to_vec())));
        }
    }

    #[cfg(unix)]
    #[test]
    fn every_way_to_say_that_it_is_not_possible_leads_to_the_next() {
        let ways: [Way; 7] = [
            |_, _| Err(Errno::INVAL.into()),
            |_, _| Err(Errno::XDEV.into()),
            |_, _| Err(Errno::MLINK.into()),
            |_, _| Err(Errno::PERM.into()),
            |_, _| Err(Errno::OPNOTSUPP.into()),
            |_, _| Err(Errno::NOSYS.into()),
            |_, _| Err(ErrorKind::Unsupported.into()),
        ];
        for way in ways {
            let fixture = fixture();
            fixture.to_new(Ways { rename: way, link: way }).unwrap();
            assert_eq!(fixture.read(), (None, Some(b"bytes".to_vec())));
        }
        let fixture = fixture();
        let failed = fixture.to_new(Ways { rename: |_, _| Err(Errno::IO.into()), link: NO });
        assert_eq!(Errno::from_io_error(&failed.unwrap_err()), Some(Errno::IO));
    }

    #[cfg(unix)]
    #[test]
    fn a_link_to_the_file_is_no_name_of_it() {
        for ways in ALL {
            let fixture = fixture();
            symlink("from", &fixture.to).unwrap();
            assert_eq!(fixture.to_new(ways).unwrap_err().kind(), ErrorKind::AlreadyExists);
            assert_eq!(fs::read(&fixture.from).unwrap(), b"bytes");
            // When it may be replaced, the file takes its place.
            over(&fixture.from, &fixture.to).unwrap();
            assert_eq!(fixture.read(), (None, Some(b"bytes".to_vec())));
            assert!(!fs::symlink_metadata(&fixture.to).unwrap().is_symlink());
        }
    }

    #[test]
    fn a_second_name_from_an_earlier_try_is_the_name() {
        for ways in [Ways::SYSTEM, LINKS] {
            let fixture = fixture();
            fs::hard_link(&fixture.from, &fixture.to).unwrap();
            fixture.to_new(ways).unwrap();
            assert_eq!(fixture.read(), (None, Some(b"bytes".to_vec())));
        }
        let fixture = fixture();
        fs::hard_link(&fixture.from, &fixture.to).unwrap();
        over(&fixture.from, &fixture.to).unwrap();
        assert_eq!(fixture.read(), (None, Some(b"bytes".to_vec())));
    }

    #[test]
    fn a_claimed_name_is_free_again_when_the_rename_fails() {
        let fixture = fixture();
        fs::remove_file(&fixture.from).unwrap();
        assert_eq!(fixture.to_new(NEITHER).unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(fixture.read(), (None, None));
        assert_eq!(fixture.claims.take(), [true, false]);
        // A claim that cannot be remembered is none.
        fs::write(&fixture.from, "bytes").unwrap();
        let failed =
            to_new(&fixture.from, &fixture.to, NEITHER, |_| Err(ErrorKind::StorageFull.into()));
        assert_eq!(failed.unwrap_err().kind(), ErrorKind::StorageFull);
        assert_eq!(fixture.read(), (Some(b"bytes".to_vec()), None));
    }

    #[test]
    fn a_claim_that_is_given_up_is_an_empty_file_and_nothing_else() {
        let fixture = fixture();
        give_up_claim(&fixture.to).unwrap();
        fs::write(&fixture.to, "").unwrap();
        give_up_claim(&fixture.to).unwrap();
        assert!(!fixture.to.exists());
        give_up_claim(&fixture.from).unwrap();
        assert!(fixture.from.exists());
        #[cfg(unix)]
        {
            symlink("from", &fixture.to).unwrap();
            give_up_claim(&fixture.to).unwrap();
            assert!(fixture.to.exists());
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_mount_point_is_known() {
        use rustix::fs::CWD;
        assert!(is_mount_point(CWD, "/proc"));
        assert!(!is_mount_point(CWD, "/proc/self"));
        assert!(!is_mount_point(CWD, "/nowhere/at/all"));
    }

    #[cfg(unix)]
    #[test]
    fn what_cannot_be_looked_at_is_not_taken_for_free() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(may_replace(&directory.path().join("free")).is_ok());
        assert_eq!(may_replace(&file.join("below")).unwrap_err().kind(), ErrorKind::NotADirectory);
    }
}
