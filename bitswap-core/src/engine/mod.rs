//! The front door: takes inputs, gives outputs. No policy lives here.

mod admissions;
mod memory_bound;
mod naming;
mod registry;

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::time::Duration;

use cid::Cid;

use crate::block::Block;
use crate::client::{Client, Options, PeerRule, SessionOptions};
use crate::config::Config;
use crate::error::{OpenError, SendError, WantError};
use crate::memory::MemoryMax;
use crate::message::{Entry, Message, Version};
use crate::output::{
    BlockInfo, Event, LoadId, Loaded, LookupId, Output, PeerHistory, PeerReport, ProtocolSupport,
    ProviderProgress, Rates, SendId, SessionId, StreamKind, Want,
};
use crate::peer::Peer;
use crate::server::Server;
use crate::stats::{PeerStats, SessionStats, Stats, TimerReason};
use crate::time::Timestamp;
use crate::trace::log;
use crate::util::rows::{Id, Ref};
use admissions::Admissions;
use registry::Registry;

/// The Bitswap protocol as one value. The crate's front page has its contract and run loop.
///
/// Methods come in four kinds: inputs from the network and from the local user (`handle_*`, and
/// the wishes from [`open_session`](Self::open_session) on), outputs
/// ([`poll_output`](Self::poll_output), [`poll_timeout`](Self::poll_timeout)), and pure queries.
/// `P` is the host's name for a peer.
#[derive(Debug)]
pub struct Engine<P> {
    now: Timestamp,
    /// Something happened since the outputs were last drained.
    dirty: bool,
    peer_histories_max: usize,
    registry: Registry<P>,
    admissions: Admissions<P>,
    client: Client,
    server: Server,
    gone: VecDeque<(P, PeerHistory)>,
    messages_received: u64,
    stale_inputs: u64,
}

impl<P: Copy + Ord + core::fmt::Debug> Engine<P> {
    /// An engine without peers or wants. Equal configurations, seeds and inputs give equal outputs.
    #[must_use]
    pub fn new(config: Config, seed: [u8; 32], now: Timestamp) -> Self {
        Self {
            now,
            dirty: false,
            peer_histories_max: config.limits.peer_histories as usize,
            registry: Registry::new(config.limits.peers),
            admissions: Admissions::default(),
            client: Client::new(&config, &seed, now),
            server: Server::new(&config, &seed, now),
            gone: VecDeque::new(),
            messages_received: 0,
            stale_inputs: 0,
        }
    }

    /// The bytes of memory that an engine of this configuration takes at the very most, and any one peer can
    /// have it take.
    ///
    /// `docs/limits.md` has the formula and where each limit is in it.
    #[must_use]
    pub fn memory_max(config: &Config) -> MemoryMax {
        memory_bound::max::<P>(config)
    }

    // Inputs from the network.

    /// The first connection to a peer opened. `history` is what [`Event::PeerDisconnected`] told of it, if it
    /// was here before. Ignored when the peer is connected already or [`crate::Limits::peers`] are.
    pub fn handle_connected(&mut self, peer: P, history: Option<PeerHistory>, now: Timestamp) {
        self.input(now);
        let Some(id) = self.registry.connect(peer) else {
            self.stale_inputs += 1;
            return;
        };
        log!(debug, "a peer connected", peer = format_args!("{peer:?}"), row = id.at());
        self.client.connected(id, history, self.now);
        self.server.connected(id.at(), self.now);
        for session in self.admissions.of(&peer) {
            self.client.admit(*session, id.at());
        }
    }

    /// The last connection to a peer closed. All that is kept of it is freed; open sends and loads
    /// for it need no answer any more.
    pub fn handle_disconnected(&mut self, peer: P, now: Timestamp) {
        self.input(now);
        let Some(id) = self.registry.disconnect(&peer) else {
            self.stale_inputs += 1;
            return;
        };
        log!(debug, "a peer disconnected", peer = format_args!("{peer:?}"), row = id.at());
        let history = self.client.disconnected(id.at(), self.now);
        self.server.disconnected(id.at(), self.now);
        if let Some(history) = history {
            if self.gone.len() >= self.peer_histories_max {
                self.gone.pop_front();
            }
            self.gone.push_back((peer, history));
        }
    }

    /// Something said whether the peer speaks Bitswap: identify, usually.
    pub fn handle_support(&mut self, peer: P, support: ProtocolSupport, now: Timestamp) {
        if let Some(id) = self.peer_input(peer, now) {
            self.client.support(id.at(), support, self.now);
        }
    }

