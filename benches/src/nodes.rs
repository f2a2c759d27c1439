//! Two nodes over loopback, beside a bare stream of the same transport.

use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

use bitswap_core::{Block, SessionOptions};
use bitswap_node::{Node, SocketBytes};
use bitswap_runtime_tokio::Tokio;
use cid::Cid;
use futures::{AsyncReadExt, AsyncWriteExt, StreamExt};
use libp2p::identity::Keypair;
use libp2p::swarm::{Config, SwarmEvent};
use libp2p::{Multiaddr, PeerId, StreamProtocol, Swarm};
use libp2p_stream as stream;
use multihash_codetable::{Code, MultihashDigest};

use crate::blocks::blocks;

const BARE: StreamProtocol = StreamProtocol::new("/bare/1.0.0");

/// What the reader of a bare stream does with the blocks that come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// Nothing: what the transport carries.
    Plain,
    /// Another thread hashes them, as our connections do: the most that can be reached with verified blocks.
    HashedBeside,
}

/// How a node is asked for blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asking {
    /// All in one `Session::get_many`.
    Together,
    /// By one `Session::get` each, so many at a time.
    OneByOne(usize),
}

/// Prints what nodes reach of a bare stream, best of so many rounds.
///
/// # Panics
///
/// When the nodes cannot be connected on loopback.
pub fn print_ratios(rounds: usize) {
    let tokio = tokio::runtime::Runtime::new().expect("an async runtime");
    for (len, count) in [(1 << 10, 32_768), (256 << 10, 512)] {
        let blocks = blocks(count, len);
        let (mut plain, mut hashed, mut node) = (Duration::MAX, Duration::MAX, Duration::MAX);
        for _ in 0..rounds.max(1) {
            plain = plain.min(tokio.block_on(bare_stream(&blocks, Reading::Plain)));
            hashed = hashed.min(tokio.block_on(bare_stream(&blocks, Reading::HashedBeside)));
            node = node.min(tokio.block_on(nodes(&blocks, Asking::Together)));
        }
        let rate = |time: Duration| ((len * count) >> 20) as f64 / time.as_secs_f64();
        println!("{count} blocks of {} KiB over loopback, best of {rounds}", len >> 10);
        println!("  {:<32} {:>7.0} MiB/s", "bare stream", rate(plain));
        println!("  {:<32} {:>7.0} MiB/s", "bare stream, hashed beside", rate(hashed));
        println!(
            "  {:<32} {:>7.0} MiB/s {:>9.0} blocks/s  {:.3} of the bare stream, {:.3} of the hashed one",
            "nodes",
            rate(node),
            count as f64 / node.as_secs_f64(),
            rate(node) / rate(plain),
            rate(node) / rate(hashed),
        );
    }
}

/// The longest that one transfer may take.
const LIMIT: Duration = Duration::from_secs(300);

/// # Panics
///
/// When it takes too long.
async fn within<T>(what: &str, transfer: impl Future<Output = T>) -> T {
    let transfer = tokio::time::timeout(LIMIT, transfer).await;
    transfer.unwrap_or_else(|_| panic!("{what} did not end within {LIMIT:?}"))
}

/// An address of this machine, at a port that is free.
#[must_use]
pub fn loopback() -> Multiaddr {
    "/ip4/127.0.0.1/tcp/0".parse().expect("an address")
}

/// The time in which one node gets blocks from another: from the first request to the last block.
///
/// # Panics
///
/// When the nodes cannot be connected on loopback, or it takes too long.
pub async fn nodes(blocks: &[Block], asking: Asking) -> Duration {
    within("the nodes", run_nodes(blocks, asking)).await
}

/// The time to carry blocks one after another on one stream.
///
/// # Panics
///
/// When the nodes cannot be connected on loopback, or it takes too long.
pub async fn bare_stream(blocks: &[Block], reading: Reading) -> Duration {
    within("the bare stream", run_bare_stream(blocks, reading)).await
}

