//! `bitswap cat`

use std::pin::pin;
use std::sync::Arc;
use std::time::Instant;

use bitswap_core::chunk::{DAG_PB, RAW};
use bitswap_node::{Node, Runtime};
use cid::Cid;
use futures::StreamExt as _;
use serde_json::json;

use crate::args;
use crate::exit::Failure;
use crate::patience::{Patience, Verdict};
use crate::peers::{self, Fetcher, Late};
use crate::resolve;
use crate::say::Say;
use crate::share::interrupted;
use crate::strangers;

pub(crate) async fn run(
    args: args::Cat,
    runtime: &Arc<dyn Runtime>,
    say: &Say,
) -> Result<(), Failure> {
    let Fetcher { node, mut late } = peers::connected(&args.sources, runtime, say).await?;
    let cid = cid(&node, &mut late, &args, say).await?;
    let printing = print(&node, &mut late, cid, &args, say);
    let printed = strangers::unless_all(&node, &args.sources, say, printing).await?;
    say.event(&json!({"event": "printed", "cid": cid.to_string(), "size": printed}));
    node.shutdown().await;
    Ok(())
}

/// The root of what is to be printed. What is neither a file nor a directory is printed as the block that it is.
async fn cid(
    node: &Node,
    late: &mut Late,
    args: &args::Cat,
    say: &Say,
) -> Result<Cid, Failure> {
    let mut cid = args.what.cid;
    if !args.what.path.is_empty() {
        cid = resolve::resolved(node, late, &args.sources, &args.what, say).await?.cid;
    }
    Ok(if matches!(cid.codec(), DAG_PB | RAW) { cid } else { Cid::new_v1(RAW, *cid.hash()) })
}

/// Prints it all. The number of bytes.
async fn print(
    node: &Node,
    late: &mut Late,
    cid: Cid,
    args: &args::Cat,
    say: &Say,
) -> Result<u64, Failure> {
    let mut patience = Patience::new(args.sources.timeout);
    let mut ticks = patience.ticks();
    let mut pieces = pin!(node.read_file(cid, peers::session(&args.sources)).await?);
    let mut stopped = pin!(interrupted());
    let mut printed = 0;
    loop {
        let piece = tokio::select! {
            piece = pieces.next() => piece,
            _ = ticks.tick() => {
                let waiting = node.diagnose().await?;
                match patience.look(&waiting, Instant::now()) {
                    Verdict::Wait => {}
                    Verdict::Say => say.waiting(&waiting),
                    Verdict::GiveUp => {
                        return Err(Failure::NothingCame { idle: patience.idle(), waiting });
                    }
                }
                continue;
            }
            error = late.failure() => {
                say.note(format_args!("going on without:\n  {error}"));
                continue;
            }
            () = &mut stopped => return Err(Failure::Aborted),
        };
        let Some(bytes) = piece else { return Ok(printed) };
        let bytes = bytes?;
        say.bytes(&bytes);
        printed += bytes.len() as u64;
    }
}
