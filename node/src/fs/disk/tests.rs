use bitswap_core::chunk::FsErrorKind;

use super::durable::log::{self, Step};
use super::*;

struct Fixture {
    _directory: tempfile::TempDir,
    files: Files,
}

fn fixture() -> Fixture {
    let directory = tempfile::tempdir().unwrap();
    let paths = Paths::new(&directory.path().join("target")).unwrap();
    let files = Files::new(paths, write_at);
    Fixture { _directory: directory, files }
}

impl Fixture {
    fn perform(&self, effect: Effect) -> Result<Done, FsErrorKind> {
        self.files.perform(effect).map_err(|error| fs_error(&error).kind)
    }

    fn written(&self) {
        self.perform(Effect::Open { role: FileRole::Temp, create: true }).unwrap();
        let bytes = Bytes::from_static(b"bytes");
        self.perform(Effect::Write { offset: 0, bytes }).unwrap();
        self.perform(Effect::Close { role: FileRole::Temp }).unwrap();
    }

    fn rename(&self, replace: bool) -> Result<Done, FsErrorKind> {
        self.perform(Effect::Rename { to: FileRole::Target(0), replace })
    }

    fn target(&self) -> Option<Vec<u8>> {
        fs::read(self.files.paths.path(FileRole::Target(0))).ok()
    }
}

#[test]
fn writes_land_at_their_positions_in_any_order_and_survive_a_reopening() {
    let fixture = fixture();
    let open = Effect::Open { role: FileRole::Temp, create: true };
    assert_eq!(fixture.perform(open.clone()), Ok(Done::Opened { len: 0 }));
    let allocate = Effect::Allocate { len: 10, reserve: false };
    assert_eq!(fixture.perform(allocate), Ok(Done::Unit));
    for (offset, bytes) in [(6, "gh"), (0, "abc")] {
        let bytes = Bytes::from_static(bytes.as_bytes());
        assert_eq!(fixture.perform(Effect::Write { offset, bytes }), Ok(Done::Unit));
    }
    assert_eq!(fixture.perform(Effect::Sync), Ok(Done::Unit));
    assert_eq!(fixture.perform(Effect::Close { role: FileRole::Temp }), Ok(Done::Unit));
    assert_eq!(fixture.perform(open), Ok(Done::Opened { len: 10 }));
    let read = Effect::Read { role: FileRole::Temp, max: 10 };
    let bytes = Bytes::from_static(b"abc\0\0\0gh\0\0");
    assert_eq!(fixture.perform(read), Ok(Done::Bytes(bytes)));
}

#[test]
fn a_rename_without_replacing_leaves_both_files_as_they_are() {
    let fixture = fixture();
    fixture.written();
    fs::write(fixture.files.paths.path(FileRole::Target(0)), "old").unwrap();
    assert_eq!(fixture.rename(false), Err(FsErrorKind::Exists));
    assert_eq!(fixture.target().unwrap(), b"old");
    assert!(fixture.files.paths.path(FileRole::Temp).exists());
    assert_eq!(fixture.rename(true), Ok(Done::Unit));
    assert_eq!(fixture.target().unwrap(), b"bytes");
    assert!(!fixture.files.paths.path(FileRole::Temp).exists());
}

#[test]
fn a_rename_that_got_half_way_is_finished_by_the_next() {
    let fixture = fixture();
    fixture.written();
    let (from, to) =
        (fixture.files.paths.path(FileRole::Temp), fixture.files.paths.path(FileRole::Target(0)));
    fs::hard_link(from, to).unwrap();
    assert_eq!(fixture.rename(false), Ok(Done::Unit));
    assert_eq!(fixture.target().unwrap(), b"bytes");
    assert!(!fixture.files.paths.path(FileRole::Temp).exists());
}

#[test]
fn a_file_of_the_user_with_the_name_of_a_journal_is_left_alone() {
    for role in [FileRole::Journal, FileRole::NewJournal] {
        let fixture = fixture();
        let path = fixture.files.paths.path(role);
        fs::write(&path, "my diary").unwrap();
        let refused = FsErrorKind::InTheWay { role, what: Obstacle::NotOurs };
        assert_eq!(fixture.perform(Effect::Lock), Err(refused));
        assert_eq!(fs::read(&path).unwrap(), b"my diary");
        for cut_off in ["", "bsw", "bswpj and what follows"] {
            fs::write(&path, cut_off).unwrap();
            assert_eq!(fixture.perform(Effect::Lock), Ok(Done::Unit), "{cut_off:?}");
            fixture.perform(Effect::Unlock).unwrap();
        }
    }
}

