use std::time::Duration;

use bitswap_core::chunk::RenameRetry;
use bytes::Bytes;

use super::super::renaming::WAITS_MS;
use super::*;
use crate::fs::durable::log::{self, Step};

fn hash(data: &[u8]) -> Hash {
    *Block::raw(data.to_vec()).cid().hash()
}

fn block(data: &'static [u8]) -> Block {
    Block::new(Cid::new_v1(0x55, hash(data)), Bytes::from_static(data)).unwrap()
}

fn left_in(directory: &Path) -> usize {
    fs::read_dir(directory.join("new")).unwrap().count()
}

#[test]
fn a_block_is_there_once_put_and_a_second_put_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let store = Directory::open(directory.path()).unwrap();
    for data in [&b""[..], b"a", &[7; 70_000]] {
        assert_eq!(store.blocks().get(&hash(data)).unwrap(), None);
        assert_eq!(store.blocks().size(&hash(data)).unwrap(), None);
        for _ in 0..2 {
            store.put(&[block(data)]).unwrap();
            assert_eq!(store.blocks().get(&hash(data)).unwrap().unwrap(), data);
            assert_eq!(store.blocks().size(&hash(data)).unwrap(), Some(data.len() as u32));
        }
    }
    assert_eq!(left_in(directory.path()), 0);
}

#[test]
fn blocks_outlive_the_process_and_half_written_ones_do_not() {
    let directory = tempfile::tempdir().unwrap();
    let store = Directory::open(directory.path()).unwrap();
    store.put(&[block(b"block")]).unwrap();
    fs::write(directory.path().join("new/7"), "hal").unwrap();
    drop(store);

    let store = Directory::open(directory.path()).unwrap();
    assert_eq!(store.blocks().get(&hash(b"block")).unwrap().unwrap(), "block");
    assert_eq!(left_in(directory.path()), 0);
}

#[test]
fn a_write_that_fails_leaves_nothing_behind() {
    let directory = tempfile::tempdir().unwrap();
    let store = Directory::open(directory.path()).unwrap();
    // The place of the shard's directory is taken by a file.
    let path = store.blocks().path(&hash(b"block"));
    fs::write(path.parent().unwrap(), "").unwrap();
    assert!(store.put(&[block(b"block")]).is_err());
    assert_eq!(left_in(directory.path()), 0);
}

/// "Access denied" of Windows.
fn denied() -> io::Error {
    io::Error::from_raw_os_error(5)
}

#[test]
fn a_block_that_is_there_already_needs_no_rename() {
    let directory = tempfile::tempdir().unwrap();
    let store = Directory::open(directory.path()).unwrap();
    let put_by = |written: &'static [u8], retry| {
        // Another put writes the block between the look for it and the rename.
        let path = store.blocks().path(&hash(b"block"));
        let rename = |_: &Path, _: &Path| {
            fs::write(&path, written).unwrap();
            Err(denied())
        };
        let renaming = Renaming { rename: &rename, retry, wait: &|_| {} };
        let put = store.put_by(&[block(b"block")], &renaming);
        fs::remove_file(&path).unwrap();
        put.map_err(|error| error.raw_os_error())
    };
    for retry in [RenameRetry::NONE, RenameRetry::WINDOWS] {
        assert_eq!(put_by(b"block", retry), Ok(()));
        assert_eq!(put_by(b"other", retry), Err(Some(5)));
        assert_eq!(left_in(directory.path()), 0);
    }
}

#[test]
fn a_rename_that_is_refused_for_a_while_is_tried_again() {
    use std::cell::{Cell, RefCell};
    let directory = tempfile::tempdir().unwrap();
    let store = Directory::open(directory.path()).unwrap();
    let put_by = |data: &'static [u8], failures, retry| {
        let (tries, waits) = (Cell::new(0), RefCell::new(Vec::new()));
        let rename = |from: &Path, to: &Path| {
            tries.set(tries.get() + 1);
            if tries.get() <= failures { Err(denied()) } else { durable::rename(from, to) }
        };
        let wait = |time: Duration| waits.borrow_mut().push(time.as_millis() as u64);
        let renaming = Renaming { rename: &rename, retry, wait: &wait };
        let put = store.put_by(&[block(data)], &renaming).map_err(|error| error.raw_os_error());
        assert_eq!(left_in(directory.path()), 0);
        (put, waits.into_inner())
    };
    assert_eq!(put_by(b"a", 2, RenameRetry::WINDOWS), (Ok(()), WAITS_MS[..2].to_vec()));
    assert_eq!(store.blocks().get(&hash(b"a")).unwrap().unwrap(), "a");
    assert_eq!(put_by(b"b", 7, RenameRetry::WINDOWS), (Err(Some(5)), WAITS_MS.to_vec()));
    assert_eq!(put_by(b"c", 1, RenameRetry::NONE), (Err(Some(5)), vec![]));
    assert_eq!(store.blocks().get(&hash(b"c")).unwrap(), None);
}

