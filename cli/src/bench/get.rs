//! The machine that gets the blocks.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bitswap_node::Bytes;
use bitswap_node::bitswap_core::{Block, PeerSet, SessionOptions, WhenMissing};
use bitswap_node::{Blockstore, GetError, Node, Runtime, RuntimeExt as _, StoreError};
use cid::Cid;
use futures::future::{BoxFuture, FutureExt as _};
use futures::stream::{self, Stream, StreamExt as _};
use libp2p::{Multiaddr, PeerId};
use serde_json::{Value, json};

use super::bare::Bare;
use super::content::{Content, SIZES};
use crate::args::{self, AtOnce, DhtArgs};
use crate::bare_stream::within;
use crate::failure::Failure;
use crate::figures::{listed, median};
use crate::plain::Plain;
use crate::resolve;
use crate::say::{Say, mib_per_second};

/// What came in one measurement.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Measured {
    pub(crate) blocks: u64,
    pub(crate) bytes: u64,
    pub(crate) elapsed: Duration,
}

impl Measured {
    fn mib_per_second(&self) -> f64 {
        mib_per_second(self.bytes, self.elapsed.as_secs_f64())
    }
}

/// A store that keeps nothing, so that each round gets everything again.
struct Nothing;

impl Blockstore for Nothing {
    fn answers_at_once(&self) -> bool {
        true
    }

    fn sizes(&self, cids: Vec<Cid>) -> BoxFuture<'_, Vec<Result<Option<u32>, StoreError>>> {
        std::future::ready(cids.iter().map(|_| Ok(None)).collect()).boxed()
    }

    fn get(&self, cids: Vec<Cid>) -> BoxFuture<'_, Vec<Result<Option<Bytes>, StoreError>>> {
        std::future::ready(cids.iter().map(|_| Ok(None)).collect()).boxed()
    }

    fn put(&self, _: Vec<Block>) -> BoxFuture<'_, Result<(), StoreError>> {
        std::future::ready(Ok(())).boxed()
    }
}

pub(crate) async fn run(
    address: Multiaddr,
    args: &args::Bench,
    runtime: &Arc<dyn Runtime>,
    say: &Say,
) -> Result<(), Failure> {
    let report = measure(address, args, runtime, say).await?;
    say.result(&report, &report.object());
    Ok(())
}

/// Measures everything as often as it is to be, the bare stream before each round and after the last.
async fn measure(
    address: Multiaddr,
    args: &args::Bench,
    runtime: &Arc<dyn Runtime>,
    say: &Say,
) -> Result<Report, Failure> {
    let builder = args.node.builder(&DhtArgs::default(), runtime)?.with_blocks(Arc::new(Nothing));
    let node = builder.start().await?;
    let _metrics = args.node.serve_metrics(&node, say).await?;
    let connecting = async {
        let connected = node.connect(address.clone()).await;
        connected.map_err(|error| Failure::NoConnection {
            tried: format!("\n  {}", Plain(&error.to_string())),
        })
    };
    let waiting = || format!("nothing answers at {address} yet");
    let peer = resolve::telling(&node, say, waiting, connecting).await?;
    let size = args.size;
    let hashed = runtime.run_blocking(move || {
        let content = Content::new(size);
        SIZES.map(|size| content.cids(size))
    });
    let cids = hashed.await.map_err(|source| Failure::Runtime { source })?;
    let mut report = Report { address, size, rows: Vec::new(), bare: Vec::new() };
    for size in SIZES {
        let row = |at_once: &AtOnce| Row { size, at_once: *at_once, runs: Vec::new() };
        report.rows.extend(args.at_once.iter().map(row));
    }
    for round in 1..=args.rounds {
        say.note(format_args!("round {round} of {}", args.rounds));
        report.measure_bare(args, runtime).await?;
        for row in &mut report.rows {
            let at = SIZES.iter().position(|size| *size == row.size).unwrap_or_default();
            let run = row.at_once.get(&node, peer, &cids[at], args.seconds).await?;
            row.runs.push(run);
        }
    }
    report.measure_bare(args, runtime).await?;
    node.shutdown().await;
    Ok(report)
}