    /// A round trip of the connection took so long, by what the host measures: libp2p's ping, usually. It says
    /// how long a peer may take that has not delivered anything yet, and how much is to be under way. Of several
    /// the shortest counts, since what is measured on a busy connection is its queue as well.
    ///
    /// Nothing need be measured for this: see [`Engine::handle_open`].
    pub fn handle_round_trip(&mut self, peer: P, took: Duration, now: Timestamp) {
        if let Some(id) = self.peer_input(peer, now) {
            self.client.round_trip(id.at(), took, self.now);
        }
    }

    /// The answer to [`Output::Open`]. How long it took, if any time at all, is taken for a round trip of the
    /// connection, or somewhat more, as in [`Engine::handle_round_trip`]. So `now` is when the two ends had agreed on
    /// a protocol, and a host that opens streams without asking the peer answers at the time at which it was asked to.
    pub fn handle_open(
        &mut self,
        peer: P,
        stream: StreamKind,
        result: Result<Version, OpenError>,
        now: Timestamp,
    ) {
        let Some(id) = self.peer_input(peer, now) else {
            return;
        };
        let known = match stream {
            StreamKind::Requests => self.client.opened(id.at(), result, self.now),
            StreamKind::Responses => self.server.opened(id.at(), result, self.now),
        };
        self.stale_inputs += u64::from(!known);
    }

    /// A message arrived, on any stream. Its blocks are verified by having been built.
    pub fn handle_message(&mut self, peer: P, message: Message, now: Timestamp) {
        let Some(id) = self.peer_input(peer, now) else {
            return;
        };
        self.messages_received += 1;
        self.registry.count_message(id.at());
        let Message { wantlist, blocks, presences, .. } = message;
        log!(
            trace,
            "a message arrived",
            row = id.at(),
            entries = wantlist.entries.len(),
            blocks = blocks.len(),
            presences = presences.len(),
        );
        if self.client.fetches(id.at(), self.now) {
            self.server.blocks_came(blocks.iter().map(Block::cid), self.now);
        }
        self.client.received(id.at(), blocks, presences, self.now);
        if wantlist.full || !wantlist.entries.is_empty() {
            if wantlist.entries.iter().any(|entry| !entry.cancel) {
                self.client.was_asked(id.at(), self.now);
            }
            self.server.wantlist(id.at(), wantlist, self.now);
        }
    }

    /// The answer to [`Output::Send`]: the transport took the message, or could not.
    ///
    /// `Ok` is not delivery. An error closes the stream; what the message said is said again.
    pub fn handle_sent(&mut self, id: SendId, result: Result<(), SendError>, now: Timestamp) {
        self.input(now);
        let known = self.registry.name(id.peer).is_some()
            && match id.stream {
                StreamKind::Requests => self.client.sent(id.peer.at(), id.seq, result, self.now),
                StreamKind::Responses => self.server.sent(id.peer.at(), id.seq, result, self.now),
            };
        self.stale_inputs += u64::from(!known);
    }

    /// What was said on this stream lately may be lost although the transport took it: its stream was
    /// reset, or one of several connections closed. The stream counts as closed from now on.
    pub fn handle_reset(&mut self, peer: P, stream: StreamKind, now: Timestamp) {
        let Some(id) = self.peer_input(peer, now) else {
            return;
        };
        match stream {
            StreamKind::Requests => self.client.reset(id.at(), self.now),
            StreamKind::Responses => self.server.reset(id.at(), self.now),
        }
    }

    /// The answer to [`Output::Load`], whole or in parts: each CID is answered once.
    pub fn handle_load(
        &mut self,
        id: LoadId,
        answers: impl IntoIterator<Item = Loaded>,
        now: Timestamp,
    ) {
        self.input(now);
        let known = self.server.loaded(id.0, answers.into_iter(), self.now);
        self.stale_inputs += u64::from(!known);
    }

    /// The answer to [`Output::FindProviders`], whole or in parts. Peers that are not connected yet
    /// may be left out now and named again once they are.
    pub fn handle_providers(
        &mut self,
        id: LookupId,
        peers: &[P],
        lookup: ProviderProgress,
        now: Timestamp,
    ) {
        self.input(now);
        let places: Vec<Ref<Peer>> =
            peers.iter().filter_map(|peer| self.registry.id(peer)).map(Id::at).collect();
        let known = self.client.providers(id.0, &places, lookup, self.now);
        self.stale_inputs += u64::from(!known);
    }

