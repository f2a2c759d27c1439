//! Every output of downloads with random hosts, disks and failures, recorded: a change of structure changes
//! no output and no deadline.
//!
//! `transcripts.txt` has a digest for each seed. A change of behaviour that is wanted replaces it by what
//! the failed assertion prints.

use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt::Write;
use core::time::Duration;

use cid::Cid;
use multihash_codetable::{Code, MultihashDigest};

use super::harness::*;
use crate::chunk::testing::{FakeDisk, Survives};
use crate::chunk::*;
use crate::rng::Rng;
use crate::time::Timestamp;

const SEEDS: u64 = 400;
/// Runs of one download, each after a crash or an end of the one before.
const RUNS: usize = 3;
const STEPS: usize = 1500;

struct World {
    rng: Rng,
    file: File,
    disk: FakeDisk,
    now: Timestamp,
    holders: Holders,
    transcript: String,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let mut rng = Rng::new(&bytes, "transcripts");
        let leaves = [0, 1, 2, 7, 40, 190][rng.below(6) as usize];
        let lens: Vec<usize> = (0..leaves).map(|_| 1 + rng.below(90) as usize).collect();
        let mut file = match rng.below(3) {
            0 => File::of_leaves(lens.iter().map(|len| vec![1; len % 3 + 1])),
            _ => File::of(lens),
        };
        if rng.below(12) == 0 && file.leaves.len() > 2 {
            // A leaf that is missing from the peers' store.
            file.blocks.remove(&file.leaves[1].clone());
        }
        let mut disk = FakeDisk::new();
        let mut other = file.bytes.clone();
        match rng.below(8) {
            0 => disk.put(FileRole::Target(0), &other),
            1 if !other.is_empty() => {
                let at = rng.below(other.len() as u64) as usize;
                other[at] ^= 1;
                disk.put(FileRole::Target(0), &other);
            }
            2 => disk.put(FileRole::Target(0), b"something else"),
            3 => disk.put(FileRole::Temp, &other),
            4 => disk.put(FileRole::Journal, b"no journal"),
            _ => {}
        }
        disk.has_no_locks = rng.below(8) == 0;
        disk.is_dangling = rng.below(20) == 0;
        disk.is_busy = rng.below(8) == 0;
        disk.is_locked_elsewhere = rng.below(24) == 0;
        disk.is_quota = rng.below(2) == 0;
        Self {
            rng,
            file,
            disk,
            now: Timestamp::ZERO,
            holders: Holders::default(),
            transcript: String::new(),
        }
    }

    fn pick<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.rng.below(of.len() as u64) as usize].clone()
    }

    fn options(&mut self) -> DownloadOptions {
        let len = self.file.bytes.len() as u64;
        let from = self.rng.below(len.max(1));
        DownloadOptions {
            wanted: self.pick(&[0..u64::MAX, 0..u64::MAX, from..from + len / 2, from..u64::MAX]),
            order: self.order(),
            read_ahead: self.rng.below(200),
            window: self.pick(&[1, 100, 700, 32 << 20]),
            if_exists: self.pick(&[IfExists::Refuse, IfExists::Replace, IfExists::Unique]),
            resume: self.pick(&[Resume::Full, Resume::Sample, Resume::Changed]),
            sync: self.pick(&[
                SyncPolicy::Never,
                SyncPolicy::AtEnd,
                SyncPolicy::Checkpoints { bytes: 150, every: Duration::from_secs(2) },
                SyncPolicy::default(),
            ]),
            rename: self.pick(&[RenameRetry::NONE, RenameRetry::WINDOWS]),
            reserve: self.rng.below(4) == 0,
            check_space: self.rng.below(2) == 0,
            wait_for_space: self.pick(&[Duration::ZERO, Duration::from_secs(90), Duration::MAX]),
            stall_after: self.pick(&[Duration::from_secs(2), Duration::from_secs(10)]),
            seed: [self.rng.below(4) as u8; 32],
            ..DownloadOptions::default()
        }
    }

    fn order(&mut self) -> Order {
        self.pick(&[Order::Sequential, Order::Rarest, Order::Deadline, Order::Random])
    }

    fn error(&mut self) -> FsError {
        let role = FileRole::Journal;
        let kind = self.pick(&[
            FsErrorKind::Io,
            FsErrorKind::Io,
            FsErrorKind::DiskFull,
            FsErrorKind::QuotaExceeded,
            FsErrorKind::PermissionDenied,
            FsErrorKind::Exists,
            FsErrorKind::NotFound,
            FsErrorKind::Busy,
            FsErrorKind::InTheWay { role, what: Obstacle::Directory },
        ]);
        FsError { kind, code: self.pick(&[None, Some(5), Some(32)]) }
    }

    /// One download until its end, a crash, or the last step.
    fn run(&mut self) {
        let (root, options) = (self.file.root, self.options());
        let verifies = self.disk.bytes(FileRole::Target(0)).is_some() && self.rng.below(4) == 0;
        let download = if verifies { Download::verify } else { Download::new };
        let mut download = download(root, options, self.now);
        self.holders = Holders::default();
        let mut effects: VecDeque<(EffectId, Effect)> = VecDeque::new();
        let mut wants: Vec<Cid> = Vec::new();
        // Some hosts only answer, most disturb now and then, a few all the time.
        let disturbs = self.pick(&[0, 3, 3, 3, 20]);
        self.disk.space = (self.rng.below(5) == 0).then(|| self.rng.below(3000));
        for step in 0..STEPS {
            self.drain(&mut download, &mut effects, &mut wants);
            if download.is_over() {
                break;
            }
            if self.rng.below(100) < disturbs {
                self.disturb(&mut download, &mut wants);
            } else if step + 40 == STEPS {
                download.stop(self.now);
            } else if !effects.is_empty() && self.rng.below(3) > 0 {
                let at = self.rng.below(effects.len() as u64) as usize;
                let (id, effect) = effects.remove(at).unwrap();
                // Most failures come after the first steps.
                let is_early = matches!(effect, Effect::Lock | Effect::Open { .. });
                if self.rng.below(if is_early { 1000 } else { 100 }) < disturbs * 2 {
                    self.disk.fail_at = Some((self.disk.log.len(), self.error()));
                }
                let result = self.disk.run(&effect);
                download.handle_done(id, result, self.now);
            } else if !wants.is_empty() && self.rng.below(3) > 0 {
                let at = self.rng.below(wants.len() as u64) as usize;
                if let Some(bytes) = self.file.blocks.get(&wants[at]).cloned() {
                    let block = crate::block::Block::new(wants.remove(at), bytes).unwrap();
                    let used = download.handle_block(&block, self.now);
                    write!(self.transcript, "used {used} ").unwrap();
                }
            } else if let Some(at) = download.poll_timeout() {
                self.now = self.now.max(at);
                download.handle_timeout(self.now);
            } else if self.rng.below(40) == 0 {
                break;
            }
            if disturbs > 0 && self.rng.below(400) == 0 {
                break;
            }
        }
        let seed = self.rng.below(200) as u8;
        let survives = self.pick(&[Survives::Nothing, Survives::All, Survives::Some(seed)]);
        self.disk = self.disk.crash(survives);
        if self.rng.below(6) == 0 {
            self.disk.delete(FileRole::Target(0));
        }
    }

    fn disturb(&mut self, download: &mut Download, wants: &mut Vec<Cid>) {
        let (now, number) = (self.now, self.rng.next_u64());
        match self.rng.below(12) {
            0 => download.pause(now),
            1..=3 => download.resume(now),
            4 => download.set_order(self.order(), now),
            5 => download.seek(number % 5000, now),
            6 if !wants.is_empty() => {
                let cid = wants.remove(number as usize % wants.len());
                let missing =
                    if number.is_multiple_of(16) { Missing::NotFound } else { Missing::Withdrawn };
                download.handle_want_failed(&cid, missing, now);
            }
            7 => download.handle_network(StallReason::NoPeers),
            8 if !self.file.leaves.is_empty() => {
                let leaf = self.file.leaves[number as usize % self.file.leaves.len()];
                if download.map().is_some_and(|map| map.needs(&leaf)) {
                    self.holders.insert(leaf, (number % 5) as u32);
                    download.set_holders(self.holders.clone());
                }
            }
            9 if number.is_multiple_of(4) => download.stop(now),
            9 if number.is_multiple_of(9) => download.cancel(now),
            10 => {
                let error = self.error();
                let times = self.pick(&[1, 1, 80]);
                self.disk.rename_failures.extend(vec![error; times]);
            }
            11 => self.disk.space = (number.is_multiple_of(2)).then_some(number % 2000),
            _ => download.handle_timeout(now + Duration::from_millis(number % 3000)),
        }
    }

    fn drain(
        &mut self,
        download: &mut Download,
        effects: &mut VecDeque<(EffectId, Effect)>,
        wants: &mut Vec<Cid>,
    ) {
        // A host that takes outputs late, too.
        let most = self.pick(&[1, usize::MAX, usize::MAX]);
        for _ in 0..most {
            let Some(output) = download.poll_output() else { break };
            writeln!(self.transcript, "{output:?}").unwrap();
            match output {
                DownloadOutput::Want(want) => wants.push(want.cid),
                DownloadOutput::Cancel(cid) => wants.retain(|want| *want != cid),
                DownloadOutput::Effect(id, effect) => effects.push_back((id, effect)),
                DownloadOutput::Event(_) => {}
            }
        }
        download.validate();
        let counts = download.map().map(RangeMap::counts);
        let (timeout, size, is_over) =
            (download.poll_timeout(), download.size(), download.is_over());
        writeln!(self.transcript, "{timeout:?} {size:?} {is_over} {counts:?}").unwrap();
    }
}

/// The first eight bytes of a digest of all that came out.
fn digest(seed: u64) -> String {
    let mut world = World::new(seed);
    for _ in 0..RUNS {
        world.run();
    }
    let hash = Code::Sha2_256.digest(world.transcript.as_bytes());
    hash.digest()[..8].iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

#[test]
fn outputs_are_as_recorded() {
    let recorded: Vec<&str> = include_str!("transcripts.txt").lines().collect();
    let found: Vec<String> = (0..SEEDS).map(digest).collect();
    let differ: Vec<usize> =
        (0..found.len()).filter(|at| recorded.get(*at) != Some(&found[*at].as_str())).collect();
    assert!(differ.is_empty(), "seeds {differ:?} of\n{}", found.join("\n"));
}
