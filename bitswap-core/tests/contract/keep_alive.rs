//! 6. For whom connections are needed is said each time that it changes.

use std::time::Duration;

use bitswap_core::{
    Block, Config, Entry, Message, Output, Presence, SessionOptions, Timestamp, WantKind, Wantlist,
};
use bitswap_testing::Host;

const PEER: u8 = 1;

fn host() -> Host<u8> {
    let mut host = Host::new(Config::default(), [1; 32], Timestamp::ZERO);
    host.connect(PEER);
    assert!(said(&mut host).is_empty(), "at first it is not needed");
    host
}

/// What is said of the peer, now that nothing else is to be said.
fn said(host: &mut Host<u8>) -> Vec<bool> {
    let outputs = host.drain();
    let is_last = |output: &Output<u8>| matches!(output, Output::KeepAlive { .. });
    assert!(outputs.is_sorted_by_key(is_last), "it comes after all else: {outputs:?}");
    let said = outputs.into_iter().filter_map(|output| match output {
        Output::KeepAlive { peer, needed } => {
            assert_eq!(peer, PEER);
            Some(needed)
        }
        _ => None,
    });
    said.collect()
}

fn message(entry: Entry) -> Message {
    let wantlist = Wantlist { entries: vec![entry], full: false };
    Message { wantlist, ..Message::default() }
}

fn brings(block: &Block) -> Message {
    Message { blocks: vec![block.clone()], ..Message::default() }
}

/// Guards `Peers::update_need` of the client, called for each peer want that is made or removed.
#[test]
fn who_is_asked_is_needed_until_nothing_is_asked_of_it() {
    let mut host = host();
    let (first, second) = (Block::raw("first"), Block::raw("second"));
    let session = host.open_session(SessionOptions::default()).unwrap();
    host.want(session, [*first.cid()]).unwrap();
    assert_eq!(said(&mut host), [true]);
    host.want(session, [*second.cid()]).unwrap();
    assert_eq!(said(&mut host), [], "it is needed already");
    host.receive(PEER, brings(&first));
    assert_eq!(said(&mut host), []);
    host.receive(PEER, brings(&second));
    assert_eq!(said(&mut host), [false]);
}

/// Guards the order of outputs in `Engine::next_output`.
#[test]
fn a_want_that_follows_another_at_once_leaves_it_as_it_is() {
    let mut host = host();
    let (first, second) = (Block::raw("first"), Block::raw("second"));
    let session = host.open_session(SessionOptions::default()).unwrap();
    host.want(session, [*first.cid()]).unwrap();
    assert_eq!(said(&mut host), [true]);
    host.receive(PEER, brings(&first));
    host.want(session, [*second.cid()]).unwrap();
    assert_eq!(said(&mut host), []);
}

/// Guards that a want counts until its cancel is sent, whatever the peer answered.
#[test]
fn who_answers_that_it_lacks_the_block_is_needed_while_the_want_is_remembered_there() {
    let mut host = host();
    let block = Block::raw("somewhere else");
    let session = host.open_session(SessionOptions::default()).unwrap();
    host.want(session, [*block.cid()]).unwrap();
    assert_eq!(said(&mut host), [true]);
    let presences = vec![Presence { cid: *block.cid(), have: false }];
    host.receive(PEER, Message { presences, ..Message::default() });
    assert_eq!(said(&mut host), [], "it remembers the want, and says when it has the block");
    host.close_session(session);
    let mut said_late = said(&mut host);
    for output in host.advance(Duration::from_secs(1)) {
        if let Output::KeepAlive { needed, .. } = output {
            said_late.push(needed);
        }
    }
    assert_eq!(said_late, [false], "once the cancel is sent");
}

/// Guards `Ledger::update_need`, called for each want of a peer that comes, changes or ends.
#[test]
fn who_asks_is_needed_until_it_is_answered_or_cancels() {
    let mut host = host();
    let (here, absent) = (Block::raw("here"), Block::raw("absent"));
    host.store_blocks([&here]);
    host.drain();
    host.receive(PEER, message(Entry::want(*here.cid(), WantKind::Block, 1, false)));
    assert_eq!(said(&mut host), [], "it is answered at once");
    host.receive(PEER, message(Entry::want(*absent.cid(), WantKind::Block, 1, false)));
    assert_eq!(said(&mut host), [true], "its block may come");
    host.receive(PEER, message(Entry::cancel(*absent.cid())));
    assert_eq!(said(&mut host), [false]);
}

/// Guards `Registry::connect`: a peer that comes is another one than the last in its row.
#[test]
fn a_peer_that_comes_again_is_not_needed_for_what_was_before() {
    let mut host = host();
    let absent = Block::raw("absent");
    host.receive(PEER, message(Entry::want(*absent.cid(), WantKind::Block, 1, false)));
    host.disconnect(PEER);
    host.connect(PEER);
    assert_eq!(said(&mut host), []);
    host.receive(PEER, message(Entry::want(*absent.cid(), WantKind::Block, 1, false)));
    assert_eq!(said(&mut host), [true]);
    host.disconnect(PEER);
    host.connect(PEER);
    assert_eq!(said(&mut host), [], "nothing is said of a peer that is gone");
    host.receive(PEER, message(Entry::want(*absent.cid(), WantKind::Block, 1, false)));
    assert_eq!(said(&mut host), [true]);
}

/// Guards `Needs::remove`: without it the list of peers to look at grows with each that comes and goes.
#[test]
fn peers_that_come_and_go_between_two_drains_leave_nothing_behind() {
    let mut host = host();
    let absent = Block::raw("absent");
    for _ in 0..100 {
        host.receive(PEER, message(Entry::want(*absent.cid(), WantKind::Block, 1, false)));
        host.disconnect(PEER);
        host.connect(PEER);
        assert_eq!(host.engine().validate(), Ok(()));
    }
}
