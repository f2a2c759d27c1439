//! What the table of wants, the peers and the timers have in common about a peer want: changed together.

use core::time::Duration;

use super::Client;
use super::peer_state::PeerState;
use super::peer_want::{Answer, Patience, PeerWant, Pending};
use super::want_table::Want;
use crate::config::Config;
use crate::message::WantKind;
use crate::peer::Peer;
use crate::time::{Timestamp, micros};
use crate::trace::log;
use crate::util::rows::Ref;

/// The longest that a peer of known speed is given for a block.
const PROVEN_MAX: Duration = Duration::from_secs(60);
/// What a block of unknown size may be of, in bytes: a leaf of a file is much larger than the least that is
/// charged for it.
const LEAF_BYTES: u32 = 128 << 10;
/// How many times its first deadline a request may last while its peer delivers other blocks.
const STRETCH: u32 = 4;

/// How long a peer may take for a block.
fn patience(config: &Config, state: &PeerState, row: &PeerWant) -> Duration {
    let estimator = state.punctuality().estimator();
    if state.punctuality().is_measured() {
        let time = Duration::from_micros(estimator.patience(row.bytes_until()));
        time.clamp(config.deadline_min, PROVEN_MAX.max(config.deadline_max))
    } else {
        let transfer = Duration::from_micros(estimator.transfer(row.owed_until(LEAF_BYTES)));
        (config.first_deadline + transfer).min(config.deadline_max)
    }
}

impl Client {
    /// Makes a peer want with nothing to be sent yet.
    pub(super) fn add_peer_want(
        &mut self,
        want: Ref<Want>,
        peer: Ref<Peer>,
        now: Timestamp,
    ) -> Ref<PeerWant> {
        let at = self.wants.add_peer_want(PeerWant::new(want, peer, now));
        match self.peers.get_mut(peer) {
            Some(state) => state.queue_mut().insert(self.wants.peer_wants_mut(), at),
            None => debug_assert!(false, "a want is for a peer that is not here"),
        }
        self.peers.update_need(peer);
        at
    }

    /// Sets what is to be sent to the peer.
    pub(super) fn set_pending(
        &mut self,
        at: Ref<PeerWant>,
        pending: Option<Pending>,
        now: Timestamp,
    ) {
        let Some(peer) = self.wants.peer_want(at).map(PeerWant::peer) else { return };
        if let Some(state) = self.peers.get_mut(peer) {
            state.queue_mut().set_pending(self.wants.peer_wants_mut(), at, pending, now);
        }
        if pending.is_some() {
            self.peers.set_sending(peer);
        }
    }

    /// Makes it a request for the block of about `size` bytes.
    pub(super) fn request(&mut self, at: Ref<PeerWant>, size: u32, now: Timestamp) {
        let choice = self.has_choice();
        let want = self.wants.peer_want(at).map(PeerWant::want);
        let is_guess = want.is_some_and(|want| self.wants.is_size_guessed(want));
        self.wants.set_request(at, true);
        let Some(row) = self.wants.peer_want_mut(at) else { return };
        if row.charged() == 0
            && let Some(state) = self.peers.get_mut(row.peer())
        {
            let size = size.max(1);
            row.set_charge(size, is_guess, state.charge(size, choice, now));
            if is_guess {
                state.guess(size);
            }
        }
        let (peer, want) = (row.peer(), row.want());
        row.restart(now);
        log!(
            trace,
            "a block is asked for",
            cid = self.wants.logged_cid(want),
            row = peer,
            size = size
        );
        self.update_peer_throttle(peer, now);
        self.set_pending(at, Some(Pending::Want(WantKind::Block)), now);
        self.arm_deadline(at, now);
    }

    /// It no longer holds up further requests.
    pub(super) fn end_request(&mut self, at: Ref<PeerWant>) {
        self.wants.set_request(at, false);
        if let Some(row) = self.wants.peer_want_mut(at) {
            let before = row.set_deadline(None);
            self.timers.requests.set(at, before, None);
        }
    }

    /// The peer owes nothing for it any more.
    pub(super) fn refund(&mut self, at: Ref<PeerWant>, now: Timestamp) {
        let Some(row) = self.wants.peer_want_mut(at) else { return };
        let ((charged, was_guess), peer) = (row.take_charge(), row.peer());
        if charged > 0
            && let Some(state) = self.peers.get_mut(peer)
        {
            state.refund(charged, was_guess);
            self.update_peer_throttle(peer, now);
            self.schedule.peer_has_room();
        }
    }

