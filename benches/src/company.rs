//! What a fetch takes in company: beside peers that are silent or slow, and in a crowd that begins at once or one after
//! another.
//!
//! `company [ROUNDS]`: real nodes over loopback, every case in turn, the median of the rounds. Each time stands beside
//! that of the same fetch alone.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bitswap_benches::blocks::blocks;
use bitswap_benches::nodes::loopback;
use bitswap_core::{Block, Rates, SessionOptions};
use bitswap_node::{Blockstore, Node, StoreError};
use bitswap_runtime_tokio::Tokio;
use bytes::Bytes;
use cid::Cid;
use futures::StreamExt as _;
use futures::future::{BoxFuture, join_all, pending, ready};

const LEAF: usize = 256 << 10;

/// Bytes fetched beside other peers.
const FILE: usize = 20 << 20;

/// Bytes that a crowd fetches, and what its seeder uploads of it per second.
const CROWD_FILE: usize = 64 << 20;
const SEEDER: u64 = 10 << 20;

/// How long after each other the nodes of a crowd begin.
const STAGGERS: [Duration; 2] = [Duration::ZERO, Duration::from_millis(200)];

/// What the slow peer uploads per second.
const SLOW: u64 = 150_000;

fn main() -> ExitCode {
    let rounds = std::env::args().nth(1).map_or(Ok(5), |rounds| rounds.parse());
    let Ok(rounds @ 1..) = rounds else {
        eprintln!("company [ROUNDS]");
        return ExitCode::from(2);
    };
    let tokio = tokio::runtime::Runtime::new().expect("an async runtime");
    tokio.block_on(beside(rounds));
    for stagger in STAGGERS {
        tokio.block_on(crowds(stagger, rounds));
    }
    ExitCode::SUCCESS
}

/// A store that never answers: its node accepts connections and wantlists, and says nothing.
struct Silent;

impl Blockstore for Silent {
    fn sizes(&self, _: Vec<Cid>) -> BoxFuture<'_, Vec<Result<Option<u32>, StoreError>>> {
        Box::pin(pending())
    }

    fn get(&self, _: Vec<Cid>) -> BoxFuture<'_, Vec<Result<Option<Bytes>, StoreError>>> {
        Box::pin(pending())
    }

    fn put(&self, _: Vec<Block>) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(ready(Ok(())))
    }
}

async fn node(blocks: Option<Arc<dyn Blockstore>>) -> Node {
    let node = Node::builder(Tokio::current()).with_listen_address(loopback());
    let node = match blocks {
        Some(blocks) => node.with_blocks(blocks),
        None => node,
    };
    node.start().await.expect("a node on loopback")
}

/// A node that has the blocks and uploads so much per second.
async fn seeder(blocks: &[Block], upload: Option<u64>) -> Node {
    let seeder = node(None).await;
    seeder.put_blocks(blocks.to_vec()).await.expect("memory");
    seeder.set_rates(Rates { upload, ..Rates::default() }).await.expect("it runs");
    seeder
}

async fn connect(from: &Node, to: &Node) {
    let address = to.addresses().await.expect("it runs").remove(0);
    from.connect(address).await.expect("a connection on loopback");
}

/// Fetches all blocks in one session: how long it took.
async fn fetch(node: &Node, cids: &[Cid]) -> Duration {
    let start = Instant::now();
    let session = node.session(SessionOptions::default()).await.expect("it runs");
    let mut fetched = std::pin::pin!(session.get_many(cids.iter().copied()));
    while let Some((_, block)) = fetched.next().await {
        block.expect("a peer has it");
    }
    start.elapsed()
}

fn median<T: Copy + PartialOrd>(mut of: Vec<T>) -> T {
    of.sort_by(|a, b| a.partial_cmp(b).expect("numbers"));
    of[of.len() / 2]
}

/// One peer that serves, beside others that do not help.
async fn beside(rounds: usize) {
    let blocks = blocks(FILE / LEAF, LEAF);
    let cases: [(&str, usize, usize); 5] = [
        ("alone", 0, 0),
        ("1 that never answers", 1, 0),
        ("4 that never answer", 4, 0),
        ("1 of 150 KB/s", 0, 1),
        ("4 of 150 KB/s", 0, 4),
    ];
    let mut took = [const { Vec::new() }; 5];
    for _ in 0..rounds {
        for ((_, silent, slow), took) in cases.iter().zip(&mut took) {
            took.push(one_beside(&blocks, *silent, *slow).await);
        }
    }
    println!("{} MiB in leaves of {} KiB, beside one peer that serves", FILE >> 20, LEAF >> 10);
    let mut alone = None;
    for ((name, ..), took) in cases.iter().zip(took) {
        let took = median(took).as_secs_f64();
        let alone = *alone.get_or_insert(took);
        println!("  {name:<24} {took:>6.3} s  {:>5.2} of alone", took / alone);
    }
}

