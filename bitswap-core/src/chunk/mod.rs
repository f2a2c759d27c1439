//! Chunk bookkeeping: from a file to blocks, and from a CID to a file on disk.
//!
//! * [`Importer`]: bytes in, blocks out.
//! * [`Manifest`]: a root CID and verified blocks in, exact byte ranges out.
//! * [`ChunkMap`]: which ranges are missing, on their way, being written, and there.
//! * [`Download`]: all of it together with the files on disk: resumable, safe to kill at any moment.
//!
//! Nothing here touches a file. A [`Download`] says what is to be done and is told what came of it.
//!
//! # Driving a download
//!
//! 1. After every call, take all outputs with [`Download::poll_output`]:
//!    * [`DownloadOutput::Want`]: ask for the block, in a session of the engine, say. Answer with
//!      [`Download::handle_block`] or [`Download::handle_want_failed`].
//!    * [`DownloadOutput::Cancel`]: stop asking. A block that comes nevertheless may be handed over.
//!    * [`DownloadOutput::Effect`]: run it, on a thread that may block, in any order and side by
//!      side, and answer each with [`Download::handle_done`]. Each [`Effect`] says what it promises.
//!    * [`DownloadOutput::Event`]: tell the user. [`DownloadEvent::Ended`] is the last output.
//! 2. Sleep until something answers, or until [`Download::poll_timeout`]; then call
//!    [`Download::handle_timeout`] with the clock's time (not the deadline).
//!
//! What is asked for and not yet written stays below [`DownloadOptions::window`], so a slow disk
//! slows the download and fills no memory. Outputs are never lost by being taken late.
//!
//! Dropping a [`Download`] is like killing the process: what the journal claims stays usable. To end
//! it, call [`Download::stop`] or [`Download::cancel`] and go on until the end is told.
//!
//! This loop downloads from a map of blocks to a file in memory:
//!
//! ```
//! use std::collections::BTreeMap;
//!
//! use bitswap_core::chunk::{
//!     Done, Download, DownloadEvent, DownloadOptions, DownloadOutput, Effect, FsError, FsErrorKind,
//!     Importer, Outcome, Place, Profile, Stamp,
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
//! let mut files: BTreeMap<Place, Vec<u8>> = BTreeMap::new();
//! let mut run = |effect: Effect| -> Result<Done, FsError> {
//!     let missing = FsError { kind: FsErrorKind::NotFound, code: None };
//!     match effect {
//!         Effect::Open { place, create } => {
//!             if create {
//!                 files.entry(place).or_default();
//!             }
//!             let len = files.get(&place).ok_or(missing)?.len() as u64;
//!             return Ok(Done::Opened { len });
//!         }
//!         Effect::Read { place, .. } => {
//!             return Ok(Done::Bytes(files.get(&place).ok_or(missing)?.clone().into()));
//!         }
//!         Effect::FreeSpace => return Ok(Done::Space(u64::MAX)),
//!         // Of which file, how long, changed when: here nobody else writes to it.
//!         Effect::Stamp => return Ok(Done::Stamp(Stamp([0; 32]))),
//!         Effect::Check(check) => {
//!             let at = check.offset as usize;
//!             let bytes = files[&check.place][at..at + check.len].to_vec();
//!             return Ok(Done::Equal(check.holds(&bytes.into())));
//!         }
//!         Effect::Allocate { len, .. } => {
//!             files.entry(Place::Temp).or_default().resize(len as usize, 0);
//!         }
//!         Effect::Write { offset, bytes } => {
//!             let file = files.get_mut(&Place::Temp).ok_or(missing)?;
//!             file[offset as usize..offset as usize + bytes.len()].copy_from_slice(&bytes);
//!         }
//!         Effect::SaveJournal { bytes } => {
//!             files.insert(Place::Journal, bytes.to_vec());
//!         }
//!         Effect::Rename { to, .. } => {
//!             let file = files.remove(&Place::Temp).ok_or(missing)?;
//!             files.insert(to, file);
//!         }
//!         Effect::Remove { place } => {
//!             files.remove(&place);
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
//! assert_eq!(files[&Place::Target(0)], vec![7; 3_000_000]);
//! assert_eq!(files.len(), 1, "no temporary file stays");
//! ```

mod cost;
mod download;
mod import;
mod manifest;
mod range_map;
mod range_set;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod unixfs;

pub use download::{
    BlockWant, Check, Done, Download, DownloadError, DownloadEvent, DownloadOptions,
    DownloadOutput, Effect, EffectId, Finished, FsError, FsErrorKind, IfExists, JOURNAL_MAX,
    Journal, Missing, Obstacle, Operation, Outcome, Place, Progress, RenameRetry, Resume,
    StallReason, Stamp, SyncPolicy,
};
pub use import::{Chunk, Chunker, Imported, Importer, Leaf, LeafPlace, Profile, Root, Tree};
pub use manifest::{Bounds, Contents, Extent, Manifest, Piece};
pub use range_map::{ChunkMap, Counts, Order};
pub use range_set::Runs;
pub use unixfs::{
    Child, DAG_PB, DagFault, FileNode, INLINE_MAX, InvalidDag, LeafForm, Link, NodeKind, RAW,
};
