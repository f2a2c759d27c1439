//! Writes protobuf by hand: what the codec of the engine would never write.

use bytes::Bytes;

/// Bytes of a message or of a part of one.
#[derive(Clone, Debug, Default)]
pub(super) struct Wire(pub(super) Vec<u8>);

/// Numbers of the fields, as in the schema.
pub(super) mod field {
    pub(in super::super) const WANTLIST: u64 = 1;
    pub(in super::super) const PAYLOAD: u64 = 3;
    pub(in super::super) const PRESENCE: u64 = 4;
    pub(in super::super) const PENDING_BYTES: u64 = 5;
    pub(in super::super) const ENTRY: u64 = 1;
    pub(in super::super) const FULL: u64 = 2;
    pub(in super::super) const CID: u64 = 1;
    pub(in super::super) const KIND: u64 = 4;
    pub(in super::super) const SEND_DONT_HAVE: u64 = 5;
    pub(in super::super) const PREFIX: u64 = 1;
    pub(in super::super) const DATA: u64 = 2;
}

impl Wire {
    pub(super) fn varint(mut self, mut value: u64) -> Self {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
        self
    }

    /// A field of bytes.
    pub(super) fn bytes(self, number: u64, bytes: &[u8]) -> Self {
        self.varint(number << 3 | 2).varint(bytes.len() as u64).raw(bytes)
    }

    /// A field that is a message of its own.
    pub(super) fn nested(self, number: u64, inner: &Self) -> Self {
        self.bytes(number, &inner.0)
    }

    /// A field that is a number.
    pub(super) fn number(self, number: u64, value: u64) -> Self {
        self.varint(number << 3).varint(value)
    }

    pub(super) fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    /// With its length in front, as it goes on a stream.
    pub(super) fn frame(self) -> Bytes {
        Self::default().varint(self.0.len() as u64).raw(&self.0).0.into()
    }
}
