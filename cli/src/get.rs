//! `bitswap get`

use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Instant;

use bitswap_core::ByteSize;
use bitswap_core::chunk::{DownloadEvent, IfExists, Resume, StallReason};
use bitswap_node::{Fetch, FetchError, FetchOptions, Fetched, NodeStats, Runtime};
use serde_json::json;

use crate::args::{self, CheckArg, IfExistsArg};
use crate::exit::Failure;
use crate::patience::{Patience, Verdict};
use crate::peers::{self, Fetcher, Late};
use crate::progress::Shown;
use crate::say::{Say, mib_per_second};
use crate::share::interrupted;
use crate::strangers;

pub(crate) async fn run(
    args: args::Get,
    runtime: &Arc<dyn Runtime>,
    say: &Say,
) -> Result<(), Failure> {
    let Fetcher { node, mut late } = peers::connected(&args.sources, runtime, say).await?;
    let target = match args.output {
        None => PathBuf::from(args.cid.to_string()),
        Some(path) if path.is_dir() => path.join(args.cid.to_string()),
        Some(path) => path,
    };
    let mut options = FetchOptions { share: false, ..FetchOptions::default() };
    options.session = peers::session(&args.sources);
    options.download.if_exists = match args.if_exists {
        IfExistsArg::Refuse => IfExists::Refuse,
        IfExistsArg::Replace => IfExists::Replace,
        IfExistsArg::Unique => IfExists::Unique,
    };
    options.download.resume = match args.check {
        CheckArg::Full => Resume::Full,
        CheckArg::Sample => Resume::Sample,
        CheckArg::Changed => Resume::Changed,
    };
    options.download.wait_for_space = args.wait_for_space.unwrap_or_default();
    let start = Instant::now();
    let fetch = node.fetch_file(args.cid, &target, options)?;
    let patience = Patience::new(args.sources.timeout);
    let watched = watched(fetch, patience, &mut late, say);
    let fetched = strangers::unless_all(&node, &args.sources, say, watched).await?;
    let seconds = start.elapsed().as_secs_f64();
    let stats = node.stats().await?;
    node.shutdown().await;
    report(&fetched, &stats, seconds, say);
    Ok(())
}

/// Shows the fetch until it ends or is interrupted.
async fn watched(
    mut fetch: Fetch,
    mut patience: Patience,
    late: &mut Late,
    say: &Say,
) -> Result<Fetched, Failure> {
    let mut shown = Shown::new(say);
    let mut interrupted = pin!(interrupted());
    let mut ticks = patience.ticks();
    let given_up = loop {
        tokio::select! {
            event = fetch.next_event() => match event {
                Some(event) => show(&mut shown, &event),
                None => {
                    drop(shown);
                    return Ok(fetch.finish().await?);
                }
            },
            _ = ticks.tick() => {
                // One that has ended says so by its last event.
                let Some(waiting) = fetch.diagnose().await else { continue };
                match patience.look(&waiting, Instant::now()) {
                    Verdict::Wait => {}
                    Verdict::Say => shown.waiting(&waiting),
                    Verdict::GiveUp => {
                        break Failure::NothingCame { idle: patience.idle(), waiting };
                    }
                }
            }
            error = late.failure() => shown.note(&format!("going on without:\n  {error}")),
            () = &mut interrupted => break Failure::Interrupted,
        }
    };
    // Its line goes before anything else is printed.
    drop(shown);
    fetch.stop().await;
    match fetch.finish().await {
        Err(FetchError::Interrupted) => Err(given_up),
        ended => Ok(ended?),
    }
}

fn show(shown: &mut Shown<'_>, event: &DownloadEvent) {
    match event {
        DownloadEvent::Started { total, have } => shown.started(*total, *have),
        DownloadEvent::Progress(progress) => shown.progress(progress),
        DownloadEvent::DiskFull { needed, is_quota: true, .. } => shown.note(&format!(
            "the disk quota is used up: {} more are needed; it goes on once there is space",
            ByteSize(*needed),
        )),
        DownloadEvent::DiskFull { needed, available, is_quota: false } => shown.note(&format!(
            "the disk is full: {} more are needed, {} are free; it goes on once there is space",
            ByteSize(*needed),
            ByteSize(*available),
        )),
        DownloadEvent::Stalled(StallReason::DiskSlow) => {
            shown.note("waiting: the disk does not keep up");
        }
        DownloadEvent::LockFile => shown.note(
            "the file system has no locks: a lock file keeps other processes away, and stays if this one is killed",
        ),
        DownloadEvent::SpaceAvailable => shown.note("there is space again"),
        _ => {}
    }
}

fn report(fetched: &Fetched, stats: &NodeStats, seconds: f64, say: &Say) {
    let Fetched { path, finished, from_peers, .. } = fetched;
    let received: u64 = from_peers.values().sum();
    let speed = mib_per_second(received, seconds);
    let engine = stats.bitswap.engine.fetched;
    let path = path.display();
    let text = if finished.already {
        format!("{path}: was there already, {}", ByteSize(finished.size))
    } else {
        let proof = match finished.unchecked {
            0 => "verified".to_owned(),
            bytes => format!("fetched ({} of an earlier run not checked again)", ByteSize(bytes)),
        };
        format!("{path}: {}, {proof}, {speed:.1} MiB/s", ByteSize(finished.size))
    };
    if finished.leftover {
        say.note("the temporary data beside it could not be removed; remove it by hand");
    }
    let object = json!({
        "event": "fetched", "path": path.to_string(), "size": finished.size,
        "verified": finished.unchecked == 0, "unchecked_bytes": finished.unchecked,
        "already": finished.already, "bytes_from_peers": received, "seconds": seconds,
        "mib_per_second": speed,
        "blocks": engine.blocks, "duplicate_blocks": engine.duplicate_blocks,
        "socket_bytes_received": stats.socket_received, "socket_bytes_sent": stats.socket_sent,
    });
    say.result(text, &object);
}
