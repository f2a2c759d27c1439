//! What of this machine is cut into blocks: to be shared from where it lies, or kept in a store.

use std::path::PathBuf;

use bitswap_core::chunk::Profile;
use cid::Cid;
use clap::{ArgGroup, ValueEnum};
use libp2p::Multiaddr;

use super::values::root;
use super::{ACCESS, DhtArgs, NodeArgs, StoreLimit, WssArgs};
use crate::address_text;

/// `bitswap share`
#[derive(Debug, clap::Args)]
#[command(group = ArgGroup::new("what").required(true).args(["paths", "text", "root"]))]
pub(crate) struct Share {
    /// Files and folders. Several are wrapped in a folder, under their names. `-`: what comes on standard
    /// input, up to its end.
    #[arg(value_name = "PATH", num_args = 1..)]
    pub(crate) paths: Vec<PathBuf>,

    /// A short text instead of a file: shared as one raw block.
    #[arg(long)]
    pub(crate) text: Option<String>,

    /// Serve something that is in the store already, as `bitswap add` put it there.
    #[arg(long, value_name = "CID", value_parser = root, requires = "store")]
    pub(crate) root: Option<Cid>,

    /// The store of `bitswap add`: all blocks in it are served too, and what needs a place is kept there.
    #[arg(long, value_name = "DIR")]
    pub(crate) store: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) limit: StoreLimit,

    /// Where to listen. Port 0 is any free port: that which the identity had before, if it is free. May be
    /// given several times. Default: on all interfaces.
    #[arg(long, value_name = "MULTIADDR", value_parser = address_text::parse)]
    pub(crate) listen: Vec<Multiaddr>,

    /// Where it listens without being told. Not every machine has all of it.
    #[arg(skip)]
    pub(crate) listen_if_possible: Vec<Multiaddr>,

    #[command(flatten)]
    pub(crate) wss: WssArgs,

    /// Do not announce this machine on the local network.
    #[arg(long)]
    pub(crate) no_mdns: bool,

    /// Use a new peer identity: addresses and tickets that are printed hold until this ends.
    #[arg(long, conflicts_with = "identity", help_heading = ACCESS)]
    pub(crate) ephemeral: bool,

    #[command(flatten)]
    pub(crate) node: NodeArgs,

    #[command(flatten)]
    pub(crate) dht: DhtArgs,

    #[command(flatten)]
    pub(crate) folders: Folders,

    #[command(flatten)]
    pub(crate) cut: Cut,
}

/// What of folders is taken.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Folders {
    /// Of folders: leave out everything whose name begins with a dot.
    #[arg(long)]
    pub(crate) skip_hidden: bool,

    /// Of folders: take permissions and times of change too. They are part of the CID then.
    #[arg(long)]
    pub(crate) metadata: bool,
}

/// `bitswap add`
#[derive(Debug, clap::Args)]
pub(crate) struct Add {
    /// Files and folders. Several are wrapped in a folder, under their names. `-`: what comes on standard
    /// input, up to its end.
    #[arg(value_name = "PATH", num_args = 1.., required = true)]
    pub(crate) paths: Vec<PathBuf>,

    /// Where to keep the blocks: a folder, which is made if need be. It takes as much space as the files.
    #[arg(long, value_name = "DIR", required_unless_present = "only_hash")]
    pub(crate) store: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) limit: StoreLimit,

    /// Do not pin it: the blocks go with the next `bitswap store gc`, or when room is needed.
    #[arg(long, conflicts_with = "only_hash")]
    pub(crate) no_pin: bool,

    /// Print the CID and keep nothing.
    #[arg(long, conflicts_with = "store")]
    pub(crate) only_hash: bool,

    #[command(flatten)]
    pub(crate) folders: Folders,

    #[command(flatten)]
    pub(crate) cut: Cut,
}

/// How files are cut.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Cut {
    /// How files are cut into blocks: the same profile gives the same CID everywhere.
    #[arg(long, value_enum, default_value_t)]
    profile: ProfileArg,
}

impl Cut {
    /// The profile.
    pub(crate) const fn profile(self) -> Profile {
        match self.profile {
            ProfileArg::UnixfsV1_2025 => Profile::UnixfsV1_2025,
            ProfileArg::UnixfsV0_2015 => Profile::UnixfsV0_2015,
        }
    }
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum ProfileArg {
    /// 1 MiB raw leaves, CIDv1: as Helia and recent tools.
    #[default]
    #[value(name = "unixfs-v1-2025")]
    UnixfsV1_2025,
    /// 256 KiB wrapped leaves, CIDv0 (`Qm...`): as `ipfs add` does by default.
    #[value(name = "unixfs-v0-2015")]
    UnixfsV0_2015,
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use crate::args::Args;

    #[test]
    fn a_share_is_of_a_file_or_a_text_and_not_of_both() {
        let share =
            |rest: &[&str]| Args::try_parse_from(["bitswap", "share"].iter().chain(rest)).is_ok();
        assert!(share(&["file"]) && share(&["--text", "hello"]));
        assert!(!share(&[]) && !share(&["file", "--text", "hello"]));
        let root = "bafkreiffsgtnic7uebaeuaixgph3pmmq2ywglpylzwrswv5so7m23hyuny";
        assert!(share(&["--root", root, "--store", "blocks"]) && !share(&["--root", root]));
    }

    #[test]
    fn blocks_that_are_added_are_kept_in_a_store_or_not_at_all() {
        let add =
            |rest: &[&str]| Args::try_parse_from(["bitswap", "add"].iter().chain(rest)).is_ok();
        assert!(add(&["file", "--store", "blocks"]) && add(&["file", "--only-hash"]));
        assert!(!add(&["file"]) && !add(&["--only-hash"]));
        assert!(!add(&["file", "--store", "blocks", "--only-hash"]));
    }
}
