//! `bitswap add`

use std::sync::Arc;

use bitswap_core::ByteSize;
use bitswap_node::{DiskStore, Keep, Node, Runtime};
use serde_json::json;

use crate::args;
use crate::failure::Failure;
use crate::import::import;
use crate::say::Say;
use crate::store;

pub(crate) async fn run(
    args: args::Add,
    runtime: &Arc<dyn Runtime>,
    say: &Say,
) -> Result<(), Failure> {
    // It listens nowhere and connects to nobody.
    let mut builder = Node::builder(runtime.clone());
    let store = match &args.store {
        Some(directory) => Some(store::open(runtime, directory, args.limit).await?),
        None => None,
    };
    // What is there already must not go while the rest comes.
    let hold = store.as_ref().map(DiskStore::hold);
    if let Some(store) = &store {
        builder = builder.with_blocks(Arc::new(store.clone()));
    }
    let node = builder.start().await?;
    let keep = if store.is_some() { Keep::Copies } else { Keep::Nothing };
    let cutting = import(&node, &args.paths, (args.cut.profile(), args.folders, keep), say);
    let added = cutting.await?;
    node.shutdown().await;
    let cid = added.cid;
    if let Some(store) = store.filter(|_| !args.no_pin) {
        store.pin(cid).await?;
    }
    drop(hold);
    if let Some(directory) = &args.store
        && say.is_text()
    {
        say.note(format_args!(
            "{} in {directory}; serve it with `bitswap share --store {directory} --root {cid}`",
            ByteSize(added.size),
            directory = directory.display(),
        ));
    }
    let object = json!({
        "event": "added", "cid": cid.to_string(), "size": added.size, "name": added.name,
        "files": added.file_count, "kept": args.store.is_some(),
    });
    say.result(cid, &object);
    Ok(())
}