    /// Removes it. What the peer was sent of it must have ended, or not matter any more.
    pub(super) fn remove_peer_want(&mut self, at: Ref<PeerWant>, now: Timestamp) {
        self.end_request(at);
        self.refund(at, now);
        self.set_pending(at, None, now);
        let Some(row) = self.wants.peer_want(at) else { return };
        let (want, peer) = (row.want(), row.peer());
        if let Some(state) = self.peers.get_mut(peer) {
            state.queue_mut().remove(self.wants.peer_wants_mut(), at);
        }
        self.peers.update_need(peer);
        self.wants.remove_peer_want(at);
        self.wants.free_if_unused(want);
    }

    /// The want is over for this peer: it is sent a cancel if it was sent the want.
    pub(super) fn cancel_peer_want(&mut self, at: Ref<PeerWant>, now: Timestamp) {
        self.end_request(at);
        let Some(row) = self.wants.peer_want(at) else { return };
        if row.sent().is_none() {
            return self.remove_peer_want(at, now);
        }
        let may_come = row.answer() != Answer::DontHave;
        let peer = row.peer();
        self.refund(at, now);
        if may_come && let Some(state) = self.peers.get_mut(peer) {
            state.expect_superfluous();
        }
        self.set_pending(at, Some(Pending::Cancel), now);
    }

    /// A want is wanted again before all its peers were sent that it was over: those not sent it yet go on as
    /// if nothing had happened.
    pub(super) fn revive_peer_wants(&mut self, want: Ref<Want>, now: Timestamp) {
        for at in self.peer_wants_of(want) {
            let Some(row) = self.wants.peer_want(at) else { continue };
            let Some(state) = self.peers.get(row.peer()) else { continue };
            // A whole wantlist is due: it must name what is wanted again.
            let is_lost = state.queue().is_full_due();
            if is_lost && row.sent() == Some(WantKind::Have) && !state.has_presence() {
                // The stream was opened again for an older version, which has no want-haves.
                self.remove_peer_want(at, now);
                continue;
            }
            let again = row.sent().filter(|_| is_lost).map(Pending::Want);
            self.set_pending(at, again, now);
            let Some(row) = self.wants.peer_want_mut(at) else { continue };
            if row.sent() == Some(WantKind::Block) && row.answer() == Answer::None {
                row.restart(now);
                self.wants.set_request(at, true);
                self.arm_deadline(at, now);
            }
        }
    }

    /// The peer wants of a want, for those who change them.
    pub(super) fn peer_wants_of(&self, want: Ref<Want>) -> alloc::vec::Vec<Ref<PeerWant>> {
        self.wants.peer_wants_of(want).map(|(at, _)| at).collect()
    }

    /// Removes all peer wants of a peer that cannot be asked any more. Decisions about their wants are due.
    pub(super) fn give_up_peer(&mut self, peer: Ref<Peer>, now: Timestamp) {
        let Some(state) = self.peers.get_mut(peer) else { return };
        // It may remember what it was sent: a whole wantlist will replace that.
        state.queue_mut().give_up();
        while let Some(at) = self.peers.get(peer).and_then(|state| state.queue().any()) {
            let Some(want) = self.wants.peer_want(at).map(PeerWant::want) else { return };
            self.remove_peer_want(at, now);
            self.wants.set_undecided(want);
        }
    }

    /// There is no room for another peer want of this peer.
    pub(super) fn is_crowded(&self, peer: Ref<Peer>) -> bool {
        let limits = &self.config.limits;
        self.wants.peer_wants_len() >= limits.sent_wants as usize
            || self
                .peers
                .get(peer)
                .is_some_and(|peer| peer.queue().len() >= limits.sent_wants_per_peer)
    }

    // Deadlines.

    /// (Re-)arms the deadline of a request from what is measured of its peer.
    pub(super) fn arm_deadline(&mut self, at: Ref<PeerWant>, now: Timestamp) {
        let Some(row) = self.wants.peer_want_mut(at).filter(|row| row.is_request()) else { return };
        let Some(state) = self.peers.get(row.peer()) else { return };
        let time = patience(&self.config, state, row);
        row.set_last_chance(now + time.saturating_mul(STRETCH));
        self.give_time(at, now, now);
    }

    /// A request that was made at `since` has until the next time at which something is done about it.
    fn give_time(&mut self, at: Ref<PeerWant>, since: Timestamp, now: Timestamp) {
        let Some(row) = self.wants.peer_want(at) else { return };
        let Some(state) = self.peers.get(row.peer()) else { return };
        let full = patience(&self.config, state, row);
        let slack = self.config.deadline_min;
        // What is asked behind something else is moved when that is late.
        let is_first = row.bytes_before() == 0;
        let early = is_first.then(|| state.punctuality().early_patience(row.bytes_until(), slack));
        let early = early.flatten().map(Duration::from_micros);
        let stages = early.into_iter().flat_map(|early| {
            [(early, Patience::Early), (early.saturating_mul(2), Patience::Twice)]
        });
        let is_next = |(time, _): &(Duration, _)| *time < full && since + *time > now;
        let (time, stage) = stages.into_iter().find(is_next).unwrap_or((full, Patience::Full));
        if let Some(row) = self.wants.peer_want_mut(at) {
            row.set_patience(stage);
        }
        self.set_deadline(at, since + time);
    }

