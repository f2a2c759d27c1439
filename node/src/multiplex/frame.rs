//! The headers of yamux.

/// Bytes of a header.
pub(super) const HEADER: usize = 12;

pub(super) const DATA: u8 = 0;
pub(super) const WINDOW_UPDATE: u8 = 1;
pub(super) const SYN: u16 = 1;
pub(super) const ACK: u16 = 2;
pub(super) const FIN: u16 = 4;
pub(super) const RST: u16 = 8;

/// The header of a frame of version 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) tag: u8,
    pub(super) flags: u16,
    pub(super) id: u32,
    /// Bytes that follow, of data; bytes that are granted, of a window.
    pub(super) len: u32,
}

impl Header {
    pub(super) const fn parse(bytes: [u8; HEADER]) -> Self {
        let [_, tag, f0, f1, i0, i1, i2, i3, l0, l1, l2, l3] = bytes;
        Self {
            tag,
            flags: u16::from_be_bytes([f0, f1]),
            id: u32::from_be_bytes([i0, i1, i2, i3]),
            len: u32::from_be_bytes([l0, l1, l2, l3]),
        }
    }

    pub(super) const fn bytes(self) -> [u8; HEADER] {
        let Self { tag, flags, id, len } = self;
        let ([f0, f1], [i0, i1, i2, i3]) = (flags.to_be_bytes(), id.to_be_bytes());
        let [l0, l1, l2, l3] = len.to_be_bytes();
        [0, tag, f0, f1, i0, i1, i2, i3, l0, l1, l2, l3]
    }

    /// Bytes that follow it.
    pub(super) const fn body(self) -> usize {
        if self.tag == DATA { self.len as usize } else { 0 }
    }
}
