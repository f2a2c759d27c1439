//! Whose blocks go next: deficit round robin by bytes.
//!
//! Peers with blocks to send take turns, one message each. A peer that has sent more than its share
//! of the round sits out until the others have caught up, so bytes are fair whatever the sizes are,
//! and a peer with one small want waits for one message of each other peer at most.

use crate::output::Rates;
use crate::time::Timestamp;

use super::{Output, Server};

/// The least share of a round, in bytes: bounds the rounds that a peer sits out after a big block.
const SHARE_MIN: u32 = 16 << 10;
/// A message under a rate limit holds at most this part of a second's worth, if it holds several
/// blocks: keeps turns short.
const MESSAGES_PER_SECOND: u64 = 20;

impl Server {
    /// Sends blocks of the peer whose turn it is.
    pub(super) fn send_blocks(&mut self, now: Timestamp) -> Option<Output> {
        let limits = self.settings.limits;
        let target = message_bytes(self.settings.answer_target_bytes, self.rates);
        let share = i64::from(self.settings.answer_target_bytes.max(SHARE_MIN));
        while !self.senders.is_empty()
            && self.upload.as_mut().is_none_or(|bucket| bucket.is_open(now))
        {
            let number = self.senders.pop()?;
            let Some(peer) = self.peers.get_mut(number) else { continue };
            peer.sender = None;
            if peer.queues.blocks.is_empty()
                || !peer.lane.has_room(limits.messages_per_lane, limits.answer_bytes_per_peer)
                || !peer.may_send(now)
            {
                // Whatever ends this puts the peer among the ready ones.
                continue;
            }
            if peer.deficit <= 0 {
                peer.deficit += share;
            }
            if peer.deficit <= 0 {
                self.senders.push(number, &mut peer.sender);
                continue;
            }
            let output = self.compose(number, target, now);
            if output.is_some() {
                return output;
            }
        }
        None
    }
}

/// The most block bytes that one message may carry under these rates, if it has several blocks.
fn message_bytes(target: u32, rates: Rates) -> u64 {
    [rates.upload, rates.upload_per_peer]
        .into_iter()
        .flatten()
        .fold(u64::from(target), |most, rate| most.min((rate / MESSAGES_PER_SECOND).max(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_at_most_a_twentieth_of_a_second() {
        let rates = |upload, upload_per_peer| Rates { upload, upload_per_peer, download: Some(1) };
        assert_eq!(message_bytes(1000, rates(None, None)), 1000);
        assert_eq!(message_bytes(1000, rates(Some(200_000), Some(4_000))), 200);
        assert_eq!(message_bytes(1000, rates(Some(0), None)), 1);
    }
}
