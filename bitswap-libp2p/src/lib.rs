//! Bitswap for a libp2p swarm.
//!
//! [`Behaviour`] puts the engine of [`bitswap_core`] into a swarm: it opens and reads streams, asks
//! a [`Blockstore`] for what peers want, stores what arrives, and keeps connections open only
//! while they are needed. It composes with any other behaviour and runs on any async runtime.
//!
//! # Use
//!
//! [`Behaviour::get`] gets one block. Blocks that belong together are wanted in a session
//! ([`Behaviour::open_session`]): it learns which peers have them. Two nodes on loopback, with the feature
//! `tokio`:
//!
//! ```
//! # #[cfg(feature = "tokio")]
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use std::sync::Arc;
//!
//! use bitswap_libp2p::bitswap_core::Block;
//! use bitswap_libp2p::{Behaviour, Event, MemoryStore};
//! use futures::StreamExt;
//! use libp2p::swarm::{Swarm, SwarmEvent};
//! use libp2p::{SwarmBuilder, noise, tcp, yamux};
//!
//! fn swarm(store: Arc<MemoryStore>) -> Result<Swarm<Behaviour<MemoryStore>>, Box<dyn std::error::Error>> {
//!     Ok(SwarmBuilder::with_new_identity()
//!         .with_tokio()
//!         .with_tcp(tcp::Config::default(), noise::Config::new, || {
//!             let mut muxer = yamux::Config::default();
//!             muxer.set_max_num_streams(1024);
//!             muxer
//!         })?
//!         .with_behaviour(|_| Behaviour::new(store))?
//!         .with_swarm_config(|config| config.with_max_negotiating_inbound_streams(1024))
//!         .build())
//! }
//!
//! // One node has a block.
//! let block = Block::raw("Hello World");
//! let cid = *block.cid();
//! let store = Arc::new(MemoryStore::new());
//! store.insert(&block);
//! let mut server = swarm(store)?;
//! server.listen_on("/ip4/127.0.0.1/tcp/0".parse()?)?;
//! let address = loop {
//!     if let SwarmEvent::NewListenAddr { address, .. } = server.select_next_some().await {
//!         break address;
//!     }
//! };
//!
//! // The other gets it. It may be asked for before anybody is connected.
//! let mut client = swarm(Arc::new(MemoryStore::new()))?;
//! let wanted = client.behaviour_mut().get(cid);
//! client.dial(address)?;
//!
//! let received = loop {
//!     tokio::select! {
//!         _ = server.select_next_some() => {}
//!         event = client.select_next_some() => match event {
//!             SwarmEvent::Behaviour(Event::GetFinished { request, result }) if request == wanted => {
//!                 break result?;
//!             }
//!             // Where peers are looked up, `FindProviders` starts a lookup here.
//!             _ => {}
//!         }
//!     }
//! };
//! assert_eq!(received, block);
//! assert_eq!(client.behaviour().store().bytes_of(&cid).as_ref(), Some(block.data()));
//! # Ok(())
//! # }
//! # #[cfg(not(feature = "tokio"))]
//! # fn main() {}
//! ```
//!
//! On another runtime, [`Behaviour::builder`] takes a [`TaskSpawner`], which has the two things that are
//! needed of one.
//!
//! # What to set in the swarm
//!
//! Some peers answer every message on a stream of its own, hundreds of them at once, and do not
//! repeat what was refused. Two limits of libp2p must leave room for them:
//!
//! * streams being negotiated: `SwarmBuilder::with_swarm_config` with
//!   [`with_max_negotiating_inbound_streams`](libp2p_swarm::Config::with_max_negotiating_inbound_streams)`(1024)`;
//!   the default is 128;
//! * streams of a connection: `yamux::Config::set_max_num_streams(1024)`; the default of 512 is what
//!   this crate alone reads at a time ([`Config::with_inbound_streams_max`]), and one more closes the
//!   connection. No more than that: yamux lets the windows of busy streams grow only by what 256 KiB for
//!   each allowed stream leaves of its 1 GiB for a connection, and 4096 leave nothing. Then no stream
//!   is faster than 256 KiB per round trip: 20 MiB over 100 ms take nine seconds longer.
//!
//! A new stream waits a round trip until the peer has agreed to a name. Where paths are long, have the swarm negotiate
//! lazily, tell the behaviour ([`Config::with_lazy_negotiation`]), and tell it how long a round trip takes whenever
//! libp2p's ping does ([`Behaviour::set_round_trip`]).
//!
//! Add the behaviour before the swarm listens: some peers ask a connection that did not offer
//! Bitswap at first never again. Identify is not needed, but without it peers that wait for it
//! ask nothing. How many connections there may be, and whose, is up to other behaviours of the
//! swarm; the engine serves as many peers as [`bitswap_core::Limits::peers`] says.
//!
//! # Features
//!
//! None is on by default, and none changes what the behaviour does.
//!
//! * `tokio`: `Behaviour::new` and `TokioSpawner`.
//! * `tracing`: connections, streams, the ends of wants, and what the engine does and decides are logged through the
//!   crate `tracing`; the bytes of blocks never are.
//! * `serde`: `Serialize` for statistics and events; of the errors of stores, which may be anything, the text.
//!
//! # What is held, and for how long
//!
//! Everything is bounded: per connection the streams that are read; per peer, over all its
//! connections, 2.2 MiB of unfinished messages and 1.1 MiB of messages that wait for the engine, more
//! while it was told of wants (`docs/limits.md` has the formula), and what the engine lets out
//! at a time; of departed peers a few numbers each. A block holds at most a seventh more memory than its bytes. A stream
//! on which a message has begun must move, or it is reset ([`Config::with_stall_window`]).
//!
//! A peer that says more than [`Config::with_items_per_second`] is read more slowly, and after some
//! milliseconds of work the behaviour rests for a moment, so that no peer keeps the swarm from its
//! owner.
//!
//! A connection is needed while wants were told on it, while the peer's wants are remembered, and
//! while anything is on its way. Otherwise the behaviour does not keep it, and the swarm closes it
//! after its idle time unless another behaviour does. Connections through relays are left alone: no
//! block goes through them.

#![warn(missing_debug_implementations)]

mod allowance;
mod behaviour;
mod blockstore;
mod builder;
mod config;
mod event;
mod handler;
mod histogram;
mod host;
mod locked;
mod mailbox;
mod memory;
mod per_stream;
mod progress;
mod protocol;
#[cfg(feature = "serde")]
mod serde_text;
mod spawner;
#[cfg(test)]
mod tests;
mod trace;
mod traffic;

pub use bitswap_core;

pub use behaviour::{Behaviour, PeerInfo, Stats};
pub use blockstore::{Blockstore, MemoryStore, StoreError};
pub use builder::{BehaviourBuilder, NoSpawner};
pub use config::Config;
pub use event::{EngineEvent, Event, GetError, PutId, RequestId};
pub use histogram::{Histogram, Histograms};
pub use host::BlockDisposition;
#[cfg(feature = "tokio")]
pub use spawner::TokioSpawner;
pub use spawner::{BlockingTask, TaskSpawner};
pub use traffic::Traffic;

/// Holds the README to what compiles and runs.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
