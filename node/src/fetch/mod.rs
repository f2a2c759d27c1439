//! From a CID to a file or a folder on disk.

mod machine;
mod report;
mod task;
mod tree;

pub(crate) use task::{Driven, Ends, drive};

pub use report::{StallReport, StalledWant};
pub use tree::{FetchTreeOptions, FetchedTree};

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bitswap_core::SessionOptions;
use bitswap_core::chunk::{
    DownloadError, DownloadEvent, DownloadOptions, FileRole, FsErrorKind, Outcome,
};
use cid::Cid;
use futures::channel::{mpsc, oneshot};
use futures::{SinkExt as _, Stream, StreamExt as _};
use libp2p::PeerId;

use crate::error::{FetchError, NodeClosed};
use crate::error_chain::ErrorChain;
use crate::fs::{DiskFs, Fs, Paths, RETRY};
use crate::node::{Node, NodeEvent};
use crate::runtime::Runtime;
use crate::trace::{Span, log, span};

/// Events that may wait for whoever watches; later ones are missed.
const EVENTS: usize = 64;

/// How a file is fetched.
#[derive(Clone, Debug)]
pub struct FetchOptions {
    /// The download: order, range, what happens when the target exists, durability.
    pub download: DownloadOptions,
    /// The session: whom to ask, and whether to wait for blocks that nobody has now. Its window is set
    /// by the download's.
    pub session: SessionOptions<PeerId>,
    /// Whether the finished file is served to others from where it lies. Of one that is not, and of a range, no block
    /// is kept in the store.
    pub share: bool,
    /// Whether zeros stay holes of the file, which take no space where the file system has such. On Windows the file
    /// is as long, and no file with holes. It is for the system's own files, and not for those of [`Node::fetch_through`].
    pub sparse: bool,
}

impl Default for FetchOptions {
    /// Of everybody, for as long as it takes; then the file is shared.
    ///
    /// # Panics
    ///
    /// When the system's random source fails, from which the download's seed comes.
    fn default() -> Self {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).expect("the system's random source");
        let download = DownloadOptions { rename: RETRY, seed, ..DownloadOptions::default() };
        Self { download, session: SessionOptions::default(), share: true, sparse: false }
    }
}

/// A finished fetch.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Fetched {
    /// Where the file is.
    pub path: PathBuf,
    /// What the download says of it.
    pub finished: bitswap_core::chunk::Finished,
    /// Bytes of blocks that each peer sent.
    pub from_peers: BTreeMap<PeerId, u64>,
    /// Bytes of blocks that were here already, in the store or in other files.
    pub from_here: u64,
}

/// What is to be done with a running fetch.
#[derive(Debug)]
pub(crate) enum Control {
    Pause,
    Resume,
    Stop,
    Cancel,
    Rate(Option<u64>),
    Diagnose(oneshot::Sender<StallReport>),
}

/// A running fetch. Dropping it stops the download and keeps its data, so that the same fetch goes on
/// from there another time.
#[derive(Debug)]
pub struct Fetch<E = DownloadEvent, T = Fetched> {
    control: mpsc::Sender<Control>,
    events: mpsc::Receiver<E>,
    result: oneshot::Receiver<Result<T, FetchError>>,
}

impl<E, T> Fetch<E, T> {
    /// The next thing that happens to the download, `None` once it has ended. Those that nobody takes in
    /// time are missed.
    pub async fn next_event(&mut self) -> Option<E> {
        self.events.next().await
    }

    /// What happens to the download, as a stream.
    pub fn events(&mut self) -> impl Stream<Item = E> + '_ {
        &mut self.events
    }

    /// Asks for nothing more until [`Self::resume`].
    pub async fn pause(&mut self) {
        self.control(Control::Pause).await;
    }

    /// Goes on after [`Self::pause`], or tries a full disk again at once.
    pub async fn resume(&mut self) {
        self.control(Control::Resume).await;
    }

    /// Ends the download and keeps its data: the same fetch goes on from there another time. It finishes with
    /// [`FetchError::Interrupted`], unless it was complete before.
    pub async fn stop(&mut self) {
        self.control(Control::Stop).await;
    }

    /// Gives up, and removes what was written so far.
    pub async fn cancel(&mut self) {
        self.control(Control::Cancel).await;
    }

    /// Changes how many bytes per second it asks for at most; `None` is no limit. It begins with what
    /// [`FetchOptions::session`] says.
    pub async fn set_rate(&mut self, download: Option<u64>) {
        self.control(Control::Rate(download)).await;
    }

    /// What it waits for; `None` once it has ended.
    pub async fn diagnose(&mut self) -> Option<StallReport> {
        let (reply, answer) = oneshot::channel();
        self.control(Control::Diagnose(reply)).await;
        answer.await.ok()
    }

    /// Waits for the end.
    ///
    /// # Errors
    ///
    /// [`FetchError`] says why there is no file, or not yet.
    pub async fn finish(mut self) -> Result<T, FetchError> {
        // The events end with the download.
        while self.events.next().await.is_some() {}
        self.result.await.unwrap_or(Err(FetchError::NodeClosed(NodeClosed)))
    }

    async fn control(&mut self, control: Control) {
        // A fetch that has ended needs no control.
        let _ = self.control.send(control).await;
    }
}

