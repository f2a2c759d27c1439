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
/// How many times as soon as the first choice a peer must promise its block that never delivered one, for it
/// to be asked at the same time. Otherwise a slow peer that has every block would be asked for all of them.
const TRIAL_FACTOR: u64 = 2;
/// Wants of a session above which no peer is tried: what one peer cannot deliver at once goes to others anyway.
pub(super) const TRIAL_WANTS: u32 = 2;

/// What a peer is selected for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// To be asked for the block.
    Block,
    /// To be asked whether it has the block.
    Presence,
    /// The same, of peers that may have what the session wants for all that is known.
    OpenPresence,
    /// The same, of peers that the session has never heard of.
    Probe,
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
    /// The same, longer by how often the peer lacked or did not deliver blocks: they are asked for elsewhere then.
    likely: u64,
    /// The same of a peer that had a block, at best; what it has not delivered it may have promised by its HAVE.
    at_best: Option<u64>,
    /// It has only said HAVE so far, and was not tried.
    is_new: bool,
    tie: u64,
}

/// The peers selected, best first, and whether others were only too busy.
#[derive(Debug, Default)]
pub(super) struct Selected {
    pub(super) peers: Vec<Candidate>,
    pub(super) is_busy: bool,
    /// A peer that has delivered nothing, and may be much sooner than the first choice for all that is known:
    /// worth one request beside it, to find out.
    pub(super) trial: Option<Candidate>,
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
    /// Nobody may be asked now but peers that the session prefers. They are members.
    pub(super) preferred_alone: bool,
}

