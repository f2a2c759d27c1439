//! The attacks.

use std::any::Any;
use std::io::Write as _;
use std::net::TcpStream;
use std::time::Instant;

use bitswap_libp2p::Stats;
use futures::channel::oneshot;
use futures::future::{BoxFuture, select};
use futures::io::{AsyncReadExt as _, AsyncWriteExt as _};
use libp2p::core::muxing::SubstreamBox;
use libp2p::identity::Keypair;
use libp2p::multiaddr::Protocol;

use super::super::STEP_MAX;
use super::Target;
use super::peer::{BITSWAP, MULTISTREAM, RawPeer, write_what_is_taken};
use crate::runtime::{Runtime, RuntimeExt as _};

/// Something that peers do to a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Attack {
    /// Sockets that are opened and say nothing.
    Silence,
    /// Random bytes where encryption is negotiated.
    Garbage,
    /// Proposals of unknown encryptions without end.
    EndlessNegotiation,
    /// Streams that propose unknown protocols without end, or nothing.
    UndecidedStreams,
    /// Peers that want everything and do not read the answers.
    NeverReading,
    /// Lengths of a message whose varint never ends.
    EndlessLength,
    /// Messages of 4 MiB of which a byte comes at a time, and then none.
    StoppingFrames,
    /// Wants of CIDs that nobody can serve.
    StrangeCids,
    /// A million wants, each of another CID.
    MillionWants,
    /// Connections that are set up and dropped over and over.
    Churn,
}

/// The attackers; they leave when this is dropped.
pub(super) type Attackers = Box<dyn Any + Send>;

impl Attack {
    /// All of them.
    pub(super) const ALL: [Self; 10] = [
        Self::Silence,
        Self::Garbage,
        Self::EndlessNegotiation,
        Self::UndecidedStreams,
        Self::NeverReading,
        Self::EndlessLength,
        Self::StoppingFrames,
        Self::StrangeCids,
        Self::MillionWants,
        Self::Churn,
    ];

    /// Goes as far as the attack gets at once; what has no end goes on beside.
    pub(super) async fn begin(self, target: &Target) -> Attackers {
        match self {
            Self::Silence => sockets(target, 64, |_| ()).await,
            Self::Garbage => {
                sockets(target, 16, |socket| write(socket, &super::super::bytes(1 << 20))).await
            }
            Self::EndlessNegotiation => {
                let mut proposals = BITSWAP[..MULTISTREAM].to_vec();
                proposals.extend(b"\x09/unheard\n".repeat(100_000));
                sockets(target, 16, move |socket| write(socket, &proposals)).await
            }
            Self::UndecidedStreams => undecided(target).await,
            Self::NeverReading => never_reading(target).await,
            Self::EndlessLength => {
                let stats = streams(target, 64, &[0x80; 1 << 10]);
                until(target, stats.await, |stats| stats.traffic.malformed_streams >= 64).await
            }
            Self::StoppingFrames => stopping(target).await,
            Self::StrangeCids => strange_cids(target).await,
            Self::MillionWants => looping(target, |peer| Box::pin(flood(peer))).await,
            Self::Churn => churn(target).await,
        }
    }

    /// Waits until what goes on beside has reached the node whole.
    pub(super) async fn finish(self, target: &Target) {
        if self == Self::MillionWants {
            let seen = |stats: &Stats| stats.engine.messages_received >= u64::from(MILLION);
            until(target, Box::new(()), seen).await;
        }
    }
}

/// Messages of as many wants as one may hold that make a million.
const MILLION: u32 = 123;

/// Opens sockets, on each of which something is written.
async fn sockets(
    target: &Target,
    count: usize,
    say: impl Fn(&mut TcpStream) + Send + 'static,
) -> Attackers {
    let port = target.address.iter().find_map(|part| match part {
        Protocol::Tcp(port) => Some(port),
        _ => None,
    });
    let to = (std::net::Ipv4Addr::LOCALHOST, port.unwrap());
    let all = target.runtime.run_blocking(move || {
        let open = || {
            let mut socket = TcpStream::connect(to).unwrap();
            socket.set_nonblocking(true).unwrap();
            say(&mut socket);
            socket
        };
        std::iter::repeat_with(open).take(count).collect::<Vec<_>>()
    });
    Box::new(all.await.unwrap())
}

