//! 6. Each request of the engine wants one answer: the first final one counts, others are ignored.

use bitswap_core::error::{OpenError, SendError};
use bitswap_core::message::{Message, Wantlist};
use bitswap_core::{
    Config, Engine, Entry, LoadAnswer, LoadId, Loaded, LookupId, Outgoing, Output,
    ProviderProgress, SessionOptions, StreamKind, Timestamp, Version, Want, WantKind,
};

use crate::pair::{block, ms};

const NOW: Timestamp = Timestamp::ZERO;

/// Guards `OutboundStream::opened`: only a stream that is opening takes an answer.
#[test]
fn a_stream_is_opened_once() {
    let mut engine = with_peer();
    want(&mut engine);
    assert_eq!(opens(&mut engine), [StreamKind::Requests]);
    engine.handle_open(1, StreamKind::Requests, Ok(Version::V1_2), NOW);
    engine.handle_open(1, StreamKind::Requests, Err(OpenError::Unsupported), NOW);
    engine.handle_open(1, StreamKind::Responses, Ok(Version::V1_2), NOW);
    assert_eq!(engine.stats().stale_inputs, 2);
    assert_eq!(engine.peer_stats(1).unwrap().version, Some(Version::V1_2));
}

/// Guards `OutboundStream::sent`: a number is taken out by its first report.
#[test]
fn a_send_is_reported_once() {
    let mut engine = with_peer();
    want(&mut engine);
    opens(&mut engine);
    engine.handle_open(1, StreamKind::Requests, Ok(Version::V1_2), NOW);
    let sent = sends(&mut engine);
    let [first] = &sent[..] else { panic!("one message, not {sent:?}") };
    engine.handle_sent(first.id, Ok(()), NOW);
    // The failure comes too late: the stream stays open.
    engine.handle_sent(first.id, Err(SendError::Closed), NOW);
    assert_eq!(engine.stats().stale_inputs, 1);
    assert_eq!(engine.peer_stats(1).unwrap().version, Some(Version::V1_2));
    assert!(sends(&mut engine).is_empty(), "nothing is said again");
}

/// Guards `Server::loaded`: each CID of a lookup is answered once.
#[test]
fn a_lookup_in_the_store_is_answered_once() {
    let mut engine = with_peer();
    let wanted = block(0, 100);
    let entries = vec![Entry::want(*wanted.cid(), WantKind::Block, 1, true)];
    let wantlist = Wantlist { entries, full: false };
    engine.handle_message(1, Message { wantlist, ..Message::default() }, NOW);
    let mut load = None;
    while let Some(output) = engine.poll_output() {
        match output {
            Output::Open { peer, stream } => {
                engine.handle_open(peer, stream, Ok(Version::V1_2), NOW);
            }
            Output::Load(wanted) => load = Some(wanted.id),
            Output::KeepAlive { .. } => {}
            other => panic!("{other:?}"),
        }
    }
    let load: LoadId = load.expect("the store is asked");
    let answer = |answer| [Loaded { cid: *wanted.cid(), answer }];
    engine.handle_load(load, answer(LoadAnswer::Data(wanted.data().clone())), NOW);
    engine.handle_load(load, answer(LoadAnswer::NotFound), NOW);
    assert_eq!(engine.stats().stale_inputs, 1);
    let sent = sends(&mut engine);
    let [message] = &sent[..] else { panic!("one message, not {sent:?}") };
    assert_eq!(message.message.blocks, [wanted]);
    assert!(message.message.presences.is_empty());
}

/// Guards `Client::providers`: a search ends with `Done`, and what comes after names nothing.
#[test]
fn a_search_for_providers_is_answered_until_it_is_done() {
    // Nobody is connected, so providers are looked for.
    let mut engine: Engine<u8> = Engine::new(Config::default(), [1; 32], NOW);
    want(&mut engine);
    let mut now = NOW;
    let search: LookupId = loop {
        let found = outputs(&mut engine).into_iter().find_map(|output| match output {
            Output::FindProviders { id, .. } => Some(id),
            _ => None,
        });
        if let Some(id) = found {
            break id;
        }
        now = engine.poll_timeout().expect("a want has a timer");
        engine.handle_timeout(now);
    };
    engine.handle_providers(search, &[], ProviderProgress::Partial, now);
    engine.handle_providers(search, &[], ProviderProgress::Final, now);
    assert_eq!(engine.stats().stale_inputs, 0, "an answer in two parts");
    engine.handle_providers(search, &[1], ProviderProgress::Final, now);
    assert_eq!(engine.stats().stale_inputs, 1, "it was done");
}

/// Guards `Engine::handle_sent`: an id of a peer that left is not that of the same peer's return.
#[test]
fn an_id_outlives_its_peer_harmlessly() {
    let mut engine = with_peer();
    want(&mut engine);
    let first = tell(&mut engine);
    engine.handle_disconnected(1, NOW);
    engine.handle_connected(1, None, NOW);
    // The want is told again to the peer that came back.
    let second = tell(&mut engine);
    assert_eq!(second.message.wantlist.entries.len(), 1);
    engine.handle_sent(first.id, Err(SendError::Closed), NOW);
    assert_eq!(engine.stats().stale_inputs, 1);
    assert_eq!(engine.peer_stats(1).unwrap().version, Some(Version::V1_2), "its stream stays open");
    engine.handle_sent(second.id, Ok(()), NOW);
    assert_eq!(engine.stats().stale_inputs, 1);
}

/// Opens the stream of wants; the message that goes there.
fn tell(engine: &mut Engine<u8>) -> Outgoing<u8> {
    assert_eq!(opens(engine), [StreamKind::Requests]);
    engine.handle_open(1, StreamKind::Requests, Ok(Version::V1_2), NOW);
    sends(engine).pop().expect("the want is told")
}

fn with_peer() -> Engine<u8> {
    let mut engine = Engine::new(Config::default(), [1; 32], NOW);
    engine.handle_connected(1, None, NOW);
    engine
}

fn want(engine: &mut Engine<u8>) {
    let options = SessionOptions { want_timeout: Some(ms(600_000)), ..SessionOptions::default() };
    let session = engine.open_session(options, NOW).unwrap();
    engine.want(session, [Want::from(*block(0, 100).cid())], NOW).unwrap();
}

fn outputs(engine: &mut Engine<u8>) -> Vec<Output<u8>> {
    std::iter::from_fn(|| engine.poll_output()).collect()
}

fn opens(engine: &mut Engine<u8>) -> Vec<StreamKind> {
    let stream = |output| match output {
        Output::Open { stream, .. } => Some(stream),
        _ => None,
    };
    outputs(engine).into_iter().filter_map(stream).collect()
}

fn sends(engine: &mut Engine<u8>) -> Vec<Outgoing<u8>> {
    let send = |output| match output {
        Output::Send(outgoing) => Some(outgoing),
        _ => None,
    };
    outputs(engine).into_iter().filter_map(send).collect()
}