/// How wary to be of peers that never delivered anything.
#[derive(Clone, Copy, Debug)]
struct Caution {
    /// They are not to be asked now.
    only_proven: bool,
    /// Some have delivered, so those that still owe their first block get no other request.
    is_sampled: bool,
    /// Some have delivered, and so many others lacked what the session wants that the rest are only this likely to have it,
    /// in per mille of what would be expected of them.
    unlikely: Option<u64>,
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
        let may_widen = !self.preferred_alone && self.may_widen(request.want);
        if selected.peers.len() < request.count && !enough && may_widen {
            let mut more = Selected::default();
            let mut known: Vec<Id<Peer>> = members.iter().map(SessionPeer::id).collect();
            known.sort_unstable();
            for (_, state) in self.peers.iter() {
                if known.binary_search(&state.id()).is_err() {
                    let stranger = SessionPeer::new(state.id());
                    self.consider(request, &stranger, caution, rng, &mut more);
                }
            }
            selected.is_busy |= more.is_busy;
            sort(&mut more.peers);
            more.peers.truncate(request.count - selected.peers.len());
            selected.peers.append(&mut more.peers);
        }
        let for_block = request.purpose == Purpose::Block && request.want.is_some();
        if let Some(soonest) = selected.soonest.filter(|_| for_block) {
            let asked = selected.peers.len();
            let most = soonest.saturating_mul(BUSY_FACTOR);
            selected.peers.retain(|candidate| candidate.likely <= most);
            selected.is_busy |= selected.peers.len() < asked;
        }
        sort(&mut selected.peers);
        let few = self.session.wants().live_len() <= TRIAL_WANTS;
        let explores = self.session.peers().may_explore();
        selected.trial = find_trial(&selected.peers, explores).filter(|_| for_block && few);
        selected.peers.truncate(request.count);
        selected
    }

    /// There are more peers than one step asks.
    pub(super) fn has_choice(&self) -> bool {
        has_choice(self.config, self.peers)
    }

    /// More peers may learn of the want: who says that it lacks the block gives its place to another.
    pub(super) fn may_widen(&self, want: Option<Ref<Want>>) -> bool {
        let want = want.and_then(|want| self.wants.want(want));
        want.is_none_or(|want| want.hopeful() < u32::from(self.config.peers_per_want_max))
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
            unlikely: self.session.peers().share_of_others().map(u64::from),
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
        if !self.may_ask(member) {
            return;
        }
        let earlier = want.and_then(|want| self.peer_want(want, member));
        let old = !state.has_presence();
        match purpose {
            Purpose::Presence | Purpose::OpenPresence | Purpose::Probe
                if earlier.is_some() || old =>
            {
                return;
            }
            Purpose::OpenPresence if self.session.peers().had_its_chance(member) => return,
            Purpose::Probe if member.has_answered() => return,
            Purpose::Block if earlier.is_some_and(|earlier| !earlier.may_request()) => return,
            // A peer that cannot say what it lacks is asked first only if it served before.
            Purpose::Block
                if old && !member.has_served() && self.is_first(want) && self.has_others() =>
            {
                return;
            }
            _ => {}
        }
        let is_full =
            self.wants.peer_wants_len() >= limits.sent_wants as usize && earlier.is_none();
        let is_wary = purpose == Purpose::Block
            && !state.punctuality().is_measured()
            && (caution.only_proven || caution.is_sampled && state.asked_bytes() > 0);
        let wants_max = if earlier.is_some() { u32::MAX } else { limits.sent_wants_per_peer };
        if is_wary || is_full || !state.has_room(size, wants_max, self.has_choice()) {
            selected.is_busy = true;
            // Who owes nothing has its places taken by wants that it has answered: it does not gain room by
            // delivering. Nor does one that is held to a rate.
            let gains_room = state.asked_bytes() > 0 && !state.throttle().is_closed();
            if state.punctuality().is_measured() && member.has_served() && gains_room {
                let queued = self.session.wants().queued_len();
                let rest = u64::from(queued).saturating_mul(u64::from(size));
                let transfer = state.punctuality().estimator().transfer(rest);
                let all = state.expected(size, 0).saturating_add(transfer);
                selected.soonest = Some(selected.soonest.map_or(all, |soonest| soonest.min(all)));
            }
            return;
        }
        let said_have = earlier.is_some_and(|earlier| earlier.answer() == Answer::Have);
        let expected = state.expected(size, micros(self.config.first_deadline) / 4);
        let likelihood = self.likelihood(member, said_have, caution).max(1);
        let is_doubtful =
            member.has_lacked() || caution.unlikely.is_some() && !member.has_answered();
        let by_likelihood = |time: u64| time.saturating_mul(1000) / likelihood;
        selected.peers.push(Candidate {
            peer: member.id(),
            said_have,
            is_proven: member.has_served(),
            is_flawless: !member.has_lacked(),
            cost: by_likelihood(expected.saturating_add(LEAST_COST)),
            expected,
            likely: if is_doubtful { by_likelihood(expected) } else { expected },
            at_best: state
                .punctuality()
                .promised(self.session.peers().is_settled())
                .or_else(|| state.punctuality().is_measured().then_some(expected))
                .filter(|_| member.had()),
            is_new: !state.punctuality().is_measured() && !member.was_tried(),
            tie: rng.next_u64(),
        });
    }

    /// How likely the peer has the block, in per mille.
    fn likelihood(&self, member: &SessionPeer, said_have: bool, caution: Caution) -> u64 {
        let likelihood = match caution.unlikely {
            _ if said_have => SAID_HAVE,
            Some(share) if !member.had() => u64::from(member.likelihood()) * share / 1000,
            _ => member.likelihood().into(),
        };
        // Blocks that are wanted one after the other often lie together, so a little better than the last
        // deliverer is no reason to change over.
        let alone = self.session.wants().live_len() == 1;
        if alone && self.session.peers().is_last_server(member.id()) {
            likelihood * 3 / 2
        } else {
            likelihood
        }
    }

    /// The session may ask the peer now.
    fn may_ask(&self, member: &SessionPeer) -> bool {
        let given = self.session.given();
        if self.preferred_alone { given.prefers(member.id()) } else { given.may_ask(member.id()) }
    }

    /// The peer, if it is here and can be asked.
    fn usable(&self, member: &SessionPeer) -> Option<&PeerState> {
        self.peers.get_id(member.id()).filter(|state| state.is_usable())
    }

    fn peer_want(&self, want: Ref<Want>, member: &SessionPeer) -> Option<&PeerWant> {
        let at = self.wants.peer_want_of(want, member.id().at())?;
        self.wants.peer_want(at)
    }

    /// A want that was late elsewhere can be asked of a member that delivers, and goes on doing so.
    fn has_proven(&self, want: Ref<Want>) -> bool {
        let is_late = self.wants.want(want).is_some_and(|row| row.rounds() > 0);
        let delivers = |state: &PeerState| {
            state.punctuality().is_measured() && !state.punctuality().is_silent()
        };
        is_late
            && self.session.peers().members().iter().any(|member| {
                member.has_served()
                    && self.may_ask(member)
                    && self.usable(member).is_some_and(delivers)
                    && self.peer_want(want, member).is_none_or(PeerWant::may_request)
            })
    }

    /// Bytes asked of members that never delivered anything.
    fn unproven_bytes(&self) -> u64 {
        let members = self.session.peers().members().iter();
        members
            .filter_map(|member| self.peers.get(member.id().at()))
            .filter(|state| !state.punctuality().is_measured())
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
            self.may_ask(member) && self.usable(member).is_some_and(may_say)
        })
    }
}

/// There are more peers than one step asks.
pub(super) fn has_choice(config: &Config, peers: &Peers) -> bool {
    peers.len() > usize::from(config.fan_out)
}

/// Sorts the best first.
fn sort(peers: &mut [Candidate]) {
    peers.sort_by_key(|candidate| (candidate.cost, candidate.tie));
}

/// Of the peers other than the first the one that may be soonest, if that is much, or the session may explore.
fn find_trial(peers: &[Candidate], explores: bool) -> Option<Candidate> {
    let (first, others) = peers.split_first()?;
    let factor = if explores { 1 } else { TRIAL_FACTOR };
    let (_, trial) = others
        .iter()
        .filter(|other| explores || other.is_new)
        .filter_map(|other| Some((other.at_best?, other)))
        .filter(|(at_best, _)| at_best.saturating_mul(factor) < first.expected)
        .min_by_key(|(at_best, _)| *at_best)?;
    first.is_proven.then_some(*trial)
}

/// What is asked of a sample of so many peers: as many blocks of each, one at least.
fn sample_bytes(peers: usize, size: u32) -> u64 {
    let (peers, size) = (peers.max(1) as u64, u64::from(size.max(1)));
    (SAMPLE_BYTES / peers / size).max(1) * peers * size
}

#[cfg(test)]
mod tests;
