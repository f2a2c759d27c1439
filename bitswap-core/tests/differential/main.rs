//! Our decoder against prost on damaged messages of real peers; `oracle` has the rules.

mod oracle;
#[path = "../random/mod.rs"]
mod random;

use std::fs;
use std::path::Path;

use bitswap_core::message::decode;
use bytes::Bytes;
use oracle::{Outcome, schema};
use prost::Message as _;
use random::Random;

fn compare(bytes: &[u8]) -> Outcome {
    oracle::compare(bytes, decode)
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
fn reshape(rng: &mut Random, bytes: &mut Vec<u8>) {
    let mut message = schema::Message::decode(&bytes[..]).unwrap();
    let scratch = |rng: &mut Random, bytes: &mut Bytes| {
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
fn damage(rng: &mut Random, bytes: &mut Vec<u8>, others: &[Vec<u8>]) {
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
    let mut rng = Random::new([9; 32]);
    let mut outcomes = std::collections::BTreeMap::<_, u32>::new();
    // Whole blocks only slow this down: the structure is in the small messages.
    let small: Vec<Vec<u8>> = vectors.iter().filter(|bytes| bytes.len() < 3000).cloned().collect();
    for bytes in &vectors {
        assert_eq!(compare(bytes), Outcome::BothAccept);
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
    for outcome in [Outcome::BothAccept, Outcome::BothRefuse, Outcome::StricterRule] {
        assert!(outcomes[&outcome] > 1000, "{outcomes:?}");
    }
}

#[test]
fn agrees_with_prost_on_nested_groups() {
    for depth in [1, 63, 64, 65, 99, 100, 101, 5000] {
        // Field 9 is unknown; its groups are stepped over.
        let bytes = [vec![0x4b; depth], vec![0x4c; depth]].concat();
        let outcome = compare(&bytes);
        let by_rule = match depth {
            ..=64 => Outcome::BothAccept,
            65..=100 => Outcome::GroupsTooDeep,
            _ => Outcome::BothRefuse,
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
        assert_eq!(compare(&message.encode_to_vec()), Outcome::BothAccept, "{len}");
    }
}
