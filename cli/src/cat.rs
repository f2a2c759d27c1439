//! `bitswap cat`

use std::pin::pin;
use std::sync::Arc;
use std::time::Instant;

use bitswap_node::{Node, Runtime};
use futures::StreamExt as _;
use serde_json::json;

use crate::args;
use crate::exit::Failure;
use crate::patience::{Patience, Verdict};
use crate::peers::{self, Fetcher, Late};
use crate::say::Say;
use crate::share::interrupted;
use crate::strangers;

pub(crate) async fn run(
    args: args::Cat,
    runtime: &Arc<dyn Runtime>,
    say: &Say,
) -> Result<(), Failure> {
    let Fetcher { node, mut late } = peers::connected(&args.sources, runtime, say).await?;
    let printing = print(&node, &mut late, &args, say);
    let printed = strangers::unless_all(&node, &args.sources, say, printing).await?;
    say.event(&json!({"event": "printed", "cid": args.cid.to_string(), "size": printed}));
    node.shutdown().await;
    Ok(())
}

/// Prints it all. The number of bytes.
async fn print(node: &Node, late: &mut Late, args: &args::Cat, say: &Say) -> Result<u64, Failure> {
    let mut patience = Patience::new(args.sources.timeout);
    let mut ticks = patience.ticks();
    let mut pieces = pin!(node.read_file(args.cid, peers::session(&args.sources)).await?);
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
