//! Whom to ask: the peer from which a block is expected soonest.
//!
//! The expectation comes from what was observed: latency, throughput, what the peer still owes us,
//! how often it had what this session wanted, and what it said of this very block. Equal
//! expectations are decided by the engine's generator, so peers share evenly.

use alloc::vec::Vec;

use super::Client;
use super::contact::Contact;
use super::session::{Member, Session};
use super::table::{Answer, Pair};
use crate::peer::micros;
use crate::rows::Id;

/// Likelihood of a peer that said HAVE, in per mille.
const SAID_HAVE: u64 = 950;

/// Bytes that a session asks of peers that never delivered anything, all together. The rest of a
/// large batch waits for the first answers and goes to those who gave them.
const UNPROVEN_BYTES: u64 = 2 << 20;
/// The same where there are more peers than one step asks: those asked are a sample of them, and
/// what goes to a slow one has to be asked for again. Of each it is as many blocks, one at least.
const SAMPLE_BYTES: u64 = 320 << 10;

/// A peer that could be asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate {
    pub(super) peer: u32,
    /// It said that it has the block.
    pub(super) said_have: bool,
    /// It has delivered blocks to the session.
    pub(super) proven: bool,
    /// It has never lacked one.
    pub(super) flawless: bool,
    cost: u64,
    /// Microseconds until the block would be here.
    expected: u64,
    tie: u64,
}

/// What a peer can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum For {
    Block,
    Presence,
    /// Presence, of peers that may have what the session wants for all that is known.
    OpenPresence,
}

/// Peers found, and whether others were only too busy.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) peers: Vec<Candidate>,
    pub(super) busy: bool,
    /// Peers that never delivered anything are not to be asked now.
    only_proven: bool,
    /// Some have delivered, so those that still owe their first block get no other question.
    sampled: bool,
    /// Microseconds until a peer that delivers, and has no room now, could have brought all that the
    /// session has yet to ask for.
    soonest: Option<u64>,
}

impl Client {
    /// The best `count` peers of a session to ask for a want, best first: among its members and,
    /// when they do not suffice, all other connected peers.
    pub(super) fn pick(
        &mut self,
        session: u32,
        want: Option<u32>,
        size: u32,
        purpose: For,
        count: usize,
    ) -> Found {
        let mut found = Found::default();
        let Some(row) = self.sessions.at(session) else { return found };
        let members: Vec<Member> = row.members.clone();
        let unproven_max =
            if self.has_choice() { sample_bytes(members.len(), size) } else { UNPROVEN_BYTES };
        found.only_proven = match want {
            Some(want) if self.is_first(Some(want)) => {
                self.unproven_bytes(&members) >= unproven_max
            }
            Some(want) => self.has_proven(want, &members),
            None => false,
        };
        found.sampled = self.is_first(want)
            && self.has_choice()
            && members.iter().any(|member| member.served > 0);
        for member in &members {
            self.consider(session, want, size, purpose, member, &mut found);
        }
        // Peers enough, only busy: no reason to tell more of them.
        let enough =
            found.busy && members.len() >= usize::from(self.config.fan_out) && self.is_first(want);
        if found.peers.len() < count && !enough && self.may_widen(want) {
            let strangers: Vec<Member> = self
                .peers
                .iter()
                .map(|(_, contact)| contact.id)
                .filter(|id| !members.iter().any(|member| member.peer == *id))
                .map(Member::new)
                .collect();
            let mut more = Found {
                only_proven: found.only_proven,
                sampled: found.sampled,
                ..Found::default()
            };
            for stranger in &strangers {
                self.consider(session, want, size, purpose, stranger, &mut more);
            }
            found.busy |= more.busy;
            self.keep_best(&mut more.peers, count - found.peers.len());
            found.peers.append(&mut more.peers);
        }
        if let Some(soonest) = found.soonest.filter(|_| purpose == For::Block && want.is_some()) {
            // Twice, because estimates are no better than that. Silences make a peer's estimate longer.
            let asked = found.peers.len();
            found.peers.retain(|candidate| candidate.expected <= soonest.saturating_mul(2));
            found.busy |= found.peers.len() < asked;
        }
        self.keep_best(&mut found.peers, count);
        found
    }

    /// More peers may learn of the want.
    pub(super) fn may_widen(&self, want: Option<u32>) -> bool {
        want.and_then(|want| self.wants.at(want))
            .is_none_or(|row| row.pairs_len < self.config.told_peers_max)
    }

