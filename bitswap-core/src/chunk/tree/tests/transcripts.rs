//! Every output of downloads of trees with random hosts, folders and failures, recorded: a change of structure
//! changes no output and no deadline.
//!
//! `transcripts.txt` has a digest for each seed. A change of behaviour that is wanted replaces it by what
//! the failed assertion prints.

use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::fmt::Write;
use core::time::Duration;

use cid::Cid;
use multihash_codetable::{Code, MultihashDigest};

use super::disk::FakeFolder;
use super::harness::{content, sample, several};
use crate::chunk::testing::{Survives, fs_error};
use crate::chunk::tree::testing::Source;
use crate::chunk::*;
use crate::rng::Rng;
use crate::time::Timestamp;

const SEEDS: u64 = 400;
/// Runs of one tree, each after a crash or an end of the one before.
const RUNS: usize = 3;

/// A file of several leaves with metadata in its root.
fn dated(source: &mut Source, leaves: &[Vec<u8>], metadata: &Metadata) -> NodeRoot {
    let mut tree = Tree::new(source.profile);
    for leaf in leaves {
        let root = source.any(RAW, leaf.clone());
        for node in tree.push_range(root.cid, leaf.len() as u64, root.dag_size) {
            source.put(node);
        }
    }
    let (root, nodes) = tree.finish_with(metadata);
    nodes.into_iter().for_each(|node| source.put(node));
    NodeRoot { cid: root.cid, dag_size: root.dag_size }
}

fn mode(mode: u32) -> Metadata {
    Metadata { mode: Some(mode), mtime: None }
}

/// More large files than are fetched at a time, some with metadata, in directories with metadata; some leaves are
/// in several files.
fn large() -> Source {
    let mut source = Source::new();
    let folders: Vec<(String, NodeRoot)> = (0..3)
        .map(|folder| {
            let mut files: Vec<(String, NodeRoot)> = (0..9)
                .map(|file| {
                    let lens = [40 + file, 60, 300 + folder * 7 + file];
                    let leaves: Vec<Vec<u8>> = lens.iter().map(|len| content(*len, *len)).collect();
                    let metadata = if file % 2 == 0 { mode(0o640) } else { Metadata::default() };
                    (format!("large {file}"), dated(&mut source, &leaves, &metadata))
                })
                .collect();
            let (link, mtime) = (source.symlink("large 0"), Mtime { seconds: 5, nanoseconds: 6 });
            files.push(("link".to_string(), link));
            let metadata = Metadata { mode: None, mtime: Some(mtime) };
            (format!("folder{folder}"), source.directory_with(files, &metadata))
        })
        .collect();
    source.root = source.directory_with(folders, &mode(0o750)).cid;
    source
}

/// Files that fill the window between them.
fn wide() -> Source {
    let mut source = Source::new();
    let leaf = content(9, 256 << 10);
    let files: Vec<(String, NodeRoot)> = (0..18)
        .map(|file| {
            let leaves = alloc::vec![leaf.clone(); 1 + (file * 5) % 13];
            (format!("wide {file:02}"), dated(&mut source, &leaves, &mode(0o600)))
        })
        .collect();
    source.root = source.directory(files).cid;
    source
}

/// More small files than wait for their names at a time.
fn many() -> Source {
    let mut source = Source::new();
    let mut folders = Vec::new();
    for folder in 0..4 {
        let files: Vec<(String, NodeRoot)> = (0..820)
            .map(|file| {
                let bytes = format!("{folder} {file}");
                (format!("{file:04}"), source.any(RAW, bytes.into_bytes()))
            })
            .collect();
        folders.push((format!("{folder}"), source.directory(files)));
    }
    source.root = source.directory(folders).cid;
    source
}

