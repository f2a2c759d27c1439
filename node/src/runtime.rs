//! What an async runtime must provide so that a node runs on it; nothing else is asked of one.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::channel::oneshot;
use futures::future::BoxFuture;
use futures::io::{AsyncRead, AsyncWrite};
use libp2p::PeerId;
use libp2p::core::muxing::StreamMuxerBox;
use libp2p::core::transport::Boxed;
use libp2p::identity::Keypair;

use crate::discovery::Discovery;

/// An async runtime: tasks, a pool for blocking work, time, sockets and discovery on the local
/// network. Nodes share it as an `Arc<dyn Runtime>`, which is a runtime itself.
pub trait Runtime: fmt::Debug + Send + Sync + 'static {
    /// What the runtime is called in messages and statistics.
    fn name(&self) -> &'static str;

    /// Runs a task until it ends. It is not waited for.
    fn spawn(&self, task: BoxFuture<'static, ()>);

    /// Runs work that occupies a thread, hashing and file system calls, beside the tasks. Work may run
    /// at once and in any order; none may be refused for want of threads, only delayed.
    fn spawn_blocking(&self, work: Box<dyn FnOnce() + Send>);

    /// Completes once the duration is over. It may be awaited on any task of the runtime.
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()>;

    /// TCP: what it opens is neither encrypted nor multiplexed yet.
    fn tcp(&self) -> Boxed<ByteStream>;

    /// QUIC, where the runtime has it.
    fn quic(&self, identity: &Keypair) -> Option<Boxed<(PeerId, StreamMuxerBox)>> {
        let _ = identity;
        None
    }

    /// Lets `transport` dial names (`/dns4/…`, `/dnsaddr/…`) too, where the runtime resolves them.
    ///
    /// # Errors
    ///
    /// When the system's resolver cannot be set up.
    fn with_names(
        &self,
        transport: Boxed<(PeerId, StreamMuxerBox)>,
    ) -> io::Result<Boxed<(PeerId, StreamMuxerBox)>> {
        Ok(transport)
    }

    /// The TXT records of a domain, each with its strings joined: from the system's resolver, or from
    /// `server`.
    ///
    /// # Errors
    ///
    /// [`NotFound`](io::ErrorKind::NotFound) when there are none; when the lookup fails; [`Unsupported`](io::ErrorKind::Unsupported) where the runtime resolves no names.
    fn texts(
        &self,
        domain: String,
        server: Option<SocketAddr>,
    ) -> BoxFuture<'static, io::Result<Vec<String>>> {
        let _ = (domain, server);
        Box::pin(async { Err(io::ErrorKind::Unsupported.into()) })
    }

    /// Starts discovery on the local network for the node `local`; `None` where the runtime has none.
    /// It is polled on a task of the runtime.
    ///
    /// # Errors
    ///
    /// When the network does not allow it. The node goes on without.
    fn discovery(&self, local: PeerId) -> io::Result<Option<Box<dyn Discovery>>> {
        let _ = local;
        Ok(None)
    }
}

impl<R: Runtime + ?Sized> Runtime for Arc<R> {
    fn name(&self) -> &'static str {
        (**self).name()
    }

    fn spawn(&self, task: BoxFuture<'static, ()>) {
        (**self).spawn(task);
    }

    fn spawn_blocking(&self, work: Box<dyn FnOnce() + Send>) {
        (**self).spawn_blocking(work);
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        (**self).sleep(duration)
    }

    fn tcp(&self) -> Boxed<ByteStream> {
        (**self).tcp()
    }

    fn quic(&self, identity: &Keypair) -> Option<Boxed<(PeerId, StreamMuxerBox)>> {
        (**self).quic(identity)
    }

    fn with_names(
        &self,
        transport: Boxed<(PeerId, StreamMuxerBox)>,
    ) -> io::Result<Boxed<(PeerId, StreamMuxerBox)>> {
        (**self).with_names(transport)
    }

    fn texts(
        &self,
        domain: String,
        server: Option<SocketAddr>,
    ) -> BoxFuture<'static, io::Result<Vec<String>>> {
        (**self).texts(domain, server)
    }

    fn discovery(&self, local: PeerId) -> io::Result<Option<Box<dyn Discovery>>> {
        (**self).discovery(local)
    }
}

/// A stream of bytes, whatever carries it.
pub type ByteStream = Pin<Box<dyn ReadWrite>>;

/// What a [`ByteStream`] can do.
pub trait ReadWrite: AsyncRead + AsyncWrite + Send {}

impl<T: AsyncRead + AsyncWrite + Send> ReadWrite for T {}

/// Conveniences on top of a [`Runtime`].
pub trait RuntimeExt: Runtime {
    /// Runs `work` on the blocking pool and gives its result.
    ///
    /// # Errors
    ///
    /// When the runtime shuts down, or the work panicked, before there is a result.
    fn run_blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> impl Future<Output = io::Result<T>> + Send + 'static {
        let (done, result) = oneshot::channel();
        self.spawn_blocking(Box::new(move || {
            // Nobody waits any more if this fails.
            let _ = done.send(work());
        }));
        async move { result.await.map_err(|_| io::Error::other("the blocking pool dropped the work")) }
    }
}

impl<R: Runtime + ?Sized> RuntimeExt for R {}
