//! A get that is interrupted or killed, and run again.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use bitswap_core::chunk::{Importer, Journal, Profile};
use cid::Cid;
use serde_json::Value;

use super::half::Half;
use super::process::{Program, Running, lines};
#[cfg(target_os = "linux")]
use super::sharing::Sharing;
use super::{bitswap, path};

const LEAF: usize = 1 << 20;
/// How many leaves the file has, and how many of them are there at first.
const LEAVES: usize = 8;
const AT_FIRST: usize = 5;

/// Lines of a get that are looked at before it counts as stuck: one comes every 3 s at least.
const LINES_MAX: usize = 60;

/// A machine that has a part of a file at first, and a get that fetches it.
struct Fixture {
    directory: tempfile::TempDir,
    bytes: Vec<u8>,
    root: Cid,
    root_len: usize,
    half: Half,
}

impl Fixture {
    fn new() -> Self {
        let number = |n: usize| (n as u32).wrapping_mul(0x9e37_79b1).to_le_bytes();
        let bytes: Vec<u8> = (0..LEAVES * LEAF / 4).flat_map(number).collect();
        let mut importer = Importer::new(Profile::UnixfsV1_2025);
        importer.write(bytes.clone());
        let root = importer.finish().cid;
        let (mut at_first, mut later) = (BTreeMap::new(), BTreeMap::new());
        while let Some(imported) = importer.poll_block() {
            let (cid, data) = imported.block.into_parts();
            let is_early = imported.leaf.is_none() || at_first.len() < AT_FIRST;
            if is_early { &mut at_first } else { &mut later }.insert(cid, data);
        }
        let root_len = at_first[&root].len();
        let half = Half::serve(at_first, later);
        let directory = tempfile::tempdir().unwrap();
        Self { directory, bytes, root, root_len, half }
    }

    fn target(&self) -> PathBuf {
        self.directory.path().join("target")
    }

    fn get(&self) -> Program {
        let mut get = bitswap();
        let root = self.root.to_string();
        get.args([
            "get",
            &root,
            "--from",
            &self.half.address,
            "-o",
            path(&self.target()),
            "--json",
        ]);
        get
    }

    /// Bytes that the journal on disk claims.
    fn claimed(&self) -> u64 {
        let bytes = std::fs::read(self.directory.path().join(".target.part-journal"));
        let journal = Journal::decode(&bytes.unwrap_or_default(), &self.root, &(0..u64::MAX));
        journal.map_or(0, |journal| journal.have.total())
    }

    /// Runs a get until it has all that is there at first, claimed or not, and looks at it.
    fn half_way(&self, is_claimed: bool, look: impl FnOnce(&mut Running)) {
        let mut get = self.get().args(["--wait"]).spawn().unwrap();
        let half = (AT_FIRST * LEAF) as u64;
        let mut done = 0;
        let arrived = lines(&mut get).take(LINES_MAX).any(|line| {
            done = line["done"].as_u64().unwrap_or(done);
            done == half && (!is_claimed || self.claimed() == half)
        });
        look(&mut get);
        // It may have ended already.
        let _ = get.kill();
        let status = get.wait().unwrap();
        assert!(arrived, "{status}: {done} bytes done, {} claimed{get}", self.claimed());
        assert!(!self.target().exists());
    }

    /// Runs a get to its end, with everything there.
    fn rest(&self, check: &str) -> Value {
        self.half.open();
        let output = self.get().args(["--check", check]).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        assert!(std::fs::read(self.target()).unwrap() == self.bytes);
        assert_eq!(names(self.directory.path()), ["target"]);
        let text = String::from_utf8(output.stdout).unwrap();
        serde_json::from_str(text.lines().last().unwrap()).unwrap()
    }

    /// How many leaves a get fetched.
    fn leaves(&self, fetched: &Value) -> usize {
        let bytes = fetched["bytes_from_peers"].as_u64().unwrap() as usize - self.root_len;
        assert_eq!(bytes % LEAF, 0);
        bytes / LEAF
    }
}

