use std::fs;

use super::*;

fn hash(data: &[u8]) -> Hash {
    *Block::raw(data.to_vec()).cid().hash()
}

const RAW_LEAF: SharedLeaf = SharedLeaf { offset: 3, len: 4, form: LeafForm::Raw };

struct Fixture {
    _directory: tempfile::TempDir,
    path: PathBuf,
    files: SharedFiles,
    id: FileId,
}

/// A file "012leafXYZ" whose four bytes at 3 are shared.
fn fixture() -> Fixture {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    fs::write(&path, "012leafXYZ").unwrap();
    let files = SharedFiles::default();
    let stamp = Stamp::of(&fs::metadata(&path).unwrap());
    let id = files.share(path.clone(), Some(stamp), [(hash(b"leaf"), RAW_LEAF)]);
    Fixture { _directory: directory, path, files, id }
}

#[test]
fn a_block_is_read_from_its_place_in_the_file() {
    let fixture = fixture();
    assert_eq!(fixture.files.get(&hash(b"leaf")).unwrap().unwrap(), "leaf");
    assert_eq!(fixture.files.size(&hash(b"leaf")).unwrap(), Some(4));
    assert_eq!(fixture.files.get(&hash(b"else")).unwrap(), None);
}

#[test]
fn a_wrapped_leaf_is_wrapped_again() {
    let fixture = fixture();
    let form = LeafForm::WrappedFile;
    let block = form.block(&Bytes::from_static(b"leaf"));
    let leaf = SharedLeaf { form, ..RAW_LEAF };
    fixture.files.add(fixture.id, hash(&block), leaf);
    assert_eq!(fixture.files.get(&hash(&block)).unwrap(), Some(block.clone()));
    assert_eq!(fixture.files.size(&hash(&block)).unwrap(), Some(block.len() as u32));
}

#[test]
fn a_block_that_changed_in_the_file_is_not_there() {
    for changed in ["012LEAFXYZ", "012lea", ""] {
        let fixture = fixture();
        fs::write(&fixture.path, changed).unwrap();
        assert_eq!(fixture.files.get(&hash(b"leaf")).unwrap(), None);
        assert_eq!(fixture.files.size(&hash(b"leaf")).unwrap(), None);
    }
    let fixture = fixture();
    fs::remove_file(&fixture.path).unwrap();
    assert_eq!(fixture.files.get(&hash(b"leaf")).unwrap(), None);
    assert_eq!(fixture.files.size(&hash(b"leaf")).unwrap(), None);
}

#[test]
fn a_block_that_stayed_in_a_file_that_changed_is_still_there() {
    let fixture = fixture();
    assert!(fixture.files.is_unchanged(fixture.id));
    fs::write(&fixture.path, "---leaf and more").unwrap();
    assert!(!fixture.files.is_unchanged(fixture.id));
    assert_eq!(fixture.files.get(&hash(b"leaf")).unwrap().unwrap(), "leaf");
    assert_eq!(fixture.files.size(&hash(b"leaf")).unwrap(), Some(4));
}

#[test]
fn a_change_that_sets_the_time_of_modification_back_is_seen() {
    let fixture = fixture();
    let modified = fs::metadata(&fixture.path).unwrap().modified().unwrap();
    fs::write(&fixture.path, "012LEAFXYZ").unwrap();
    let file = File::options().write(true).open(&fixture.path).unwrap();
    file.set_modified(modified).unwrap();
    assert_eq!(fixture.files.get(&hash(b"leaf")).unwrap(), None);
}

#[test]
fn a_stamp_that_proves_nothing_has_every_block_hashed() {
    let Fixture { _directory, path, .. } = fixture();
    let files = SharedFiles { stamps_prove: false, ..SharedFiles::default() };
    // The bytes changed, and the stamp does not show it.
    fs::write(&path, "012LEAFXYZ").unwrap();
    let stamp = Some(Stamp::of(&fs::metadata(&path).unwrap()));
    let rest = SharedLeaf { offset: 7, len: 3, form: LeafForm::Raw };
    let leaves = [(hash(b"leaf"), RAW_LEAF), (hash(b"XYZ"), rest)];
    let id = files.share(path, stamp, leaves);
    assert_eq!(files.get(&hash(b"XYZ")).unwrap().unwrap(), "XYZ");
    assert!(files.is_unchanged(id), "as far as anybody has seen");
    assert_eq!(files.get(&hash(b"leaf")).unwrap(), None);
    assert!(!files.is_unchanged(id));
    assert_eq!(files.get(&hash(b"XYZ")).unwrap().unwrap(), "XYZ", "what stayed is still served");
}

