//! `engine_ops`: one engine under any operations, held to its contract after each; then honest
//! peers come, and every want must end.
//!
//! Input: the setup (4 bytes), then operations of 4 bytes each.

use std::time::Duration;

use bitswap_core::message::Message;
use bitswap_core::{Outgoing, Rates, StreamKind, Timestamp};

use crate::Input;
use crate::engine::{Between, Call, Mask, Op, Peer, Setup, Untouched, World, blocks};

/// Operations of one input at most.
const OPS_MAX: usize = 400;
/// How long honest peers may need at most: they answer within a millisecond, but a want may first
/// have to wait for the longest deadline or the next search.
const HEAL_MAX: Duration = Duration::from_secs(120);
/// Rounds of answers in that time.
const HEAL_ROUNDS_MAX: u32 = 3000;
/// Time that must be left on the clock to see how wants end.
const CLOCK_LEFT: Duration = Duration::from_secs(3600);

/// The operations of an input, as [`run`] does them, for people to read.
#[must_use]
pub fn describe(data: &[u8]) -> String {
    let mut input = Input::new(data);
    let mut text = format!("{:?}\n", Setup::read(&mut input));
    for (op, late) in ops(&mut input) {
        text += &format!("{op:?}{}\n", if late { ", outputs left waiting" } else { "" });
    }
    text
}

/// Runs the target on our engine.
pub fn run(data: &[u8]) {
    check(data, &mut Untouched);
}

/// Runs the target with something between the engine and its host. A hash of all outputs.
///
/// # Panics
///
/// When the engine breaks its contract, or a want does not end although honest peers have all
/// blocks.
pub fn check(data: &[u8], between: &mut dyn Between) -> u64 {
    let mut input = Input::new(data);
    let setup = Setup::read(&mut input);
    let mut world = World::new(&setup, between);
    for (op, late) in ops(&mut input) {
        world.step(op);
        if !late {
            world.drain();
        }
    }
    world.flush();
    heal(&mut world);
    leave(&mut world, &setup);
    world.engine().transcript()
}

fn ops(input: &mut Input<'_>) -> impl Iterator<Item = (Op, bool)> {
    std::iter::from_fn(|| (!input.is_empty()).then(|| Op::read(input.array()))).take(OPS_MAX)
}

/// Honest peers that have every block take the place of all others: all wants end in time.
fn heal(world: &mut World<'_>) {
    world.drain();
    world.disconnect_all();
    world.call(Call::SetRates { rates: Rates::default() });
    for peer in 0..5 {
        world.connect(peer, false);
    }
    let start = world.now();
    if start + CLOCK_LEFT == Timestamp::MAX {
        return;
    }
    for round in 0.. {
        if world.model().waiting().next().is_none() {
            break;
        }
        let sent = world.drain();
        world.take_all();
        let busy = world.answer_all(Mask(0)) | !sent.is_empty();
        for sending in &sent {
            if let Some(message) = honest_answer(sending) {
                world.call(Call::Message { peer: sending.peer, message });
            }
        }
        if busy {
            world.step(Op::Wait { micros: 1000 });
        } else {
            world.wait_until_due();
        }
        let in_time = world.now().since(start) < HEAL_MAX && round < HEAL_ROUNDS_MAX;
        world.engine().require(in_time, || {
            let waiting: Vec<_> = world.model().waiting().collect();
            format!("wants are unanswered by honest peers: {waiting:?}")
        });
    }
}

/// What a peer that has all blocks answers.
fn honest_answer(sending: &Outgoing<Peer>) -> Option<Message> {
    let mut answer = Message::default();
    if sending.stream == StreamKind::Requests {
        let entries = sending.message.wantlist.entries.iter();
        let wanted = entries.filter(|entry| !entry.cancel);
        let cids: Vec<_> = wanted.map(|entry| entry.cid).collect();
        answer.add_blocks(blocks().iter().filter(|block| cids.contains(block.cid())).cloned());
    }
    (!answer.is_empty()).then_some(answer)
}

/// Everybody leaves: the engine holds nothing for anybody.
fn leave(world: &mut World<'_>, setup: &Setup) {
    world.drain();
    world.close_all();
    world.disconnect_all();
    world.drain();
    let stats = world.engine().engine().stats();
    let left = (stats.peers, stats.sessions, stats.wants, stats.sent_wants, stats.ledger);
    assert_eq!(left, (0, 0, 0, 0, 0), "peers, sessions, wants, told and ledger of an empty world");
    assert_eq!(stats.response_bytes, 0, "answers on their way in an empty world");
    let fresh = bitswap_core::Engine::<Peer>::new(setup.config.clone(), setup.seed, setup.start);
    assert_eq!(stats.held_bytes, fresh.stats().held_bytes, "bytes held in an empty world");
}