/// A tree with something in it that cannot be.
fn broken(number: u64) -> Source {
    let (mut source, _) = sample();
    let root = NodeRoot { cid: source.root, dag_size: 1 };
    let leaves: Vec<Vec<u8>> = [70, 90].iter().map(|len| content(*len, *len)).collect();
    let several = several(&mut source, &leaves);
    let bad = match number {
        0 => NodeRoot { cid: several.cid, dag_size: 1 },
        1 => source.any(DAG_PB, b"no node".to_vec()),
        2 => source.any(0x71, b"\xa0".to_vec()),
        3 => source.inline(DAG_PB, b"no node"),
        4 => {
            let leaf = source.any(RAW, content(70, 70));
            source.blocks.remove(&leaf.cid);
            several
        }
        5 => source.file(&[]),
        6 => {
            let file = source.file(b"deep");
            (0..7).fold(file, |inner, depth| source.directory([(format!("{depth}"), inner)]))
        }
        _ => {
            let node = source.blocks[&several.cid].clone();
            source.inline(DAG_PB, &node[..node.len().min(60)])
        }
    };
    source.root = source.directory([("a", root), ("bad", bad), ("C", root)]).cid;
    if number == 5 {
        // The root is no directory.
        source.root = bad.cid;
    }
    source
}

struct World<'a> {
    rng: Rng,
    source: &'a Source,
    folder: FakeFolder,
    now: Timestamp,
    steps: usize,
    /// Nothing fails, and a checkpoint is made last.
    is_calm: bool,
    transcript: String,
}

