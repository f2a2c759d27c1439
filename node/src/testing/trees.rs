//! Folders that are shared, listed and fetched.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use bitswap_core::SessionOptions;
use bitswap_core::chunk::{Done, EntryKind, FsError, NodeKind, Profile, TreeEffect};
use bitswap_libp2p::MemoryStore;
use cid::Cid;
use cid::multihash::Multihash;
use futures::TryStreamExt as _;
use futures::future::BoxFuture;

use super::{bytes, client, connect, names, pair, server};
use crate::error::{PathError, ShareError, VerifyError};
use crate::fetch::FetchTreeOptions;
use crate::fs::{DiskFolder, FolderFs};
use crate::node::Node;
use crate::runtime::Runtime;
use crate::share::ShareTreeOptions;
use crate::verify::{Difference, OnDisk};

const PROFILES: [Profile; 2] = [Profile::UnixfsV1_2025, Profile::UnixfsV0_2015];

/// A folder with files of all sizes, and directories in directories.
fn folder() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("folder");
    fs::create_dir_all(path.join("a/b/c")).unwrap();
    fs::create_dir(path.join("empty")).unwrap();
    for (name, len) in [("nothing", 0), ("a/one", 1), ("a/b/large", 3_000_000), ("a/b/c/x", 70)] {
        fs::write(path.join(name), bytes(len)).unwrap();
    }
    for number in 0..100 {
        fs::write(path.join(format!("a/b/c/{number}")), bytes(1000 + number)).unwrap();
    }
    (directory, path)
}

/// All files below a directory, and directories without bytes.
fn all(path: &Path) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
    let (mut open, mut found) = (vec![path.to_owned()], BTreeMap::new());
    while let Some(directory) = open.pop() {
        for name in names(&directory) {
            let at = directory.join(name);
            let content = at.is_file().then(|| fs::read(&at).unwrap());
            if content.is_none() {
                open.push(at.clone());
            }
            found.insert(at.strip_prefix(path).unwrap().to_owned(), content);
        }
    }
    found
}

fn of(profile: Profile) -> ShareTreeOptions {
    ShareTreeOptions { profile, ..ShareTreeOptions::default() }
}

pub async fn a_shared_folder_is_not_copied(runtime: Arc<dyn Runtime>) {
    let blocks = Arc::new(MemoryStore::new());
    let node = Node::builder(runtime.clone()).with_blocks(blocks.clone()).start().await.unwrap();
    let (_directory, path) = folder();
    let mut told = Vec::new();
    let options = of(Profile::UnixfsV1_2025);
    let shared = node.share_tree(&[path], options, |hashed| told.push(hashed)).await.unwrap();
    assert_eq!((shared.files.len(), shared.directories, shared.links), (104, 5, 0));
    assert_eq!(
        blocks.len(),
        5 + 1,
        "the directories, and the node above the leaves of the large file"
    );
    let last = told.last().unwrap();
    assert_eq!((last.done, last.total), (shared.size, shared.size));
    assert!(told.iter().zip(&told[1..]).all(|(a, b)| a.done <= b.done));
}

pub async fn a_fetched_folder_is_served_by_its_fetcher(runtime: Arc<dyn Runtime>) {
    for profile in PROFILES {
        let (a, b) = (server(&runtime).await, server(&runtime).await);
        connect(&b, &a).await;
        let (directory, path) = folder();
        let shared = a.share_tree(std::slice::from_ref(&path), of(profile), |_| ()).await.unwrap();
        let at_b = directory.path().join("b");
        let fetch = b.fetch_tree(shared.root.cid, &at_b, FetchTreeOptions::default()).unwrap();
        let fetched = fetch.finish().await.unwrap();
        assert_eq!((fetched.finished.files, fetched.finished.directories), (104, 5));
        assert!(all(&at_b) == all(&path));
        a.shutdown().await;
        let c = client(&runtime).await;
        connect(&c, &b).await;
        let at_c = directory.path().join("c");
        let fetch = c.fetch_tree(shared.root.cid, &at_c, FetchTreeOptions::default()).unwrap();
        let fetched = fetch.finish().await.unwrap();
        assert_eq!(fetched.from_peers.keys().copied().collect::<Vec<_>>(), [b.peer_id()]);
        assert!(all(&at_c) == all(&path), "{profile:?}");
        assert_eq!(names(directory.path()), ["b", "c", "folder"]);
    }
}

pub async fn a_folder_is_listed_and_followed_into(runtime: Arc<dyn Runtime>) {
    let (a, b) = pair(&runtime).await;
    let (_directory, path) = folder();
    let root = a.share_tree(&[path], of(Profile::default()), |_| ()).await.unwrap().root.cid;
    let follow = |path: &str| {
        let path: Vec<String> = path.split('/').map(str::to_owned).collect();
        b.resolve(root, path, SessionOptions::default())
    };
    let deep = follow("a/b").await.unwrap();
    assert_eq!(deep.kind, NodeKind::Directory);
    assert_eq!(follow("a/b/large").await.unwrap().kind, NodeKind::File);
    let nothing = follow("a/nothing").await.unwrap_err();
    assert!(matches!(nothing, PathError::Resolve(_)), "{nothing:?}");
    let entries = b.list(deep.cid, SessionOptions::default()).await.unwrap();
    let entries: Vec<_> = entries.try_collect().await.unwrap();
    let kinds: BTreeMap<&str, &EntryKind> =
        entries.iter().map(|entry| (entry.path.as_str(), &entry.kind)).collect();
    assert_eq!(
        kinds.keys().copied().collect::<Vec<_>>(),
        ["", "c", "large"],
        "and not what is in c"
    );
    assert!(matches!(kinds["c"], EntryKind::Directory(_)));
    assert!(matches!(kinds["large"], EntryKind::File { size: 3_000_000, .. }));
}

