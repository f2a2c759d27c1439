//! Work that waits and shows nothing: following a name or a path, listing a folder.

use std::cell::RefCell;
use std::pin::pin;
use std::time::{Duration, Instant};

use bitswap_node::bitswap_core::chunk::NodeKind;
use bitswap_node::{Node, Resolved, ResolvedName, Root};

use crate::args::Sources;
use crate::cid_text::{CidPath, What};
use crate::failure::Failure;
use crate::patience::{Patience, Pause, Verdict};
use crate::peers::{self, Late};
use crate::say::Say;
use crate::strangers;

/// Does some work, says meanwhile what it waits for, and gives up when the user does.
pub(crate) async fn attend<T>(
    node: &Node,
    late: &mut Late,
    sources: &Sources,
    say: &Say,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let attended = async {
        let mut patience = Patience::new(sources.timeout);
        let mut ticks = patience.ticks();
        let mut work = pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return done,
                _ = ticks.tick() => {
                    let waiting = node.diagnose().await?;
                    let passed = patience.pass(Instant::now());
                    match patience.look(&waiting, passed) {
                        Verdict::Wait => {}
                        Verdict::Say => say.waiting(&waiting),
                        Verdict::GiveUp => {
                            return Err(Failure::NothingCame { idle: patience.idle(), waiting: Box::new(waiting) });
                        }
                    }
                }
                error = late.failure() => say.note(format_args!("going on without:\n  {error}")),
            }
        }
    };
    strangers::unless_all(node, sources, say, attended).await
}

/// Does some work of which no block is asked for, and says every now and then what it waits for. [`attend`] is silent then:
/// it looks at blocks.
pub(crate) async fn telling<T>(
    node: &Node,
    say: &Say,
    what: impl Fn() -> String,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let mut work = pin!(work);
    let mut pause = Pause::FIRST;
    loop {
        match tokio::time::timeout(pause.pass(), &mut work).await {
            Ok(done) => return done,
            Err(_) => say.waiting_for(&what(), &node.diagnose().await?),
        }
    }
}

/// What a name stands for, at this moment; a CID is one already. What a list denies is neither asked for nor got.
pub(crate) async fn known(
    node: &Node,
    late: &mut Late,
    sources: &Sources,
    what: &What,
    say: &Say,
) -> Result<CidPath, Failure> {
    let known = match what {
        What::Cid(cid) => cid.clone(),
        What::Name { name, file_name } => {
            // Bytes of blocks, which patience is about, are none of a name's.
            let limit = sources.timeout.unwrap_or(Duration::MAX);
            // One name may stand for another, which is looked up elsewhere.
            let asked = RefCell::new(name.root().clone());
            let found = async {
                let found = node.resolve_name_telling(name, |root| {
                    asked.replace(root.clone());
                });
                let found = tokio::time::timeout(limit, found).await;
                Ok(found.map_err(|_| Failure::NoName { name: name.clone().into(), limit })??)
            };
            let found = telling(node, say, || lookup(&asked.borrow(), sources), found);
            let ResolvedName { cid, path, .. } = attend(node, late, sources, say, found).await?;
            CidPath::named(cid, path, name, file_name.clone())
        }
    };
    sources.node.must_not_be_denied(&known)?;
    Ok(known)
}

/// Where a name is being looked up.
fn lookup(name: &Root, sources: &Sources) -> String {
    match (name, sources.dns_server) {
        (Root::Domain(domain), Some(server)) => {
            format!("the DNS server {server} has not said yet what {domain} stands for")
        }
        (Root::Domain(domain), None) => {
            format!("the system's DNS servers have not said yet what {domain} stands for")
        }
        (name, _) => format!("the DHT has not said yet what {name} stands for"),
    }
}

/// What a CID with a path leads to, unless a list denies it. A raw block by itself needs no look at it.
pub(crate) async fn resolved(
    node: &Node,
    late: &mut Late,
    sources: &Sources,
    what: &CidPath,
    say: &Say,
) -> Result<Resolved, Failure> {
    let follow =
        async { Ok(node.resolve(what.cid, what.path.clone(), peers::session(sources)).await?) };
    let found: Resolved = attend(node, late, sources, say, follow).await?;
    sources.node.must_not_be_denied(&found.cid.into())?;
    Ok(found)
}

/// Whether it is a directory, in one node or spread over several.
pub(crate) const fn is_directory(found: &Resolved) -> bool {
    matches!(found.kind, NodeKind::Directory | NodeKind::HamtShard)
}
