//! What comes of each entry that the walk finds.

use super::*;

impl TreeDownload {
    /// Takes entries from the walk as long as they can be begun.
    pub(super) fn run_entries(&mut self) {
        while matches!(self.stage, Stage::Entries) && !self.is_paused {
            let next = match self.held.take() {
                Some(held) => Ok(Some(held)),
                None => self.walk.as_mut().map_or(Ok(None), TreeWalk::next_output),
            };
            match next {
                Ok(None) => break,
                Err(invalid) => return self.fail(invalid.into()),
                Ok(Some(WalkOutput::Listed(dir))) => {
                    let end = self.dirs.listed(dir);
                    self.dir_may_end(dir, end);
                }
                Ok(Some(WalkOutput::Entry(entry))) => {
                    if let Some(entry) = self.begin_entry(*entry) {
                        self.held = Some(WalkOutput::Entry(entry.into()));
                        break;
                    }
                }
            }
        }
    }

    /// Begins an entry; gives it back when it must wait.
    fn begin_entry(&mut self, entry: TreeEntry) -> Option<TreeEntry> {
        let parent = entry.parent?;
        let Some(is_new) = self.dirs.state(parent) else { return Some(entry) };
        let has_room = self.busy.is_empty()
            || (self.busy.len() < SMALL_MAX && self.busy_bytes < self.options.download.window);
        if !has_room || self.unnamed.len() >= UNNAMED_MAX {
            return Some(entry);
        }
        let metadata = self.kept(entry.metadata);
        let place = (parent, entry.path.clone(), metadata);
        match &entry.kind {
            EntryKind::Directory(id) => {
                self.dirs.begin_entry(parent);
                self.finished.directories += 1;
                let path = entry.path;
                self.dirs.found(*id, Some(parent), path.clone(), metadata);
                self.outbox.issue(TreeEffect::MakeDir { path }, Purpose::MakeDir(*id));
            }
            EntryKind::Symlink { target } if !self.options.links => {
                self.finished.skipped += 1;
                let (path, target) = (entry.path, target.clone());
                self.outbox.event(TreeEvent::LinkSkipped { path, target });
            }
            EntryKind::Symlink { target } => {
                self.dirs.begin_entry(parent);
                let if_exists = self.options.download.if_exists;
                let link = Small::link(parent, entry.path, target.clone(), if_exists);
                self.add_small(link, 0);
            }
            EntryKind::Other { codec } => {
                let (path, fault) = (entry.path, TreeFault::NotAFile(*codec));
                self.fail(InvalidTree { path, fault }.into());
            }
            EntryKind::File { size, block } => {
                let (cid, codec, data) = match (&entry.link, block) {
                    (Link::Inline { codec, data }, _) => (None, *codec, Some(data)),
                    (Link::Block(cid), block) => (Some(*cid), cid.codec(), block.as_ref()),
                };
                let leaf = data.map(|data| Self::leaf(codec, data, &self.options)).transpose();
                let bytes = match (leaf, cid, data) {
                    (Ok(bytes), ..) if bytes.as_ref().is_none_or(Option::is_some) => {
                        bytes.flatten()
                    }
                    (Ok(_), Some(cid), Some(block)) => {
                        let file = (cid, block.clone(), *size);
                        return self.begin_large(place, file).then_some(entry);
                    }
                    // What has more below it needs a CID of its own.
                    (Ok(_), ..) => return self.invalid(entry.path, cid, DagFault::LongInline),
                    (Err(reason), ..) => return self.invalid(entry.path, cid, reason),
                };
                self.dirs.begin_entry(parent);
                self.found += size;
                let charge = bytes.as_ref().map_or_else(|| estimate(*size), |it| it.len() as u64);
                let (parent, path, metadata) = place;
                let content = (cid, *size, bytes);
                self.add_small(Small::file(parent, path, content, metadata, !is_new), charge);
            }
        }
        None
    }

    /// The bytes of a file that is one leaf; `None` for one with more below it.
    fn leaf(codec: u64, block: &Bytes, options: &TreeOptions) -> Result<Option<Bytes>, DagFault> {
        let node = FileNode::decode(codec, block, options.download.bounds.links)?;
        Ok(node.is_leaf().then_some(node.data))
    }

    fn invalid(&mut self, path: TreePath, cid: Option<Cid>, reason: DagFault) -> Option<TreeEntry> {
        let fault = InvalidDag { cid: cid.unwrap_or_default(), reason }.into();
        self.fail(InvalidTree { path, fault }.into());
        None
    }

    pub(super) fn kept(&self, metadata: Metadata) -> Metadata {
        if self.options.metadata { metadata } else { Metadata::default() }
    }

    /// An entry of a directory is complete.
    pub(super) fn entry_complete(&mut self, parent: DirId) {
        let end = self.dirs.end_entry(parent);
        self.dir_may_end(parent, end);
    }

    /// A directory may lack nothing but its metadata.
    fn dir_may_end(&mut self, dir: DirId, end: Option<(TreePath, Metadata)>) {
        let Some((path, metadata)) = end else { return };
        if metadata.is_empty() {
            self.dir_complete(dir);
        } else {
            let effect = TreeEffect::SetMetadata { path, number: 0, metadata };
            self.outbox.issue(effect, Purpose::DirMetadata(dir));
        }
    }

    pub(super) fn dir_complete(&mut self, dir: DirId) {
        if let Some(parent) = self.dirs.complete(dir) {
            self.entry_complete(parent);
        }
    }

    pub(super) fn dir_failed(
        &mut self,
        dir: DirId,
        operation: TreeOperation,
        result: Result<Done, FsError>,
    ) {
        let path = self.dirs.path(dir).unwrap_or_else(TreePath::root);
        match result.err().unwrap_or(FsError::WRONG_ANSWER) {
            error if error.kind == FsErrorKind::Exists => self.fail(TreeError::Exists { path }),
            error => self.failed(path, operation, error),
        }
    }
}