pub async fn what_cannot_be_shared_of_a_folder_is_named(runtime: Arc<dyn Runtime>) {
    let node = client(&runtime).await;
    let (_directory, path) = folder();
    let missing = path.join("missing");
    let shared =
        node.share_tree(std::slice::from_ref(&missing), of(Profile::default()), |_| ()).await;
    assert!(matches!(shared, Err(ShareError::Read { path, .. }) if path == missing));
    let twice =
        node.share_tree(&[path.clone(), path.clone()], of(Profile::default()), |_| ()).await;
    assert!(matches!(twice, Err(ShareError::Entry { .. })), "{twice:?}");
    #[cfg(unix)]
    {
        let fifo = path.join("a/fifo");
        super::make_fifo(&fifo);
        let shared = node.share_tree(&[path], of(Profile::default()), |_| ()).await;
        assert!(matches!(shared, Err(ShareError::NotRegular { path, .. }) if path == fifo));
    }
}

#[cfg(unix)]
pub async fn of_a_folder_that_cannot_be_shared_no_file_stays_shared(runtime: Arc<dyn Runtime>) {
    let node = client(&runtime).await;
    let (_directory, path) = folder();
    // The first step has many files, and the last is not among them.
    super::make_fifo(&path.join("a/b/c/fifo"));
    let options = of(Profile::UnixfsV1_2025);
    node.share_tree(std::slice::from_ref(&path), options, |_| ()).await.unwrap_err();
    let is_served = |at: &str| {
        let hash = *super::raw(&fs::read(path.join(at)).unwrap()).hash();
        node.store().files().contains(&hash)
    };
    for at in ["nothing", "a/one", "a/b/c/x", "a/b/c/0"] {
        assert!(!is_served(at), "{at}");
    }
    fs::remove_file(path.join("a/b/c/fifo")).unwrap();
    node.share_tree(std::slice::from_ref(&path), options, |_| ()).await.unwrap();
    assert!(is_served("a/one") && is_served("a/b/c/0"));
}

#[cfg(not(unix))]
pub async fn of_a_folder_that_cannot_be_shared_no_file_stays_shared(_: Arc<dyn Runtime>) {}

#[cfg(unix)]
pub async fn a_link_that_is_named_stands_for_what_it_leads_to(runtime: Arc<dyn Runtime>) {
    use std::os::unix::fs::symlink;
    let node = client(&runtime).await;
    let (directory, folder) = folder();
    let at = |name: &str| directory.path().join(name);
    symlink(&folder, at("to folder")).unwrap();
    symlink(folder.join("a/one"), at("to file")).unwrap();
    symlink(at("nowhere"), at("to nothing")).unwrap();
    for metadata in [false, true] {
        let options = ShareTreeOptions { metadata, ..of(Profile::default()) };
        let share =
            async |paths: &[PathBuf]| node.share_tree(paths, options, |_| ()).await.unwrap();
        let plain = share(std::slice::from_ref(&folder)).await;
        let mut told = None;
        let to_folder = [at("to folder")];
        let linked = node.share_tree(&to_folder, options, |hashed| told = Some(hashed));
        let linked = linked.await.unwrap();
        assert_eq!(linked.root, plain.root);
        assert_eq!((linked.size, linked.links), (plain.size, 0));
        assert_eq!(told.unwrap().total, plain.size);
        let file = share(&[folder.join("a/one")]).await;
        assert_eq!(share(&[at("to file")]).await.root, file.root);
        let both = share(&[at("to folder"), at("to nothing")]).await;
        assert_eq!((both.size, both.links), (plain.size, 1));
        // Within a folder a link is what it is.
        let links = share(&[directory.path().to_owned()]).await;
        assert_eq!((links.size, links.links), (plain.size, 3));
    }
}

#[cfg(not(unix))]
pub async fn a_link_that_is_named_stands_for_what_it_leads_to(_: Arc<dyn Runtime>) {}

