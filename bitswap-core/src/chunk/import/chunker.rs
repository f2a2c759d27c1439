//! Cutting a file into leaves.

use alloc::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use super::profile::Profile;
use crate::block::Block;

/// The range of a leaf in its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeafRange {
    /// The first byte's position in the file.
    pub offset: u64,
    /// How many bytes of the file the leaf holds.
    pub len: u64,
}

/// Cuts a file into chunks of the profile's length. Holds less than one chunk besides those ready.
#[derive(Clone, Debug)]
pub struct Chunker {
    profile: Profile,
    partial: BytesMut,
    ready: VecDeque<Chunk>,
    offset: u64,
}

impl Chunker {
    /// A chunker for one file.
    #[must_use]
    pub fn new(profile: Profile) -> Self {
        Self { profile, partial: BytesMut::new(), ready: VecDeque::new(), offset: 0 }
    }

    /// The next bytes of the file. A chunk within one call's bytes is a slice of them.
    pub fn write(&mut self, mut bytes: Bytes) {
        let chunk_len = self.profile.chunk_len();
        while !bytes.is_empty() {
            if self.partial.is_empty() && bytes.len() >= chunk_len {
                let data = bytes.split_to(chunk_len);
                self.cut(data);
                continue;
            }
            let take = bytes.len().min(chunk_len - self.partial.len());
            self.partial.extend_from_slice(&bytes.split_to(take));
            if self.partial.len() == chunk_len {
                let data = self.partial.split().freeze();
                self.cut(data);
            }
        }
    }

    /// The next whole chunk.
    pub fn poll_chunk(&mut self) -> Option<Chunk> {
        self.ready.pop_front()
    }

    /// The last, shorter chunk: once, when every chunk was polled and no byte follows. An empty
    /// file has one empty chunk. The chunker is then ready for another file.
    pub fn finish(&mut self) -> Option<Chunk> {
        if !self.partial.is_empty() || self.offset == 0 {
            let data = self.partial.split().freeze();
            self.cut(data);
        }
        self.offset = 0;
        self.ready.pop_front()
    }

    fn cut(&mut self, data: Bytes) {
        let offset = self.offset;
        self.offset += data.len() as u64;
        self.ready.push_back(Chunk { profile: self.profile, offset, data });
    }
}

/// A piece of a file that is not hashed yet.
#[derive(Clone, Debug)]
pub struct Chunk {
    profile: Profile,
    offset: u64,
    data: Bytes,
}

impl Chunk {
    /// The only chunk of an empty file.
    pub(super) const fn empty(profile: Profile) -> Self {
        Self { profile, offset: 0, data: Bytes::new() }
    }

    /// Makes the leaf: the expensive step, pure, for any core.
    #[must_use]
    pub fn hash(self) -> Leaf {
        let range = LeafRange { offset: self.offset, len: self.data.len() as u64 };
        let form = self.profile.leaf_form();
        Leaf { range, block: self.profile.block(Some(form), form.block(&self.data)) }
    }
}

/// A hashed leaf.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// Its range in the file.
    pub range: LeafRange,
    /// Its block.
    pub block: Block,
}
