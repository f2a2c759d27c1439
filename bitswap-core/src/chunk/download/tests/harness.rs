//! One download, one disk, one set of blocks, and time that jumps.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;
use core::sync::atomic::{AtomicUsize, Ordering};
use core::time::Duration;

use bytes::Bytes;
use cid::Cid;

use crate::block::Block;
use crate::chunk::testing::FakeDisk;
use crate::chunk::{
    Done, Download, DownloadError, DownloadEvent, DownloadOptions, DownloadOutput, Effect,
    EffectId, Finished, FsError, Missing, Outcome, Profile, Tree,
};
use crate::prefix::Prefix;
use crate::time::Timestamp;

/// Steps of one run before it counts as one that never ends.
const STEPS_MAX: usize = 200_000;

/// A file and all of its blocks.
pub(super) struct File {
    pub(super) root: Cid,
    pub(super) bytes: Vec<u8>,
    pub(super) blocks: BTreeMap<Cid, Bytes>,
    /// The CIDs of the leaves, in file order.
    pub(super) leaves: Vec<Cid>,
}

impl File {
    /// A file of leaves of these lengths, all different, below nodes of 174 links.
    pub(super) fn of(lens: impl IntoIterator<Item = usize>) -> Self {
        let contents = lens.into_iter().enumerate().map(|(at, len)| {
            let number = (at as u32).to_le_bytes();
            (0..len).map(|byte| number[byte % 4] ^ (byte / 4) as u8).collect()
        });
        Self::of_leaves(contents)
    }

    pub(super) fn of_leaves(contents: impl IntoIterator<Item = Vec<u8>>) -> Self {
        let raw = Prefix::of(&Cid::new_v1(crate::chunk::RAW, *cid_of(b"").hash())).unwrap();
        let mut tree = Tree::new(Profile::UnixfsV0_2015);
        let mut file =
            Self { root: cid_of(b""), bytes: vec![], blocks: BTreeMap::new(), leaves: vec![] };
        let mut nodes = Vec::new();
        for content in contents {
            let len = content.len() as u64;
            file.bytes.extend_from_slice(&content);
            let leaf = raw.block(content.into()).unwrap();
            nodes.extend(tree.push_range(*leaf.cid(), len, len));
            file.leaves.push(*leaf.cid());
            nodes.push(leaf);
        }
        let (root, last) = tree.finish();
        nodes.extend(last);
        file.root = root.cid;
        file.blocks = nodes.into_iter().map(Block::into_parts).collect();
        file
    }

    pub(super) fn block(&self, cid: &Cid) -> Block {
        Block::new(*cid, self.blocks[cid].clone()).unwrap()
    }
}

pub(in crate::chunk) fn cid_of(bytes: &'static [u8]) -> Cid {
    *Prefix::V0.block(Bytes::from_static(bytes)).unwrap().cid()
}

/// The bytes of a block, counted for as long as anybody holds a slice of them.
struct Counted {
    bytes: Bytes,
    held: Arc<AtomicUsize>,
}

impl Counted {
    fn of(bytes: Bytes, held: &Arc<AtomicUsize>) -> Bytes {
        held.fetch_add(bytes.len(), Ordering::Relaxed);
        Bytes::from_owner(Self { bytes, held: held.clone() })
    }
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.held.fetch_sub(self.bytes.len(), Ordering::Relaxed);
    }
}

/// A run of one download.
pub(super) struct Run<'a> {
    pub(super) download: Download,
    pub(super) disk: FakeDisk,
    file: &'a File,
    /// The bytes of the file that are wanted.
    wanted_bytes: Range<u64>,
    pub(super) now: Timestamp,
    effects: VecDeque<(EffectId, Effect)>,
    pub(super) asked: VecDeque<Cid>,
    /// Every want ever emitted.
    pub(super) wanted: Vec<Cid>,
    /// Those of them that were urgent.
    pub(super) urgent: Vec<Cid>,
    pub(super) cancelled: Vec<Cid>,
    pub(super) events: Vec<DownloadEvent>,
    /// Blocks that no peer has: their wants stay open.
    pub(super) silent: Vec<Cid>,
    /// Bytes of delivered blocks that are still in memory.
    held: Arc<AtomicUsize>,
    steps: usize,
}