#[test]
fn a_change_between_the_look_at_the_file_and_the_read_is_seen() {
    let fixture = fixture();
    let stamp = Some(Stamp::of(&fs::metadata(&fixture.path).unwrap()));
    let sure = |bytes: &'static str| Some((Bytes::from_static(bytes.as_bytes()), true));
    assert_eq!(read(&fixture.path, stamp, RAW_LEAF, read_from).unwrap(), sure("leaf"));
    let changed = read(&fixture.path, stamp, RAW_LEAF, |file, offset, len| {
        fs::write(&fixture.path, "012LEAFXYZ and more").unwrap();
        read_from(file, offset, len)
    });
    assert_eq!(changed.unwrap(), Some((Bytes::from_static(b"LEAF"), false)));
}

#[cfg(target_os = "linux")]
#[test]
fn something_else_in_the_place_of_a_file_is_never_waited_for() {
    use crate::fs::testing::Thing;
    for thing in Thing::all() {
        let fixture = fixture();
        fs::remove_file(&fixture.path).unwrap();
        thing.put_at(&fixture.path);
        assert_eq!(fixture.files.get(&hash(b"leaf")).unwrap(), None, "{thing:?}");
        assert_eq!(fixture.files.size(&hash(b"leaf")).unwrap(), None, "{thing:?}");
        // Nor is it taken for a file that was written, however long it says that it is. A link to a
        // file is followed, and what it has is seen when it is read.
        let small = SharedLeaf { offset: 0, len: 1, form: LeafForm::Raw };
        fixture.files.share(fixture.path.clone(), None, [(hash(b"small"), small)]);
        let size = (thing == Thing::Link).then_some(1);
        assert_eq!(fixture.files.size(&hash(b"small")).unwrap(), size, "{thing:?}");
        assert_eq!(fixture.files.get(&hash(b"small")).unwrap(), None, "{thing:?}");
    }
}

#[test]
fn a_file_being_written_is_always_checked() {
    let fixture = fixture();
    let growing = fixture.files.share(fixture.path.clone(), None, []);
    fixture.files.remove(fixture.id);
    let wrong = SharedLeaf { offset: 0, ..RAW_LEAF };
    fixture.files.add(growing, hash(b"leaf"), wrong);
    assert_eq!(fixture.files.get(&hash(b"leaf")).unwrap(), None);
}

#[test]
fn the_size_of_a_block_of_a_file_that_was_written_is_told_without_reading_it() {
    let fixture = fixture();
    let written = fixture.files.share(fixture.path.clone(), None, [(hash(b"leaf"), RAW_LEAF)]);
    fixture.files.remove(fixture.id);
    assert_eq!(fixture.files.size(&hash(b"leaf")).unwrap(), Some(4));
    // Other bytes, and nobody looks at them until they are asked for.
    fs::write(&fixture.path, "012LEAFXYZ").unwrap();
    assert_eq!(fixture.files.size(&hash(b"leaf")).unwrap(), Some(4));
    assert_eq!(fixture.files.get(&hash(b"leaf")).unwrap(), None);
    assert_eq!(fixture.files.size(&hash(b"leaf")).unwrap(), None, "seen once is enough");
    fixture.files.remove(written);
    // One that is too short is seen without reading.
    let wide = SharedLeaf { offset: 7, ..RAW_LEAF };
    fixture.files.share(fixture.path.clone(), None, [(hash(b"leaf"), wide)]);
    assert_eq!(fixture.files.size(&hash(b"leaf")).unwrap(), None);
}

#[test]
fn a_shared_file_that_changed_is_read_for_a_size_once() {
    let fixture = fixture();
    fs::write(&fixture.path, "---leaf and more").unwrap();
    assert_eq!(fixture.files.size(&hash(b"leaf")).unwrap(), Some(4));
    fs::write(&fixture.path, "---LEAF and more").unwrap();
    assert_eq!(fixture.files.size(&hash(b"leaf")).unwrap(), Some(4));
    assert_eq!(fixture.files.get(&hash(b"leaf")).unwrap(), None);
    assert_eq!(fixture.files.size(&hash(b"leaf")).unwrap(), None);
}

#[test]
fn what_is_shared_no_longer_is_gone_but_for_other_files_that_have_it() {
    let fixture = fixture();
    let other = fixture.path.with_extension("copy");
    fs::copy(&fixture.path, &other).unwrap();
    let copy = fixture.files.share(other, None, [(hash(b"leaf"), RAW_LEAF)]);
    fixture.files.remove(fixture.id);
    assert_eq!(fixture.files.get(&hash(b"leaf")).unwrap().unwrap(), "leaf");
    fixture.files.remove(copy);
    assert!(!fixture.files.contains(&hash(b"leaf")));
}
