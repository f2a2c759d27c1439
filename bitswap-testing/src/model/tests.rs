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

/// What the checker knows after it has seen peers 1 and 2 connect and open both streams.
struct Context {
    model: Model<u8>,
    blocks: Vec<Block>,
    seq: u32,
}

impl Context {
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
        self.model.want(SESSION, &[cid]);
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
        self.model.responses.loaded(LoadId::from_bits(1), &[Loaded { cid, answer }]);
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

    fn sends_entry(&mut self, entry: Entry) {
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

    fn sends_block(&mut self, block: usize) {
        let blocks = vec![self.blocks[block].clone()];
        self.sends(StreamKind::Responses, Message { blocks, ..Message::default() });
    }

    fn sends_presence(&mut self, block: usize, have: bool) {
        let presences = vec![Presence { cid: *self.blocks[block].cid(), have }];
        self.sends(StreamKind::Responses, Message { presences, ..Message::default() });
    }

    fn delivers(&mut self, block: Block) {
        let event = Event::Block { session: SESSION, block, from: Some(1) };
        self.model.output(&Output::Event(event), Some(NOW));
    }

    fn arrives(&mut self, block: usize) {
        self.arrives_from(1, block);
    }

    fn arrives_from(&mut self, peer: u8, block: usize) {
        let blocks = vec![self.blocks[block].clone()];
        self.model.received(peer, &Message { blocks, ..Message::default() });
    }

    fn lacks(&mut self, peer: u8, block: usize) {
        let presences = vec![Presence { cid: *self.blocks[block].cid(), have: false }];
        self.model.received(peer, &Message { presences, ..Message::default() });
    }

    fn passes(&mut self, ms: u64) {
        self.model.input(NOW + Duration::from_millis(ms), || Record::Input("timeout"));
    }
}

/// The complaint about what `act` does, or nothing.
fn complaint(context: Context, act: impl FnOnce(&mut Context)) -> String {
    let mut context = context;
    match catch_unwind(AssertUnwindSafe(|| act(&mut context))) {
        Ok(()) => String::new(),
        Err(panic) => panic.downcast_ref::<String>().cloned().unwrap_or_default(),
    }
}

#[track_caller]
fn calls(phrase: &str, context: Context, act: impl FnOnce(&mut Context)) {
    let complaint = complaint(context, act);
    assert!(complaint.contains(phrase), "{phrase:?} is not in {complaint:?}");
}

#[track_caller]
fn is_silent(context: Context, act: impl FnOnce(&mut Context)) {
    assert_eq!(complaint(context, act), "");
}

#[test]
fn an_output_without_a_timer() {
    for timeout in [None, Some(NOW + Duration::from_micros(1))] {
        calls("contract 2", Context::new(), |context| {
            let close = Output::Close { peer: 1, stream: StreamKind::Requests };
            context.model.output(&close, timeout);
        });
    }
}

#[test]
fn a_block_that_nobody_brought_or_wants_or_with_other_bytes() {
    let context = || Context::new().session(PeerSet::Any).wants(0);
    is_silent(context(), |context| {
        context.arrives(0);
        context.delivers(context.blocks[0].clone());
    });
    calls("no peer brought it", context(), |context| context.delivers(context.blocks[0].clone()));
    calls("does not want", context(), |context| context.delivers(context.blocks[1].clone()));
    calls("do not hash", context(), |context| {
        context.arrives(0);
        let wrong = Block::new_unchecked(*context.blocks[0].cid(), Bytes::from_static(b"no"));
        context.delivers(wrong);
    });
    calls("contract 7", context(), |context| {
        context.arrives(0);
        context.delivers(context.blocks[0].clone());
        context.delivers(context.blocks[0].clone());
    });
}

#[test]
fn an_end_that_is_held_back_or_has_no_reason() {
    let context = || Context::new().session(PeerSet::Any).wants(0);
    let mut held = context();
    held.arrives(0);
    assert!(held.model.wants.settled().unwrap_err().contains("was not reported"));
    for (reason, phrase) in [
        (WantFailure::NotFound(Vec::new()), "in a session that waits"),
        (WantFailure::TimedOut(Vec::new()), "timed out"),
        (WantFailure::ShutDown, "did not happen"),
    ] {
        calls(phrase, context(), |context| {
            let cid = *context.blocks[0].cid();
            let event = Event::Failed { session: SESSION, cid, reason };
            context.model.output(&Output::Event(event), Some(NOW));
        });
    }
}

#[test]
fn a_want_that_is_not_wanted_and_one_sent_to_the_wrong_peer() {
    let block = |context: &Context| context.want(0, WantKind::Block);
    is_silent(Context::new().session(PeerSet::Only(vec![1])).wants(0), |context| {
        context.sends_entry(block(context));
    });
    calls("which nobody wants", Context::new(), |context| context.sends_entry(block(context)));
    calls("privacy", Context::new().session(PeerSet::Only(vec![2])).wants(0), |context| {
        context.sends_entry(block(context));
    });
}

#[test]
fn a_want_that_others_learn_of_before_those_who_come_first_have_failed() {
    let preferring = |peer| Context::new().session(PeerSet::Prefer(vec![peer])).wants(0);
    let asks = |context: &mut Context| context.sends_entry(context.want(0, WantKind::Block));
    let search = |context: &mut Context| {
        let cid = *context.blocks[0].cid();
        let search = Output::FindProviders { id: LookupId::from_bits(1), session: SESSION, cid };
        context.model.output(&search, Some(NOW));
    };
    calls("preference: 1 learned", preferring(2), asks);
    calls("preference: providers", preferring(2), search);
    calls("preference", preferring(2), |context| {
        context.lacks(2, 1);
        context.lacks(1, 0);
        context.passes(49);
        asks(context);
    });
    is_silent(preferring(1), asks);
    is_silent(preferring(3), |context| (asks(context), search(context)).1);
    // Whatever may be taken for a failure.
    type Act = fn(&mut Context);
    let failures: [Act; 5] = [
        |context| context.lacks(2, 0),
        |context| context.passes(50),
        |context| context.model.disconnected(2),
        |context| context.model.lost(2, StreamKind::Requests),
        |context| context.model.support(2, ProtocolSupport::No),
    ];
    for fails in failures {
        is_silent(preferring(2), |context| {
            fails(context);
            asks(context);
            search(context);
        });
    }
}

#[test]
fn a_want_that_others_may_learn_of_from_another_session_or_know_already() {
    let other = SessionId::from_bits(2 << 32);
    let asks = |context: &mut Context| context.sends_entry(context.want(0, WantKind::Block));
    let joins = |context: &mut Context| {
        context.model.wants.session(other, SessionOptions::default()).unwrap();
        let cid = *context.blocks[0].cid();
        context.model.want(other, &[cid]);
    };
    is_silent(Context::new().session(PeerSet::Prefer(vec![2])).wants(0), |context| {
        joins(context);
        context.model.wants.close(other);
        asks(context);
    });
    is_silent(Context::new().session(PeerSet::Prefer(vec![2])), |context| {
        joins(context);
        asks(context);
        let cid = *context.blocks[0].cid();
        context.model.wants.cancel(other, &[cid]);
        context.model.want(SESSION, &[cid]);
        asks(context);
    });
}

#[test]
fn who_may_have_been_silent_is_waited_for_again_once_it_has_delivered_all() {
    let context = || Context::new().session(PeerSet::Prefer(vec![2])).wants(1);
    let asks_after = |context: &mut Context, deliverer| {
        context.passes(1000);
        context.arrives_from(deliverer, 1);
        context.passes(1000);
        let cid = *context.blocks[0].cid();
        context.model.want(SESSION, &[cid]);
        context.sends_entry(context.want(0, WantKind::Block));
    };
    is_silent(context(), |context| asks_after(context, 1));
    calls("preference", context(), |context| asks_after(context, 2));
}

#[test]
fn a_cancel_of_what_was_never_sent_or_to_the_deliverer() {
    let context = || Context::new().session(PeerSet::Any).wants(0);
    calls("sent nothing", context(), |context| context.sends_entry(context.cancel(0)));
    is_silent(context(), |context| {
        context.sends_entry(context.want(0, WantKind::Block));
        context.sends_entry(context.cancel(0));
    });
    calls("which it delivered", context(), |context| {
        context.sends_entry(context.want(0, WantKind::Block));
        context.arrives(0);
        context.sends_entry(context.cancel(0));
    });
}

#[test]
fn words_that_an_old_version_lacks() {
    let context = || Context::of_version(Version::V1_1).session(PeerSet::Any).wants(0);
    calls("a want-have went", context(), |context| {
        let entries = vec![context.want(0, WantKind::Have)];
        let wantlist = Wantlist { entries, full: false };
        context.sends_as(
            StreamKind::Requests,
            Version::V1_1,
            Message { wantlist, ..Message::default() },
        );
    });
    calls("presences went", context(), |context| {
        let presences = vec![Presence { cid: *context.blocks[0].cid(), have: true }];
        context.sends_as(
            StreamKind::Responses,
            Version::V1_1,
            Message { presences, ..Message::default() },
        );
    });
    calls("while Requests was", context(), |context| {
        context.sends_entry(context.want(0, WantKind::Block));
    });
}

#[test]
fn a_block_for_which_nobody_asks() {
    let asks = |kind| move |context: &Context| context.want(1, kind);
    is_silent(Context::new().asked(asks(WantKind::Block)).has(1), |context| context.sends_block(1));
    calls("for which it does not ask", Context::new().asked(asks(WantKind::Block)), |context| {
        let (cid, data) = context.blocks[1].clone().into_parts();
        let load =
            Load { id: LoadId::from_bits(1), peer: 1, cids: vec![cid], kind: LoadKind::Data };
        context.model.output(&Output::Load(load), Some(NOW));
        let wantlist = Wantlist { entries: vec![context.cancel(1)], full: false };
        context.model.received(1, &Message { wantlist, ..Message::default() });
        context
            .model
            .responses
            .loaded(LoadId::from_bits(1), &[Loaded { cid, answer: LoadAnswer::Data(data) }]);
        context.sends_block(1);
    });
    calls("did not give", Context::new().asked(asks(WantKind::Block)), |context| {
        context.sends_block(1);
    });
    // The answers to lookups of wants that were cancelled since say nothing new.
    let mut context = Context::new().asked(asks(WantKind::Block)).has(1);
    for _ in 0..9 {
        context = context.loaded(1, LoadAnswer::NotFound);
    }
    is_silent(context, |context| context.sends_block(1));
    calls("twice for one want", Context::new().asked(asks(WantKind::Block)).has(1), |context| {
        context.sends_block(1);
        context.sends_block(1);
    });
    calls("asked whether", Context::new().asked(asks(WantKind::Have)).has(1), |context| {
        context.sends_block(1);
    });
}

#[test]
fn presences_that_the_store_or_the_peer_contradicts() {
    let asks = |context: &Context| context.want(0, WantKind::Have);
    is_silent(Context::new().asked(asks).has(0), |context| context.sends_presence(0, true));
    is_silent(Context::new().asked(asks).loaded(0, LoadAnswer::NotFound), |context| {
        context.sends_presence(0, false);
    });
    calls("HAVE for", Context::new().asked(asks), |context| context.sends_presence(0, true));
    calls("but the store said", Context::new().asked(asks).has(0), |context| {
        context.sends_presence(0, false);
    });
    calls(
        "did not ask for it",
        Context::new()
            .asked(|context| Entry { send_dont_have: false, ..context.want(0, WantKind::Have) })
            .loaded(0, LoadAnswer::NotFound),
        |context| context.sends_presence(0, false),
    );
    calls("twice", Context::new().asked(asks).has(0), |context| {
        context.sends_presence(0, true);
        context.sends_presence(0, true);
    });
}

#[test]
fn streams_and_messages_out_of_order() {
    let open = |peer, stream| Output::Open { peer, stream };
    calls("while it is Open", Context::new(), |context| {
        context.model.output(&open(1, StreamKind::Requests), Some(NOW));
    });
    calls("not connected", Context::new(), |context| {
        context.model.output(&open(9, StreamKind::Requests), Some(NOW));
    });
    calls("speaks no Bitswap", Context::new(), |context| {
        context.model.connected(3);
        context.model.output(&open(3, StreamKind::Requests), Some(NOW));
        context.model.streams.opened(3, StreamKind::Requests, Err(OpenError::Unsupported));
        context.model.output(&open(3, StreamKind::Requests), Some(NOW));
    });
    calls("an empty message", Context::new(), |context| {
        context.sends(StreamKind::Requests, Message::default());
    });
    calls("closed under a message", Context::new().session(PeerSet::Any).wants(0), |context| {
        context.sends_entry(context.want(0, WantKind::Block));
        let close = Output::Close { peer: 1, stream: StreamKind::Requests };
        context.model.output(&close, Some(NOW));
    });
    calls(
        "4 messages were on their way",
        Context::new().session(PeerSet::Any).wants(0),
        |context| {
            for _ in 0..5 {
                context.sends_entry(context.want(0, WantKind::Block));
            }
        },
    );
}

#[test]
fn a_stream_that_is_reset_for_nothing_or_too_early() {
    let sent = || {
        let mut context = Context::new().asked(|context| context.want(1, WantKind::Block)).has(1);
        context.sends_block(1);
        context
    };
    let waits = |context: &mut Context| {
        let wantlist = Wantlist { entries: vec![context.want(0, WantKind::Block)], full: false };
        context.model.received(2, &Message { wantlist, ..Message::default() });
    };
    let resets = |context: &mut Context, peer, stream, after| {
        context.model.now = NOW + Duration::from_millis(after);
        context.model.output(&Output::Reset { peer, stream }, Some(NOW));
    };
    is_silent(sent(), |context| {
        waits(context);
        resets(context, 1, StreamKind::Responses, 2000);
        // What was on its way goes again, on a new stream.
        let open = Output::Open { peer: 1, stream: StreamKind::Responses };
        context.model.output(&open, Some(NOW));
        context.model.streams.opened(1, StreamKind::Responses, Ok(Version::V1_2));
        context.sends_block(1);
    });
    calls("nobody else waits", sent(), |context| resets(context, 1, StreamKind::Responses, 2000));
    for (phrase, peer, stream, after) in [
        ("to take a block", 1, StreamKind::Responses, 1999),
        ("to take a block", 2, StreamKind::Responses, 2000),
        ("holds no blocks", 1, StreamKind::Requests, 2000),
        ("not connected", 9, StreamKind::Responses, 2000),
    ] {
        calls(phrase, sent(), |context| {
            waits(context);
            resets(context, peer, stream, after);
        });
    }
    // A message without blocks has been on its way for longer, and gives the block behind it no less time.
    let told = || {
        let context = Context::new().asked(|context| context.want(0, WantKind::Have)).has(0);
        let mut context = context.asked(|context| context.want(1, WantKind::Block)).has(1);
        context.sends_presence(0, true);
        context.model.now = NOW + Duration::from_millis(1500);
        context.sends_block(1);
        context
    };
    calls("to take a block", told(), |context| {
        waits(context);
        resets(context, 1, StreamKind::Responses, 3499);
    });
    is_silent(told(), |context| {
        waits(context);
        resets(context, 1, StreamKind::Responses, 3500);
    });
    calls("reset while it is Some(Closed)", sent(), |context| {
        waits(context);
        resets(context, 1, StreamKind::Responses, 2000);
        resets(context, 1, StreamKind::Responses, 4000);
    });
}

#[test]
fn a_search_for_what_nobody_wants() {
    let search = |context: &mut Context| {
        let cid = *context.blocks[0].cid();
        let search = Output::FindProviders { id: LookupId::from_bits(1), session: SESSION, cid };
        context.model.output(&search, Some(NOW));
    };
    is_silent(Context::new().session(PeerSet::Any).wants(0), search);
    calls("which it does not want", Context::new().session(PeerSet::Any), search);
    calls("must not", Context::new().session(PeerSet::Only(vec![1])).wants(0), search);
    calls("does not run", Context::new(), |context| {
        context.model.output(&Output::StopLookup { id: LookupId::from_bits(5) }, Some(NOW));
    });
}

#[test]
fn needs_that_are_told_twice_or_of_nobody() {
    let told = |peer, needed| {
        move |context: &mut Context| {
            context.model.output(&Output::KeepAlive { peer, needed }, Some(NOW));
        }
    };
    is_silent(Context::new(), told(1, true));
    calls("it was said already", Context::new(), told(1, false));
    calls("it was said already", Context::new(), |context| {
        told(1, true)(context);
        told(1, true)(context);
    });
    calls("3 is not connected", Context::new(), told(3, true));
}

#[test]
fn needs_that_are_not_what_the_engine_has() {
    let mut engine = Engine::new(Config::default(), [1; 32], NOW);
    engine.handle_connected(1, None, NOW);
    let mut needs = Needs::default();
    needs.connected(1);
    assert_eq!(needs.at_rest(&engine, 1), Ok(()));
    needs.told(1, true).unwrap();
    assert!(needs.at_rest(&engine, 1).unwrap_err().contains("it is needed: true"));
}

#[test]
fn a_violation_prints_the_last_steps() {
    let complaint = complaint(Context::new(), |context| {
        context.sends(StreamKind::Requests, Message::default());
    });
    let log = format!("{:>12} < open 1 Requests", 1000);
    assert!(complaint.contains(&log), "{complaint}");
}
