//! The engine in a loop: two of them, and messages that are handed over as values.

use std::collections::BTreeMap;

use bitswap_core::{
    Block, Config, Engine, Event, Message, Output, ProviderProgress, SessionOptions, Timestamp,
    Version, Want,
};
use bytes::Bytes;
use cid::Cid;

/// Each node has one peer, under this name.
const PEER: u8 = 0;

struct Host {
    engine: Engine<u8>,
    store: BTreeMap<Cid, Bytes>,
}

impl Host {
    fn new(seed: u8) -> Self {
        let mut engine = Engine::new(Config::default(), [seed; 32], Timestamp::ZERO);
        engine.handle_connected(PEER, None, Timestamp::ZERO);
        Self { engine, store: BTreeMap::new() }
    }

    /// Carries out what the engine asks for; returns what the other node is to receive.
    fn drain(&mut self, now: Timestamp) -> Vec<Message> {
        let mut sent = Vec::new();
        while let Some(output) = self.engine.poll_output() {
            match output {
                Output::Open { peer, stream } => {
                    self.engine.handle_open(peer, stream, Ok(Version::V1_2), now);
                }
                Output::Send(send) => {
                    self.engine.handle_sent(send.id, Ok(()), now);
                    sent.push(send.message);
                }
                Output::Load(load) => {
                    let answers = load.answers(|cid| self.store.get(cid).cloned());
                    self.engine.handle_load(load.id, answers, now);
                }
                Output::FindProviders { id, .. } => {
                    self.engine.handle_providers(id, &[], ProviderProgress::Final, now);
                }
                Output::Event(Event::Block { session, block, .. }) => {
                    let (cid, data) = block.into_parts();
                    self.engine.release_capacity(session, data.len() as u64, now);
                    self.store.insert(cid, data);
                }
                _ => {}
            }
        }
        sent
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (mut server, mut client) = (Host::new(1), Host::new(2));
    for number in 0..100_u8 {
        let (cid, data) = Block::raw(vec![number; 10_000]).into_parts();
        server.store.insert(cid, data);
    }
    let mut now = Timestamp::ZERO;
    let session = client.engine.open_session(SessionOptions::default(), now)?;
    client.engine.want(session, server.store.keys().map(|cid| Want::from(*cid)), now)?;
    for _ in 0..1000 {
        for message in client.drain(now) {
            server.engine.handle_message(PEER, message, now);
        }
        for message in server.drain(now) {
            client.engine.handle_message(PEER, message, now);
        }
        if client.store == server.store {
            println!("{} blocks after {} us", client.store.len(), now.as_micros());
            return Ok(());
        }
        let timeouts = [client.engine.poll_timeout(), server.engine.poll_timeout()];
        now = timeouts.into_iter().flatten().min().ok_or("a want always has a timer")?.max(now);
        client.engine.handle_timeout(now);
        server.engine.handle_timeout(now);
    }
    Err("the blocks did not cross in a thousand steps".into())
}
