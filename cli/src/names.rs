//! `bitswap publish` and `bitswap resolve`

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use bitswap_node::{
    IdentityError, IdentityFile, IpnsName, Keypair, NamePath, PublishError, PublishOptions, Root,
    Runtime,
};
use serde_json::json;

use crate::args;
use crate::cid_text::What;
use crate::exit::Failure;
use crate::peers::{self, Fetcher};
use crate::resolve;
use crate::say::Say;

pub(crate) async fn publish(
    args: args::Publish,
    runtime: &Arc<dyn Runtime>,
    say: &Say,
) -> Result<(), Failure> {
    let Some(file) = args.node.identity.clone() else { return Err(Failure::WhoseName) };
    if args.dht.settings().is_none() {
        return Err(Failure::Publish(PublishError::NoDht));
    }
    // As somebody else: the key may be in use by a node.
    let builder = args.node.without_identity().builder(&args.dht, runtime)?;
    // It is made last, so that a command line that is wrong leaves none behind.
    let key = key(&file)?;
    let target = match args.what {
        What::Cid(what) => NamePath::new(Root::Cid(what.cid), what.path),
        What::Name { name, .. } => name,
    };
    if target.root() == &Root::Ipns(IpnsName::from(&key.public())) {
        return Err(Failure::OwnName);
    }
    let node = builder.start().await?;
    let options = PublishOptions { lifetime: args.lifetime, ttl: args.ttl };
    let record = node.publish(&key, &target, options).await?;
    node.shutdown().await;
    let left = record.valid_until().duration_since(SystemTime::now()).unwrap_or_default();
    let hours = left.as_secs().div_ceil(3600);
    let name = Root::Ipns(record.name()).to_string();
    say.note(format_args!(
        "{name} stands for {target} for {hours} hours; publish it again before they are over."
    ));
    let object = json!({
        "event": "published", "name": name, "value": record.value(), "sequence": record.sequence(),
    });
    say.result(&name, &object);
    Ok(())
}

/// The key in a file, which may be in use by a node; a new one when there is none.
fn key(file: &Path) -> Result<Keypair, Failure> {
    match IdentityFile::read_key(file) {
        Err(IdentityError::File { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            Ok(IdentityFile::open(file)?.keypair().clone())
        }
        read => Ok(read?),
    }
}

pub(crate) async fn resolve(
    args: args::Resolve,
    runtime: &Arc<dyn Runtime>,
    say: &Say,
) -> Result<(), Failure> {
    let Fetcher { node, mut late, metrics: _metrics } =
        peers::connected(&args.sources, runtime, say).await?;
    let known = resolve::known(&node, &mut late, &args.sources, &args.what, say).await?;
    node.shutdown().await;
    let path = format!("/ipfs/{known}");
    let object = json!({"event": "resolved", "name": args.what.to_string(), "path": path});
    say.result(&path, &object);
    Ok(())
}
