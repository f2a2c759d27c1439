//! How the node looks for providers of a block, and provides its own.

use bitswap_core::{LookupId, ProviderProgress, SessionId};
use cid::Cid;
use libp2p::connection_limits::Exceeded;
use libp2p::swarm::DialError;
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::{Multiaddr, identify, kad};

use super::dht::{DhtEvent, InDht};
use super::driver::Driver;
use super::events::NodeEvent;
use super::is_link_local;
use super::lookups::Found;
use crate::error::ProvideError;
use crate::providers::Provider;
use crate::trace::log;

impl Driver {
    /// The engine looks for a block.
    pub(super) fn look_up(&mut self, id: LookupId, session: SessionId, cid: Cid) {
        if self.lookups.has_source() || self.dht.is_some() {
            self.searches.begin(id, session);
        }
        if !self.lookups.start(id, cid, self.dht.is_some()) {
            self.searches.stop(id);
            self.bitswap().providers(id, &[], ProviderProgress::Final);
        } else if let (Some(dht), Some(kad)) =
            (&mut self.dht, self.swarm.behaviour_mut().dht.as_mut())
        {
            dht.find(kad, id, &cid);
        }
    }

    /// Nobody waits for a lookup any more.
    pub(super) fn stop_lookup(&mut self, id: LookupId) {
        self.lookups.stop(id);
        self.searches.stop(id);
        if let (Some(dht), Some(kad)) = (&mut self.dht, self.swarm.behaviour_mut().dht.as_mut()) {
            dht.stop(kad, id);
        }
    }

    /// A lookup found something.
    pub(super) fn found(&mut self, found: Found) {
        match found {
            Found::Done(id) => {
                self.searches.end(id);
                self.bitswap().providers(id, &[], ProviderProgress::Final);
            }
            Found::Provider(id, provider) => self.provider(id, provider),
        }
    }

    fn provider(&mut self, id: LookupId, provider: Provider) {
        let peer = provider.peer;
        if peer == *self.swarm.local_peer_id() {
            return;
        }
        self.searches.named(id);
        if self.swarm.is_connected(&peer) {
            self.bitswap().providers(id, &[peer], ProviderProgress::Partial);
            return;
        }
        let Some(provider) = self.lookups.pend(id, provider) else { return };
        let dial = DialOpts::peer_id(peer)
            .condition(PeerCondition::DisconnectedAndNotDialing)
            .addresses(provider.addresses.clone())
            .extend_addresses_through_behaviour()
            .build();
        match self.swarm.dial(dial) {
            // It is being dialled already.
            Ok(()) | Err(DialError::DialPeerConditionFalse(_)) => {}
            Err(DialError::Denied { cause }) if cause.downcast_ref::<Exceeded>().is_some() => {
                self.lookups.postpone(id, provider);
            }
            Err(error) => {
                log!(debug, "a provider cannot be dialled", peer = peer, error = error);
                self.lookups.decided(peer);
            }
        }
    }

    /// Provides a block in the DHT from now on.
    pub(super) fn provide(&mut self, cid: Cid) -> Result<(), ProvideError> {
        let now = self.now();
        self.dht.as_mut().ok_or(ProvideError::NoDht)?.provide(cid, now)
    }

    /// Provides a block no longer.
    pub(super) fn unprovide(&mut self, cid: &Cid) {
        if let (Some(dht), Some(kad)) = (&mut self.dht, self.swarm.behaviour_mut().dht.as_mut()) {
            dht.unprovide(kad, cid);
        }
    }

    /// How many blocks are provided.
    pub(super) fn provided(&self) -> usize {
        self.dht.as_ref().map_or(0, InDht::provided)
    }

    /// Provides what is due.
    pub(super) fn provide_due(&mut self) {
        let now = self.now();
        if let (Some(dht), Some(kad)) = (&mut self.dht, self.swarm.behaviour_mut().dht.as_mut()) {
            dht.provide_due(kad, now);
        }
    }

    /// Something happened in the DHT.
    pub(super) fn dht_event(&mut self, event: kad::Event) {
        let now = self.now();
        let (Some(dht), Some(kad)) = (&mut self.dht, self.swarm.behaviour_mut().dht.as_mut())
        else {
            return;
        };
        match dht.event(kad, event, now) {
            Some(DhtEvent::Found(id, providers)) => {
                for provider in providers {
                    self.provider(id, provider);
                }
            }
            Some(DhtEvent::Done(id)) => self.lookups.done_in_dht(id),
            Some(DhtEvent::Provided(cid)) => self.listeners.send(&NodeEvent::Provided(cid)),
            None => {}
        }
    }

    /// A peer told about itself.
    pub(super) fn identified(&mut self, event: &identify::Event) {
        let identify::Event::Received { peer_id, info, .. } = event else { return };
        self.remember_identified(*peer_id, info);
        if let (Some(dht), Some(kad)) = (&self.dht, self.swarm.behaviour_mut().dht.as_mut()) {
            dht.identified(kad, peer_id, info);
        }
    }

    /// The node can be dialled here: records in the DHT say so.
    pub(super) fn listens(&mut self, address: &Multiaddr) {
        if self.dht.is_some() && !is_link_local(address) {
            self.swarm.add_external_address(address.clone());
        }
    }
}
