//! The peers of one session: who was asked, who had what it wanted, and how good its guesses were.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use crate::memory::{list, tree};
use crate::peer::Peer;
use crate::util::rows::Id;

/// Likelihood of a peer of which nothing is known, in per mille.
const UNKNOWN: u32 = 333;
/// Right first choices after which a session can afford to look for a better peer.
const SETTLED: u32 = 8;
/// A peer below this likelihood, in per mille, does not count as useful.
const USEFUL: u32 = 200;

/// A peer that a session works with.
#[derive(Clone, Copy, Debug)]
pub(super) struct SessionPeer {
    peer: Id<Peer>,
    blocks: u32,
    likelihood: u32,
    had: bool,
    lacked: bool,
    /// It was asked for a block beside the first choice, to find out how soon it delivers.
    was_tried: bool,
}

impl SessionPeer {
    pub(super) const fn new(peer: Id<Peer>) -> Self {
        let (likelihood, had, lacked, was_tried) = (UNKNOWN, false, false, false);
        Self { peer, blocks: 0, likelihood, had, lacked, was_tried }
    }

    pub(super) const fn id(&self) -> Id<Peer> {
        self.peer
    }

    /// It has delivered blocks to the session.
    pub(super) const fn has_served(&self) -> bool {
        self.blocks > 0
    }

    /// How likely it has a block of this session, in per mille, smoothed.
    pub(super) const fn likelihood(&self) -> u32 {
        self.likelihood
    }

    pub(super) const fn is_useful(&self) -> bool {
        self.likelihood >= USEFUL
    }

    /// It had a block of the session, as it said or showed.
    pub(super) const fn had(&self) -> bool {
        self.had
    }

    /// It was asked for a block beside the first choice.
    pub(super) const fn was_tried(&self) -> bool {
        self.was_tried
    }

    /// It has answered something of the session's blocks. (What it is asked it may never be sent: a want that ends
    /// before the stream is open is not.)
    pub(super) const fn has_answered(&self) -> bool {
        self.had || self.lacked
    }

    /// It did not have, or not deliver, a block of the session.
    pub(super) const fn has_lacked(&self) -> bool {
        self.lacked
    }

    /// It turned out to have, or not to have, or not to deliver, a block of the session.
    pub(super) const fn learn(&mut self, has: bool) {
        self.had |= has;
        self.lacked |= !has;
        self.likelihood = (self.likelihood * 5 + if has { 1000 } else { 0 }) / 6;
    }

    /// It has delivered a block; `news` when it had not said HAVE before.
    const fn serve(&mut self, news: bool) {
        self.blocks += 1;
        if news {
            self.learn(true);
        }
    }
}

/// The peers of one session. One that has left is in none of the sets after [`Self::retain`].
#[derive(Debug)]
pub(super) struct SessionPeers {
    /// Peers that the session works with, each once.
    members: Vec<SessionPeer>,
    /// Peers that were asked whether they have a block, members or not.
    probed: BTreeSet<Id<Peer>>,
    /// The last one that delivered a block.
    last_server: Option<Id<Peer>>,
    /// How often the first peer asked had the block, in per mille, smoothed.
    first_choice_rate: u32,
    /// How many times it had.
    right_first_choices: u32,
    /// The same, when a peer was last tried beside the first choice.
    explored_at: u32,
}

impl SessionPeers {
    pub(super) const fn new() -> Self {
        Self {
            members: Vec::new(),
            probed: BTreeSet::new(),
            last_server: None,
            first_choice_rate: 500,
            right_first_choices: 0,
            explored_at: 0,
        }
    }

    pub(super) fn members(&self) -> &[SessionPeer] {
        &self.members
    }

    /// A member, which it becomes if it is none.
    pub(super) fn add(&mut self, peer: Id<Peer>) {
        self.with(peer, |_| {});
    }

    fn with(&mut self, peer: Id<Peer>, change: impl FnOnce(&mut SessionPeer)) {
        if let Some(member) = self.members.iter_mut().find(|member| member.peer == peer) {
            return change(member);
        }
        let mut member = SessionPeer::new(peer);
        change(&mut member);
        self.members.push(member);
    }

