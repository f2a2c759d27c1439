//! Provider lookups on their way.
//!
//! A provider that is not connected is dialled, and named to the engine once it is: only connected
//! peers can be asked. Of many only so many are dialled at a time, and the others wait for a place:
//! providers that never answer cost time, and must not crowd out the one that does, nor what else the
//! node dials. A lookup is done when all that look for it are, and nobody is dialled or waits.

use std::collections::{BTreeSet, VecDeque};
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
/// Providers of one lookup that wait to be dialled. The source is not asked for more while some do;
/// of what the DHT finds beyond, the rest is dropped.
const WAITING_MAX: usize = 256;

pub(super) struct Lookups {
    source: Option<Arc<dyn Providers>>,
    active: Vec<Lookup>,
    /// Where the next look begins, so that a talkative lookup does not hide the others.
    next: usize,
    /// Providers that are dialled at a time, of all lookups together.
    dials_max: usize,
    /// Those that are being dialled, also when their lookup was stopped meanwhile.
    dialled: BTreeSet<PeerId>,
    /// Others have taken all dials that the node may have: there is none before one of them has ended.
    must_wait: bool,
}

struct Lookup {
    id: LookupId,
    /// What the source finds; `None` without one, and once it has ended.
    stream: Option<BoxStream<'static, Provider>>,
    /// The DHT is looking.
    in_dht: bool,
    pending: BTreeSet<PeerId>,
    waiting: VecDeque<Provider>,
}

/// Something a lookup found.
pub(super) enum Found {
    Provider(LookupId, Provider),
    Done(LookupId),
}

impl Lookups {
    /// Looks in `source` too, and dials so many providers at a time.
    pub(super) fn new(source: Option<Arc<dyn Providers>>, dials_max: usize) -> Self {
        let (active, dialled) = (Vec::new(), BTreeSet::new());
        Self { source, active, next: 0, dials_max, dialled, must_wait: false }
    }

    /// Starts a lookup, in the DHT too; `false` when there is no room.
    pub(super) fn start(&mut self, id: LookupId, cid: Cid, in_dht: bool) -> bool {
        if self.active.len() >= LOOKUPS_MAX {
            return false;
        }
        let stream = self.source.as_ref().map(|source| source.find(cid));
        let (pending, waiting) = (BTreeSet::new(), VecDeque::new());
        self.active.push(Lookup { id, stream, in_dht, pending, waiting });
        true
    }

    /// Whether there is a source besides the DHT.
    pub(super) const fn has_source(&self) -> bool {
        self.source.is_some()
    }

    pub(super) fn stop(&mut self, id: LookupId) {
        self.active.retain(|lookup| lookup.id != id);
    }

    /// How many are on their way.
    pub(super) const fn len(&self) -> usize {
        self.active.len()
    }

    /// The DHT has ended its search.
    pub(super) fn done_in_dht(&mut self, id: LookupId) {
        if let Some(lookup) = self.get_mut(id) {
            lookup.in_dht = false;
        }
    }

    /// This provider is not connected yet. Gives it back if it is to be dialled now; otherwise it
    /// comes out of [`Self::poll`] again.
    pub(super) fn pend(&mut self, id: LookupId, provider: Provider) -> Option<Provider> {
        let is_dialled = self.dialled.contains(&provider.peer) || self.may_dial();
        let lookup = self.get_mut(id)?;
        if is_dialled {
            lookup.pending.insert(provider.peer);
            self.dialled.insert(provider.peer);
            return Some(provider);
        }
        if lookup.waiting.len() < WAITING_MAX {
            lookup.waiting.push_back(provider);
        }
        None
    }

    /// The node had no dial left for this provider: it is the next one once a dial has ended.
    pub(super) fn postpone(&mut self, id: LookupId, provider: Provider) {
        self.must_wait = true;
        self.dialled.remove(&provider.peer);
        let Some(lookup) = self.get_mut(id) else { return };
        lookup.pending.remove(&provider.peer);
        if lookup.waiting.len() < WAITING_MAX {
            lookup.waiting.push_front(provider);
        }
    }

    /// A dial of the node has ended, of whomever.
    pub(super) const fn dial_ended(&mut self) {
        self.must_wait = false;
    }

    fn may_dial(&self) -> bool {
        !self.must_wait && self.dialled.len() < self.dials_max
    }

