//! What can go wrong, by whose fault.
//!
//! An error either has its cause in its own text or returns it as [`Error::source`](std::error::Error::source),
//! never both: [`ErrorChain`](crate::ErrorChain) prints every cause once.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use bitswap_core::chunk::{
    DagFault, DownloadError, InvalidDag, InvalidTree, Obstacle, ResolveError, TreeError,
};
use bitswap_core::error::WantError;
use bitswap_core::{ByteSize, PeerReport, PeerReports};
use bitswap_libp2p::StoreError;
use cid::Cid;
use libp2p::core::transport::TransportError;
use libp2p::swarm::DialError;
use libp2p::{Multiaddr, PeerId};
use thiserror::Error;

use crate::error_chain::ErrorChain;
use crate::fs::BadTarget;
use crate::node::{LostPeer, LostPeers};
use crate::reason::{DialReason, ListenReason};

/// The node was shut down, or its runtime was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the node has stopped")]
pub struct NodeClosed;

/// Why a node did not start.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StartError {
    /// The sockets or the resolver could not be set up.
    #[error("the transport could not be set up")]
    Transport(#[source] io::Error),
    /// The system gave no random numbers.
    #[error("the system's random source failed")]
    Entropy(#[source] io::Error),
    /// A peer of the DHT to begin with has no name.
    #[error("{address} does not say which peer it is of; add /p2p/ and the peer's identity")]
    Bootstrap {
        /// The address.
        address: Multiaddr,
    },
    /// An address to listen on.
    #[error(transparent)]
    Listen(#[from] ListenError),
}

/// Why a node does not listen on an address.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ListenError {
    /// The transport refused it.
    #[error("cannot listen on {address}: {}", ListenReason::of(reason, address))]
    Transport {
        /// The address.
        address: Multiaddr,
        /// The answer of the transport. It is part of this error's text.
        reason: TransportError<io::Error>,
    },
    /// The listener closed before it had an address.
    #[error("cannot listen on {address}: {}", why_closed(.reason.as_ref()))]
    Closed {
        /// The address.
        address: Multiaddr,
        /// The answer of the transport. It is part of this error's text.
        reason: Option<io::Error>,
    },
    /// It is one of a WebSocket within TLS, and the node was started without a certificate.
    #[error(
        "cannot listen on {address}: that takes a certificate and its private key, and this node was started \
         without; start it with them, or listen on /ws behind a web server that has them"
    )]
    NoCertificate {
        /// The address.
        address: Multiaddr,
    },
    /// The node stopped meanwhile.
    #[error(transparent)]
    NodeClosed(#[from] NodeClosed),
}

fn why_closed(error: Option<&io::Error>) -> String {
    let closed = "the listener closed";
    error.map_or_else(|| closed.to_owned(), |error| format!("{closed}: {}", ErrorChain(error)))
}

/// Why a peer was not connected.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The dial failed.
    #[error("cannot connect to {address}: {}", DialReason::of(reason, address))]
    Dial {
        /// The address.
        address: Multiaddr,
        /// Why. What it says is part of this error's text.
        reason: DialError,
    },
    /// The node stopped meanwhile.
    #[error(transparent)]
    NodeClosed(#[from] NodeClosed),
}

/// Why a block is not provided.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum ProvideError {
    /// There is no DHT to provide it in.
    #[error("the node takes part in no DHT; start it with one")]
    NoDht,
    /// As many as the node may provide are provided.
    #[error("{max} blocks are provided already; raise the bound, or provide roots of files only")]
    TooMany {
        /// The bound.
        max: usize,
    },
    /// The node stopped meanwhile.
    #[error(transparent)]
    NodeClosed(#[from] NodeClosed),
}

