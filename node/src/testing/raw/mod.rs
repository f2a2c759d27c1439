//! Attackers that speak as little of the protocols as they need, against a node on real sockets.
//!
//! Each attack goes on while an honest node fetches everything that the attacked one has, and once
//! the attackers have left, the attacked node's descriptors, tasks and memory are what they were. The
//! tests look at their whole process, so they need one of their own and run one after the other: a
//! runtime's crate calls [`raw_suite!`](crate::raw_suite) in a test file of its own.

mod attacks;
mod counted;
mod peer;
#[expect(missing_docs, reason = "the names of tests say it")]
pub mod tests;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bitswap_libp2p::Config;
use cid::Cid;
use libp2p::Multiaddr;

use self::attacks::Attack;
use self::counted::Counted;
use self::peer::RawPeer;
use super::{STEP_MAX, client, loopback, unless_it_hangs};
use crate::node::Node;
use crate::runtime::Runtime;

/// Makes one `#[test]` of each attack, and one that measures. `$run` is as for
/// [`suite!`](crate::suite), `$memory` says how many bytes are allocated.
#[macro_export]
macro_rules! raw_suite {
    ($run:path, $memory:path) => {
        $crate::raw_suite! { $run, $memory:
            connections_that_say_nothing_leave_nothing_behind
            garbage_instead_of_encryption_leaves_nothing_behind
            negotiations_that_never_end_leave_nothing_behind
            streams_that_never_say_what_they_are_for_leave_nothing_behind
            a_peer_that_never_reads_leaves_nothing_behind
            a_length_that_never_ends_leaves_nothing_behind
            a_frame_that_stops_moving_leaves_nothing_behind
            giant_and_identity_cids_leave_nothing_behind
            a_million_wants_leave_nothing_behind
            connections_that_come_and_go_leave_nothing_behind
            all_streams_of_a_peer_hold_no_more_than_is_documented
        }

        #[test]
        #[ignore = "measures for minutes; needs the machine for itself, and --release"]
        fn an_honest_transfer_keeps_its_speed_beside_attackers() {
            let _alone = $crate::testing::raw::alone();
            $run($crate::testing::raw::measure);
        }
    };
    ($run:path, $memory:path: $($test:ident)*) => {
        $(
            #[test]
            fn $test() {
                let _alone = $crate::testing::raw::alone();
                $run(|runtime| $crate::testing::raw::tests::$test(runtime, $memory));
            }
        )*
    };
}

/// Keeps the tests of a process from each other.
pub fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Blocks that the attacked node has.
const BLOCKS: usize = 16;
/// Their size, in bytes.
const BLOCK: usize = 256 << 10;
/// Memory that may stay in use after an attack: what is remembered of peers that have left, and room
/// in tables and pools that is used again.
const SLACK: usize = 1 << 20;

/// The node under attack.
struct Target {
    /// What the attackers run on.
    runtime: Arc<dyn Runtime>,
    /// What the node runs on.
    counted: Counted,
    node: Node,
    address: Multiaddr,
    cids: Vec<Cid>,
}

/// What a process uses.
#[derive(Clone, Copy, Debug)]
struct Usage {
    descriptors: usize,
    tasks: usize,
    memory: usize,
}

impl Usage {
    fn is_back_at(&self, base: &Self) -> bool {
        self.descriptors <= base.descriptors
            && self.tasks <= base.tasks
            && self.memory <= base.memory + SLACK
    }
}

/// Open descriptors of the process; 0 where the system does not say.
fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}

impl Target {
    async fn new(runtime: Arc<dyn Runtime>, blocks: usize) -> Self {
        // A stream that stops is found out in a second, not ten.
        let config = Config::default().with_stall_window(Duration::from_secs(1)).unwrap();
        let counted = Counted::new(runtime.clone());
        let builder = Node::builder(counted.clone()).with_config(config);
        let node = builder.with_listen_address(loopback()).start().await.unwrap();
        let mut cids = Vec::new();
        for seed in 0..blocks {
            let mut block = super::bytes(BLOCK);
            block[..8].copy_from_slice(&seed.to_le_bytes());
            cids.push(node.put(block).await.unwrap());
        }
        let address = node.addresses().await.unwrap().remove(0);
        Self { runtime, counted, node, address, cids }
    }

    fn usage(&self, memory: fn() -> usize) -> Usage {
        let tasks = self.counted.tasks();
        Usage { descriptors: descriptors(), tasks, memory: memory() }
    }