/// What the two tests above say of codes that are made up, of those that Windows has for such files.
#[cfg(windows)]
#[test]
fn a_block_that_is_being_read_is_stored_and_another_file_in_its_place_is_replaced_once_it_is_closed()
 {
    use std::cell::RefCell;
    use std::os::windows::fs::OpenOptionsExt as _;
    // `FILE_SHARE_READ`.
    let hold = |path: &Path| File::options().read(true).share_mode(1).open(path).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let store = Directory::open(directory.path()).unwrap();
    let path = store.blocks().path(&hash(b"block"));
    for (written, waits_expected) in [(b"block", 0), (b"other", 1)] {
        let held = RefCell::new(None);
        let rename = |from: &Path, to: &Path| {
            if !to.exists() {
                fs::write(to, written).unwrap();
                *held.borrow_mut() = Some(hold(to));
            }
            durable::rename(from, to)
        };
        let waits = std::cell::Cell::new(0);
        let wait = |_| {
            waits.set(waits.get() + 1);
            drop(held.take());
        };
        let renaming = Renaming { rename: &rename, retry: RenameRetry::WINDOWS, wait: &wait };
        store.put_by(&[block(b"block")], &renaming).unwrap();
        assert_eq!(waits.get(), waits_expected);
        drop(held.take());
        assert_eq!(fs::read(&path).unwrap(), b"block");
        assert_eq!(left_in(directory.path()), 0);
        fs::remove_file(&path).unwrap();
    }
}

#[test]
fn what_another_put_has_named_and_not_synced_is_durable_before_this_one_returns() {
    let directory = tempfile::tempdir().unwrap();
    let store = Directory::open(directory.path()).unwrap();
    let last = store.blocks().path(&hash(b"b"));
    let rename = |from: &Path, to: &Path| {
        if to == last { Err(denied()) } else { durable::rename(from, to) }
    };
    let renaming = Renaming { rename: &rename, retry: RenameRetry::NONE, wait: &|_| {} };
    assert!(store.put_by(&[block(b"a"), block(b"b")], &renaming).is_err());
    let named = store.blocks().path(&hash(b"a"));
    let shard = Step::SyncDir(log::name(named.parent().unwrap()));
    assert!(named.exists() && !log::take().contains(&shard));
    store.put(&[block(b"a")]).unwrap();
    assert_eq!(log::take(), [shard]);
    store.put(&[block(b"a")]).unwrap();
    assert_eq!(log::take(), []);
}

#[test]
fn what_changes_while_room_is_looked_for_is_looked_at_again() {
    let directory = tempfile::tempdir().unwrap();
    let store = Directory::open(directory.path()).unwrap();
    store.set_limit(10);
    store.put(&[block(b"pinned...")]).unwrap();
    let pinned = *block(b"pinned...").cid();
    store.pin(&pinned).unwrap();
    let looks = std::cell::Cell::new(0);
    let collect = |goal| {
        looks.set(looks.get() + 1);
        let collected = store.collect_for(goal);
        store.unpin(&pinned).unwrap();
        collected
    };
    assert!(store.make_room_by(&[block(b"new")], &collect).is_ok());
    assert_eq!(looks.get(), 2);
}

#[test]
fn a_directory_is_one_stores_alone_until_it_is_closed() {
    let directory = tempfile::tempdir().unwrap();
    let store = Directory::open(directory.path()).unwrap();
    fs::write(directory.path().join("new/7"), "being written").unwrap();
    let refused = Directory::open(directory.path()).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::WouldBlock);
    assert!(refused.to_string().contains("is open already"), "{refused}");
    assert_eq!(left_in(directory.path()), 1, "what the other writes is left alone");
    drop(store);
    Directory::open(directory.path()).unwrap();
}

#[test]
fn bytes_are_durable_before_they_have_a_name_and_names_before_a_put_returns() {
    let directory = tempfile::tempdir().unwrap();
    let store = Directory::open(directory.path()).unwrap();
    log::take();
    let name = |data: &[u8]| Step::Rename(log::name(&store.blocks().path(&hash(data))));
    let shard =
        |data: &[u8]| Step::SyncDir(log::name(store.blocks().path(&hash(data)).parent().unwrap()));
    let blocks = || Step::SyncDir("blocks".to_owned());
    store.put(&[block(b"a"), block(b"b")]).unwrap();
    let mut shards = [shard(b"a"), shard(b"b")];
    shards.sort_by_key(|step| format!("{step:?}"));
    let [first, last] = shards;
    assert_ne!(first, last);
    let expected = [blocks(), Step::Sync, name(b"a"), blocks(), Step::Sync, name(b"b")];
    assert_eq!(log::take(), [&expected[..], &[first, last]].concat());
    // What is there needs nothing.
    store.put(&[block(b"a")]).unwrap();
    assert_eq!(log::take(), []);
}
