//! The connection of a node without Bitswap: streams that carry bytes, to compare with.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bitswap_node::{Runtime, SocketBytes, transport};
use futures::channel::oneshot;
use futures::future::{FutureExt as _, RemoteHandle};
use futures::stream::StreamExt as _;
use libp2p::identity::Keypair;
use libp2p::swarm::dial_opts::DialOpts;
use libp2p::swarm::{self, Swarm, SwarmEvent};
use libp2p::{Multiaddr, PeerId, StreamProtocol};

use crate::failure::Failure;

/// The longest that one step of a measurement may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Waits for something, and fails when it has not happened after a minute.
///
/// # Errors
///
/// [`Failure::Stuck`] with `otherwise`, which says what did not happen.
pub(crate) async fn within<T>(
    otherwise: &'static str,
    something: impl Future<Output = T>,
) -> Result<T, Failure> {
    tokio::time::timeout(PATIENCE, something)
        .await
        .map_err(|_| Failure::Stuck { otherwise, limit: PATIENCE })
}

pub(crate) const fn failed(source: io::Error) -> Failure {
    Failure::BareStream { source }
}

/// Dials, and opens a stream over the connection; the swarm works until the handle is dropped.
///
/// A stream that is asked for before the swarm has reported the connection can be lost: between
/// the moment in which the connection's handler is made and that report, `libp2p_stream` puts the request on
/// the list of a dial that has ended, which nobody reads. So the report is waited for.
pub(crate) async fn open(
    runtime: &Arc<dyn Runtime>,
    mut swarm: Swarm<libp2p_stream::Behaviour>,
    peer: PeerId,
    address: Multiaddr,
    protocol: StreamProtocol,
) -> Result<(libp2p::Stream, RemoteHandle<()>), Failure> {
    let mut control = swarm.behaviour().new_control();
    let dial = DialOpts::peer_id(peer).addresses(vec![address]);
    swarm.dial(dial.build()).map_err(|error| failed(io::Error::other(error)))?;
    let (report, reported) = oneshot::channel();
    let driving = spawn(runtime, drive(swarm, Some(report)));
    let connected = within("the bare stream's connection does not open", reported).await?;
    connected.map_err(|error| failed(io::Error::other(error)))?.map_err(failed)?;
    let stream = within("the bare stream does not open", control.open_stream(peer, protocol));
    let stream = stream.await?.map_err(|error| failed(io::Error::other(error)))?;
    Ok((stream, driving))
}

/// A task of the runtime, that ends with its handle.
pub(crate) fn spawn<T: Send + 'static>(
    runtime: &Arc<dyn Runtime>,
    task: impl Future<Output = T> + Send + 'static,
) -> RemoteHandle<T> {
    let (task, handle) = task.remote_handle();
    runtime.spawn(task.boxed());
    handle
}

/// A swarm with a new identity, on the transports of a node.
pub(crate) fn swarm(runtime: &Arc<dyn Runtime>) -> io::Result<Swarm<libp2p_stream::Behaviour>> {
    let (runtime, identity) = (runtime.clone(), Keypair::generate_ed25519());
    let transport = transport(&runtime, &identity, None, &SocketBytes::default())?;
    let settings = swarm::Config::with_executor(move |task| runtime.spawn(task))
        .with_idle_connection_timeout(Duration::from_secs(60));
    let peer = identity.public().to_peer_id();
    Ok(Swarm::new(transport, libp2p_stream::Behaviour::new(), peer, settings))
}

/// Listens there, and gives the first address of it that is known.
pub(crate) async fn listen(
    swarm: &mut Swarm<libp2p_stream::Behaviour>,
    address: Multiaddr,
) -> io::Result<Multiaddr> {
    swarm.listen_on(address).map_err(io::Error::other)?;
    loop {
        if let SwarmEvent::NewListenAddr { address, .. } = swarm.select_next_some().await {
            return Ok(address);
        }
    }
}

