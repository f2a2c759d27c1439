//! Messages of real peers: decoded to what they say, verified, and written again byte for byte.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use bitswap_core::message::{Decoded, decode};
use bitswap_core::{Message, Version, WantKind};
use bytes::Bytes;
use cid::Cid;
use multihash_codetable::{Code, MultihashDigest};
use serde_json::Value;

fn dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors")
}

fn json(name: &str) -> Value {
    serde_json::from_str(&fs::read_to_string(dir().join(name)).unwrap()).unwrap()
}

fn unhex(text: &str) -> Vec<u8> {
    let digit = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
    (0..text.len()).step_by(2).map(digit).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

struct Vector {
    name: String,
    version: Version,
    bytes: Bytes,
    said: Value,
}

fn vectors() -> Vec<Vector> {
    let mut files: BTreeMap<String, Vec<Bytes>> = BTreeMap::new();
    let vectors: Vec<Vector> = json("vectors.json")
        .as_array()
        .unwrap()
        .iter()
        .map(|vector| {
            let file = vector["file"].as_str().unwrap();
            let line = vector["line"].as_u64().unwrap() as usize;
            let lines = files.entry(file.into()).or_insert_with(|| {
                let text = fs::read_to_string(dir().join(file)).unwrap();
                text.lines().map(|line| Bytes::from(unhex(line))).collect()
            });
            let bytes = lines[line - 1].clone();
            assert_eq!(bytes.len() as u64, vector["length"].as_u64().unwrap());
            Vector {
                name: format!("{file} {line}"),
                version: vector["protocol"].as_str().unwrap().parse().unwrap(),
                bytes,
                said: vector["decoded"].clone(),
            }
        })
        .collect();
    let lines: usize = files.values().map(Vec::len).sum();
    assert_eq!((vectors.len(), lines), (232, 232), "each line of each file is described once");
    vectors
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn cid_of(value: &Value) -> Cid {
    let cid: Cid = value["cid"].as_str().unwrap().parse().unwrap();
    assert_eq!(hex(&cid.to_bytes()), value["hex"].as_str().unwrap());
    cid
}

/// Absent fields have protobuf's default value.
fn flag(value: &Value) -> bool {
    value.as_bool().unwrap_or(false)
}

fn check_data(data: &[u8], said: &Value, name: &str) {
    match said {
        Value::Null => assert!(data.is_empty(), "{name}"),
        Value::String(text) => assert_eq!(&hex(data), text, "{name}"),
        said => {
            assert_eq!(data.len() as u64, said["length"].as_u64().unwrap(), "{name}");
            let digest = Code::Sha2_256.digest(data);
            assert_eq!(hex(digest.digest()), said["sha256"].as_str().unwrap(), "{name}");
        }
    }
}

#[test]
fn decode_to_what_they_say() {
    for Vector { name, bytes, said, .. } in vectors() {
        let Decoded { message, payloads, ignored, skipped } = decode(&bytes).expect(&name);
        assert_eq!((ignored, skipped), (0, 0), "{name}");

        let mut wants: Vec<(Cid, &Value, bool)> = Vec::new();
        for said in list(&said["wantlist"]["entries"]) {
            let (cid, cancel) = (cid_of(&said["block"]), flag(&said["cancel"]));
            match wants.iter_mut().find(|(other, ..)| *other == cid) {
                // The one pair in the set: a want and its cancel in one message.
                Some((.., cancelled)) => *cancelled |= cancel,
                None => wants.push((cid, said, cancel)),
            }
        }
        assert_eq!(message.wantlist.entries.len(), wants.len(), "{name}");
        for (entry, (cid, said, cancel)) in message.wantlist.entries.iter().zip(wants) {
            let kind = match said["wantType"].as_str() {
                Some("Have") => WantKind::Have,
                Some("Block") | None => WantKind::Block,
                Some(other) => panic!("{name}: {other}"),
            };
            assert_eq!(entry.cid, cid, "{name}");
            assert_eq!(i64::from(entry.priority), said["priority"].as_i64().unwrap_or(0), "{name}");
            assert_eq!((entry.kind, entry.cancel), (kind, cancel), "{name}");
            assert_eq!(entry.send_dont_have, flag(&said["sendDontHave"]), "{name}");
        }
        assert_eq!(message.wantlist.full, flag(&said["wantlist"]["full"]), "{name}");

        let bare = list(&said["blocks"]).iter().map(|data| ("00701220", data));
        let prefixed = list(&said["payload"])
            .iter()
            .map(|payload| (payload["prefix"].as_str().unwrap(), &payload["data"]));
        let said_payloads: Vec<_> = bare.chain(prefixed).collect();
        assert_eq!(payloads.len(), said_payloads.len(), "{name}");
        for (payload, (prefix, data)) in payloads.iter().zip(said_payloads) {
            assert_eq!(hex(&payload.prefix.to_bytes()), prefix, "{name}");
            check_data(&payload.data, data, &name);
        }

        let presences = list(&said["blockPresences"]);
        assert_eq!(message.presences.len(), presences.len(), "{name}");
        for (presence, said) in message.presences.iter().zip(presences) {
            assert_eq!(presence.cid, cid_of(&said["cid"]), "{name}");
            assert_eq!(presence.have, said["type"] != "DontHave", "{name}");
        }
        let pending = said["pendingBytes"].as_i64().unwrap_or(0);
        assert_eq!(i64::from(message.pending_bytes), pending, "{name}");
    }
}

/// A verified block's CID is one that somebody asked for: real peers answer what they are asked.
#[test]
fn blocks_verify_to_the_cids_that_were_asked_for() {
    let vectors = vectors();
    let wanted: BTreeSet<Cid> = vectors
        .iter()
        .flat_map(|vector| decode(&vector.bytes).unwrap().message.wantlist.entries)
        .map(|entry| entry.cid)
        .collect();
    let (mut prefixes, mut blocks) = (BTreeSet::new(), 0);
    for Vector { name, version, bytes, .. } in &vectors {
        for payload in decode(bytes).unwrap().payloads {
            prefixes.insert(hex(&payload.prefix.to_bytes()));
            let block = payload.verify().expect(name);
            // Bytes without a prefix lose the codec that was asked for; the digest stays.
            let hash = block.cid().hash();
            let asked = match version.has_prefix() {
                true => wanted.contains(block.cid()),
                false => wanted.iter().any(|cid| cid.hash() == hash),
            };
            assert!(asked, "{name}: {}", block.cid());
            blocks += 1;
        }
    }
    assert_eq!(blocks, 110);
    let seen = [
        "00701220",
        "01551214",
        "01551220",
        "01551340",
        "0155a0e40220",
        "01701220",
        "01711220",
        "01a9021220",
    ];
    assert_eq!(prefixes.into_iter().collect::<Vec<_>>(), seen);
}

#[test]
fn write_the_same_bytes_where_the_choice_is_the_same() {
    let exceptions = json("not-reencoded.json");
    let mut reasons: BTreeMap<String, &str> = BTreeMap::new();
    for group in list(&exceptions) {
        for name in list(&group["messages"]) {
            let reason = group["reason"].as_str().unwrap();
            assert!(reasons.insert(name.as_str().unwrap().into(), reason).is_none());
        }
    }
    let mut others = Vec::new();
    for Vector { name, version, bytes, .. } in vectors() {
        let Decoded { mut message, payloads, .. } = decode(&bytes).unwrap();
        message.add_blocks(payloads.into_iter().map(|payload| payload.verify().unwrap()));
        let frame = message.encode(version);
        let written = frame.into_segments().concat();
        let body = &written[written.len() - message.encoded_len(version)..];
        if body == bytes {
            assert!(
                !reasons.contains_key(&name),
                "{name} is written the same and not an exception"
            );
        } else {
            others.push(name.clone());
            if !reasons.contains_key(&name) {
                println!("{name}\n  theirs {}\n  ours   {}", hex(&bytes), hex(body));
            }
        }
        // Written in another way, it says the same.
        let mut again: Message = decode(&Bytes::copy_from_slice(body)).unwrap().message;
        again.add_blocks(message.blocks.clone());
        if !version.has_presence() {
            message.presences.clear();
        }
        assert_eq!(again, message, "{name}");
    }
    let listed: Vec<&String> = reasons.keys().collect();
    others.sort();
    assert_eq!(others.iter().collect::<Vec<_>>(), listed);
    assert_eq!(listed.len(), 83);
}
