//! Chunk bookkeeping: from a file to blocks, and from a CID to a file on disk.
//!
//! * [`Importer`]: bytes in, blocks out; [`DirectoryBuilder`]: the entries of a directory in, blocks out.
//! * [`Manifest`]: a root CID and verified blocks in, exact byte ranges out.
//! * [`RangeMap`]: which ranges are queued, in flight, being written, and written.
//! * [`Resolver`]: a path such as `CID/folder/file` in, what has it out.
//! * [`TreeWalk`]: the root of a directory in, its entries out.
//! * [`TreeDownload`]: a whole tree, with the folder on disk.
//! * [`Download`]: all of it together with the files on disk: resumable, safe to kill at any moment.
//!
//! Nothing here touches a file. A [`Download`] requests operations and is given their results.
//!
//! # Driving a download
//!
//! 1. After every call, take all outputs with [`Download::poll_output`]:
//!    * [`DownloadOutput::Want`]: request the block, for example in a session of the engine. Answer with
//!      [`Download::handle_block`] or [`Download::handle_want_failed`].
//!    * [`DownloadOutput::Cancel`]: cancel the request. A block that arrives nevertheless may be handed over.
//!    * [`DownloadOutput::Effect`]: run it, on a thread that may block, in any order and side by
//!      side, and answer each with [`Download::handle_done`]. Each [`Effect`] documents what it must do.
//!    * [`DownloadOutput::Event`]: inform the user. [`DownloadEvent::Ended`] is the last output.
//! 2. Sleep until something answers, or until [`Download::poll_timeout`]; then call
//!    [`Download::handle_timeout`] with the clock's time (not the deadline).
//!
//! What is requested and not yet written stays below [`DownloadOptions::window`], so a slow disk
//! slows the download and fills no memory. Outputs are never lost by being taken late.
//!
//! Dropping a [`Download`] is like killing the process: what the journal claims stays usable. To end
//! it, call [`Download::stop`] or [`Download::cancel`] and continue until [`DownloadEvent::Ended`].
//!
//! This loop downloads from a map of blocks to a file in memory:
//!
//! ```
//! use std::collections::BTreeMap;
//!
//! use bitswap_core::chunk::{
//!     Done, Download, DownloadEvent, DownloadOptions, DownloadOutput, Effect, FsError, FsErrorKind,
//!     Importer, Outcome, FileRole, Profile, Stamp,
//! };
//! use bitswap_core::{Block, Timestamp};
//!
//! // Somebody has the file.
//! let mut importer = Importer::new(Profile::default());
//! importer.write(vec![7; 3_000_000]);
//! let root = importer.finish();
//! let mut blocks: BTreeMap<_, Block> = BTreeMap::new();
//! while let Some(imported) = importer.poll_block() {
//!     blocks.insert(*imported.block.cid(), imported.block);
//! }
//!
//! // The disk: what a driver does with real files.
//! let mut files: BTreeMap<FileRole, Vec<u8>> = BTreeMap::new();
//! let mut run = |effect: Effect| -> Result<Done, FsError> {
//!     let missing = FsError { kind: FsErrorKind::NotFound, code: None };
//!     match effect {
//!         Effect::Open { role, create } => {
//!             if create {
//!                 files.entry(role).or_default();
//!             }
//!             let len = files.get(&role).ok_or(missing)?.len() as u64;
//!             return Ok(Done::Opened { len });
//!         }
//!         Effect::Read { role, .. } => {
//!             return Ok(Done::Bytes(files.get(&role).ok_or(missing)?.clone().into()));
//!         }
//!         Effect::FreeSpace => return Ok(Done::Space(u64::MAX)),
//!         // Of which file, how long, changed when: here nobody else writes to it.
//!         Effect::Stamp => return Ok(Done::Stamp(Stamp([0; 32]))),
//!         Effect::Check(check) => {
//!             let at = check.offset as usize;
//!             let bytes = files[&check.role][at..at + check.len].to_vec();
//!             return Ok(Done::Equal(check.matches(&bytes.into())));
//!         }
//!         Effect::Digest { .. } => unreachable!("no digest is expected"),
//!         Effect::Allocate { len, .. } => {
//!             files.entry(FileRole::Temp).or_default().resize(len as usize, 0);
//!         }
//!         Effect::Write { offset, bytes } => {
//!             let file = files.get_mut(&FileRole::Temp).ok_or(missing)?;
//!             file[offset as usize..offset as usize + bytes.len()].copy_from_slice(&bytes);
//!         }
//!         Effect::SaveJournal { bytes } => {
//!             files.insert(FileRole::Journal, bytes.to_vec());
//!         }
//!         Effect::Rename { to, .. } => {
//!             let file = files.remove(&FileRole::Temp).ok_or(missing)?;
//!             files.insert(to, file);
//!         }
//!         Effect::Remove { role } => {
//!             files.remove(&role);
//!         }
//!         // Nobody else is here, nothing is mounted, and memory is not made durable.
//!         Effect::CheckReplace { .. } | Effect::Lock | Effect::Unlock => {}
//!         Effect::Sync | Effect::SyncDir | Effect::Close { .. } => {}
//!     }
//!     Ok(Done::Unit)
//! };
//!
//! let mut now = Timestamp::ZERO;
//! let mut download = Download::new(root.cid, DownloadOptions::default(), now);
//! let outcome = loop {
//!     match download.poll_output() {
//!         Some(DownloadOutput::Want(want)) => {
//!             download.handle_block(&blocks[&want.cid], now);
//!         }
//!         Some(DownloadOutput::Cancel(_)) => {}
//!         Some(DownloadOutput::Effect(id, effect)) => {
//!             let result = run(effect);
//!             download.handle_done(id, result, now);
//!         }
//!         Some(DownloadOutput::Event(DownloadEvent::Ended(outcome))) => break outcome,
//!         Some(DownloadOutput::Event(_)) => {}
//!         None => {
//!             // Nothing to do: a real driver waits for an answer, at most until then.
//!             now = download.poll_timeout().expect("everything is answered at once here");
//!             download.handle_timeout(now);
//!         }
//!     }
//! };
//! assert!(matches!(outcome, Outcome::Finished(finished) if finished.size == 3_000_000));
//! assert_eq!(files[&FileRole::Target(0)], vec![7; 3_000_000]);
//! assert_eq!(files.len(), 1, "no temporary file stays");
//! ```