    fn set_deadline(&mut self, at: Ref<PeerWant>, deadline: Timestamp) {
        if let Some(row) = self.wants.peer_want_mut(at) {
            let before = row.set_deadline(Some(deadline));
            self.timers.requests.set(at, before, Some(deadline));
        }
    }

    /// Another peer says that it has the block: a first choice that never delivered anything is given no more
    /// time than that peer, whose answer took so long, would need, and as much again.
    pub(super) fn shorten_deadline(&mut self, want: Ref<Want>, answer: Duration, now: Timestamp) {
        let is_unproven = |of: &PeerWant| {
            of.is_request()
                && of.answer() != Answer::Have
                && self.peers.get(of.peer()).is_some_and(|state| !state.punctuality().is_measured())
        };
        let Some((at, row)) = self.wants.peer_wants_of(want).find(|(_, of)| is_unproven(of)) else {
            return;
        };
        let Some(deadline) = row.deadline() else { return };
        if !self.may_hedge(want) {
            return;
        }
        let transfer = self
            .peers
            .get(row.peer())
            .map_or(0, |state| state.punctuality().estimator().transfer(row.bytes_until()));
        let time = Duration::from_micros(micros(answer).saturating_mul(3).saturating_add(transfer));
        let sooner = now + time.max(self.config.deadline_min);
        if sooner < deadline {
            self.shorten(at, sooner);
        }
    }

    fn shorten(&mut self, at: Ref<PeerWant>, deadline: Timestamp) {
        self.set_deadline(at, deadline);
        if let Some(row) = self.wants.peer_want_mut(at) {
            row.set_patience(Patience::Shortened);
        }
    }

    /// A round trip of a peer's connection is known, or turns out to be shorter. What it was asked for first may be late by
    /// that, if nothing has come of it.
    pub(super) fn expect_first(&mut self, peer: Ref<Peer>, now: Timestamp) {
        let Some(state) = self.peers.get(peer).filter(|state| !state.punctuality().is_measured())
        else {
            return;
        };
        let requests = state.queue().latest(self.wants.peer_wants());
        let first = requests.filter(|(_, row)| row.is_request() && row.bytes_before() == 0).last();
        // What another peer has shortened already is not made longer again.
        if let Some((at, row)) = first
            && row.patience() != Patience::Shortened
            && row.deadline().is_some()
        {
            self.give_time(at, row.asked_at(), now);
        }
    }

    /// The first block of a peer came. All that it was asked for with it has the deadline of a peer of which nothing is
    /// known; the next of it is late sooner, by what is known now, if nothing else comes meanwhile.
    pub(super) fn expect_second(&mut self, peer: Ref<Peer>, now: Timestamp) {
        // A block that it was not asked for measures nothing.
        let state = self.peers.get(peer).filter(|state| state.punctuality().is_measured());
        let Some(state) = state else { return };
        let requests = state.queue().latest(self.wants.peer_wants());
        let Some((at, row)) = requests.filter(|(_, row)| row.is_request()).last() else { return };
        let time = state.punctuality().estimator().patience(row.owed(LEAF_BYTES).into());
        let sooner = now + Duration::from_micros(time).max(self.config.deadline_min);
        if row.deadline().is_some_and(|deadline| sooner < deadline) {
            self.shorten(at, sooner);
        }
    }

    /// The sessions that wait for the want can bear one more duplicate.
    pub(super) fn may_hedge(&self, want: Ref<Want>) -> bool {
        let per_mille = self.config.hedge_per_mille;
        self.sessions_of(want).iter().all(|session| {
            self.sessions.at(*session).is_some_and(|session| session.may_hedge(per_mille))
        })
    }

