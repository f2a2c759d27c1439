//! Our decoder against prost on damaged messages of real peers: both accept the same bytes and see
//! the same in them, but for the rules by which ours is stricter.
//!
//! The stricter rules, each with its error:
//!
//! * an entry or presence must hold a CID: [`DecodeError::BadCid`];
//! * a payload must hold a prefix of four minimal varints: [`DecodeError::BadPrefix`];
//! * groups nest 64 deep at most, prost takes 100: [`DecodeError::Malformed`], and only with a run
//!   of group starts in the bytes.
//!
//! Ours is never laxer, up to the number of items that a message may hold.

use std::fs;
use std::path::Path;

use bitswap_core::error::DecodeError;
use bitswap_core::message::{Decoded, decode};
use bitswap_core::{Entry, Presence, Rng, WantKind};
use bytes::Bytes;
use cid::{Cid, CidGeneric};
use prost::Message as _;

/// The schema, declared by hand.
mod schema {
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
fn cid(bytes: &[u8]) -> Result<Option<Cid>, DecodeError> {
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

fn is_prefix(bytes: &[u8]) -> bool {
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

fn compare(bytes: &[u8]) -> &'static str {
    let frame = Bytes::copy_from_slice(bytes);
    let ours = decode(&frame);
    let Ok(theirs) = schema::Message::decode(&frame[..]) else {
        // A CID may be found broken before the bytes are.
        assert!(ours.is_err(), "accepted what prost refuses: {bytes:02x?}");
        return "both refuse";
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
            "both accept"
        }
        (Err(error), Err(errors)) if errors.contains(&error) => "refused by a stricter rule",
        (Err(DecodeError::Malformed), _) if has_deep_groups(bytes) => "groups too deep",
        (ours, theirs) => panic!("ours {ours:?}, by prost {theirs:?}: {bytes:02x?}"),
    }
}

fn vectors() -> Vec<Vec<u8>> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors");
    let mut files: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|file| file.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "hex"))
        .collect();
    files.sort();
    let texts = files.into_iter().map(|path| fs::read_to_string(path).unwrap());
    let digit = |line: &str, at: usize| u8::from_str_radix(&line[at..at + 2], 16).unwrap();
    texts
        .flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>())
        .map(|line| (0..line.len()).step_by(2).map(|at| digit(&line, at)).collect())
        .collect()
}

/// Changes what a message says and leaves its protobuf whole.
fn reshape(rng: &mut Rng, bytes: &mut Vec<u8>) {
    let mut message = schema::Message::decode(&bytes[..]).unwrap();
    let scratch = |rng: &mut Rng, bytes: &mut Bytes| {
        let mut changed = bytes.to_vec();
        match rng.below(4) {
            0 => changed.push(0),
            1 => _ = changed.pop(),
            2 => changed.insert(0, 0x81),
            // Hardly a number in a CID or prefix keeps its meaning, most keep their form.
            _ => {
                let at = rng.below(changed.len() as u64) as usize;
                changed.get_mut(at).into_iter().for_each(|byte| *byte ^= 1 << rng.below(8));
            }
        }
        *bytes = changed.into();
    };
    let entries = &mut message.wantlist.get_or_insert_default().entries;
    for at in (0..entries.len()).take(8) {
        let mut entry = entries[at].clone();
        entry.priority = rng.next_u64() as i32;
        entry.want_type = rng.below(3) as i32;
        entry.cancel ^= rng.below(3) == 0;
        entry.send_dont_have ^= rng.below(2) == 0;
        if rng.below(16) == 0 {
            scratch(rng, &mut entry.block);
        }
        entries.push(entry);
    }
    for at in 0..message.presences.len() {
        let mut presence = message.presences[at].clone();
        presence.kind = rng.below(4) as i32 - 1;
        if rng.below(8) == 0 {
            scratch(rng, &mut presence.cid);
        }
        message.presences.push(presence);
    }
    for block in &mut message.payload {
        if rng.below(8) == 0 {
            scratch(rng, &mut block.prefix);
        }
    }
    *bytes = message.encode_to_vec();
}

