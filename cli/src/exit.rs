//! The exit codes, which say to a script what has failed.

use std::error::Error as _;
use std::io;
use std::sync::Arc;

use bitswap_core::chunk::{DownloadError, ResolveError, TreeError};
use bitswap_node::{
    FetchError, GetError, IdentityError, NameError, PathError, PublishError, PutError, ReadError,
    ShareError, StoreError, StoreFault, VerifyError,
};

use crate::failure::Failure;
use crate::settings::Wrong;

const OTHER: u8 = 1;
/// The command line is wrong.
pub(crate) const USAGE: u8 = 2;
pub(crate) const NOT_FOUND: u8 = 3;
const DISK_FULL: u8 = 4;
const EXISTS: u8 = 5;
const INVALID: u8 = 6;
pub(crate) const NETWORK: u8 = 7;
const FILE: u8 = 8;
const BUSY: u8 = 9;
/// What is on disk is not what the CID names.
const DIFFERS: u8 = 10;
/// The file has not the digest that was given.
const DIGEST: u8 = 11;
/// A list given with --deny denies it.
const DENIED: u8 = 12;
/// `bitswap doctor` found a problem, or a machine has only a part of what was checked.
pub(crate) const UNWELL: u8 = 13;
/// The block is pinned, or a part of what is.
const PINNED: u8 = 14;
pub(crate) const INTERRUPTED: u8 = 130;
/// What a shell makes of a process that the signal for a closed pipe has ended.
const CLOSED: u8 = 141;

impl Failure {
    /// The exit code, as `bitswap --help` lists them.
    pub(crate) fn code(&self) -> u8 {
        match self {
            Self::Start(_)
            | Self::Listen(_)
            | Self::NoConnection { .. }
            | Self::NoBitswap { .. }
            | Self::BareStream { .. } => NETWORK,
            Self::Identity(IdentityError::InUse { .. }) => BUSY,
            Self::Identity(_) => FILE,
            Self::Denied { .. } => DENIED,
            Self::Settings(Wrong::Unreadable { .. }) => FILE,
            #[cfg(feature = "websocket")]
            Self::NoCertificate { .. } | Self::Wss { .. } => USAGE,
            #[cfg(not(feature = "websocket"))]
            Self::NoWebSocket { .. } => USAGE,
            Self::Settings(_)
            | Self::PublicDht
            | Self::Denylist { .. }
            | Self::InputLine { .. }
            | Self::SeveralToOutput
            | Self::DigestOfOneFile => USAGE,
            Self::Several { code, .. } | Self::Checked { code, .. } => *code,
            Self::Unwell { .. } => UNWELL,
            Self::Generate { source, .. } if is_full(source) => DISK_FULL,
            Self::Generate { .. } | Self::Input { .. } | Self::NoFolder { .. } => FILE,
            Self::NothingCame { .. } | Self::BenchLacks { .. } | Self::NoName { .. } => NOT_FOUND,
            Self::Share(ShareError::Store(error)) => store_code(error),
            Self::Share(ShareError::NodeClosed(_)) => OTHER,
            Self::Share(_) => FILE,
            Self::Output { .. } if self.is_quiet() => CLOSED,
            Self::Output { source } | Self::Demo { source } if is_full(source) => DISK_FULL,
            Self::Output { .. } => FILE,
            Self::DemoSpace { .. } => DISK_FULL,
            Self::Demo { .. } => FILE,
            Self::Fetch(error) => fetch_code(error),
            Self::FetchTo { error, .. } => fetch_code(error),
            Self::NoFolderThere { .. } | Self::OtherKind { .. } => EXISTS,
            Self::NoPlace { .. } | Self::NoWorkFolder { .. } => FILE,
            Self::Read(ReadError::Block(error)) | Self::Check(error) => get_code(error),
            Self::Read(ReadError::InvalidDag(_)) => INVALID,
            Self::Path(error) => path_code(error),
            Self::Verify(error) => verify_code(error),
            Self::Differs { .. } => DIFFERS,
            Self::OnlyOfFile { .. } => USAGE,
            Self::Symlink { .. } | Self::NotAFile { .. } => INVALID,
            Self::Store { source, .. } if source.kind() == io::ErrorKind::WouldBlock => BUSY,
            Self::Store { source, .. } | Self::TemporaryStore { source } if is_full(source) => {
                DISK_FULL
            }
            Self::Store { .. } | Self::TemporaryStore { .. } => FILE,
            Self::WhoseName | Self::OwnName => USAGE,
            Self::Name(error) => name_code(error),
            Self::Publish(PublishError::NoDht) => USAGE,
            Self::Put(PutError::Store(error)) => store_code(error),
            Self::Publish(PublishError::NotStored | PublishError::Unreachable) => NETWORK,
            Self::NoStore { .. } => FILE,
            Self::StoreFault(fault) => fault_code(fault),
            Self::StoreFile { source } if is_full(source) => DISK_FULL,
            Self::StoreFile { .. } => FILE,
            Self::StoreDiffers { .. } => DIFFERS,
            Self::NotInStore { .. } | Self::NotPinned { .. } | Self::NoBlocks { .. } => NOT_FOUND,
            Self::Interrupted | Self::Aborted => INTERRUPTED,
            _ => OTHER,
        }
    }
}

