//! What a CID or a ticket names, and where it goes: to disk, to standard output, or into a list.

use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use bitswap_core::chunk::Sha256Digest;
use clap::ValueHint;

use super::values::{digest, patience, range};
use super::{CheckArg, IfExistsArg, OrderArg, Sources};
use crate::cid_text::{self, What};

/// `bitswap get`
#[derive(Debug, clap::Args)]
pub(crate) struct Get {
    /// What to get: the ticket that `bitswap share` prints, or the CID of a file or folder, with the path of what
    /// is wanted in it if that is not all: CID/path, /ipfs/CID/path, ipfs://CID/path, or the URL of a gateway. Or a name
    /// that stands for one: /ipns/k51..., /ipns/example.org/path; names of keys need --dht or --bootstrap. Several are got one after the other.
    #[arg(value_name = "CID", required_unless_present = "input", value_parser = cid_text::parse_what)]
    pub(crate) what: Vec<What>,

    /// Get also what this file names: a CID, URL or ticket on each line, as on the command line. Empty lines and
    /// those that begin with # are left out. `-`: standard input.
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) input: Option<PathBuf>,

    /// Where to put it. A file goes into a folder that exists, under its name; a folder is put together
    /// with it. Default: here, under its name if that is known, otherwise under its CID. Several go into a folder.
    /// `-`: to standard output, as `bitswap cat` does.
    #[arg(short, long, value_name = "PATH", value_hint = ValueHint::AnyPath)]
    pub(crate) output: Option<PathBuf>,

    /// Get the block itself, whatever it is: also one of dag-cbor or dag-json, or a node of a file.
    #[arg(long)]
    pub(crate) raw: bool,

    /// Of a file: get these bytes alone, both ends included, and nothing of the others; `100-` is all from 100 on.
    #[arg(long, value_name = "FROM-TO", value_parser = range)]
    pub(crate) range: Option<Range<u64>>,

    /// Of a file: its SHA-256, in hexadecimal. A file that has another one does not get its name, and what was
    /// fetched is kept. With --range it is that of those bytes.
    #[arg(long, value_name = "HEX", value_parser = digest)]
    pub(crate) sha256: Option<Sha256Digest>,

    /// Of a file: the root of the Merkle tree of SHA-256 over its leaves, in hexadecimal, as with --sha256.
    #[arg(long, value_name = "HEX", value_parser = digest, conflicts_with = "range")]
    pub(crate) merkle_root: Option<Sha256Digest>,

    /// Of a file, and of the large files of a folder: in which order blocks are asked for.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) order: OrderArg,

    /// Leave zeros out where nothing was written before: they are holes of the file then, and take no space
    /// where the file system has such.
    #[arg(long)]
    pub(crate) sparse: bool,

    /// Of a folder: leave out symbolic links.
    #[arg(long)]
    pub(crate) no_symlinks: bool,

    /// Of a folder: take every name that this system takes. Without it a name must be one on Unix and on
    /// Windows, and no two in a folder may differ in case, or in the encoding of accents, only.
    #[arg(long)]
    pub(crate) native_names: bool,

    /// Of a folder: do not set the permissions and times that it has.
    #[arg(long)]
    pub(crate) no_metadata: bool,

    /// What to do when another file is there already. It holds for each file of a folder.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) if_exists: IfExistsArg,

    /// How much of what an interrupted get left is hashed again before the file gets its name. What is wrong
    /// is fetched again.
    #[arg(long, value_enum, default_value_t, value_name = "HOW")]
    pub(crate) check: CheckArg,

    /// When the disk or the quota is full, wait for space for so many seconds, or without a number for as
    /// long as it takes. Default: end with exit code 4. What was fetched is kept either way.
    #[arg(long, value_name = "SECONDS", value_parser = patience, num_args = 0..=1, require_equals = true, default_missing_value = "forever")]
    pub(crate) wait_for_space: Option<Duration>,

    #[command(flatten)]
    pub(crate) sources: Sources,
}

impl Get {
    /// Whether it goes to standard output.
    pub(crate) fn is_to_output(&self) -> bool {
        self.output.as_ref().is_some_and(|path| path.as_os_str() == "-")
    }
}

/// `bitswap ls`
#[derive(Debug, clap::Args)]
pub(crate) struct Ls {
    /// The CID of a folder, and perhaps a path in it, or a ticket, as with `get`.
    #[arg(value_name = "CID", value_parser = cid_text::parse_what)]
    pub(crate) what: What,

    #[command(flatten)]
    pub(crate) sources: Sources,
}

/// `bitswap cat`
#[derive(Debug, clap::Args)]
pub(crate) struct Cat {
    /// The CID, and perhaps a path, or a ticket, as with `get`.
    #[arg(value_name = "CID", value_parser = cid_text::parse_what)]
    pub(crate) what: What,

    /// Print these bytes alone, both ends included; `100-` is all from 100 on.
    #[arg(long, value_name = "FROM-TO", value_parser = range)]
    pub(crate) range: Option<Range<u64>>,

    /// Print the block itself, whatever it is: for `get --raw`.
    #[arg(skip)]
    pub(crate) raw: bool,

    #[command(flatten)]
    pub(crate) sources: Sources,
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::args::{Args, Command};

    #[test]
    fn space_is_waited_for_only_when_asked_for() {
        let wait = |rest: &[&str]| {
            let cid = "bafkreiffsgtnic7uebaeuaixgph3pmmq2ywglpylzwrswv5so7m23hyuny";
            let arguments = ["bitswap", "get", cid].into_iter().chain(rest.iter().copied());
            match Args::try_parse_from(arguments).unwrap().command {
                Command::Get(get) => get.wait_for_space,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(wait(&[]), None);
        assert_eq!(wait(&["--wait-for-space"]), Some(Duration::MAX));
        assert_eq!(wait(&["--wait-for-space=90"]), Some(Duration::from_secs(90)));
    }
}
