use super::*;
use crate::message::{Version, Wantlist};
use alloc::vec;
use cid::multihash::Multihash;
use std::format;
use std::string::String;

const HELLO: &str = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";

fn hex(text: &str) -> Vec<u8> {
    let digit = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
    (0..text.len()).step_by(2).map(digit).collect()
}

fn hello() -> Cid {
    Cid::new_v1(0x55, Multihash::wrap(0x12, &hex(HELLO)).unwrap())
}

fn raw(codec: u64) -> Cid {
    Cid::new_v1(codec, *hello().hash())
}

fn hello_block(version: cid::Version) -> Block {
    let prefix = match version {
        cid::Version::V0 => Prefix::V0,
        cid::Version::V1 => Prefix::of(&hello()).unwrap(),
    };
    prefix.block(Bytes::from_static(b"hello")).unwrap()
}

fn decode_all(bytes: &[u8]) -> Result<Decoded, DecodeError> {
    decode(&Bytes::copy_from_slice(bytes))
}

/// Decodes, verifies and joins.
fn received(bytes: &[u8]) -> Message {
    let Decoded { mut message, payloads, ignored: 0, skipped: 0 } = decode_all(bytes).unwrap()
    else {
        panic!("something was left out")
    };
    message.add_blocks(payloads.into_iter().map(|payload| payload.verify().unwrap()));
    message
}

fn entries(entries: Vec<Entry>) -> Message {
    Message { wantlist: Wantlist { entries, full: false }, ..Message::default() }
}

/// A frame's known bytes, both ways.
#[track_caller]
fn golden(frame: &str, version: Version, message: &Message) {
    let frame = frame.replace("HELLO", HELLO).replace(' ', "");
    let encoded = message.encode(version).into_segments().concat();
    let written: String = encoded.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(written, frame);
    assert_eq!(&received(&encoded[1..]), message);
}

#[test]
fn golden_wants() {
    let want = |kind, priority, send_dont_have| {
        entries(vec![Entry::want(hello(), kind, priority, send_dont_have)])
    };
    golden(
        "340a320a300a2401551220 HELLO 10ffffffff07 2001 2801",
        Version::V1_2,
        &want(WantKind::Have, i32::MAX, true),
    );
    golden(
        "320a300a2e0a2401551220 HELLO 10feffffff07 2801",
        Version::V1_2,
        &want(WantKind::Block, i32::MAX - 1, true),
    );
    golden(
        "320a300a2e0a2401551220 HELLO 10ffffffff07 2001",
        Version::V1_2,
        &want(WantKind::Have, i32::MAX, false),
    );
    golden(
        "350a330a310a2401551220 HELLO 10ffffffffffffffffff01",
        Version::V1_0,
        &want(WantKind::Block, -1, false),
    );
    golden(
        "2c0a2a0a280a2401551220 HELLO 1801",
        Version::V1_2,
        &entries(vec![Entry::cancel(hello())]),
    );
    let full = Wantlist { entries: vec![], full: true };
    golden("040a021001", Version::V1_2, &Message { wantlist: full, ..Message::default() });
    golden("020a00", Version::V1_2, &Message::default());
}

#[test]
fn golden_answers() {
    let presence =
        |cid, have| Message { presences: vec![Presence { cid, have }], ..Message::default() };
    golden("2a0a0022260a2401551220 HELLO", Version::V1_2, &presence(hello(), true));
    golden("2c0a0022280a2401551220 HELLO 1001", Version::V1_2, &presence(hello(), false));
    let foobar = "c3ab8ff13720e8ad9047dd39466b3c8974e592c2fa383d4a3960714caef0c4f2";
    let foobar_v0 = Cid::new_v0(Multihash::wrap(0x12, &hex(foobar)).unwrap()).unwrap();
    let frame = ["280a0022240a221220", foobar].concat();
    golden(&frame, Version::V1_2, &presence(foobar_v0, true));

    let block = |version, pending_bytes| Message {
        blocks: vec![hello_block(version)],
        pending_bytes,
        ..Message::default()
    };
    let (v0, v1) = (cid::Version::V0, cid::Version::V1);
    golden("110a001a0d0a0401551220120568656c6c6f", Version::V1_2, &block(v1, 0));
    golden("140a001a0d0a0400701220120568656c6c6f288020", Version::V1_1, &block(v0, 4096));
    golden("090a00120568656c6c6f", Version::V1_0, &block(v0, 0));
    let empty = Prefix::of(&hello()).unwrap().block(Bytes::new()).unwrap();
    let empty = Message { blocks: vec![empty], ..Message::default() };
    golden("0a0a001a060a0401551220", Version::V1_2, &empty);
    let empty = Prefix::V0.block(Bytes::new()).unwrap();
    let empty = Message { blocks: vec![empty], ..Message::default() };
    golden("040a001200", Version::Unversioned, &empty);
}

