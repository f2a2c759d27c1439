//! What can go wrong, and what to do about it.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use bitswap_core::ByteSize;
use bitswap_core::chunk::{DagFault, DownloadError, InvalidDag, NodeKind, TreeError, TreeFault};
use bitswap_node::{
    ErrorChain, FetchError, GetError, IdentityError, ListenError, NameError, NamePath, NodeClosed,
    PathError, ProvideError, PublishError, PutError, ReadError, ShareError, StallReport,
    StartError, StoreFault, VerifyError,
};
use cid::Cid;
#[cfg(feature = "websocket")]
use libp2p::Multiaddr;
use libp2p::PeerId;
use thiserror::Error;

use crate::plain::Plain;
use crate::settings::Wrong;

/// Why a command failed.
#[derive(Debug, Error)]
pub(crate) enum Failure {
    #[error("the async runtime cannot be started")]
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
    #[error(
        "{what} is denied by line {line} of a list given with --deny; without that line it is not"
    )]
    Denied { what: String, line: usize },
    #[error("a private network has a DHT of its own; name a machine of it with --bootstrap")]
    PublicDht,
    #[error(
        "{address} takes a certificate and its private key; give them with --wss-certificate and --wss-key"
    )]
    #[cfg(feature = "websocket")]
    NoCertificate { address: Multiaddr },
    #[error("{} given with {option}: {reason}", path.display())]
    #[cfg(feature = "websocket")]
    Wss { path: PathBuf, option: &'static str, reason: String },
    #[error(
        "{option} is of WebSocket, and this build has none, which needs the feature `websocket`"
    )]
    #[cfg(not(feature = "websocket"))]
    NoWebSocket { option: &'static str },
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
    #[error("{}: {error}", path.display())]
    FetchTo { path: PathBuf, error: Box<FetchError> },
    #[error("nothing can be put in {}: {reason}; choose another place with `-o`", directory.display())]
    NoPlace { directory: PathBuf, reason: String },
    #[error(
        "{} is no folder, and what is got is one; move it away, or choose another name with `-o`",
        path.display()
    )]
    NoFolderThere { path: PathBuf },
    #[error(
        "{} has the name of the folder that is not finished, and is none; move it away, or choose another name \
         with `-o`",
        path.display()
    )]
    NoWorkFolder { path: PathBuf },
    #[error("{error}")]
    OtherKind { error: FetchError },
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
    #[error("the list {} given with --deny: {reason}", path.display())]
    Denylist { path: PathBuf, reason: String },
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
    #[error(
        "a name belongs to a private key: give the file with the key as --identity; it is made when there is none"
    )]
    WhoseName,
    #[error("a name cannot stand for itself; publish a CID, or the name of another key")]
    OwnName,
    #[error(transparent)]
    Name(#[from] NameError),
    #[error(
        "nobody has said within {:.1} s what {name} stands for; try again, or with a longer --timeout",
        limit.as_secs_f64()
    )]
    NoName { name: Box<NamePath>, limit: Duration },
    #[error(transparent)]
    Publish(#[from] PublishError),
    #[error("there is no store in {}; `bitswap add --store` makes one", directory.display())]
    NoStore { directory: PathBuf },
    #[error(transparent)]
    StoreFault(#[from] StoreFault),
    #[error("the files of the store cannot be read or written")]
    StoreFile { source: io::Error },
    #[error(
        "{blocks} of the store's blocks have changed on the disk; `--remove` removes them, and then they can be got again"
    )]
    StoreDiffers { blocks: u64 },
    #[error("{} not pinned: `bitswap store ls --pins` lists what is", are(cids))]
    NotPinned { cids: Vec<Cid> },
    #[error("{} not in the store: `bitswap store ls` lists what is", are(cids))]
    NoBlocks { cids: Vec<Cid> },
    #[error("{root} is not in the store; put it there with `bitswap add`, or name another store")]
    NotInStore { root: Cid },
    #[error("cannot write to standard output")]
    Output { source: io::Error },
    #[error("the files of the demo cannot be read or written")]
    Demo { source: io::Error },
    #[error("the bare stream that is compared with failed")]
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
        self.with_advice(ErrorChain(self).to_string())
    }

    /// The same for people: what a stranger wrote, such as the name of a file, ends no line of it.
    pub(crate) fn text(&self) -> String {
        let message = ErrorChain(self).to_string();
        self.with_advice(match self {
            // These have lines of their own.
            Self::NoConnection { .. } | Self::Settings(_) => message,
            _ => Plain(&message).to_string(),
        })
    }

    fn with_advice(&self, mut message: String) -> String {
        let advice = match self {
            Self::Fetch(error) => advice(error),
            Self::FetchTo { error, .. } => advice(error),
            Self::OtherKind { .. } => Some(
                "A file is replaced by a file only, and not by a folder, nor a folder by a file: move it away, or \
                 choose another place with `-o`.",
            ),
            Self::Runtime { .. } => Some("Choose another one with --runtime."),
            Self::StoreFile { .. } => Some("Check the permissions in its directory, and the disk."),
            Self::Demo { .. } => Some("Choose another directory with --dir."),
            Self::BareStream { .. } => Some("Run it again."),
            Self::NothingCame { .. } => Some(
                "Try again, with a longer --timeout if the machine is slow, or ask another one with --from.",
            ),
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
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed() -> io::Error {
        io::Error::other("why")
    }

    #[test]
    fn a_failure_says_what_has_failed_and_what_to_do_next() {
        let (idle, waiting) = (Duration::from_secs(5), Box::default());
        let name: NamePath = "/ipns/example.test".parse().unwrap();
        let (name, limit) = (Box::new(name), Duration::from_secs(2));
        for (failure, expected) in [
            (
                Failure::Runtime { source: failed() },
                "the async runtime cannot be started: why\nChoose another one with --runtime.",
            ),
            (
                Failure::Denied { what: "it".to_owned(), line: 2 },
                "it is denied by line 2 of a list given with --deny; without that line it is not",
            ),
            (
                Failure::NothingCame { idle, waiting },
                "\nTry again, with a longer --timeout if the machine is slow, or ask another one with --from.",
            ),
            (
                Failure::WhoseName,
                "a name belongs to a private key: give the file with the key as --identity; it is made when there is none",
            ),
            (
                Failure::OwnName,
                "a name cannot stand for itself; publish a CID, or the name of another key",
            ),
            (
                Failure::NoName { name, limit },
                "nobody has said within 2.0 s what /ipns/example.test stands for; try again, or with a longer --timeout",
            ),
            (
                Failure::StoreFile { source: failed() },
                "the files of the store cannot be read or written: why\nCheck the permissions in its directory, and the disk.",
            ),
            (
                Failure::NoBlocks { cids: vec![Cid::default()] },
                "baeaaaaa is not in the store: `bitswap store ls` lists what is",
            ),
            (
                Failure::Demo { source: failed() },
                "the files of the demo cannot be read or written: why\nChoose another directory with --dir.",
            ),
            (
                Failure::BareStream { source: failed() },
                "the bare stream that is compared with failed: why\nRun it again.",
            ),
        ] {
            let said = failure.message();
            assert!(said.ends_with(expected), "{said}");
        }
    }
}