/// Why a block was not stored.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum PutError {
    /// Larger than other implementations take.
    #[error(
        "a block of {} is too large (at most {}); share it as a file",
        ByteSize(*bytes as u64),
        ByteSize(*max as u64)
    )]
    TooLarge {
        /// Its length.
        bytes: usize,
        /// The largest length.
        max: usize,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The node stopped meanwhile.
    #[error(transparent)]
    NodeClosed(#[from] NodeClosed),
}

/// Why a block was not got.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum GetError {
    /// Nobody has it: the answer of each peer that was asked.
    #[error("no peer has the block: {}", PeerReports(.0))]
    NotFound(Vec<PeerReport<PeerId>>),
    /// Peers that the user named were lost and did not come back within the
    /// [grace](crate::NodeBuilder::with_reconnect_grace), and no other peer has it.
    #[error("{}{}", LostPeers(.lost), others(.reports))]
    ConnectionLost {
        /// The peers that were lost.
        lost: Vec<LostPeer>,
        /// The answer of each other peer that was asked.
        reports: Vec<PeerReport<PeerId>>,
    },
    /// Nobody delivered it in time: what each peer that was asked did.
    #[error("no peer delivered the block in time: {}", PeerReports(.0))]
    TimedOut(Vec<PeerReport<PeerId>>),
    /// It cannot be asked for.
    #[error(transparent)]
    Want(#[from] WantError),
    /// A [denylist](crate::NodeBuilder::with_denylist) of the node denies it, so nobody was asked.
    #[error("{cid} is denied by line {line} of a denylist")]
    Denied {
        /// The block.
        cid: Cid,
        /// The line, counted from 1.
        line: usize,
    },
    /// The local store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The node stopped meanwhile.
    #[error(transparent)]
    NodeClosed(#[from] NodeClosed),
}

fn others(reports: &[PeerReport<PeerId>]) -> String {
    if reports.is_empty() { String::new() } else { format!("; {}", PeerReports(reports)) }
}

/// Why a file cannot be read to its end.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum ReadError {
    /// A block of it was not got.
    #[error(transparent)]
    Block(#[from] GetError),
    /// Its blocks are genuine and make no file.
    #[error(transparent)]
    InvalidDag(#[from] InvalidDag),
}

/// Why a path leads nowhere, or a directory cannot be listed.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum PathError {
    /// A block of it was not got.
    #[error(transparent)]
    Block(#[from] GetError),
    /// There is nothing at its end, or it goes through something else than directories.
    #[error(transparent)]
    Resolve(Box<ResolveError>),
    /// The directory is invalid.
    #[error(transparent)]
    Invalid(#[from] InvalidTree),
    /// What it leads to is within its link and has no CID of its own.
    #[error(
        "it is within a link and too long for a CID of its own; get the directory that it is in"
    )]
    LongInline,
}

impl From<ResolveError> for PathError {
    fn from(error: ResolveError) -> Self {
        Self::Resolve(Box::new(error))
    }
}

/// Why a file was not shared.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ShareError {
    /// It could not be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// It is not a file.
    #[error("{path} is {what}; only regular files can be shared")]
    NotRegular {
        /// What was to be shared.
        path: PathBuf,
        /// What it is.
        what: Obstacle,
    },
    /// It does not say how long it is, and does not end.
    #[error(
        "{path} does not say its size and has more than {}; copy it to a file, and share that",
        ByteSize(*max)
    )]
    Endless {
        /// The file.
        path: PathBuf,
        /// How many bytes it may have, when it does not say so.
        max: u64,
    },
    /// It changed while it was read.
    #[error("{path} changed while it was read; share it again once nothing writes to it")]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// A name, or the target of a symbolic link, that no tree can have.
    #[error("{path} cannot be part of a tree: {reason}")]
    Entry {
        /// Where it is.
        path: PathBuf,
        /// Why.
        reason: EntryFault,
    },
    /// The nodes above its leaves could not be stored.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The node stopped meanwhile.
    #[error(transparent)]
    NodeClosed(#[from] NodeClosed),
}

/// Why something cannot be an entry of a shared tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum EntryFault {
    /// Its name, or where it leads, is no Unicode text.
    #[error("it is not Unicode text; rename it")]
    NotText,
    /// No tree can have it.
    #[error("{0}")]
    Invalid(DagFault),
}

/// Why something on disk could not be compared with a CID to the end.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// It could not be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// Where it is.
        path: PathBuf,
        /// The error of the operating system.
        source: Arc<io::Error>,
    },
    /// A name that no file can have here.
    #[error(transparent)]
    Name(#[from] BadTarget),
    /// A node above leaves was not got.
    #[error(transparent)]
    Block(#[from] GetError),
    /// The tree is invalid.
    #[error(transparent)]
    Invalid(#[from] InvalidTree),
    /// A file could not be compared.
    #[error("{}: {reason}", path.display())]
    File {
        /// Where it is.
        path: PathBuf,
        /// Why. It is part of this error's text.
        reason: Box<DownloadError>,
    },
    /// The node stopped meanwhile.
    #[error(transparent)]
    NodeClosed(#[from] NodeClosed),
}

/// Why a file was not fetched.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum FetchError {
    /// The target names no file.
    #[error(transparent)]
    Target(#[from] BadTarget),
    /// Something that is not a file of this download has a name that it needs.
    #[error("{path} is {what}; move it away, or choose another name for the download")]
    InTheWay {
        /// Where it is.
        path: PathBuf,
        /// What it is.
        what: Obstacle,
    },
    /// The file system has no locks, and a lock file of another machine, or of nobody known, is there.
    #[error(
        "{path} says who is downloading to the same file; if that process does not run any more, remove it"
    )]
    LockFile {
        /// The lock file.
        path: PathBuf,
    },
    /// Another program wrote to the temporary file while it was fetched.
    #[error(
        "another program wrote to {path} meanwhile; close that program, and run the same download again: it compares what is there"
    )]
    Changed {
        /// The temporary file.
        path: PathBuf,
    },
    /// The download failed.
    #[error(transparent)]
    Download(#[from] DownloadError),
    /// The download of a tree failed.
    #[error("{path}: {error}")]
    Tree {
        /// The target.
        path: PathBuf,
        /// Why. It is part of this error's text.
        error: Box<TreeError>,
    },
    /// A block could not be got: the answer of each peer that was asked.
    #[error(transparent)]
    Block(#[from] GetError),
    /// It was stopped, and what was fetched is kept. Starting the same download again goes on from there.
    #[error("the download was stopped; run the same download again to go on from there")]
    Interrupted,
    /// It was cancelled, and what was fetched is removed.
    #[error("the download was cancelled")]
    Cancelled,
    /// Everything is there, but another program holds the file. Starting the same download again fetches
    /// nothing: it hashes the file and renames it.
    #[error("the file is complete, but another program holds it; run the same download again")]
    NeedsCommit,
    /// The node stopped meanwhile. Starting the same download again goes on.
    #[error(transparent)]
    NodeClosed(#[from] NodeClosed),
}
