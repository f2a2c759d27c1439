//! Cutting files, folders, or what comes on standard input into blocks.

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::Instant;

use bitswap_core::chunk::{Profile, Root};
use bitswap_node::store::FileId;
use bitswap_node::{Bytes, Hashed, Keep, Node, ShareTreeOptions, SharedTree};
use cid::Cid;
use futures::SinkExt as _;
use futures::stream::Stream;

use crate::args::Folders;
use crate::failure::Failure;
use crate::progress::Shown;
use crate::say::Say;

/// What was cut.
pub(crate) struct Imported {
    pub(crate) cid: Cid,
    /// Bytes of all files.
    pub(crate) size: u64,
    /// What it is called, where it is one thing with a name.
    pub(crate) name: Option<String>,
    /// The files that are served from where they lie.
    pub(crate) files: Vec<(PathBuf, FileId)>,
    /// How many files there are.
    pub(crate) file_count: u64,
}

impl Imported {
    /// One thing without a name that lies nowhere.
    pub(crate) const fn nameless(cid: Cid, size: u64) -> Self {
        Self { cid, size, name: None, files: Vec::new(), file_count: 1 }
    }
}

/// Cuts what these paths lead to, and shows how far it is.
pub(crate) async fn import(
    node: &Node,
    paths: &[PathBuf],
    (profile, folders, keep): (Profile, Folders, Keep),
    say: &Say,
) -> Result<Imported, Failure> {
    let (mut shown, start) = (Shown::new(say), Instant::now());
    let progress = |hashed: Hashed| shown.hashing(hashed, start.elapsed());
    if is_stdin(paths) {
        let name = Path::new("standard input");
        let cut = (profile, keep);
        let Root { cid, size, .. } =
            node.import_stream(name, standard_input(), cut, progress).await?;
        return Ok(Imported::nameless(cid, size));
    }
    let name = match paths {
        [only] => only.file_name().and_then(|name| name.to_str()).map(str::to_owned),
        _ => None,
    };
    let Folders { skip_hidden, metadata } = folders;
    let options = ShareTreeOptions { profile, metadata, skip_hidden, keep };
    if let [only] = paths
        && !only.is_dir()
        && !metadata
    {
        // A link that is named stands for what it leads to; within a folder it is taken as it is.
        let (root, id) = node.import_file(only, (profile, keep), progress).await?;
        let files = id.map(|id| (only.clone(), id)).into_iter().collect();
        return Ok(Imported { name, files, ..Imported::nameless(root.cid, root.size) });
    }
    let tree = node.share_tree(paths, options, progress).await?;
    let SharedTree { root, size, files, file_count, .. } = tree;
    Ok(Imported { cid: root.cid, size, name, files, file_count })
}

/// Whether standard input is what is cut.
pub(crate) fn is_stdin(paths: &[PathBuf]) -> bool {
    matches!(paths, [only] if only.as_os_str() == "-")
}

/// What comes on standard input. A thread of its own waits for it.
fn standard_input() -> impl Stream<Item = io::Result<Bytes>> + Send {
    let (mut pieces, read) = futures::channel::mpsc::channel(2);
    std::thread::spawn(move || {
        let mut input = io::stdin().lock();
        loop {
            let mut piece = vec![0; 1 << 20];
            let result = input.read(&mut piece).map(|read| {
                piece.truncate(read);
                Bytes::from(piece)
            });
            if result.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::Interrupted) {
                continue;
            }
            let is_end = result.as_ref().map_or(true, Bytes::is_empty);
            if result.as_ref().is_ok_and(Bytes::is_empty) {
                return;
            }
            // Nobody wants it any more, or it cannot be read.
            if futures::executor::block_on(pieces.send(result)).is_err() || is_end {
                return;
            }
        }
    });
    read
}
