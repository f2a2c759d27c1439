//! Faults that an engine might have, each of which must be called by its name.

use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;
use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;

use super::*;
use bitswap_core::Block;
use bitswap_core::Prefix;
use bitswap_core::error::OpenError;
use bitswap_core::message::{Entry, Presence, Version, WantKind, Wantlist};
use bitswap_core::{Load, LoadAnswer, LoadId, LoadKind, Loaded, LookupId, SendId, WantFailure};
use bitswap_core::{PeerSet, SessionOptions};

const NOW: Timestamp = Timestamp::from_micros(1000);
const SESSION: SessionId = SessionId::from_bits(1 << 32);
const US: u64 = 1 << 32 | 7;

/// A watcher that has seen peers 1 and 2 connect and open both streams.
struct Scene {
    model: Model<u8>,
    blocks: Vec<Block>,
    seq: u32,
}

impl Scene {
    fn new() -> Self {
        Self::of_version(Version::V1_2)
    }

    fn of_version(version: Version) -> Self {
        let mut model = Model::new(&Config::default(), NOW);
        for peer in [1, 2] {
            model.connected(peer);
            for stream in [StreamKind::Requests, StreamKind::Responses] {
                model.output(&Output::Open { peer, stream }, Some(NOW));
                model.streams.opened(peer, stream, Ok(version));
            }
        }
        let blocks = [10, 2000].map(|len| Prefix::V0.block(Bytes::from(vec![1; len])).unwrap());
        Self { model, blocks: blocks.to_vec(), seq: 0 }
    }

    fn session(mut self, peers: PeerSet<u8>) -> Self {
        let options = SessionOptions { peers, ..SessionOptions::default() };
        self.model.wants.session(SESSION, options).unwrap();
        self
    }

    fn wants(mut self, block: usize) -> Self {
        let cid = *self.blocks[block].cid();
        self.model.wants.want(SESSION, &[cid], NOW);
        self
    }

    fn asked(mut self, entry: impl FnOnce(&Self) -> Entry) -> Self {
        let wantlist = Wantlist { entries: vec![entry(&self)], full: false };
        self.model.received(1, &Message { wantlist, ..Message::default() });
        self
    }

    fn loaded(mut self, block: usize, answer: LoadAnswer) -> Self {
        let cid = *self.blocks[block].cid();
        let load =
            Load { id: LoadId::from_bits(1), peer: 1, cids: vec![cid], kind: LoadKind::Data };
        self.model.output(&Output::Load(load), Some(NOW));
        self.model.answers.loaded(LoadId::from_bits(1), &[Loaded { cid, answer }]);
        self
    }

    fn has(self, block: usize) -> Self {
        let data = self.blocks[block].data().clone();
        self.loaded(block, LoadAnswer::Data(data))
    }

    fn want(&self, block: usize, kind: WantKind) -> Entry {
        Entry::want(*self.blocks[block].cid(), kind, 1, true)
    }

    fn cancel(&self, block: usize) -> Entry {
        Entry::cancel(*self.blocks[block].cid())
    }

    fn tells(&mut self, entry: Entry) {
        let wantlist = Wantlist { entries: vec![entry], full: false };
        self.sends(StreamKind::Requests, Message { wantlist, ..Message::default() });
    }

    fn sends(&mut self, stream: StreamKind, message: Message) {
        let version = Version::V1_2;
        self.sends_as(stream, version, message);
    }

    fn sends_as(&mut self, stream: StreamKind, version: Version, message: Message) {
        self.seq += 1;
        let id = SendId::from_parts(US, stream, self.seq);
        self.model
            .output(&Output::Send(Outgoing { id, peer: 1, stream, version, message }), Some(NOW));
    }

    fn gives(&mut self, block: usize) {
        let blocks = vec![self.blocks[block].clone()];
        self.sends(StreamKind::Responses, Message { blocks, ..Message::default() });
    }

    fn says(&mut self, block: usize, have: bool) {
        let presences = vec![Presence { cid: *self.blocks[block].cid(), have }];
        self.sends(StreamKind::Responses, Message { presences, ..Message::default() });
    }

