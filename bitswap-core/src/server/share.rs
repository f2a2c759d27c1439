//! Whose blocks go next: deficit round robin by bytes.
//!
//! Peers with blocks to send take turns. A turn is worth a share of bytes and one message at most; a
//! peer that has overdrawn its shares sits out. So bytes are fair whatever the sizes are, and a new
//! peer waits for one message of each other peer. A share is half a message: peers with full
//! messages lose nothing by the rule of one message.

use crate::output::Rates;
use crate::time::Timestamp;

use super::{Output, Server};

/// The least share of a round, in bytes: bounds the rounds that a peer sits out after a big block.
const SHARE_MIN: u64 = 16 << 10;
/// A message under a rate limit holds at most this part of a second's worth, if it holds several
/// blocks: keeps turns short.
const MESSAGES_PER_SECOND: u64 = 20;

impl Server {
    /// Sends blocks of the peer whose turn it is.
    pub(super) fn send_blocks(&mut self, now: Timestamp) -> Option<Output> {
        let limits = self.settings.limits;
        let target = message_bytes(self.settings.answer_target_bytes, self.rates);
        let share = (target / 2).max(SHARE_MIN) as i64;
        while !self.senders.is_empty()
            && self.upload.as_mut().is_none_or(|bucket| bucket.is_open(now))
        {
            let number = self.senders.pop()?;
            let Some(peer) = self.peers.get_mut(number) else { continue };
            peer.sender = None;
            if peer.queues.blocks.is_empty()
                || !peer.lane.has_room(limits.messages_per_lane, limits.answer_bytes_per_peer)
            {
                // Whatever ends this puts the peer among the ready ones.
                continue;
            }
            peer.balance = (peer.balance + share).min(2 * share);
            if peer.balance <= 0 {
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