#[test]
fn old_versions_leave_out_what_they_cannot_say() {
    let message = Message {
        blocks: vec![hello_block(cid::Version::V1), hello_block(cid::Version::V0)],
        presences: vec![Presence { cid: hello(), have: true }],
        pending_bytes: 7,
        ..Message::default()
    };
    for version in [Version::V1_0, Version::Unversioned] {
        let frame = message.encode(version);
        assert_eq!(frame.left_out(), 1);
        assert_eq!(frame.into_segments().concat(), hex("090a00120568656c6c6f"));
    }
    let sent = received(&message.encode(Version::V1_1).into_segments().concat()[1..]);
    assert_eq!(sent, Message { presences: vec![], ..message.clone() });
    assert_eq!(message.encode(Version::V1_2).left_out(), 0);
}

#[test]
fn every_field_may_be_absent() {
    assert_eq!(decode_all(&[]), Ok(Decoded::default()));
    assert_eq!(received(&hex("288020")).pending_bytes, 4096);
    let payload = hex("1a0d0a0401551220120568656c6c6f");
    assert_eq!(received(&payload).blocks, [hello_block(cid::Version::V1)]);
}

#[test]
fn what_is_unknown_is_stepped_over() {
    let wantlist = [&hex("3801 0a2b0a2401551220".replace(' ', "").as_str())[..], &hex(HELLO)[..]];
    let wantlist = [&wantlist.concat()[..], &hex("2007 3a01ff".replace(' ', "").as_str())].concat();
    let message = [&[0x32, 0x01, 0x00, 0x0a, wantlist.len() as u8][..], &wantlist].concat();
    let want = Entry::want(hello(), WantKind::Block, 0, false);
    assert_eq!(received(&message), entries(vec![want]));
    let presence = [&hex("22280a2401551220")[..], &hex(HELLO), &hex("1002")].concat();
    assert_eq!(received(&presence), Message::default());
}

#[test]
fn a_wantlist_in_pieces_is_one_wantlist() {
    let one = entries(vec![Entry::want(raw(1), WantKind::Block, 3, false)]);
    let mut two = entries(vec![Entry::cancel(raw(2))]);
    two.wantlist.full = true;
    let body =
        |message: &Message| message.encode(Version::V1_2).into_segments().concat()[1..].to_vec();
    let both = received(&[body(&one), body(&two), body(&Message::default())].concat());
    assert_eq!(both.wantlist.entries, [one.wantlist.entries, two.wantlist.entries].concat());
    assert!(both.wantlist.full);
}

