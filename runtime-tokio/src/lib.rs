//! Runs a [`bitswap_node::Node`] on tokio, current-thread or multi-thread.
//!
//! # Features
//!
//! * `default`: `quic`.
//! * `quic`: QUIC beside TCP. It builds a second cryptographic library, in C.

#![warn(missing_debug_implementations)]

mod exclusive;
#[cfg(feature = "quic")]
mod quic;
mod texts;
mod zone;

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bitswap_node::{BehaviourDiscovery, ByteStream, Discovered, Discovery, Runtime};
use futures::future::BoxFuture;
use libp2p::core::muxing::StreamMuxerBox;
use libp2p::core::transport::{Boxed, Transport as _};
use libp2p::{PeerId, dns, mdns, tcp};
use tokio::runtime::Handle;

use exclusive::Exclusive;

/// A tokio runtime, named by its handle.
#[derive(Clone, Debug)]
pub struct Tokio(Handle);

impl Tokio {
    /// The runtime that this is called on.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    #[must_use]
    pub fn current() -> Self {
        Self(Handle::current())
    }
}

impl From<Handle> for Tokio {
    fn from(handle: Handle) -> Self {
        Self(handle)
    }
}

impl Runtime for Tokio {
    fn name(&self) -> &'static str {
        "tokio"
    }

    fn spawn(&self, task: BoxFuture<'static, ()>) {
        self.0.spawn(task);
    }

    fn spawn_blocking(&self, work: Box<dyn FnOnce() + Send>) {
        self.0.spawn_blocking(work);
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        let _entered = self.0.enter();
        Box::pin(tokio::time::sleep(duration))
    }

    fn tcp(&self) -> Boxed<ByteStream> {
        let tcp = tcp::tokio::Transport::new(tcp::Config::default())
            .map(|socket, _| Box::pin(socket) as ByteStream)
            .boxed();
        Exclusive::new(tcp).boxed()
    }

    #[cfg(feature = "quic")]
    fn quic(
        &self,
        identity: &libp2p::identity::Keypair,
    ) -> Option<Boxed<(PeerId, StreamMuxerBox)>> {
        Some(quic::transport(identity))
    }

    fn with_names(
        &self,
        transport: Boxed<(PeerId, StreamMuxerBox)>,
    ) -> io::Result<Boxed<(PeerId, StreamMuxerBox)>> {
        let _entered = self.0.enter();
        Ok(dns::tokio::Transport::system(transport)?.boxed())
    }

    fn texts(
        &self,
        domain: String,
        server: Option<SocketAddr>,
    ) -> BoxFuture<'static, io::Result<Vec<String>>> {
        texts::lookup(self.0.clone(), domain, server)
    }

    fn discovery(&self, local: PeerId) -> io::Result<Option<Box<dyn Discovery>>> {
        let _entered = self.0.enter();
        let mdns = mdns::tokio::Behaviour::new(mdns::Config::default(), local)?;
        Ok(Some(Box::new(BehaviourDiscovery::new(mdns, |event| match event {
            mdns::Event::Discovered(peers) => Discovered::Found(peers),
            mdns::Event::Expired(peers) => Discovered::Expired(peers),
        }))))
    }
}

/// Holds the README to what compiles and runs.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