    pub(super) fn learn(&mut self, peer: Id<Peer>, has: bool) {
        self.with(peer, |member| member.learn(has));
    }

    pub(super) fn serve(&mut self, peer: Id<Peer>, news: bool) {
        self.last_server = Some(peer);
        self.with(peer, |member| member.serve(news));
    }

    /// The peer is asked for a block to find out how soon it delivers.
    pub(super) fn try_out(&mut self, peer: Id<Peer>) {
        self.explored_at = self.right_first_choices;
        self.with(peer, |member| member.was_tried = true);
    }

    pub(super) fn is_last_server(&self, peer: Id<Peer>) -> bool {
        self.last_server == Some(peer)
    }

    pub(super) fn any_has_served(&self) -> bool {
        self.members.iter().any(SessionPeer::has_served)
    }

    /// How likely those are to have its blocks that never had one, in per mille of what would be expected of them: by how many
    /// of those that have answered had one. `None` when so many had that others are worth a question, and while none has
    /// delivered: then somebody must have what the session wants.
    pub(super) fn share_of_others(&self) -> Option<u32> {
        if !self.any_has_served() {
            return None;
        }
        let answered = self.members.iter().filter(|member| member.has_answered());
        let (had, all) =
            answered.fold((0, 0), |(had, all), member| (had + u32::from(member.had), all + 1));
        let likelihood = (had + 1) * 1000 / (all + 3);
        (likelihood < USEFUL).then(|| likelihood * 1000 / UNKNOWN)
    }

    /// The peer is asked whether it has a block.
    pub(super) fn probe(&mut self, peer: Id<Peer>) {
        self.probed.insert(peer);
    }

    /// The peer was asked before, and never had a block. (An answer that comes after the want has ended is
    /// not held against it, but neither is it asked for.)
    pub(super) fn had_its_chance(&self, member: &SessionPeer) -> bool {
        !member.had && (member.lacked || self.probed.contains(&member.peer))
    }

    /// Forgets peers that have left.
    pub(super) fn retain(&mut self, is_here: impl Fn(Id<Peer>) -> bool) {
        self.members.retain(|member| is_here(member.peer));
        self.probed.retain(|peer| is_here(*peer));
    }

    /// The first peer asked for a block had it, or not.
    pub(super) const fn first_choice_was(&mut self, right: bool) {
        self.right_first_choices = self.right_first_choices.saturating_add(right as u32);
        self.first_choice_rate = (self.first_choice_rate * 3 + if right { 1000 } else { 0 }) / 4;
    }

    pub(super) const fn first_choice_rate(&self) -> u32 {
        self.first_choice_rate
    }

    /// How many peers besides the first choice are asked whether they have the block.
    pub(super) const fn extras(&self, fan_out: u32) -> u32 {
        match self.first_choice_rate {
            900.. => 0,
            450..900 => 2,
            350..450 => 4,
            250..350 => 8,
            _ => fan_out.saturating_sub(1),
        }
    }

    /// So many first choices were right that one block too many hardly counts.
    pub(super) const fn is_settled(&self) -> bool {
        self.right_first_choices >= SETTLED
    }

    /// Since a peer was last tried beside the first choice, the right first choices have doubled.
    pub(super) const fn may_explore(&self) -> bool {
        self.is_settled() && self.right_first_choices >= self.explored_at.saturating_mul(2)
    }

    /// Whether to ask one more peer although the first choices are right: each time their number has doubled.
    /// A session that asks for one block at a time would otherwise never find a peer that delivers sooner.
    pub(super) const fn is_probe_due(&self) -> bool {
        self.is_settled() && self.right_first_choices.is_power_of_two()
    }

    /// Bytes held outside of the value itself.
    pub(super) fn heap_bytes(&self) -> usize {
        self.members.capacity() * size_of::<SessionPeer>()
            + self.probed.len() * size_of::<Id<Peer>>() * 3 / 2
    }

