//! Work that waits for blocks and shows nothing: following a path, listing a folder.

use std::pin::pin;
use std::time::{Duration, Instant};

use bitswap_node::bitswap_core::chunk::NodeKind;
use bitswap_node::{Node, Resolved, ResolvedName};

use crate::args::Sources;
use crate::cid_text::{CidPath, What};
use crate::exit::Failure;
use crate::patience::{Patience, Verdict};
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
                    match patience.look(&waiting, Instant::now()) {
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
            let found = async {
                let found = tokio::time::timeout(limit, node.resolve_name(name)).await;
                Ok(found.map_err(|_| Failure::NoName { name: name.clone().into(), limit })??)
            };
            let ResolvedName { cid, path, .. } = attend(node, late, sources, say, found).await?;
            CidPath::named(cid, path, name, file_name.clone())
        }
    };
    sources.node.must_not_be_denied(&known)?;
    Ok(known)
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
