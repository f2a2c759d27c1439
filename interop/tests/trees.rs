//! Folders between real peers and our node.
//!
//! A row is `server_to_client::what_is_shown`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use std::{fs, os::unix::fs::PermissionsExt as _, os::unix::fs::symlink};

use bitswap_core::chunk;
use bitswap_interop::us::{self, UsOptions};
use bitswap_interop::{AddOptions, Helia, HeliaOptions, Kubo, KuboOptions, Profile};
use bitswap_node::{FetchTreeOptions, Keep, Node, ShareTreeOptions};
use bitswap_runtime_tokio::Tokio;
use cid::Cid;
use tempfile::TempDir;

const PROFILES: [Profile; 2] = [Profile::UnixfsV0_2015, Profile::UnixfsV1_2025];

/// Entries of a directory and bytes of their names: more than a directory of either profile has before it becomes a
/// trie.
const ENTRIES: (usize, usize) = (5000, 50);

/// The same with fewer entries and longer names.
const LONG_NAMES: (usize, usize) = (1500, 200);

/// What Helia gets, which asks for one file after the other.
const FEW_ENTRIES: (usize, usize) = (60, 50);

/// A time with a fraction of a second.
const MTIME: Duration = Duration::new(1_234_567_890, 123_456_789);

/// What a path is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    Directory,
    File(Vec<u8>),
    Link(PathBuf),
}

/// A folder with a directory of many entries, a file of several blocks, an empty file, an empty directory and
/// names beyond ASCII.
fn folder((entries, name_len): (usize, usize)) -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("folder");
    let many = path.join("many");
    fs::create_dir_all(&many).unwrap();
    for n in 0..entries {
        fs::write(many.join(format!("{n:0name_len$}")), format!("the content of {n}")).unwrap();
    }
    fs::create_dir_all(path.join("ünïcödé/日本語/empty")).unwrap();
    fs::write(path.join("ünïcödé/🦀"), "a crab").unwrap();
    fs::write(path.join("nothing"), "").unwrap();
    let large: Vec<u8> =
        (0..3_000_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    fs::write(path.join("large"), large).unwrap();
    (directory, path)
}

/// Adds links to it: within the folder, out of it, and to nothing.
fn add_links(path: &Path) {
    for (name, to) in [("within", "many"), ("out", "../.."), ("to-nothing", "ünïcödé/not there")]
    {
        symlink(to, path.join(name)).unwrap();
    }
}

/// Everything below a directory.
fn all(path: &Path) -> BTreeMap<PathBuf, Kind> {
    let (mut open, mut found) = (vec![path.to_owned()], BTreeMap::new());
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(&directory).unwrap() {
            let at = entry.unwrap().path();
            let metadata = fs::symlink_metadata(&at).unwrap();
            let kind = if metadata.is_dir() {
                open.push(at.clone());
                Kind::Directory
            } else if metadata.is_symlink() {
                Kind::Link(fs::read_link(&at).unwrap())
            } else {
                Kind::File(fs::read(&at).unwrap())
            };
            found.insert(at.strip_prefix(path).unwrap().to_owned(), kind);
        }
    }
    found
}

/// Panics when two folders differ, without printing thousands of entries.
fn assert_equal(ours: &Path, theirs: &Path) {
    let (ours, theirs) = (all(ours), all(theirs));
    let names = ours.keys().chain(theirs.keys());
    let differs: Vec<_> =
        names.filter(|name| ours.get(*name) != theirs.get(*name)).take(9).collect();
    assert!(differs.is_empty() && !ours.is_empty(), "{differs:?}");
}

fn options(profile: Profile) -> ShareTreeOptions {
    let profile = match profile {
        Profile::UnixfsV0_2015 => chunk::Profile::UnixfsV0_2015,
        Profile::UnixfsV1_2025 => chunk::Profile::UnixfsV1_2025,
    };
    ShareTreeOptions { profile, ..ShareTreeOptions::default() }
}

async fn share(node: &Node, path: &Path, options: ShareTreeOptions) -> Cid {
    node.share_tree(&[path.to_owned()], options, |_| ()).await.unwrap().root.cid
}

async fn ours() -> Node {
    us::start(Tokio::current(), UsOptions::default()).await
}

async fn kubo(profile: Profile) -> Kubo {
    // It gets thousands of entries one after the other.
    let deadline = Duration::from_secs(300);
    let profiles = vec![profile.name()];
    Kubo::start(KuboOptions { profiles, deadline, ..KuboOptions::default() }).await.unwrap()
}

async fn fetch(node: &Node, root: Cid, target: &Path) {
    node.fetch_tree(root, target, FetchTreeOptions::default()).unwrap().finish().await.unwrap();
}

mod kubo_to_ours {
    use super::*;

