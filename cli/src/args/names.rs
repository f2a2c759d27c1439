//! Names that stand for something, and can stand for something else later.

use std::time::Duration;

use super::values::seconds;
use super::{DhtArgs, NodeArgs, Sources};
use crate::cid_text::{self, What};

/// `bitswap publish`
#[derive(Debug, clap::Args)]
pub(crate) struct Publish {
    /// What the name is to stand for: a CID, perhaps with a path, or another name, /ipns/....
    #[arg(value_name = "CID", value_parser = cid_text::parse_what)]
    pub(crate) what: What,

    /// How many hours the record holds. It is forgotten after two days at the latest: publish it again before.
    #[arg(long, value_name = "HOURS", default_value = "48", value_parser = hours)]
    pub(crate) lifetime: Duration,

    /// How many seconds others need not look again.
    #[arg(long, value_name = "SECONDS", default_value = "300", value_parser = seconds)]
    pub(crate) ttl: Duration,

    #[command(flatten)]
    pub(crate) node: NodeArgs,

    #[command(flatten)]
    pub(crate) dht: DhtArgs,
}

/// `bitswap resolve`
#[derive(Debug, clap::Args)]
pub(crate) struct Resolve {
    /// The name, and perhaps a path: /ipns/k51..., /ipns/example.org/path.
    #[arg(value_name = "NAME", value_parser = cid_text::parse_what)]
    pub(crate) what: What,

    #[command(flatten)]
    pub(crate) sources: Sources,
}

fn hours(text: &str) -> Result<Duration, String> {
    let hours: f64 = text.parse().map_err(|_| "not a number of hours".to_owned())?;
    let lifetime =
        Duration::try_from_secs_f64(hours * 3600.0).map_err(|error| error.to_string())?;
    match lifetime <= Duration::from_secs(100 * 366 * 86400) {
        true => Ok(lifetime),
        false => Err("nobody will look in a hundred years".to_owned()),
    }
}
