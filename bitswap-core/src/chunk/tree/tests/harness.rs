//! One tree, one folder, and time that jumps.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::time::Duration;

use cid::Cid;

use super::disk::FakeFolder;
use crate::chunk::tree::testing::Source;
use crate::chunk::{
    Done, DownloadOptions, EffectId, FsError, Missing, NodeRoot, RAW, SyncPolicy, TreeDownload,
    TreeEffect, TreeEvent, TreeFinished, TreeOptions, TreeOutcome, TreeOutput,
};
use crate::time::Timestamp;

const STEPS_MAX: usize = 100_000;

pub(super) struct Run<'a> {
    pub(super) tree: TreeDownload,
    pub(super) folder: FakeFolder,
    source: &'a Source,
    pub(super) now: Timestamp,
    effects: VecDeque<(EffectId, TreeEffect)>,
    pub(super) asked: VecDeque<Cid>,
    pub(super) wanted: Vec<Cid>,
    pub(super) events: Vec<TreeEvent>,
    /// Blocks that no peer has.
    pub(super) silent: Vec<Cid>,
    steps: usize,
}

impl<'a> Run<'a> {
    pub(super) fn new(source: &'a Source, options: TreeOptions, folder: FakeFolder) -> Self {
        let tree = TreeDownload::new(source.root, options, Timestamp::ZERO);
        Self {
            tree,
            folder,
            source,
            now: Timestamp::ZERO,
            effects: VecDeque::new(),
            asked: VecDeque::new(),
            wanted: Vec::new(),
            events: Vec::new(),
            silent: Vec::new(),
            steps: 0,
        }
    }

    pub(super) fn drain(&mut self) {
        while let Some(output) = self.tree.poll_output() {
            assert!(self.outcome().is_none(), "after the end: {output:?}");
            match output {
                TreeOutput::Want(want) => {
                    assert!(!self.asked.contains(&want.cid), "asked twice at a time");
                    self.wanted.push(want.cid);
                    self.asked.push_back(want.cid);
                }
                TreeOutput::Cancel(cid) => {
                    let at = self.asked.iter().position(|asked| *asked == cid);
                    self.asked.remove(at.expect("cancels what was asked"));
                }
                TreeOutput::Effect(id, effect) => self.effects.push_back((id, effect)),
                TreeOutput::Event(event) => self.events.push(event),
            }
        }
    }

    pub(super) fn run_effect(&mut self) -> bool {
        let answer = self.run_unanswered(0);
        answer.map(|answer| self.answer(answer)).is_some()
    }

    pub(super) fn run_unanswered(
        &mut self,
        at: usize,
    ) -> Option<(EffectId, Result<Done, FsError>)> {
        self.drain();
        let at = at.checked_rem(self.effects.len())?;
        let (id, effect) = self.effects.remove(at)?;
        Some((id, self.folder.run(&effect)))
    }

    pub(super) fn answer(&mut self, (id, result): (EffectId, Result<Done, FsError>)) {
        self.tree.handle_done(id, result, self.now);
        self.drain();
    }

    pub(super) fn deliver(&mut self) -> bool {
        self.drain();
        let is_there = |cid: &Cid| !self.silent.contains(cid);
        let Some(at) = self.asked.iter().position(is_there) else { return false };
        let cid = self.asked.remove(at).unwrap();
        match self.source.blocks.contains_key(&cid) {
            true => _ = self.tree.handle_block(&self.source.block(&cid), self.now),
            false => self.tree.handle_want_failed(&cid, Missing::NotFound, self.now),
        }
        self.drain();
        true
    }

    pub(super) fn wait(&mut self) -> bool {
        self.drain();
        let Some(until) = self.tree.poll_timeout() else { return false };
        self.now = self.now.max(until);
        self.tree.handle_timeout(self.now);
        self.drain();
        let next = self.tree.poll_timeout();
        assert!(next.is_none_or(|next| next > self.now), "a timer that does not advance");
        true
    }

