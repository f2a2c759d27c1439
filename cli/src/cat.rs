//! `bitswap cat`

use std::pin::pin;
use std::sync::Arc;

use bitswap_core::chunk::{DAG_PB, RAW};
use bitswap_node::{Node, ReadError, Runtime};
use cid::Cid;
use futures::StreamExt as _;
use serde_json::json;

use crate::args;
use crate::failure::Failure;
use crate::peers::{self, Fetcher, Late};
use crate::resolve;
use crate::say::Say;

pub(crate) async fn run(
    mut args: args::Cat,
    runtime: &Arc<dyn Runtime>,
    say: &Say,
) -> Result<(), Failure> {
    args.sources.ask_where(args.what.cid());
    let Fetcher { node, mut late, metrics: _metrics } =
        peers::connected(&args.sources, runtime, say).await?;
    let what = resolve::known(&node, &mut late, &args.sources, &args.what, say).await?;
    let mut cid = what.cid;
    if !what.path.is_empty() {
        cid = resolve::resolved(&node, &mut late, &args.sources, &what, say).await?.cid;
    }
    let printed = if matches!(cid.codec(), DAG_PB | RAW) && !args.raw {
        print(&node, &mut late, cid, &args, say).await?
    } else {
        print_block(&node, &mut late, cid, &args, say).await?
    };
    say.event(&json!({"event": "printed", "cid": cid.to_string(), "size": printed}));
    node.shutdown().await;
    Ok(())
}

/// Prints a block as it is, whatever it may be a part of. The number of bytes.
async fn print_block(
    node: &Node,
    late: &mut Late,
    cid: Cid,
    args: &args::Cat,
    say: &Say,
) -> Result<u64, Failure> {
    let get = async {
        let session = node.session(peers::session(&args.sources)).await;
        let block = match session {
            Ok(session) => session.get(cid).await,
            Err(error) => Err(error),
        };
        block.map_err(|error| Failure::Read(ReadError::Block(error)))
    };
    let block = resolve::attend(node, late, &args.sources, say, get).await?;
    let data = block.data();
    let end = |wanted: u64| data.len().min(usize::try_from(wanted).unwrap_or(usize::MAX));
    let bytes = match &args.range {
        Some(range) => data.slice(end(range.start)..end(range.end)),
        None => data.clone(),
    };
    say.bytes(&bytes);
    Ok(bytes.len() as u64)
}

/// Prints it all. The number of bytes.
async fn print(
    node: &Node,
    late: &mut Late,
    cid: Cid,
    args: &args::Cat,
    say: &Say,
) -> Result<u64, Failure> {
    let range = args.range.clone().unwrap_or(0..u64::MAX);
    let options = peers::session(&args.sources).into();
    let printing = async {
        let mut pieces = pin!(node.read_range(cid, range, options).await?);
        let mut printed = 0;
        while let Some(bytes) = pieces.next().await {
            let bytes = bytes?;
            say.bytes(&bytes);
            printed += bytes.len() as u64;
        }
        Ok(printed)
    };
    resolve::attend(node, late, &args.sources, say, printing).await
}
