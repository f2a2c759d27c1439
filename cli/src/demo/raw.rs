//! What the same connection can do without Bitswap: one stream that carries the file's bytes, and a
//! reader that does nothing with them, or hands them to a thread that hashes them.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bitswap_node::{Runtime, RuntimeExt as _, SocketBytes, transport};
use futures::channel::{mpsc, oneshot};
use futures::executor::block_on_stream;
use futures::future::{FutureExt as _, RemoteHandle};
use futures::io::{AsyncReadExt as _, AsyncWriteExt as _};
use futures::sink::SinkExt as _;
use futures::stream::StreamExt as _;
use libp2p::identity::Keypair;
use libp2p::swarm::dial_opts::DialOpts;
use libp2p::swarm::{self, Swarm, SwarmEvent};
use libp2p::{Multiaddr, PeerId, StreamProtocol};
use sha2::{Digest as _, Sha256};

use super::sample::Sample;
use super::within;
use crate::exit::Failure;

const PROTOCOL: StreamProtocol = StreamProtocol::new("/bitswap-demo/raw");

/// Bytes read and written at once.
const PIECE: usize = 256 << 10;

/// Pieces that may wait to be hashed.
const WAITING: usize = 16;

/// What becomes of the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    /// Nothing: what the connection carries.
    Plain,
    /// Another thread hashes them, as the blocks of a node are hashed beside its connection. (On the stream's own
    /// task the hash would hold up the stream.)
    HashedBeside,
}

/// How long one bare stream takes for the sample, from the request to the last byte, hashed or not.
pub(crate) async fn transfer(
    runtime: &Arc<dyn Runtime>,
    path: &Path,
    sample: &Sample,
    reading: Reading,
) -> Result<Duration, Failure> {
    let mut sender = swarm(runtime).map_err(failed)?;
    let receiver = swarm(runtime).map_err(failed)?;
    let address = within("the bare stream's sender does not listen", listen(&mut sender)).await?;
    let address = address.map_err(failed)?;
    let peer = *sender.local_peer_id();
    let mut requests = sender.behaviour().new_control();
    let mut requests =
        requests.accept(PROTOCOL).map_err(|error| failed(io::Error::other(error)))?;
    let _sender = spawn(runtime, drive(sender, None));
    let (path, reader) = (path.to_owned(), runtime.clone());
    let sending = spawn(runtime, async move {
        let Some((_, stream)) = requests.next().await else { return Ok(()) };
        send(&reader, &path, stream).await
    });
    // The connection is there before the time starts, as it is for the nodes.
    let (mut stream, _receiver) = open(runtime, receiver, peer, address).await?;
    let start = Instant::now();
    let hash = receive(runtime, &mut stream, sample.bytes, reading).await?;
    let elapsed = start.elapsed();
    within("the bare stream's sender does not end", sending).await?.map_err(failed)?;
    if hash.is_some_and(|hash| hash != sample.sha256) {
        return Err(Failure::DemoDiffers);
    }
    Ok(elapsed)
}

const fn failed(source: io::Error) -> Failure {
    Failure::DemoStream { source }
}

/// Dials, and opens a stream over the connection; the swarm works until the handle is dropped.
///
/// A stream that is asked for before the swarm has reported the connection can be lost: between
/// the moment in which the connection's handler is made and that report, `libp2p_stream` puts the request on
/// the list of a dial that has ended, which nobody reads. So the report is waited for.
async fn open(
    runtime: &Arc<dyn Runtime>,
    mut swarm: Swarm<libp2p_stream::Behaviour>,
    peer: PeerId,
    address: Multiaddr,
) -> Result<(libp2p::Stream, RemoteHandle<()>), Failure> {
    let mut control = swarm.behaviour().new_control();
    let dial = DialOpts::peer_id(peer).addresses(vec![address]);
    swarm.dial(dial.build()).map_err(|error| failed(io::Error::other(error)))?;
    let (report, reported) = oneshot::channel();
    let driving = spawn(runtime, drive(swarm, Some(report)));
    let connected = within("the bare stream's connection does not open", reported).await?;
    connected.map_err(|error| failed(io::Error::other(error)))?.map_err(failed)?;
    let stream = within("the bare stream does not open", control.open_stream(peer, PROTOCOL));
    let stream = stream.await?.map_err(|error| failed(io::Error::other(error)))?;
    Ok((stream, driving))
}

/// A task of the runtime, that ends with its handle.
fn spawn<T: Send + 'static>(
    runtime: &Arc<dyn Runtime>,
    task: impl Future<Output = T> + Send + 'static,
) -> RemoteHandle<T> {
    let (task, handle) = task.remote_handle();
    runtime.spawn(task.boxed());
    handle
}

