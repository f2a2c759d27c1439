//! What the same connection can do without Bitswap: one stream that carries the file's bytes, and a
//! reader that does nothing with them, or hands them to a thread that hashes them.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bitswap_node::{Runtime, RuntimeExt as _};
use futures::channel::mpsc;
use futures::executor::block_on_stream;
use futures::io::{AsyncReadExt as _, AsyncWriteExt as _};
use futures::sink::SinkExt as _;
use futures::stream::StreamExt as _;
use libp2p::StreamProtocol;
use sha2::{Digest as _, Sha256};

use super::sample::Sample;
use crate::bare_stream::{drive, failed, listen, open, spawn, swarm, within};
use crate::failure::Failure;

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
    let address =
        within("the bare stream's sender does not listen", listen(&mut sender, super::loopback()))
            .await?;
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
    let (mut stream, _receiver) = open(runtime, receiver, peer, address, PROTOCOL).await?;
    let start = Instant::now();
    let hash = receive(runtime, &mut stream, sample.bytes, reading).await?;
    let elapsed = start.elapsed();
    within("the bare stream's sender does not end", sending).await?.map_err(failed)?;
    if hash.is_some_and(|hash| hash != sample.sha256) {
        return Err(Failure::DemoDiffers);
    }
    Ok(elapsed)
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
