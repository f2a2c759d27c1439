//! Peers on the local network, found by libp2p's multicast DNS (`_p2p._udp.local`).
//!
//! IPv4 only, one socket for each interface but loopback. An answer tells the addresses that are
//! listened on at the interface it leaves from, and of what others tell only addresses on that
//! interface's network are believed: a stranger can send us nowhere else.

mod interface;
mod known;
mod packet;
mod schedule;

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::Future as _;
use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use async_io::Timer;
use if_watch::smol::IfWatcher;
use if_watch::{IfEvent, IpNet};
use libp2p::core::Endpoint;
use libp2p::core::transport::PortUse;
use libp2p::multiaddr::Protocol;
use libp2p::swarm::{
    ConnectionDenied, ConnectionId, FromSwarm, ListenAddresses, NetworkBehaviour, THandler,
    THandlerInEvent, THandlerOutEvent, ToSwarm, dummy,
};
use libp2p::{Multiaddr, PeerId};

use interface::{Interface, PACKET_MAX};
use known::Known;
use packet::Packet;
use schedule::Due;

/// How long others may keep our addresses: a little longer than until the next query.
const VALID: Duration = Duration::from_secs(6 * 60);

/// Packets handled before other tasks have their turn.
const PACKETS_AT_ONCE: usize = 64;

/// Finds peers on the local network, and lets them find this one.
#[derive(Debug)]
pub struct Mdns {
    local: PeerId,
    /// Names this node in answers; random, so that it says nothing.
    label: String,
    listening: ListenAddresses,
    /// `None` once it has failed; the interfaces stay as they are.
    watcher: Option<IfWatcher>,
    interfaces: Vec<Interface>,
    known: Known,
    /// Rings at the earliest of what is due.
    timer: Timer,
    events: VecDeque<ToSwarm<Found, Infallible>>,
    buffer: Vec<u8>,
}

/// What became known of peers on the local network. Addresses end in `/p2p/…`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// These are new.
    New(Vec<(PeerId, Multiaddr)>),
    /// These were not announced again in time.
    Expired(Vec<(PeerId, Multiaddr)>),
}

impl Mdns {
    /// Begins to look for peers.
    ///
    /// # Errors
    ///
    /// When the system's interfaces cannot be watched.
    pub fn new(local: PeerId) -> io::Result<Self> {
        let random = || RandomState::new().hash_one(());
        Ok(Self {
            local,
            label: format!("{:016x}{:016x}", random(), random()),
            listening: ListenAddresses::default(),
            watcher: Some(IfWatcher::new()?),
            interfaces: Vec::new(),
            known: Known::default(),
            timer: Timer::never(),
            events: VecDeque::new(),
            buffer: vec![0; PACKET_MAX],
        })
    }

    fn poll_interfaces(&mut self, cx: &mut Context<'_>, now: Instant) {
        while let Some(watcher) = &mut self.watcher {
            match watcher.poll_if_event(cx) {
                Poll::Pending => return,
                Poll::Ready(Ok(IfEvent::Up(IpNet::V4(net)))) if !net.addr().is_loopback() => {
                    if self.interfaces.iter().any(|known| known.is_at(net.addr().into())) {
                        continue;
                    }
                    match Interface::join(net, now) {
                        Ok(interface) => self.interfaces.push(interface),
                        Err(error) => tracing::warn!(%net, %error, "no mDNS on an interface"),
                    }
                }
                Poll::Ready(Ok(IfEvent::Down(net))) => {
                    self.interfaces.retain(|interface| !interface.is_at(net.addr()));
                }
                Poll::Ready(Ok(IfEvent::Up(_))) => {}
                Poll::Ready(Err(error)) => {
                    tracing::warn!(%error, "mDNS does not follow interfaces any more");
                    self.watcher = None;
                }
            }
        }
    }

