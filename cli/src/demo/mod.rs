//! `bitswap demo`: two nodes that share nothing but a TCP connection.

mod raw;
mod sample;

use std::path::Path;
use std::time::{Duration, Instant};

use bitswap_core::chunk::SyncPolicy;
use bitswap_runtime::{FetchOptions, Node, NodeStats, Runtime};
use cid::Cid;
use libp2p::Multiaddr;
use serde_json::json;

use crate::args;
use crate::exit::Failure;
use crate::say::{Say, mib_per_second, size};
use sample::Sample;

const MIB: u64 = 1 << 20;

/// What the demo measured.
struct Measured {
    cid: Cid,
    bytes: u64,
    shared: Duration,
    fetched: Duration,
    /// Of the node that fetched.
    stats: NodeStats,
    /// The bare streams, before and after.
    raw: [Duration; 2],
}

pub(crate) async fn run(
    args: args::Demo,
    runtime: &impl Runtime,
    say: &Say,
) -> Result<(), Failure> {
    let failed = |source| Failure::Demo { source };
    let parent = args.dir.unwrap_or_else(std::env::temp_dir);
    let (a, b) =
        (sample::directory(&parent).map_err(failed)?, sample::directory(&parent).map_err(failed)?);
    sample::check_space(&parent, 2 * args.size)?;
    let bytes = args.size * MIB;
    let source = a.path().join("sample");
    say.note(format_args!("making a file of {} that does not compress", size(bytes)));
    let sample = Sample::write(&source, bytes, args.seed).await.map_err(failed)?;

    let before = raw::transfer(runtime, &source, &sample).await?;
    let target = b.path().join("fetched");
    let (cid, shared, fetched, stats) =
        transfer(runtime, &source, &target, args.cut.profile(), say).await?;
    if !sample.is(&target).await.map_err(failed)? {
        return Err(Failure::DemoDiffers);
    }
    let after = raw::transfer(runtime, &source, &sample).await?;
    Measured { cid, bytes, shared, fetched, stats, raw: [before, after] }.report(say);
    Ok(())
}

/// Shares the file from one node and fetches it with another.
async fn transfer(
    runtime: &impl Runtime,
    source: &Path,
    target: &Path,
    profile: bitswap_core::chunk::Profile,
    say: &Say,
) -> Result<(Cid, Duration, Duration, NodeStats), Failure> {
    let sharer = Node::builder(runtime.clone()).listen(loopback()).start().await?;
    let fetcher = Node::builder(runtime.clone()).start().await?;
    let start = Instant::now();
    let root = sharer.share_file(source, profile).await?.root;
    let shared = start.elapsed();
    say.note(format_args!(
        "node A shares {}, {} blocks and more above them",
        root.cid, root.leaves
    ));

    for address in sharer.addresses().await? {
        let connected = fetcher.connect(address).await;
        connected.map_err(|error| Failure::NoConnection { tried: format!("\n  {error}") })?;
    }
    let mut options = FetchOptions { share: false, ..FetchOptions::default() };
    // The bare stream does not wait for the disk either.
    options.download.sync = SyncPolicy::Never;
    let start = Instant::now();
    fetcher.fetch_file(root.cid, target, options)?.finish().await?;
    let fetched = start.elapsed();
    let stats = fetcher.stats().await?;
    fetcher.shutdown().await;
    sharer.shutdown().await;
    Ok((root.cid, shared, fetched, stats))
}

/// Any free port.
fn loopback() -> Multiaddr {
    Multiaddr::empty()
        .with(std::net::Ipv4Addr::LOCALHOST.into())
        .with(libp2p::multiaddr::Protocol::Tcp(0))
}

impl Measured {
    fn report(&self, say: &Say) {
        let speed = |time: Duration| mib_per_second(self.bytes, time.as_secs_f64());
        let raw = self.raw.map(speed);
        let mean = f64::midpoint(raw[0], raw[1]);
        let (shared, fetched) = (speed(self.shared), speed(self.fetched));
        let ratio = fetched / mean;
        let socket = self.stats.socket_received;
        let engine = self.stats.bitswap.engine.fetched;
        let overhead = 100.0 * (socket as f64 / self.bytes as f64 - 1.0);
        let text = format!(
            "{cid}\n\
             verified       {size} on node B's disk hash to the same SHA-256 as on node A's\n\
             bitswap        {fetched:.1} MiB/s over loopback TCP, every block checked\n\
             bare stream    {mean:.1} MiB/s, same connection stack, same bytes, one SHA-256 \
             ({first:.1} before, {second:.1} after)\n\
             ratio          {ratio:.2}\n\
             on the socket  {socket} bytes received, {overhead:.2} % more than the file\n\
             blocks         {blocks}, {duplicates} came twice\n\
             import         {shared:.1} MiB/s to cut and hash the file on node A",
            cid = self.cid,
            size = size(self.bytes),
            first = raw[0],
            second = raw[1],
            blocks = engine.blocks,
            duplicates = engine.duplicate_blocks,
        );
        let object = json!({
            "event": "demo", "cid": self.cid.to_string(), "size": self.bytes, "verified": true,
            "mib_per_second": fetched, "raw_mib_per_second": mean, "ratio": ratio,
            "raw_runs_mib_per_second": raw, "import_mib_per_second": shared,
            "socket_bytes_received": socket, "socket_bytes_sent": self.stats.socket_sent,
            "blocks": engine.blocks, "duplicate_blocks": engine.duplicate_blocks,
        });
        say.result(text, &object);
    }
}
