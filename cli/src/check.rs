//! `bitswap check`

use std::sync::Arc;

use bitswap_core::ByteSize;
use bitswap_node::{CheckAnswer, CheckOptions, Checked, Runtime};
use serde_json::json;

use crate::args::{self, DhtArgs};
use crate::exit::{NETWORK, NOT_FOUND, UNWELL};
use crate::failure::Failure;
use crate::resolve;
use crate::say::{Say, mib_per_second};

pub(crate) async fn run(
    args: args::Check,
    runtime: &Arc<dyn Runtime>,
    say: &Say,
) -> Result<(), Failure> {
    args.node.must_not_be_denied(&args.cid.into())?;
    let node = args.node.builder(&DhtArgs::default(), runtime)?.start().await?;
    let bytes = args.size.saturating_mul(1 << 20);
    let options = CheckOptions { bytes, timeout: args.timeout };
    let waiting = || format!("{} has not delivered all that it is asked for yet", args.address);
    let checking = async {
        let checked = node.check(args.cid, args.address.clone(), options).await;
        checked.map_err(Failure::Check)
    };
    let checked = resolve::telling(&node, say, waiting, checking).await;
    node.shutdown().await;
    let checked = checked?;
    let speed = mib_per_second(checked.bytes, checked.elapsed.as_secs_f64());
    let object = json!({"event": "checked", "mib_per_second": speed, "report": checked});
    if checked.blocks > 0 {
        say.result(delivered(&checked, speed), &object);
    } else {
        say.object(&object);
    }
    match failed(&checked) {
        None => Ok(()),
        Some((did, code)) => {
            let peer = match &checked.reached.peer {
                Some(peer) => peer.info.peer.to_string(),
                None => checked.reached.address.to_string(),
            };
            Err(Failure::Checked { peer, did, code })
        }
    }
}

/// What came, and how fast.
fn delivered(checked: &Checked, speed: f64) -> String {
    let Checked { cid, blocks, bytes, elapsed, .. } = checked;
    let ms = |duration: Option<std::time::Duration>| duration.unwrap_or_default().as_millis();
    let what = match (checked.answer, checked.is_all) {
        (_, true) => "all of it",
        (CheckAnswer::Has, false) => "the first of it",
        _ => "a part of it",
    };
    format!(
        "{cid}: {what}, {blocks} blocks, {} in {:.2} s, {speed:.1} MiB/s; connected after {} ms, the root came after {} ms",
        ByteSize(*bytes),
        elapsed.as_secs_f64(),
        ms(checked.reached.connected_after),
        ms(checked.root_after),
    )
}

/// What the machine did instead of delivering everything, what to do about it, and the exit code.
fn failed(checked: &Checked) -> Option<(String, u8)> {
    let (did, code) = match checked.answer {
        CheckAnswer::Has => return None,
        CheckAnswer::Partly => {
            let Checked { missing, undelivered, .. } = checked;
            let did = match checked.missing_cids.first() {
                Some(first) => format!(
                    "lacks {missing} of the blocks, {first} first; ask another machine for the rest"
                ),
                None => format!(
                    "did not deliver {undelivered} of the blocks in time; try again, or with a longer --timeout"
                ),
            };
            (did, UNWELL)
        }
        CheckAnswer::Lacks => {
            ("does not have it; ask another machine, or check the CID".to_owned(), NOT_FOUND)
        }
        CheckAnswer::Silent => {
            ("did not answer in time; try again, or with a longer --timeout".to_owned(), NOT_FOUND)
        }
        CheckAnswer::NoBitswap => (
            "does not speak Bitswap; give the address of `bitswap share` or of an IPFS node"
                .to_owned(),
            NETWORK,
        ),
        _ => {
            let error = checked.reached.error.as_deref().unwrap_or_default();
            let did = format!(
                "cannot be reached: {error}\nCheck that `bitswap share` still runs there, and that the address is right."
            );
            (did, NETWORK)
        }
    };
    Some((did, code))
}