impl<'a> Run<'a> {
    pub(super) fn new(file: &'a File, options: DownloadOptions, disk: FakeDisk) -> Self {
        let wanted = options.wanted.clone();
        let download = Download::new(file.root, options, Timestamp::ZERO);
        Self { wanted_bytes: wanted, ..Self::with(download, file, disk) }
    }

    pub(super) fn with(download: Download, file: &'a File, disk: FakeDisk) -> Self {
        Self {
            download,
            disk,
            file,
            wanted_bytes: 0..u64::MAX,
            now: Timestamp::ZERO,
            effects: VecDeque::new(),
            asked: VecDeque::new(),
            wanted: Vec::new(),
            urgent: Vec::new(),
            cancelled: Vec::new(),
            events: Vec::new(),
            silent: Vec::new(),
            held: Arc::default(),
            steps: 0,
        }
    }

    /// Takes all outputs.
    pub(super) fn drain(&mut self) {
        loop {
            let timeout = self.download.poll_timeout();
            let Some(output) = self.download.poll_output() else { break };
            assert!(timeout.is_some_and(|at| at <= self.now), "an output is ready: {output:?}");
            assert!(!self.is_over(), "after the end: {output:?}");
            match output {
                DownloadOutput::Want(want) => {
                    assert!(!self.asked.contains(&want.cid), "asked twice at a time");
                    self.wanted.push(want.cid);
                    if want.urgent {
                        self.urgent.push(want.cid);
                    }
                    self.asked.push_back(want.cid);
                }
                DownloadOutput::Cancel(cid) => {
                    let at = self.asked.iter().position(|asked| *asked == cid);
                    self.asked.remove(at.expect("cancels what was asked"));
                    self.cancelled.push(cid);
                }
                DownloadOutput::Effect(id, effect) => self.effects.push_back((id, effect)),
                DownloadOutput::Event(event) => self.events.push(event),
            }
        }
        // Both visit every row: too slow for the largest shapes and the longest runs.
        let is_small = self.download.map().is_none_or(|map| map.footprint().0 <= 200);
        if is_small && self.steps < 1000 {
            self.download.validate();
        }
        if let Some(map) =
            self.download.map().filter(|_| (1..=1000).contains(&self.file.leaves.len()))
        {
            let counts = map.counts();
            let sum = counts.queued + counts.in_flight + counts.writing + counts.have;
            let wanted = &self.wanted_bytes;
            let len = self.file.bytes.len() as u64;
            let selected = wanted.end.min(len).saturating_sub(wanted.start);
            assert_eq!(sum, selected, "every byte is in one state: {counts:?}");
        }
    }

    /// Runs the next file operation, as long as there is one.
    pub(super) fn run_effect(&mut self) -> bool {
        self.drain();
        let Some((id, effect)) = self.effects.pop_front() else { return false };
        let result = self.disk.run(&effect);
        self.download.handle_done(id, result, self.now);
        self.drain();
        true
    }

    /// Delivers the next block that was asked for.
    pub(super) fn deliver(&mut self) -> bool {
        self.drain();
        let available = |cid: &Cid| !self.silent.contains(cid);
        let Some(at) = self.asked.iter().position(available) else { return false };
        let cid = self.asked.remove(at).unwrap();
        self.give(cid);
        true
    }

    pub(super) fn give(&mut self, cid: Cid) {
        let bytes = Counted::of(self.file.blocks[&cid].clone(), &self.held);
        let block = Block::new(cid, bytes).unwrap();
        self.download.handle_block(&block, self.now);
        drop(block);
        self.drain();
    }

    /// Jumps to the next deadline.
    pub(super) fn wait(&mut self) -> bool {
        self.drain();
        let Some(until) = self.download.poll_timeout() else { return false };
        self.now = self.now.max(until);
        self.download.handle_timeout(self.now);
        self.drain();
        let next = self.download.poll_timeout();
        assert!(next.is_none_or(|next| next > self.now), "a timer that does not advance");
        true
    }

    /// One thing: an operation, a block, or a jump in time.
    pub(super) fn step(&mut self) -> bool {
        self.steps += 1;
        assert!(self.steps < STEPS_MAX, "it never ends");
        !self.is_over() && (self.run_effect() || self.deliver() || self.wait())
    }