    fn consider(
        &mut self,
        session: u32,
        want: Option<u32>,
        size: u32,
        purpose: For,
        member: &Member,
        found: &mut Found,
    ) {
        let pair = want
            .and_then(|want| self.find_pair(want, member.peer.index))
            .and_then(|pair| self.pairs.at(pair));
        let Some(row) = self.sessions.at(session) else { return };
        let limits = &self.config.limits;
        let Some(contact) = self.peers.get(member.peer.index) else { return };
        if contact.id != member.peer || !contact.usable() || !row.may_ask(member.peer) {
            return;
        }
        let old = !contact.has_presence();
        match purpose {
            For::Presence | For::OpenPresence if pair.is_some() || old => return,
            For::OpenPresence if row.had_its_chance(member) => return,
            For::Block if pair.is_some_and(|pair| !may_request(pair)) => return,
            // A peer that cannot say what it lacks is asked first only if it served before.
            For::Block if old && member.served == 0 && self.is_first(want) && self.others(row) => {
                return;
            }
            _ => {}
        }
        let full = self.pairs.len() >= limits.told as usize && pair.is_none();
        let wary = purpose == For::Block
            && contact.meter.latency().is_none()
            && (found.only_proven || found.sampled && contact.asked_bytes > 0);
        let told_max = if pair.is_some() { u32::MAX } else { limits.told_per_peer };
        if wary || full || !contact.has_room(size, told_max, self.has_choice()) {
            found.busy = true;
            if contact.meter.latency().is_some() && member.served > 0 {
                let rest = u64::from(row.queued).saturating_mul(u64::from(size));
                let all = contact.expected(size, 0).saturating_add(contact.meter.transfer(rest));
                found.soonest = Some(found.soonest.map_or(all, |soonest| soonest.min(all)));
            }
            return;
        }
        let said_have = pair.is_some_and(|pair| pair.answer == Answer::Have);
        let mut likelihood = if said_have { SAID_HAVE } else { u64::from(member.likelihood) };
        // Blocks that are wanted one after the other often lie together, so a little better than the
        // last deliverer is no reason to change one's mind.
        if row.favourite == Some(member.peer) && row.wants() == 1 {
            likelihood = likelihood * 3 / 2;
        }
        let expected = contact.expected(size, micros(self.config.first_deadline) / 4);
        let cost = expected.saturating_add(100).saturating_mul(1000) / likelihood.max(1);
        let tie = self.rng.next_u64();
        found.peers.push(Candidate {
            peer: member.peer.index,
            said_have,
            proven: member.served > 0,
            flawless: !member.lacked,
            cost,
            expected,
            tie,
        });
    }

    /// There are more peers than one step asks.
    pub(super) fn has_choice(&self) -> bool {
        self.peers.len() > usize::from(self.config.fan_out)
    }

    /// A want that was late elsewhere can be asked of a member that delivers.
    fn has_proven(&self, want: u32, members: &[Member]) -> bool {
        let late = self.wants.at(want).is_some_and(|row| row.rounds > 0);
        late && members.iter().any(|member| {
            let peer = member.peer.index;
            let usable = |contact: &Contact| {
                contact.id == member.peer && contact.usable() && contact.meter.latency().is_some()
            };
            let pair = self.find_pair(want, peer).and_then(|pair| self.pairs.at(pair));
            member.served > 0
                && self.peers.get(peer).is_some_and(usable)
                && pair.is_none_or(may_request)
        })
    }

    fn unproven_bytes(&self, members: &[Member]) -> u64 {
        members
            .iter()
            .filter_map(|member| self.peers.get(member.peer.index))
            .filter(|contact| contact.meter.latency().is_none())
            .map(|contact| contact.asked_bytes)
            .sum()
    }

    /// Nobody was told of the want yet.
    fn is_first(&self, want: Option<u32>) -> bool {
        want.and_then(|want| self.wants.at(want)).is_none_or(|row| row.pairs_len == 0)
    }

    /// The session has members that speak 1.2.0 or served it.
    fn others(&self, session: &Session) -> bool {
        session.members.iter().any(|member| {
            self.peers.get(member.peer.index).is_some_and(|contact| {
                contact.id == member.peer
                    && contact.usable()
                    && (member.served > 0 || contact.has_presence())
            })
        })
    }

    fn keep_best(&self, peers: &mut Vec<Candidate>, count: usize) {
        peers.sort_by_key(|candidate| (candidate.cost, candidate.tie));
        peers.truncate(count);
    }

    /// Forgets members that have left, and adds the best others until `count` members are likely
    /// to be of use.
    pub(super) fn gather(&mut self, session: u32, count: usize, size: u32) {
        let Some(row) = self.sessions.at_mut(session) else { return };
        let peers = &self.peers;
        let is_here = |id: Id| peers.get(id.index).is_some_and(|contact| contact.id == id);
        row.members.retain(|member| is_here(member.peer));
        row.questioned.retain(|id| is_here(*id));
        let talks = |member: &Member| {
            peers.get(member.peer.index).is_some_and(|c| c.silences == 0 && c.usable())
        };
        let useful = |member: &&Member| member.likelihood >= 200 && talks(member);
        let useful = row.members.iter().filter(useful).count();
        let members = row.members.len();
        if useful >= count || members >= self.peers.len() {
            return;
        }
        let found = self.pick(session, None, size, For::Block, members + count - useful);
        let ids: Vec<_> =
            found.peers.iter().filter_map(|c| Some(self.peers.get(c.peer)?.id)).collect();
        if let Some(row) = self.sessions.at_mut(session) {
            for id in ids {
                row.member(id);
            }
        }
    }
}

/// What is asked of a sample of so many peers: as many blocks of each, one at least.
fn sample_bytes(peers: usize, size: u32) -> u64 {
    let (peers, size) = (peers.max(1) as u64, u64::from(size.max(1)));
    (SAMPLE_BYTES / peers / size).max(1) * peers * size
}

/// The block may be asked for: no request is open, and nothing speaks against it. One that was late
/// is asked again when it says HAVE, or when it has its second chance.
fn may_request(pair: &Pair) -> bool {
    !pair.request && matches!(pair.answer, Answer::None | Answer::Have)
}
