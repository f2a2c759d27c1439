//! From the bytes of a frame to a message: decoding untrusted input.
//!
//! A message is applied whole or not at all. What breaks the format (protobuf, a CID or a prefix
//! that does not parse) is an error and resets the stream. What is well formed but of no use to us
//! costs only itself:
//!
//! * unknown fields are stepped over; a presence of an unknown type is ignored; a want of an
//!   unknown type is a want for the block, which is how deployed servers take it;
//! * an entry or presence whose CID has a digest above 64 bytes, which [`Cid`] cannot hold, is
//!   ignored and counted;
//! * a payload is handed on with its prefix; whether its hash is known shows in
//!   [`Payload::verify`].

use alloc::vec::Vec;

use bytes::Bytes;
use cid::Cid;

use super::merge;
use super::{Entry, Message, Presence, WantKind};
use crate::block::Block;
use crate::error::{DecodeError, PrefixError};
use crate::limits::ITEMS_PER_MESSAGE_MAX;
use crate::prefix::{Prefix, parse_cid};
use crate::protobuf::LenientFields;

/// A decoded message whose blocks are yet to be verified.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decoded {
    /// The message without blocks; [`Message::add_blocks`] adds those that were verified.
    pub message: Message,
    /// The blocks as they came: bytes under a prefix, in the order of the message.
    pub payloads: Vec<Payload>,
    /// Entries and presences with a well-formed CID that [`Cid`] cannot hold. Nobody can serve
    /// them; they are not answered.
    pub ignored: u32,
    /// Entries, presences and payloads beyond [`ITEMS_PER_MESSAGE_MAX`] of their kind, or beyond what
    /// [`decode_answers`] was let. They were stepped over unread.
    pub skipped: u32,
}

/// The bytes of a block under a prefix, not hashed yet.
#[derive(Clone, PartialEq, Eq)]
pub struct Payload {
    /// The prefix of the block's CID.
    pub prefix: Prefix,
    /// The block's bytes, a slice of the frame: it keeps the whole frame in memory.
    pub data: Bytes,
}

impl Payload {
    /// Hashes the bytes into a block.
    ///
    /// # Errors
    ///
    /// When no block can be made under this prefix. That is this payload's matter alone: it is
    /// dropped and counted, its stream lives on.
    pub fn verify(self) -> Result<Block, PrefixError> {
        self.prefix.block(self.data)
    }
}

impl core::fmt::Debug for Payload {
    /// The prefix and the length; never the bytes, which are the user's.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Payload({:?}, {} B)", self.prefix, self.data.len())
    }
}

/// Decodes the bytes of one frame, without its length. Nothing is hashed and no block is copied.
///
/// Entries of one CID in one message collapse into one, and so do presences; they keep the order
/// of their first occurrence. Time and memory are linear in the frame, beyond it the memory of at
/// most [`ITEMS_PER_MESSAGE_MAX`] items of each kind.
///
/// # Errors
///
/// [`DecodeError::Malformed`], [`DecodeError::BadCid`] or [`DecodeError::BadPrefix`]: the stream
/// must be reset.
pub fn decode(frame: &Bytes) -> Result<Decoded, DecodeError> {
    decode_answers(frame, ITEMS_PER_MESSAGE_MAX)
}

/// The same, with at most so many presences and as many payloads; further ones are stepped over unread
/// and count as skipped. Stops who was asked for little from taking the memory of many answers.
///
/// # Errors
///
/// As [`decode`].
pub fn decode_answers(frame: &Bytes, answers_max: usize) -> Result<Decoded, DecodeError> {
    let answers_max = answers_max.min(ITEMS_PER_MESSAGE_MAX);
    let mut decoder = Decoder { out: Decoded::default(), entries: 0, presences: 0, answers_max };
    let mut fields = LenientFields::new(frame);
    while let Some((number, value)) = fields.next()? {
        match number {
            1 => decoder.wantlist(value.bytes()?)?,
            2 => decoder.bare_block(frame, value.bytes()?),
            3 => decoder.payload(frame, value.bytes()?)?,
            4 => decoder.presence(value.bytes()?)?,
            5 => decoder.out.message.pending_bytes = value.int32()?,
            _ => {}
        }
    }
    let mut decoded = decoder.out;
    merge::entries(&mut decoded.message.wantlist.entries);
    merge::presences(&mut decoded.message.presences);
    Ok(decoded)
}

