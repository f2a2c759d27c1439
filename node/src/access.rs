//! Who may have which block, as a list of peers and CIDs.

use std::collections::BTreeSet;
use std::sync::Arc;

use cid::Cid;
use libp2p::PeerId;

use crate::denylist::Denylist;

/// Who may have which block: by peer, by CID, and by denylists. What denies goes before what allows.
///
/// It is one way to make up the function that [`NodeBuilder::with_access`](crate::NodeBuilder::with_access) and
/// [`Node::set_access`](crate::Node::set_access) take:
///
/// ```
/// # use bitswap_node::{AccessRules, NodeBuilder, PeerId};
/// # fn example(builder: NodeBuilder, friend: PeerId) -> NodeBuilder {
/// let rules = AccessRules::default().with_allowed_peer(friend);
/// builder.with_access(move |peer, cid| rules.allows(peer, cid))
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct AccessRules {
    allowed_peers: BTreeSet<PeerId>,
    denied_peers: BTreeSet<PeerId>,
    allowed_blocks: BTreeSet<Vec<u8>>,
    denied_blocks: BTreeSet<Vec<u8>>,
    denylists: Vec<Arc<Denylist>>,
}

impl AccessRules {
    /// This peer may have blocks, and nobody else but those that are allowed likewise. Default: everybody.
    #[must_use]
    pub fn with_allowed_peer(mut self, peer: PeerId) -> Self {
        self.allowed_peers.insert(peer);
        self
    }

    /// This peer may have nothing. Default: nobody.
    #[must_use]
    pub fn with_denied_peer(mut self, peer: PeerId) -> Self {
        self.denied_peers.insert(peer);
        self
    }

    /// Blocks with the hash of this CID may be had, and no others but those that are allowed likewise; a file
    /// is its root and all that the root leads to. Default: all.
    #[must_use]
    pub fn with_allowed_cid(mut self, cid: &Cid) -> Self {
        self.allowed_blocks.insert(cid.hash().to_bytes());
        self
    }

    /// Blocks with the hash of this CID may be had by nobody. Default: none.
    #[must_use]
    pub fn with_denied_cid(mut self, cid: &Cid) -> Self {
        self.denied_blocks.insert(cid.hash().to_bytes());
        self
    }

    /// What this list denies may be had by nobody.
    #[must_use]
    pub fn with_denylist(mut self, denylist: Arc<Denylist>) -> Self {
        self.denylists.push(denylist);
        self
    }

    /// Whether the peer may have the block.
    #[must_use]
    pub fn allows(&self, peer: &PeerId, cid: &Cid) -> bool {
        let is_listed =
            |list: &BTreeSet<Vec<u8>>| !list.is_empty() && list.contains(&cid.hash().to_bytes());
        let peer_is_denied = self.denied_peers.contains(peer)
            || !self.allowed_peers.is_empty() && !self.allowed_peers.contains(peer);
        let block_is_denied = is_listed(&self.denied_blocks)
            || !self.allowed_blocks.is_empty() && !is_listed(&self.allowed_blocks);
        !peer_is_denied
            && !block_is_denied
            && self.denylists.iter().all(|list| list.denies(cid, &[]).is_none())
    }
}

#[cfg(test)]
mod tests {
    use bitswap_core::Block;

    use super::*;

    #[test]
    fn what_denies_goes_before_what_allows() {
        let [friend, other] = [PeerId::random(), PeerId::random()];
        let [open, secret] = ["open", "secret"].map(|text| *Block::raw(text).cid());
        let rules = AccessRules::default();
        assert!(rules.allows(&other, &secret), "by default everybody may have everything");
        let rules = rules.with_denied_cid(&Cid::new_v1(0x70, *secret.hash()));
        assert!(
            rules.allows(&other, &open) && !rules.allows(&other, &secret),
            "whatever the codec"
        );
        let rules = rules.with_allowed_peer(friend);
        assert!(rules.allows(&friend, &open) && !rules.allows(&other, &open));
        assert!(!rules.allows(&friend, &secret));
        let list = Arc::new(format!("/ipfs/{open}").parse().unwrap());
        assert!(!rules.clone().with_denylist(list).allows(&friend, &open));
        assert!(!rules.clone().with_denied_peer(friend).allows(&friend, &open));
        let rules = rules.with_allowed_cid(&secret);
        assert!(!rules.allows(&friend, &open) && !rules.allows(&friend, &secret));
    }
}