#[test]
fn repeated_entries_collapse() {
    use WantKind::{Block as B, Have as H};
    let merged = |list: &[(WantKind, i32, bool, bool)]| {
        let entry = |&(kind, priority, cancel, send_dont_have)| Entry {
            cid: hello(),
            priority,
            cancel,
            kind,
            send_dont_have,
        };
        let mut all = vec![Entry::cancel(raw(9))];
        all.extend(list.iter().map(entry));
        all.push(Entry::cancel(raw(1)));
        let bytes = entries(all).encode(Version::V1_2).into_segments().concat();
        let start = if bytes[0] > 0x7f { 2 } else { 1 };
        let got = received(&bytes[start..]).wantlist.entries;
        let [first, entry, last] = &got[..] else { panic!("{got:?}") };
        assert_eq!((first.cid, last.cid), (raw(9), raw(1)), "the order stays");
        (entry.kind, entry.priority, entry.cancel, entry.send_dont_have)
    };
    assert_eq!(merged(&[(B, 1, false, false), (B, 2, false, false)]), (B, 2, false, false));
    assert_eq!(merged(&[(H, 1, false, false), (B, 2, false, false)]), (B, 1, false, false));
    assert_eq!(merged(&[(B, 1, false, false), (H, 2, false, false)]), (B, 1, false, false));
    assert_eq!(merged(&[(B, 1, true, false), (B, 2, false, true)]), (B, 2, true, true));
    assert_eq!(
        merged(&[
            (H, 1, false, true),
            (H, 5, false, false),
            (B, 2, true, false),
            (H, 9, false, false)
        ]),
        (B, 5, true, true)
    );
}

#[test]
fn the_last_presence_counts_and_a_block_outdoes_it() {
    let presence = |cid, have| Presence { cid, have };
    let block = hello_block(cid::Version::V1);
    let message = Message {
        presences: vec![
            presence(raw(1), true),
            presence(hello(), false),
            presence(raw(1), false),
            presence(raw(2), true),
        ],
        blocks: vec![block.clone(), block.clone()],
        ..Message::default()
    };
    let got = received(&message.encode(Version::V1_2).into_segments().concat()[2..]);
    assert_eq!(got.presences, [presence(raw(1), false), presence(raw(2), true)]);
    assert_eq!(got.blocks, [block]);
}

#[test]
fn a_cid_that_does_not_parse_breaks_the_message() {
    let entry = |cid: &[u8]| {
        let entry = [&[0x0a, cid.len() as u8][..], cid].concat();
        let wantlist = [&[0x0a, entry.len() as u8][..], &entry].concat();
        [&[0x0a, wantlist.len() as u8][..], &wantlist].concat()
    };
    let presence =
        |cid: &[u8]| [&[0x22, cid.len() as u8 + 2, 0x0a, cid.len() as u8][..], cid].concat();
    let whole = hello().to_bytes();
    let (cut, long) = (&whole[..35], [&whole[..], &[0]].concat());
    for bad in [&[][..], cut, &long, &[0x12, 0x20], b"not a cid"] {
        assert_eq!(decode_all(&entry(bad)), Err(DecodeError::BadCid), "{bad:?}");
        assert_eq!(decode_all(&presence(bad)), Err(DecodeError::BadCid), "{bad:?}");
    }
    assert_eq!(decode_all(&hex("0a020a00")), Err(DecodeError::BadCid));
    assert_eq!(decode_all(&hex("2200")), Err(DecodeError::BadCid));

    // Well formed, but more than a `Cid` holds: the other items are not affected.
    let oversize = [&[0x01, 0x55, 0x13, 70][..], &[8; 70]].concat();
    for item in [entry(&oversize), presence(&oversize)] {
        let decoded = decode_all(&[item, entry(&whole)].concat()).unwrap();
        assert_eq!(decoded.ignored, 1);
        assert_eq!(decoded.message.wantlist.entries.len(), 1);
        assert!(decoded.message.presences.is_empty());
    }
}

#[test]
fn a_prefix_that_does_not_parse_breaks_the_message_and_an_unknown_hash_its_payload() {
    let payload = |prefix: &[u8]| {
        [&[0x1a, prefix.len() as u8 + 4, 0x0a, prefix.len() as u8][..], prefix, &[0x12, 0]].concat()
    };
    for bad in [&[][..], &[1, 0x55, 0x12], &[1, 0x55, 0x12, 0x20, 0], &[0x81, 0, 0x55, 0x12, 32]] {
        assert_eq!(decode_all(&payload(bad)), Err(DecodeError::BadPrefix), "{bad:?}");
    }
    let decoded = decode_all(&payload(&[1, 0x55, 0x7f, 0x20])).unwrap();
    let error = decoded.payloads[0].clone().verify();
    assert_eq!(error, Err(PrefixError::UnknownHash(0x7f)));
}