    fn poll_packets(&mut self, cx: &mut Context<'_>, now: Instant) {
        let (mut new, mut gone) = (Vec::new(), Vec::new());
        for interface in &mut self.interfaces {
            let mut left = PACKETS_AT_ONCE;
            loop {
                let received = match interface.poll_receive(cx, &mut self.buffer) {
                    Poll::Pending => break,
                    Poll::Ready(Ok(received)) => received,
                    Poll::Ready(Err(error)) => {
                        // Tried again at the next query, or when anything else happens: never at
                        // once, since the error may last.
                        tracing::debug!(%error, "an mDNS packet was not received");
                        break;
                    }
                };
                let packet = received.and_then(|(length, from)| {
                    Some((packet::parse(&self.buffer[..length])?, from))
                });
                match packet {
                    Some((Packet::Query(id), _)) => interface.schedule.owe_answer(id),
                    Some((Packet::Browse(id), _)) => {
                        interface.send(&packet::browse_answer(id, VALID));
                    }
                    Some((Packet::Answer(peers), from)) => {
                        for (peer, address, valid) in peers {
                            let usable = ip(&address).is_some_and(|ip| interface.reaches(ip));
                            if peer == self.local || !usable {
                                continue;
                            }
                            let heard = self.known.heard(from, peer, &address, valid, now);
                            gone.extend(heard.gave_way);
                            if heard.new {
                                new.push((peer, address));
                            }
                        }
                    }
                    None => {}
                }
                left -= 1;
                if left == 0 {
                    cx.waker().wake_by_ref();
                    break;
                }
            }
        }
        // One that gave way to another of the same packets was new for nobody.
        new.retain(|address| !gone.contains(address));
        if !gone.is_empty() {
            self.events.push_back(ToSwarm::GenerateEvent(Found::Expired(gone)));
        }
        if !new.is_empty() {
            let learned = new.iter().cloned();
            let learned = learned
                .map(|(peer_id, address)| ToSwarm::NewExternalAddrOfPeer { peer_id, address });
            let learned: Vec<_> = learned.collect();
            self.events.push_back(ToSwarm::GenerateEvent(Found::New(new)));
            self.events.extend(learned);
        }
    }

    fn send_due(&mut self, now: Instant) {
        for interface in &mut self.interfaces {
            while let Some(due) = interface.schedule.next(now) {
                match due {
                    Due::Query => interface.send(&packet::query()),
                    Due::Answer(id) => {
                        let here = |address: &&Multiaddr| {
                            ip(address).is_some_and(|ip| interface.is_at(ip))
                        };
                        let addresses = self.listening.iter().filter(here);
                        let answer = packet::answer(id, &self.label, self.local, addresses, VALID);
                        if let Some(answer) = answer {
                            interface.send(&answer);
                        }
                    }
                }
            }
        }
    }

    fn expire(&mut self, now: Instant) {
        let expired = self.known.expire(now);
        if !expired.is_empty() {
            self.events.push_back(ToSwarm::GenerateEvent(Found::Expired(expired)));
        }
    }
}

/// The IP address that an address starts with.
fn ip(address: &Multiaddr) -> Option<IpAddr> {
    match address.iter().next()? {
        Protocol::Ip4(ip) => Some(ip.into()),
        Protocol::Ip6(ip) => Some(ip.into()),
        _ => None,
    }
}

impl NetworkBehaviour for Mdns {
    type ConnectionHandler = dummy::ConnectionHandler;
    type ToSwarm = Found;

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(dummy::ConnectionHandler)
    }

    fn handle_pending_outbound_connection(
        &mut self,
        _: ConnectionId,
        peer: Option<PeerId>,
        _: &[Multiaddr],
        _: Endpoint,
    ) -> Result<Vec<Multiaddr>, ConnectionDenied> {
        Ok(peer.map(|peer| self.known.addresses(peer)).unwrap_or_default())
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(dummy::ConnectionHandler)
    }

    fn on_connection_handler_event(
        &mut self,
        _: PeerId,
        _: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        match event {}
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        if self.listening.on_swarm_event(&event) {
            // Those who asked before there was an address need not ask again.
            self.interfaces.iter_mut().for_each(|interface| interface.schedule.owe_answer(0));
        }
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        loop {
            let now = Instant::now();
            self.poll_interfaces(cx, now);
            self.poll_packets(cx, now);
            self.send_due(now);
            self.expire(now);
            if let Some(event) = self.events.pop_front() {
                return Poll::Ready(event);
            }
            let due = self.interfaces.iter().map(|interface| interface.schedule.wake_at());
            match due.chain(self.known.next_expiry()).min() {
                Some(at) => self.timer.set_at(at),
                None => return Poll::Pending,
            }
            if Pin::new(&mut self.timer).poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
    }
}
