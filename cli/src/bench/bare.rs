//! A stream that carries as many bytes as it is asked for, and nothing else.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bitswap_node::Bytes;
use bitswap_node::Runtime;
use futures::future::RemoteHandle;
use futures::io::{AsyncReadExt as _, AsyncWriteExt as _};
use futures::stream::StreamExt as _;
use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, PeerId, Stream, StreamProtocol};

use super::content::Content;
use super::get::Measured;
use crate::bare_stream::{drive, failed, listen, open, spawn, swarm, within};
use crate::failure::Failure;

const PROTOCOL: StreamProtocol = StreamProtocol::new("/bitswap-bench/bare/1");

/// Bytes read and written at once.
const PIECE: usize = 256 << 10;

/// Streams that are written to at a time.
const STREAMS_MAX: usize = 16;

/// Serves streams until what is returned is dropped, and says where.
pub(crate) async fn serve(
    runtime: &Arc<dyn Runtime>,
    address: Multiaddr,
    content: &Content,
) -> Result<(Multiaddr, [RemoteHandle<()>; 2]), Failure> {
    let mut swarm = swarm(runtime).map_err(failed)?;
    let address = within("the bare stream does not listen", listen(&mut swarm, address)).await?;
    let address = address.map_err(failed)?.with(Protocol::P2p(*swarm.local_peer_id()));
    let requests = swarm.behaviour().new_control().accept(PROTOCOL);
    let requests = requests.map_err(|error| failed(io::Error::other(error)))?;
    let bytes = content.bytes().clone();
    let serving = requests.for_each_concurrent(STREAMS_MAX, move |(_, stream)| {
        let bytes = bytes.clone();
        async move {
            // Whoever asked has gone.
            let _ = send(stream, &bytes).await;
        }
    });
    Ok((address, [spawn(runtime, drive(swarm, None)), spawn(runtime, serving)]))
}

/// Reads how many bytes are wanted, and sends them.
async fn send(mut stream: Stream, bytes: &Bytes) -> io::Result<()> {
    let mut wanted = [0; 8];
    stream.read_exact(&mut wanted).await?;
    let mut left = u64::from_be_bytes(wanted);
    for piece in bytes.chunks(PIECE).cycle() {
        let piece = &piece[..piece.len().min(usize::try_from(left).unwrap_or(usize::MAX))];
        if piece.is_empty() {
            break;
        }
        stream.write_all(piece).await?;
        left -= piece.len() as u64;
    }
    stream.close().await
}

/// A connection to the other machine.
pub(crate) struct Bare {
    stream: Stream,
    _driving: RemoteHandle<()>,
}

impl Bare {
    /// Connects and opens a stream.
    pub(crate) async fn open(
        runtime: &Arc<dyn Runtime>,
        address: &Multiaddr,
    ) -> Result<Self, Failure> {
        let swarm = swarm(runtime).map_err(failed)?;
        let peer = peer_of(address).map_err(failed)?;
        let (stream, driving) = open(runtime, swarm, peer, address.clone(), PROTOCOL).await?;
        Ok(Self { stream, _driving: driving })
    }

    /// Takes so many bytes, or those that come in that time.
    pub(crate) async fn measure(
        mut self,
        bytes: u64,
        limit: Duration,
    ) -> Result<Measured, Failure> {
        let start = Instant::now();
        let request = async {
            self.stream.write_all(&bytes.to_be_bytes()).await?;
            self.stream.flush().await
        };
        within("the bare stream takes no request", request).await?.map_err(failed)?;
        let (mut piece, mut taken) = (vec![0; PIECE], 0);
        while taken < bytes && start.elapsed() < limit {
            let read = self.stream.read(&mut piece);
            let read = within("the bare stream brings nothing more", read).await?;
            match read.map_err(failed)? {
                0 => return Err(failed(io::ErrorKind::UnexpectedEof.into())),
                read => taken += read as u64,
            }
        }
        Ok(Measured { blocks: 0, bytes: taken, elapsed: start.elapsed() })
    }
}

fn peer_of(address: &Multiaddr) -> io::Result<PeerId> {
    match address.iter().last() {
        Some(Protocol::P2p(peer)) => Ok(peer),
        _ => Err(io::Error::other("its address does not end in /p2p/ and an identity")),
    }
}