    fn delivers(&mut self, block: Block) {
        let event = Event::Block { session: SESSION, block, from: Some(1) };
        self.model.output(&Output::Event(event), Some(NOW));
    }

    fn arrives(&mut self, block: usize) {
        let blocks = vec![self.blocks[block].clone()];
        self.model.received(1, &Message { blocks, ..Message::default() });
    }
}

/// The complaint about what `act` does, or nothing.
fn complaint(scene: Scene, act: impl FnOnce(&mut Scene)) -> String {
    let mut scene = scene;
    match catch_unwind(AssertUnwindSafe(|| act(&mut scene))) {
        Ok(()) => String::new(),
        Err(panic) => panic.downcast_ref::<String>().cloned().unwrap_or_default(),
    }
}

#[track_caller]
fn calls(phrase: &str, scene: Scene, act: impl FnOnce(&mut Scene)) {
    let complaint = complaint(scene, act);
    assert!(complaint.contains(phrase), "{phrase:?} is not in {complaint:?}");
}

#[track_caller]
fn is_silent(scene: Scene, act: impl FnOnce(&mut Scene)) {
    assert_eq!(complaint(scene, act), "");
}

#[test]
fn an_output_without_a_timer() {
    for timeout in [None, Some(NOW + Duration::from_micros(1))] {
        calls("contract 2", Scene::new(), |scene| {
            let close = Output::Close { peer: 1, stream: StreamKind::Requests };
            scene.model.output(&close, timeout);
        });
    }
}

#[test]
fn a_block_that_nobody_brought_or_wants_or_with_other_bytes() {
    let scene = || Scene::new().session(PeerSet::Any).wants(0);
    is_silent(scene(), |scene| {
        scene.arrives(0);
        scene.delivers(scene.blocks[0].clone());
    });
    calls("no peer brought it", scene(), |scene| scene.delivers(scene.blocks[0].clone()));
    calls("does not want", scene(), |scene| scene.delivers(scene.blocks[1].clone()));
    calls("do not hash", scene(), |scene| {
        scene.arrives(0);
        let wrong = Block::new_unchecked(*scene.blocks[0].cid(), Bytes::from_static(b"no"));
        scene.delivers(wrong);
    });
    calls("contract 7", scene(), |scene| {
        scene.arrives(0);
        scene.delivers(scene.blocks[0].clone());
        scene.delivers(scene.blocks[0].clone());
    });
}

#[test]
fn an_end_that_is_held_back_or_has_no_reason() {
    let scene = || Scene::new().session(PeerSet::Any).wants(0);
    let mut held = scene();
    held.arrives(0);
    assert!(held.model.wants.settled().unwrap_err().contains("was not told"));
    for (reason, phrase) in [
        (WantFailure::NotFound(Vec::new()), "in a session that waits"),
        (WantFailure::TimedOut(Vec::new()), "timed out"),
        (WantFailure::ShutDown, "did not happen"),
    ] {
        calls(phrase, scene(), |scene| {
            let cid = *scene.blocks[0].cid();
            let event = Event::Failed { session: SESSION, cid, reason };
            scene.model.output(&Output::Event(event), Some(NOW));
        });
    }
}

#[test]
fn a_want_that_is_not_wanted_and_one_told_to_the_wrong_peer() {
    let block = |scene: &Scene| scene.want(0, WantKind::Block);
    is_silent(Scene::new().session(PeerSet::Only(vec![1])).wants(0), |scene| {
        scene.tells(block(scene));
    });
    calls("which nobody wants", Scene::new(), |scene| scene.tells(block(scene)));
    calls("privacy", Scene::new().session(PeerSet::Only(vec![2])).wants(0), |scene| {
        scene.tells(block(scene));
    });
}

