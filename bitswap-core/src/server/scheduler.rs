//! Whose blocks go next: deficit round robin by bytes, within the limits of upload.
//!
//! Peers with blocks to send take turns. A turn is worth a share of bytes and one message at most; a peer that has
//! overdrawn its shares sits out. So bytes are fair whatever the sizes are, and a new peer waits for one message of
//! each other peer. A share is half a message: peers with full messages lose nothing by the rule of one message.
//!
//! Invariant: a peer is among the senders once, or not at all, as its ticket says.

use crate::bucket::Bucket;
use crate::output::Rates;
use crate::peer::Peer;
use crate::time::Timestamp;
use crate::util::rows::Ref;
use crate::util::side_table::SideTable;
use crate::util::ticket_queue::{Ticket, TicketQueue};

use super::consistent;

/// The least share of a round, in bytes: bounds the rounds that a peer sits out after a big block.
const SHARE_MIN: u64 = 16 << 10;
/// A message under a rate limit holds at most this part of a second's worth, if it holds several blocks: keeps turns
/// short.
const MESSAGES_PER_SECOND: u64 = 20;

/// One peer.
#[derive(Debug)]
struct Sender {
    /// Its own limit.
    upload: Option<Bucket>,
    /// Bytes that it may send in this round; negative: rounds that it has to sit out.
    balance: i64,
    ticket: Ticket,
}

/// The turns of all peers, and the limits of upload.
#[derive(Debug)]
pub(super) struct Scheduler {
    rates: Rates,
    /// The most block bytes of a message that has several blocks, without a limit.
    target_bytes: u32,
    /// The limit of all peers together.
    upload: Option<Bucket>,
    peers: SideTable<Sender, Peer>,
    /// Peers with blocks to send, in the order of their turns.
    senders: TicketQueue<Peer>,
}

impl Scheduler {
    pub(super) fn new(rates: Rates, target_bytes: u32, now: Timestamp) -> Self {
        Self {
            rates,
            target_bytes,
            upload: rates.upload.map(|rate| Bucket::new(rate, now)),
            peers: SideTable::default(),
            senders: TicketQueue::default(),
        }
    }

    pub(super) fn connected(&mut self, peer: Ref<Peer>, now: Timestamp) {
        let upload = self.rates.upload_per_peer.map(|rate| Bucket::new(rate, now));
        self.peers.insert(peer, Sender { upload, balance: 0, ticket: Ticket::new() });
    }

    pub(super) fn disconnected(&mut self, peer: Ref<Peer>) {
        let Some(mut gone) = consistent(self.peers.remove(peer), "a peer leaves twice") else {
            return;
        };
        self.senders.remove(&mut gone.ticket);
        if self.peers.len() == 0 {
            self.senders.release();
        }
    }

    pub(super) fn set_rates(&mut self, rates: Rates, now: Timestamp) {
        self.rates = rates;
        self.upload = rates.upload.map(|rate| Bucket::new(rate, now));
        for (_, sender) in self.peers.iter_mut() {
            sender.upload = rates.upload_per_peer.map(|rate| Bucket::new(rate, now));
        }
    }

    /// All peers together have a limit.
    pub(super) const fn has_shared_limit(&self) -> bool {
        self.upload.is_some()
    }

    /// The peer's own limit lets a block through.
    pub(super) fn may_send(&mut self, peer: Ref<Peer>, now: Timestamp) -> bool {
        sender(&mut self.peers, peer)
            .is_some_and(|sender| sender.upload.as_mut().is_none_or(|bucket| bucket.is_open(now)))
    }

    /// When the peer's own limit lets a block through, as of the last [`may_send`](Self::may_send). None without one.
    pub(super) fn opens_at(&self, peer: Ref<Peer>) -> Option<Timestamp> {
        self.peers.get(peer)?.upload.as_ref().map(Bucket::opens_at)
    }

    /// When the limit of all peers lets a block through for which a peer waits.
    pub(super) fn shared_opens_at(&self) -> Option<Timestamp> {
        let waits = !self.senders.is_empty();
        self.upload.as_ref().filter(|_| waits).map(Bucket::opens_at)
    }

    /// A peer has blocks, and room on its stream for a message.
    pub(super) fn enqueue(&mut self, peer: Ref<Peer>) {
        if let Some(sender) = sender(&mut self.peers, peer) {
            self.senders.push(peer, &mut sender.ticket);
        }
    }

    /// The peer that is next among the senders, while the limit of all lets a block through. It is no sender any more.
    pub(super) fn next(&mut self, now: Timestamp) -> Option<Ref<Peer>> {
        if self.senders.is_empty() || !self.upload.as_mut().is_none_or(|bucket| bucket.is_open(now))
        {
            return None;
        }
        let peer = self.senders.pop()?;
        sender(&mut self.peers, peer)?.ticket = Ticket::new();
        Some(peer)
    }

