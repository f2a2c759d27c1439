//! Provider lookups on their way.
//!
//! A provider that is not connected is dialled, and named to the engine once it is: only connected
//! peers can be asked. A lookup is done when all that look for it are, and no dial is left open.

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
/// Providers of one lookup that are dialled at a time.
const PENDING_MAX: usize = 64;

pub(super) struct Lookups {
    source: Option<Arc<dyn Providers>>,
    active: Vec<Lookup>,
    /// Where the next look begins, so that a talkative lookup does not hide the others.
    next: usize,
}

struct Lookup {
    id: LookupId,
    /// What the source says; `None` without one, and once it has ended.
    stream: Option<BoxStream<'static, Provider>>,
    /// The DHT is looking.
    in_dht: bool,
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

    /// Starts a lookup, in the DHT too; `false` when there is no room.
    pub(super) fn start(&mut self, id: LookupId, cid: Cid, in_dht: bool) -> bool {
        if self.active.len() >= LOOKUPS_MAX {
            return false;
        }
        let stream = self.source.as_ref().map(|source| source.find(cid));
        self.active.push(Lookup { id, stream, in_dht, pending: BTreeSet::new() });
        true
    }

    pub(super) fn stop(&mut self, id: LookupId) {
        self.active.retain(|lookup| lookup.id != id);
    }

    /// How many are on their way.
    pub(super) const fn len(&self) -> usize {
        self.active.len()
    }

    /// The DHT has said all.
    pub(super) fn done_in_dht(&mut self, id: LookupId) {
        if let Some(lookup) = self.get_mut(id) {
            lookup.in_dht = false;
        }
    }

    /// This provider is not connected yet; `false` when too many are not.
    pub(super) fn pend(&mut self, id: LookupId, peer: PeerId) -> bool {
        self.get_mut(id).is_some_and(|lookup| {
            lookup.pending.len() < PENDING_MAX && {
                lookup.pending.insert(peer);
                true
            }
        })
    }

    /// A peer connected, or could not be: the lookups that waited for it.
    pub(super) fn decided(&mut self, peer: PeerId) -> Vec<LookupId> {
        let active = self.active.iter_mut();
        active.filter_map(|lookup| lookup.pending.remove(&peer).then_some(lookup.id)).collect()
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Found> {
        for _ in 0..self.active.len() {
            self.next = (self.next + 1) % self.active.len();
            let lookup = &mut self.active[self.next];
            let id = lookup.id;
            if let Some(stream) = &mut lookup.stream {
                match stream.poll_next_unpin(cx) {
                    Poll::Pending => {}
                    Poll::Ready(Some(provider)) => {
                        return Poll::Ready(Found::Provider(id, provider));
                    }
                    Poll::Ready(None) => lookup.stream = None,
                }
            }
            if lookup.stream.is_none() && !lookup.in_dht && lookup.pending.is_empty() {
                self.active.remove(self.next);
                return Poll::Ready(Found::Done(id));
            }
        }
        Poll::Pending
    }

    fn get_mut(&mut self, id: LookupId) -> Option<&mut Lookup> {
        self.active.iter_mut().find(|lookup| lookup.id == id)
    }
}
