//! `bitswap demo`: two nodes that share nothing but a TCP connection.

mod raw;
mod sample;

use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bitswap_core::ByteSize;
use bitswap_core::chunk::{DownloadEvent, Profile, Root, SyncPolicy};
use bitswap_node::{Fetch, FetchOptions, Hashed, Node, NodeStats, Runtime};
use cid::Cid;
use libp2p::Multiaddr;
use serde_json::json;

use crate::args;
use crate::bare_stream::{PATIENCE, within};
use crate::failure::Failure;
use crate::figures::{listed, median};
use crate::say::{Say, mib_per_second};
use raw::Reading;
use sample::Sample;

const MIB: u64 = 1 << 20;

/// What the demo measured.
struct Measured {
    bytes: u64,
    rounds: Vec<Round>,
    /// The bare streams, and those with a hash beside: one before each round and one after the last.
    raw: Vec<Duration>,
    hashed: Vec<Duration>,
    /// The file written to disk and nothing else: one before each round.
    written: Vec<Duration>,
}

/// What one transfer took.
struct Round {
    cid: Cid,
    shared: Duration,
    fetched: Duration,
    /// Of the node that fetched.
    stats: NodeStats,
}

pub(crate) async fn run(
    args: args::Demo,
    runtime: &Arc<dyn Runtime>,
    say: &Say,
) -> Result<(), Failure> {
    let failed = |source| Failure::Demo { source };
    let parent = args.dir.unwrap_or_else(std::env::temp_dir);
    let (a, b) =
        (sample::directory(&parent).map_err(failed)?, sample::directory(&parent).map_err(failed)?);
    let bytes = args.size * MIB;
    sample::check_space(&parent, 2 * bytes)?;
    let source = a.path().join("sample");
    say.note(format_args!("making a file of {} that does not compress", ByteSize(bytes)));
    let sample = Sample::write(&source, bytes, args.seed).await.map_err(failed)?;

    let bare = |reading| raw::transfer(runtime, &source, &sample, reading);
    let (mut raw, mut hashed) =
        (vec![bare(Reading::Plain).await?], vec![bare(Reading::HashedBeside).await?]);
    let (mut rounds, mut written) = (Vec::new(), Vec::new());
    for round in 1..=args.rounds {
        say.note(format_args!("round {round} of {}", args.rounds));
        written.push(sample.write_time(&b.path().join("written")).await.map_err(failed)?);
        let target = b.path().join("fetched");
        rounds.push(transfer(runtime, &source, &target, args.cut.profile()).await?);
        if !sample.is(&target).await.map_err(failed)? {
            return Err(Failure::DemoDiffers);
        }
        std::fs::remove_file(&target).map_err(failed)?;
        raw.push(bare(Reading::Plain).await?);
        hashed.push(bare(Reading::HashedBeside).await?);
    }
    Measured { bytes, rounds, raw, hashed, written }.report(say);
    Ok(())
}

/// Shares the file from one node and fetches it with another.
async fn transfer(
    runtime: &Arc<dyn Runtime>,
    source: &Path,
    target: &Path,
    profile: Profile,
) -> Result<Round, Failure> {
    let sharer = Node::builder(runtime.clone()).with_listen_address(loopback()).start();
    let sharer = within("node A does not listen", sharer).await??;
    let fetcher = Node::builder(runtime.clone()).start();
    let fetcher = within("node B does not start", fetcher).await??;
    let start = Instant::now();
    let root = import(&sharer, source, profile).await?;
    let shared = start.elapsed();

    for address in within("node A names no address", sharer.addresses()).await?? {
        let connected =
            within("node B does not connect to node A", fetcher.connect(address)).await?;
        connected.map_err(|error| Failure::NoConnection { tried: format!("\n  {error}") })?;
    }
    let mut options = FetchOptions { share: false, ..FetchOptions::default() };
    // The bare stream does not wait for the disk either.
    options.download.sync = SyncPolicy::Never;
    let start = Instant::now();
    fetched(fetcher.fetch_file(root.cid, target, options)?).await?;
    let fetched = start.elapsed();
    let stats = within("node B tells no counters", fetcher.stats()).await??;
    within("node B does not stop", fetcher.shutdown()).await?;
    within("node A does not stop", sharer.shutdown()).await?;
    Ok(Round { cid: root.cid, shared, fetched, stats })
}

