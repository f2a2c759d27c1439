//! Names that stand for something, and can stand for something else later.

use std::time::Duration;

use super::values::{lifetime, seconds};
use super::{DhtArgs, NodeArgs, Sources};
use crate::cid_text::{self, What};

/// `bitswap publish`
#[derive(Debug, clap::Args)]
pub(crate) struct Publish {
    /// What the name is to stand for: a CID, perhaps with a path, or another name, /ipns/....
    #[arg(value_name = "CID", value_parser = cid_text::parse_what)]
    pub(crate) what: What,

    /// Stay, and publish it again before others forget it, until Ctrl-C: every four hours, or more often if it holds
    /// for less than twelve.
    #[arg(long)]
    pub(crate) renew: bool,

    /// How many hours the record holds. It is forgotten after two days at the latest, unless it is published again.
    #[arg(long, value_name = "HOURS", default_value = "48", value_parser = lifetime)]
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
