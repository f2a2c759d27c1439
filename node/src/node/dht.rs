//! The node's part in a DHT: lookups and provider records on their way.

use std::collections::HashMap;

use bitswap_core::{LookupId, Timestamp};
use cid::Cid;
use libp2p::core::Endpoint;
use libp2p::kad::store::RecordStore as _;
use libp2p::kad::{self, Event, GetProvidersOk, QueryId, QueryResult, RecordKey};
use libp2p::swarm::{ConnectionId, NetworkBehaviour as _};
use libp2p::{Multiaddr, PeerId, identify};

use super::is_loopback;
use super::name_queries::NameQueries;
use crate::dht::{Dht, Records, Reprovider, bound_addresses, named_peer};
use crate::error::{ProvideError, StartError};
use crate::providers::Provider;
use crate::store::Hash;
use crate::trace::log;

/// Addresses that a peer may add to the routing table.
const ADDRESSES_MAX: usize = 16;

/// The behaviour.
pub(super) type Kad = kad::Behaviour<Records>;

/// The behaviour for these settings.
pub(super) fn behaviour(dht: &Dht, me: PeerId) -> Result<Kad, StartError> {
    let mut settings = kad::Config::new(dht.protocol.clone());
    // The reprovider renews records, and whoever publishes a name does so again.
    settings
        .set_provider_publication_interval(None)
        .set_publication_interval(None)
        .set_replication_interval(None);
    let mut kad = Kad::with_config(me, Records::new(me), settings);
    kad.set_mode(Some(dht.mode));
    for address in &dht.bootstrap {
        let peer = named_peer(address)
            .ok_or_else(|| StartError::Bootstrap { address: address.clone() })?;
        kad.add_address(&peer, address.clone());
    }
    Ok(kad)
}

/// What is on its way in the DHT.
pub(super) struct InDht {
    protocol: libp2p::StreamProtocol,
    reprovider: Reprovider,
    queries: HashMap<QueryId, Query>,
    names: NameQueries,
}

#[derive(Clone, Copy, Debug)]
enum Query {
    Lookup(LookupId),
    Provide(Hash),
}

/// An event of the DHT that concerns the node.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum DhtEvent {
    /// A lookup found these.
    Found(LookupId, Vec<Provider>),
    /// A lookup has ended.
    Done(LookupId),
    /// A provider record was stored.
    Provided(Cid),
}

impl InDht {
    pub(super) fn new(dht: &Dht) -> Self {
        let reprovider = Reprovider::new(dht.provided_max);
        Self {
            protocol: dht.protocol.clone(),
            reprovider,
            queries: HashMap::new(),
            names: NameQueries::default(),
        }
    }

    /// Records of names on their way.
    pub(super) const fn names(&mut self) -> &mut NameQueries {
        &mut self.names
    }

    /// Starts to look for peers that have a block.
    pub(super) fn find(&mut self, kad: &mut Kad, id: LookupId, cid: &Cid) {
        let query = kad.get_providers(key(cid.hash()));
        self.queries.insert(query, Query::Lookup(id));
    }

    /// Nobody waits for a lookup any more.
    pub(super) fn stop(&mut self, kad: &mut Kad, id: LookupId) {
        self.queries.retain(|query, what| {
            let stops = matches!(what, Query::Lookup(lookup) if *lookup == id);
            if stops && let Some(mut query) = kad.query_mut(query) {
                query.finish();
            }
            !stops
        });
    }

    /// Provides a block from now on.
    pub(super) fn provide(&mut self, cid: Cid, now: Timestamp) -> Result<(), ProvideError> {
        self.reprovider.provide(cid, now)
    }

    /// Provides a block no longer.
    pub(super) fn unprovide(&mut self, kad: &mut Kad, cid: &Cid) {
        self.reprovider.unprovide(cid.hash());
        kad.stop_providing(&key(cid.hash()));
    }

    /// How many blocks are provided.
    pub(super) fn provided(&self) -> usize {
        self.reprovider.provided()
    }

    /// When a block is to be provided.
    pub(super) fn poll_timeout(&self) -> Option<Timestamp> {
        self.reprovider.poll_timeout()
    }

    /// Provides what is due.
    pub(super) fn provide_due(&mut self, kad: &mut Kad, now: Timestamp) {
        while let Some(cid) = self.reprovider.poll(now) {
            match kad.start_providing(key(cid.hash())) {
                Ok(query) => {
                    self.queries.insert(query, Query::Provide(*cid.hash()));
                }
                Err(error) => {
                    log!(warn, "a block cannot be provided", cid = cid, error = error);
                    self.reprovider.ended(cid.hash(), false, now);
                }
            }
        }
    }

