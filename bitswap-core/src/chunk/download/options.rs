//! How a download behaves.

use core::ops::Range;
use core::time::Duration;

use crate::chunk::cost;
use crate::chunk::digest::ExpectedDigests;
use crate::chunk::manifest::Bounds;
use crate::chunk::range_map::Order;

/// What a download is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Goal {
    Fetch,
    /// Only to compare the target with the DAG.
    Verify,
}

/// What happens when the target exists and is another file. (The same file is never fetched again.)
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum IfExists {
    /// The download fails and the file stays.
    #[default]
    Refuse,
    /// The rename that finishes the download replaces it; until then it stays.
    Replace,
    /// The download gets a number in its name.
    Unique,
}

/// How much of what an earlier run left is hashed again before the file gets its name. What an earlier
/// run fetched is never fetched again unless it is gone or wrong.
///
/// Whatever is chosen, all of it is hashed unless the journal belongs to the temporary file and the file
/// system shows that nobody wrote to it since (see [`Stamp`](crate::chunk::Stamp)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Resume {
    /// All of it: the only choice after which every byte of the file was hashed for certain.
    #[default]
    Full,
    /// A few ranges, drawn from the seed, and all of it if one of them is wrong.
    Sample,
    /// Nothing.
    Changed,
}

/// When written data is made durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum SyncPolicy {
    /// Never: fast, and an interrupted download is verified in full when it is resumed.
    Never,
    /// Before the rename only.
    AtEnd,
    /// Before the rename, and whenever so many bytes were written or so much time passed: what a
    /// crash can cost.
    Checkpoints {
        /// Bytes between two checkpoints.
        bytes: u64,
        /// Time between two checkpoints, while anything is written.
        every: Duration,
    },
}

impl Default for SyncPolicy {
    /// Checkpoints every 64 MiB or 5 s.
    fn default() -> Self {
        Self::Checkpoints { bytes: 64 << 20, every: Duration::from_secs(5) }
    }
}

/// Which failures of the rename are tried again, and for how long.
///
/// On Windows a virus scanner or an indexer may hold a file that was just closed; that passes.
/// Elsewhere the same failures are real. A file that another program holds when it is to be opened
/// ([`FsErrorKind::Busy`](crate::chunk::FsErrorKind::Busy)) is tried again for the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct RenameRetry {
    /// The operating system's codes that pass by themselves.
    pub codes: &'static [i32],
    /// How long it is retried. Zero: every failure is final.
    pub budget: Duration,
}

impl RenameRetry {
    /// Every failure is final.
    pub const NONE: Self = Self { codes: &[], budget: Duration::ZERO };
    /// "Access denied" and "sharing violation", for a minute.
    pub const WINDOWS: Self = Self { codes: &[5, 32], budget: Duration::from_secs(60) };
}

/// The settings of one download.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct DownloadOptions {
    /// The bytes of the file that are wanted; the target holds them and nothing else.
    pub wanted: Range<u64>,
    /// In which order blocks are requested.
    pub order: Order,
    /// With [`Order::Deadline`]: bytes ahead of the reader whose wants are urgent.
    pub read_ahead: u64,
    /// Bytes requested and received that are not written yet, and inner nodes that are in use: most of
    /// the memory that a download takes. One block is always allowed.
    pub window: u64,
    /// What happens when the target exists.
    pub if_exists: IfExists,
    /// What of an earlier run is trusted.
    pub resume: Resume,
    /// When data is made durable.
    pub sync: SyncPolicy,
    /// Which failures of the rename pass by themselves, and how long a file that another program holds is tried.
    pub rename: RenameRetry,
    /// Reserve the file's space at the start instead of making it sparse.
    pub reserve: bool,
    /// Fail at the start when the disk has less free space than the file needs, unless there is time to
    /// wait for more.
    pub check_space: bool,
    /// How long a disk that is full, or a quota that is used up, is tried again before the download
    /// fails. Zero: it fails at once, [`Duration::MAX`]: never.
    pub wait_for_space: Duration,
    /// Without a byte for this long the download reports a stall.
    pub stall_after: Duration,
    /// What the file must be besides what its CID says. A file of which something is expected is read once more
    /// at its end, and what an earlier run left is hashed in [full](Resume::Full).
    pub expected: ExpectedDigests,
    /// What a DAG may cost.
    pub bounds: Bounds,
    /// Seeds the random order, the samples, and the id that binds the journal to the temporary file:
    /// fresh random bytes for each download.
    pub seed: [u8; 32],
}

impl DownloadOptions {
    /// How much of what an earlier run left is hashed again.
    pub(super) const fn resume(&self) -> Resume {
        if self.expected.is_empty() { self.resume } else { Resume::Full }
    }

    /// The bytes of memory that the download takes at the very most, whatever its DAG is like.
    ///
    /// An ordinary file takes the window and little more. With the window *W*, blocks of *B* bytes (2 MiB, if
    /// that is the largest that the node takes), and a node of *l* links in memory, *N* = 256 + 192 *l* +
    /// *B*, the terms are:
    ///
    /// | bytes | what |
    /// | --- | --- |
    /// | *W* + *B* | requested and received; nodes have a quarter of it at most, so that leaves always have the rest |
    /// | max(*W*/4, *N*) | nodes that are not expanded to their last child; the last in the order are evicted and requested again |
    /// | *N* | the root, for as long as the download lives |
    /// | max(*W*/4, *B*) | leaves that filled several ranges at once |
    /// | 512 (*R* + 66 (*d* + 1)) | ranges that are not written yet; *d* is [`Bounds::depth`], *R* is *W*/512, 4,096 at least and 65,536 at most |
    ///
    /// A node of 16,384 links takes 2 MiB, one of 1,024 takes 128 KiB. While a node is read, and at the start, another 8 MiB may be in use for a moment.
    #[must_use]
    pub fn memory_max(&self) -> u64 {
        cost::memory_max(self.window, &self.bounds)
    }
}

impl Default for DownloadOptions {
    fn default() -> Self {
        Self {
            wanted: 0..u64::MAX,
            order: Order::default(),
            read_ahead: 8 << 20,
            window: 32 << 20,
            if_exists: IfExists::default(),
            resume: Resume::default(),
            sync: SyncPolicy::default(),
            rename: RenameRetry::NONE,
            reserve: false,
            check_space: true,
            wait_for_space: Duration::ZERO,
            stall_after: Duration::from_secs(10),
            expected: ExpectedDigests::default(),
            bounds: Bounds::default(),
            seed: [0; 32],
        }
    }
}