struct Decoder {
    out: Decoded,
    entries: usize,
    presences: usize,
    answers_max: usize,
}

impl Decoder {
    fn wantlist(&mut self, bytes: &[u8]) -> Result<(), DecodeError> {
        let mut fields = LenientFields::new(bytes);
        while let Some((number, value)) = fields.next()? {
            match number {
                1 => self.entry(value.bytes()?)?,
                2 => self.out.message.wantlist.full = value.bool()?,
                _ => {}
            }
        }
        Ok(())
    }

    fn entry(&mut self, bytes: &[u8]) -> Result<(), DecodeError> {
        if self.is_full(self.entries, ITEMS_PER_MESSAGE_MAX) {
            return Ok(());
        }
        self.entries += 1;
        let (mut cid, mut priority, mut kind) = (&[][..], 0, 0);
        let (mut cancel, mut send_dont_have) = (false, false);
        let mut fields = LenientFields::new(bytes);
        while let Some((number, value)) = fields.next()? {
            match number {
                1 => cid = value.bytes()?,
                2 => priority = value.int32()?,
                3 => cancel = value.bool()?,
                4 => kind = value.int32()?,
                5 => send_dont_have = value.bool()?,
                _ => {}
            }
        }
        if let Some(cid) = self.cid(cid)? {
            let kind = if kind == 1 { WantKind::Have } else { WantKind::Block };
            let entry = Entry { cid, priority, cancel, kind, send_dont_have };
            self.out.message.wantlist.entries.push(entry);
        }
        Ok(())
    }

    /// A block of the oldest versions: bytes alone, always CIDv0.
    fn bare_block(&mut self, frame: &Bytes, data: &[u8]) {
        if !self.is_full(self.out.payloads.len(), self.answers_max) {
            let data = frame.slice_ref(data);
            self.out.payloads.push(Payload { prefix: Prefix::V0, data });
        }
    }

    fn payload(&mut self, frame: &Bytes, bytes: &[u8]) -> Result<(), DecodeError> {
        if self.is_full(self.out.payloads.len(), self.answers_max) {
            return Ok(());
        }
        let (mut prefix, mut data) = (&[][..], &[][..]);
        let mut fields = LenientFields::new(bytes);
        while let Some((number, value)) = fields.next()? {
            match number {
                1 => prefix = value.bytes()?,
                2 => data = value.bytes()?,
                _ => {}
            }
        }
        let prefix = Prefix::parse(prefix).map_err(|_| DecodeError::BadPrefix)?;
        self.out.payloads.push(Payload { prefix, data: frame.slice_ref(data) });
        Ok(())
    }

    fn presence(&mut self, bytes: &[u8]) -> Result<(), DecodeError> {
        if self.is_full(self.presences, self.answers_max) {
            return Ok(());
        }
        self.presences += 1;
        let (mut cid, mut kind) = (&[][..], 0);
        let mut fields = LenientFields::new(bytes);
        while let Some((number, value)) = fields.next()? {
            match number {
                1 => cid = value.bytes()?,
                2 => kind = value.int32()?,
                _ => {}
            }
        }
        if let (Some(cid), 0 | 1) = (self.cid(cid)?, kind) {
            self.out.message.presences.push(Presence { cid, have: kind == 0 });
        }
        Ok(())
    }

    fn cid(&mut self, bytes: &[u8]) -> Result<Option<Cid>, DecodeError> {
        let cid = parse_cid(bytes)?;
        self.out.ignored += u32::from(cid.is_none());
        Ok(cid)
    }

    /// Whether a kind of item has reached its limit; if so one more is counted as skipped.
    fn is_full(&mut self, items: usize, max: usize) -> bool {
        let full = items >= max;
        self.out.skipped += u32::from(full);
        full
    }
}

#[cfg(test)]
mod tests;
