//! From a message to the bytes on the wire.

use alloc::vec::Vec;

use bytes::Bytes;
use cid::Cid;
use quick_protobuf::sizeofs::sizeof_varint;
use quick_protobuf::{Result, Writer, WriterBackend};

use super::{Entry, Message, Presence, Version, WantKind};
use crate::block::Block;
use crate::prefix::Prefix;

/// The keys of all fields: number and wire type in a byte.
mod key {
    pub(super) const WANTLIST: u32 = 1 << 3 | 2;
    pub(super) const BLOCKS: u32 = 2 << 3 | 2;
    pub(super) const PAYLOAD: u32 = 3 << 3 | 2;
    pub(super) const PRESENCES: u32 = 4 << 3 | 2;
    pub(super) const PENDING_BYTES: u32 = 5 << 3;

    pub(super) const WANTLIST_ENTRIES: u32 = 1 << 3 | 2;
    pub(super) const WANTLIST_FULL: u32 = 2 << 3;

    pub(super) const ENTRY_CID: u32 = 1 << 3 | 2;
    pub(super) const ENTRY_PRIORITY: u32 = 2 << 3;
    pub(super) const ENTRY_CANCEL: u32 = 3 << 3;
    pub(super) const ENTRY_KIND: u32 = 4 << 3;
    pub(super) const ENTRY_SEND_DONT_HAVE: u32 = 5 << 3;

    pub(super) const PAYLOAD_PREFIX: u32 = 1 << 3 | 2;
    pub(super) const PAYLOAD_DATA: u32 = 2 << 3 | 2;

    pub(super) const PRESENCE_CID: u32 = 1 << 3 | 2;
    pub(super) const PRESENCE_KIND: u32 = 2 << 3;
}

/// A message ready to be written: its length prefix and body, in segments.
///
/// The data of a block is a segment of its own, the block's own [`Bytes`]; everything between is
/// written into one buffer, so a vectored write sends a block without a copy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frame {
    segments: Vec<Bytes>,
    len: usize,
    left_out: usize,
}

impl Frame {
    /// The segments in order; none is empty.
    #[must_use]
    pub fn segments(&self) -> &[Bytes] {
        &self.segments
    }

    /// The segments in order, taken.
    #[must_use]
    pub fn into_segments(self) -> Vec<Bytes> {
        self.segments
    }

    /// Bytes in all segments, the length prefix included. Never 0.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a frame has its length prefix at least")]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Blocks that the version cannot carry and that were left out (see [`Version::can_carry`]).
    #[must_use]
    pub const fn left_out(&self) -> usize {
        self.left_out
    }
}

impl Message {
    /// Encodes the message for a peer of this version.
    ///
    /// The wantlist is always written, also when it is empty: some peers fail without it. Blocks
    /// that the version cannot carry are left out and counted. Presences are written for 1.2.0
    /// only, pending bytes from 1.1.0 on. Entries are the same in all versions; want-haves are for
    /// 1.2.0 alone, and not to compose them for older peers is up to the sender.
    #[must_use]
    pub fn encode(&self, version: Version) -> Frame {
        let body_len = self.encoded_len(version);
        let len = sizeof_varint(body_len as u64) + body_len;
        let carried = || self.blocks.iter().filter(|block| version.can_carry(block.cid()));
        let data_len: usize = carried().map(|block| block.data().len()).sum();

        let mut out = Segments::with_capacity(len - data_len);
        // Writing into a buffer that grows cannot fail.
        let written = self.write(&mut out, version, body_len);
        debug_assert!(written.is_ok());
        let segments = out.finish();
        debug_assert_eq!(segments.iter().map(Bytes::len).sum::<usize>(), len);
        Frame { segments, len, left_out: self.blocks.len() - carried().count() }
    }

    fn write(&self, out: &mut Segments, version: Version, body_len: usize) -> Result<()> {
        let mut writer = Writer::new(&mut *out);
        writer.write_varint(body_len as u64)?;
        writer.write_tag(key::WANTLIST)?;
        writer.write_varint(self.wantlist_len() as u64)?;
        for entry in &self.wantlist.entries {
            entry.write(&mut writer)?;
        }
        if self.wantlist.full {
            write_flag(&mut writer, key::WANTLIST_FULL)?;
        }
        for block in &self.blocks {
            block.write(out, version)?;
        }
        let mut writer = Writer::new(out);
        if version.has_presence() {
            for presence in &self.presences {
                presence.write(&mut writer)?;
            }
        }
        if version.has_prefix() && self.pending_bytes != 0 {
            writer.write_tag(key::PENDING_BYTES)?;
            writer.write_int32(self.pending_bytes)?;
        }
        Ok(())
    }
}

