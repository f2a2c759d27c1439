//! `bitswap get`

mod traffic;
mod watch;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use bitswap_core::chunk::{DAG_PB, ExpectedDigests, IfExists, NodeKind, RAW, Resume, UnixfsNode};
use bitswap_node::{FetchOptions, FetchTreeOptions, Node, Resolved, Runtime, native_names};
use cid::Cid;

use crate::args::{self, CheckArg, IfExistsArg};
use crate::cat;
use crate::cid_text::{self, CidPath, What};
use crate::failure::Failure;
use crate::input;
use crate::interrupt::unless_interrupted;
use crate::peers::{self, Fetcher};
use crate::place;
use crate::resolve;
use crate::say::Say;
use crate::strangers;
use traffic::{Traffic, report, report_tree};
use watch::{OF_FILE, OF_TREE, watched};

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