/// Shares the file, for as long as hashing gets on.
async fn import(sharer: &Node, source: &Path, profile: Profile) -> Result<Root, Failure> {
    let hashed = AtomicU64::new(0);
    let progress = |progress: Hashed| hashed.store(progress.done, Ordering::Relaxed);
    let mut sharing = pin!(sharer.share_file_with(source, profile, progress));
    let mut before = 0;
    loop {
        let shared = within("node A hashes nothing more", &mut sharing).await;
        let now = hashed.load(Ordering::Relaxed);
        match shared {
            Ok(shared) => return Ok(shared?.root),
            Err(_) if now > before => before = now,
            Err(stuck) => return Err(stuck),
        }
    }
}

/// Waits for the file, for as long as something of it comes.
async fn fetched(mut fetch: Fetch) -> Result<(), Failure> {
    const OTHERWISE: &str = "nothing more of the file comes to node B";
    let (mut done, mut since) = (0, Instant::now());
    loop {
        let left = PATIENCE.saturating_sub(since.elapsed());
        match tokio::time::timeout(left, fetch.next_event()).await {
            Ok(Some(DownloadEvent::Progress(progress))) if progress.done > done => {
                (done, since) = (progress.done, Instant::now());
            }
            Ok(Some(_)) => {}
            Ok(None) => break,
            Err(_) => return Err(Failure::Stuck { otherwise: OTHERWISE, limit: PATIENCE }),
        }
    }
    within("the finished file does not get its name", fetch.finish()).await??;
    Ok(())
}

/// Any free port.
pub(crate) fn loopback() -> Multiaddr {
    Multiaddr::empty()
        .with(std::net::Ipv4Addr::LOCALHOST.into())
        .with(libp2p::multiaddr::Protocol::Tcp(0))
}

impl Measured {
    fn report(&self, say: &Say) {
        let speed = |time: Duration| mib_per_second(self.bytes, time.as_secs_f64());
        let raw: Vec<f64> = self.raw.iter().map(|time| speed(*time)).collect();
        let hashed: Vec<f64> = self.hashed.iter().map(|time| speed(*time)).collect();
        let fetched: Vec<f64> = self.rounds.iter().map(|round| speed(round.fetched)).collect();
        let written: Vec<f64> = self.written.iter().map(|time| speed(*time)).collect();
        let shared: Vec<f64> = self.rounds.iter().map(|round| speed(round.shared)).collect();
        let (stream, speed, import) = (median(&raw), median(&fetched), median(&shared));
        let (disk, checked) = (median(&written), median(&hashed));
        let Some(Round { cid, stats, .. }) = self.rounds.last() else { return };
        let (ratio, of_checked) = (speed / stream, speed / checked);
        let socket = stats.socket_received;
        let engine = stats.bitswap.engine.fetched;
        let overhead = 100.0 * (socket as f64 / self.bytes as f64 - 1.0);
        let text = format!(
            "{cid}\n\
             verified       {size} on node B's disk hash to the same SHA-256 as on node A's\n\
             bitswap        {speed:.1} MiB/s over loopback TCP, every block checked ({fetched})\n\
             bare stream    {stream:.1} MiB/s, same connection stack, same bytes, nothing checked ({raw})\n\
             … hashed       {checked:.1} MiB/s, one SHA-256 on a thread beside it ({hashed})\n\
             disk           {disk:.1} MiB/s to write the same bytes there, and nothing else \
             ({written})\n\
             ratio          {of_checked:.2} of the hashed stream, {ratio:.2} of the bare one\n\
             on the socket  {socket} bytes received, {overhead:.2} % more than the file\n\
             blocks         {blocks}, {duplicates} came twice\n\
             import         {import:.1} MiB/s to cut and hash the file on node A",
            size = ByteSize(self.bytes),
            fetched = listed(&fetched),
            raw = listed(&raw),
            hashed = listed(&hashed),
            written = listed(&written),
            blocks = engine.blocks,
            duplicates = engine.duplicate_blocks,
        );
        let object = json!({
            "event": "demo", "cid": cid.to_string(), "size": self.bytes, "verified": true,
            "mib_per_second": speed, "raw_mib_per_second": stream, "ratio": ratio,
            "hashed_mib_per_second": checked, "ratio_to_hashed": of_checked,
            "runs_mib_per_second": fetched, "raw_runs_mib_per_second": raw,
            "hashed_runs_mib_per_second": hashed,
            "disk_mib_per_second": disk, "disk_runs_mib_per_second": written,
            "import_mib_per_second": import,
            "socket_bytes_received": socket, "socket_bytes_sent": stats.socket_sent,
            "blocks": engine.blocks, "duplicate_blocks": engine.duplicate_blocks,
        });
        say.result(text, &object);
    }
}
