//! The peers that a session was given: the only ones that it may ask, or those that it asks first.
//!
//! Invariant: those that are listed were given, each as often as it was named, and nobody is waited for whose time to
//! come is up.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::options::PeerRule;
use crate::memory::list;
use crate::peer::Peer;
use crate::time::Timestamp;
use crate::util::rows::Id;

/// The peers that a session was given, as far as they are connected.
#[derive(Debug)]
pub(super) struct GivenPeers(Given);

#[derive(Debug)]
enum Given {
    /// None: all may be asked.
    Any,
    Only(Vec<Id<Peer>>),
    /// Few sessions prefer peers, so the others need not have room for it.
    Prefer(Box<Preferred>),
}

#[derive(Debug)]
struct Preferred {
    here: Vec<Id<Peer>>,
    named: usize,
    /// Until when those that are not connected are waited for.
    awaited_until: Option<Timestamp>,
}

impl GivenPeers {
    /// `awaited_until`: the time that preferred peers have to connect.
    pub(super) fn new(rule: PeerRule, awaited_until: Timestamp) -> Self {
        Self(match rule {
            PeerRule::Any => Given::Any,
            PeerRule::Only => Given::Only(Vec::new()),
            PeerRule::Prefer { named } => {
                let awaited_until = (named > 0).then_some(awaited_until);
                Given::Prefer(Box::new(Preferred { here: Vec::new(), named, awaited_until }))
            }
        })
    }

    /// A peer that was given is connected. Forgets those that have left.
    pub(super) fn admit(&mut self, peer: Id<Peer>, is_here: impl Fn(Id<Peer>) -> bool) {
        let here = match &mut self.0 {
            Given::Any => return,
            Given::Only(here) => here,
            Given::Prefer(preferred) => &mut preferred.here,
        };
        here.retain(|old| is_here(*old));
        here.push(peer);
    }

    /// The session may ask the peer, though it may have to ask others first.
    pub(super) fn may_ask(&self, peer: Id<Peer>) -> bool {
        self.only().is_none_or(|only| only.contains(&peer))
    }

    /// The peer comes before others.
    pub(super) fn prefers(&self, peer: Id<Peer>) -> bool {
        self.preferred().is_some_and(|preferred| preferred.contains(&peer))
    }

    /// The session was given peers.
    pub(super) const fn is_limited(&self) -> bool {
        !matches!(self.0, Given::Any)
    }

    /// The only peers that may be asked, where that is the rule. Some may have left.
    pub(super) fn only(&self) -> Option<&[Id<Peer>]> {
        if let Given::Only(here) = &self.0 { Some(here) } else { None }
    }

    /// The peers that are asked first, where that is the rule. Some may have left.
    pub(super) fn preferred(&self) -> Option<&[Id<Peer>]> {
        if let Given::Prefer(preferred) = &self.0 { Some(&preferred.here) } else { None }
    }

    /// A preferred peer is not connected and has time left to come.
    pub(super) fn awaits(&self, is_here: impl Fn(Id<Peer>) -> bool, now: Timestamp) -> bool {
        let Given::Prefer(preferred) = &self.0 else { return false };
        preferred.awaited_until.is_some_and(|until| !until.is_due(now))
            && preferred.here.iter().filter(|peer| is_here(**peer)).count() < preferred.named
    }

    /// Until when preferred peers are waited for.
    pub(super) const fn awaited_until(&self) -> Option<Timestamp> {
        if let Given::Prefer(preferred) = &self.0 { preferred.awaited_until } else { None }
    }

    /// Whether the time of preferred peers is up, told once.
    pub(super) fn stop_awaiting(&mut self, now: Timestamp) -> bool {
        let Given::Prefer(preferred) = &mut self.0 else { return false };
        preferred.awaited_until.take_if(|until| until.is_due(now)).is_some()
    }

    /// Bytes held outside of the value itself.
    pub(super) fn heap_bytes(&self) -> usize {
        let (own, here) = match &self.0 {
            Given::Any => return 0,
            Given::Only(here) => (0, here),
            Given::Prefer(preferred) => (size_of::<Preferred>(), &preferred.here),
        };
        own + here.capacity() * size_of::<Id<Peer>>()
    }

    /// The most of them, with so many peers.
    pub(super) const fn bytes_max(peers: u64) -> u64 {
        size_of::<Preferred>() as u64 + list::<Id<Peer>>(peers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Timestamp = Timestamp::from_micros(1000);

    fn peer(place: u64) -> Id<Peer> {
        Id::from_bits(place)
    }

    #[test]
    fn only_the_given_may_be_asked_and_who_left_is_forgotten() {
        let mut given = GivenPeers::new(PeerRule::Only, SOON);
        assert!(!given.may_ask(peer(1)));
        given.admit(peer(1), |_| true);
        given.admit(peer(2), |id| id != peer(1));
        assert_eq!(given.only(), Some(&[peer(2)][..]));
        assert!(given.may_ask(peer(2)) && !given.may_ask(peer(1)) && !given.prefers(peer(2)));
        assert_eq!((given.preferred(), given.awaited_until()), (None, None));
        let any = GivenPeers::new(PeerRule::Any, SOON);
        assert!(any.may_ask(peer(1)) && !any.is_limited() && given.is_limited());
    }

    #[test]
    fn the_preferred_come_before_others_and_are_waited_for_until_they_are_all_here_or_late() {
        let mut given = GivenPeers::new(PeerRule::Prefer { named: 2 }, SOON);
        let start = Timestamp::ZERO;
        let all = |_| true;
        assert!(given.awaits(all, start));
        given.admit(peer(1), all);
        assert!(given.awaits(all, start) && !given.awaits(all, SOON));
        given.admit(peer(2), all);
        assert!(!given.awaits(all, start) && given.awaits(|id| id == peer(2), start));
        assert!(given.prefers(peer(1)) && !given.prefers(peer(3)) && given.may_ask(peer(3)));
        assert_eq!((given.only(), given.preferred()), (None, Some(&[peer(1), peer(2)][..])));
        assert!(!given.stop_awaiting(start) && given.stop_awaiting(SOON));
        assert!(!given.stop_awaiting(SOON) && !given.awaits(|_| false, start));
        let nobody = GivenPeers::new(PeerRule::Prefer { named: 0 }, SOON);
        assert_eq!((nobody.awaited_until(), nobody.awaits(all, start)), (None, false));
    }

    #[test]
    fn the_given_take_room() {
        assert_eq!(GivenPeers::new(PeerRule::Any, SOON).heap_bytes(), 0);
        for (rule, own) in [(PeerRule::Only, 0), (PeerRule::Prefer { named: 6 }, 48)] {
            let mut given = GivenPeers::new(rule, SOON);
            for n in 0..8 {
                given.admit(peer(n), |_| true);
            }
            assert_eq!(given.heap_bytes(), own + 8 * size_of::<Id<Peer>>());
        }
    }
}
