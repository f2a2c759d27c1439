//! Provider lookups on their way.
//!
//! A provider that is not connected is dialled, and named to the engine again once it is: only
//! connected peers can be asked.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::task::{Context, Poll};

use bitswap_core::LookupId;
use cid::Cid;
use futures::StreamExt as _;
use futures::stream::BoxStream;
use libp2p::PeerId;

use crate::providers::{Provider, Providers};

/// Lookups at a time; those beyond find nothing. Each session runs one at most.
const LOOKUPS_MAX: usize = 256;
/// Providers of one lookup that are remembered until they are connected.
const PENDING_MAX: usize = 64;

pub(super) struct Lookups {
    source: Option<Arc<dyn Providers>>,
    active: Vec<Lookup>,
    /// Where the next look begins, so that a talkative lookup does not hide the others.
    next: usize,
}

struct Lookup {
    id: LookupId,
    stream: Option<BoxStream<'static, Provider>>,
    pending: BTreeSet<PeerId>,
}

/// Something a lookup found.
pub(super) enum Found {
    Provider(LookupId, Provider),
    Done(LookupId),
}

impl Lookups {
    pub(super) const fn new(source: Option<Arc<dyn Providers>>) -> Self {
        Self { source, active: Vec::new(), next: 0 }
    }

    /// Starts a lookup; `false` when there is nowhere to look.
    pub(super) fn start(&mut self, id: LookupId, cid: Cid) -> bool {
        let Some(source) = &self.source else { return false };
        if self.active.len() >= LOOKUPS_MAX {
            return false;
        }
        let stream = Some(source.find(cid));
        self.active.push(Lookup { id, stream, pending: BTreeSet::new() });
        true
    }

    pub(super) fn stop(&mut self, id: LookupId) {
        self.active.retain(|lookup| lookup.id != id);
    }

    /// This provider is not connected yet.
    pub(super) fn pend(&mut self, id: LookupId, peer: PeerId) {
        if let Some(lookup) = self.active.iter_mut().find(|lookup| lookup.id == id)
            && lookup.pending.len() < PENDING_MAX
        {
            lookup.pending.insert(peer);
        }
    }

    /// A peer connected: the lookups that wait for it.
    pub(super) fn connected(&mut self, peer: PeerId) -> Vec<LookupId> {
        let active = self.active.iter_mut();
        active.filter_map(|lookup| lookup.pending.remove(&peer).then_some(lookup.id)).collect()
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Found> {
        for _ in 0..self.active.len() {
            self.next = (self.next + 1) % self.active.len();
            let lookup = &mut self.active[self.next];
            let Some(stream) = &mut lookup.stream else { continue };
            match stream.poll_next_unpin(cx) {
                Poll::Pending => {}
                Poll::Ready(Some(provider)) => {
                    return Poll::Ready(Found::Provider(lookup.id, provider));
                }
                Poll::Ready(None) => {
                    lookup.stream = None;
                    return Poll::Ready(Found::Done(lookup.id));
                }
            }
        }
        Poll::Pending
    }
}
