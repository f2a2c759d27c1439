//! `bitswap get`

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bitswap_core::ByteSize;
use bitswap_core::chunk::{
    DAG_PB, DownloadEvent, ExpectedDigests, IfExists, NodeKind, RAW, Resume, TreeEvent,
    TreeFinished, UnixfsNode,
};
use bitswap_node::{
    Fetch, FetchError, FetchOptions, FetchTreeOptions, Fetched, FetchedTree, Node, NodeClosed,
    NodeStats, Resolved, Runtime, Seeder, native_names,
};
use cid::Cid;
use serde_json::{Value, json};
use tokio::time::interval;

use crate::args::{self, CheckArg, IfExistsArg};
use crate::cat;
use crate::cid_text::{self, CidPath, What};
use crate::failure::Failure;
use crate::input;
use crate::interrupt::{interrupted, unless_interrupted};
use crate::patience::{Patience, Verdict};
use crate::peers::{self, Fetcher, Late};
use crate::place;
use crate::plain::Plain;
use crate::progress::Shown;
use crate::resolve;
use crate::say::{Say, mib_per_second};
use crate::stall::{Change, Stall};
use crate::strangers;

/// How often it looks who has what is fetched.
const LOOK: Duration = Duration::from_secs(1);

pub(crate) async fn run(
    mut args: args::Get,
    runtime: &Arc<dyn Runtime>,
    say: &Say,
) -> Result<(), Failure> {
    let mut all = std::mem::take(&mut args.what);
    if let Some(path) = &args.input {
        all.extend(unless_interrupted(list(path.clone(), say)).await?);
    }
    // What went to standard output cannot be taken back, and no two files have one digest.
    let has_digest = args.sha256.is_some() || args.merkle_root.is_some();
    if has_digest && (args.is_to_output() || all.len() > 1) {
        return Err(Failure::DigestOfOneFile);
    }
    if args.is_to_output() {
        let Ok([what]) = <[What; 1]>::try_from(all) else {
            return Err(Failure::SeveralToOutput);
        };
        let args::Get { range, raw, sources, .. } = args;
        let printing = cat::run(args::Cat { what, range, raw, sources }, runtime, say);
        return unless_interrupted(printing).await;
    }
    if let Some(path) = args.output.as_ref().filter(|path| all.len() > 1 && !path.is_dir()) {
        return Err(Failure::NoFolder { path: path.clone() });
    }
    if let Some(path) = &args.output {
        place::must_be_in_a_folder(path)?;
    }
    args.sources.ask_where(all.iter().filter_map(What::cid));
    let mut fetcher = unless_interrupted(peers::connected(&args.sources, runtime, say)).await?;
    let mut failures = Vec::new();
    for what in &all {
        match get(&mut fetcher, what, all.len() > 1, &args, say).await {
            Ok(()) => {}
            Err(failure) if all.len() == 1 || failure.ends_all() => return Err(failure),
            // The others may be there.
            Err(failure) => {
                say.failure(&failure);
                failures.push(failure.code());
            }
        }
    }
    fetcher.node.shutdown().await;
    match failures[..] {
        [] => Ok(()),
        [code, ..] => Err(Failure::Several { failed: failures.len(), of: all.len(), code }),
    }
}

/// The largest list of what is to be got: more CIDs than anybody gets in one run.
const LIST_MAX: u64 = 64 << 20;

/// What a file names, a line for each.
async fn list(path: PathBuf, say: &Say) -> Result<Vec<What>, Failure> {
    let failed = |source: io::Error| Failure::Input { path: path.clone(), source };
    let text = input::awaited(path.clone(), say, |path| {
        input::read_text(path, input::Kind::Any, LIST_MAX)
    });
    let text = text.await.and_then(|read| read).map_err(failed)?;
    listed(&path, &text)
}

fn listed(path: &Path, text: &str) -> Result<Vec<What>, Failure> {
    let lines = (1..).zip(text.lines().map(str::trim));
    let named = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    let parse = |(line, text)| {
        let failed = |reason| Failure::InputLine { path: path.to_owned(), line, reason };
        cid_text::parse_what(text).map_err(failed)
    };
    named.map(parse).collect()
}