fn names(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

fn interrupt(get: &mut Running) {
    assert!(get.interrupt(), "it is told, and saves what it has");
    assert_eq!(get.wait().unwrap().code(), Some(130));
}

#[test]
fn an_interrupted_get_goes_on_when_it_is_run_again() {
    for (check, unchecked) in [("full", 0), ("changed", AT_FIRST * LEAF)] {
        let fixture = Fixture::new();
        fixture.half_way(false, interrupt);
        let fetched = fixture.rest(check);
        assert_eq!(fixture.leaves(&fetched), LEAVES - AT_FIRST, "nothing is fetched again");
        assert_eq!(fetched["verified"], unchecked == 0, "only what was hashed is called that");
        assert_eq!(fetched["unchecked_bytes"], unchecked);
    }
}

#[test]
fn a_killed_get_goes_on_when_it_is_run_again() {
    let fixture = Fixture::new();
    fixture.half_way(true, |get| get.kill().unwrap());
    let fetched = fixture.rest("full");
    assert_eq!(fixture.leaves(&fetched), LEAVES - AT_FIRST, "nothing is fetched again");
    assert_eq!(fetched["verified"], true);
}

#[test]
fn a_get_whose_temporary_file_was_altered_is_repaired_and_verified() {
    let fixture = Fixture::new();
    fixture.half_way(false, interrupt);
    let part = fixture.directory.path().join(".target.part");
    let mut bytes = std::fs::read(&part).unwrap();
    bytes[LEAF + 7..LEAF + 15].copy_from_slice(b"8 others");
    std::fs::write(&part, bytes).unwrap();
    let fetched = fixture.rest("changed");
    assert_eq!(fixture.leaves(&fetched), LEAVES - AT_FIRST + 1, "what was altered, and no more");
    assert_eq!(fetched["verified"], true);
}

#[test]
fn a_temporary_file_whose_journal_is_gone_is_known_by_its_id_and_compared() {
    let fixture = Fixture::new();
    fixture.half_way(false, interrupt);
    std::fs::remove_file(fixture.directory.path().join(".target.part-journal")).unwrap();
    let fetched = fixture.rest("full");
    assert_eq!(fixture.leaves(&fetched), LEAVES - AT_FIRST, "nothing is fetched again");
}

#[test]
fn a_file_of_the_user_with_the_name_of_the_temporary_file_is_neither_overwritten_nor_taken_over() {
    let fixture = Fixture::new();
    let part = fixture.directory.path().join(".target.part");
    std::fs::write(&part, "a diary").unwrap();
    let refused = fixture.get().output().unwrap();
    assert_eq!(refused.status.code(), Some(8), "{refused:?}");
    let said = String::from_utf8(refused.stdout).unwrap();
    let said: Value = serde_json::from_str(said.lines().last().unwrap()).unwrap();
    let said = said["message"].as_str().unwrap();
    let expected = format!("{} is a file that is not of this program; move it away", path(&part));
    assert!(said.contains(&expected), "{said}");
    let left: Vec<_> = std::fs::read_dir(fixture.directory.path()).unwrap().collect();
    assert_eq!((left.len(), std::fs::read(&part).unwrap()), (1, b"a diary".to_vec()));
}

#[test]
fn of_two_gets_to_one_target_the_second_is_told_of_the_first() {
    let fixture = Fixture::new();
    let target = fixture.target();
    fixture.half_way(false, |_| {
        let second = fixture.get().output().unwrap();
        let said = format!("{second:?}");
        assert_eq!(second.status.code(), Some(9), "{said}");
        assert!(said.contains("another process is downloading to the same file"), "{said}");
        assert!(!target.exists());
    });
    // The first was killed with its lock held, which dies with it.
    fixture.rest("full");
}

/// What the kernel was told, in order: the file's bytes before the journal, the journal before the rename,
/// the rename before the journal is removed, and the directory after each change of a name that counts.
#[cfg(target_os = "linux")]
#[test]
#[ignore = "needs strace"]
fn a_get_has_the_kernel_make_everything_durable_in_order() {
    let directory = tempfile::tempdir().unwrap();
    let bytes = super::sample(directory.path(), 3 << 20);
    let (source, trace) = (directory.path().join("source"), directory.path().join("trace"));
    let into = directory.path().join("into");
    std::fs::create_dir(&into).unwrap();
    let target = into.join("target");
    let sharing = Sharing::start(&[path(&source)]);
    let calls = "trace=fsync,fdatasync,rename,renameat,renameat2,link,linkat,unlink,unlinkat";
    let traced = Program::new("strace")
        .args(["-f", "-y", "-o", path(&trace), "-e", calls, env!("CARGO_BIN_EXE_bitswap")])
        .args(["get", &sharing.cid, "--from", &sharing.address, "-o", path(&target)])
        .output()
        .expect("strace runs");
    assert!(traced.status.success(), "{traced:?}");
    assert!(std::fs::read(&target).unwrap() == bytes);
    let text = std::fs::read_to_string(&trace).unwrap();
    let into = path(&into);
    let done: Vec<&str> = text.lines().filter(|line| line.contains(into)).collect();
    let find = |from: usize, call: &str, of: &[String]| {
        let fits = |line: &&str| line.contains(call) && of.iter().all(|of| line.contains(of));
        let found = done[from..].iter().position(fits);
        from + found.unwrap_or_else(|| panic!("no {call} of {of:?} after {from}: {done:#?}"))
    };
    let named = |name: &str| vec![format!("{into}/{name}")];
    let dir = [format!("<{into}>")];
    // The name of the temporary file, and then, last, its bytes.
    let made = find(0, "fsync(", &dir);
    let data = find(made, "fdatasync(", &named(".target.part>"));
    let journal = find(data, "fdatasync(", &named(".target.part-journal-new>"));
    let replaced = find(journal, "rename", &named(".target.part-journal\""));
    let journal_name = find(replaced, "fsync(", &dir);
    let renamed = find(journal_name, "renameat2(", &named("target\""));
    let target_name = find(renamed, "fsync(", &dir);
    find(target_name, "unlink", &named(".target.part-journal\""));
    assert!(!done[renamed..].iter().any(|line| line.contains("fdatasync(")), "{done:#?}");
}