    /// A peer reported where it listens. One that takes part in the DHT is remembered.
    pub(super) fn identified(&self, kad: &mut Kad, peer: &PeerId, info: &identify::Info) {
        if !info.protocols.contains(&self.protocol) {
            return;
        }
        // The loopback addresses of another machine are none of it.
        let is_here = is_loopback(&info.observed_addr);
        let addresses = info.listen_addrs.iter().filter(|address| is_here || !is_loopback(address));
        for address in addresses.take(ADDRESSES_MAX) {
            kad.add_address(peer, address.clone());
        }
    }

    /// Something happened in the DHT.
    pub(super) fn event(
        &mut self,
        kad: &mut Kad,
        event: Event,
        now: Timestamp,
    ) -> Option<DhtEvent> {
        let (id, result, stats, is_last) = match event {
            Event::OutboundQueryProgressed { id, result, stats, step } => {
                (id, result, stats, step.last)
            }
            Event::RoutingUpdated { is_new_peer: true, .. } => {
                self.reprovider.peer_added(now);
                return None;
            }
            _ => return None,
        };
        if self.names.event(kad, id, &result, &stats, is_last) {
            return None;
        }
        let query = *self.queries.get(&id)?;
        if is_last {
            self.queries.remove(&id);
        }
        match query {
            Query::Lookup(lookup) => match result {
                QueryResult::GetProviders(Ok(GetProvidersOk::FoundProviders {
                    key,
                    providers,
                })) => {
                    let records = kad.store_mut().providers(&key);
                    let found = providers.into_iter().map(|peer| {
                        let record = records.iter().find(|record| record.provider == peer);
                        let ours = record.map(|record| record.addresses.clone());
                        let mut addresses = ours.unwrap_or_default();
                        addresses.extend(told_addresses(kad, peer));
                        bound_addresses(&mut addresses);
                        Provider { peer, addresses }
                    });
                    Some(DhtEvent::Found(lookup, found.collect()))
                }
                _ => is_last.then_some(DhtEvent::Done(lookup)),
            },
            Query::Provide(hash) => {
                let was_stored = matches!(result, QueryResult::StartProviding(Ok(_)))
                    && stats.num_successes() > 0;
                let cid = self.reprovider.ended(&hash, was_stored, now);
                cid.map(DhtEvent::Provided)
            }
        }
    }
}

/// Under which key the DHT has the providers of a block.
fn key(hash: &Hash) -> RecordKey {
    hash.to_bytes().into()
}

