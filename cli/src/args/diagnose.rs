//! What is looked at when something does not work, or may have changed.

use std::path::PathBuf;
use std::time::Duration;

use cid::Cid;
use clap::ValueHint;
use libp2p::Multiaddr;

use super::values::{root, seconds};
use super::{NodeArgs, Sources, WssArgs};
use crate::address_text;
use crate::cid_text::{self, CidPath};

/// `bitswap doctor`
#[derive(Debug, clap::Args)]
pub(crate) struct Doctor {
    /// Where something is to be fetched to: a file or a folder, which need not be there, or the folder that it
    /// goes into. To see whether files can be made there, one is made and removed again.
    #[arg(value_name = "PATH", default_value = ".", value_hint = ValueHint::AnyPath)]
    pub(crate) target: PathBuf,

    /// A machine that is to be reached. May be given several times.
    #[arg(long, value_name = "MULTIADDR", value_parser = address_text::parse)]
    pub(crate) from: Vec<Multiaddr>,

    /// An address to listen on. May be given several times. Default: as `bitswap share` does.
    #[arg(long, value_name = "MULTIADDR", value_parser = address_text::parse)]
    pub(crate) listen: Vec<Multiaddr>,

    #[command(flatten)]
    pub(crate) wss: WssArgs,

    /// How many seconds reaching a machine may take.
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    pub(crate) timeout: Duration,

    #[command(flatten)]
    pub(crate) node: NodeArgs,
}

/// `bitswap check`
#[derive(Debug, clap::Args)]
pub(crate) struct Check {
    /// The CID of a file, a folder or a block.
    #[arg(value_name = "CID", value_parser = root)]
    pub(crate) cid: Cid,

    /// The machine that is asked.
    #[arg(value_name = "MULTIADDR", value_parser = address_text::parse)]
    pub(crate) address: Multiaddr,

    /// How much of it is asked for, in MiB: the root always is, and no other block once there is as much.
    #[arg(long, value_name = "MIB", default_value_t = 16)]
    pub(crate) size: u64,

    /// How many seconds connecting may take, and how many nothing may come after that.
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    pub(crate) timeout: Duration,

    #[command(flatten)]
    pub(crate) node: NodeArgs,
}

/// `bitswap verify`
#[derive(Debug, clap::Args)]
pub(crate) struct Verify {
    /// The file or folder on disk.
    #[arg(value_name = "PATH")]
    pub(crate) path: PathBuf,

    /// The CID, and perhaps a path, as with `get`.
    #[arg(value_name = "CID", value_parser = cid_text::parse_path)]
    pub(crate) what: CidPath,

    #[command(flatten)]
    pub(crate) sources: Sources,
}