impl AtOnce {
    /// Gets these blocks, or those that come in that time: the first one always, since a slow line has a speed too.
    async fn get(
        self,
        node: &Node,
        peer: PeerId,
        cids: &[Cid],
        limit: Duration,
    ) -> Result<Measured, Failure> {
        let peers = PeerSet::Only(vec![peer]);
        let when_missing = WhenMissing::Fail;
        let options = SessionOptions { peers, when_missing, ..SessionOptions::default() };
        let session = node.session(options).await.map_err(Failure::Check)?;
        let cids = cids.iter().copied();
        let mut blocks: Box<dyn Stream<Item = Result<Block, GetError>> + Send + Unpin + '_> =
            match self {
                Self::Gets(count) => Box::new(
                    stream::iter(cids)
                        .map(|cid| Box::pin(session.get(cid)))
                        .buffer_unordered(count),
                ),
                Self::All => Box::new(session.get_many(cids).map(|(_, block)| block)),
            };
        let mut measured = Measured::default();
        let start = Instant::now();
        let mut count = |block: Result<Block, GetError>| {
            let block = block.map_err(|error| match error {
                GetError::NotFound(_) => Failure::BenchLacks { peer },
                error => Failure::Check(error),
            })?;
            measured.blocks += 1;
            measured.bytes += block.data().len() as u64;
            measured.elapsed = start.elapsed();
            Ok::<_, Failure>(())
        };
        let over = Box::pin(node.runtime().sleep(limit));
        if let Some(first) = within("no block comes", blocks.next()).await? {
            count(first)?;
        }
        let mut blocks = blocks.take_until(over);
        while let Some(block) = blocks.next().await {
            count(block)?;
        }
        Ok(measured)
    }
}

/// What was measured of blocks of one size that were asked for in one way.
struct Row {
    size: usize,
    at_once: AtOnce,
    runs: Vec<Measured>,
}

impl Row {
    fn median(&self) -> f64 {
        median(&self.runs.iter().map(Measured::mib_per_second).collect::<Vec<_>>())
    }
}

struct Report {
    address: Multiaddr,
    /// MiB of blocks of each size.
    size: u32,
    rows: Vec<Row>,
    bare: Vec<f64>,
}

impl Report {
    async fn measure_bare(
        &mut self,
        args: &args::Bench,
        runtime: &Arc<dyn Runtime>,
    ) -> Result<(), Failure> {
        let Some(address) = &args.bare else { return Ok(()) };
        let bare = Bare::open(runtime, address).await?;
        let measured = bare.measure(u64::from(self.size) << 20, args.seconds).await?;
        self.bare.push(measured.mib_per_second());
        Ok(())
    }

    fn object(&self) -> Value {
        let bare = (!self.bare.is_empty()).then(|| median(&self.bare));
        let rows = self.rows.iter().map(|row| {
            let speed = row.median();
            let at_once = match row.at_once {
                AtOnce::Gets(count) => Some(count),
                AtOnce::All => None,
            };
            let runs: Vec<f64> = row.runs.iter().map(Measured::mib_per_second).collect();
            json!({
                "block_size": row.size, "at_once": at_once, "mib_per_second": speed,
                "blocks_per_second": speed * MIB / row.size as f64,
                "ratio_to_bare": bare.map(|bare| speed / bare), "runs_mib_per_second": runs,
            })
        });
        json!({
            "event": "bench", "address": self.address.to_string(), "size": u64::from(self.size) << 20,
            "bare_mib_per_second": bare, "bare_runs_mib_per_second": self.bare,
            "rows": rows.collect::<Vec<_>>(),
        })
    }
}

const MIB: f64 = (1 << 20) as f64;

impl fmt::Display for Report {
    /// A line for each size of block, with a column for each way to ask.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MiB/s, medians; in brackets blocks per second")?;
        write!(f, "\n{:<10}", "blocks of")?;
        for row in self.rows.iter().take_while(|row| row.size == SIZES[0]) {
            write!(f, "{:>22}", row.at_once.to_string())?;
        }
        for rows in self.rows.chunk_by(|a, b| a.size == b.size) {
            let size = rows.first().map_or(0, |row| row.size) >> 10;
            write!(f, "\n{size:>6} KiB")?;
            for row in rows {
                let speed = row.median();
                let blocks = speed * MIB / row.size as f64;
                write!(f, "{:>22}", format!("{speed:.1} ({blocks:.0})"))?;
            }
        }
        let Some(best) = self.rows.iter().map(Row::median).max_by(f64::total_cmp) else {
            return Ok(());
        };
        if self.bare.is_empty() {
            return Ok(());
        }
        let (bare, runs) = (median(&self.bare), listed(&self.bare));
        write!(f, "\nbare stream: {bare:.1} MiB/s ({runs}), nothing checked;")?;
        write!(f, " the best of the blocks, all checked: {:.2} of it", best / bare)
    }
}