    /// Time has passed. Early and extra calls do nothing.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        self.input(now);
    }

    // Wishes of the local user.

    /// Opens a session: wants that belong together and are likely served by the same peers.
    ///
    /// # Errors
    ///
    /// [`WantError::ShuttingDown`], or [`WantError::TooMany`] sessions.
    pub fn open_session(
        &mut self,
        options: SessionOptions<P>,
        now: Timestamp,
    ) -> Result<SessionId, WantError> {
        self.input(now);
        let (rule, peers) = options.peers.into_parts();
        let session = self.client.open_session(
            Options {
                window_bytes: options.window_bytes,
                when_missing: options.when_missing,
                want_timeout: options.want_timeout,
                find_providers: options.find_providers && rule != PeerRule::Only,
                download: options.download,
            },
            rule,
            self.now,
        )?;
        for peer in peers {
            self.admissions.admit(peer, session);
            if let Some(id) = self.registry.id(&peer) {
                self.client.admit(session, id.at());
            }
        }
        log!(debug, "a session was opened", session = SessionId(session));
        Ok(SessionId(session))
    }

    /// Closes a session. Its wants are cancelled, and no event of it follows.
    pub fn close_session(&mut self, session: SessionId, now: Timestamp) {
        self.input(now);
        if self.client.close_session(session.0, self.now) {
            log!(debug, "a session was closed", session = session);
            self.admissions.close(session.0);
        } else {
            self.stale_inputs += 1;
        }
    }

    /// Wants blocks: all of them or, on error, none. A CID that the session wants already keeps
    /// its place and takes the higher priority.
    ///
    /// # Errors
    ///
    /// [`WantError`] says which bound or rule stands against it.
    pub fn want(
        &mut self,
        session: SessionId,
        wants: impl IntoIterator<Item = Want>,
        now: Timestamp,
    ) -> Result<(), WantError> {
        self.input(now);
        self.client.want(session.0, wants.into_iter().collect(), self.now)
    }

    /// Ends wants of a session. No event about them follows.
    pub fn cancel(
        &mut self,
        session: SessionId,
        cids: impl IntoIterator<Item = Cid>,
        now: Timestamp,
    ) {
        self.input(now);
        self.client.cancel(session.0, cids.into_iter(), self.now);
    }

    /// The user has taken this many bytes of delivered blocks out of memory, so the session may
    /// ask for as many more.
    pub fn release_capacity(&mut self, session: SessionId, bytes: u64, now: Timestamp) {
        self.input(now);
        self.client.release_capacity(session.0, bytes);
    }

    /// These blocks are in the local store now. Peers that want them are answered, and local wants
    /// for them end with [`Event::Stored`].
    pub fn notify_new_blocks(&mut self, blocks: &[BlockInfo], now: Timestamp) {
        self.input(now);
        self.client.notify_new_blocks(blocks, self.now);
        self.server.notify_new_blocks(blocks, self.now);
    }

    /// Changes how many bytes per second a session asks for at most; `None` is no limit.
    pub fn set_session_rate(&mut self, session: SessionId, download: Option<u64>, now: Timestamp) {
        self.input(now);
        let known = self.client.set_session_rate(session.0, download, self.now);
        self.stale_inputs += u64::from(!known);
    }

    /// Changes the limits on bandwidth.
    pub fn set_rates(&mut self, rates: Rates, now: Timestamp) {
        self.input(now);
        self.client.set_rates(rates, self.now);
        self.server.set_rates(rates, self.now);
    }

    /// Fails all wants, tells peers their cancels and serves nobody any more. Drain until
    /// [`poll_timeout`](Self::poll_timeout) is `None` for an orderly end.
    pub fn shutdown(&mut self, now: Timestamp) {
        self.input(now);
        self.client.shutdown(self.now);
        self.server.shutdown(self.now);
    }

    // Outputs.

    /// The next output, or `None` when nothing is due.
    #[must_use]
    pub fn poll_output(&mut self) -> Option<Output<P>> {
        let output = self.next_output();
        if output.is_none() {
            self.dirty = false;
        }
        output
    }

    /// When to call [`handle_timeout`](Self::handle_timeout) at the latest; never later than now while an
    /// output is ready. `None`: nothing will happen without an input.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        self.poll_timeout_reason().map(|(at, _)| at)
    }

    /// [`poll_timeout`](Self::poll_timeout) with the reason.
    #[must_use]
    pub fn poll_timeout_reason(&self) -> Option<(Timestamp, TimerReason)> {
        if self.dirty {
            return Some((self.now, TimerReason::Output));
        }
        match (self.client.poll_timeout(), self.server.poll_timeout()) {
            (Some(client), Some(server)) => Some(if server.0 < client.0 { server } else { client }),
            (client, server) => client.or(server),
        }
    }

    // Queries.

    /// Counters and sizes of the whole engine. All of them are kept up to date as they change, so this reads them and
    /// walks nothing, however much there is.
    #[must_use]
    pub fn stats(&self) -> Stats {
        Stats {
            fetched: self.client.fetched(),
            served: self.server.served(),
            messages_received: self.messages_received,
            stale_inputs: self.stale_inputs,
            peers: self.registry.len() as u32,
            sessions: self.client.sessions_len(),
            wants: self.client.wants_len(),
            sent_wants: self.client.peer_wants_len(),
            ledger: self.server.ledger_len(None),
            response_bytes: self.server.response_bytes(None),
        }
    }

    /// Bytes of memory held, by the engine's own sums: to compare with a bound now and then, or for a gauge that is read
    /// every few seconds.
    ///
    /// It walks all sessions and peers, for what each of them has allocated is counted nowhere else. It walks no wants.
    #[must_use]
    pub fn held_bytes(&self) -> u64 {
        let bytes = self.registry.bytes()
            + self.admissions.bytes()
            + self.gone.capacity() * size_of::<(P, PeerHistory)>()
            + self.client.held_bytes()
            + self.server.held_bytes();
        bytes as u64
    }

    /// What is known of a connected peer. Reads counters, as [`stats`](Self::stats) does.
    #[must_use]
    pub fn peer_stats(&self, peer: P) -> Option<PeerStats> {
        let id = self.registry.id(&peer)?;
        let mut stats = PeerStats {
            served: self.server.peer_served(id.at())?,
            messages_received: self.registry.messages_received(id.at())?,
            ledger: self.server.ledger_len(Some(id.at())),
            response_bytes: self.server.response_bytes(Some(id.at())),
            ..PeerStats::default()
        };
        self.client.add_peer_stats(id.at(), &mut stats);
        Some(stats)
    }

    /// What is known of a session. Reads counters, as [`stats`](Self::stats) does.
    #[must_use]
    pub fn session_stats(&self, session: SessionId) -> Option<SessionStats> {
        self.client.session_stats(session.0)
    }

    /// Whether a limit of download holds back what a session asks for: its own, that of all peers together, or
    /// that of some peer.
    #[must_use]
    pub fn is_rate_limited(&self, session: SessionId) -> bool {
        self.client.is_rate_limited(session.0)
    }

    /// The wants of a peer that are remembered, most urgent first.
    #[must_use]
    pub fn peer_wantlist(&self, peer: P) -> Vec<Entry> {
        let id = self.registry.id(&peer);
        id.map(|id| self.server.peer_wantlist(id.at())).unwrap_or_default()
    }

    /// Why a want is still waiting: what each peer that was told it did so far. `None` when the
    /// session does not want the CID.
    #[must_use]
    pub fn diagnose(&self, session: SessionId, cid: &Cid) -> Option<Vec<PeerReport<P>>> {
        Some(self.named(self.client.diagnose(session.0, cid)?))
    }

    /// What is wrong with the structures inside, if anything: for tests. Looks at every row.
    ///
    /// # Errors
    ///
    /// The first rule that is broken.
    #[cfg(any(test, feature = "testing"))]
    pub fn validate(&self) -> Result<(), &'static str> {
        self.registry.validate()?;
        self.client.validate()?;
        self.server.validate()
    }

    fn input(&mut self, now: Timestamp) {
        self.now = self.now.max(now);
        self.dirty = true;
    }

    fn peer_input(&mut self, peer: P, now: Timestamp) -> Option<Id<Peer>> {
        self.input(now);
        let id = self.registry.id(&peer);
        self.stale_inputs += u64::from(id.is_none());
        id
    }

    fn next_output(&mut self) -> Option<Output<P>> {
        if let Some((peer, history)) = self.gone.pop_front() {
            if self.gone.is_empty() {
                self.gone = VecDeque::new();
            }
            return Some(Output::Event(Event::PeerDisconnected { peer, history }));
        }
        loop {
            // An output about a peer that is gone has no receiver, so the next one is taken.
            let output = if let Some(output) = self.client.poll(self.now) {
                self.client_output(output)
            } else if let Some(output) = self.server.poll(self.now) {
                self.server_output(output)
            } else {
                // Last: a want that ends here is often followed by another.
                return self.next_keep_alive();
            };
            if output.is_some() {
                return output;
            }
        }
    }

    /// The next peer whose connection is needed and was not when the host was told last, or the reverse.
    fn next_keep_alive(&mut self) -> Option<Output<P>> {
        loop {
            let changed =
                self.client.next_changed_need().or_else(|| self.server.next_changed_need());
            let row = changed?;
            let needed = self.client.is_needed(row) || self.server.is_needed(row);
            if let Some(peer) = self.registry.tell_need(row, needed) {
                return Some(Output::KeepAlive { peer, needed });
            }
        }
    }
}