impl Node {
    /// Fetches the file `root` to the path `target`.
    ///
    /// # Errors
    ///
    /// [`FetchError::Target`] when the target names no file.
    pub fn fetch_file(
        &self,
        root: Cid,
        target: &Path,
        options: FetchOptions,
    ) -> Result<Fetch, FetchError> {
        let paths = Paths::new(target)?;
        let new = if options.sparse { DiskFs::sparse } else { DiskFs::new };
        let fs = Arc::new(new(self.runtime().clone(), paths.clone()));
        Ok(self.fetch_through(root, paths, fs, options))
    }

    /// As [`Self::fetch_file`], through other file operations.
    pub fn fetch_through(
        &self,
        root: Cid,
        paths: Paths,
        fs: Arc<dyn Fs>,
        options: FetchOptions,
    ) -> Fetch {
        let node = self.clone();
        self.fetch(root, move |ends| task::run(node, root, paths, fs, options, ends))
    }

    /// Runs a fetch as a task of its own.
    fn fetch<E, T, F>(&self, root: Cid, run: impl FnOnce(Ends<E>) -> F) -> Fetch<E, T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, FetchError>> + Send + 'static,
    {
        let (control, controls) = mpsc::channel(1);
        let (event, events) = mpsc::channel(EVENTS);
        let (reply, result) = oneshot::channel();
        let transfer = run(Ends { controls, events: event });
        let span = span!(INFO, Span::current(), "transfer", root = root);
        let node = self.clone();
        let task = async move {
            log!(info, "a transfer started");
            node.tell(NodeEvent::TransferStarted { root }).await;
            let result = transfer.await;
            let event = match &result {
                Ok(_) => {
                    log!(info, "finalized");
                    NodeEvent::TransferFinished { root }
                }
                Err(error) => {
                    let reason: Arc<str> = ErrorChain(error).to_string().into();
                    log!(info, "not finalized", reason = reason);
                    node.note_error(format!("the fetch of {root}: {reason}")).await;
                    NodeEvent::TransferFailed { root, reason }
                }
            };
            node.tell(event).await;
            // Whoever waited may have gone.
            let _ = reply.send(result);
        };
        self.runtime().spawn(Box::pin(span.around(task)));
        Fetch { control, events, result }
    }
}

/// What an outcome means that is no finished file.
fn failure(outcome: &Outcome) -> FetchError {
    match outcome {
        Outcome::Failed(error) => FetchError::Download(*error),
        Outcome::NeedsCommit { .. } => FetchError::NeedsCommit,
        Outcome::Cancelled => FetchError::Cancelled,
        _ => FetchError::Interrupted,
    }
}

/// Names the file that the failure is about, where that is not the target.
fn at_path(failure: FetchError, paths: &Paths) -> FetchError {
    let FetchError::Download(
        DownloadError::File { error, .. } | DownloadError::RenameFailed(error),
    ) = failure
    else {
        return failure;
    };
    match error.kind {
        FsErrorKind::InTheWay { role, what } => {
            let above = (role == FileRole::Dir).then(|| paths.no_directory()).flatten();
            FetchError::InTheWay { path: above.unwrap_or_else(|| paths.path(role)), what }
        }
        FsErrorKind::Changed => FetchError::Changed { path: paths.path(FileRole::Temp) },
        FsErrorKind::LockFile => FetchError::LockFile { path: paths.path(FileRole::Lock) },
        _ => failure,
    }
}

#[cfg(test)]
mod tests {
    use bitswap_core::chunk::{FsError, Obstacle, Operation};

    use super::*;

    #[test]
    fn a_file_where_a_directory_should_be_is_named_by_its_own_path() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        std::fs::write(&file, "").unwrap();
        let what = Obstacle::NotOurs;
        let kind = FsErrorKind::InTheWay { role: FileRole::Dir, what };
        let error = FsError { kind, code: None };
        let failed = DownloadError::File { operation: Operation::Lock, error };
        let paths = Paths::new(&file.join("below/target")).unwrap();
        let said = at_path(failed.into(), &paths).to_string();
        let expected = format!("{} is {what}; move it away, or", file.display());
        assert!(said.starts_with(&expected), "{said}");
    }
}
