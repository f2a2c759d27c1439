//! What an async runtime must provide so that a node runs on it; nothing else is asked of one.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::time::Duration;

use futures::channel::oneshot;
use futures::future::BoxFuture;
use futures::io::{AsyncRead, AsyncWrite};
use libp2p::core::muxing::StreamMuxerBox;
use libp2p::core::transport::Boxed;
use libp2p::identity::Keypair;
use libp2p::swarm::NetworkBehaviour;
use libp2p::{Multiaddr, PeerId};

/// An async runtime: tasks, a pool for blocking work, time, sockets and discovery on the local
/// network. A value of it is a cheap handle.
pub trait Runtime: Clone + Send + Sync + 'static {
    /// What the runtime is called in messages and statistics.
    const NAME: &'static str;

    /// Finds peers on the local network. A runtime without such a thing uses
    /// [`libp2p::swarm::dummy::Behaviour`].
    type Mdns: NetworkBehaviour<ToSwarm: Send> + Send;

    /// Runs a task until it ends. It is not waited for.
    fn spawn(&self, task: BoxFuture<'static, ()>);

    /// Runs work that occupies a thread, hashing and file system calls, beside the tasks. Jobs may
    /// run at once and in any order; none may be refused for want of threads, only delayed.
    fn blocking(&self, job: Box<dyn FnOnce() + Send>);

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

    /// Discovery on the local network; `None` where the runtime has none.
    ///
    /// # Errors
    ///
    /// When the network does not allow it. The node goes on without.
    fn mdns(&self, local: PeerId) -> io::Result<Option<Self::Mdns>>;

    /// Reads an event of [`Self::Mdns`].
    fn discovered(event: MdnsEvent<Self>) -> Discovered;
}

/// The event type of a runtime's mDNS behaviour.
pub type MdnsEvent<R> = <<R as Runtime>::Mdns as NetworkBehaviour>::ToSwarm;

/// Addresses of peers that discovery learned or forgot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Discovered {
    /// These were announced.
    Found(Vec<(PeerId, Multiaddr)>),
    /// These have not been announced again in time.
    Expired(Vec<(PeerId, Multiaddr)>),
}

/// A stream of bytes, whatever carries it.
pub type ByteStream = Pin<Box<dyn ReadWrite>>;

/// What a [`ByteStream`] can do.
pub trait ReadWrite: AsyncRead + AsyncWrite + Send {}

impl<T: AsyncRead + AsyncWrite + Send> ReadWrite for T {}

/// Conveniences on top of a [`Runtime`].
pub trait RuntimeExt: Runtime {
    /// Runs `job` on the blocking pool and gives its result.
    ///
    /// # Errors
    ///
    /// When the runtime shuts down, or the job panicked, before there is a result.
    fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> impl Future<Output = io::Result<T>> + Send + 'static {
        let (done, result) = oneshot::channel();
        self.blocking(Box::new(move || {
            // Nobody waits any more if this fails.
            let _ = done.send(job());
        }));
        async move { result.await.map_err(|_| io::Error::other("the blocking pool dropped the work")) }
    }
}

impl<R: Runtime> RuntimeExt for R {}
