//! What libp2p offers for tokio alone, for programs on the `async-io` reactor, which async-std and
//! smol share: a TCP transport, name resolution and discovery by mDNS.
//!
//! Sockets and timers register themselves with the reactor, which has its own thread; so everything
//! here runs on any executor.
//!
//! # Features
//!
//! None.

#![warn(missing_debug_implementations)]

mod address;
mod mdns;
mod names;
mod tcp;

pub use mdns::{Found, Mdns};
pub use names::{IpVersion, Lookup, Named, NamedError, Resolve, Spawn, SystemResolver};
pub use tcp::{TcpStream, TcpTransport};

/// Holds the README to what compiles and runs.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