    /// The most of them, with so many peers.
    pub(super) const fn bytes_max(peers: u64) -> u64 {
        list::<SessionPeer>(peers) + tree::<Id<Peer>>(peers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(place: u64) -> Id<Peer> {
        Id::from_bits(place)
    }

    #[test]
    fn a_peer_is_judged_by_what_it_had() {
        let mut peers = SessionPeers::new();
        peers.learn(peer(1), true);
        peers.learn(peer(2), false);
        peers.learn(peer(2), false);
        peers.learn(peer(2), false);
        let [one, two] = peers.members() else { panic!("{peers:?}") };
        assert!(one.likelihood() > UNKNOWN && one.is_useful() && !peers.had_its_chance(one));
        assert!(!two.is_useful() && two.has_lacked() && peers.had_its_chance(two));
        let new = SessionPeer::new(peer(3));
        assert!(new.is_useful() && !peers.had_its_chance(&new));
        peers.probe(peer(3));
        assert!(peers.had_its_chance(&new));
        peers.serve(peer(2), true);
        assert!(!peers.had_its_chance(&peers.members()[1]), "it had a block after all");
        assert!(peers.is_last_server(peer(2)) && peers.any_has_served());
        let one = peers.members()[0];
        assert!(one.had() && one.has_answered() && !one.was_tried() && !new.has_answered());
        peers.try_out(peer(1));
        assert!(peers.members()[0].was_tried());
    }

    #[test]
    fn the_fewer_had_a_block_the_less_is_expected_of_others_once_one_delivers() {
        let mut peers = SessionPeers::new();
        (0..7).for_each(|at| peers.learn(peer(at), false));
        assert_eq!(peers.share_of_others(), None, "somebody must have it");
        peers.serve(peer(7), true);
        // Two of eleven, beside a third: one that had and seven that lacked, and one and two to begin with.
        assert_eq!(peers.share_of_others(), Some(181 * 1000 / UNKNOWN));
        peers.learn(peer(0), true);
        assert_eq!(peers.share_of_others(), None, "three of eleven");
    }

    #[test]
    fn the_better_the_first_choices_the_fewer_others_are_asked() {
        let mut peers = SessionPeers::new();
        assert_eq!(peers.extras(16), 2);
        let extras = [true; 9].map(|right| {
            peers.first_choice_was(right);
            peers.extras(16)
        });
        assert_eq!(extras, [2, 2, 2, 2, 2, 0, 0, 0, 0]);
        let extras = [false; 6].map(|right| {
            peers.first_choice_was(right);
            peers.extras(16)
        });
        assert_eq!(extras, [2, 2, 4, 8, 15, 15]);
    }

    #[test]
    fn a_probe_is_due_each_time_the_right_first_choices_have_doubled() {
        let mut peers = SessionPeers::new();
        let mut due = Vec::new();
        for choice in 1..=40 {
            peers.first_choice_was(true);
            peers.first_choice_was(false);
            if peers.is_probe_due() {
                due.push(choice);
            }
        }
        assert_eq!(due, [8, 16, 32]);
    }

    #[test]
    fn a_session_explores_once_each_time_the_right_first_choices_have_doubled() {
        let mut peers = SessionPeers::new();
        let mut explored = Vec::new();
        for choice in 1..=40 {
            peers.first_choice_was(true);
            if peers.may_explore() {
                peers.try_out(peer(1));
                explored.push(choice);
            }
        }
        assert_eq!(explored, [8, 16, 32]);
    }

    #[test]
    fn who_left_is_forgotten() {
        let mut peers = SessionPeers::new();
        peers.add(peer(1));
        peers.add(peer(1));
        peers.probe(peer(1));
        peers.retain(|id| id != peer(1));
        assert!(peers.members().is_empty() && peers.probed.is_empty());
    }

    #[test]
    fn members_and_the_probed_take_room() {
        let mut peers = SessionPeers::new();
        for n in 0..6 {
            peers.probe(peer(n));
        }
        let probed = 9 * size_of::<Id<Peer>>();
        assert_eq!(peers.heap_bytes(), probed);
        peers.add(peer(1));
        let members = peers.members.capacity() * size_of::<SessionPeer>();
        assert!(members > 0);
        assert_eq!(peers.heap_bytes(), probed + members);
    }
}