impl World<'_> {
    fn pick<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.rng.below(of.len() as u64) as usize].clone()
    }

    fn options(&mut self) -> TreeOptions {
        let small = TreeBounds { depth: 4, entries: 30, links: 14, path: 21, listings: 2000 };
        let rules: [NameRule; 3] = [
            |name| match name {
                "empty" => Err(NameRefusal::Device("EMPTY")),
                _ => Ok(None),
            },
            |name| Ok(Some(name.to_ascii_lowercase().bytes().map(u64::from).sum())),
            |_| Ok(None),
        ];
        let download = DownloadOptions {
            window: self.pick(&[1, 30_000, 2 << 20, 3 << 20, 3 << 20, 4 << 20, 4 << 20, 32 << 20]),
            if_exists: self.pick(&[IfExists::Refuse, IfExists::Replace, IfExists::Unique]),
            resume: self.pick(&[Resume::Full, Resume::Sample, Resume::Changed]),
            sync: self.pick(&[
                SyncPolicy::Never,
                SyncPolicy::AtEnd,
                SyncPolicy::Checkpoints { bytes: 1000, every: Duration::from_secs(2) },
                SyncPolicy::default(),
            ]),
            rename: self.pick(&[RenameRetry::NONE, RenameRetry::WINDOWS]),
            wait_for_space: self.pick(&[Duration::ZERO, Duration::from_secs(90), Duration::MAX]),
            stall_after: self.pick(&[Duration::from_secs(2), Duration::from_secs(10)]),
            order: self.pick(&[Order::Sequential, Order::Rarest]),
            seed: [self.rng.below(4) as u8; 32],
            ..DownloadOptions::default()
        };
        if self.is_calm {
            let window = self.pick(&[3 << 20, 4 << 20, 16 << 20]);
            let download = DownloadOptions { window, ..download };
            return TreeOptions { download, ..TreeOptions::default() };
        }
        TreeOptions {
            download,
            bounds: if self.rng.below(8) == 0 { small } else { TreeBounds::default() },
            rule: rules[self.rng.below(16).min(2) as usize],
            links: self.rng.below(4) > 0,
            metadata: self.rng.below(4) > 0,
        }
    }

    fn error(&mut self) -> FsError {
        let (role, what) = (FileRole::Journal, Obstacle::Directory);
        let kind = self.pick(&[
            FsErrorKind::Io,
            FsErrorKind::Io,
            FsErrorKind::DiskFull,
            FsErrorKind::QuotaExceeded,
            FsErrorKind::PermissionDenied,
            FsErrorKind::Exists,
            FsErrorKind::NotFound,
            FsErrorKind::Busy,
            FsErrorKind::InTheWay { role, what },
        ]);
        FsError { code: self.pick(&[None, Some(5), Some(32)]), ..fs_error(kind) }
    }

    /// The user's own files.
    fn prepare(&mut self) {
        let names = ["t/folder1", "t/folder1/large", "t/folder1/link", "t/large 3", "t/0"];
        if self.rng.below(3) == 0 {
            self.folder.put("t", None);
            let name = self.pick(&names);
            if name != "t/folder1" {
                self.folder.put("t/folder1", None);
            }
            let bytes = self.pick(&[None, Some(&b"the user's"[..]), Some(&b""[..])]);
            self.folder.put(name, bytes);
        }
        self.folder.is_locked_elsewhere = self.rng.below(30) == 0;
        let tries = self.pick(&[1, 4, 900]);
        let name = self.pick(&["t/folder1/large", "t/folder0/файл 3", "t/folder2/large 1"]);
        self.folder.held = (self.rng.below(4) == 0).then(|| (name.to_string(), tries));
    }

    /// One download until its end, a crash, or the last step.
    fn run(&mut self) {
        let options = self.options();
        let mut tree = TreeDownload::new(self.source.root, options, self.now);
        let mut effects: VecDeque<(EffectId, TreeEffect)> = VecDeque::new();
        let mut wants: Vec<Cid> = Vec::new();
        // Some hosts only answer, most disturb now and then, a few all the time.
        let disturbs = if self.is_calm { 0 } else { self.pick(&[0, 3, 3, 20]) };
        // A disk that answers late, and one that is quick.
        let slow = self.pick(&[1, 3, 9]);
        self.folder.space = (!self.is_calm && self.rng.below(5) == 0).then(|| self.rng.below(6000));
        for step in 0..self.steps {
            self.drain(&mut tree, &mut effects, &mut wants);
            if tree.is_over() {
                break;
            }
            if self.rng.below(100) < disturbs {
                self.disturb(&mut tree, &mut wants);
            } else if step + 40 == self.steps {
                tree.stop(self.now);
            } else if !effects.is_empty() && (wants.is_empty() || self.rng.below(slow) == 0) {
                let mut at = self.rng.below(effects.len() as u64) as usize;
                if self.is_calm && effects[at].1 == TreeEffect::Sync {
                    at = (at + 1) % effects.len();
                }
                let (id, effect) = effects.remove(at).unwrap();
                let is_early = matches!(effect, TreeEffect::Lock | TreeEffect::Begin);
                if self.rng.below(if is_early { 1000 } else { 300 }) < disturbs {
                    self.folder.fail_at = Some((self.folder.log.len(), self.error()));
                }
                let result = self.folder.run(&effect);
                tree.handle_done(id, result, self.now);
            } else if !wants.is_empty() && self.rng.below(8) > 0 {
                let at = self.rng.below(wants.len() as u64) as usize;
                if self.source.blocks.contains_key(&wants[at]) {
                    let block = self.source.block(&wants.remove(at));
                    let used = tree.handle_block(&block, self.now);
                    write!(self.transcript, "used {used} ").unwrap();
                } else if self.rng.below(90) == 0 {
                    tree.handle_want_failed(&wants.remove(at), Missing::NotFound, self.now);
                }
            } else if let Some(at) = tree.poll_timeout() {
                self.now = self.now.max(at);
                tree.handle_timeout(self.now);
            }
            if disturbs > 0 && self.rng.below(600) == 0 {
                break;
            }
        }
        let seed = self.rng.below(200) as u8;
        let survives = self.pick(&[Survives::Nothing, Survives::All, Survives::Some(seed)]);
        self.folder = self.folder.crash(survives);
    }

    fn disturb(&mut self, tree: &mut TreeDownload, wants: &mut Vec<Cid>) {
        let (now, number) = (self.now, self.rng.next_u64());
        match self.rng.below(12) {
            0 => tree.pause(now),
            1..=4 => tree.resume(now),
            5 if !wants.is_empty() => {
                let cid = wants.remove((number % wants.len() as u64) as usize);
                let missing =
                    if number.is_multiple_of(16) { Missing::NotFound } else { Missing::Withdrawn };
                tree.handle_want_failed(&cid, missing, now);
            }
            6 => tree.handle_network(StallReason::NoPeers),
            7 => {
                let cids: Vec<Cid> = self.source.blocks.keys().copied().collect();
                let counts = cids
                    .iter()
                    .enumerate()
                    .map(|(at, cid)| (*cid, (number.rotate_left(at as u32) % 5) as u32));
                let mut holders = Holders::default();
                counts.for_each(|(cid, peers)| holders.insert(cid, peers));
                tree.set_holders(holders);
            }
            8 if number.is_multiple_of(4) => tree.stop(now),
            8 if number.is_multiple_of(9) => tree.cancel(now),
            9 => self.folder.space = (number.is_multiple_of(2)).then_some(number % 4000),
            10 => {
                // An answer that was never asked for.
                tree.handle_done(EffectId(number), Ok(Done::Unit), now);
            }
            _ => tree.handle_timeout(now + Duration::from_millis(number % 3000)),
        }
    }

    fn drain(
        &mut self,
        tree: &mut TreeDownload,
        effects: &mut VecDeque<(EffectId, TreeEffect)>,
        wants: &mut Vec<Cid>,
    ) {
        // A host that takes outputs late, too.
        let most = self.pick(&[1, usize::MAX, usize::MAX]);
        for _ in 0..most {
            let Some(output) = tree.poll_output() else { break };
            match &output {
                TreeOutput::Effect(
                    id,
                    TreeEffect::File { path, effect: Effect::Write { offset, bytes } },
                ) => {
                    let len = bytes.len();
                    writeln!(self.transcript, "{id:?} {path} {offset} {len}").unwrap();
                }
                output => writeln!(self.transcript, "{output:?}").unwrap(),
            }
            match output {
                TreeOutput::Want(want) => wants.push(want.cid),
                TreeOutput::Cancel(cid) => wants.retain(|want| *want != cid),
                TreeOutput::Effect(id, effect) => effects.push_back((id, effect)),
                TreeOutput::Event(_) => {}
            }
        }
        let (timeout, progress) = (tree.poll_timeout(), tree.progress());
        writeln!(self.transcript, "{timeout:?} {progress:?} {}", tree.is_over()).unwrap();
    }
}