#[test]
fn a_cancel_of_what_was_never_told_or_to_the_deliverer() {
    let scene = || Scene::new().session(PeerSet::Any).wants(0);
    calls("told nothing", scene(), |scene| scene.tells(scene.cancel(0)));
    is_silent(scene(), |scene| {
        scene.tells(scene.want(0, WantKind::Block));
        scene.tells(scene.cancel(0));
    });
    calls("which it delivered", scene(), |scene| {
        scene.tells(scene.want(0, WantKind::Block));
        scene.arrives(0);
        scene.tells(scene.cancel(0));
    });
}

#[test]
fn words_that_an_old_version_lacks() {
    let scene = || Scene::of_version(Version::V1_1).session(PeerSet::Any).wants(0);
    calls("a want-have went", scene(), |scene| {
        let entries = vec![scene.want(0, WantKind::Have)];
        let wantlist = Wantlist { entries, full: false };
        scene.sends_as(
            StreamKind::Requests,
            Version::V1_1,
            Message { wantlist, ..Message::default() },
        );
    });
    calls("presences went", scene(), |scene| {
        let presences = vec![Presence { cid: *scene.blocks[0].cid(), have: true }];
        scene.sends_as(
            StreamKind::Responses,
            Version::V1_1,
            Message { presences, ..Message::default() },
        );
    });
    calls("while Requests was", scene(), |scene| scene.tells(scene.want(0, WantKind::Block)));
}

#[test]
fn a_block_for_which_nobody_asks() {
    let asks = |kind| move |scene: &Scene| scene.want(1, kind);
    is_silent(Scene::new().asked(asks(WantKind::Block)).has(1), |scene| scene.gives(1));
    calls("for which it does not ask", Scene::new().asked(asks(WantKind::Block)), |scene| {
        let (cid, data) = scene.blocks[1].clone().into_parts();
        let load =
            Load { id: LoadId::from_bits(1), peer: 1, cids: vec![cid], kind: LoadKind::Data };
        scene.model.output(&Output::Load(load), Some(NOW));
        let wantlist = Wantlist { entries: vec![scene.cancel(1)], full: false };
        scene.model.received(1, &Message { wantlist, ..Message::default() });
        scene
            .model
            .answers
            .loaded(LoadId::from_bits(1), &[Loaded { cid, answer: LoadAnswer::Data(data) }]);
        scene.gives(1);
    });
    calls("did not give", Scene::new().asked(asks(WantKind::Block)), |scene| scene.gives(1));
    // The answers to lookups of wants that were cancelled since say nothing new.
    let mut scene = Scene::new().asked(asks(WantKind::Block)).has(1);
    for _ in 0..9 {
        scene = scene.loaded(1, LoadAnswer::NotFound);
    }
    is_silent(scene, |scene| scene.gives(1));
    calls("twice for one want", Scene::new().asked(asks(WantKind::Block)).has(1), |scene| {
        scene.gives(1);
        scene.gives(1);
    });
    calls("asked whether", Scene::new().asked(asks(WantKind::Have)).has(1), |scene| {
        scene.gives(1);
    });
}

#[test]
fn presences_that_the_store_or_the_peer_contradicts() {
    let asks = |scene: &Scene| scene.want(0, WantKind::Have);
    is_silent(Scene::new().asked(asks).has(0), |scene| scene.says(0, true));
    is_silent(Scene::new().asked(asks).loaded(0, LoadAnswer::NotFound), |scene| {
        scene.says(0, false);
    });
    calls("HAVE for", Scene::new().asked(asks), |scene| scene.says(0, true));
    calls("but the store said", Scene::new().asked(asks).has(0), |scene| scene.says(0, false));
    calls(
        "did not ask for it",
        Scene::new()
            .asked(|scene| Entry { send_dont_have: false, ..scene.want(0, WantKind::Have) })
            .loaded(0, LoadAnswer::NotFound),
        |scene| scene.says(0, false),
    );
    calls("twice", Scene::new().asked(asks).has(0), |scene| {
        scene.says(0, true);
        scene.says(0, true);
    });
}

