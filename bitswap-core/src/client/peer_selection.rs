//! Which peers a session asks: those from which a block is expected soonest.
//!
//! The expectation comes from what was observed: latency, throughput, what the peer still owes us, how often
//! it had what this session wanted, and what it said of this very block. Equal expectations are decided by
//! the engine's generator, so peers share evenly.
//!
//! Selecting changes nothing: the tables are read, and the choice is returned. Whoever wants to change whom
//! a session asks changes this file.

use alloc::vec::Vec;

use super::peer_state::PeerState;
use super::peer_want::{Answer, PeerWant};
use super::peers::Peers;
use super::session::Session;
use super::session_peers::SessionPeer;
use super::want_table::{Want, WantTable};
use crate::config::Config;
use crate::peer::Peer;
use crate::rng::Rng;
use crate::time::micros;
use crate::util::rows::{Id, Ref};

/// Likelihood of a peer that said HAVE, in per mille.
const SAID_HAVE: u64 = 950;
/// Microseconds that are added to what is expected of each peer: between two that would deliver at once,
/// the likelier one is better.
const LEAST_COST: u64 = 100;
/// Bytes that a session asks of peers that never delivered anything, all together. The rest of a large batch
/// waits for the first answers and goes to those who gave them.
const UNPROVEN_BYTES: u64 = 2 << 20;
/// The same where there are more peers than one step asks: those asked are a sample of them, and what goes
/// to a slow one has to be asked for again. Of each it is as many blocks, one at least.
const SAMPLE_BYTES: u64 = 320 << 10;
/// How many times as long as a peer that delivers, and is busy, another may take: estimates are no better
/// than that.
const BUSY_FACTOR: u64 = 2;

/// What a peer is selected for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// To be asked for the block.
    Block,
    /// To be asked whether it has the block.
    Presence,
    /// The same, of peers that may have what the session wants for all that is known.
    OpenPresence,
}

/// What is to be asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request {
    /// Any want, if none is named.
    pub(super) want: Option<Ref<Want>>,
    /// The size that is expected of the block.
    pub(super) size: u32,
    pub(super) purpose: Purpose,
    /// The most peers to be selected.
    pub(super) count: usize,
}

/// A selected peer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate {
    pub(super) peer: Id<Peer>,
    /// It said that it has the block.
    pub(super) said_have: bool,
    /// It has delivered blocks to the session.
    pub(super) is_proven: bool,
    /// It has never lacked one.
    pub(super) is_flawless: bool,
    cost: u64,
    /// Microseconds until the block would be here.
    expected: u64,
    tie: u64,
}

/// The peers selected, best first, and whether others were only too busy.
#[derive(Debug, Default)]
pub(super) struct Selected {
    pub(super) peers: Vec<Candidate>,
    pub(super) is_busy: bool,
    /// Microseconds until a peer that delivers, and has no room now, could have brought all that the session
    /// has yet to ask for.
    soonest: Option<u64>,
}

/// Selects peers for one session.
#[derive(Clone, Copy, Debug)]
pub(super) struct Selector<'a> {
    pub(super) config: &'a Config,
    pub(super) wants: &'a WantTable,
    pub(super) peers: &'a Peers,
    pub(super) session: &'a Session,
}

/// How wary to be of peers that never delivered anything.
#[derive(Clone, Copy, Debug)]
struct Caution {
    /// They are not to be asked now.
    only_proven: bool,
    /// Some have delivered, so those that still owe their first block get no other request.
    is_sampled: bool,
}

