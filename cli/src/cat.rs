//! `bitswap cat`

use std::pin::pin;

use bitswap_runtime::Runtime;
use futures::StreamExt as _;
use serde_json::json;

use crate::args;
use crate::exit::Failure;
use crate::peers;
use crate::say::Say;
use crate::share::interrupted;

pub(crate) async fn run(args: args::Cat, runtime: &impl Runtime, say: &Say) -> Result<(), Failure> {
    let node = peers::connected(&args.sources, runtime, say).await?;
    let mut pieces = pin!(node.read_file(args.cid, peers::session(&args.sources)).await?);
    let mut stopped = pin!(interrupted());
    let mut printed = 0;
    loop {
        let piece = tokio::select! {
            piece = pieces.next() => piece,
            () = &mut stopped => return Err(Failure::Aborted),
        };
        match piece {
            Some(bytes) => {
                let bytes = bytes?;
                say.bytes(&bytes);
                printed += bytes.len() as u64;
            }
            None => break,
        }
    }
    say.event(&json!({"event": "printed", "cid": args.cid.to_string(), "size": printed}));
    node.shutdown().await;
    Ok(())
}
