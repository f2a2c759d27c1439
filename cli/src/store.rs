//! `bitswap store`, and the store of blocks that the user names.

use std::io;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;

use bitswap_core::ByteSize;
use bitswap_core::chunk::RAW;
use bitswap_node::store::Hash;
use bitswap_node::{DiskStore, Runtime, Usage};
use cid::Cid;
use futures::TryStreamExt as _;
use serde_json::json;

use crate::args::{self, StoreCommand, StoreDir, StoreLimit};
use crate::failure::Failure;
use crate::say::Say;

/// Opens it, and makes it if need be. No other process has it as long as it is open.
pub(crate) async fn open(
    runtime: &Arc<dyn Runtime>,
    directory: &Path,
    limit: StoreLimit,
) -> Result<DiskStore, Failure> {
    let opened = DiskStore::open(runtime.clone(), directory).await;
    let store =
        opened.map_err(|source| Failure::Store { directory: directory.to_owned(), source })?;
    Ok(match limit.store_limit {
        Some(bytes) => store.with_limit(bytes),
        None => store,
    })
}

/// Opens one that is there.
async fn existing(runtime: &Arc<dyn Runtime>, at: &StoreDir) -> Result<DiskStore, Failure> {
    let directory = || at.store.clone();
    match std::fs::metadata(at.store.join("blocks")) {
        Ok(found) if found.is_dir() => {}
        // There may be one, and it cannot be seen; or there can be none.
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            return Err(Failure::Store { directory: directory(), source });
        }
        _ => return Err(Failure::NoStore { directory: directory() }),
    }
    open(runtime, &at.store, StoreLimit { store_limit: None }).await
}

pub(crate) async fn run(
    args: args::Store,
    runtime: &Arc<dyn Runtime>,
    say: &Say,
) -> Result<(), Failure> {
    match args.what {
        StoreCommand::Ls { at, pins: true } => pins(&existing(runtime, &at).await?, say).await,
        StoreCommand::Ls { at, pins: false } => list(&existing(runtime, &at).await?, say).await,
        StoreCommand::Stat { at } => stat(&existing(runtime, &at).await?, say).await,
        StoreCommand::Rm { at, cids } => remove(&existing(runtime, &at).await?, cids, say).await,
        StoreCommand::Verify { at, remove } => {
            verify(&existing(runtime, &at).await?, remove, say).await
        }
        StoreCommand::Gc { at, to } => collect(&existing(runtime, &at).await?, to, say).await,
        StoreCommand::Pin { at, cids } => {
            let store = existing(runtime, &at).await?;
            for cid in cids {
                store.pin(cid).await?;
                let object = json!({"event": "pinned", "cid": cid.to_string()});
                say.result(format_args!("pinned {cid}"), &object);
            }
            Ok(())
        }
        StoreCommand::Unpin { at, cids } => unpin(&existing(runtime, &at).await?, cids, say).await,
    }
}

const fn file(source: io::Error) -> Failure {
    Failure::StoreFile { source }
}

/// A block's name: the store knows no codec.
const fn raw(hash: Hash) -> Cid {
    Cid::new_v1(RAW, hash)
}

async fn pins(store: &DiskStore, say: &Say) -> Result<(), Failure> {
    for cid in store.pins().await.map_err(file)? {
        say.result(cid, &json!({"event": "pin", "cid": cid.to_string()}));
    }
    Ok(())
}

async fn list(store: &DiskStore, say: &Say) -> Result<(), Failure> {
    let mut blocks = pin!(store.list());
    while let Some(block) = blocks.try_next().await.map_err(file)? {
        let (cid, size) = (raw(block.hash), block.size);
        let object = json!({"event": "block", "cid": cid.to_string(), "size": size});
        say.result(format_args!("{cid} {size}"), &object);
    }
    Ok(())
}

async fn stat(store: &DiskStore, say: &Say) -> Result<(), Failure> {
    let Usage { blocks, bytes, .. } = store.usage().await.map_err(file)?;
    let pins = store.pins().await.map_err(file)?.len();
    let object = json!({"event": "store", "blocks": blocks, "bytes": bytes, "pins": pins});
    let text = format!("{blocks} blocks, {}, {pins} pinned roots", ByteSize(bytes));
    say.result(text, &object);
    Ok(())
}

async fn remove(store: &DiskStore, cids: Vec<Cid>, say: &Say) -> Result<(), Failure> {
    let mut missing = Vec::new();
    for cid in &cids {
        if store.get_verified(*cid).await.is_ok_and(|block| block.is_none()) {
            missing.push(*cid);
        }
    }
    let Usage { blocks, bytes, .. } = store.remove(cids).await?;
    let object = json!({"event": "removed", "blocks": blocks, "bytes": bytes});
    say.result(format_args!("removed {blocks} blocks, {}", ByteSize(bytes)), &object);
    if missing.is_empty() { Ok(()) } else { Err(Failure::NoBlocks { cids: missing }) }
}

async fn verify(store: &DiskStore, remove: bool, say: &Say) -> Result<(), Failure> {
    let (mut checked, mut corrupt) = (0_u64, 0_u64);
    let mut blocks = pin!(store.check());
    while let Some(found) = blocks.try_next().await.map_err(file)? {
        checked += 1;
        if found.is_intact {
            continue;
        }
        let hash = found.block.hash;
        let removed = remove && store.remove_corrupt(hash).await.map_err(file)?;
        corrupt += u64::from(!removed);
        let object = json!({"event": "corrupt", "cid": raw(hash).to_string(), "removed": removed});
        let removed = if removed { ", and was removed" } else { "" };
        say.result(format_args!("{} has changed{removed}", raw(hash)), &object);
    }
    let object = json!({"event": "store_verified", "blocks": checked, "corrupt": corrupt});
    say.result(format_args!("{checked} blocks checked"), &object);
    if corrupt == 0 { Ok(()) } else { Err(Failure::StoreDiffers { blocks: corrupt }) }
}

async fn collect(store: &DiskStore, to: Option<u64>, say: &Say) -> Result<(), Failure> {
    let collected = store.collect(to.unwrap_or(0)).await?;
    let (removed, left) = (collected.removed, collected.left);
    if collected.missing > 0 {
        say.note(format_args!(
            "{} blocks of what is pinned are not in the store; get them again, or unpin it",
            collected.missing
        ));
    }
    let object = json!({
        "event": "collected", "blocks": removed.blocks, "bytes": removed.bytes,
        "left_blocks": left.blocks, "left_bytes": left.bytes, "missing": collected.missing,
    });
    let text = format!(
        "removed {} blocks, {}; {} are left, {}",
        removed.blocks,
        ByteSize(removed.bytes),
        left.blocks,
        ByteSize(left.bytes)
    );
    say.result(text, &object);
    Ok(())
}

async fn unpin(store: &DiskStore, cids: Vec<Cid>, say: &Say) -> Result<(), Failure> {
    let mut missing = Vec::new();
    for cid in cids {
        if !store.unpin(cid).await.map_err(file)? {
            missing.push(cid);
            continue;
        }
        let object = json!({"event": "unpinned", "cid": cid.to_string()});
        say.result(format_args!("unpinned {cid}"), &object);
    }
    if missing.is_empty() { Ok(()) } else { Err(Failure::NotPinned { cids: missing }) }
}
