//! What can go wrong, what to do about it, and the exit code that says it to a script.

use std::error::Error as _;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bitswap_core::ByteSize;
use bitswap_core::chunk::{
    DagFault, DownloadError, InvalidDag, NodeKind, ResolveError, TreeError, TreeFault,
};
use bitswap_node::{
    ErrorChain, FetchError, GetError, IdentityError, ListenError, NameError, NamePath, NodeClosed,
    PathError, ProvideError, PublishError, PutError, ReadError, ShareError, StallReport,
    StartError, StoreError, StoreFault, VerifyError,
};
use cid::Cid;
use libp2p::PeerId;
use thiserror::Error;

use crate::settings::Wrong;

/// Why a command failed.
#[derive(Debug, Error)]
pub(crate) enum Failure {
    #[error("cannot start")]
    Runtime { source: io::Error },
    #[error(transparent)]
    Settings(#[from] Wrong),
    #[error(transparent)]
    Start(#[from] StartError),
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error(transparent)]
    Listen(#[from] ListenError),
    #[error(
        "no machine could be connected to:{tried}\nCheck that `bitswap share` still runs there, and that the address is right."
    )]
    NoConnection { tried: String },
    #[error(
        "{} not speak Bitswap; give the address of `bitswap share` or of an IPFS node",
        do_not(peers)
    )]
    NoBitswap { peers: Vec<PeerId> },
    #[error("{problems} {} found", if *problems == 1 { "problem was" } else { "problems were" })]
    Unwell { problems: usize },
    #[error(transparent)]
    Check(GetError),
    #[error("{peer} {did}")]
    Checked { peer: String, did: String, code: u8 },
    #[error("{what} is denied by line {line} of a list given with --deny")]
    Denied { what: String, line: usize },
    #[error("a private network has a DHT of its own; name a machine of it with --bootstrap")]
    PublicDht,
    #[error("nothing has come for {:.1} s; {waiting}", idle.as_secs_f64())]
    NothingCame { idle: Duration, waiting: Box<StallReport> },
    #[error(transparent)]
    Share(#[from] ShareError),
    #[error(transparent)]
    Put(#[from] PutError),
    #[error(transparent)]
    Provide(#[from] ProvideError),
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Path(#[from] PathError),
    #[error(transparent)]
    Verify(#[from] VerifyError),
    #[error("{} differs from {cid}: {}", path.display(), count(*differences))]
    Differs { path: PathBuf, cid: String, differences: u64 },
    #[error(
        "{what} is a folder, and only a file has bytes to choose from, and a digest; put the path of a file in it \
         behind the CID"
    )]
    OnlyOfFile { what: String },
    #[error("{what} is a symbolic link to {target:?}; get what it leads to by its own path")]
    Symlink { what: String, target: String },
    #[error(
        "{what} is a block of codec {codec:#x} and no file; get the block itself with `--raw`, or print it with `bitswap cat`"
    )]
    NotAFile { what: String, codec: u64 },
    #[error("cannot write to {}", directory.display())]
    Generate { directory: PathBuf, source: io::Error },
    #[error("cannot read {}", path.display())]
    Input { path: PathBuf, source: io::Error },
    #[error("line {line} of {}: {reason}", path.display())]
    InputLine { path: PathBuf, line: usize, reason: String },
    #[error("standard output takes one file; give one CID with `-o -`")]
    SeveralToOutput,
    #[error("--sha256 and --merkle-root are of one file on a disk; name one, and where it goes")]
    DigestOfOneFile,
    #[error("{} is no folder, and several things go into one", path.display())]
    NoFolder { path: PathBuf },
    #[error("{failed} of {of} could not be got")]
    Several { failed: usize, of: usize, code: u8 },
    #[error("cannot make a store for what comes on standard input")]
    TemporaryStore { source: io::Error },
    #[error("the store in {} cannot be opened", directory.display())]
    Store { directory: PathBuf, source: io::Error },
    #[error("whose name? give the file with its key as --identity; it is made when there is none")]
    WhoseName,
    #[error("a name cannot stand for itself")]
    OwnName,
    #[error(transparent)]
    Name(#[from] NameError),
    #[error("nobody has said within {:.1} s what {name} stands for", limit.as_secs_f64())]
    NoName { name: Box<NamePath>, limit: Duration },
    #[error(transparent)]
    Publish(#[from] PublishError),
    #[error("there is no store in {}; `bitswap add --store` makes one", directory.display())]
    NoStore { directory: PathBuf },
    #[error(transparent)]
    StoreFault(#[from] StoreFault),
    #[error("the store's files")]
    StoreFile { source: io::Error },
    #[error(
        "{blocks} of the store's blocks have changed on the disk; `--remove` removes them, and then they can be got again"
    )]
    StoreDiffers { blocks: u64 },
    #[error("{} not pinned: `bitswap store ls --pins` lists what is", are(cids))]
    NotPinned { cids: Vec<Cid> },
    #[error("{} not in the store", are(cids))]
    NoBlocks { cids: Vec<Cid> },
    #[error("{root} is not in the store; put it there with `bitswap add`, or name another store")]
    NotInStore { root: Cid },
    #[error("cannot write to standard output")]
    Output { source: io::Error },
    #[error("the demo's files")]
    Demo { source: io::Error },
    #[error("the bare stream to compare with")]
    BareStream { source: io::Error },
    #[error(
        "{otherwise}, not within {} s; run it again, and report it if that does not help",
        limit.as_secs()
    )]
    Stuck { otherwise: &'static str, limit: Duration },
    #[error(
        "{peer} lacks blocks that are measured with: it is no `bitswap bench serve`, or serves fewer; \
         give both sides the same --size"
    )]
    BenchLacks { peer: PeerId },
    #[error(
        "the demo needs {} in {}, where {} are free; choose a smaller --size or another --dir",
        ByteSize(*needed),
        dir.display(),
        ByteSize(*available)
    )]
    DemoSpace { needed: u64, available: u64, dir: PathBuf },
    #[error("what arrived is not what was sent: this is a bug, please report it")]
    DemoDiffers,
    #[error("interrupted; what was fetched is kept, and the same command goes on from there")]
    Interrupted,
    #[error("interrupted")]
    Aborted,
    #[error(transparent)]
    NodeClosed(#[from] NodeClosed),
}