    #[tokio::test]
    async fn a_folder_has_the_cid_of_each_profile_and_arrives_as_it_is() {
        let (directory, path) = folder(ENTRIES);
        add_links(&path);
        for profile in PROFILES {
            let (kubo, node) = (kubo(profile).await, ours().await);
            let root = kubo.add(&path, &AddOptions::default()).await.unwrap();
            let nothing = ShareTreeOptions { keep: Keep::Nothing, ..options(profile) };
            assert_eq!(share(&node, &path, nothing).await, root, "{profile:?}");
            node.connect(kubo.addrs()[0].clone()).await.unwrap();
            let target = directory.path().join(profile.name());
            fetch(&node, root, &target).await;
            assert_equal(&path, &target);
        }
    }

    #[tokio::test]
    async fn times_and_permissions_that_kubo_added_are_restored() {
        let (directory, path) = folder_with_metadata();
        // Where leaves are raw, Kubo takes no metadata.
        let (kubo, node) = (kubo(Profile::UnixfsV0_2015).await, ours().await);
        let text = path.to_str().unwrap();
        let add = ["add", "--recursive", "--quieter", "--preserve-mode", "--preserve-mtime", text];
        let root = String::from_utf8(kubo.ipfs(&add, None).await.unwrap()).unwrap();
        node.connect(kubo.addrs()[0].clone()).await.unwrap();
        let target = directory.path().join("target");
        fetch(&node, root.trim().parse().unwrap(), &target).await;
        assert_metadata(&target);
    }
}

mod ours_to_kubo {
    use super::*;

    #[tokio::test]
    async fn a_folder_arrives_as_it_is_in_each_profile() {
        let (directory, path) = folder(ENTRIES);
        add_links(&path);
        for profile in PROFILES {
            let (kubo, node) = (kubo(profile).await, ours().await);
            let root = share(&node, &path, options(profile)).await;
            kubo.connect(&us::address(&node).await).await.unwrap();
            let target = directory.path().join(profile.name());
            kubo.get(&root, &target).await.unwrap();
            assert_equal(&path, &target);
        }
    }

    #[tokio::test]
    async fn times_and_permissions_that_ours_shared_are_restored() {
        let (directory, path) = folder_with_metadata();
        let (kubo, node) = (kubo(Profile::UnixfsV1_2025).await, ours().await);
        let with = ShareTreeOptions { metadata: true, ..options(Profile::UnixfsV1_2025) };
        let root = share(&node, &path, with).await;
        kubo.connect(&us::address(&node).await).await.unwrap();
        let target = directory.path().join("target");
        kubo.get(&root, &target).await.unwrap();
        assert_metadata(&target);
    }
}

mod helia_to_ours {
    use super::*;

    #[tokio::test]
    async fn a_folder_has_the_cid_of_each_profile_and_arrives_as_it_is() {
        let (directory, path) = folder(LONG_NAMES);
        for profile in PROFILES {
            let (helia, node) =
                (Helia::start(HeliaOptions::default()).await.unwrap(), ours().await);
            let root = helia.add_tree(&path, profile).await.unwrap();
            let nothing = ShareTreeOptions { keep: Keep::Nothing, ..options(profile) };
            assert_eq!(share(&node, &path, nothing).await, root, "{profile:?}");
            node.connect(helia.addrs()[0].clone()).await.unwrap();
            let target = directory.path().join(profile.name());
            fetch(&node, root, &target).await;
            assert_equal(&path, &target);
        }
    }
}

mod ours_to_helia {
    use super::*;

    #[tokio::test]
    async fn a_folder_arrives_as_it_is_in_each_profile() {
        let (directory, path) = folder(FEW_ENTRIES);
        for profile in PROFILES {
            let (helia, node) =
                (Helia::start(HeliaOptions::default()).await.unwrap(), ours().await);
            let root = share(&node, &path, options(profile)).await;
            helia.connect(&us::address(&node).await).await.unwrap();
            let target = directory.path().join(profile.name());
            helia.get(&root, &target).await.unwrap();
            assert_equal(&path, &target);
        }
    }
}

/// A small and a large file and a directory with permissions and a time of change that nothing has by itself.
fn folder_with_metadata() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("folder");
    fs::create_dir_all(path.join("inner")).unwrap();
    for (name, len) in [("small", 10), ("inner/large", 3_000_000)] {
        fs::write(path.join(name), vec![7; len]).unwrap();
    }
    for (name, mode) in with_metadata() {
        let at = path.join(name);
        fs::set_permissions(&at, fs::Permissions::from_mode(mode)).unwrap();
        fs::File::open(&at).unwrap().set_modified(SystemTime::UNIX_EPOCH + MTIME).unwrap();
    }
    (directory, path)
}

/// Those of its entries with metadata, and their permissions.
fn with_metadata() -> [(&'static str, u32); 3] {
    [("small", 0o640), ("inner/large", 0o751), ("inner", 0o750)]
}

fn assert_metadata(path: &Path) {
    for (name, mode) in with_metadata() {
        let metadata = fs::metadata(path.join(name)).unwrap();
        assert_eq!(metadata.permissions().mode() & 0o7777, mode, "{name}");
        assert_eq!(metadata.modified().unwrap(), SystemTime::UNIX_EPOCH + MTIME, "{name}");
    }
}
