//! A running hash over all outputs: equal runs have equal transcripts.

use core::hash::{Hash, Hasher};

use cid::Cid;
use siphasher::sip::SipHasher13;

use bitswap_core::message::Message;
use bitswap_core::{Event, Output, WantFailure};

/// The running hash.
#[derive(Clone, Debug, Default)]
pub(crate) struct Transcript {
    hasher: SipHasher13,
}

impl Transcript {
    /// The hash so far.
    pub(crate) fn value(&self) -> u64 {
        self.hasher.finish()
    }

    /// Adds an output.
    pub(crate) fn add<P: Hash>(&mut self, output: &Output<P>) {
        let to = &mut self.hasher;
        match output {
            Output::Open { peer, stream } => (0u8, peer, stream).hash(to),
            Output::Close { peer, stream } => (1u8, peer, stream).hash(to),
            Output::Send(sending) => {
                let (peer, stream, number) = sending.id.to_parts();
                (2u8, peer as u32, stream, number, &sending.peer, sending.version).hash(to);
                message(&sending.message, to);
            }
            Output::Load(load) => {
                (3u8, load.id, &load.peer, load.kind).hash(to);
                load.cids.iter().for_each(|at| cid(at, to));
            }
            Output::FindProviders { id, session, cid: of } => {
                (4u8, id, session).hash(to);
                cid(of, to);
            }
            Output::StopLookup { id } => (5u8, id).hash(to),
            Output::KeepAlive { peer, needed } => (12u8, peer, needed).hash(to),
            Output::Reset { peer, stream } => (11u8, peer, stream).hash(to),
            Output::Event(of) => event(of, to),
        }
    }
}

fn event<P: Hash>(event: &Event<P>, to: &mut SipHasher13) {
    match event {
        Event::Block { session, block, from } => {
            (6u8, session, from, block.data().len()).hash(to);
            cid(block.cid(), to);
        }
        Event::Stored { session, cid: of } => {
            (7u8, session).hash(to);
            cid(of, to);
        }
        Event::Failed { session, cid: of, reason } => {
            (8u8, session).hash(to);
            cid(of, to);
            match reason {
                WantFailure::NotFound(reports) | WantFailure::TimedOut(reports) => {
                    reports.iter().for_each(|report| (&report.peer, report.outcome).hash(to));
                }
                // What is without a rule ends the run.
                _ => {}
            }
        }
        Event::PeerDisconnected { peer, history } => {
            (9u8, peer, history.latency, history.throughput, history.blocks, history.timeouts)
                .hash(to);
        }
        Event::Unreachable { peer, .. } => (10u8, peer).hash(to),
        // What is without a rule ends the run.
        _ => {}
    }
}

fn message(message: &Message, to: &mut SipHasher13) {
    (message.wantlist.full, message.pending_bytes).hash(to);
    for entry in &message.wantlist.entries {
        (entry.priority, entry.cancel, entry.kind, entry.send_dont_have).hash(to);
        cid(&entry.cid, to);
    }
    for block in &message.blocks {
        block.data().len().hash(to);
        cid(block.cid(), to);
    }
    for presence in &message.presences {
        presence.have.hash(to);
        cid(&presence.cid, to);
    }
}

/// The digest names the content; codec and version are few.
fn cid(cid: &Cid, to: &mut SipHasher13) {
    (cid.codec(), cid.hash().code()).hash(to);
    to.write(cid.hash().digest());
}
