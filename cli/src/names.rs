//! `bitswap publish` and `bitswap resolve`

use std::io;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bitswap_node::{
    IdentityError, IdentityFile, IpnsName, IpnsRecord, Keypair, NamePath, PublishError,
    PublishOptions, Root, Runtime,
};
use futures::{StreamExt as _, TryStreamExt as _};
use serde_json::{Value, json};

use crate::args;
use crate::cid_text::What;
use crate::failure::Failure;
use crate::interrupt::{interrupted, unless_interrupted};
use crate::peers::{self, Fetcher};
use crate::plain::Plain;
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
    let mut published = pin!(node.keep_published(key, target.clone(), options));
    let waiting = || "no machine of the DHT has stored the record yet".to_owned();
    let first = resolve::telling(&node, say, waiting, async { Ok(published.try_next().await?) });
    let first = unless_interrupted(first).await?;
    if let Some(record) = first {
        let name = Root::Ipns(record.name()).to_string();
        let then = if args.renew { RENEWED } else { LEFT };
        say.note(format_args!("{name} stands for {target} for {}; {then}", spoken(args.lifetime)));
        say.result(&name, &object(&record));
    }
    if args.renew {
        let renewing = async {
            while let Some(renewed) = published.next().await {
                renewal(renewed, args.lifetime, say)?;
            }
            Ok::<(), Failure>(())
        };
        tokio::select! {
            ended = renewing => ended?,
            () = interrupted() => {}
        }
    }
    node.shutdown().await;
    Ok(())
}

const LEFT: &str = "publish it again before that is over.";
const RENEWED: &str = "it is published again before that is over, until Ctrl-C.";

/// Tells how a renewal went; what ends them all is the failure of the command.
fn renewal(
    renewed: Result<IpnsRecord, PublishError>,
    lifetime: Duration,
    say: &Say,
) -> Result<(), Failure> {
    match renewed {
        Ok(record) => {
            let text = format!("published again, for {}", spoken(lifetime));
            say.told(text, &object(&record));
        }
        Err(error @ (PublishError::Unreachable | PublishError::NotStored)) => {
            say.note(format_args!("not published again, which is tried later: {error}"));
        }
        Err(error) => return Err(error.into()),
    }
    Ok(())
}

/// A time as people say it, in hours and minutes, or in seconds when it is short.
fn spoken(time: Duration) -> String {
    let minutes = time.as_secs() / 60;
    let counted = |count: u64, unit: &str| match count {
        0 => None,
        1 => Some(format!("1 {unit}")),
        count => Some(format!("{count} {unit}s")),
    };
    match (counted(minutes / 60, "hour"), counted(minutes % 60, "minute")) {
        (Some(hours), Some(minutes)) => format!("{hours} {minutes}"),
        (Some(one), None) | (None, Some(one)) => one,
        (None, None) => {
            let seconds = format!("{:.1}", time.as_secs_f64());
            format!("{} s", seconds.trim_end_matches(".0"))
        }
    }
}

fn object(record: &IpnsRecord) -> Value {
    let name = Root::Ipns(record.name()).to_string();
    json!({"event": "published", "name": name, "value": record.value(), "sequence": record.sequence()})
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
    say.result(Plain(&path), &object);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_told_as_people_say_it() {
        for (seconds, said) in [
            (1.0, "1 s"),
            (3.6, "3.6 s"),
            (59.9, "59.9 s"),
            (60.0, "1 minute"),
            (3600.0, "1 hour"),
            (5_430.0, "1 hour 30 minutes"),
            (172_800.0, "48 hours"),
        ] {
            assert_eq!(spoken(Duration::from_secs_f64(seconds)), said);
        }
    }
}
