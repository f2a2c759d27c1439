//! The exact size of everything that is written.
//!
//! A message is composed up to a limit by adding the sizes of its items to
//! [`Message::OVERHEAD_MAX`].

use cid::Cid;
use quick_protobuf::sizeofs::{sizeof_int32, sizeof_len};

use super::{Entry, Message, Presence, Version, WantKind};
use crate::block::Block;
use crate::prefix::Prefix;

/// A field's key: all of ours are numbered below 16.
const KEY: usize = 1;
/// A `bool` or enum field that is not left out.
const FLAG: usize = KEY + 1;

impl Message {
    /// A message without its items is at most this long (bytes): the wantlist's key and length, the
    /// `full` flag, and the pending bytes.
    pub const OVERHEAD_MAX: usize = KEY + 5 + FLAG + KEY + 10;

    /// The length of the encoded message, without its length prefix (bytes). This is what a limit
    /// on messages is about.
    #[must_use]
    pub fn encoded_len(&self, version: Version) -> usize {
        let mut len = KEY + sizeof_len(self.wantlist_len());
        len += self.blocks.iter().map(|block| block.encoded_len(version)).sum::<usize>();
        if version.has_presence() {
            len += self.presences.iter().map(Presence::encoded_len).sum::<usize>();
        }
        if version.has_prefix() && self.pending_bytes != 0 {
            len += KEY + sizeof_int32(self.pending_bytes);
        }
        len
    }

    pub(super) fn wantlist_len(&self) -> usize {
        let entries: usize = self.wantlist.entries.iter().map(Entry::encoded_len).sum();
        entries + if self.wantlist.full { FLAG } else { 0 }
    }
}

impl Entry {
    /// What the entry adds to a message, in any version (bytes).
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        KEY + sizeof_len(self.body_len())
    }

    pub(super) fn body_len(&self) -> usize {
        let flags = [self.cancel, self.kind == WantKind::Have, self.send_dont_have];
        let mut len = cid_field_len(&self.cid);
        len += flags.into_iter().filter(|flag| *flag).count() * FLAG;
        if self.priority != 0 {
            len += KEY + sizeof_int32(self.priority);
        }
        len
    }
}

impl Presence {
    /// What the presence adds to a message (bytes). Before 1.2.0 it is not written.
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        KEY + sizeof_len(self.body_len())
    }

    pub(super) fn body_len(&self) -> usize {
        cid_field_len(&self.cid) + if self.have { 0 } else { FLAG }
    }
}

impl Block {
    /// What the block adds to a message (bytes): 0 when that version cannot carry it.
    #[must_use]
    pub fn encoded_len(&self, version: Version) -> usize {
        if version.has_prefix() {
            KEY + sizeof_len(self.payload_len())
        } else if version.can_carry(self.cid()) {
            KEY + sizeof_len(self.data().len())
        } else {
            0
        }
    }

    /// The length of the block as a prefix with data.
    pub(super) fn payload_len(&self) -> usize {
        let prefix = KEY + sizeof_len(Prefix::written(self.cid()).encoded_len());
        let data = self.data().len();
        prefix + if data == 0 { 0 } else { KEY + sizeof_len(data) }
    }
}

impl Version {
    /// Whether a block of this CID can be sent. Before 1.1.0 the bytes travel alone and the
    /// receiver takes them for CIDv0.
    #[must_use]
    pub fn can_carry(self, cid: &Cid) -> bool {
        self.has_prefix() || cid.version() == cid::Version::V0
    }
}

fn cid_field_len(cid: &Cid) -> usize {
    KEY + sizeof_len(cid.encoded_len())
}