#[test]
fn a_file_of_the_user_with_the_name_of_the_temporary_file_is_left_alone() {
    let fixture = fixture();
    let (role, what) = (FileRole::Temp, Obstacle::NotOurs);
    let path = fixture.files.paths.path(role);
    let journal = fixture.files.paths.path(FileRole::Journal);
    fs::write(&path, "my diary").unwrap();
    // A journal of which nothing was written says nothing of it.
    for cut_off in [false, true] {
        if cut_off {
            fs::write(&journal, "").unwrap();
        }
        assert_eq!(fixture.perform(Effect::Lock), Err(FsErrorKind::InTheWay { role, what }));
        assert_eq!(fs::read(&path).unwrap(), b"my diary");
    }
    fs::write(&journal, "bswpj").unwrap();
    assert_eq!(fixture.perform(Effect::Lock), Ok(Done::Unit), "it has a journal");
}

#[test]
fn a_temporary_file_without_its_id_and_journal_is_known_by_the_lock_that_stays_beside_it() {
    let fixture = fixture();
    let lock = fixture.files.paths.path(FileRole::Lock);
    fixture.perform(Effect::Lock).unwrap();
    fixture.written();
    fixture.perform(Effect::Unlock).unwrap();
    assert!(lock.exists());
    // Another run may end before it has opened the file.
    let again = Files::new(fixture.files.paths.clone(), write_at);
    for effect in [Effect::Lock, Effect::Unlock] {
        again.perform(effect).unwrap();
    }
    assert!(lock.exists());
    assert_eq!(fixture.perform(Effect::Lock), Ok(Done::Unit));
    // One that has its journal needs no more.
    fixture.perform(Effect::SaveJournal { bytes: Bytes::from_static(b"bswpj") }).unwrap();
    fixture.perform(Effect::Unlock).unwrap();
    assert!(!lock.exists());
    // Nor is one kept for a file that somebody put in its place.
    let path = |role| fixture.files.paths.path(role);
    fixture.perform(Effect::Lock).unwrap();
    fs::remove_file(path(FileRole::Journal)).unwrap();
    fs::rename(path(FileRole::Temp), path(FileRole::Target(0))).unwrap();
    fs::write(path(FileRole::Temp), "my diary").unwrap();
    fixture.perform(Effect::Unlock).unwrap();
    assert!(!lock.exists());
}

#[cfg(unix)]
#[test]
fn a_file_where_the_directory_should_be_is_in_the_way_and_not_absent() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    fs::write(&file, "").unwrap();
    let paths = Paths::new(&file.join("target")).unwrap();
    let refused = Files::new(paths, write_at).perform(Effect::Lock).unwrap_err();
    let (role, what) = (FileRole::Dir, Obstacle::NotOurs);
    assert_eq!(fs_error(&refused).kind, FsErrorKind::InTheWay { role, what });
}

#[test]
fn errors_have_their_kinds() {
    let fixture = fixture();
    let open = Effect::Open { role: FileRole::Target(0), create: false };
    assert_eq!(fixture.perform(open), Err(FsErrorKind::NotFound));
    fixture.written();
    let read = Effect::Read { role: FileRole::Temp, max: 4 };
    assert_eq!(fixture.perform(read), Err(FsErrorKind::TooLarge));
    assert_eq!(fixture.perform(Effect::Sync), Err(FsErrorKind::Io), "not open");
    fs::create_dir(fixture.files.paths.path(FileRole::Target(1))).unwrap();
    let rename = Effect::Rename { to: FileRole::Target(1), replace: true };
    let (role, what) = (FileRole::Target(1), Obstacle::Directory);
    assert_eq!(fixture.perform(rename), Err(FsErrorKind::InTheWay { role, what }));
    let fixture = self::fixture();
    assert_eq!(fixture.perform(Effect::Lock), Ok(Done::Unit));
    assert_eq!(fixture.perform(Effect::Lock), Err(FsErrorKind::Locked));
}

