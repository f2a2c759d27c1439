//! Which peers one half of the engine needs a connection to.

use crate::peer::Peer;
use crate::util::deque::Deque;
use crate::util::rows::Ref;

/// Whether a half needs the connection to a peer. Kept with each peer.
#[derive(Debug, Default)]
pub(crate) struct Need {
    is_needed: bool,
    /// The peer is in the list of [`Needs`].
    is_listed: bool,
}

impl Need {
    pub(crate) const fn is_needed(&self) -> bool {
        self.is_needed
    }
}

/// The peers whose [`Need`] changed since it was looked at, each once.
#[derive(Debug, Default)]
pub(crate) struct Needs {
    changed: Deque<Ref<Peer>>,
}

impl Needs {
    pub(crate) fn set(&mut self, peer: Ref<Peer>, need: &mut Need, is_needed: bool) {
        if need.is_needed == is_needed {
            return;
        }
        need.is_needed = is_needed;
        if !core::mem::replace(&mut need.is_listed, true) {
            self.changed.push_back(peer);
        }
    }

    /// The next peer to look at; its need is given to [`Self::looked_at`].
    pub(crate) fn next(&mut self) -> Option<Ref<Peer>> {
        self.changed.pop_front()
    }

    /// What the need of a peer given by [`Self::next`] is.
    pub(crate) const fn looked_at(need: &mut Need) {
        need.is_listed = false;
    }

    /// The peer leaves.
    pub(crate) fn remove(&mut self, peer: Ref<Peer>, need: &Need) {
        if need.is_listed {
            // The next peer in this place is another one.
            self.changed.retain(|other| *other != peer);
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.changed.bytes()
    }

    /// The most bytes for one peer.
    pub(crate) const fn bytes_max_each() -> u64 {
        crate::memory::list::<Ref<Peer>>(1)
    }

    /// Whether the list and a peer's need agree.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn validate(&self, peer: Ref<Peer>, need: &Need) -> Result<(), &'static str> {
        let listed = self.changed.iter().filter(|other| **other == peer).count();
        if listed != usize::from(need.is_listed) {
            return Err("a peer is wrong about whether its need changed");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_whose_need_changed_is_listed_once_and_takes_room() {
        let mut needs = Needs::default();
        let [mut one, mut other] = [Need::default(), Need::default()];
        let [a, b] = [0, 1].map(Ref::from_place);
        needs.set(a, &mut one, false);
        assert_eq!((needs.bytes(), needs.next()), (0, None), "nothing changed");
        for is_needed in [true, false, true] {
            needs.set(a, &mut one, is_needed);
        }
        needs.set(b, &mut other, true);
        assert_eq!(needs.bytes(), 4 * size_of::<Ref<Peer>>());
        assert!(needs.validate(a, &one).is_ok() && needs.validate(a, &Need::default()).is_err());
        assert_eq!(needs.next(), Some(a));
        Needs::looked_at(&mut one);
        needs.set(a, &mut one, false);
        needs.remove(b, &other);
        assert_eq!([needs.next(), needs.next()], [Some(a), None]);
        assert!(!one.is_needed() && other.is_needed());
    }
}
