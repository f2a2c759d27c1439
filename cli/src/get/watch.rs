//! Watches a fetch until it ends: shows how far it is, says why nothing comes, and gives up when that takes too long.

use std::time::{Duration, Instant};

use bitswap_core::ByteSize;
use bitswap_core::chunk::{DownloadEvent, TreeEvent};
use bitswap_node::{Fetch, FetchError, Node};
use cid::Cid;
use serde_json::json;
use tokio::time::interval;

use crate::args;
use crate::failure::Failure;
use crate::interrupt::interrupted;
use crate::patience::{Patience, Verdict};
use crate::peers::Late;
use crate::plain::Plain;
use crate::progress::Shown;
use crate::say::Say;
use crate::stall::{Change, Stall};

/// How often it looks who has what is fetched.
const LOOK: Duration = Duration::from_secs(1);

/// How the events of a fetch are shown.
pub(super) struct View<E> {
    show: fn(&mut Shown<'_>, &E),
    /// What one says of a stall.
    change: fn(&E) -> Option<Change>,
}

pub(super) const OF_FILE: View<DownloadEvent> = View {
    show,
    change: |event| match event {
        DownloadEvent::Stalled(reason) => Some(Change::Stalled(*reason)),
        DownloadEvent::StallEnded => Some(Change::Ended),
        _ => None,
    },
};

pub(super) const OF_TREE: View<TreeEvent> = View {
    show: show_tree,
    change: |event| match event {
        TreeEvent::Stalled(reason) => Some(Change::Stalled(*reason)),
        TreeEvent::StallEnded => Some(Change::Ended),
        _ => None,
    },
};

/// Tells whether something comes, when that is news.
fn tell(change: Option<Change>, shown: &mut Shown<'_>) {
    match change {
        Some(Change::Stalled(reason)) => shown.stalled(reason),
        Some(Change::Ended) => shown.stall_ended(),
        None => {}
    }
}

/// Shows the fetch until it ends or is interrupted.
pub(super) async fn watched<E, T>(
    (node, root): (&Node, Cid),
    mut fetch: Fetch<E, T>,
    view: View<E>,
    args: &args::Get,
    late: &mut Late,
    say: &Say,
) -> Result<T, Failure> {
    let mut patience = Patience::new(args.sources.timeout);
    let mut stall = Stall::default();
    let mut shown = Shown::new(say);
    let mut ticks = patience.ticks();
    let mut looks = interval(LOOK);
    let given_up = loop {
        tokio::select! {
            event = fetch.next_event() => match event {
                Some(event) => {
                    (view.show)(&mut shown, &event);
                    if let Some(change) = (view.change)(&event) {
                        stall.heard(change);
                        tell(stall.look(patience.arrivals(), Duration::ZERO), &mut shown);
                    }
                }
                None => {
                    // A node that has stopped says so by the fetch.
                    if let Ok(seeders) = node.seeders(root).await {
                        shown.seeders(&seeders);
                        shown.delivered();
                    }
                    let ended = fetch.finish().await;
                    if ended.is_ok() {
                        tell(stall.ended(), &mut shown);
                    }
                    drop(shown);
                    return Ok(ended?);
                }
            },
            _ = ticks.tick() => {
                // One that has ended says so by its last event.
                let Some(waiting) = fetch.diagnose().await else { continue };
                let passed = patience.pass(Instant::now());
                let verdict = patience.look(&waiting, passed);
                tell(stall.look(patience.arrivals(), passed), &mut shown);
                match verdict {
                    Verdict::Wait => {}
                    Verdict::Say => shown.waiting(&waiting),
                    Verdict::GiveUp => {
                        break Failure::NothingCame { idle: patience.idle(), waiting: Box::new(waiting) };
                    }
                }
            }
            _ = looks.tick() => shown.seeders(&node.seeders(root).await?),
            error = late.failure() => shown.note(&format!("going on without:\n  {error}")),
            () = interrupted() => break Failure::Interrupted,
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

fn show_tree(shown: &mut Shown<'_>, event: &TreeEvent) {
    match event {
        TreeEvent::Progress(progress) => shown.tree(progress),
        TreeEvent::File { path, size, already, .. } => {
            shown.file(&path.to_string(), *size, *already);
        }
        TreeEvent::LinkSkipped { path, target } => {
            let (path, target) = (path.to_string(), target.as_str());
            let text = format!("left out: {} -> {}", Plain(&path), Plain(target));
            shown.told(&text, &json!({"event": "link_skipped", "path": path, "target": target}));
        }
        TreeEvent::DiskFull => shown.note("the disk is full: it goes on once there is space"),
        TreeEvent::SpaceAvailable => shown.note("there is space again"),
        TreeEvent::LockFile => shown.note(LOCK_FILE),
        _ => {}
    }
}

const LOCK_FILE: &str = "the file system has no locks: a lock file keeps other processes away, and stays if this one is killed";

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
        DownloadEvent::LockFile => shown.note(LOCK_FILE),
        DownloadEvent::SpaceAvailable => shown.note("there is space again"),
        _ => {}
    }
}