#[test]
fn removing_what_is_not_there_is_done_already() {
    let fixture = fixture();
    let remove = Effect::Remove { role: FileRole::Journal };
    assert_eq!(fixture.perform(remove), Ok(Done::Unit));
}

#[test]
fn a_journal_is_removed_with_what_a_save_that_was_cut_off_left() {
    let fixture = fixture();
    let bytes = Bytes::from_static(b"one");
    fixture.perform(Effect::SaveJournal { bytes }).unwrap();
    fs::write(fixture.files.paths.path(FileRole::NewJournal), "tw").unwrap();
    assert_eq!(fixture.perform(Effect::Remove { role: FileRole::Journal }), Ok(Done::Unit));
    assert_eq!(fs::read_dir(fixture.files.paths.dir()).unwrap().count(), 0);
}

#[test]
fn a_journal_that_cannot_be_saved_leaves_the_one_before_and_nothing_else() {
    let fixture = fixture();
    // What cannot be replaced by a file.
    fs::create_dir(fixture.files.paths.path(FileRole::Journal)).unwrap();
    let bytes = Bytes::from_static(b"one");
    assert!(fixture.perform(Effect::SaveJournal { bytes }).is_err());
    assert!(!fixture.files.paths.path(FileRole::NewJournal).exists());
    assert!(fixture.files.paths.path(FileRole::Journal).is_dir());
}

/// Devices and the files of the kernel refuse to be synced: so it is seen that they are asked.
#[cfg(target_os = "linux")]
#[test]
fn what_is_to_be_durable_is_synced() {
    let fixture = fixture();
    let null = Arc::new(File::options().write(true).open("/dev/null").unwrap());
    locked(&fixture.files.open).insert(FileRole::Temp, null);
    assert_eq!(fixture.files.perform(Effect::Sync).unwrap_err().kind(), ErrorKind::InvalidInput);
    let paths = Paths::new(Path::new("/proc/target")).unwrap();
    let refused = Files::new(paths, write_at).perform(Effect::SyncDir);
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::InvalidInput);
}

#[test]
fn a_journal_replaces_the_one_before() {
    let fixture = fixture();
    for bytes in ["one", "two"] {
        let bytes = Bytes::from_static(bytes.as_bytes());
        assert_eq!(fixture.perform(Effect::SaveJournal { bytes }), Ok(Done::Unit));
    }
    let read = Effect::Read { role: FileRole::Journal, max: 3 };
    assert_eq!(fixture.perform(read), Ok(Done::Bytes(Bytes::from_static(b"two"))));
    assert!(!fixture.files.paths.path(FileRole::NewJournal).exists());
}

#[test]
fn a_journal_is_durable_before_it_has_its_name_and_its_name_after() {
    let fixture = fixture();
    fixture.perform(Effect::Open { role: FileRole::Temp, create: true }).unwrap();
    log::take();
    let bytes = Bytes::from_static(b"journal");
    fixture.perform(Effect::SaveJournal { bytes }).unwrap();
    let directory = Step::SyncDir(log::name(fixture.files.paths.dir()));
    let name = Step::Rename(".target.part-journal".to_owned());
    assert_eq!(log::take(), [Step::Sync, name, directory.clone()]);
    fixture.perform(Effect::Sync).unwrap();
    fixture.perform(Effect::SyncDir).unwrap();
    assert_eq!(log::take(), [Step::Sync, directory]);
}

#[test]
fn space_that_is_not_known_is_not_none() {
    let unknown = known_space(0, 0).map_err(|error| fs_error(&error).kind);
    assert_eq!(unknown, Err(FsErrorKind::Unsupported));
    assert_eq!(known_space(10, 0).unwrap(), 0);
    assert!(matches!(fixture().perform(Effect::FreeSpace), Ok(Done::Space(1..))));
}

/// What another program can do to a file here, done by this one.
#[cfg(windows)]
mod held {
    use std::os::windows::fs::OpenOptionsExt as _;

    use bitswap_core::chunk::RenameRetry;

    use super::*;