fn swarm(runtime: &Arc<dyn Runtime>) -> io::Result<Swarm<libp2p_stream::Behaviour>> {
    let (runtime, identity) = (runtime.clone(), Keypair::generate_ed25519());
    let transport = transport(&runtime, &identity, None, &SocketBytes::default())?;
    let settings = swarm::Config::with_executor(move |task| runtime.spawn(task))
        .with_idle_connection_timeout(Duration::from_secs(60));
    let peer = identity.public().to_peer_id();
    Ok(Swarm::new(transport, libp2p_stream::Behaviour::new(), peer, settings))
}

async fn listen(swarm: &mut Swarm<libp2p_stream::Behaviour>) -> io::Result<Multiaddr> {
    swarm.listen_on(super::loopback()).map_err(io::Error::other)?;
    loop {
        if let SwarmEvent::NewListenAddr { address, .. } = swarm.select_next_some().await {
            return Ok(address);
        }
    }
}

/// Lets a swarm work, and says when its first connection is there, or why it is not.
async fn drive(
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

/// Waits for a byte, then sends the file.
async fn send(
    runtime: &Arc<dyn Runtime>,
    path: &Path,
    mut stream: libp2p::Stream,
) -> io::Result<()> {
    let mut file = std::fs::File::open(path)?;
    stream.read_exact(&mut [0]).await?;
    loop {
        let (piece, back) = runtime.run_blocking(move || (read(&mut file), file)).await?;
        file = back;
        let piece = piece?;
        if piece.is_empty() {
            return stream.close().await;
        }
        stream.write_all(&piece).await?;
    }
}

fn read(file: &mut std::fs::File) -> io::Result<Vec<u8>> {
    let mut piece = vec![0; PIECE];
    let read = io::Read::read(file, &mut piece)?;
    piece.truncate(read);
    Ok(piece)
}

/// Asks, and takes what comes. Its hash, if it was to be hashed.
async fn receive(
    runtime: &Arc<dyn Runtime>,
    stream: &mut libp2p::Stream,
    len: u64,
    reading: Reading,
) -> Result<Option<[u8; 32]>, Failure> {
    let request = async {
        stream.write_all(&[1]).await?;
        stream.flush().await
    };
    within("the bare stream takes no request", request).await?.map_err(failed)?;
    let (mut pieces, to_hash) = mpsc::channel(WAITING);
    let hash = move || {
        block_on_stream(to_hash)
            .fold(Sha256::new(), |hash, piece: Vec<u8>| hash.chain_update(piece))
    };
    let hasher = runtime.clone();
    let hashing = spawn(runtime, async move { hasher.run_blocking(hash).await });
    let (mut left, mut piece, mut filled) = (len, vec![0; PIECE], 0);
    loop {
        let read = stream.read(&mut piece[filled..]);
        let read = within("the bare stream brings nothing more", read).await?.map_err(failed)?;
        left = left.saturating_sub(read as u64);
        filled += read;
        if read > 0 && filled < PIECE {
            continue;
        }
        if reading == Reading::HashedBeside && filled > 0 {
            let mut full = std::mem::replace(&mut piece, vec![0; PIECE]);
            full.truncate(filled);
            // It is taken as long as the stream lives.
            let _ = pieces.send(full).await;
        }
        filled = 0;
        if read == 0 {
            break;
        }
    }
    if left > 0 {
        return Err(failed(io::ErrorKind::UnexpectedEof.into()));
    }
    drop(pieces);
    let hash = within("the bare stream is not hashed", hashing).await?.map_err(failed)?;
    Ok((reading == Reading::HashedBeside).then(|| hash.finalize().into()))
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
        let address = workers.block_on(listen(&mut sender)).unwrap();
        let peer = *sender.local_peer_id();
        let _requests = sender.behaviour().new_control().accept(PROTOCOL).unwrap();
        let _sender = spawn(&tokio, drive(sender, None));

        let tasks = Arc::default();
        let (reached, passed) = (Signal::new(), Signal::new());
        let gated: Arc<dyn Runtime> =
            Arc::new(Gated { tokio, tasks, reached, passed: passed.clone() });
        let receiver = swarm(&gated).unwrap();
        let mut opening = Box::pin(open(&gated, receiver, peer, address));
        let first = workers.block_on(async { futures::poll!(&mut opening) });
        assert!(first.is_pending(), "nothing is open while the swarm stands still");
        passed.give();
        let opened = workers.block_on(async { tokio::time::timeout(LIMIT, opening).await });
        let opened = opened.expect("the request for a stream is not lost");
        assert!(opened.is_ok(), "{:?}", opened.err());
    }
}