    /// A peer connected, or could not be: the lookups that waited for it.
    pub(super) fn decided(&mut self, peer: PeerId) -> Vec<LookupId> {
        self.dialled.remove(&peer);
        let active = self.active.iter_mut();
        active.filter_map(|lookup| lookup.pending.remove(&peer).then_some(lookup.id)).collect()
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Found> {
        let may_dial = self.may_dial();
        for _ in 0..self.active.len() {
            self.next = (self.next + 1) % self.active.len();
            let lookup = &mut self.active[self.next];
            let id = lookup.id;
            if may_dial && let Some(provider) = lookup.waiting.pop_front() {
                return Poll::Ready(Found::Provider(id, provider));
            }
            if lookup.waiting.is_empty()
                && let Some(stream) = &mut lookup.stream
            {
                match stream.poll_next_unpin(cx) {
                    Poll::Pending => {}
                    Poll::Ready(Some(provider)) => {
                        return Poll::Ready(Found::Provider(id, provider));
                    }
                    Poll::Ready(None) => lookup.stream = None,
                }
            }
            if lookup.stream.is_none()
                && !lookup.in_dht
                && lookup.pending.is_empty()
                && lookup.waiting.is_empty()
            {
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

#[cfg(test)]
mod tests {
    use bitswap_core::{Config, Engine, Output, SessionOptions, Timestamp, Want};
    use futures::stream;
    use futures::task::noop_waker_ref;

    use super::*;

    /// Finds silent peers without end, and after so many one that answers.
    struct Crowd(usize, PeerId);

    impl Providers for Crowd {
        fn find(&self, _: Cid) -> BoxStream<'static, Provider> {
            let silent = stream::iter(0..self.0).map(|_| PeerId::random());
            let peers = silent.chain(stream::iter([self.1]));
            peers.map(|peer| Provider { peer, addresses: Vec::new() }).boxed()
        }
    }

    /// Lookups of an engine.
    fn two_lookups() -> ((LookupId, Cid), (LookupId, Cid)) {
        let mut engine: Engine<PeerId> = Engine::new(Config::default(), [1; 32], Timestamp::ZERO);
        let cid = *bitswap_core::Block::raw("looked for").cid();
        let mut next = || {
            let session = engine.open_session(SessionOptions::default(), Timestamp::ZERO).unwrap();
            engine.want(session, [Want::from(cid)], Timestamp::ZERO).unwrap();
            let found =
                std::iter::from_fn(|| engine.poll_output()).find_map(|output| match output {
                    Output::FindProviders { id, .. } => Some(id),
                    _ => None,
                });
            (found.unwrap(), cid)
        };
        (next(), next())
    }

    fn lookup() -> (LookupId, Cid) {
        two_lookups().0
    }

    /// Dials all that is to be dialled; gives the peers.
    fn dialled(lookups: &mut Lookups) -> Vec<PeerId> {
        let mut dialled = Vec::new();
        let cx = &mut Context::from_waker(noop_waker_ref());
        while let Poll::Ready(found) = lookups.poll(cx) {
            match found {
                Found::Provider(id, provider) => {
                    dialled.extend(lookups.pend(id, provider).map(|provider| provider.peer));
                }
                Found::Done(_) => panic!("nobody has answered yet"),
            }
        }
        dialled
    }

    const DIALS_MAX: usize = 8;

    #[test]
    fn silent_providers_do_not_crowd_out_the_one_that_answers() {
        let honest = PeerId::random();
        let (id, cid) = lookup();
        let mut lookups = Lookups::new(Some(Arc::new(Crowd(DIALS_MAX, honest))), DIALS_MAX);
        assert!(lookups.start(id, cid, false));
        let silent = dialled(&mut lookups);
        assert_eq!(silent.len(), DIALS_MAX);
        assert!(!silent.contains(&honest), "it waits");
        assert_eq!(dialled(&mut lookups), []);
        assert_eq!(lookups.decided(silent[7]), [id]);
        assert_eq!(dialled(&mut lookups), [honest]);
        for peer in silent.iter().chain([&honest]) {
            lookups.decided(*peer);
        }
        let cx = &mut Context::from_waker(noop_waker_ref());
        assert!(matches!(lookups.poll(cx), Poll::Ready(Found::Done(done)) if done == id));
    }

    #[test]
    fn providers_that_wait_are_held_to_a_bound() {
        let (id, cid) = lookup();
        let mut lookups = Lookups::new(None, DIALS_MAX);
        assert!(lookups.start(id, cid, true));
        for _ in 0..2 * WAITING_MAX {
            let provider = Provider { peer: PeerId::random(), addresses: Vec::new() };
            lookups.pend(id, provider);
        }
        assert_eq!(lookups.active[0].pending.len(), DIALS_MAX);
        assert_eq!(lookups.active[0].waiting.len(), WAITING_MAX);
    }

    #[test]
    fn all_lookups_together_dial_so_many_also_for_those_that_were_stopped() {
        let ((first, cid), (second, _)) = two_lookups();
        let crowd = Arc::new(Crowd(usize::MAX, PeerId::random()));
        let mut lookups = Lookups::new(Some(crowd), DIALS_MAX);
        assert!(lookups.start(first, cid, false) && lookups.start(second, cid, false));
        let all = dialled(&mut lookups);
        assert_eq!(all.len(), DIALS_MAX);
        lookups.stop(first);
        assert_eq!(dialled(&mut lookups), [], "its dials go on");
        for peer in all {
            lookups.decided(peer);
        }
        assert_eq!(dialled(&mut lookups).len(), DIALS_MAX);
    }

    #[test]
    fn a_provider_for_whom_there_was_no_dial_is_dialled_once_another_dial_has_ended() {
        let (id, cid) = lookup();
        let mut lookups = Lookups::new(None, DIALS_MAX);
        assert!(lookups.start(id, cid, true));
        let peer = PeerId::random();
        let provider = lookups.pend(id, Provider { peer, addresses: Vec::new() }).unwrap();
        lookups.postpone(id, provider);
        lookups.done_in_dht(id);
        assert_eq!(dialled(&mut lookups), [], "and the lookup is not done");
        lookups.dial_ended();
        assert_eq!(dialled(&mut lookups), [peer]);
        assert_eq!(lookups.decided(peer), [id]);
    }
}