    /// RangeSet to the end.
    pub(super) fn finish(&mut self) -> Outcome {
        while self.step() {}
        self.outcome().expect("stuck before the end")
    }

    /// RangeSet until nothing but time is left, for at most so long.
    pub(super) fn run_for(&mut self, time: Duration) {
        let until = self.now + time;
        loop {
            while self.run_effect() || self.deliver() {}
            match self.download.poll_timeout() {
                Some(next) if next <= until => _ = self.wait(),
                _ => break,
            }
        }
        self.now = until;
    }

    pub(super) fn is_over(&self) -> bool {
        self.outcome().is_some()
    }

    pub(super) fn outcome(&self) -> Option<Outcome> {
        let ends = self.events.iter().filter_map(|event| match event {
            DownloadEvent::Ended(outcome) => Some(outcome.clone()),
            _ => None,
        });
        let ends: Vec<_> = ends.collect();
        assert!(ends.len() <= 1, "{ends:?}");
        ends.into_iter().next()
    }

    /// Bytes of delivered blocks that are in memory, in the download or in operations that are out.
    pub(super) fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    /// How many of the wants were for leaves.
    pub(super) fn leaves_wanted(&self) -> usize {
        self.wanted.iter().filter(|cid| self.file.leaves.contains(cid)).count()
    }

    pub(super) fn fail_want(&mut self, cid: &Cid, missing: Missing) {
        self.asked.retain(|asked| asked != cid);
        self.download.handle_want_failed(cid, missing, self.now);
        self.drain();
    }

    /// The positions of operations of a kind in the disk's log.
    pub(super) fn positions(&self, kind: impl Fn(&Effect) -> bool) -> Vec<usize> {
        let numbered = self.disk.log.iter().enumerate();
        numbered.filter(|(_, effect)| kind(effect)).map(|(at, _)| at).collect()
    }
}

pub(super) fn finished(size: usize) -> Outcome {
    let size = size as u64;
    Outcome::Finished(Finished {
        size,
        number: 0,
        retries: 0,
        already: false,
        unchecked: 0,
        leftover: false,
        durable: true,
    })
}

pub(super) fn failed(error: DownloadError) -> Outcome {
    Outcome::Failed(error)
}

impl Run<'_> {
    /// Whether the next operation is a sync.
    pub(super) fn next_is_sync(&mut self) -> bool {
        self.drain();
        self.effects.front().is_some_and(|(_, effect)| *effect == Effect::Sync)
    }

    /// Whether the next operation is a comparison.
    pub(super) fn next_is_check(&mut self) -> bool {
        self.drain();
        self.effects.front().is_some_and(|(_, effect)| matches!(effect, Effect::Check(_)))
    }

    /// Whether the next operation is a step of a checkpoint.
    pub(super) fn next_is_checkpoint(&mut self) -> bool {
        self.drain();
        let next = self.effects.front().map(|(_, effect)| effect);
        matches!(next, Some(Effect::Sync | Effect::Stamp | Effect::SaveJournal { .. }))
    }
}

impl Run<'_> {
    /// RangeSet any one of the operations that are out.
    pub(super) fn run_effect_at(&mut self, at: usize) -> bool {
        self.drain();
        let count = self.effects.len();
        if count > 0 {
            self.effects.rotate_left(at % count);
        }
        self.run_effect()
    }

    /// Delivers any one of the blocks that were asked for.
    pub(super) fn deliver_at(&mut self, at: usize) -> bool {
        self.drain();
        let count = self.asked.len();
        if count > 0 {
            self.asked.rotate_left(at % count);
        }
        self.deliver()
    }
}

impl Run<'_> {
    /// RangeSet any one of the operations that are out, and keeps its answer back.
    pub(super) fn run_unanswered(
        &mut self,
        at: usize,
    ) -> Option<(EffectId, Result<Done, FsError>)> {
        self.drain();
        let at = at.checked_rem(self.effects.len())?;
        let (id, effect) = self.effects.remove(at)?;
        Some((id, self.disk.run(&effect)))
    }

    pub(super) fn answer(&mut self, (id, result): (EffectId, Result<Done, FsError>)) {
        self.download.handle_done(id, result, self.now);
        self.drain();
    }
}
