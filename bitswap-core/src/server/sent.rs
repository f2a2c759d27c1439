//! What became of the messages: an answered want ends, a lost answer is put back.

use alloc::vec::Vec;
use core::time::Duration;

use crate::error::SendError;
use crate::time::Timestamp;

use super::Server;
use super::peer::{Answer, Flight};
use super::want::{Said, State, Want};

/// Answered wants that are remembered per peer until they count as delivered.
const UNCONFIRMED_MAX: u32 = 64;
/// How long an answered want may be put back. What the transport took longer ago has arrived, or
/// the peer has asked others since.
const UNCONFIRMED_FOR: Duration = Duration::from_secs(10);

impl Server {
    /// The transport took a message, or could not; false when there is no such message.
    pub(crate) fn sent(
        &mut self,
        number: u32,
        seq: u32,
        result: Result<(), SendError>,
        now: Timestamp,
    ) -> bool {
        let window_max = self.settings.limits.answer_bytes_per_peer;
        let Some(peer) = self.peers.get_mut(number) else { return false };
        let Some(bytes) = peer.lane.sent(seq, result.is_ok(), now) else { return false };
        peer.moved(bytes, result.is_ok(), window_max);
        if result.is_ok() {
            peer.pace.took(bytes, now);
        }
        if peer.lane.head().is_none() {
            peer.pace.end();
        }
        let Some(at) = peer.flights.iter().position(|flight| flight.seq == seq) else {
            return false;
        };
        let flight = peer.flights.remove(at);
        if peer.flights.is_empty() {
            peer.flights = Vec::new();
        }
        if result.is_err() {
            self.count(number, |served| served.failed_sends += 1);
        }
        for answer in flight.answers {
            if result.is_ok() {
                self.count_answer(number, answer.what);
            }
            if result.is_err() {
                self.unsent(answer, seq);
            } else if let Some(row) = self.ledger.row(answer.want)
                && let Some(want) = self.ledger.at(row)
                && want.state == State::Sending(answer.what, seq)
            {
                self.answered(row, answer.what, now);
            }
        }
        self.unload_waiting(number);
        self.settle(number);
        true
    }

    /// An answer was not sent.
    fn unsent(&mut self, answer: Answer, seq: u32) {
        let Some(row) = self.ledger.row(answer.want) else { return };
        let Some(want) = self.ledger.at_mut(row) else { return };
        match want.state {
            State::Sending(what, of) if (what, of) == (answer.what, seq) => self.put_back(row),
            // The block was said to have arrived since, and was not there after all.
            State::Idle if want.asks => self.put_back(row),
            // The peer asked again or the block arrived since: it is being answered anew.
            _ => want.owes |= want.asks,
        }
    }

    /// Whatever is on its way to a peer is not sent.
    pub(super) fn put_back_flights(&mut self, number: u32) {
        let Some(peer) = self.peers.get_mut(number) else { return };
        for Flight { seq, answers } in core::mem::take(&mut peer.flights) {
            answers.into_iter().for_each(|answer| self.unsent(answer, seq));
        }
    }

    /// The stream is gone, and the end of what was sent on it may be lost.
    pub(crate) fn reset(&mut self, number: u32, now: Timestamp) {
        let Some(peer) = self.peers.get_mut(number) else { return };
        peer.lane.reset(now);
        self.put_back_unconfirmed(number, now);
        self.unload_waiting(number);
        self.settle(number);
    }

    /// The answers that the transport took last may be lost.
    pub(super) fn put_back_unconfirmed(&mut self, number: u32, now: Timestamp) {
        let Some(peer) = self.peers.get(number) else { return };
        let lost: Vec<u32> = peer.queues.sent().collect();
        for row in lost {
            let late = |want: &Want| match want.state {
                State::Sent(at) => at + UNCONFIRMED_FOR < now,
                _ => true,
            };
            if self.ledger.at(row).is_some_and(late) {
                self.remove(row);
            } else {
                self.put_back(row);
            }
        }
    }

    /// A lane that rests holds no blocks.
    fn unload_waiting(&mut self, number: u32) {
        if self.peers.get(number).is_some_and(|peer| peer.lane.retry_at().is_some()) {
            self.unload(number);
        }
    }

    /// The answer counts as received, unless the stream turns out to be lost.
    fn answered(&mut self, row: u32, what: Said, now: Timestamp) {
        let Some(want) = self.ledger.at(row) else { return };
        let peer = want.peer;
        if !want.servable {
            self.remove(row);
        } else if what != Said::DontHave {
            // A HAVE for what has become a want-block since is not this want's answer any more.
            self.turn(row, State::Sent(now));
            self.forget_oldest(peer);
        } else {
            self.turn(row, State::Idle);
        }
    }

    fn forget_oldest(&mut self, peer: u32) {
        let Some(peer) = self.peers.get(peer) else { return };
        if peer.queues.sent_len() > UNCONFIRMED_MAX
            && let Some(oldest) = peer.queues.spare()
        {
            self.remove(oldest);
        }
    }

    /// The answer did not arrive: the want is as it was asked.
    fn put_back(&mut self, row: u32) {
        let replace = self.settings.replace_have_bytes;
        self.change(row, |want| {
            want.owes = want.asks;
            want.state = if want.servable {
                State::Queued(want.lookup(replace))
            } else {
                State::Presence { have: false }
            };
        });
    }

    fn count_answer(&mut self, peer: u32, what: Said) {
        self.count(peer, |served| match what {
            Said::Block(bytes) => {
                served.blocks += 1;
                served.bytes += u64::from(bytes);
            }
            Said::Have => served.haves += 1,
            Said::DontHave => served.dont_haves += 1,
        });
    }
}
