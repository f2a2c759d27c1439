//! Machines that are connected and do not speak Bitswap: nothing can be got from them.

use std::collections::BTreeSet;
use std::time::Duration;

use bitswap_core::ProtocolSupport;
use bitswap_node::{Node, NodeClosed};
use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, PeerId};
use serde_json::json;

use crate::args::Sources;
use crate::failure::Failure;
use crate::say::Say;

/// How often it looks who is connected.
const LOOK: Duration = Duration::from_millis(500);

/// Does some work, and says meanwhile which of the connected machines do not speak Bitswap. When those
/// are all that may be asked, the work ends, and that is what has failed.
pub(crate) async fn unless_all<T>(
    node: &Node,
    sources: &Sources,
    say: &Say,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let mut strangers = Strangers { only: only(sources), known: BTreeSet::new() };
    let mut work = std::pin::pin!(work);
    let mut look = tokio::time::interval(LOOK);
    loop {
        let failure = tokio::select! {
            biased;
            result = &mut work => match result {
                Ok(done) => return Ok(done),
                Err(failure) => Some(failure),
            },
            _ = look.tick() => None,
        };
        let all = strangers.look(node, say).await;
        match (all, failure) {
            (Ok(Some(peers)), _) => return Err(Failure::NoBitswap { peers }),
            (_, Some(failure)) => return Err(failure),
            (Err(stopped), None) => return Err(stopped.into()),
            (Ok(None), None) => {}
        }
    }
}

struct Strangers {
    /// How many machines may be asked; `None` when more may be found.
    only: Option<usize>,
    known: BTreeSet<PeerId>,
}

impl Strangers {
    /// Looks for new ones. All of them, when there is nobody else to ask.
    async fn look(&mut self, node: &Node, say: &Say) -> Result<Option<Vec<PeerId>>, NodeClosed> {
        for info in node.peers().await? {
            let stats = info.bitswap.and_then(|bitswap| bitswap.stats);
            let is_stranger = stats.is_some_and(|stats| stats.support == ProtocolSupport::No);
            if is_stranger && self.known.insert(info.peer) {
                let peer = info.peer.to_string();
                let text = format!("{peer} does not speak Bitswap: it is not asked");
                say.told(text, &json!({"event": "no_bitswap", "peer": peer}));
            }
        }
        let all = self.only.is_some_and(|only| self.known.len() >= only);
        Ok(all.then(|| self.known.iter().copied().collect()))
    }
}

/// How many machines may be asked, when only those that the user named are.
fn only(sources: &Sources) -> Option<usize> {
    let may_grow = sources.wait || sources.dht.settings().is_some();
    let names: BTreeSet<String> = sources.named().iter().flatten().map(name).collect();
    (!may_grow && !names.is_empty()).then_some(names.len())
}

/// The machine behind an address, or the address of one without a name.
fn name(address: &Multiaddr) -> String {
    match address.iter().last() {
        Some(Protocol::P2p(peer)) => peer.to_string(),
        _ => address.to_string(),
    }
}
