//! Queries: they change nothing.

use alloc::vec::Vec;

use cid::Cid;

use super::contact::Contact;
use super::table::{Answer, Delivered, WantRow};
use super::{Client, Output};
use crate::output::{PeerDid, PeerReport, Support};
use crate::rows::Id;
use crate::stats::{Fetched, PeerStats, SessionStats};
use crate::time::Timestamp;

/// Peers named that could not be told of a want.
const UNTOLD_MAX: usize = 8;

impl Client {
    /// What each peer did about a want so far.
    pub(crate) fn diagnose(&self, session: Id, cid: &Cid) -> Option<Vec<PeerReport<u32>>> {
        self.sessions.get(session)?;
        let want = self.want_of(cid)?;
        self.interests_in(want).find(|(_, interest)| interest.session == session.index)?;
        Some(self.reports(session, want))
    }

    /// What each peer that was told of a want did. Where none could be told: why not, of the session's
    /// peers, as far as [`UNTOLD_MAX`].
    pub(super) fn reports(&self, session: Id, want: u32) -> Vec<PeerReport<u32>> {
        let reports = self.answers(want);
        let Some(session) = self.sessions.get(session).filter(|_| reports.is_empty()) else {
            return reports;
        };
        let why = |contact: &Contact| match contact {
            _ if contact.is_mute() => Some(PeerDid::NoBitswap),
            _ if contact.lane.retry_at().is_some() => Some(PeerDid::Unreachable),
            _ => None,
        };
        self.peers
            .iter()
            .filter(|(_, contact)| session.may_ask(contact.id))
            .filter_map(|(peer, contact)| Some(PeerReport { peer, did: why(contact)? }))
            .take(UNTOLD_MAX)
            .collect()
    }

    fn answers(&self, want: u32) -> Vec<PeerReport<u32>> {
        self.pairs_of(want)
            .filter(|(_, pair)| pair.told.is_some())
            .map(|(_, pair)| {
                let did = match pair.answer {
                    Answer::None => PeerDid::Asked,
                    Answer::Have => PeerDid::Have,
                    Answer::DontHave => PeerDid::DontHave,
                    Answer::Silent => PeerDid::Silent,
                    Answer::HaveThenSilent => PeerDid::HaveThenSilent,
                };
                PeerReport { peer: pair.peer, did }
            })
            .collect()
    }

    pub(crate) const fn fetched(&self) -> Fetched {
        self.fetched
    }

    /// Adds what this half knows of a peer.
    pub(crate) fn peer_stats(&self, peer: u32, stats: &mut PeerStats) {
        let Some(contact) = self.peers.get(peer) else { return };
        stats.fetched = contact.fetched;
        // What it did counts for more than what it says.
        stats.support = if contact.lane.is_refused() { Support::No } else { contact.support };
        stats.version = contact.lane.version();
        stats.latency = contact.meter.latency();
        stats.throughput = contact.meter.throughput().unwrap_or(0);
        stats.asked_bytes = contact.asked_bytes;
        stats.told = contact.pairs();
    }

    pub(crate) fn session_stats(&self, session: Id) -> Option<SessionStats> {
        let session = self.sessions.get(session)?;
        Some(SessionStats {
            wants: session.wants(),
            asked: session.asked.len(),
            blocks: session.blocks,
            bytes: session.bytes,
            untaken_bytes: session.untaken,
            asked_bytes: session.asked_bytes,
            guess_per_mille: session.guess,
        })
    }

    pub(crate) fn sessions_len(&self) -> u32 {
        self.sessions.len() as u32
    }

    pub(crate) const fn wants_len(&self) -> u32 {
        self.live
    }

    pub(crate) fn told_len(&self) -> u32 {
        self.pairs.len() as u32
    }

    pub(crate) fn held_bytes(&self) -> usize {
        let timers = self.deadlines.len() + self.lingers.len() + self.searches.len();
        let timers = timers + self.expiries.len() + self.timers.len();
        let keys: usize = self.wants.iter().map(|(_, row)| row.heap_bytes()).sum();
        self.wants.bytes()
            + keys
            + self.index.bytes()
            + self.interests.bytes()
            + self.pairs.bytes()
            + self.sessions.bytes()
            + self.sessions.iter().map(|(_, session)| session.heap_bytes()).sum::<usize>()
            + self.peers.bytes()
            + self.peers.iter().map(|(_, contact)| contact.heap_bytes()).sum::<usize>()
            + timers * size_of::<(Timestamp, u32)>() * 3 / 2
            + (self.blocked.len() + self.unserved.len() + self.lookups.len())
                * size_of::<(u64, u32)>()
                * 3
                / 2
            + (self.ready.capacity() + self.telling.capacity() + self.speaking.capacity())
                * size_of::<u32>()
            + self.outbox.capacity() * size_of::<Output>()
    }
}

impl WantRow {
    fn heap_bytes(&self) -> usize {
        let block = self.delivered.as_ref();
        self.key.heap_bytes() + block.map_or(0, |block| size_of::<Delivered>() + block.data.len())
    }
}
