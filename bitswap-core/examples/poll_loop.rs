//! Two engines and nothing else: no sockets, no threads, no clock.
//!
//! One node has some blocks and the other fetches them. Messages travel as values and arrive 10 ms
//! after they were sent, in a time that is only a number: the loop jumps from one event to the next.
//! Run it as often as you like, the output is the same to the microsecond.
//!
//! Run it: `cargo run -p bitswap-core --example poll_loop`.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bitswap_core::{
    BlockInfo, Config, Engine, Event, Message, Output, Prefix, ProviderProgress, SessionOptions,
    Timestamp, Version, Want,
};
use bytes::Bytes;
use cid::Cid;

const LATENCY: Duration = Duration::from_millis(10);

/// A node: the engine, and what an engine leaves to its host, here a store.
struct Node {
    name: &'static str,
    engine: Engine<&'static str>,
    store: BTreeMap<Cid, Bytes>,
}

/// A message on its way, to arrive at a time.
struct InFlight {
    at: Timestamp,
    from: &'static str,
    to: &'static str,
    message: Message,
}

impl Node {
    fn new(name: &'static str, seed: u8) -> Self {
        let engine = Engine::new(Config::default(), [seed; 32], Timestamp::ZERO);
        Self { name, engine, store: BTreeMap::new() }
    }

    fn keep(&mut self, cid: Cid, data: Bytes, now: Timestamp) {
        let size = data.len() as u32;
        self.store.insert(cid, data);
        self.engine.notify_new_blocks(&[BlockInfo { cid, size }], now);
    }

    /// Does all that the engine asks for.
    fn drain(&mut self, now: Timestamp, wire: &mut VecDeque<InFlight>) {
        while let Some(output) = self.engine.poll_output() {
            match output {
                Output::Open { peer, stream } => {
                    self.engine.handle_open(peer, stream, Ok(Version::V1_2), now);
                }
                Output::Send(send) => {
                    println!(
                        "{now:>6} {} -> {}: {}",
                        self.name,
                        send.peer,
                        summary(&send.message),
                        now = now.as_micros()
                    );
                    let (from, to, message) = (self.name, send.peer, send.message);
                    wire.push_back(InFlight { at: now + LATENCY, from, to, message });
                    self.engine.handle_sent(send.id, Ok(()), now);
                }
                Output::Load(load) => {
                    let answers = load.answers(|cid| self.store.get(cid).cloned());
                    self.engine.handle_load(load.id, answers, now);
                }
                Output::FindProviders { id, .. } => {
                    // This world has no directory.
                    self.engine.handle_providers(id, &[], ProviderProgress::Final, now);
                }
                Output::Event(Event::Block { session, block, .. }) => {
                    let (cid, data) = block.into_parts();
                    self.engine.release_capacity(session, data.len() as u64, now);
                    self.keep(cid, data, now);
                }
                // Here a message is taken as soon as it is sent, so no stream is ever reset.
                Output::Close { .. }
                | Output::Reset { .. }
                | Output::StopLookup { .. }
                | Output::KeepAlive { .. }
                | Output::Event(_) => {}
            }
        }
    }
}

fn summary(message: &Message) -> String {
    format!(
        "{} entries, {} presences, {} blocks",
        message.wantlist.entries.len(),
        message.presences.len(),
        message.blocks.len()
    )
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut now = Timestamp::ZERO;
    let (mut alice, mut bob) = (Node::new("alice", 1), Node::new("bob", 2));
    alice.engine.handle_connected("bob", None, now);
    bob.engine.handle_connected("alice", None, now);

    let mut cids = Vec::new();
    for number in 0..20_u8 {
        let block = Prefix::V0.block(Bytes::from(vec![number; 100_000]))?;
        cids.push(*block.cid());
        alice.keep(*block.cid(), block.data().clone(), now);
    }
    let session = bob.engine.open_session(SessionOptions::default(), now)?;
    bob.engine.want(session, cids.iter().copied().map(Want::from), now)?;

    let mut wire = VecDeque::new();
    loop {
        alice.drain(now, &mut wire);
        bob.drain(now, &mut wire);
        if bob.store.len() == cids.len() {
            break;
        }

        // What comes next: a message that arrives, or a timer of an engine.
        let arrival = wire.front().map(|message| message.at);
        let timers = [alice.engine.poll_timeout(), bob.engine.poll_timeout()];
        let next = timers.into_iter().flatten().chain(arrival).min();
        now = next.ok_or("nothing would ever happen again")?;
        while wire.front().is_some_and(|message| message.at <= now)
            && let Some(arrived) = wire.pop_front()
        {
            let to = if arrived.to == alice.name { &mut alice } else { &mut bob };
            to.engine.handle_message(arrived.from, arrived.message, now);
        }
        alice.engine.handle_timeout(now);
        bob.engine.handle_timeout(now);
        if now > Timestamp::from_micros(10_000_000) {
            return Err("not done after ten seconds of virtual time".into());
        }
    }
    if bob.store != alice.store {
        return Err("these are not the blocks that alice has".into());
    }
    println!("bob has all {} blocks after {} us of virtual time", cids.len(), now.as_micros());
    Ok(())
}

#[test]
fn the_example_runs() {
    main().unwrap();
}
