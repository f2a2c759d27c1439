//! `message`: the decoder accepts, refuses and sees what prost does, but for a written list of
//! stricter rules; and what it accepts is written and read again.
//!
//! Input: the bytes of a message.

use bitswap_core::error::DecodeError;
use bitswap_core::message::{Decoded, decode};
use bitswap_core::{Message, Version};
use bytes::Bytes;

use crate::oracle::{self, Outcome};

/// Fewer bytes than 8192 items of the smallest kind: the limit on items is not met.
const BYTES_MAX: usize = 16_000;

/// Runs the target on our decoder.
pub fn run(data: &[u8]) {
    check(data, decode);
}

/// Runs the target on a decoder.
///
/// # Panics
///
/// When it differs from prost in more than the written rules, or reads what was written otherwise.
pub fn check(data: &[u8], decode: impl Fn(&Bytes) -> Result<Decoded, DecodeError>) {
    if data.len() > BYTES_MAX || oracle::compare(data, &decode) != Outcome::BothAccept {
        return;
    }
    let decoded = decode(&Bytes::copy_from_slice(data)).expect("it was accepted just now");
    let mut message = decoded.message;
    message.add_blocks(decoded.payloads.into_iter().filter_map(|payload| payload.verify().ok()));
    for version in Version::PREFERRED {
        check_written(&message, version, &decode);
    }
}

/// A message is as long as was said, and is read as it was written.
pub(crate) fn check_written(
    message: &Message,
    version: Version,
    decode: impl Fn(&Bytes) -> Result<Decoded, DecodeError>,
) {
    let frame = message.encode(version);
    let (len, left_out) = (frame.len(), frame.left_out());
    let mut wire = Bytes::from(frame.into_segments().concat());
    assert_eq!(wire.len(), len, "a frame is as long as it says");
    let body = wire.split_off(len - message.encoded_len(version));
    let prefix = (body.len() as u64).to_le_bytes();
    assert_eq!(leb128(&wire), prefix, "a frame begins with its length");

    let decoded = decode(&body).expect("what was written is read");
    let mut expected = message.clone();
    expected.blocks.retain(|block| version.can_carry(block.cid()));
    assert_eq!(left_out, message.blocks.len() - expected.blocks.len());
    if !version.has_presence() {
        expected.presences.clear();
    }
    if !version.has_prefix() {
        expected.pending_bytes = 0;
    }
    let blocks = decoded.payloads.into_iter().map(|payload| payload.verify().expect("its hash"));
    let mut read = decoded.message;
    read.blocks = blocks.collect();
    assert_eq!((decoded.ignored, decoded.skipped), (0, 0));
    assert_eq!(read, expected, "what was written is read the same, {version:?}");
}

fn leb128(bytes: &[u8]) -> [u8; 8] {
    bytes.iter().rev().fold(0u64, |sum, byte| sum << 7 | u64::from(byte & 0x7f)).to_le_bytes()
}
