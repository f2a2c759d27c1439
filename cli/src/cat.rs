//! `bitswap cat`

use std::io::{Write as _, stdout};
use std::pin::pin;
use std::time::Instant;

use bitswap_runtime::Runtime;
use futures::StreamExt as _;

use crate::args;
use crate::exit::Failure;
use crate::patience::{Patience, Verdict};
use crate::peers::{self, Fetcher};
use crate::say::Say;
use crate::share::interrupted;

pub(crate) async fn run(args: args::Cat, runtime: &impl Runtime, say: &Say) -> Result<(), Failure> {
    let Fetcher { node, mut late } = peers::connected(&args.sources, runtime, say).await?;
    let mut patience = Patience::new(args.sources.timeout);
    let mut ticks = patience.ticks();
    let mut pieces = pin!(node.read_file(args.cid, peers::session(&args.sources)).await?);
    let mut stopped = pin!(interrupted());
    let failed = |source| Failure::Output { what: "to standard output".into(), source };
    loop {
        let piece = tokio::select! {
            piece = pieces.next() => piece,
            _ = ticks.tick() => {
                let waiting = node.waiting().await?;
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
            () = &mut stopped => return Err(Failure::Interrupted),
        };
        match piece {
            Some(bytes) => stdout().write_all(&bytes?).map_err(failed)?,
            None => break,
        }
    }
    stdout().flush().map_err(failed)?;
    node.shutdown().await;
    Ok(())
}