    pub(super) fn deadline_passed(&mut self, at: Ref<PeerWant>, now: Timestamp) {
        let Some(row) = self.wants.peer_want_mut(at) else {
            debug_assert!(false, "a deadline is left of a request that is gone");
            return;
        };
        row.set_deadline(None);
        let (want, before) = (row.want(), row.set_patience(Patience::Full));
        match before {
            Patience::Early => return self.hedge(at, now),
            Patience::Twice => return self.give_up_waiting(at, now),
            Patience::Full | Patience::Shortened => {}
        }
        if let Some(later) = self.still_delivering(at, now) {
            return self.set_deadline(at, later);
        }
        if before == Patience::Shortened && !self.may_hedge(want) {
            return self.give_more_time(at, now);
        }
        if before == Patience::Shortened {
            self.for_sessions_of(want, |session| session.count_hedge());
        }
        let Some(row) = self.wants.peer_want_mut(at) else { return };
        row.time_out();
        let (want, peer, asked) = (row.want(), row.peer(), row.asked_at());
        log!(
            debug,
            "a peer is late with a block",
            cid = self.wants.logged_cid(want),
            row = peer,
            after = format_args!("{:?}", now.since(asked)),
        );
        self.end_request(at);
        let Some(state) = self.peers.get_mut(peer) else { return };
        state.punctuality_mut().missed_deadline();
        let id = state.id();
        self.count(peer, |fetched| fetched.timeouts += 1);
        if self.has_choice() {
            // Of many peers some are slow rather than silent, and their blocks come as well.
            self.for_sessions_of(want, |session| session.count_hedge());
        }
        self.learn(want, id, false);
        let Some(row) = self.wants.want_mut(want) else { return };
        if !row.has_request() {
            row.count_round();
            self.wait_for_presence(want, asked, now);
            self.wants.set_undecided(want);
        }
        self.set_all_ready(want);
    }

    /// All sessions that wait for a want look again whom they may ask.
    fn set_all_ready(&mut self, want: Ref<Want>) {
        for session in self.sessions_of(want) {
            self.set_ready(session);
        }
    }

    /// A peer that has not delivered anything yet is late for the round trip of its connection, though not for
    /// a slow store: another is asked beside it, as far as the sessions can bear duplicates.
    fn hedge(&mut self, at: Ref<PeerWant>, now: Timestamp) {
        let Some(row) = self.wants.peer_want(at) else { return };
        let Some(state) = self.peers.get(row.peer()) else { return };
        let (want, peer, is_unproven) =
            (row.want(), row.peer(), !state.punctuality().is_measured());
        self.give_more_time(at, now);
        if is_unproven && let Some(state) = self.peers.get_mut(peer) {
            state.punctuality_mut().set_overdue();
        }
        if is_unproven {
            self.ask_beside_overdue(want, now);
            self.ask_presence_again(want, now);
        }
        // What else the peer was asked for may be better off elsewhere.
        self.set_all_ready(want);
    }

    /// A peer has not delivered anything for twice as long as its first block may take: what it was asked for is moved to
    /// peers that deliver.
    fn give_up_waiting(&mut self, at: Ref<PeerWant>, now: Timestamp) {
        self.give_more_time(at, now);
        let Some((want, peer)) = self.wants.peer_want(at).map(|row| (row.want(), row.peer()))
        else {
            return;
        };
        if let Some(state) = self.peers.get_mut(peer)
            && !state.punctuality().is_measured()
        {
            state.punctuality_mut().set_overdue_twice();
        }
        self.set_all_ready(want);
    }

    /// A request whose deadline was shorter has until the next.
    fn give_more_time(&mut self, at: Ref<PeerWant>, now: Timestamp) {
        if let Some(since) = self.wants.peer_want(at).map(PeerWant::asked_at) {
            self.give_time(at, since, now);
        }
    }

    /// All peers that are asked for a want are overdue: one more is asked, as far as the sessions can bear
    /// duplicates. Whether it is.
    pub(super) fn ask_beside_overdue(&mut self, want: Ref<Want>, now: Timestamp) -> bool {
        let is_late = |of: &PeerWant| {
            self.peers.get(of.peer()).is_some_and(|state| state.punctuality().is_overdue())
        };
        let are_late =
            self.wants.peer_wants_of(want).all(|(_, of)| !of.is_request() || is_late(of));
        let asks = are_late && self.may_hedge(want) && self.ask_another(want, now);
        if asks {
            self.for_sessions_of(want, |session| session.count_hedge());
        }
        asks
    }

    /// The peer is busy delivering what was asked before: until when that excuses it.
    fn still_delivering(&self, at: Ref<PeerWant>, now: Timestamp) -> Option<Timestamp> {
        let row = self.wants.peer_want(at)?;
        let estimator = self.peers.get(row.peer())?.punctuality().estimator();
        let last = estimator.last_block().filter(|last| *last > row.asked_at())?;
        let patience = Duration::from_micros(estimator.patience(u64::from(row.charged())));
        let later = last + patience.max(self.config.deadline_min);
        (later > now && now < row.last_chance()).then_some(later.min(row.last_chance()))
    }
}
