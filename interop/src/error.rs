//! What can go wrong between a test and a peer.

use std::{io, path::PathBuf, time::Duration};

/// A peer that is missing, failed, or did not answer in time.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PeerError {
    /// The peer is not installed in the build folder.
    #[error("{peer} is not installed ({} is missing); run interop/run", path.display())]
    Missing {
        /// Which peer.
        peer: &'static str,
        /// The file that was looked for.
        path: PathBuf,
    },
    /// A file or process operation of the driver itself failed.
    #[error("cannot {what}")]
    Io {
        /// What was tried.
        what: String,
        /// Why it failed.
        source: io::Error,
    },
    /// The peer did not answer in time. Whatever it was doing was killed, where it can be.
    #[error("{what} took longer than {limit:?}")]
    Deadline {
        /// The command.
        what: String,
        /// How long it was given.
        limit: Duration,
    },
    /// The peer refused or failed a command.
    #[error("{what} failed: {answer}")]
    Failed {
        /// The command.
        what: String,
        /// What the peer said about it.
        answer: String,
    },
    /// The peer's process ended by itself.
    #[error("{what}: the peer's process ended; the end of its log:\n{log}")]
    Ended {
        /// What was being done.
        what: String,
        /// The last lines that it printed.
        log: String,
    },
    /// The peer's answer is not what its version is known to answer.
    #[error("{what} answered something unexpected: {answer}")]
    Answer {
        /// The command.
        what: String,
        /// The answer.
        answer: String,
    },
}

impl PeerError {
    /// For `map_err`: an I/O error while doing `what`.
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }

    /// For `map_err`: an answer to `what` that does not parse.
    pub(crate) fn answer<E>(what: &str, answer: impl Into<String>) -> impl FnOnce(E) -> Self {
        let (what, answer) = (what.to_owned(), answer.into());
        move |_| Self::Answer { what, answer }
    }
}