async fn run_nodes(blocks: &[Block], asking: Asking) -> Duration {
    let runtime = Tokio::current();
    let server = Node::builder(runtime.clone()).with_listen_address(loopback());
    let server = server.start().await.expect("a node on loopback");
    let client = Node::builder(runtime).start().await.expect("a node");
    server.put_blocks(blocks.to_vec()).await.expect("memory");
    let address = server.addresses().await.expect("it runs").remove(0);
    client.connect(address).await.expect("a connection on loopback");
    let session = client.session(SessionOptions::default()).await.expect("it runs");
    let cids: Vec<Cid> = blocks.iter().map(|block| *block.cid()).collect();

    let start = Instant::now();
    match asking {
        Asking::Together => {
            let mut fetched = std::pin::pin!(session.get_many(cids));
            while let Some((_, block)) = fetched.next().await {
                block.expect("the server has it");
            }
        }
        Asking::OneByOne(at_once) => {
            let get = futures::stream::iter(cids).map(|cid| session.get(cid));
            let mut fetched = get.buffer_unordered(at_once);
            while let Some(block) = fetched.next().await {
                block.expect("the server has it");
            }
        }
    }
    let time = start.elapsed();
    drop(session);
    client.shutdown().await;
    server.shutdown().await;
    time
}

async fn run_bare_stream(blocks: &[Block], reading: Reading) -> Duration {
    let (mut server, mut client) = (swarm(), swarm());
    server.listen_on(loopback()).expect("loopback");
    let address = loop {
        if let SwarmEvent::NewListenAddr { address, .. } = server.select_next_some().await {
            break address;
        }
    };
    let (from, to) = (*server.local_peer_id(), *client.local_peer_id());
    client.dial(address.with_p2p(from).expect("its own name")).expect("a dial");
    let mut asked = client.behaviour().new_control();
    let mut incoming = asked.accept(BARE).expect("accepted once");
    let mut offered = server.behaviour().new_control();
    let drive = |mut swarm: Swarm<stream::Behaviour>, ready: tokio::sync::oneshot::Sender<()>| async move {
        let mut ready = Some(ready);
        loop {
            if let SwarmEvent::ConnectionEstablished { .. } = swarm.select_next_some().await
                && let Some(ready) = ready.take()
            {
                let _ = ready.send(());
            }
        }
    };
    let (server_ready, connected) = tokio::sync::oneshot::channel();
    let (client_ready, _unused) = tokio::sync::oneshot::channel();
    let server = tokio::spawn(drive(server, server_ready));
    let client = tokio::spawn(drive(client, client_ready));
    // Whoever opens a stream does so only once its swarm has reported the connection: a request made
    // just before that is lost.
    connected.await.expect("a connection on loopback");

    let data: Vec<_> = blocks.iter().map(|block| block.data().clone()).collect();
    let (len, count) = (data[0].len(), data.len());
    let start = Instant::now();
    let writer = tokio::spawn(async move {
        let mut stream = offered.open_stream(to, BARE).await.expect("a stream");
        for data in &data {
            stream.write_all(data).await.expect("written");
        }
        stream.close().await.expect("closed");
    });
    let (_, mut stream): (PeerId, _) = incoming.next().await.expect("a stream");
    let (read, to_hash) = sync_channel::<Vec<u8>>((4 << 20) / len);
    let hashing = std::thread::spawn(move || {
        for block in to_hash {
            std::hint::black_box(Code::Sha2_256.digest(&block));
        }
    });
    let mut block = vec![0; len];
    for _ in 0..count {
        stream.read_exact(&mut block).await.expect("a whole block");
        if reading == Reading::HashedBeside {
            let read_now = std::mem::replace(&mut block, vec![0; len]);
            tokio::task::block_in_place(|| read.send(read_now)).expect("the thread runs");
        }
    }
    drop(read);
    tokio::task::spawn_blocking(|| hashing.join()).await.expect("joined").expect("hashed");
    let time = start.elapsed();
    writer.await.expect("the writer");
    server.abort();
    client.abort();
    time
}

fn swarm() -> Swarm<stream::Behaviour> {
    let runtime = Tokio::current();
    let identity = Keypair::generate_ed25519();
    let bytes = SocketBytes::default();
    let transport =
        bitswap_node::transport(&runtime, &identity, None, &bytes).expect("a transport");
    let config =
        Config::with_tokio_executor().with_idle_connection_timeout(Duration::from_secs(60));
    Swarm::new(transport, stream::Behaviour::new(), identity.public().to_peer_id(), config)
}
