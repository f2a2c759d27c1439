//! A host of one's own under the checker of the contract.
//!
//! The host names the engine by an alias. In its tests the alias is [`Checked`], which has the same inputs and
//! outputs, and panics at the first step that breaks a rule, with the last steps as a log. What the host
//! owes the engine is for its own tests to see. Here one host answers all that the engine asks, and another one
//! drops what the store is asked, which is easily forgotten: nothing is sent.
//!
//! Run it: `cargo run -p bitswap-testing --example check_embedder`.

use std::error::Error;

use bitswap_core::{Config, Entry, Message, Output, Timestamp, Version, WantKind, Wantlist};
use bitswap_testing::{Checked, Store, block};

/// In a program: `#[cfg(test)]` for this one, and `#[cfg(not(test))]` for `bitswap_core::Engine`.
type Engine<P> = Checked<P>;

struct MyHost {
    engine: Engine<u64>,
    store: Store<u64>,
    answers_loads: bool,
    sent: Vec<Message>,
}

impl MyHost {
    fn new(answers_loads: bool) -> Self {
        let engine = Engine::new(Config::default(), [7; 32], Timestamp::ZERO);
        Self { engine, store: Store::new(), answers_loads, sent: Vec::new() }
    }

    fn run(&mut self, now: Timestamp) {
        while let Some(output) = self.engine.poll_output() {
            match output {
                Output::Open { peer, stream } => {
                    self.engine.handle_open(peer, stream, Ok(Version::V1_2), now);
                }
                Output::Send(outgoing) => {
                    self.engine.handle_sent(outgoing.id, Ok(()), now);
                    self.sent.push(outgoing.message);
                }
                Output::Load(load) if self.answers_loads => {
                    let answers = load.answers(|cid| self.store.get(cid).cloned());
                    self.engine.handle_load(load.id, answers, now);
                }
                _ => {}
            }
        }
    }

    /// A peer comes and asks for a block that is here.
    fn serves(&mut self) -> bool {
        let now = Timestamp::ZERO;
        let block = block(1, 1000);
        self.store.insert(&block);
        self.engine.handle_connected(42, None, now);
        let entries = vec![Entry::want(*block.cid(), WantKind::Block, 1, true)];
        let wantlist = Wantlist { entries, full: true };
        self.engine.handle_message(42, Message { wantlist, ..Message::default() }, now);
        self.run(now);
        self.sent.iter().any(|message| message.blocks == [block.clone()])
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut right = MyHost::new(true);
    if !right.serves() {
        return Err("a host that answers everything serves what it has".into());
    }
    println!("served: {} block", right.engine.stats().served.blocks);

    let mut forgetful = MyHost::new(false);
    if forgetful.serves() {
        return Err("a host that drops its loads serves nothing".into());
    }
    println!("the host that drops its loads served: {}", forgetful.engine.stats().served.blocks);
    Ok(())
}