    const SHARE_READ: u32 = 1;
    const SHARE_WRITE: u32 = 2;

    /// Holds a file, and lets others do this with it.
    fn hold(fixture: &Fixture, role: FileRole, share: u32) -> File {
        let path = fixture.files.paths.path(role);
        File::options().read(true).share_mode(share).open(path).unwrap()
    }

    fn passes(error: &io::Error) -> bool {
        error.raw_os_error().is_some_and(|code| RenameRetry::WINDOWS.codes.contains(&code))
    }

    #[test]
    fn a_file_that_another_program_has_to_itself_is_busy_until_it_is_closed() {
        let fixture = fixture();
        fixture.written();
        fixture.perform(Effect::SaveJournal { bytes: Bytes::from_static(b"bswpj") }).unwrap();
        fs::write(fixture.files.paths.path(FileRole::Target(0)), "old").unwrap();
        let cases = [
            (FileRole::Temp, Effect::Open { role: FileRole::Temp, create: true }),
            (FileRole::Temp, Effect::Open { role: FileRole::Temp, create: false }),
            (FileRole::Temp, Effect::Lock),
            (FileRole::Journal, Effect::Read { role: FileRole::Journal, max: 9 }),
            (FileRole::Journal, Effect::Lock),
            (FileRole::Target(0), Effect::Open { role: FileRole::Target(0), create: false }),
        ];
        for (role, effect) in cases {
            let held = hold(&fixture, role, 0);
            let refused = fixture.perform(effect.clone());
            assert_eq!(refused, Err(FsErrorKind::Busy), "{effect:?}");
            drop(held);
            fixture.perform(effect.clone()).unwrap();
            let done = match &effect {
                Effect::Lock => Effect::Unlock,
                _ => Effect::Close { role },
            };
            fixture.perform(done).unwrap();
        }
    }

    #[test]
    fn a_part_of_a_file_that_another_program_has_locked_is_busy() {
        let fixture = fixture();
        fixture.perform(Effect::SaveJournal { bytes: Bytes::from_static(b"j") }).unwrap();
        let held = hold(&fixture, FileRole::Journal, SHARE_READ | SHARE_WRITE);
        fs4::FileExt::lock(&held).unwrap();
        let read = Effect::Read { role: FileRole::Journal, max: 9 };
        assert_eq!(fixture.perform(read.clone()), Err(FsErrorKind::Busy));
        drop(held);
        assert_eq!(fixture.perform(read), Ok(Done::Bytes(Bytes::from_static(b"j"))));
    }

    #[test]
    fn a_rename_of_or_over_a_file_that_another_program_holds_passes_by_itself() {
        for role in [FileRole::Temp, FileRole::Target(0)] {
            let fixture = fixture();
            fixture.written();
            fs::write(fixture.files.paths.path(FileRole::Target(0)), "old").unwrap();
            let held = hold(&fixture, role, SHARE_READ | SHARE_WRITE);
            let rename = Effect::Rename { to: FileRole::Target(0), replace: true };
            let refused = fixture.files.perform(rename).unwrap_err();
            assert!(passes(&refused), "{role}: {refused}");
            assert_eq!(fixture.target().unwrap(), b"old");
            drop(held);
            assert_eq!(fixture.rename(true), Ok(Done::Unit));
            assert_eq!(fixture.target().unwrap(), b"bytes");
        }
    }

    #[test]
    fn a_journal_that_another_program_holds_stays_until_a_later_run_removes_it() {
        let fixture = fixture();
        fixture.perform(Effect::SaveJournal { bytes: Bytes::from_static(b"j") }).unwrap();
        let path = fixture.files.paths.path(FileRole::Journal);
        let held = hold(&fixture, FileRole::Journal, SHARE_READ | SHARE_WRITE);
        let remove = Effect::Remove { role: FileRole::Journal };
        assert_eq!(fixture.perform(remove.clone()), Err(FsErrorKind::Busy));
        assert_eq!(fs::read(&path).unwrap(), b"j");
        drop(held);
        assert_eq!(fixture.perform(remove), Ok(Done::Unit));
        assert!(!path.exists());
    }

