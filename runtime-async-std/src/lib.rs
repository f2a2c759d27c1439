//! Runs a [`bitswap_node::Node`] on async-std: on its global executor, whose threads are as many as
//! `ASYNC_STD_THREAD_COUNT` says (one for each core unless set).
//!
//! async-std is discontinued. See the README of this crate before building anything new on it.
//!
//! # Features
//!
//! None.

#![warn(missing_debug_implementations)]

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bitswap_net_async_io::{Found, Mdns, Named, Resolve as _, SystemResolver, TcpTransport};
use bitswap_node::{BehaviourDiscovery, ByteStream, Discovered, Discovery, Runtime};
use futures::future::{BoxFuture, FutureExt as _};
use libp2p::PeerId;
use libp2p::core::muxing::StreamMuxerBox;
use libp2p::core::transport::{Boxed, Transport as _};

/// The async-std runtime. There is one in each program, so this has no content.
#[derive(Clone, Copy, Debug, Default)]
pub struct AsyncStd;

impl Runtime for AsyncStd {
    fn name(&self) -> &'static str {
        "async-std"
    }

    fn spawn(&self, task: BoxFuture<'static, ()>) {
        async_std::task::spawn(task);
    }

    fn spawn_blocking(&self, work: Box<dyn FnOnce() + Send>) {
        async_std::task::spawn_blocking(work);
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        async_std::task::sleep(duration).boxed()
    }

    fn tcp(&self) -> Boxed<ByteStream> {
        TcpTransport::new().map(|socket, _| Box::pin(socket) as ByteStream).boxed()
    }

    fn with_names(
        &self,
        transport: Boxed<(PeerId, StreamMuxerBox)>,
    ) -> io::Result<Boxed<(PeerId, StreamMuxerBox)>> {
        let resolver = SystemResolver::new(Arc::new(|task| Self.spawn(task)))?;
        Ok(Named::new(transport, resolver).boxed())
    }

    fn texts(
        &self,
        domain: String,
        server: Option<SocketAddr>,
    ) -> BoxFuture<'static, io::Result<Vec<String>>> {
        let spawn = Arc::new(|task| Self.spawn(task));
        let resolver = SystemResolver::with_server(server, spawn);
        async move { resolver?.texts(domain).await }.boxed()
    }

    fn discovery(&self, local: PeerId) -> io::Result<Option<Box<dyn Discovery>>> {
        let mdns = Mdns::new(local)?;
        Ok(Some(Box::new(BehaviourDiscovery::new(mdns, |found| match found {
            Found::New(peers) => Discovered::Found(peers),
            Found::Expired(peers) => Discovered::Expired(peers),
        }))))
    }
}

/// Holds the README to what compiles and runs.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