async fn one_beside(blocks: &[Block], silent: usize, slow: usize) -> Duration {
    let fetcher = node(None).await;
    // Those that do not help are there first: nothing is known of the one that serves.
    let mut others = Vec::new();
    for _ in 0..silent {
        others.push(node(Some(Arc::new(Silent))).await);
    }
    for _ in 0..slow {
        others.push(seeder(blocks, Some(SLOW)).await);
    }
    others.push(seeder(blocks, None).await);
    for other in &others {
        connect(&fetcher, other).await;
    }
    let cids: Vec<Cid> = blocks.iter().map(|block| *block.cid()).collect();
    let took = fetch(&fetcher, &cids).await;
    stop(others.into_iter().chain([fetcher])).await;
    took
}

async fn stop(nodes: impl IntoIterator<Item = Node>) {
    join_all(nodes.into_iter().map(Node::shutdown)).await;
}

/// What a crowd took.
#[derive(Clone, Copy)]
struct Crowd {
    /// From the start of the first to the end of the last.
    all: f64,
    /// The longest that any took, from its own start.
    longest: f64,
    /// Bytes that the seeder sent, in files.
    copies: f64,
    /// Bytes that came although they were there, of 1,000 that were needed.
    twice: f64,
}

async fn crowds(stagger: Duration, rounds: usize) {
    let blocks = blocks(CROWD_FILE / LEAF, LEAF);
    let sizes = [1, 4, 8];
    let mut seen = [const { Vec::new() }; 3];
    for _ in 0..rounds {
        for (size, seen) in sizes.iter().zip(&mut seen) {
            seen.push(crowd(&blocks, *size, stagger).await);
        }
    }
    let begin = match stagger.is_zero() {
        true => "all nodes at once".to_owned(),
        false => format!("one node after another, {stagger:?} apart"),
    };
    println!(
        "{} MiB of a seeder that uploads {} MiB/s; {begin}, all connected",
        CROWD_FILE >> 20,
        SEEDER >> 20
    );
    let mut one = None;
    for (size, seen) in sizes.iter().zip(seen) {
        let of = |what: fn(&Crowd) -> f64| median(seen.iter().map(what).collect());
        let longest = of(|crowd| crowd.longest);
        let one = *one.get_or_insert(longest);
        println!(
            "  {size} nodes  {:>6.2} s in all, the longest {longest:>6.2} s: {:>5.2} of one  the seeder sent {:.2} copies  {:>4.0} per mille came twice",
            of(|crowd| crowd.all),
            longest / one,
            of(|crowd| crowd.copies),
            of(|crowd| crowd.twice),
        );
    }
}

async fn crowd(blocks: &[Block], size: usize, stagger: Duration) -> Crowd {
    let seeder = seeder(blocks, Some(SEEDER)).await;
    let nodes = join_all((0..size).map(|_| node(None))).await;
    for (at, node) in nodes.iter().enumerate() {
        connect(node, &seeder).await;
        for other in &nodes[..at] {
            connect(node, other).await;
        }
    }
    let cids: Vec<Cid> = blocks.iter().map(|block| *block.cid()).collect();
    let start = Instant::now();
    let took = join_all((0..).zip(&nodes).map(async |(at, node)| {
        tokio::time::sleep(stagger * at).await;
        fetch(node, &cids).await
    }));
    let longest = took.await.into_iter().max().unwrap_or_default();
    let all = start.elapsed();
    let bytes = CROWD_FILE as f64;
    let sent = seeder.stats().await.expect("it runs").bitswap.engine.served.bytes;
    let mut twice = 0;
    for node in &nodes {
        twice += node.stats().await.expect("it runs").bitswap.engine.fetched.duplicate_bytes;
    }
    stop(nodes.into_iter().chain([seeder])).await;
    Crowd {
        all: all.as_secs_f64(),
        longest: longest.as_secs_f64(),
        copies: sent as f64 / bytes,
        twice: twice as f64 / bytes / size as f64 * 1000.0,
    }
}
