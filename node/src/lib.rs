//! A whole Bitswap node, on any async runtime.
//!
//! [`Node`] is a handle to a running node: it gets and serves blocks ([`Node::get`], [`Node::put`],
//! [`Node::session`]), shares files and folders from where they lie ([`Node::share_file`],
//! [`Node::share_tree`]), fetches them to disk, verified and resumable ([`Node::fetch_file`],
//! [`Node::fetch_tree`]), reads them ([`Node::read_file`],
//! [`Node::open`], [`Node::list`]), or compares what is on disk with a
//! CID ([`Node::verify`]). What may be wrong it tells in one report ([`Node::doctor`]), and of one peer whether it
//! has something ([`Node::check`]). It finds
//! peers by mDNS, by given addresses, in a DHT ([`NodeBuilder::with_dht`]), and by whatever [`Providers`] it is given.
//!
//! ```no_run
//! # use bitswap_node::{FetchOptions, Node, Runtime};
//! # async fn example(runtime: impl Runtime) -> Result<(), Box<dyn std::error::Error>> {
//! let node = Node::builder(runtime).with_listen_address("/ip4/0.0.0.0/tcp/0".parse()?).with_mdns(true).start().await?;
//! let cid = "bafkreiffsgtnic7uebaeuaixgph3pmmq2ywglpylzwrswv5so7m23hyuny".parse()?;
//! let fetched = node.fetch_file(cid, "hello.txt".as_ref(), FetchOptions::default())?.finish().await?;
//! println!("{} bytes, verified", fetched.finished.size);
//! # Ok(())
//! # }
//! ```
//!
//! # Runtimes
//!
//! [`Runtime`] is all that a runtime must provide: tasks, a pool for blocking work, time, sockets, and
//! discovery on the local network. No runtime is a dependency here. The feature `testing` has the
//! suite of tests that every runtime runs (`testing::tests`, made into `#[test]`s by the macro `suite!`).
//!
//! # Memory and speed
//!
//! Each block that arrives is in memory of its own, which is freed once it is written. An allocator that gives
//! blocks of this size back to the kernel at once costs a transfer a tenth of its speed and more. The C
//! library of GNU does so until the first large block is freed; the command `bitswap` frees one of nearly
//! 32 MiB, never touched, when it starts. Other allocators keep some memory by themselves.
//!
//! # Features
//!
//! None is on by default.
//!
//! * `tls`: TLS beside noise, for peers that have nothing else; noise is offered first.
//! * `websocket`: addresses with `/ws` and `/wss`, to dial and to listen; on `/wss` with a certificate
//!   ([`NodeBuilder::with_wss_certificate`]).
//! * `blockstore`: the stores of the crate `blockstore` in a node (`store::ForeignStore`), and [`DiskStore`] behind its
//!   trait.
//! * `tracing`: connections, dials, sessions, wants and fetches are logged through the crate `tracing`, with a span for
//!   each transfer, session, want and peer; the bytes of blocks never are.
//! * `metrics`: all counters as OpenMetrics, for a registry of the crate `prometheus-client` or over HTTP.
//! * `serde`: `Serialize` for statistics, events and reports.
//! * `testing`: the suite of tests that every runtime runs, and the file system that fails on demand.
//!
//! # Inside
//!
//! One task owns the swarm. Handles reach it through one bounded channel, and it does a bounded number of
//! steps per turn. Store and files are used beside it, on the runtime's blocking pool; hashing of what
//! arrives runs beside the connections. A fetch is a task of its own, which carries out what
//! [`bitswap_core::chunk::Download`] says through [`Fs`].

#![warn(missing_debug_implementations)]

mod access;
mod address_block;
mod check;
mod denylist;
mod dht;
mod discovery;
mod dns_reason;
mod doctor;
mod error;
mod error_chain;
mod fetch;
mod fs;
mod identity;
mod list;
#[cfg(feature = "metrics")]
mod metrics;
mod multiplex;
mod names;
mod node;
pub mod percent;
mod providers;
mod read;
mod reason;
mod runtime;
#[cfg(feature = "tls")]
mod security;
#[cfg(feature = "serde")]
mod serde_text;
mod session;
mod setup;
mod share;
mod socket_bytes;
pub mod store;
mod swarm_key;
#[cfg(feature = "testing")]
pub mod testing;
mod ticket;
mod trace;
mod transport;
mod verify;
#[cfg(feature = "websocket")]
mod websocket;
#[cfg(feature = "websocket")]
mod wss;

// What users of a node need beside it, so that they name this crate and that of a runtime only.
pub use bitswap_core::{
    Block, ByteSize, PeerOutcome, PeerReport, PeerSet, Rates, SessionOptions, SessionStats,
    WhenMissing, chunk,
};
pub use bitswap_libp2p::{Blockstore, Config, Histogram, MemoryStore, StoreError};
pub use bytes::Bytes;
pub use cid::Cid;
pub use libp2p::identity::Keypair;
pub use libp2p::{Multiaddr, PeerId};
// And what they need less often, in the versions that are used here.
pub use {bitswap_core, bitswap_libp2p, libp2p};

pub use access::AccessRules;
pub use check::{CheckAnswer, CheckOptions, Checked};
pub use denylist::{Denylist, DenylistError, DenylistFault};
pub use dht::Dht;
pub use discovery::{BehaviourDiscovery, Discovered, Discovery};
pub use doctor::{
    Diagnosis, DoctorOptions, Finding, Found, Gravity, JournalState, Listened, Reached,
    TargetReport,
};
pub use error::{
    ConnectError, EntryFault, FetchError, GetError, ListenError, NodeClosed, PathError,
    ProvideError, PutError, ReadError, ShareError, StartError, VerifyError,
};
pub use error_chain::ErrorChain;
pub use fetch::{
    Fetch, FetchOptions, FetchTreeOptions, Fetched, FetchedTree, StallReport, StalledWant,
};
pub use fs::{
    BadTarget, DiskFolder, DiskFs, FolderFs, Fs, LockState, NameFault, Paths, native_names,
    portable_names,
};
pub use identity::{IdentityError, IdentityFile};
pub use list::Resolved;
#[cfg(feature = "metrics")]
pub use metrics::{Metrics, MetricsServer};
pub use names::{
    IpnsName, IpnsRecord, NameError, NamePath, NamePathError, NoIpnsName, PublishError,
    PublishOptions, RecordFault, ResolvedName, Root,
};
pub use node::{
    ConnectedPeer, ConnectionLimits, Identified, LostPeer, Node, NodeBuilder, NodeEvent,
    NodeHistograms, NodeReport, NodeStats, PeerInfo, RecentError, Seeder,
};
pub use providers::{Provider, Providers};
pub use read::{FileReader, ReadOptions};
pub use runtime::{ByteStream, ReadWrite, Runtime, RuntimeExt};
pub use session::Session;
pub use share::{Hashed, Keep, ShareTreeOptions, Shared, SharedTree};
pub use socket_bytes::{Metered, SocketBytes};
pub use store::{CheckedBlock, Collected, DiskStore, Hold, Store, StoreFault, StoredBlock, Usage};
pub use swarm_key::{SwarmKey, SwarmKeyError};
pub use ticket::{Ticket, TicketError};
pub use transport::transport;
pub use verify::{Difference, OnDisk, Verified};
#[cfg(feature = "websocket")]
pub use wss::{WssAuthorities, WssCertificate, WssError};

/// Holds the README to what compiles and runs.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