    #[test]
    fn a_read_only_target_is_in_the_way_and_no_failure_that_passes() {
        let fixture = fixture();
        fixture.written();
        let (role, what) = (FileRole::Target(0), Obstacle::ReadOnly);
        let path = fixture.files.paths.path(role);
        fs::write(&path, "old").unwrap();
        let set = |is_read_only| {
            let mut permissions = fs::metadata(&path).unwrap().permissions();
            permissions.set_readonly(is_read_only);
            fs::set_permissions(&path, permissions).unwrap();
        };
        set(true);
        let refused = Err(FsErrorKind::InTheWay { role, what });
        assert_eq!(fixture.perform(Effect::CheckReplace { role }), refused);
        assert_eq!(fixture.rename(true), refused);
        assert_eq!(fixture.rename(false), Err(FsErrorKind::Exists));
        assert_eq!(fixture.target().unwrap(), b"old");
        set(false);
        fixture.perform(Effect::CheckReplace { role }).unwrap();
        assert_eq!(fixture.rename(true), Ok(Done::Unit));
    }
}

#[cfg(target_os = "linux")]
mod obstacles {
    use super::super::super::testing::Thing;
    use super::*;

    const JOURNAL: &str = "bswpj and what follows";

    const OWN: [FileRole; 4] =
        [FileRole::Temp, FileRole::Journal, FileRole::NewJournal, FileRole::Lock];

    fn in_the_way(role: FileRole, what: Obstacle) -> Result<Done, FsErrorKind> {
        Err(FsErrorKind::InTheWay { role, what })
    }

    #[test]
    fn nothing_begins_while_something_else_has_a_name_that_is_needed() {
        for role in OWN {
            for thing in Thing::all() {
                let fixture = fixture();
                let path = fixture.files.paths.path(role);
                let what = thing.put_at(&path);
                let before = names(&fixture);
                assert_eq!(fixture.perform(Effect::Lock), in_the_way(role, what));
                thing.assert_untouched(&path);
                assert_eq!(names(&fixture), before, "no lock is left");
            }
        }
    }

    fn names(fixture: &Fixture) -> Vec<std::ffi::OsString> {
        let entries = fs::read_dir(fixture.files.paths.dir()).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    }

    #[test]
    fn what_comes_into_the_way_later_is_neither_followed_nor_taken_over() {
        let bytes = Bytes::from_static(b"journal");
        let cases = [
            (FileRole::Temp, Effect::Open { role: FileRole::Temp, create: true }),
            (FileRole::Temp, Effect::Open { role: FileRole::Temp, create: false }),
            (FileRole::Temp, Effect::Remove { role: FileRole::Temp }),
            (FileRole::Journal, Effect::Read { role: FileRole::Journal, max: 100 }),
            (FileRole::Journal, Effect::SaveJournal { bytes: bytes.clone() }),
            (FileRole::Journal, Effect::Remove { role: FileRole::Journal }),
            (FileRole::NewJournal, Effect::SaveJournal { bytes }),
            (FileRole::NewJournal, Effect::Remove { role: FileRole::Journal }),
        ];
        for (role, effect) in cases {
            for thing in Thing::all() {
                let fixture = fixture();
                fixture.perform(Effect::Lock).unwrap();
                let path = fixture.files.paths.path(role);
                let what = thing.put_at(&path);
                assert_eq!(fixture.perform(effect.clone()), in_the_way(role, what));
                thing.assert_untouched(&path);
            }
        }
    }

    #[test]
    fn a_target_is_a_file_or_a_link_to_one_and_nothing_else_is_opened_or_replaced() {
        let role = FileRole::Target(0);
        for thing in Thing::all() {
            let fixture = fixture();
            fixture.written();
            let path = fixture.files.paths.path(role);
            let what = thing.put_at(&path);
            let opened = fixture.perform(Effect::Open { role, create: false });
            let kept = fixture.rename(false);
            assert_eq!(kept, Err(FsErrorKind::Exists));
            thing.assert_untouched(&path);
            let replaced = fixture.rename(true);
            match thing {
                Thing::Link => {
                    assert!(matches!(opened, Ok(Done::Opened { len: 17 })));
                    assert_eq!(replaced, Ok(Done::Unit));
                }
                Thing::DanglingLink => {
                    assert_eq!(opened, Err(FsErrorKind::Exists));
                    assert_eq!(replaced, Ok(Done::Unit));
                }
                _ => {
                    assert_eq!(opened, in_the_way(role, what));
                    assert_eq!(replaced, in_the_way(role, what));
                    thing.assert_untouched(&path);
                }
            }
        }
    }

