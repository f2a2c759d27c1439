//! Work that waits for blocks and shows nothing: following a path, listing a folder.

use std::pin::pin;
use std::time::Instant;

use bitswap_node::bitswap_core::chunk::NodeKind;
use bitswap_node::{Node, Resolved, ResolvedName};

use crate::args::Sources;
use crate::cid_text::{CidPath, What};
use crate::exit::Failure;
use crate::patience::{Patience, Verdict};
use crate::peers::{self, Late};
use crate::say::Say;
use crate::share::interrupted;
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
        let mut stopped = pin!(interrupted());
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
                () = &mut stopped => return Err(Failure::Aborted),
            }
        }
    };
    strangers::unless_all(node, sources, say, attended).await
}

/// What a name stands for, at this moment; a CID is one already.
pub(crate) async fn known(
    node: &Node,
    late: &mut Late,
    sources: &Sources,
    what: &What,
    say: &Say,
) -> Result<CidPath, Failure> {
    let known = match what {
        What::Cid(cid) => return Ok(cid.clone()),
        What::Name { name, file_name } => {
            let found =
                attend(node, late, sources, say, async { Ok(node.resolve_name(name).await?) });
            let ResolvedName { cid, path, .. } = found.await?;
            CidPath::named(cid, path, name, file_name.clone())
        }
    };
    sources.node.must_not_be_denied(&known)?;
    Ok(known)
}

/// What a CID with a path leads to. A raw block by itself needs no look at it.
pub(crate) async fn resolved(
    node: &Node,
    late: &mut Late,
    sources: &Sources,
    what: &CidPath,
    say: &Say,
) -> Result<Resolved, Failure> {
    let follow =
        async { Ok(node.resolve(what.cid, what.path.clone(), peers::session(sources)).await?) };
    attend(node, late, sources, say, follow).await
}

/// Whether it is a directory, in one node or spread over several.
pub(crate) const fn is_directory(found: &Resolved) -> bool {
    matches!(found.kind, NodeKind::Directory | NodeKind::HamtShard)
}