impl Selector<'_> {
    /// The best peers to ask: among those that the session works with and, when they do not suffice, all other
    /// connected peers.
    pub(super) fn select(&self, request: Request, rng: &mut Rng) -> Selected {
        let members = self.session.peers().members();
        let caution = self.caution(request);
        let mut selected = Selected::default();
        for member in members {
            self.consider(request, member, caution, rng, &mut selected);
        }
        // Peers enough, only busy: no reason to tell more of them.
        let enough = selected.is_busy
            && members.len() >= usize::from(self.config.fan_out)
            && self.is_first(request.want);
        if selected.peers.len() < request.count && !enough && self.may_widen(request.want) {
            let mut more = Selected::default();
            for (_, state) in self.peers.iter() {
                if !members.iter().any(|member| member.id() == state.id()) {
                    let stranger = SessionPeer::new(state.id());
                    self.consider(request, &stranger, caution, rng, &mut more);
                }
            }
            selected.is_busy |= more.is_busy;
            keep_best(&mut more.peers, request.count - selected.peers.len());
            selected.peers.append(&mut more.peers);
        }
        let for_block = request.purpose == Purpose::Block && request.want.is_some();
        if let Some(soonest) = selected.soonest.filter(|_| for_block) {
            let asked = selected.peers.len();
            let most = soonest.saturating_mul(BUSY_FACTOR);
            selected.peers.retain(|candidate| candidate.expected <= most);
            selected.is_busy |= selected.peers.len() < asked;
        }
        keep_best(&mut selected.peers, request.count);
        selected
    }

    /// There are more peers than one step asks.
    pub(super) fn has_choice(&self) -> bool {
        has_choice(self.config, self.peers)
    }

    /// More peers may learn of the want.
    pub(super) fn may_widen(&self, want: Option<Ref<Want>>) -> bool {
        let want = want.and_then(|want| self.wants.want(want));
        want.is_none_or(|want| want.peers() < u32::from(self.config.told_peers_max))
    }

    fn caution(&self, request: Request) -> Caution {
        let members = self.session.peers().members();
        let is_first = self.is_first(request.want);
        let unproven_max = if self.has_choice() {
            sample_bytes(members.len(), request.size)
        } else {
            UNPROVEN_BYTES
        };
        Caution {
            only_proven: match request.want {
                Some(_) if is_first => self.unproven_bytes() >= unproven_max,
                Some(want) => self.has_proven(want),
                None => false,
            },
            is_sampled: is_first && self.has_choice() && self.session.peers().any_has_served(),
        }
    }

    fn consider(
        &self,
        request: Request,
        member: &SessionPeer,
        caution: Caution,
        rng: &mut Rng,
        selected: &mut Selected,
    ) {
        let Request { want, size, purpose, .. } = request;
        let limits = &self.config.limits;
        let Some(state) = self.usable(member) else { return };
        if !self.session.peers().may_ask(member.id()) {
            return;
        }
        let earlier = want.and_then(|want| self.peer_want(want, member));
        let old = !state.has_presence();
        match purpose {
            Purpose::Presence | Purpose::OpenPresence if earlier.is_some() || old => return,
            Purpose::OpenPresence if self.session.peers().had_its_chance(member) => return,
            Purpose::Block if earlier.is_some_and(|earlier| !earlier.may_request()) => return,
            // A peer that cannot say what it lacks is asked first only if it served before.
            Purpose::Block
                if old && !member.has_served() && self.is_first(want) && self.has_others() =>
            {
                return;
            }
            _ => {}
        }
        let is_full = self.wants.peer_wants_len() >= limits.told as usize && earlier.is_none();
        let is_wary = purpose == Purpose::Block
            && !state.is_measured()
            && (caution.only_proven || caution.is_sampled && state.asked_bytes() > 0);
        let wants_max = if earlier.is_some() { u32::MAX } else { limits.told_per_peer };
        if is_wary || is_full || !state.has_room(size, wants_max, self.has_choice()) {
            selected.is_busy = true;
            if state.is_measured() && member.has_served() {
                let queued = self.session.wants().queued_len();
                let rest = u64::from(queued).saturating_mul(u64::from(size));
                let transfer = state.estimator().transfer(rest);
                let all = state.expected(size, 0).saturating_add(transfer);
                selected.soonest = Some(selected.soonest.map_or(all, |soonest| soonest.min(all)));
            }
            return;
        }
        let said_have = earlier.is_some_and(|earlier| earlier.answer() == Answer::Have);
        let expected = state.expected(size, micros(self.config.first_deadline) / 4);
        let likelihood = self.likelihood(member, said_have);
        selected.peers.push(Candidate {
            peer: member.id(),
            said_have,
            is_proven: member.has_served(),
            is_flawless: !member.has_lacked(),
            cost: expected.saturating_add(LEAST_COST).saturating_mul(1000) / likelihood.max(1),
            expected,
            tie: rng.next_u64(),
        });
    }

    /// How likely the peer has the block, in per mille.
    fn likelihood(&self, member: &SessionPeer, said_have: bool) -> u64 {
        let likelihood = if said_have { SAID_HAVE } else { u64::from(member.likelihood()) };
        // Blocks that are wanted one after the other often lie together, so a little better than the last
        // deliverer is no reason to change over.
        let alone = self.session.wants().live_len() == 1;
        if alone && self.session.peers().is_last_server(member.id()) {
            likelihood * 3 / 2
        } else {
            likelihood
        }
    }

    /// The peer, if it is here and can be asked.
    fn usable(&self, member: &SessionPeer) -> Option<&PeerState> {
        self.peers.get_id(member.id()).filter(|state| state.is_usable())
    }

    fn peer_want(&self, want: Ref<Want>, member: &SessionPeer) -> Option<&PeerWant> {
        let at = self.wants.peer_want_of(want, member.id().at())?;
        self.wants.peer_want(at)
    }

    /// A want that was late elsewhere can be asked of a member that delivers.
    fn has_proven(&self, want: Ref<Want>) -> bool {
        let is_late = self.wants.want(want).is_some_and(|row| row.rounds() > 0);
        is_late
            && self.session.peers().members().iter().any(|member| {
                member.has_served()
                    && self.usable(member).is_some_and(PeerState::is_measured)
                    && self.peer_want(want, member).is_none_or(PeerWant::may_request)
            })
    }

    /// Bytes asked of members that never delivered anything.
    fn unproven_bytes(&self) -> u64 {
        let members = self.session.peers().members().iter();
        members
            .filter_map(|member| self.peers.get(member.id().at()))
            .filter(|state| !state.is_measured())
            .map(PeerState::asked_bytes)
            .sum()
    }

    /// Nobody was told of the want yet.
    fn is_first(&self, want: Option<Ref<Want>>) -> bool {
        want.and_then(|want| self.wants.want(want)).is_none_or(Want::is_unasked)
    }

    /// The session has members that speak 1.2.0 or served it.
    fn has_others(&self) -> bool {
        self.session.peers().members().iter().any(|member| {
            let may_say = |state: &PeerState| member.has_served() || state.has_presence();
            self.usable(member).is_some_and(may_say)
        })
    }
}

/// There are more peers than one step asks.
pub(super) fn has_choice(config: &Config, peers: &Peers) -> bool {
    peers.len() > usize::from(config.fan_out)
}

fn keep_best(peers: &mut Vec<Candidate>, count: usize) {
    peers.sort_by_key(|candidate| (candidate.cost, candidate.tie));
    peers.truncate(count);
}

/// What is asked of a sample of so many peers: as many blocks of each, one at least.
fn sample_bytes(peers: usize, size: u32) -> u64 {
    let (peers, size) = (peers.max(1) as u64, u64::from(size.max(1)));
    (SAMPLE_BYTES / peers / size).max(1) * peers * size
}