impl Entry {
    fn write(&self, writer: &mut Writer<&mut Segments>) -> Result<()> {
        writer.write_tag(key::WANTLIST_ENTRIES)?;
        writer.write_varint(self.body_len() as u64)?;
        write_cid(writer, key::ENTRY_CID, &self.cid)?;
        if self.priority != 0 {
            writer.write_tag(key::ENTRY_PRIORITY)?;
            writer.write_int32(self.priority)?;
        }
        if self.cancel {
            write_flag(writer, key::ENTRY_CANCEL)?;
        }
        if self.kind == WantKind::Have {
            write_flag(writer, key::ENTRY_KIND)?;
        }
        if self.send_dont_have {
            write_flag(writer, key::ENTRY_SEND_DONT_HAVE)?;
        }
        Ok(())
    }
}

impl Presence {
    fn write(&self, writer: &mut Writer<&mut Segments>) -> Result<()> {
        writer.write_tag(key::PRESENCES)?;
        writer.write_varint(self.body_len() as u64)?;
        write_cid(writer, key::PRESENCE_CID, &self.cid)?;
        if self.have { Ok(()) } else { write_flag(writer, key::PRESENCE_KIND) }
    }
}

impl Block {
    fn write(&self, out: &mut Segments, version: Version) -> Result<()> {
        if !version.can_carry(self.cid()) {
            return Ok(());
        }
        let data = self.data();
        let mut writer = Writer::new(&mut *out);
        if version.has_prefix() {
            let prefix = Prefix::written(self.cid());
            writer.write_tag(key::PAYLOAD)?;
            writer.write_varint(self.payload_len() as u64)?;
            writer.write_tag(key::PAYLOAD_PREFIX)?;
            writer.write_varint(prefix.encoded_len() as u64)?;
            for number in
                [prefix.version(), prefix.codec(), prefix.hash_code(), prefix.digest_len()]
            {
                writer.write_varint(number)?;
            }
            if data.is_empty() {
                return Ok(());
            }
            writer.write_tag(key::PAYLOAD_DATA)?;
        } else {
            writer.write_tag(key::BLOCKS)?;
        }
        writer.write_varint(data.len() as u64)?;
        out.push(data);
        Ok(())
    }
}

/// A `bool` that is true or an enum that is 1.
fn write_flag(writer: &mut Writer<&mut Segments>, key: u32) -> Result<()> {
    writer.write_tag(key)?;
    writer.write_bool(true)
}

fn write_cid(writer: &mut Writer<&mut Segments>, key: u32, cid: &Cid) -> Result<()> {
    writer.write_tag(key)?;
    writer.write_varint(cid.encoded_len() as u64)?;
    let multihash = cid.hash();
    if cid.version() == cid::Version::V1 {
        writer.write_varint(1)?;
        writer.write_varint(cid.codec())?;
    }
    writer.write_varint(multihash.code())?;
    // A digest is written as protobuf writes bytes: its length, then itself.
    writer.write_bytes(multihash.digest())
}

/// What is being written: one buffer for all small parts, and where block data goes between.
struct Segments {
    small: Vec<u8>,
    data: Vec<(usize, Bytes)>,
}

impl Segments {
    fn with_capacity(small: usize) -> Self {
        Self { small: Vec::with_capacity(small), data: Vec::new() }
    }

    fn push(&mut self, data: &Bytes) {
        if !data.is_empty() {
            self.data.push((self.small.len(), data.clone()));
        }
    }

    fn finish(self) -> Vec<Bytes> {
        let mut small = Bytes::from(self.small);
        let mut segments = Vec::with_capacity(self.data.len() * 2 + 1);
        let mut cut = 0;
        for (at, data) in self.data {
            segments.push(small.split_to(at - cut));
            segments.push(data);
            cut = at;
        }
        if !small.is_empty() {
            segments.push(small);
        }
        segments
    }
}

impl WriterBackend for &mut Segments {
    fn pb_write_u8(&mut self, byte: u8) -> Result<()> {
        self.small.push(byte);
        Ok(())
    }

    fn pb_write_u32(&mut self, value: u32) -> Result<()> {
        self.pb_write_all(&value.to_le_bytes())
    }

    fn pb_write_i32(&mut self, value: i32) -> Result<()> {
        self.pb_write_all(&value.to_le_bytes())
    }

    fn pb_write_f32(&mut self, value: f32) -> Result<()> {
        self.pb_write_all(&value.to_le_bytes())
    }

    fn pb_write_u64(&mut self, value: u64) -> Result<()> {
        self.pb_write_all(&value.to_le_bytes())
    }

    fn pb_write_i64(&mut self, value: i64) -> Result<()> {
        self.pb_write_all(&value.to_le_bytes())
    }

    fn pb_write_f64(&mut self, value: f64) -> Result<()> {
        self.pb_write_all(&value.to_le_bytes())
    }

    fn pb_write_all(&mut self, bytes: &[u8]) -> Result<()> {
        self.small.extend_from_slice(bytes);
        Ok(())
    }
}