    /// Begins the turn of a peer that has blocks and room for a message: the most block bytes that the message may
    /// carry, if it has several blocks. None when the peer sits this round out: it is a sender again.
    pub(super) fn begin_turn(&mut self, peer: Ref<Peer>) -> Option<u64> {
        let target = message_bytes(self.target_bytes, self.rates);
        let share = (target / 2).max(SHARE_MIN) as i64;
        let sender = sender(&mut self.peers, peer)?;
        sender.balance = (sender.balance + share).min(2 * share);
        if sender.balance <= 0 {
            self.senders.push(peer, &mut sender.ticket);
            return None;
        }
        Some(target)
    }

    /// So many bytes of blocks were handed to the transport.
    pub(super) fn sent(&mut self, peer: Ref<Peer>, bytes: u64) {
        if bytes == 0 {
            return;
        }
        let Some(sender) = sender(&mut self.peers, peer) else { return };
        sender.balance -= bytes as i64;
        for bucket in [&mut sender.upload, &mut self.upload].into_iter().flatten() {
            bucket.take(bytes);
        }
    }

    /// Bytes allocated.
    pub(super) fn bytes(&self) -> usize {
        self.peers.bytes() + self.senders.bytes()
    }

    /// The most bytes of a peer, beside `peers` others at most.
    pub(super) const fn peer_bytes_max(peers: u64) -> u64 {
        SideTable::<Sender, Peer>::bytes_max_each(peers)
    }

    /// The most bytes of the order of so many peers.
    pub(super) const fn lists_bytes_max(peers: u64) -> u64 {
        TicketQueue::<Peer>::bytes_max(peers)
    }

    /// What breaks the invariant, if anything does: for tests.
    #[cfg(any(test, feature = "testing"))]
    pub(super) fn validate(&self) -> Result<(), &'static str> {
        let mut queued = 0;
        for (peer, sender) in self.peers.iter().filter(|(_, sender)| sender.ticket.is_queued()) {
            queued += 1;
            if !self.senders.holds(peer, sender.ticket) {
                return Err("a peer is no sender, and its ticket says that it is");
            }
        }
        if queued != self.senders.len() {
            return Err("a peer is a sender, and its ticket does not say so");
        }
        Ok(())
    }
}

fn sender(peers: &mut SideTable<Sender, Peer>, peer: Ref<Peer>) -> Option<&mut Sender> {
    consistent(peers.get_mut(peer), "the scheduler does not know a peer")
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

    const fn rates(upload: Option<u64>, upload_per_peer: Option<u64>) -> Rates {
        Rates { upload, upload_per_peer, download: Some(1), download_per_peer: Some(1) }
    }

    #[test]
    fn a_message_is_at_most_a_twentieth_of_a_second() {
        assert_eq!(message_bytes(1000, rates(None, None)), 1000);
        assert_eq!(message_bytes(1000, rates(Some(200_000), Some(4_000))), 200);
        assert_eq!(message_bytes(1000, rates(Some(0), None)), 1);
    }

    fn peer(place: u32) -> Ref<Peer> {
        Ref::from_place(place)
    }

    /// One peer sends blocks of four shares, the other of one share: their bytes are the same in the end.
    #[test]
    fn turns_are_fair_by_bytes_whatever_the_sizes() {
        let now = Timestamp::ZERO;
        let mut scheduler = Scheduler::new(rates(None, None), 32 << 10, now);
        let (sizes, mut sent) = ([64u64 << 10, 16 << 10], [0u64; 2]);
        for place in 0..2 {
            scheduler.connected(peer(place), now);
            scheduler.enqueue(peer(place));
            scheduler.enqueue(peer(place));
        }
        for _ in 0..1000 {
            let next = scheduler.next(now).unwrap();
            scheduler.validate().unwrap();
            if scheduler.begin_turn(next).is_some() {
                let at = next.place() as usize;
                scheduler.sent(next, sizes[at]);
                sent[at] += sizes[at];
                scheduler.enqueue(next);
            }
        }
        assert!(sent[0].abs_diff(sent[1]) <= 64 << 10, "{sent:?}");
        assert!(sent[0] > 1 << 20);
    }

    #[test]
    fn the_shared_limit_holds_all_and_an_own_limit_one() {
        let now = Timestamp::from_micros(1);
        let mut scheduler = Scheduler::new(rates(Some(1000), Some(100)), 32 << 10, now);
        let (a, b) = (peer(0), peer(1));
        scheduler.connected(a, now);
        scheduler.connected(b, now);
        assert_eq!(scheduler.shared_opens_at(), None, "nobody waits");
        assert!(scheduler.may_send(a, now));
        scheduler.enqueue(a);
        assert_eq!(scheduler.next(now), Some(a));
        scheduler.sent(a, 100);
        assert!(!scheduler.may_send(a, now) && scheduler.may_send(b, now));
        scheduler.enqueue(b);
        assert_eq!(scheduler.next(now), None);
        // A hundred bytes take 0.1 s of the shared limit, and a second of the own one.
        let millis = |at: Option<Timestamp>| at.unwrap().as_micros() / 1000;
        assert_eq!(millis(scheduler.shared_opens_at()), 100);
        assert_eq!(millis(scheduler.opens_at(a)), 1000);
        assert_eq!(scheduler.next(scheduler.shared_opens_at().unwrap()), Some(b));
    }
}