fn count(differences: u64) -> String {
    let of = if differences == 1 { "difference" } else { "differences" };
    format!("{differences} {of}")
}

fn are(cids: &[Cid]) -> String {
    let names: Vec<String> = cids.iter().map(ToString::to_string).collect();
    format!("{} {}", names.join(", "), if cids.len() == 1 { "is" } else { "are" })
}

fn do_not(peers: &[PeerId]) -> String {
    let names: Vec<String> = peers.iter().map(ToString::to_string).collect();
    format!("{} {}", names.join(", "), if peers.len() == 1 { "does" } else { "do" })
}

/// What to do next, where the error itself does not say it.
fn advice(error: &FetchError) -> Option<&'static str> {
    Some(match error {
        FetchError::Tree { error, .. } => match &**error {
            TreeError::Exists { .. } => {
                "To replace such files, add `--if-exists replace`; to keep both, `--if-exists unique`."
            }
            TreeError::Invalid(invalid)
                if matches!(invalid.fault, TreeFault::Name(_) | TreeFault::NameClash) =>
            {
                "With `--native-names` every name is taken that this system takes; with a path behind the CID \
                 you can get the other entries."
            }
            _ => return None,
        },
        FetchError::Download(DownloadError::RootMismatch { .. }) => {
            "The CID and the digest are of different files: find out which of them is right. What was fetched is \
             kept, and the same command without the digest ends with it."
        }
        FetchError::Download(DownloadError::TargetExists) => {
            "To replace it, add `--if-exists replace`; to keep both, `--if-exists unique`."
        }
        FetchError::Block(GetError::ConnectionLost { .. }) => {
            "What was fetched is kept, and the same command goes on from there."
        }
        FetchError::Block(GetError::NotFound(_) | GetError::TimedOut(_))
        | FetchError::Download(DownloadError::Unavailable { .. }) => {
            "Ask a machine that has it with --from, or check the CID. What was fetched is kept."
        }
        FetchError::Download(
            DownloadError::NotEnoughSpace { .. } | DownloadError::QuotaExceeded { .. },
        ) => "The same command then goes on; with --wait-for-space it waits for the space.",
        _ => return None,
    })
}

impl Failure {
    /// All there is to tell: what failed, every cause of it once, and on a line of its own what to do.
    pub(crate) fn message(&self) -> String {
        let mut message = ErrorChain(self).to_string();
        let advice = match self {
            Self::Fetch(error) => advice(error),
            Self::Unwell { .. } => Some("What to do is said beside each; then run it again."),
            Self::Name(NameError::NoDht { .. }) | Self::Publish(PublishError::NoDht) => {
                Some("Add `--dht` for the public one, or `--bootstrap` and a machine of another.")
            }
            Self::Differs { .. } => Some(
                "To have it as the CID names it, `bitswap get` it with `--if-exists replace`: files that are equal \
                 are not fetched again.",
            ),
            Self::Read(ReadError::InvalidDag(InvalidDag {
                reason: DagFault::NotAFile(NodeKind::Directory | NodeKind::HamtShard),
                ..
            })) => {
                Some("It is a folder: `bitswap ls` shows what is in it, and `bitswap get` gets it.")
            }
            _ => None,
        };
        if let Some(advice) = advice {
            message.push('\n');
            message.push_str(advice);
        }
        message
    }

    /// Whether there is nobody to tell: whoever read standard output wanted no more of it.
    pub(crate) fn is_quiet(&self) -> bool {
        matches!(self, Self::Output { source } if source.kind() == io::ErrorKind::BrokenPipe)
    }

    /// Whether nothing else can be got after it either.
    pub(crate) const fn ends_all(&self) -> bool {
        matches!(
            self,
            Self::Interrupted
                | Self::Aborted
                | Self::Output { .. }
                | Self::NodeClosed(_)
                | Self::NoBitswap { .. }
        )
    }

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
            Self::Settings(_)
            | Self::PublicDht
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
        FetchError::Target(_) | FetchError::InTheWay { .. } => FILE,
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
