//! What can go wrong, what to do about it, and the exit code that says it to a script.

use std::io;
use std::path::PathBuf;

use bitswap_core::chunk::{DagFault, DownloadError, InvalidDag, NodeKind};
use bitswap_runtime::{
    FetchError, GetError, ListenError, ProvideError, PutError, ReadError, ShareError, StartError,
    Stopped,
};
use thiserror::Error;

/// Why a command failed.
#[derive(Debug, Error)]
pub(crate) enum Failure {
    #[error("cannot start: {source}")]
    Runtime { source: io::Error },
    #[error(transparent)]
    Start(#[from] StartError),
    #[error(transparent)]
    Listen(#[from] ListenError),
    #[error(
        "no machine could be connected to:{tried}\nCheck that `bitswap share` still runs there, and that the address is right."
    )]
    NoConnection { tried: String },
    #[error(transparent)]
    Share(#[from] ShareError),
    #[error(transparent)]
    Put(#[from] PutError),
    #[error(transparent)]
    Provide(#[from] ProvideError),
    #[error("{source}{}", advice(source))]
    Fetch { source: FetchError },
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("cannot write {what}: {source}")]
    Output { what: String, source: io::Error },
    #[error("the demo's files: {source}")]
    Demo { source: io::Error },
    #[error(
        "the demo needs {needed} MiB in {dir}, where {available} MiB are free; choose a smaller --size or another --dir"
    )]
    DemoSpace { needed: u64, available: u64, dir: PathBuf },
    #[error("what arrived is not what was sent: this is a bug, please report it")]
    DemoDiffers,
    #[error("interrupted; what was fetched is kept, and the same command goes on from there")]
    Interrupted,
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

impl From<FetchError> for Failure {
    fn from(source: FetchError) -> Self {
        Self::Fetch { source }
    }
}

/// What to do next, where the error itself does not say it.
fn advice(error: &FetchError) -> &'static str {
    match error {
        FetchError::Download(DownloadError::InvalidDag(InvalidDag {
            reason: DagFault::NotAFile(NodeKind::Directory | NodeKind::HamtShard),
            ..
        })) => "\nIt is a directory: get the files in it by their own CIDs.",
        FetchError::Download(DownloadError::TargetExists) => {
            "\nTo replace it, add `--if-exists replace`; to keep both, `--if-exists unique`."
        }
        FetchError::Block(GetError::NotFound(_) | GetError::TimedOut(_))
        | FetchError::Download(DownloadError::Unavailable { .. }) => {
            "\nAsk a machine that has it with --from, or check the CID. What was fetched is kept."
        }
        FetchError::Download(
            DownloadError::NotEnoughSpace { .. } | DownloadError::QuotaExceeded { .. },
        ) => "\nThe same command then goes on; with --wait-for-space it waits for the space.",
        _ => "",
    }
}

impl Failure {
    /// The exit code, as `bitswap --help` lists them.
    pub(crate) fn code(&self) -> u8 {
        match self {
            Self::Start(_) | Self::Listen(_) | Self::NoConnection { .. } => NETWORK,
            Self::Share(ShareError::Read { .. } | ShareError::Changed { .. }) => FILE,
            Self::Output { .. } => FILE,
            Self::Demo { source } if source.kind() == io::ErrorKind::StorageFull => DISK_FULL,
            Self::DemoSpace { .. } => DISK_FULL,
            Self::Demo { .. } => FILE,
            Self::Fetch { source } => fetch_code(source),
            Self::Read(ReadError::Block(error)) => get_code(error),
            Self::Read(ReadError::InvalidDag(_)) => INVALID,
            Self::Interrupted => INTERRUPTED,
            _ => OTHER,
        }
    }
}

const OTHER: u8 = 1;
const NOT_FOUND: u8 = 3;
const DISK_FULL: u8 = 4;
const EXISTS: u8 = 5;
const INVALID: u8 = 6;
const NETWORK: u8 = 7;
const FILE: u8 = 8;
const BUSY: u8 = 9;
const INTERRUPTED: u8 = 130;

fn fetch_code(error: &FetchError) -> u8 {
    match error {
        FetchError::Download(error) => download_code(error),
        FetchError::Block(error) => get_code(error),
        FetchError::Target(_) => FILE,
        FetchError::NeedsFinalize => BUSY,
        FetchError::Interrupted | FetchError::Cancelled => INTERRUPTED,
        _ => OTHER,
    }
}

fn get_code(error: &GetError) -> u8 {
    match error {
        GetError::NotFound(_) | GetError::TimedOut(_) => NOT_FOUND,
        GetError::Want(_) => INVALID,
        _ => OTHER,
    }
}

fn download_code(error: &DownloadError) -> u8 {
    match error {
        DownloadError::InvalidDag(_) | DownloadError::BadRoot(_) => INVALID,
        DownloadError::Unavailable { .. } => NOT_FOUND,
        DownloadError::AlreadyInProgress => BUSY,
        DownloadError::TargetExists => EXISTS,
        DownloadError::NotEnoughSpace { .. } | DownloadError::QuotaExceeded { .. } => DISK_FULL,
        DownloadError::RenameFailed(error) | DownloadError::File { error, .. }
            if error.kind.is_full() =>
        {
            DISK_FULL
        }
        DownloadError::RenameFailed(_) | DownloadError::File { .. } => FILE,
        _ => OTHER,
    }
}