/// Lets a swarm work, and says when its first connection is there, or why it is not.
pub(crate) async fn drive(
    mut swarm: Swarm<libp2p_stream::Behaviour>,
    mut report: Option<oneshot::Sender<io::Result<()>>>,
) {
    loop {
        let outcome = match swarm.select_next_some().await {
            SwarmEvent::ConnectionEstablished { .. } => Ok(()),
            SwarmEvent::OutgoingConnectionError { error, .. } => Err(io::Error::other(error)),
            _ => continue,
        };
        if let Some(report) = report.take() {
            // Whoever waited may have given up.
            let _ = report.send(outcome);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Mutex, mpsc};

    use bitswap_node::ByteStream;
    use bitswap_runtime_tokio::Tokio;
    use futures::future::BoxFuture;
    use libp2p::core::transport::Boxed;

    use super::*;
    use crate::demo::loopback;

    const PROTOCOL: StreamProtocol = StreamProtocol::new("/bitswap-test/bare");

    /// How long each step may take.
    const LIMIT: Duration = Duration::from_secs(20);

    /// A runtime for [`open`] alone, whose swarm stands still after the connection's handler was
    /// made and before the connection is reported, until whoever opens the stream has gone as far as it can.
    #[derive(Clone, Debug)]
    struct Gated {
        tokio: Arc<dyn Runtime>,
        tasks: Arc<AtomicUsize>,
        reached: Signal,
        passed: Signal,
    }

    #[derive(Clone, Debug)]
    struct Signal(mpsc::SyncSender<()>, Arc<Mutex<mpsc::Receiver<()>>>);

    impl Signal {
        fn new() -> Self {
            let (give, wait) = mpsc::sync_channel(1);
            Self(give, Arc::new(Mutex::new(wait)))
        }

        fn give(&self) {
            self.0.send(()).unwrap();
        }

        fn wait(&self) {
            self.1.lock().unwrap().recv_timeout(LIMIT).expect("the other side comes this far");
        }
    }

    impl Runtime for Gated {
        fn name(&self) -> &'static str {
            "gated"
        }

        fn spawn(&self, task: BoxFuture<'static, ()>) {
            match self.tasks.fetch_add(1, Ordering::SeqCst) {
                // The swarm's task. Whoever opens the stream goes on once the swarm is at the gate.
                1 => {
                    self.tokio.spawn(task);
                    self.reached.wait();
                }
                // The connection's task: the handler is made, and nothing is reported.
                2 => {
                    self.reached.give();
                    self.passed.wait();
                    self.tokio.spawn(task);
                }
                // The dial, and whatever comes later.
                _ => self.tokio.spawn(task),
            }
        }

        fn spawn_blocking(&self, work: Box<dyn FnOnce() + Send>) {
            self.tokio.spawn_blocking(work);
        }

        fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
            self.tokio.sleep(duration)
        }

        fn tcp(&self) -> Boxed<ByteStream> {
            self.tokio.tcp()
        }
    }

    #[test]
    fn a_stream_is_asked_for_only_after_its_connection_was_reported() {
        let workers = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let _entered = workers.enter();
        let tokio: Arc<dyn Runtime> = Arc::new(Tokio::current());
        let mut sender = swarm(&tokio).unwrap();
        let address = workers.block_on(listen(&mut sender, loopback())).unwrap();
        let peer = *sender.local_peer_id();
        let _requests = sender.behaviour().new_control().accept(PROTOCOL).unwrap();
        let _sender = spawn(&tokio, drive(sender, None));

        let tasks = Arc::default();
        let (reached, passed) = (Signal::new(), Signal::new());
        let gated: Arc<dyn Runtime> =
            Arc::new(Gated { tokio, tasks, reached, passed: passed.clone() });
        let receiver = swarm(&gated).unwrap();
        let mut opening = Box::pin(open(&gated, receiver, peer, address, PROTOCOL));
        let first = workers.block_on(async { futures::poll!(&mut opening) });
        assert!(first.is_pending(), "nothing is open while the swarm stands still");
        passed.give();
        let opened = workers.block_on(async { tokio::time::timeout(LIMIT, opening).await });
        let opened = opened.expect("the request for a stream is not lost");
        assert!(opened.is_ok(), "{:?}", opened.err());
    }
}
