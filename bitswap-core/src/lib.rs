//! Bitswap as one pure value.
//!
//! Bitswap is how IPFS peers trade blocks: each tells the others which CIDs it wants, and whoever
//! has a block sends it. This crate is that protocol, both halves of it, as one value: [`Engine`].
//! It owns no socket, no clock, no disk and no random source, and it runs no task. Its host feeds it
//! inputs (connections, messages, wants, loaded blocks, the time) and carries out its outputs
//! (open a stream, send a message, load a block, look for providers, tell the user). So it can be
//! embedded in any program, replayed from a seed, fuzzed, and simulated by the hundred in virtual
//! time. It is `no_std` with `alloc`.
//!
//! Beside the engine stand pure functions for the two costly steps, to be run wherever the host
//! likes: bytes into messages and payloads into verified blocks ([`message`]); and the bookkeeping
//! that turns a CID into a file and back ([`chunk`]).
//!
//! A program on libp2p does not need this crate directly: `bitswap-libp2p` wraps it in a
//! `NetworkBehaviour`, `bitswap-node` in a whole node.
//!
//! # The run loop
//!
//! Two engines in one process, a block that crosses from one to the other, and all that a host has
//! to do. A real host does the same with streams, a store and a timer.
//!
//! ```
//! use std::collections::{HashMap, VecDeque};
//!
//! use bitswap_core::message::{FrameDecoder, decode};
//! use bitswap_core::{
//!     Block, Config, Engine, Event, ProviderProgress, Message, Output, Prefix, SessionOptions, Timestamp,
//!     Version, Want,
//! };
//! use bytes::Bytes;
//! use cid::Cid;
//!
//! /// Names the two peers.
//! type Name = &'static str;
//!
//! struct Host {
//!     engine: Engine<Name>,
//!     store: HashMap<Cid, Bytes>,
//! }
//!
//! impl Host {
//!     fn new(peer: Name, seed: u8, now: Timestamp) -> Self {
//!         let mut engine = Engine::new(Config::default(), [seed; 32], now);
//!         engine.handle_connected(peer, None, now);
//!         Self { engine, store: HashMap::new() }
//!     }
//!
//!     /// Carries out whatever the engine wants done; returns the bytes for the other peer.
//!     fn drain(&mut self, now: Timestamp) -> Vec<Bytes> {
//!         let mut wire = Vec::new();
//!         while let Some(output) = self.engine.poll_output() {
//!             match output {
//!                 // Open a stream, negotiate a version.
//!                 Output::Open { peer, stream } => {
//!                     self.engine.handle_open(peer, stream, Ok(Version::V1_2), now);
//!                 }
//!                 // Write the message, and say once the transport took it.
//!                 Output::Send(outgoing) => {
//!                     wire.extend(outgoing.message.encode(outgoing.version).into_segments());
//!                     self.engine.handle_sent(outgoing.id, Ok(()), now);
//!                 }
//!                 // Ask the store. `None` is also the way to refuse.
//!                 Output::Load(load) => {
//!                     let answers = load.answers(|cid| self.store.get(cid).cloned());
//!                     self.engine.handle_load(load.id, answers, now);
//!                 }
//!                 // Ask the DHT. There is none here.
//!                 Output::FindProviders { id, .. } => {
//!                     self.engine.handle_providers(id, &[], ProviderProgress::Final, now);
//!                 }
//!                 Output::Event(Event::Block { session, block, .. }) => {
//!                     let (cid, data) = block.into_parts();
//!                     self.engine.release_capacity(session, data.len() as u64, now);
//!                     self.store.insert(cid, data);
//!                 }
//!                 // Close an idle stream, reset a slow one, stop a lookup, keep a connection or let go of it,
//!                 // log what else happened.
//!                 _ => {}
//!             }
//!         }
//!         wire
//!     }
//!
//!     /// Bytes arrived from the other peer.
//!     fn receive(&mut self, from: Name, mut bytes: &[u8], stream: &mut FrameDecoder, now: Timestamp) {
//!         while !bytes.is_empty() {
//!             let buffer = stream.buffer_mut();
//!             let len = buffer.len().min(bytes.len());
//!             buffer[..len].copy_from_slice(&bytes[..len]);
//!             stream.advance(len);
//!             bytes = &bytes[len..];
//!             // An error here is the peer's fault: reset this stream, and nothing else.
//!             while let Some(frame) = stream.next_frame().unwrap() {
//!                 let decoded = decode(&frame).unwrap();
//!                 let mut message = decoded.message;
//!                 // The costly step, hashing: best done off the task that runs the engine. What
//!                 // does not verify is dropped. `message::PayloadFilter` tells what not to hash at all.
//!                 let payloads = decoded.payloads.into_iter();
//!                 message.add_blocks(payloads.filter_map(|payload| payload.verify().ok()));
//!                 self.engine.handle_message(from, message, now);
//!             }
//!         }
//!     }
//! }
//!
//! let mut now = Timestamp::ZERO;
//! let mut alice = Host::new("bob", 1, now);
//! let mut bob = Host::new("alice", 2, now);
//!
//! // Bob has a block.
//! let block = Block::raw("hello");
//! let cid = *block.cid();
//! bob.store.insert(cid, block.data().clone());
//!
//! // Alice wants it.
//! let session = alice.engine.open_session(SessionOptions::default(), now)?;
//! alice.engine.want(session, [Want::from(cid)], now)?;
//!
//! // The loop: drain the outputs, deliver what arrived, sleep until the next timeout.
//! let (mut to_alice, mut to_bob) = (FrameDecoder::default(), FrameDecoder::default());
//! while !alice.store.contains_key(&cid) {
//!     for bytes in alice.drain(now) {
//!         bob.receive("alice", &bytes, &mut to_bob, now);
//!     }
//!     for bytes in bob.drain(now) {
//!         alice.receive("bob", &bytes, &mut to_alice, now);
//!     }
//!     let timeouts = [alice.engine.poll_timeout(), bob.engine.poll_timeout()];
//!     // Here the time is made up. A real host sleeps until then, or until something arrives.
//!     now = timeouts.into_iter().flatten().min().expect("a want always has a timer").max(now);
//!     alice.engine.handle_timeout(now);
//!     bob.engine.handle_timeout(now);
//! }
//!
//! assert_eq!(alice.store[&cid], "hello");
//! assert_eq!(alice.engine.stats().fetched.blocks, 1);
//! assert_eq!(bob.engine.stats().served.blocks, 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # The contract
//!
//! What a host may rely on. Each clause has a test of its own in `tests/contract/`.
//!
//! 1. **Any order of calls is legal.** Inputs need not be drained one by one: draining late only
//!    merges what there is to say. Nothing gets lost, said twice or contradicted by it. One call does
//!    a bounded amount of work; what remains waits for [`Engine::poll_output`].
//! 2. **The timer knows about outputs.** While an output is ready, [`Engine::poll_timeout`] is not
//!    later than now. After [`Engine::handle_timeout`] at *t* and a drain it is later than *t*, so a
//!    host that follows it never spins. The end of time is the exception: nothing is due at
//!    [`Timestamp::MAX`].
//! 3. **Time does not run backwards.** An input with an earlier time counts as happening at the
//!    latest time seen. A timeout that is handled early, or twice, changes nothing.
//! 4. **It is deterministic.** Equal configuration, seed and inputs give equal outputs, in debug and
//!    in release builds, on every machine.
//! 5. **Inputs cannot fail.** No `handle_*` call returns an error or panics, whatever a peer sent.
//!    What is stale, hostile or makes no sense is counted and ignored, or ends in an event whose type
//!    says whose fault it was.
//! 6. **Each request of the engine wants one answer.** The ids in [`Output::Open`] (peer and stream),
//!    [`Output::Send`], [`Output::Load`] and [`Output::FindProviders`] are each to be answered, the
//!    last one in parts until [`ProviderProgress::Final`] or [`Output::StopLookup`]. The first final answer
//!    counts. Answers to unknown ids are ignored. What was sent on a stream that [`Output::Reset`] names
//!    needs no answer any more: the host drops it and the stream with it.
//!    [`Output::KeepAlive`] says for whom connections are needed, each time that it changes.
//! 7. **Each want ends exactly once:** with its block, with a failure that has a reason, or, when it
//!    is cancelled, by the return of [`Engine::cancel`] or [`Engine::close_session`], after which no
//!    event about it follows. None is dropped in silence.
//! 8. **All memory is bounded and given back.** Everything held is bounded by a field of [`Limits`].
//!    What is held for a peer is freed when [`Engine::handle_disconnected`] returns and its
//!    [`Event::PeerDisconnected`] is taken. That event holds what is worth keeping; hand it back to
//!    [`Engine::handle_connected`] if the peer returns. A peer that does not take its blocks keeps
//!    memory from others for seconds at most: then its stream ends with [`Output::Reset`].
//!
//! # Errors and panics
//!
//! Errors are sorted by whose fault they are; see [`error`]. What a peer sends can at worst make the
//! host reset one stream ([`error::DecodeError`]) or drop one payload ([`error::PrefixError`]). A call
//! of the user's that is refused ([`error::WantError`], [`error::ConfigError`]) has changed nothing.
//! No input makes the crate panic; a panic is a bug in it, and worth a report. Arithmetic is checked
//! in release builds of this workspace too, because a wrapped counter is worse than a stop.
//!
//! # CIDs
//!
//! The type is [`cid::Cid`]. A message counts whole or not at all: if it does not decode, or holds
//! bytes that are no CID, its stream is to be reset. A well-formed CID that cannot be served (the
//! identity hash, more than [`limits::CID_BYTES_MAX`] bytes, a hash that is not in the table) concerns
//! that entry alone: it is ignored, or answered with DONT_HAVE if the peer asked for that. The local
//! user is told: [`error::WantError::Unfetchable`]. Blocks travel without their CID; the receiver
//! computes it, so a [`Block`] out of [`message::Payload::verify`] always hashes to its CID, and
//! altered bytes are a block that nobody asked for.
//!
//! # Features
//!
//! None is on by default, and none changes what the engine does.
//!
//! * `serde`: `Serialize` for statistics, messages, events, outputs, options and errors, and `Deserialize` where
//!   there is nothing to check or it is checked: a [`Block`] is hashed. CIDs are text.
//! * `testing`: what a checker needs. [`Engine`] and [`chunk::Download`] get `validate`, which looks
//!   for broken invariants inside; ids become numbers and back; `chunk` has a disk in memory. The
//!   checker itself, with a host for tests, is the crate `bitswap-testing`.
//! * `tracing`: what happens and what is decided, of peers, sessions and wants, is logged through the crate
//!   `tracing`; the bytes of blocks never are.
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)
)]
#![warn(missing_debug_implementations)]
#![no_std]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod block;
mod bucket;
mod byte_size;
pub mod chunk;
mod client;
mod config;
mod engine;
pub mod error;
mod hash;
mod index;
mod key;
pub mod limits;
mod memory;
pub mod message;
mod need;
mod outbound_stream;
mod output;
mod peer;
mod prefix;
mod protobuf;
mod rng;
#[cfg(feature = "serde")]
mod serde_text;
mod server;
mod stats;
#[cfg(feature = "testing")]
pub mod testing;
mod time;
mod trace;
mod util;
mod varint;

pub use block::Block;
pub use byte_size::ByteSize;
pub use client::{PeerSet, SessionOptions, WhenMissing};
pub use config::Config;
pub use engine::Engine;
pub use limits::Limits;
pub use memory::MemoryMax;
pub use message::{Entry, Message, Presence, Version, WantKind, Wantlist};
pub use output::{
    BlockInfo, Event, Load, LoadAnswer, LoadId, LoadKind, Loaded, LookupId, Outgoing, Output,
    PeerHistory, PeerOutcome, PeerReport, PeerReports, ProtocolSupport, ProviderProgress, Rates,
    SendId, SessionId, StreamKind, Want, WantFailure,
};
pub use prefix::{DAG_PB, Prefix, RAW, cid_from_bytes};
pub use stats::{Fetched, PeerStats, Served, SessionStats, Stats, TimerReason};
pub use time::Timestamp;