mod cost;
mod digest;
mod download;
mod import;
mod manifest;
mod range_map;
mod range_set;
mod resolve;
#[cfg(any(test, feature = "testing"))]
#[allow(clippy::indexing_slicing, reason = "a disk for tests")]
pub mod testing;
mod tree;
mod unixfs;

pub use digest::{ExpectedDigests, FileDigest, LeafRun, Sha256Digest};
pub use download::{
    BlockWant, Check, DigestKind, Done, Download, DownloadError, DownloadEvent, DownloadOptions,
    DownloadOutput, Effect, EffectId, FileRole, Finished, FsError, FsErrorKind, IfExists,
    JOURNAL_MAX, Journal, Missing, Obstacle, Operation, Outcome, Progress, RenameRetry, Resume,
    StallReason, Stamp, SyncPolicy,
};
pub use import::{
    Chunk, Chunker, DirectoryBuilder, Imported, Importer, Leaf, LeafRange, NodeRoot, Profile, Root,
    Tree, symlink,
};
pub use manifest::{Bounds, Contents, Extent, Manifest, Segment};
pub use range_map::{Counts, Holders, Order, RangeMap};
pub use range_set::RangeSet;
pub use resolve::{ResolveError, Resolver};
pub use tree::{
    DirId, EntryKind, Expected, InvalidTree, NameRefusal, NameRule, TREE_JOURNAL_MAX, TreeBounds,
    TreeDownload, TreeEffect, TreeEntry, TreeError, TreeEvent, TreeFault, TreeFinished,
    TreeJournal, TreeOperation, TreeOptions, TreeOutcome, TreeOutput, TreePath, TreeProgress,
    TreeWalk, WalkOutput,
};
pub use unixfs::{
    Child, DAG_PB, DagFault, DirEntry, DirectoryNode, FileNode, HashPath, INLINE_MAX, InvalidDag,
    LeafForm, Link, Metadata, Mtime, NAME_MAX, NameError, NodeKind, RAW, ShardChild, ShardNode,
    TARGET_MAX, UnixfsNode,
};