    #[test]
    fn a_link_from_the_target_to_the_temporary_file_never_stands_for_the_file() {
        let fixture = fixture();
        fixture.written();
        let role = FileRole::Target(0);
        std::os::unix::fs::symlink(".target.part", fixture.files.paths.path(role)).unwrap();
        let opened = fixture.perform(Effect::Open { role, create: false });
        assert_eq!(opened, Err(FsErrorKind::Exists));
        assert_eq!(fixture.rename(false), Err(FsErrorKind::Exists));
        assert_eq!(fs::read(fixture.files.paths.path(FileRole::Temp)).unwrap(), b"bytes");
        assert_eq!(fixture.rename(true), Ok(Done::Unit));
        assert!(!fs::symlink_metadata(fixture.files.paths.path(role)).unwrap().is_symlink());
        assert_eq!(fixture.target().unwrap(), b"bytes");
    }

    #[test]
    fn what_a_killed_process_left_half_done_is_ended_first() {
        // The file had its second name, perhaps one with a number, and not lost its first.
        for number in [0, 2] {
            let fixture = fixture();
            fixture.written();
            let path = |role| fixture.files.paths.path(role);
            let (temp, target) = (path(FileRole::Temp), path(FileRole::Target(number)));
            for other in 0..number {
                fs::write(path(FileRole::Target(other)), "other").unwrap();
            }
            fs::hard_link(&temp, &target).unwrap();
            fixture.perform(Effect::Lock).unwrap();
            assert!(!temp.exists());
            assert_eq!(fs::read(target).unwrap(), b"bytes");
        }

        // The name was claimed by an empty file; and the same file without a claim.
        for is_claimed in [true, false] {
            let fixture = fixture();
            fixture.written();
            fs::write(fixture.files.paths.path(FileRole::Journal), JOURNAL).unwrap();
            let lock = fixture.files.paths.path(FileRole::Lock);
            let held = Lock::take(lock.clone()).unwrap();
            held.claim(is_claimed.then_some(0)).unwrap();
            let content = fs::read(&lock).unwrap();
            drop(held);
            fs::write(lock, content).unwrap();
            fs::write(fixture.files.paths.path(FileRole::Target(0)), "").unwrap();
            fixture.perform(Effect::Lock).unwrap();
            assert_eq!(fixture.target().is_some(), !is_claimed);
        }
    }

    #[test]
    fn a_target_that_something_is_mounted_on_cannot_be_replaced() {
        let files = Files::new(Paths::new(Path::new("/proc")).unwrap(), write_at);
        let role = FileRole::Target(0);
        let refused = files.perform(Effect::CheckReplace { role }).unwrap_err();
        assert_eq!(fs_error(&refused).kind, FsErrorKind::Busy);
        fixture().perform(Effect::CheckReplace { role }).unwrap();
    }
}

#[test]
fn a_temporary_file_that_was_removed_is_made_anew_and_one_that_was_not_is_still_looked_after() {
    let fixture = fixture();
    fixture.written();
    // Another file is removed, and so nothing is forgotten of this one.
    fixture.perform(Effect::Remove { role: FileRole::Journal }).unwrap();
    let temp = fixture.files.paths.path(FileRole::Temp);
    fs::rename(&temp, temp.with_extension("away")).unwrap();
    fs::write(&temp, "bytes").unwrap();
    fixture.perform(Effect::Open { role: FileRole::Temp, create: true }).unwrap();
    let write = || Effect::Write { offset: 0, bytes: Bytes::from_static(b"anew") };
    assert!(fixture.perform(write()).is_err(), "another program put it there");
    fixture.perform(Effect::Close { role: FileRole::Temp }).unwrap();
    fixture.perform(Effect::Remove { role: FileRole::Temp }).unwrap();
    fixture.perform(Effect::Open { role: FileRole::Temp, create: true }).unwrap();
    assert_eq!(fixture.perform(write()), Ok(Done::Unit));
}
