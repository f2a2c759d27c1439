//! Holds a Bitswap engine to its contract, in your tests as in ours.
//!
//! * [`Checked`] is an [`Engine`](bitswap_core::Engine) with the same inputs, outputs and queries. After
//!   every step it compares what the engine did with a model that knows the inputs and outputs alone, and
//!   panics at the first step that breaks a rule, with the last steps as a log.
//! * [`Host`] carries out the outputs of one engine in virtual time. It answers at once, or when a test says
//!   so; an [`Interceptor`] sees all that passes between it and its engine, and can plant a fault.
//! * [`Op`] is an operation on one engine, for property tests and fuzzers; a [`Harness`] does what operations
//!   say, and heals at the end: honest peers come, every want must end, and nothing may be left.
//!
//! # Your own host
//!
//! A host has a bug when it calls the engine as it must not (a message that it dropped was never answered), and
//! when it does not do what the engine asks. The checker sees the first and your test the second. Let your host
//! name the engine by an alias, and let the alias be the checker in tests:
//!
//! ```
//! use bitswap_core::{
//!     Config, Event, Message, Output, SessionOptions, StreamKind, Timestamp, Version, Want,
//! };
//!
//! // In your crate: #[cfg(test)] for this one, #[cfg(not(test))] for `bitswap_core::Engine`.
//! type Engine<P> = bitswap_testing::Checked<P>;
//!
//! /// Your host: here it sends messages into a list.
//! struct MyHost {
//!     engine: Engine<u64>,
//!     sent: Vec<(u64, Message)>,
//!     received: Vec<Vec<u8>>,
//! }
//!
//! impl MyHost {
//!     fn run(&mut self, now: Timestamp) {
//!         while let Some(output) = self.engine.poll_output() {
//!             match output {
//!                 Output::Open { peer, stream } => {
//!                     self.engine.handle_open(peer, stream, Ok(Version::V1_2), now);
//!                 }
//!                 Output::Send(outgoing) => {
//!                     self.sent.push((outgoing.peer, outgoing.message));
//!                     self.engine.handle_sent(outgoing.id, Ok(()), now);
//!                 }
//!                 Output::Event(Event::Block { session, block, .. }) => {
//!                     self.received.push(block.data().to_vec());
//!                     self.engine.release_capacity(session, block.data().len() as u64, now);
//!                 }
//!                 _ => {}
//!             }
//!         }
//!     }
//! }
//!
//! let now = Timestamp::ZERO;
//! let engine = Engine::new(Config::default(), [7; 32], now);
//! let mut host = MyHost { engine, sent: Vec::new(), received: Vec::new() };
//! let block = bitswap_testing::block(1, 1000);
//! host.engine.handle_connected(42, None, now);
//! let session = host.engine.open_session(SessionOptions::default(), now)?;
//! host.engine.want(session, [Want::from(*block.cid())], now)?;
//! host.run(now);
//! assert_eq!(host.sent.len(), 1);
//!
//! host.engine.handle_message(42, Message { blocks: vec![block], ..Message::default() }, now);
//! host.run(now);
//! assert_eq!(host.received[0].len(), 1000);
//! // The engine's queries are there as well.
//! assert_eq!(host.engine.stats().wants, 0);
//! # Ok::<(), bitswap_core::error::WantError>(())
//! ```
//!
//! # A host without writing one
//!
//! ```
//! use bitswap_core::{Config, Entry, Message, Output, Timestamp, WantKind, Wantlist};
//! use bitswap_testing::{Host, block};
//!
//! let mut host = Host::new(Config::default(), [7; 32], Timestamp::ZERO);
//! let block = block(1, 1000);
//! host.store.insert(&block);
//! host.connect("bob");
//! let entries = vec![Entry::want(*block.cid(), WantKind::Block, 1, true)];
//! host.receive("bob", Message {
//!     wantlist: Wantlist { entries, full: true },
//!     ..Message::default()
//! });
//! let outputs = host.drain();
//! let sent = outputs.iter().any(|output| match output {
//!     Output::Send(outgoing) => outgoing.message.blocks == [block.clone()],
//!     _ => false,
//! });
//! assert!(sent);
//! ```
//!
//! Without `std`, as the core is.
//!
//! # Features
//!
//! None.

#![no_std]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod blocks;
mod call;
mod checked;
mod harness;
mod host;
mod model;
mod op;
mod store;
mod transcript;
mod wire_len;

pub use blocks::block;
pub use call::{Call, Interceptor, PassThrough, Reply};
pub use checked::Checked;
pub use harness::{Harness, PEERS, op_blocks};
pub use host::{AtOnce, Host};
pub use op::{LoadOp, LoadPart, MessageOp, Op, Opened, ResponseOp, SessionOp, WantOp, WantedAs};
pub use store::Store;
pub use wire_len::wire_len;
