//! A TCP path with a long round trip, between two ports of loopback.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use bitswap_core::chunk::Profile;
use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol;

use super::{bytes, client, file, server};
use crate::fetch::FetchOptions;
use crate::runtime::Runtime;

/// Bytes that are read from a socket at a time.
const PIECE_BYTES: usize = 64 << 10;
/// Pieces under way at most: no path of less than 10 Gbit/s with 200 ms is slowed by it.
const PIECES_MAX: usize = 4096;

/// A proxy on loopback that delivers each byte half a round trip after it was sent, in both directions. It has
/// no limit of bandwidth, so what a transfer takes longer over it is due to round trips alone.
///
/// Its threads end with their connections, or with the process.
#[derive(Debug)]
pub struct DelayedPath {
    address: Multiaddr,
}

impl DelayedPath {
    /// A path to a node on loopback that listens at this TCP address.
    ///
    /// # Panics
    ///
    /// When the address has no TCP port, or no port can be listened on.
    #[must_use]
    pub fn to(target: &Multiaddr, round_trip: Duration) -> Self {
        let port = target.iter().find_map(|part| match part {
            Protocol::Tcp(port) => Some(port),
            _ => None,
        });
        let to = port.expect("a TCP address");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
        let port = listener.local_addr().expect("it is bound").port();
        thread::spawn(move || {
            for near in listener.incoming().flatten() {
                // Nobody may listen there any more: then the connection ends.
                let Ok(far) = TcpStream::connect((Ipv4Addr::LOCALHOST, to)) else { continue };
                let both = (near.try_clone(), far.try_clone());
                let (Ok(near_too), Ok(far_too)) = both else { continue };
                carry(near, far, round_trip / 2);
                carry(far_too, near_too, round_trip / 2);
            }
        });
        let path = Multiaddr::empty().with(Ipv4Addr::LOCALHOST.into()).with(Protocol::Tcp(port));
        let peer = target.iter().find(|part| matches!(part, Protocol::P2p(_)));
        Self { address: peer.into_iter().fold(path, Multiaddr::with) }
    }

    /// Where the node is reached over the path.
    #[must_use]
    pub const fn address(&self) -> &Multiaddr {
        &self.address
    }
}

/// Carries one direction until either end closes it.
fn carry(mut from: TcpStream, mut to: TcpStream, delay: Duration) {
    let (sender, under_way) = mpsc::sync_channel::<(Instant, Vec<u8>)>(PIECES_MAX);
    // Without it the kernel's own timers would add to the delay.
    let _ = to.set_nodelay(true);
    thread::spawn(move || {
        let mut piece = vec![0; PIECE_BYTES];
        while let Ok(read @ 1..) = from.read(&mut piece)
            && sender.send((Instant::now() + delay, piece[..read].to_vec())).is_ok()
        {}
    });
    thread::spawn(move || {
        while let Ok((due, piece)) = under_way.recv() {
            // This is the path's own delay, and no waiting for something.
            thread::sleep(due.saturating_duration_since(Instant::now()));
            if to.write_all(&piece).is_err() {
                break;
            }
        }
        // An end that is gone needs no farewell.
        let _ = to.shutdown(Shutdown::Both);
    });
}

/// With windows of 256 KiB for each stream, as yamux begins with, it takes more than eighty round trips.
pub async fn a_large_file_takes_few_round_trips(runtime: Arc<dyn Runtime>) {
    // Long beside what a busy machine does to the difference of two times.
    const ROUND_TRIP: Duration = Duration::from_millis(250);
    let server = server(&runtime).await;
    let (_kept, path) = file(&bytes(20 << 20));
    let root = server.share_file(&path, Profile::default()).await.unwrap().root.cid;
    let address = server.addresses().await.unwrap().remove(0);
    let mut times = Vec::new();
    for round_trip in [Duration::ZERO, ROUND_TRIP] {
        let (client, way) = (client(&runtime).await, DelayedPath::to(&address, round_trip));
        client.connect(way.address().clone()).await.unwrap();
        let directory = tempfile::tempdir().unwrap();
        let start = Instant::now();
        let target = directory.path().join("target");
        let fetch = client.fetch_file(root, &target, FetchOptions::default()).unwrap();
        fetch.finish().await.unwrap();
        times.push(start.elapsed());
    }
    assert!(times[1] < times[0] + 50 * ROUND_TRIP, "{times:?}");
}
