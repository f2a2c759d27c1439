//! Whole trees: directories, symbolic links and files, from a root CID to a folder on disk.
//!
//! * [`TreeWalk`]: a root CID and verified blocks in, entries out.
//! * [`TreeDownload`]: all of it together with the files on disk: resumable, safe to kill at any moment.
//!
//! A [`TreeDownload`] is driven as a [`Download`](super::Download) is: take its outputs after every call, and
//! answer wants and effects.
//!
//! ```text
//! Lock ─ journal ─ root ─ Begin ─ entries ─ Sync ─ RemoveWork ─ Unlock
//! ```
//!
//! 1. Nothing is made before the root is known to be a directory.
//! 2. A file gets its name in the tree only when it is whole and, unless syncs are off, durable.
//! 3. As long as the tree is not complete, its work directory stands beside it, from before its first entry is
//!    made until after the last one is durable.
//! 4. There is one journal: what is durable of each large file that is under way. Of all else the disk itself
//!    tells: what is in the tree is compared with the DAG, and fetched only if it is not there.

mod checkpoint;
mod dirs;
mod download;
mod effects;
mod events;
mod journal;
mod large;
mod outbox;
mod path;
mod rules;
mod small;
mod stalls;
#[cfg(test)]
#[allow(clippy::indexing_slicing, reason = "trees for tests")]
pub(super) mod testing;
#[cfg(test)]
mod tests;
mod walk;

pub use download::{TreeDownload, TreeOptions};
pub use effects::{Expected, TreeEffect};
pub use events::{
    TreeError, TreeEvent, TreeFinished, TreeOperation, TreeOutcome, TreeOutput, TreeProgress,
};
pub use journal::{TREE_JOURNAL_MAX, TreeJournal};
pub use path::TreePath;
pub use rules::{InvalidTree, NameRefusal, NameRule, TreeBounds, TreeFault};
pub use walk::{DirId, EntryKind, TreeEntry, TreeWalk, WalkOutput};