/// Where others say that a peer is. The behaviour tells it to whoever is about to dial, and forgets it with the
/// query: a provider that waits for a place is dialled later than that.
fn told_addresses(kad: &mut Kad, peer: PeerId) -> Vec<Multiaddr> {
    // There is no connection yet, and the behaviour looks at none.
    let none = ConnectionId::new_unchecked(0);
    kad.handle_pending_outbound_connection(none, Some(peer), &[], Endpoint::Dialer)
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Poll};

    use bitswap_core::{Config, Engine, Output, SessionOptions, Want};
    use futures::StreamExt as _;
    use futures::future::{Either, select};
    use futures::task::noop_waker;
    use libp2p::core::multiaddr::Protocol;
    use libp2p::core::transport::MemoryTransport;
    use libp2p::core::upgrade::Version;
    use libp2p::identity::Keypair;
    use libp2p::swarm::{self, Swarm, SwarmEvent, ToSwarm};
    use libp2p::{Transport as _, noise};

    use super::*;
    use crate::multiplex::{Accounts, Multiplex};

    const NOW: Timestamp = Timestamp::ZERO;

    /// A lookup, as an engine begins one.
    fn lookup() -> (LookupId, Cid) {
        let mut engine = Engine::<u8>::new(Config::default(), [0; 32], NOW);
        let cid = *bitswap_core::Block::raw("wanted").cid();
        let session = engine.open_session(SessionOptions::default(), NOW).unwrap();
        engine.want(session, [Want::from(cid)], NOW).unwrap();
        match engine.poll_output() {
            Some(Output::FindProviders { id, cid, .. }) => (id, cid),
            other => panic!("{other:?}"),
        }
    }

    /// A node of a DHT whose only other peer says nothing.
    fn in_dht() -> (InDht, Kad) {
        let address = "/ip4/127.0.0.1/tcp/1".parse::<Multiaddr>().unwrap();
        let silent = address.with(Protocol::P2p(PeerId::random()));
        let dht = Dht::client().with_bootstrap(silent).with_provided_max(1);
        (InDht::new(&dht), behaviour(&dht, PeerId::random()).unwrap())
    }

    /// What comes of all that the behaviour has ready now.
    fn events(dht: &mut InDht, kad: &mut Kad) -> Vec<DhtEvent> {
        let waker = noop_waker();
        let mut events = Vec::new();
        while let Poll::Ready(event) = kad.poll(&mut Context::from_waker(&waker)) {
            if let ToSwarm::GenerateEvent(event) = event {
                events.extend(dht.event(kad, event, NOW));
            }
        }
        events
    }

    #[test]
    fn a_lookup_that_is_stopped_asks_nobody_any_more_and_says_nothing() {
        let (mut dht, mut kad) = in_dht();
        let (id, cid) = lookup();
        dht.find(&mut kad, id, &cid);
        assert_eq!(events(&mut dht, &mut kad), []);
        let looks = |kad: &Kad, cid: &Cid| {
            let key = key(cid.hash());
            kad.iter_queries().any(|query| {
                matches!(query.info(), kad::QueryInfo::GetProviders { key: of, .. } if *of == key)
            })
        };
        assert!(looks(&kad, &cid));
        dht.stop(&mut kad, id);
        assert_eq!(events(&mut dht, &mut kad), []);
        assert!(!looks(&kad, &cid));
        assert!(dht.queries.is_empty());
    }

    /// A node of the DHT and nothing else, reached within this process.
    fn swarm(dht: &Dht) -> Swarm<Kad> {
        let key = Keypair::generate_ed25519();
        let peer = key.public().to_peer_id();
        let transport = MemoryTransport::default()
            .upgrade(Version::V1)
            .authenticate(noise::Config::new(&key).unwrap())
            .multiplex_ext(|peer, _| Multiplex::with(&Accounts::default(), *peer))
            .boxed();
        let kad = behaviour(dht, peer).unwrap();
        Swarm::new(transport, kad, peer, swarm::Config::without_executor())
    }

    /// Runs a swarm until it says something that concerns the test.
    async fn until<T>(
        swarm: &mut Swarm<Kad>,
        mut concerns: impl FnMut(&mut Swarm<Kad>, SwarmEvent<Event>) -> Option<T>,
    ) -> T {
        loop {
            let event = swarm.select_next_some().await;
            if let Some(found) = concerns(swarm, event) {
                return found;
            }
        }
    }

    #[test]
    fn a_provider_that_others_name_is_found_with_the_addresses_that_they_name() {
        let (id, cid) = lookup();
        let (peer, address) = (PeerId::random(), "/ip4/127.0.0.1/tcp/2".parse::<Multiaddr>());
        let addresses = vec![address.unwrap().with(Protocol::P2p(peer))];
        let mut knows = swarm(&Dht::server());
        let record = kad::ProviderRecord::new(key(cid.hash()), peer, addresses.clone());
        let expires = Some(std::time::Instant::now() + std::time::Duration::from_secs(60));
        let record = kad::ProviderRecord { expires, ..record };
        knows.behaviour_mut().store_mut().add_provider(record).unwrap();
        let found = futures::executor::block_on(async {
            knows.listen_on("/memory/0".parse().unwrap()).unwrap();
            let at = until(&mut knows, |_, event| match event {
                SwarmEvent::NewListenAddr { address, .. } => Some(address),
                _ => None,
            });
            let at = at.await.with(Protocol::P2p(*knows.local_peer_id()));
            let dht = Dht::client().with_bootstrap(at);
            let (mut asks, mut in_dht) = (swarm(&dht), InDht::new(&dht));
            in_dht.find(asks.behaviour_mut(), id, &cid);
            let found = until(&mut asks, |asks, event| match event {
                SwarmEvent::Behaviour(event) => in_dht.event(asks.behaviour_mut(), event, NOW),
                _ => None,
            });
            let answers = until(&mut knows, |_, _| None::<()>);
            match select(Box::pin(found), Box::pin(answers)).await {
                Either::Left((found, _)) => found,
                Either::Right(((), _)) => panic!("it answers for ever"),
            }
        });
        assert_eq!(found, DhtEvent::Found(id, vec![Provider { peer, addresses }]));
    }

    #[test]
    fn own_records_are_found_with_their_addresses() {
        let (mut dht, mut kad) = in_dht();
        let (id, cid) = lookup();
        let (peer, address) = (PeerId::random(), "/ip4/127.0.0.1/tcp/2".parse::<Multiaddr>());
        let addresses = vec![address.unwrap()];
        let record = kad::ProviderRecord::new(key(cid.hash()), peer, addresses.clone());
        let expires = Some(std::time::Instant::now() + std::time::Duration::from_secs(60));
        let record = kad::ProviderRecord { expires, ..record };
        kad.store_mut().add_provider(record).unwrap();
        dht.find(&mut kad, id, &cid);
        let found = vec![Provider { peer, addresses }];
        assert_eq!(events(&mut dht, &mut kad), [DhtEvent::Found(id, found)]);
    }

    #[test]
    fn a_bootstrap_address_without_a_peer_is_refused() {
        let dht = Dht::client().with_bootstrap("/ip4/127.0.0.1/tcp/1".parse().unwrap());
        let refused = behaviour(&dht, PeerId::random());
        assert!(matches!(refused, Err(StartError::Bootstrap { .. })));
    }
}
