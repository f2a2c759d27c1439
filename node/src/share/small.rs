//! Files that one read holds: opened, read, cut and hashed in one step of the blocking pool, many of them in
//! each step. A large file pays for a step to open it, to read each piece, to hash each leaf and to look at it
//! again; in a folder of small files those steps would be most of the time.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use bitswap_core::Block;
use bitswap_core::chunk::{Chunker, Metadata, Profile, Root};

use super::{Cutting, Hashed, Keep, READ, SharedForNow, chunks, failed, leaf_info, unsettled_for};
use crate::error::ShareError;
use crate::fs::read_from;
use crate::fs::regular::open_source;
use crate::node::Node;
use crate::runtime::RuntimeExt as _;
use crate::store::{SharedLeaf, Stamp};

/// Files of one step, and the bytes that they may have together: each is in memory while it is hashed.
const FILES_MAX: usize = 64;
const BYTES_MAX: u64 = READ as u64;

/// How the files of a tree are cut, what is kept of them, and which of their metadata goes to their roots.
#[derive(Clone, Copy, Debug)]
pub(super) struct How {
    pub(super) profile: Profile,
    pub(super) keep: Keep,
    pub(super) metadata_of: fn(&fs::Metadata) -> Metadata,
}

/// A file, and how long it was when its directory was read.
#[derive(Clone, Debug)]
pub(super) struct Source {
    pub(super) name: String,
    pub(super) path: PathBuf,
    pub(super) len: u64,
}

/// A file that was imported, and perhaps is served from where it lies.
#[derive(Debug)]
pub(super) struct ImportedFile {
    pub(super) name: String,
    pub(super) path: PathBuf,
    pub(super) root: Root,
    pub(super) shared: Option<SharedForNow>,
}

/// Cuts a list of files, in its order, into what is imported in one step each.
pub(super) fn steps(files: Vec<Source>) -> Vec<Vec<Source>> {
    let mut steps: Vec<Vec<Source>> = Vec::new();
    let mut bytes = 0;
    for file in files {
        bytes += file.len;
        match steps.last_mut() {
            Some(step) if step.len() < FILES_MAX && bytes <= BYTES_MAX => step.push(file),
            _ => {
                bytes = file.len;
                steps.push(vec![file]);
            }
        }
    }
    steps
}

/// A small file that was read as it is.
struct Small {
    root: Root,
    stamp: Stamp,
    leaves: Vec<(cid::Cid, SharedLeaf)>,
    /// What is to be kept.
    blocks: Vec<Block>,
}

impl Small {
    /// `None` for a file that is not small, or was written to a moment ago, or changes meanwhile: it is for the
    /// general way to say what is wrong with it, if anything is.
    fn read(path: &Path, How { profile, keep, metadata_of }: How) -> io::Result<Option<Self>> {
        let file = open_source(path)?;
        let metadata = file.metadata()?;
        let stamp = Stamp::of(&metadata);
        if stamp.len() > BYTES_MAX || unsettled_for(&metadata)?.is_some() {
            return Ok(None);
        }
        // A byte more, to see that there is none.
        let bytes = read_from(&file, 0, stamp.len() as usize + 1)?;
        if bytes.len() as u64 != stamp.len() || Stamp::of(&file.metadata()?) != stamp {
            return Ok(None);
        }
        let mut chunker = Chunker::new(profile);
        let mut cutting = Cutting::new(profile, keep);
        let mut blocks = Vec::new();
        for chunk in chunks(&mut chunker, Some(bytes)).into_iter().chain(chunks(&mut chunker, None))
        {
            blocks.extend(cutting.push(chunk.hash()));
        }
        let (root, nodes, leaves) = cutting.finish(&metadata_of(&metadata));
        blocks.extend(nodes);
        Ok(Some(Self { root, stamp, leaves, blocks }))
    }
}

impl Node {
    /// Imports the files of one step, and tells of each count of bytes that was hashed.
    pub(super) async fn import_step(
        &self,
        files: Vec<Source>,
        how: How,
        mut progress: impl FnMut(u64) + Send,
    ) -> Result<Vec<ImportedFile>, ShareError> {
        let read = move || {
            let read = |file: Source| (Small::read(&file.path, how), file);
            files.into_iter().map(read).collect::<Vec<_>>()
        };
        let read = self.runtime().run_blocking(read).await;
        let read = read.map_err(|source| failed(Path::new("."), source))?;
        let mut imported = Vec::with_capacity(read.len());
        let (mut blocks, mut infos) = (Vec::new(), Vec::new());
        let mut shared = Vec::new();
        for (small, Source { name, path, .. }) in read {
            match small.map_err(|source| failed(&path, source))? {
                Some(small) => {
                    progress(small.root.size);
                    blocks.extend(small.blocks);
                    infos.extend(small.leaves.iter().map(|(cid, leaf)| leaf_info(*cid, leaf)));
                    shared.push((imported.len(), small.stamp, small.leaves));
                    imported.push(ImportedFile { name, path, root: small.root, shared: None });
                }
                None => {
                    let mut done = 0;
                    let tell = |hashed: Hashed| {
                        progress(hashed.done.saturating_sub(done));
                        done = hashed.done;
                    };
                    let cut = (how.profile, how.keep);
                    let (root, shared) =
                        self.import_with(&path, cut, how.metadata_of, tell).await?;
                    imported.push(ImportedFile { name, path, root, shared });
                }
            }
        }
        self.keep_if(how.keep, blocks).await?;
        if how.keep == Keep::InPlace {
            for (at, stamp, leaves) in shared {
                let leaves = leaves.into_iter().map(|(cid, leaf)| (*cid.hash(), leaf));
                let path = imported[at].path.clone();
                imported[at].shared =
                    Some(SharedForNow::new(self, |files| files.share(path, Some(stamp), leaves)));
            }
            self.notify_new_blocks(infos).await?;
        }
        Ok(imported)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_has_so_many_files_and_bytes_and_a_large_file_is_a_step_of_its_own() {
        let of = |lens: &[u64]| {
            let source =
                |len: &u64| Source { name: String::new(), path: PathBuf::new(), len: *len };
            let steps = steps(lens.iter().map(source).collect());
            steps.iter().map(Vec::len).collect::<Vec<_>>()
        };
        assert_eq!(of(&[]), [0; 0]);
        assert_eq!(of(&[0; FILES_MAX + 1]), [FILES_MAX, 1]);
        assert_eq!(of(&[BYTES_MAX - 1, 1, 1]), [2, 1]);
        assert_eq!(of(&[1, BYTES_MAX + 1, 1]), [1, 1, 1]);
    }
}