pub async fn a_folder_is_compared_with_its_cid_and_each_difference_is_told(
    runtime: Arc<dyn Runtime>,
) {
    let (a, b) = pair(&runtime).await;
    let ((_source, source), (_other, other)) = (folder(), folder());
    let shared = a.share_tree(&[source], of(Profile::default()), |_| ()).await.unwrap();
    let root = shared.root.cid;
    let verify = async |path: &Path, cid: Cid| {
        let mut told = Vec::new();
        let tell = |at: &Path, difference| told.push((at.to_owned(), difference));
        let verified = b.verify(path, cid, SessionOptions::default(), tell).await;
        told.sort_by(|one, two| one.0.cmp(&two.0));
        verified.map(|verified| ((verified.files, verified.size, verified.differences), told))
    };
    assert_eq!(verify(&other, root).await.unwrap(), ((104, shared.size, 0), vec![]));
    assert!(b.has_cid(&other, root, |_| ()).await.unwrap());

    fs::remove_dir(other.join("empty")).unwrap();
    fs::remove_file(other.join("nothing")).unwrap();
    fs::create_dir(other.join("nothing")).unwrap();
    fs::write(other.join("a/one"), "two").unwrap();
    fs::remove_file(other.join("a/b/c/x")).unwrap();
    fs::write(other.join("a/b/c/y"), "").unwrap();
    let mut large = bytes(3_000_000);
    large[1 << 20] ^= 1;
    large.extend(b"more");
    fs::write(other.join("a/b/large"), large).unwrap();
    let of_bytes = |size, ranges: &[(u64, u64)]| {
        let ranges = ranges.iter().map(|(start, end)| *start..*end).collect();
        Difference::Bytes { size, ranges }
    };
    let differences = [
        ("a/b/c/x", Difference::Missing),
        ("a/b/c/y", Difference::Extra),
        ("a/b/large", of_bytes(Some(3_000_000), &[(1 << 20, 2 << 20), (3_000_000, 3_000_004)])),
        ("a/one", of_bytes(None, &[(0, 3)])),
        ("empty", Difference::Missing),
        ("nothing", Difference::Type { expected: OnDisk::File, found: OnDisk::Directory }),
    ];
    let told = differences.map(|(at, difference)| (PathBuf::from(at), difference));
    let same: u64 = (0..100).map(|number| 1000 + number).sum();
    assert_eq!(verify(&other, root).await.unwrap(), ((100, same, 6), told.to_vec()));
    assert!(!b.has_cid(&other, root, |_| ()).await.unwrap());

    // A file within its own CID.
    let within = Cid::new_v1(0x55, Multihash::wrap(0, b"hello").unwrap());
    let file = other.join("a/one");
    fs::write(&file, "hello").unwrap();
    assert_eq!(verify(&file, within).await.unwrap(), ((1, 5, 0), vec![]));
    fs::write(&file, "help me").unwrap();
    let told = vec![(PathBuf::new(), of_bytes(Some(5), &[(0, 5), (5, 7)]))];
    assert_eq!(verify(&file, within).await.unwrap(), ((0, 0, 1), told));
    let missing = verify(&other.join("missing"), root).await;
    assert!(matches!(missing, Err(VerifyError::Read { .. })), "{missing:?}");
}

/// Counts the operations on a folder, by kind.
struct Counted {
    inner: DiskFolder,
    counts: Mutex<BTreeMap<&'static str, usize>>,
}

impl FolderFs for Counted {
    fn perform(&self, effect: TreeEffect) -> BoxFuture<'static, Result<Done, FsError>> {
        let kind = match &effect {
            TreeEffect::Put { .. } => "put",
            TreeEffect::Name { .. } => "name",
            TreeEffect::Sync => "sync",
            TreeEffect::Look { .. } => "look",
            TreeEffect::MakeDir { .. } => "make directory",
            _ => "other",
        };
        *self.counts.lock().unwrap().entry(kind).or_default() += 1;
        self.inner.perform(effect)
    }
}

pub async fn a_small_file_costs_two_operations_and_no_sync_of_its_own(runtime: Arc<dyn Runtime>) {
    const FILES: usize = 1000;
    let (a, b) = pair(&runtime).await;
    let directory = tempfile::tempdir().unwrap();
    let source = directory.path().join("source");
    for number in 0..FILES {
        let at = source.join((number / 100).to_string());
        fs::create_dir_all(&at).unwrap();
        fs::write(at.join(number.to_string()), bytes(100 + number)).unwrap();
    }
    let shared = a.share_tree(std::slice::from_ref(&source), of(Profile::default()), |_| ()).await;
    let target = directory.path().join("target");
    let inner = DiskFolder::new(runtime.clone(), &target).unwrap();
    let folder = Arc::new(Counted { inner, counts: Mutex::default() });
    let options = FetchTreeOptions { share: false, ..FetchTreeOptions::default() };
    let root = shared.unwrap().root.cid;
    let fetch = b.fetch_tree_through(root, &target, folder.clone(), options).unwrap();
    assert_eq!(fetch.finish().await.unwrap().finished.files, FILES as u64);
    assert!(all(&target) == all(&source));
    let counts = folder.counts.lock().unwrap().clone();
    let expected = [("put", FILES), ("name", FILES), ("make directory", FILES / 100)];
    for (kind, count) in expected {
        assert_eq!(counts[kind], count, "{counts:?}");
    }
    assert!(!counts.contains_key("look"), "nothing is there: {counts:?}");
    // One for each checkpoint, which come by time, and the last.
    assert!(counts["sync"] + counts["other"] < 40, "{counts:?}");
}