/// Writes what the other side takes.
fn write(socket: &mut TcpStream, mut bytes: &[u8]) {
    while let Ok(written) = socket.write(bytes)
        && written > 0
    {
        bytes = &bytes[written..];
    }
}

async fn peer(target: &Target) -> RawPeer {
    RawPeer::dial(&target.runtime, &target.address).await.unwrap()
}

/// Waits until the node has seen the attack.
async fn until(target: &Target, attackers: Attackers, seen: impl Fn(&Stats) -> bool) -> Attackers {
    let begun = Instant::now();
    loop {
        let stats = target.node.stats().await.unwrap().bitswap;
        if seen(&stats) {
            return attackers;
        }
        assert!(begun.elapsed() < STEP_MAX, "{stats:?}");
    }
}

/// A peer with many Bitswap streams on each of which this is said.
async fn streams(target: &Target, count: usize, said: &[u8]) -> Attackers {
    let mut peer = peer(target).await;
    let mut streams: Vec<SubstreamBox> = Vec::new();
    for _ in 0..count {
        let mut stream = peer.open().await.unwrap();
        // It may be reset before all is written.
        let _ = write_what_is_taken(&mut stream, said).await;
        streams.push(stream);
    }
    Box::new((peer, streams))
}

/// Streams that propose protocols without end, and many that propose nothing.
async fn undecided(target: &Target) -> Attackers {
    let mut proposals = BITSWAP[..MULTISTREAM].to_vec();
    proposals.extend(b"\x09/unheard\n".repeat(10_000));
    let mut all = Vec::new();
    for _ in 0..4 {
        let mut peer = peer(target).await;
        let mut streams: Vec<SubstreamBox> = Vec::new();
        // More than 256 that are not answered are not opened at this end.
        for said in [&proposals[..], b"\x13/multi"].repeat(120) {
            let Ok(mut stream) = peer.open_bare().await else { break };
            let _ = write_what_is_taken(&mut stream, said).await;
            streams.push(stream);
        }
        all.push((peer, streams));
    }
    Box::new(all)
}

/// All streams that one peer may have, and more, over all its connections; those that are for nothing yet
/// have the longest name of a protocol begun.
pub(super) async fn all_streams(target: &Target) -> Attackers {
    const CONNECTIONS: usize = 4;
    let key = Keypair::generate_ed25519();
    let mut said = BITSWAP[..MULTISTREAM].to_vec();
    varint(&mut said, 256);
    said.resize(said.len() + 255, b'a');
    let mut all = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut peer = RawPeer::dial_as(&key, &target.runtime, &target.address).await.unwrap();
        let mut streams: Vec<SubstreamBox> = Vec::new();
        for _ in 0..512 / CONNECTIONS {
            streams.push(peer.open().await.unwrap());
        }
        all.push((peer, streams));
    }
    for (peer, streams) in &mut all {
        for _ in 0..300 / CONNECTIONS {
            let mut stream = peer.open_bare().await.unwrap();
            let _ = write_what_is_taken(&mut stream, &said).await;
            // Its first answer, or its end.
            let _ = stream.read_exact(&mut [0; MULTISTREAM]).await;
            streams.push(stream);
        }
    }
    Box::new(all)
}

/// Peers that want everything, accept the stream with the answers, and do not read it.
async fn never_reading(target: &Target) -> Attackers {
    let mut wants = Vec::new();
    for cid in &target.cids {
        entry(&mut wants, &cid.to_bytes(), 0);
    }
    let wants = message(&wants);
    let mut all = Vec::new();
    for _ in 0..16 {
        let mut peer = peer(target).await;
        let mut stream = peer.open().await.unwrap();
        stream.write_all(&wants).await.unwrap();
        stream.flush().await.unwrap();
        let answers = peer.accept().await.unwrap();
        all.push((peer, stream, answers));
    }
    Box::new(all)
}

/// Streams that announce 4 MiB and give a byte at a time, and then none.
async fn stopping(target: &Target) -> Attackers {
    // Those that find no room are reset at once.
    let ended = |stats: &Stats| stats.traffic.stalled_streams + stats.traffic.evicted_streams;
    let before = ended(&target.node.stats().await.unwrap().bitswap);
    let mut peer = peer(target).await;
    let mut streams = Vec::new();
    for _ in 0..64 {
        let mut stream = peer.open().await.unwrap();
        stream.write_all(&[0x80, 0x80, 0x80, 0x02]).await.unwrap();
        streams.push(stream);
    }
    for _ in 0..16 {
        for stream in &mut streams {
            // It may be reset meanwhile.
            let _ = write_what_is_taken(stream, &[7]).await;
        }
    }
    until(target, Box::new((peer, streams)), |stats| ended(stats) >= before + 64).await
}