    /// An honest node fetches everything, and leaves. How long that took.
    async fn honest_transfer(&self) -> Duration {
        let honest = client(&self.runtime).await;
        assert_eq!(honest.connect(self.address.clone()).await.unwrap(), self.node.peer_id());
        let begun = Instant::now();
        let gets = self.cids.iter().map(|cid| honest.get(*cid));
        for got in futures::future::join_all(gets).await {
            assert_eq!(got.unwrap().data().len(), BLOCK);
        }
        let taken = begun.elapsed();
        honest.shutdown().await;
        taken
    }

    /// Waits until everybody has left and what they used is given back.
    async fn until_back_at(&self, base: Usage, memory: fn() -> usize) {
        let begun = Instant::now();
        loop {
            let peers = self.node.peers().await.unwrap().len();
            let usage = self.usage(memory);
            if peers == 0 && usage.is_back_at(&base) {
                return;
            }
            let taken = begun.elapsed();
            assert!(taken < STEP_MAX, "{peers} peers; {usage:?} after {base:?}");
        }
    }
}

/// Attacks a node while an honest one fetches from it, and looks at what is left.
async fn leaves_nothing_behind(runtime: Arc<dyn Runtime>, attack: Attack, memory: fn() -> usize) {
    unless_it_hangs(&runtime.clone(), attacked(runtime, attack, memory)).await;
}

async fn attacked(runtime: Arc<dyn Runtime>, attack: Attack, memory: fn() -> usize) {
    let (target, base) = at_rest(runtime, memory).await;
    let attackers = attack.begin(&target).await;
    target.honest_transfer().await;
    attack.finish(&target).await;
    drop(attackers);
    target.until_back_at(base, memory).await;
    target.node.shutdown().await;
}

/// What the streams of a peer take by `docs/limits.md`, and its connections while they are quiet.
const STREAMS_MAX: usize = 512 * 1024 + 256 * 2560 + 4 * (96 << 10);
/// The same at the other end, where nothing is negotiated or read.
const OTHER_END_MAX: usize = 812 * 1024 + 4 * (96 << 10);

async fn holds_all_streams(runtime: Arc<dyn Runtime>, memory: fn() -> usize) {
    let (target, base) = at_rest(runtime, memory).await;
    let attackers = attacks::all_streams(&target).await;
    let held = memory().saturating_sub(base.memory);
    println!("{} KiB are held for all streams of a peer, at both ends", held >> 10);
    // The attacker's ends are in this process too.
    assert!(held <= STREAMS_MAX + OTHER_END_MAX, "{} KiB", held >> 10);
    drop(attackers);
    target.until_back_at(base, memory).await;
    target.node.shutdown().await;
}

/// A node that nobody is connected to any more, and what it uses.
async fn at_rest(runtime: Arc<dyn Runtime>, memory: fn() -> usize) -> (Target, Usage) {
    let target = Target::new(runtime, BLOCKS).await;
    // What is allocated with the first connection, once and for all.
    target.honest_transfer().await;
    drop(RawPeer::dial(&target.runtime, &target.address).await.unwrap());
    let begun = Instant::now();
    while !target.node.peers().await.unwrap().is_empty() {
        assert!(begun.elapsed() < STEP_MAX, "a connection does not end");
    }
    let base = target.usage(memory);
    (target, base)
}

/// Rounds of which the median counts.
const ROUNDS: usize = 5;

/// Compares the speed of an honest transfer from a node that is attacked with that of one beside the same
/// attack on another node. Attackers need the machine's processors too, and so does their victim; what an
/// attack costs besides is what it takes from honest peers.
pub async fn measure(runtime: Arc<dyn Runtime>) {
    let target = Target::new(runtime.clone(), 256).await;
    let other = Target::new(runtime, 1).await;
    target.honest_transfer().await;
    let mut slow = Vec::new();
    for attack in Attack::ALL {
        let mut times = [const { Vec::new() }; 3];
        for _ in 0..ROUNDS {
            for (victim, times) in [None, Some(&other), Some(&target)].into_iter().zip(&mut times) {
                let mut attackers = Vec::new();
                if let Some(victim) = victim {
                    attackers.push(attack.begin(victim).await);
                }
                times.push(target.honest_transfer().await);
                drop(attackers);
            }
        }
        let [alone, elsewhere, here] = times.map(|mut times| {
            times.sort();
            times[ROUNDS / 2].as_secs_f64()
        });
        let kept = elsewhere / here;
        println!(
            "{:3.0} % of its speed under {attack:?}; {:3.0} % of that without attackers",
            kept * 100.0,
            alone / here * 100.0
        );
        if kept < 0.8 {
            slow.push(attack);
        }
    }
    assert!(slow.is_empty(), "less than 80 % is kept under {slow:?}");
    for target in [target, other] {
        target.node.shutdown().await;
    }
}
