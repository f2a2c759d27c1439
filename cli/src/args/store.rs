//! Where blocks are kept, and what may be done with them there.

use std::path::PathBuf;

use cid::Cid;
use clap::{Subcommand, ValueHint};

use super::rate::parse_size;
use super::values::root;

/// `bitswap store`
#[derive(Debug, clap::Args)]
pub(crate) struct Store {
    #[command(subcommand)]
    pub(crate) what: StoreCommand,
}

/// What is done with a store.
#[derive(Debug, Subcommand)]
pub(crate) enum StoreCommand {
    /// List the blocks, or what is pinned. A store knows no codecs: blocks are named as raw ones.
    Ls {
        #[command(flatten)]
        at: StoreDir,

        /// List what is pinned instead.
        #[arg(long)]
        pins: bool,
    },
    /// Say how many blocks there are, how large they are, and how many roots are pinned.
    Stat {
        #[command(flatten)]
        at: StoreDir,
    },
    /// Remove blocks. What is pinned, or a part of what is, is refused, and then nothing is removed.
    Rm {
        #[command(flatten)]
        at: StoreDir,

        /// The blocks.
        #[arg(value_name = "CID", required = true, value_parser = root)]
        cids: Vec<Cid>,
    },
    /// Read all blocks again and say which have changed on the disk.
    Verify {
        #[command(flatten)]
        at: StoreDir,

        /// Remove those that have changed, so that they can be got again.
        #[arg(long)]
        remove: bool,
    },
    /// Remove all blocks that are not pinned and that nothing pinned leads to.
    Gc {
        #[command(flatten)]
        at: StoreDir,

        /// Stop when the blocks have this size, 500MB or 5GiB; those that were used least recently go first.
        #[arg(long, value_name = "SIZE", value_parser = parse_size)]
        to: Option<u64>,
    },
    /// Keep roots and all that they lead to. All of it must be there.
    Pin {
        #[command(flatten)]
        at: StoreDir,

        /// The roots.
        #[arg(value_name = "CID", required = true, value_parser = root)]
        cids: Vec<Cid>,
    },
    /// Keep roots no longer. Their blocks stay until `bitswap store gc`, or until room is needed.
    Unpin {
        #[command(flatten)]
        at: StoreDir,

        /// The roots.
        #[arg(value_name = "CID", required = true, value_parser = root)]
        cids: Vec<Cid>,
    },
}

/// A store that there is.
#[derive(Debug, clap::Args)]
pub(crate) struct StoreDir {
    /// The store, as given to `bitswap add` or to a command that gets.
    #[arg(long, value_name = "DIR", required = true, value_hint = ValueHint::DirPath)]
    pub(crate) store: PathBuf,
}

/// How large a store may become.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct StoreLimit {
    /// Keep the store within this size, 500MB or 5GiB: blocks that are not pinned go when room is needed, those
    /// that were used least recently first.
    #[arg(long, value_name = "SIZE", requires = "store", value_parser = parse_size)]
    pub(crate) store_limit: Option<u64>,
}

/// A store that a command may have.
#[derive(Debug, clap::Args)]
pub(crate) struct StoreArgs {
    /// A store of blocks: what it has is not fetched, and blocks that are read go into it. It is made if need
    /// be.
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) store: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) limit: StoreLimit,
}
