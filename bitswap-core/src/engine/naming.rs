//! Outputs of the two halves get the names that the host knows peers by. One about a peer that is gone
//! has no receiver.

use alloc::vec::Vec;

use super::Engine;
use crate::message::{Message, Version};
use crate::output::{Event, Load, LoadId, LookupId, Outgoing, Output, PeerReport, StreamKind};
use crate::output::{SendId, SessionId, WantFailure};
use crate::peer::Peer;
use crate::trace::log;
use crate::util::rows::Ref;
use crate::{client, server};

impl<P: Copy + Ord + core::fmt::Debug> Engine<P> {
    pub(super) fn client_output(&self, output: client::Output) -> Option<Output<P>> {
        Some(match output {
            client::Output::Open(peer) => {
                Output::Open { peer: self.name(peer)?, stream: StreamKind::Requests }
            }
            client::Output::Close(peer) => {
                Output::Close { peer: self.name(peer)?, stream: StreamKind::Requests }
            }
            client::Output::Send { peer, seq, version, message } => {
                self.outgoing(peer, StreamKind::Requests, seq, version, message)?
            }
            client::Output::FindProviders { id, session, cid } => {
                Output::FindProviders { id: LookupId(id), session: SessionId(session), cid }
            }
            client::Output::StopLookup { id } => Output::StopLookup { id: LookupId(id) },
            client::Output::Block { session, block, from } => {
                let from = self.registry.name(from);
                Output::Event(Event::Block { session: SessionId(session), block, from })
            }
            client::Output::Stored { session, cid } => {
                Output::Event(Event::Stored { session: SessionId(session), cid })
            }
            client::Output::Failed { session, cid, reason } => {
                let reason = match reason {
                    WantFailure::NotFound(reports) => WantFailure::NotFound(self.named(reports)),
                    WantFailure::TimedOut(reports) => WantFailure::TimedOut(self.named(reports)),
                    WantFailure::ShutDown => WantFailure::ShutDown,
                };
                Output::Event(Event::Failed { session: SessionId(session), cid, reason })
            }
            client::Output::Unreachable { peer, error } => {
                Output::Event(Event::Unreachable { peer: self.name(peer)?, error })
            }
        })
    }

    pub(super) fn server_output(&self, output: server::Output) -> Option<Output<P>> {
        Some(match output {
            server::Output::Open(peer) => {
                Output::Open { peer: self.name(peer)?, stream: StreamKind::Responses }
            }
            server::Output::Close(peer) => {
                Output::Close { peer: self.name(peer)?, stream: StreamKind::Responses }
            }
            server::Output::Reset(peer) => {
                Output::Reset { peer: self.name(peer)?, stream: StreamKind::Responses }
            }
            server::Output::Send { peer, seq, version, message } => {
                self.outgoing(peer, StreamKind::Responses, seq, version, message)?
            }
            server::Output::Load { id, peer, cids, kind } => {
                Output::Load(Load { id: LoadId(id), peer: self.name(peer)?, cids, kind })
            }
        })
    }

    fn outgoing(
        &self,
        peer: Ref<Peer>,
        stream: StreamKind,
        seq: u32,
        version: Version,
        message: Message,
    ) -> Option<Output<P>> {
        let id = SendId { peer: self.registry.id_at(peer)?, stream, seq };
        log!(
            trace,
            "a message is to be sent",
            row = peer,
            stream = stream,
            version = version,
            entries = message.wantlist.entries.len(),
            blocks = message.blocks.len(),
            presences = message.presences.len(),
        );
        Some(Output::Send(Outgoing { id, peer: self.name(peer)?, stream, version, message }))
    }

    fn name(&self, peer: Ref<Peer>) -> Option<P> {
        self.registry.name_at(peer)
    }

    pub(super) fn named(&self, reports: Vec<PeerReport<Ref<Peer>>>) -> Vec<PeerReport<P>> {
        reports
            .into_iter()
            .filter_map(|report| {
                Some(PeerReport { peer: self.name(report.peer)?, outcome: report.outcome })
            })
            .collect()
    }
}
