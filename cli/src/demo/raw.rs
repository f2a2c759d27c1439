//! What the same connection can do without Bitswap: one stream that carries the file's bytes, and a
//! reader that hashes them.

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use bitswap_runtime::{Runtime, RuntimeExt as _, SocketBytes, transport};
use futures::future::{FutureExt as _, RemoteHandle};
use futures::io::{AsyncReadExt as _, AsyncWriteExt as _};
use futures::stream::StreamExt as _;
use libp2p::identity::Keypair;
use libp2p::swarm::dial_opts::DialOpts;
use libp2p::swarm::{self, Swarm, SwarmEvent};
use libp2p::{Multiaddr, StreamProtocol};
use sha2::{Digest as _, Sha256};

use super::sample::Sample;
use crate::exit::Failure;

const PROTOCOL: StreamProtocol = StreamProtocol::new("/bitswap-demo/raw");

/// Bytes read and written at once.
const PIECE: usize = 256 << 10;

/// How long one bare stream takes for the sample, from the request to the last hashed byte.
pub(crate) async fn transfer(
    runtime: &impl Runtime,
    path: &Path,
    sample: &Sample,
) -> Result<Duration, Failure> {
    let failed = |source| Failure::Demo { source };
    let mut sender = swarm(runtime).map_err(failed)?;
    let mut receiver = swarm(runtime).map_err(failed)?;
    let address = listen(&mut sender).await.map_err(failed)?;
    let peer = *sender.local_peer_id();
    let mut requests = sender.behaviour().new_control();
    let mut requests =
        requests.accept(PROTOCOL).map_err(|error| failed(io::Error::other(error)))?;
    let mut control = receiver.behaviour().new_control();
    let dial = DialOpts::peer_id(peer).addresses(vec![address]);
    receiver.dial(dial.build()).map_err(|error| failed(io::Error::other(error)))?;

    let swarms = [sender, receiver].map(|swarm| spawn(runtime, drive(swarm)));
    let (path, reader) = (path.to_owned(), runtime.clone());
    let sending = spawn(runtime, async move {
        let Some((_, stream)) = requests.next().await else { return Ok(()) };
        send(&reader, &path, stream).await
    });
    // The connection is there before the time starts, as it is for the nodes.
    let mut stream = control
        .open_stream(peer, PROTOCOL)
        .await
        .map_err(|error| failed(io::Error::other(error)))?;
    let start = Instant::now();
    let hash = receive(&mut stream).await.map_err(failed)?;
    let elapsed = start.elapsed();
    sending.await.map_err(failed)?;
    drop(swarms);
    if hash != sample.sha256 {
        return Err(Failure::DemoDiffers);
    }
    Ok(elapsed)
}

/// A task of the runtime, that ends with its handle.
fn spawn<T: Send + 'static>(
    runtime: &impl Runtime,
    task: impl Future<Output = T> + Send + 'static,
) -> RemoteHandle<T> {
    let (task, handle) = task.remote_handle();
    runtime.spawn(task.boxed());
    handle
}

fn swarm(runtime: &impl Runtime) -> io::Result<Swarm<libp2p_stream::Behaviour>> {
    let (runtime, identity) = (runtime.clone(), Keypair::generate_ed25519());
    let transport = transport(&runtime, &identity, &SocketBytes::default())?;
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

async fn drive(mut swarm: Swarm<libp2p_stream::Behaviour>) {
    loop {
        swarm.select_next_some().await;
    }
}

/// Waits for a byte, then sends the file.
async fn send(runtime: &impl Runtime, path: &Path, mut stream: libp2p::Stream) -> io::Result<()> {
    let mut file = std::fs::File::open(path)?;
    stream.read_exact(&mut [0]).await?;
    loop {
        let (piece, back) = runtime.run(move || (read(&mut file), file)).await?;
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

/// Asks, and hashes what comes.
async fn receive(stream: &mut libp2p::Stream) -> io::Result<[u8; 32]> {
    stream.write_all(&[1]).await?;
    stream.flush().await?;
    let (mut hash, mut piece) = (Sha256::new(), vec![0; PIECE]);
    loop {
        let read = stream.read(&mut piece).await?;
        if read == 0 {
            return Ok(hash.finalize().into());
        }
        hash.update(&piece[..read]);
    }
}
