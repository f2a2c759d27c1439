//! What the bytes of a message mean, by prost and the `cid` crate: the same bytes are accepted, and
//! the same is seen in them, but for the rules by which our decoder is stricter.
//!
//! The stricter rules, each with its error:
//!
//! * an entry or presence must hold a CID: [`DecodeError::BadCid`];
//! * a payload must hold a prefix of four minimal varints: [`DecodeError::BadPrefix`];
//! * groups nest 64 deep at most, prost takes 100: [`DecodeError::Malformed`], and only with a run
//!   of group starts in the bytes.
//!
//! Ours is never laxer, up to the number of items that a message may hold.

use bitswap_core::error::DecodeError;
use bitswap_core::message::Decoded;
use bitswap_core::{Entry, Presence, WantKind};
use bytes::Bytes;
use cid::{Cid, CidGeneric};
use prost::Message as _;

/// What both decoders made of some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Outcome {
    BothAccept,
    BothRefuse,
    StricterRule,
    GroupsTooDeep,
}

/// The schema, declared by hand.
pub(crate) mod schema {
    use bytes::Bytes;

    #[derive(Clone, PartialEq, prost::Message)]
    pub(crate) struct Message {
        #[prost(message, optional, tag = "1")]
        pub(crate) wantlist: Option<Wantlist>,
        #[prost(bytes = "bytes", repeated, tag = "2")]
        pub(crate) blocks: Vec<Bytes>,
        #[prost(message, repeated, tag = "3")]
        pub(crate) payload: Vec<Block>,
        #[prost(message, repeated, tag = "4")]
        pub(crate) presences: Vec<Presence>,
        #[prost(int32, tag = "5")]
        pub(crate) pending_bytes: i32,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(crate) struct Wantlist {
        #[prost(message, repeated, tag = "1")]
        pub(crate) entries: Vec<Entry>,
        #[prost(bool, tag = "2")]
        pub(crate) full: bool,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(crate) struct Entry {
        #[prost(bytes = "bytes", tag = "1")]
        pub(crate) block: Bytes,
        #[prost(int32, tag = "2")]
        pub(crate) priority: i32,
        #[prost(bool, tag = "3")]
        pub(crate) cancel: bool,
        #[prost(int32, tag = "4")]
        pub(crate) want_type: i32,
        #[prost(bool, tag = "5")]
        pub(crate) send_dont_have: bool,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(crate) struct Block {
        #[prost(bytes = "bytes", tag = "1")]
        pub(crate) prefix: Bytes,
        #[prost(bytes = "bytes", tag = "2")]
        pub(crate) data: Bytes,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(crate) struct Presence {
        #[prost(bytes = "bytes", tag = "1")]
        pub(crate) cid: Bytes,
        #[prost(int32, tag = "2")]
        pub(crate) kind: i32,
    }
}

/// What prost's message says by the rules of the protocol, written as plainly as possible.
fn expected(message: schema::Message) -> Result<Decoded, Vec<DecodeError>> {
    let mut decoded = Decoded::default();
    let mut errors = Vec::new();
    let wantlist = message.wantlist.unwrap_or_default();
    decoded.message.wantlist.full = wantlist.full;
    decoded.message.pending_bytes = message.pending_bytes;
    let entries = &mut decoded.message.wantlist.entries;
    for entry in wantlist.entries {
        let kind = if entry.want_type == 1 { WantKind::Have } else { WantKind::Block };
        match cid(&entry.block) {
            Err(error) => errors.push(error),
            Ok(None) => decoded.ignored += 1,
            Ok(Some(cid)) => match entries.iter_mut().find(|other| other.cid == cid) {
                Some(other) => {
                    if other.kind == kind {
                        other.priority = entry.priority;
                    }
                    if kind == WantKind::Block {
                        other.kind = kind;
                    }
                    other.cancel |= entry.cancel;
                    other.send_dont_have |= entry.send_dont_have;
                }
                None => entries.push(Entry {
                    cid,
                    priority: entry.priority,
                    cancel: entry.cancel,
                    kind,
                    send_dont_have: entry.send_dont_have,
                }),
            },
        }
    }
    let presences = &mut decoded.message.presences;
    for presence in message.presences {
        match cid(&presence.cid) {
            Err(error) => errors.push(error),
            Ok(None) => decoded.ignored += 1,
            Ok(Some(_)) if !matches!(presence.kind, 0 | 1) => {}
            Ok(Some(cid)) => {
                let have = presence.kind == 0;
                match presences.iter_mut().find(|other| other.cid == cid) {
                    Some(other) => other.have = have,
                    None => presences.push(Presence { cid, have }),
                }
            }
        }
    }
    if message.payload.iter().any(|block| !is_prefix(&block.prefix)) {
        errors.push(DecodeError::BadPrefix);
    }
    if errors.is_empty() { Ok(decoded) } else { Err(errors) }
}

/// By the `cid` crate, with the checks that it leaves out: nothing after the end, nine bytes at
/// most for a number, and no CIDv0 but the bare multihash.
pub(crate) fn cid(bytes: &[u8]) -> Result<Option<Cid>, DecodeError> {
    let wide = CidGeneric::<255>::try_from(bytes).ok();
    let long = |number: u64| number >= 1 << 63;
    match wide {
        Some(wide) if long(wide.codec()) || long(wide.hash().code()) => Err(DecodeError::BadCid),
        Some(wide) if wide.to_bytes() == bytes => Ok(Cid::try_from(bytes).ok()),
        // The widest digest that the crate can hold at all is 255 bytes.
        None if digest_above_255(bytes) => Ok(None),
        _ => Err(DecodeError::BadCid),
    }
}

fn digest_above_255(bytes: &[u8]) -> bool {
    let mut rest = bytes;
    let mut numbers = [0; 4];
    for number in &mut numbers {
        let Ok((value, after)) = read_minimal(rest) else { return false };
        (*number, rest) = (value, after);
    }
    numbers[0] == 1 && numbers[3] > 255 && numbers[3] == rest.len() as u64
}

pub(crate) fn is_prefix(bytes: &[u8]) -> bool {
    let mut rest = bytes;
    for _ in 0..4 {
        let Ok((_, after)) = read_minimal(rest) else { return false };
        rest = after;
    }
    rest.is_empty()
}

fn read_minimal(bytes: &[u8]) -> Result<(u64, &[u8]), ()> {
    let len = 1 + bytes.iter().position(|byte| *byte < 0x80).ok_or(())?;
    let (varint, rest) = bytes.split_at(len);
    if len > 9 || (len > 1 && varint[len - 1] == 0) {
        return Err(());
    }
    Ok((varint.iter().rev().fold(0, |value, byte| value << 7 | u64::from(byte & 0x7f)), rest))
}

/// Whether the bytes could hold groups nested more than 64 deep.
fn has_deep_groups(bytes: &[u8]) -> bool {
    bytes.iter().filter(|byte| *byte & 7 == 3).count() > 64
}

/// Compares `decode` with prost on `bytes`; panics where they differ in more than the rules above.
pub(crate) fn compare(
    bytes: &[u8],
    decode: impl FnOnce(&Bytes) -> Result<Decoded, DecodeError>,
) -> Outcome {
    let frame = Bytes::copy_from_slice(bytes);
    let ours = decode(&frame);
    let Ok(theirs) = schema::Message::decode(&frame[..]) else {
        // A CID may be found broken before the bytes are.
        assert!(ours.is_err(), "accepted what prost refuses: {bytes:02x?}");
        return Outcome::BothRefuse;
    };
    let payloads: Vec<(Bytes, Bytes)> =
        theirs.payload.iter().map(|block| (block.prefix.clone(), block.data.clone())).collect();
    let bare = theirs.blocks.clone();
    match (ours, expected(theirs)) {
        (Ok(mut ours), Ok(theirs)) => {
            // Bare blocks and payloads may alternate; each kind keeps its order.
            let mut got = std::mem::take(&mut ours.payloads);
            let mut take = |prefix: &[u8], data: &Bytes| {
                let found = got.iter().position(|payload| {
                    payload.prefix.to_bytes() == prefix && payload.data == *data
                });
                got.remove(found.expect("a payload is missing"));
            };
            bare.iter().for_each(|data| take(&[0x00, 0x70, 0x12, 0x20], data));
            payloads.iter().for_each(|(prefix, data)| take(prefix, data));
            assert!(got.is_empty(), "payloads from nowhere: {bytes:02x?}");
            assert_eq!(ours, theirs, "{bytes:02x?}");
            Outcome::BothAccept
        }
        (Err(error), Err(errors)) if errors.contains(&error) => Outcome::StricterRule,
        (Err(DecodeError::Malformed), _) if has_deep_groups(bytes) => Outcome::GroupsTooDeep,
        (ours, theirs) => panic!("ours {ours:?}, by prost {theirs:?}: {bytes:02x?}"),
    }
}
