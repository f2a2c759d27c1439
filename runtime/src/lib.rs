//! A whole Bitswap node, generic over the async runtime that runs it.
#![doc = "See [`Node`]."]

mod error;
mod fetch;
mod fs;
mod node;
mod providers;
mod read;
mod runtime;
mod session;
mod share;
mod socket_bytes;
pub mod store;
#[cfg(feature = "testing")]
pub mod testing;
mod transport;

pub use error::{
    ConnectError, FetchError, GetError, ListenError, PutError, ReadError, ShareError, StartError, Stopped,
};
pub use fetch::{Fetch, FetchOptions, Fetched, Wait, Waiting};
pub use fs::{BadTarget, DiskFs, Fs, Paths};
pub use node::{Node, NodeBuilder, NodeEvent, NodeStats, PeerInfo};
pub use providers::{Provider, Providers};
pub use runtime::{ByteStream, Discovered, MdnsEvent, ReadWrite, Runtime, RuntimeExt};
pub use session::Session;
pub use share::Shared;
pub use socket_bytes::{Counted, SocketBytes};
pub use store::{DiskStore, Store};
pub use transport::transport;
