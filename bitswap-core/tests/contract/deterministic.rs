//! 4. Equal configuration, seed and inputs give equal outputs.

use bitswap_core::{Config, Engine, Output, SessionOptions, Timestamp, Version, Want};

use crate::pair::{Pair, block, ms};

/// Guards `Rng::new` and `Index::new`: all that is random in an engine comes from the seed.
#[test]
fn equal_seeds_give_equal_outputs_and_other_seeds_others() {
    let blocks: Vec<_> = (0..60).map(|n| block(n, 4)).collect();
    let run = |seed: u8| {
        let now = Timestamp::ZERO;
        let mut engine: Engine<u8> = Engine::new(Config::default(), [seed; 32], now);
        for peer in 0..40 {
            engine.handle_connected(peer, None, now);
        }
        let session = engine.open_session(SessionOptions::default(), now).unwrap();
        engine.want(session, blocks.iter().map(|block| Want::from(*block.cid())), now).unwrap();
        let mut transcript = Vec::new();
        while let Some(output) = engine.poll_output() {
            transcript.push(format!("{output:?}"));
            match output {
                Output::Open { peer, stream } => {
                    engine.handle_open(peer, stream, Ok(Version::V1_2), now);
                }
                Output::Send(outgoing) => engine.handle_sent(outgoing.id, Ok(()), now),
                _ => {}
            }
        }
        transcript
    };
    assert!(run(1).len() > 10, "there is something to compare");
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2), "with 40 equal peers the seed decides whom to ask");
}

/// As above, over a whole exchange with both halves. (Debug and release builds are compared by
/// `ci/determinism`, over the simulator's traces.)
#[test]
fn a_whole_exchange_is_repeated_by_its_seeds() {
    let blocks: Vec<_> = (0..200).map(|n| block(n, 20_000)).collect();
    let run = || {
        let mut pair = Pair::new();
        pair.stock(&blocks[..150]);
        let session = pair.session();
        pair.want(session, &blocks);
        pair.pass(ms(5_000));
        pair.put(&blocks[150..]);
        pair.pass(ms(15_000));
        assert_eq!(pair.alice().stats().fetched.blocks, 200);
        pair.transcripts
    };
    assert_eq!(run(), run());
}