#[test]
fn lanes_and_messages_out_of_order() {
    let open = |peer, stream| Output::Open { peer, stream };
    calls("while it is Open", Scene::new(), |scene| {
        scene.model.output(&open(1, StreamKind::Requests), Some(NOW));
    });
    calls("not connected", Scene::new(), |scene| {
        scene.model.output(&open(9, StreamKind::Requests), Some(NOW));
    });
    calls("speaks no Bitswap", Scene::new(), |scene| {
        scene.model.connected(3);
        scene.model.output(&open(3, StreamKind::Requests), Some(NOW));
        scene.model.streams.opened(3, StreamKind::Requests, Err(OpenError::Unsupported));
        scene.model.output(&open(3, StreamKind::Requests), Some(NOW));
    });
    calls("an empty message", Scene::new(), |scene| {
        scene.sends(StreamKind::Requests, Message::default());
    });
    calls("closed under a message", Scene::new().session(PeerSet::Any).wants(0), |scene| {
        scene.tells(scene.want(0, WantKind::Block));
        let close = Output::Close { peer: 1, stream: StreamKind::Requests };
        scene.model.output(&close, Some(NOW));
    });
    calls("4 messages were on their way", Scene::new().session(PeerSet::Any).wants(0), |scene| {
        for _ in 0..5 {
            scene.tells(scene.want(0, WantKind::Block));
        }
    });
}

#[test]
fn a_stream_that_is_reset_for_nothing_or_too_early() {
    let gives = || {
        let mut scene = Scene::new().asked(|scene| scene.want(1, WantKind::Block)).has(1);
        scene.gives(1);
        scene
    };
    let waits = |scene: &mut Scene| {
        let wantlist = Wantlist { entries: vec![scene.want(0, WantKind::Block)], full: false };
        scene.model.received(2, &Message { wantlist, ..Message::default() });
    };
    let resets = |scene: &mut Scene, peer, stream, after| {
        scene.model.now = NOW + Duration::from_millis(after);
        scene.model.output(&Output::Reset { peer, stream }, Some(NOW));
    };
    is_silent(gives(), |scene| {
        waits(scene);
        resets(scene, 1, StreamKind::Responses, 2000);
        // What was on its way goes again, on a new stream.
        let open = Output::Open { peer: 1, stream: StreamKind::Responses };
        scene.model.output(&open, Some(NOW));
        scene.model.streams.opened(1, StreamKind::Responses, Ok(Version::V1_2));
        scene.gives(1);
    });
    calls("nobody else waits", gives(), |scene| resets(scene, 1, StreamKind::Responses, 2000));
    for (phrase, peer, stream, after) in [
        ("to take anything", 1, StreamKind::Responses, 1999),
        ("to take anything", 2, StreamKind::Responses, 2000),
        ("holds no blocks", 1, StreamKind::Requests, 2000),
        ("not connected", 9, StreamKind::Responses, 2000),
    ] {
        calls(phrase, gives(), |scene| {
            waits(scene);
            resets(scene, peer, stream, after);
        });
    }
    calls("reset while it is Some(Closed)", gives(), |scene| {
        waits(scene);
        resets(scene, 1, StreamKind::Responses, 2000);
        resets(scene, 1, StreamKind::Responses, 4000);
    });
}

#[test]
fn a_search_for_what_nobody_wants() {
    let search = |scene: &mut Scene| {
        let cid = *scene.blocks[0].cid();
        let search = Output::FindProviders { id: LookupId::from_bits(1), session: SESSION, cid };
        scene.model.output(&search, Some(NOW));
    };
    is_silent(Scene::new().session(PeerSet::Any).wants(0), search);
    calls("which it does not want", Scene::new().session(PeerSet::Any), search);
    calls("must not", Scene::new().session(PeerSet::Only(vec![1])).wants(0), search);
    calls("does not run", Scene::new(), |scene| {
        scene.model.output(&Output::StopLookup { id: LookupId::from_bits(5) }, Some(NOW));
    });
}

#[test]
fn a_violation_prints_the_last_steps() {
    let complaint =
        complaint(Scene::new(), |scene| scene.sends(StreamKind::Requests, Message::default()));
    let log = format!("{:>12} < open 1 Requests", 1000);
    assert!(complaint.contains(&log), "{complaint}");
}