/// Damages a message in up to three places. Most damage goes to its start, where the structure is.
fn damage(rng: &mut Rng, bytes: &mut Vec<u8>, others: &[Vec<u8>]) {
    /// Bytes that mean something: keys of all wire types, lengths, ends of varints.
    const TELLING: [u8; 16] = [
        0x00, 0x01, 0x02, 0x08, 0x0a, 0x0b, 0x0c, 0x10, 0x12, 0x18, 0x1a, 0x20, 0x22, 0x28, 0x7f,
        0xff,
    ];
    for _ in 0..=rng.below(3) {
        let reach = if rng.below(4) == 0 { bytes.len() } else { bytes.len().min(100) };
        let at = rng.below(reach as u64) as usize;
        let telling = TELLING[rng.below(16) as usize];
        match rng.below(8) {
            0 if at < bytes.len() => bytes[at] ^= 1 << rng.below(8),
            1 if at < bytes.len() => bytes[at] = telling,
            2 => bytes.insert(at, telling),
            3 if at < bytes.len() => _ = bytes.remove(at),
            4 => bytes.truncate(at),
            5 => bytes.insert(at, rng.next_u64() as u8),
            6 => {
                // One message after another is one message.
                let other = &others[rng.below(others.len() as u64) as usize];
                bytes.extend_from_slice(other);
            }
            _ => {
                let len = rng.below(40) as usize;
                let piece: Vec<u8> = bytes.iter().skip(at).take(len).copied().collect();
                let to = rng.below(bytes.len() as u64 + 1) as usize;
                bytes.splice(to..to, piece);
            }
        }
    }
}

#[test]
fn agrees_with_prost_on_changed_and_damaged_messages() {
    let vectors = vectors();
    let mut rng = Rng::new(&[9; 32], "damage");
    let mut outcomes = std::collections::BTreeMap::<_, u32>::new();
    // Whole blocks only slow this down: the structure is in the small messages.
    let small: Vec<Vec<u8>> = vectors.iter().filter(|bytes| bytes.len() < 3000).cloned().collect();
    for bytes in &vectors {
        assert_eq!(compare(bytes), "both accept");
    }
    for round in 0..200 {
        for bytes in &small {
            let mut bytes = bytes.clone();
            if round % 2 == 0 {
                reshape(&mut rng, &mut bytes);
            }
            if round % 4 != 0 {
                damage(&mut rng, &mut bytes, &small);
            }
            *outcomes.entry(compare(&bytes)).or_default() += 1;
        }
    }
    println!("{outcomes:?}");
    // Each outcome is met often enough to mean something.
    for outcome in ["both accept", "both refuse", "refused by a stricter rule"] {
        assert!(outcomes[outcome] > 1000, "{outcomes:?}");
    }
}

#[test]
fn agrees_with_prost_on_nested_groups() {
    for depth in [1, 63, 64, 65, 99, 100, 101, 5000] {
        // Field 9 is unknown; its groups are stepped over.
        let bytes = [vec![0x4b; depth], vec![0x4c; depth]].concat();
        let outcome = compare(&bytes);
        let by_rule = match depth {
            ..=64 => "both accept",
            65..=100 => "groups too deep",
            _ => "both refuse",
        };
        assert_eq!(outcome, by_rule, "{depth}");
    }
}

#[test]
fn agrees_with_prost_on_cids_of_any_size() {
    for len in [0, 20, 64, 65, 128, 129, 255, 256, 300] {
        let mut cid = vec![0x01, 0x55, 0x13];
        let mut number = len;
        while number > 0x7f {
            cid.push(number as u8 | 0x80);
            number >>= 7;
        }
        cid.push(number as u8);
        cid.extend(vec![7; len]);
        let presence = schema::Presence { cid: cid.into(), kind: 1 };
        let message = schema::Message { presences: vec![presence], ..Default::default() };
        assert_eq!(compare(&message.encode_to_vec()), "both accept", "{len}");
    }
}