#[test]
fn payloads_are_slices_of_the_frame() {
    let frame = Bytes::from(hex("0a001a0d0a0401551220120568656c6c6f120568656c6c6f"));
    let decoded = decode(&frame).unwrap();
    let starts: Vec<usize> = decoded
        .payloads
        .iter()
        .map(|payload| payload.data.as_ptr() as usize - frame.as_ptr() as usize)
        .collect();
    assert_eq!(starts, [12, 19]);
    assert_eq!(decoded.payloads[1].prefix, Prefix::V0);
    assert!(!format!("{:?}", decoded.payloads[0]).contains("hello"));
}

#[test]
fn block_data_is_not_copied_into_the_frame() {
    let block = Prefix::V0.block(Bytes::from(vec![7; 1000])).unwrap();
    let message = Message {
        blocks: vec![block.clone(), block.clone()],
        pending_bytes: 1,
        ..Message::default()
    };
    for version in Version::PREFERRED {
        let frame = message.encode(version);
        assert_eq!(frame.segments().iter().map(Bytes::len).sum::<usize>(), frame.len());
        for at in [1, 3] {
            assert_eq!(frame.segments()[at].as_ptr(), block.data().as_ptr());
        }
        assert_eq!(frame.segments().len(), if version.has_prefix() { 5 } else { 4 });
    }
}

#[test]
fn items_beyond_the_limit_are_stepped_over() {
    let extra = 10;
    let count = ITEMS_PER_MESSAGE_MAX + extra;
    let cid = |at: usize| raw(1000 + at as u64);
    let mut message = entries((0..count).map(|at| Entry::cancel(cid(at))).collect());
    message.presences = (0..count).map(|at| Presence { cid: cid(at), have: true }).collect();
    message.pending_bytes = 5;
    let frame = message.encode(Version::V1_2).into_segments().concat();
    // Beyond the limit not even the CIDs are looked at.
    let mut body = frame[3..].to_vec();
    body.extend(hex("0a020a002200"));
    for _ in 0..count {
        body.extend(hex("1200"));
    }
    let decoded = decode_all(&body).unwrap();
    assert_eq!(decoded.skipped as usize, 3 * extra + 2);
    assert_eq!(decoded.message.wantlist.entries, message.wantlist.entries[..ITEMS_PER_MESSAGE_MAX]);
    assert_eq!(decoded.message.presences, message.presences[..ITEMS_PER_MESSAGE_MAX]);
    assert_eq!(decoded.payloads.len(), ITEMS_PER_MESSAGE_MAX);
    assert_eq!(decoded.message.pending_bytes, 5);
}

#[test]
fn a_bound_on_answers_skips_presences_and_payloads_and_no_entries() {
    let mut message = entries((0..100).map(|at| Entry::cancel(raw(at))).collect());
    message.presences = (0..100).map(|at| Presence { cid: raw(at), have: true }).collect();
    let frame = message.encode(Version::V1_2).into_segments().concat();
    let header = frame.iter().take_while(|byte| **byte >= 0x80).count() + 1;
    let mut body = frame[header..].to_vec();
    let bare = hex("1200").repeat(50);
    let prefixed = hex("1a060a0401551220").repeat(50);
    body.extend([bare, prefixed].concat());
    for (max, kept) in [(0, 0), (7, 7), (60, 60), (usize::MAX, 100)] {
        let decoded = decode_answers(&Bytes::copy_from_slice(&body), max).unwrap();
        assert_eq!(decoded.message.wantlist, message.wantlist);
        assert_eq!(decoded.message.presences, message.presences[..kept]);
        assert_eq!(decoded.payloads.len(), kept);
        assert_eq!(decoded.skipped as usize, 200 - 2 * kept);
    }
}

#[test]
fn known_fields_of_another_wire_type_break_the_message() {
    for bad in ["0801", "1001", "1801", "2001", "2a00", "0a020801", "0a021200", "0b0c"] {
        assert_eq!(decode_all(&hex(bad)), Err(DecodeError::Malformed), "{bad}");
    }
}