/// Wants of CIDs that nobody can serve.
async fn strange_cids(target: &Target) -> Attackers {
    let before = target.node.stats().await.unwrap().bitswap;
    // Codec and hash in ten bytes each, and a digest of 128.
    let mut giant = vec![1];
    for _ in 0..2 {
        giant.extend([0xff; 9]);
        giant.push(1);
    }
    giant.extend([0x80, 0x01]);
    giant.resize(giant.len() + 128, 7);
    let mut identity = vec![1, 0x55, 0, 64];
    identity.resize(identity.len() + 64, 7);
    let mut all: Vec<Attackers> = Vec::new();
    for cid in [&giant, &identity] {
        let mut wants = Vec::new();
        for _ in 0..1000 {
            entry(&mut wants, cid, 0);
        }
        all.push(streams(target, 1, &message(&wants)).await);
    }
    let seen = |stats: &Stats| {
        let read = stats.engine.messages_received - before.engine.messages_received;
        let reset = stats.traffic.malformed_streams - before.traffic.malformed_streams;
        read + reset >= 2
    };
    until(target, Box::new(all), seen).await
}

/// A task that does something to the node, as one new peer, until it is dropped.
async fn looping(
    target: &Target,
    attack: impl FnOnce(RawPeer) -> BoxFuture<'static, ()>,
) -> Attackers {
    let attack = attack(peer(target).await);
    let (open, closed) = oneshot::channel::<()>();
    target.runtime.spawn(Box::pin(async move {
        select(attack, closed).await;
    }));
    Box::new(open)
}

/// A million want-haves, each of another CID, and the answers are not read.
async fn flood(mut peer: RawPeer) {
    let mut cid = [&[1, 0x55, 0x12, 32][..], &[0; 32]].concat();
    let Ok(mut stream) = peer.open().await else { return };
    for round in 0..MILLION {
        let mut wants = Vec::new();
        for at in 0..8192_u32 {
            cid[4..8].copy_from_slice(&at.to_le_bytes());
            cid[8..12].copy_from_slice(&round.to_le_bytes());
            entry(&mut wants, &cid, 1);
        }
        if stream.write_all(&message(&wants)).await.is_err() || stream.flush().await.is_err() {
            return;
        }
    }
    // It stays.
    while peer.is_open() && peer.accept().await.is_ok() {}
}

/// Connections that are set up and dropped, over and over.
async fn churn(target: &Target) -> Attackers {
    for _ in 0..8 {
        drop(sockets(target, 16, |_| ()).await);
        let mut peer = peer(target).await;
        let stream = peer.open().await.unwrap();
        drop((peer, stream));
    }
    let (runtime, address) = (target.runtime.clone(), target.address.clone());
    let again = async move {
        // A connection may be refused while others are closing.
        loop {
            drop(RawPeer::dial(&runtime, &address).await);
        }
    };
    let (open, closed) = oneshot::channel::<()>();
    target.runtime.spawn(Box::pin(async move {
        select(Box::pin(again), closed).await;
    }));
    Box::new(open)
}

/// Adds a want to a wantlist: 0 is for the block, 1 for whether it is there; DONT_HAVE is wanted.
fn entry(wantlist: &mut Vec<u8>, cid: &[u8], kind: u8) {
    let mut entry = vec![0x0a];
    varint(&mut entry, cid.len());
    entry.extend(cid);
    entry.extend([0x10, 1, 0x20, kind, 0x28, 1]);
    wantlist.push(0x0a);
    varint(wantlist, entry.len());
    wantlist.extend(entry);
}

/// A message with a wantlist, and its length.
fn message(wantlist: &[u8]) -> Vec<u8> {
    let mut field = vec![0x0a];
    varint(&mut field, wantlist.len());
    let mut message = Vec::new();
    varint(&mut message, field.len() + wantlist.len());
    message.extend(field);
    message.extend(wantlist);
    message
}

fn varint(out: &mut Vec<u8>, mut value: usize) {
    while value > 0x7f {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}