/// Gets one file or folder.
async fn get(
    Fetcher { node, late, .. }: &mut Fetcher,
    what: &What,
    several: bool,
    args: &args::Get,
    say: &Say,
) -> Result<(), Failure> {
    let before = node.stats().await?;
    let following = async {
        let what = resolve::known(node, late, &args.sources, what, say).await?;
        let found = resolve::resolved(node, late, &args.sources, &what, say).await?;
        Ok((what, found))
    };
    let (what, found) = &unless_interrupted(following).await?;
    let options = options(args);
    let if_exists = options.download.if_exists;
    let start = Instant::now();
    if resolve::is_directory(found) && !args.raw {
        if args.range.is_some() || args.sha256.is_some() || args.merkle_root.is_some() {
            return Err(Failure::OnlyOfFile { what: what.to_string() });
        }
        let target = target(what, args, true, several);
        let mut options = FetchTreeOptions::from(options);
        (options.tree.links, options.tree.metadata) = (!args.no_symlinks, !args.no_metadata);
        if args.native_names {
            options.tree.rule = native_names;
        }
        let fetch = node.fetch_tree(found.cid, &target, options)?;
        let watched = watched((node, found.cid), fetch, OF_TREE, args, late, say);
        let fetched = strangers::unless_all(node, &args.sources, say, watched).await;
        let fetched = fetched.map_err(|failure| place::named(failure, &target, if_exists))?;
        let traffic = Traffic::since(&before, node, found.cid, start).await?;
        report_tree(&fetched, &traffic, say);
        return Ok(());
    }
    let cid = file(node, found, what, args).await?;
    let target = target(what, args, false, several);
    let fetch = node.fetch_file(cid, &target, options)?;
    let watched = watched((node, cid), fetch, OF_FILE, args, late, say);
    let fetched = strangers::unless_all(node, &args.sources, say, watched).await;
    let fetched = fetched.map_err(|failure| place::named(failure, &target, if_exists))?;
    let traffic = Traffic::since(&before, node, cid, start).await?;
    report(&fetched, &traffic, say);
    Ok(())
}

/// Of fewer bytes the round trips are what takes the time, and within less time everything does.
const SPEED_OF: u64 = 64 << 10;
const SPEED_WITHIN: f64 = 0.1;

/// What one file or folder took.
struct Traffic {
    bytes: u64,
    blocks: u64,
    duplicates: u64,
    socket_received: u64,
    socket_sent: u64,
    seconds: f64,
    /// Those that delivered any of it.
    peers: Vec<Seeder>,
}

impl Traffic {
    async fn since(
        before: &NodeStats,
        node: &Node,
        root: Cid,
        start: Instant,
    ) -> Result<Self, NodeClosed> {
        let (now, mut peers) = (node.stats().await?, node.seeders(root).await?);
        peers.retain(|peer| peer.blocks > 0);
        let (was, is) = (before.bitswap.engine.fetched, now.bitswap.engine.fetched);
        Ok(Self {
            bytes: is.bytes - was.bytes,
            blocks: is.blocks - was.blocks,
            duplicates: is.duplicate_blocks - was.duplicate_blocks,
            socket_received: now.socket_received - before.socket_received,
            socket_sent: now.socket_sent - before.socket_sent,
            seconds: start.elapsed().as_secs_f64(),
            peers,
        })
    }

    /// How fast if that says anything, in what time, and from how many peers.
    fn summary(&self) -> String {
        let seconds = self.seconds;
        let from = match self.peers.len() {
            0 => String::new(),
            1 => " from one peer".to_owned(),
            peers => format!(" from {peers} peers"),
        };
        let speed = match self.bytes >= SPEED_OF && self.seconds >= SPEED_WITHIN {
            true => format!("{:.1} MiB/s, ", self.speed()),
            false => String::new(),
        };
        format!("{speed}{seconds:.1} s{from}")
    }

    /// What each peer delivered, for programs.
    fn peers(&self) -> Vec<Value> {
        let object = |peer: &Seeder| {
            json!({
                "peer": peer.peer.to_string(), "blocks": peer.blocks, "bytes": peer.bytes,
                "latency_ms": peer.latency.as_secs_f64() * 1e3,
            })
        };
        self.peers.iter().map(object).collect()
    }

    fn speed(&self) -> f64 {
        mib_per_second(self.bytes, self.seconds)
    }
}

/// The root of the file to get: of the block itself, if that is what is wanted.
async fn file(
    node: &Node,
    found: &Resolved,
    what: &CidPath,
    args: &args::Get,
) -> Result<Cid, Failure> {
    let cid = found.cid;
    if args.raw {
        // The same block, whose bytes are taken for what they are.
        return Ok(Cid::new_v1(RAW, *cid.hash()));
    }
    let what = what.to_string();
    if !matches!(cid.codec(), DAG_PB | RAW) {
        return Err(Failure::NotAFile { what, codec: cid.codec() });
    }
    if found.kind == NodeKind::Symlink
        && let Ok(block) = node.get(cid).await
        && let Ok(UnixfsNode::Symlink(target, _)) = UnixfsNode::decode(DAG_PB, block.data(), 0)
    {
        return Err(Failure::Symlink { what, target });
    }
    Ok(cid)
}