/// Whether an error says that there is no room, on the disk or in the user's quota.
fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

type SharedError = Arc<dyn std::error::Error + Send + Sync>;

/// What the system says of a store on a disk.
fn store_code(error: &StoreError) -> u8 {
    // Errors of stores are shared, and it is the handle that is returned as the cause.
    let shared = error.source().and_then(|cause| cause.downcast_ref::<SharedError>());
    let cause = shared.and_then(|cause| cause.downcast_ref::<io::Error>());
    match cause {
        Some(error) if is_full(error) => DISK_FULL,
        Some(_) => FILE,
        None => OTHER,
    }
}

fn name_code(error: &NameError) -> u8 {
    match error {
        NameError::NoDht { .. } => USAGE,
        NameError::NotFound { .. } | NameError::NoLink { .. } => NOT_FOUND,
        NameError::Lookup { .. } | NameError::Unreachable { .. } => NETWORK,
        NameError::Value { .. } | NameError::Endless { .. } => INVALID,
        _ => OTHER,
    }
}

fn fault_code(fault: &StoreFault) -> u8 {
    match fault {
        StoreFault::Pinned { .. } => PINNED,
        StoreFault::Missing { .. } => NOT_FOUND,
        StoreFault::Corrupt { .. } => DIFFERS,
        StoreFault::UnknownLinks { .. } | StoreFault::Invalid { .. } => INVALID,
        StoreFault::File(error) if is_full(error) => DISK_FULL,
        StoreFault::File(_) => FILE,
        _ => OTHER,
    }
}

fn fetch_code(error: &FetchError) -> u8 {
    match error {
        FetchError::Download(error) => download_code(error),
        FetchError::Block(error) => get_code(error),
        FetchError::Target(_) | FetchError::InTheWay { .. } | FetchError::Changed { .. } => FILE,
        FetchError::LockFile { .. } => BUSY,
        FetchError::NeedsCommit => BUSY,
        FetchError::Tree { error, .. } => tree_code(error),
        FetchError::Interrupted | FetchError::Cancelled => INTERRUPTED,
        _ => OTHER,
    }
}

fn tree_code(error: &TreeError) -> u8 {
    match error {
        TreeError::Invalid(_) | TreeError::NotADirectory => INVALID,
        TreeError::Unavailable { .. } => NOT_FOUND,
        TreeError::AlreadyInProgress => BUSY,
        TreeError::Exists { .. } => EXISTS,
        TreeError::Download { error, .. } => download_code(error),
        TreeError::File { error, .. } if error.kind.is_full() => DISK_FULL,
        TreeError::File { .. } => FILE,
        _ => OTHER,
    }
}

fn verify_code(error: &VerifyError) -> u8 {
    match error {
        VerifyError::Read { .. } | VerifyError::Name(_) => FILE,
        VerifyError::Block(error) => get_code(error),
        VerifyError::Invalid(_) => INVALID,
        VerifyError::File { reason, .. } => download_code(reason),
        _ => OTHER,
    }
}

fn path_code(error: &PathError) -> u8 {
    match error {
        PathError::Block(error) => get_code(error),
        PathError::Resolve(error) => match &**error {
            ResolveError::NotFound { .. } => NOT_FOUND,
            ResolveError::BadComponent { .. } => USAGE,
            _ => INVALID,
        },
        _ => INVALID,
    }
}

fn get_code(error: &GetError) -> u8 {
    match error {
        GetError::NotFound(_) | GetError::TimedOut(_) => NOT_FOUND,
        GetError::ConnectionLost { .. } => NETWORK,
        GetError::Want(_) => INVALID,
        GetError::Denied { .. } => DENIED,
        GetError::Store(error) => store_code(error),
        _ => OTHER,
    }
}

fn download_code(error: &DownloadError) -> u8 {
    match error {
        DownloadError::InvalidDag(_) | DownloadError::BadRoot(_) => INVALID,
        DownloadError::Unavailable { .. } => NOT_FOUND,
        DownloadError::AlreadyInProgress => BUSY,
        DownloadError::RootMismatch { .. } => DIGEST,
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