/// The first eight bytes of a digest of all that came out.
fn digest(seed: u64, trees: &[Source; 4], broken: &[Source]) -> String {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let mut rng = Rng::new(&bytes, "transcripts of trees");
    let (source, steps) = match seed % 32 {
        0 => (&trees[2], 4000),
        1 if seed.is_multiple_of(3) => (&trees[3], 30_000),
        2..=7 => (&broken[rng.below(broken.len() as u64) as usize], 1500),
        other => (&trees[other as usize % 2], 1500),
    };
    let is_calm = matches!(seed % 64, 0 | 1 | 33);
    let mut folder = FakeFolder::new();
    folder.is_eternal = steps > 4000;
    let (now, transcript) = (Timestamp::ZERO, String::new());
    let mut world = World { rng, source, folder, now, steps, is_calm, transcript };
    if !is_calm {
        world.prepare();
    }
    for _ in 0..if steps > 4000 { 1 } else { RUNS } {
        world.run();
    }
    let hash = Code::Sha2_256.digest(world.transcript.as_bytes());
    hash.digest()[..8].iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

#[test]
fn outputs_of_trees_are_as_recorded() {
    let recorded: Vec<&str> = include_str!("transcripts.txt").lines().collect();
    let trees = [sample().0, large(), wide(), many()];
    let broken: Vec<Source> = (0..8).map(broken).collect();
    let found: Vec<String> = (0..SEEDS).map(|seed| digest(seed, &trees, &broken)).collect();
    let differ: Vec<usize> =
        (0..found.len()).filter(|at| recorded.get(*at) != Some(&found[*at].as_str())).collect();
    assert!(differ.is_empty(), "seeds {differ:?} of\n{}", found.join("\n"));
}