/// Where it goes: under its name, as far as that is known. A file goes into a folder that is there; a folder
/// becomes it.
fn target(what: &CidPath, args: &args::Get, is_directory: bool, several: bool) -> PathBuf {
    let cid = what.cid.to_string();
    let name = what.name().unwrap_or(&cid);
    match &args.output {
        None => PathBuf::from(name),
        Some(path) => {
            let into = path.as_os_str().to_string_lossy().ends_with(std::path::is_separator);
            let is_there = path.is_dir() && (into || !is_directory || several);
            if is_there { path.join(name) } else { path.clone() }
        }
    }
}

fn options(args: &args::Get) -> FetchOptions {
    let mut options = FetchOptions { share: false, sparse: args.sparse, ..FetchOptions::default() };
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
    if let Some(range) = &args.range {
        options.download.wanted = range.clone();
    }
    options.download.order = args.order.order();
    let (sha256, merkle_root) = (args.sha256, args.merkle_root);
    options.download.expected = ExpectedDigests { sha256, merkle_root };
    options.download.wait_for_space = args.wait_for_space.unwrap_or_default();
    options
}

/// How the events of a fetch are shown.
struct View<E> {
    show: fn(&mut Shown<'_>, &E),
    /// What one says of a stall.
    change: fn(&E) -> Option<Change>,
}

const OF_FILE: View<DownloadEvent> = View {
    show,
    change: |event| match event {
        DownloadEvent::Stalled(reason) => Some(Change::Stalled(*reason)),
        DownloadEvent::StallEnded => Some(Change::Ended),
        _ => None,
    },
};

const OF_TREE: View<TreeEvent> = View {
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
async fn watched<E, T>(
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

fn report(fetched: &Fetched, traffic: &Traffic, say: &Say) {
    let Fetched { path, finished, .. } = fetched;
    let speed = traffic.speed();
    let path = path.display().to_string();
    let shown = Plain(&path);
    let text = if finished.already {
        format!("{shown}: was there already, {}", ByteSize(finished.size))
    } else {
        let proof = match finished.unchecked {
            0 => "verified".to_owned(),
            bytes => format!("fetched ({} of an earlier run not checked again)", ByteSize(bytes)),
        };
        format!("{shown}: {}, {proof}, {}", ByteSize(finished.size), traffic.summary())
    };
    if finished.leftover {
        say.note("the temporary data beside it could not be removed; remove it by hand");
    }
    let object = json!({
        "event": "fetched", "path": path, "size": finished.size,
        "verified": finished.unchecked == 0, "unchecked_bytes": finished.unchecked,
        "already": finished.already, "durable": finished.durable, "rename_retries": finished.retries,
        "bytes_from_peers": traffic.bytes, "seconds": traffic.seconds,
        "mib_per_second": speed,
        "blocks": traffic.blocks, "duplicate_blocks": traffic.duplicates,
        "socket_bytes_received": traffic.socket_received, "socket_bytes_sent": traffic.socket_sent,
        "peers": traffic.peers(),
    });
    say.result(text, &object);
}

fn report_tree(fetched: &FetchedTree, traffic: &Traffic, say: &Say) {
    let FetchedTree { path, finished, .. } = fetched;
    let speed = traffic.speed();
    let path = path.display().to_string();
    let TreeFinished { size, files, already, directories, links, skipped, unchecked, .. } =
        *finished;
    let proof = match unchecked {
        0 => "verified".to_owned(),
        bytes => format!("fetched ({} of an earlier run not checked again)", ByteSize(bytes)),
    };
    let mut text = format!(
        "{}: {files} files, {}, {proof}, {}",
        Plain(&path),
        ByteSize(size),
        traffic.summary()
    );
    if already > 0 {
        text.push_str(&format!("; {already} of the files were there already"));
    }
    if skipped > 0 {
        text.push_str(&format!("; {skipped} symbolic links left out"));
    }
    let object = json!({
        "event": "fetched", "path": path, "size": size, "files": files,
        "files_already": already, "directories": directories, "links": links,
        "links_skipped": skipped, "verified": unchecked == 0, "unchecked_bytes": unchecked,
        "bytes_from_peers": traffic.bytes, "seconds": traffic.seconds, "mib_per_second": speed,
        "blocks": traffic.blocks, "duplicate_blocks": traffic.duplicates,
        "socket_bytes_received": traffic.socket_received, "socket_bytes_sent": traffic.socket_sent,
        "peers": traffic.peers(),
    });
    say.result(text, &object);
}