    pub(super) fn step(&mut self) -> bool {
        self.steps += 1;
        assert!(self.steps < STEPS_MAX, "it never ends");
        self.outcome().is_none() && (self.run_effect() || self.deliver() || self.wait())
    }

    pub(super) fn finish(&mut self) -> TreeOutcome {
        while self.step() {}
        self.outcome().expect("stuck before the end")
    }

    pub(super) fn outcome(&self) -> Option<TreeOutcome> {
        match self.events.last() {
            Some(TreeEvent::Ended(outcome)) => Some(outcome.clone()),
            _ => None,
        }
    }
}

pub(super) fn options() -> TreeOptions {
    let sync = SyncPolicy::Checkpoints { bytes: 3000, every: Duration::from_secs(5) };
    let download = DownloadOptions { sync, window: 4 << 20, ..DownloadOptions::default() };
    TreeOptions { download, ..TreeOptions::default() }
}

/// What the target must hold, as [`FakeFolder::tree`] has it.
pub(super) type Entries = BTreeMap<String, Option<Vec<u8>>>;

/// Bytes that differ from file to file.
pub(super) fn content(number: usize, len: usize) -> Vec<u8> {
    (0..len).map(|at| (number * 31 + at * 7 + at / 251) as u8).collect()
}

/// A tree of about fifty entries: files of no byte, of one block and of several, empty directories, symbolic
/// links, entries within their links, and names of several scripts.
pub(super) fn sample() -> (Source, Entries) {
    let (mut source, mut expected) = (Source::new(), Entries::new());
    let mut add = |path: &str, node: Option<Vec<u8>>| {
        expected.insert(path.to_string(), node);
    };
    let mut top: Vec<(String, NodeRoot)> = Vec::new();
    for folder in 0..3 {
        let mut entries = Vec::new();
        add(&format!("folder{folder}"), None);
        for file in 0..11 {
            let (name, number) = (format!("файл {file}"), folder * 100 + file);
            let bytes = content(number, number * 13);
            add(&format!("folder{folder}/{name}"), Some(bytes.clone()));
            entries.push((name, source.file(&bytes)));
        }
        entries.push(("empty".to_string(), source.directory::<String>([])));
        add(&format!("folder{folder}/empty"), None);
        entries.push(("link".to_string(), source.symlink("../../outside")));
        add(&format!("folder{folder}/link"), Some(b"-> ../../outside".to_vec()));
        // A file of several leaves, the first two the same in each folder.
        let lens = [1500, 1200, 900 + folder];
        let leaves: Vec<Vec<u8>> = lens.iter().map(|len| content(*len, *len)).collect();
        let large = several(&mut source, &leaves);
        add(&format!("folder{folder}/large"), Some(leaves.concat()));
        entries.push(("large".to_string(), large));
        let dir = source.directory(entries);
        top.push((format!("folder{folder}"), dir));
    }
    top.push(("inline".to_string(), source.inline(RAW, b"inline")));
    add("inline", Some(b"inline".to_vec()));
    source.root = source.directory(top).cid;
    (source, expected)
}

/// A file of these leaves.
pub(super) fn several(source: &mut Source, leaves: &[Vec<u8>]) -> NodeRoot {
    let mut tree = crate::chunk::Tree::new(source.profile);
    for leaf in leaves {
        let root = source.any(RAW, leaf.clone());
        for node in tree.push_range(root.cid, leaf.len() as u64, root.dag_size) {
            source.put(node);
        }
    }
    let (root, nodes) = tree.finish();
    nodes.into_iter().for_each(|node| source.put(node));
    NodeRoot { cid: root.cid, dag_size: root.dag_size }
}

pub(super) fn finished(outcome: TreeOutcome) -> TreeFinished {
    match outcome {
        TreeOutcome::Finished(finished) => finished,
        other => panic!("{other:?}"),
    }
}

pub(super) fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}
