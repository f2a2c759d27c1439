//! What is written is read again, is as long as was said, and survives being cut: into frames,
//! into reads of any size, into messages below a limit.

use bitswap_core::message::{Decoded, FrameDecoder, decode};
use bitswap_core::{Block, Entry, Message, Prefix, Presence, Version, WantKind, Wantlist};
use bytes::Bytes;
use cid::Cid;
use cid::multihash::Multihash;
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::test_runner::contextualize_config;

fn cid() -> impl Strategy<Value = Cid> {
    let multihash = |hash, digest: &[u8]| Multihash::wrap(hash, digest).unwrap();
    let v1 = (0..1u64 << 63, 0..1u64 << 63, vec(any::<u8>(), 0..=64))
        .prop_map(move |(codec, hash, digest)| Cid::new_v1(codec, multihash(hash, &digest)));
    let usual = (prop_oneof![Just(0x55), Just(0x70)], any::<[u8; 32]>())
        .prop_map(move |(codec, digest)| Cid::new_v1(codec, multihash(0x12, &digest)));
    let v0 =
        any::<[u8; 32]>().prop_map(move |digest| Cid::new_v0(multihash(0x12, &digest)).unwrap());
    prop_oneof![v1, usual, v0]
}

fn entry() -> impl Strategy<Value = (i32, bool, bool, bool)> {
    let priority = prop_oneof![Just(0), Just(1), Just(i32::MAX), Just(i32::MIN), any::<i32>()];
    (priority, any::<bool>(), any::<bool>(), any::<bool>())
}

fn block() -> impl Strategy<Value = Block> {
    let prefixes = ["00701220", "01551220", "01701220", "0171a0e40220", "01551e20", "01551214"];
    let unhex = |text: &str| {
        let digit = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
        (0..text.len()).step_by(2).map(digit).collect::<Vec<u8>>()
    };
    let len = prop_oneof![0..300usize, 16_300..16_500usize];
    (0..prefixes.len(), len, any::<u8>()).prop_map(move |(prefix, len, seed)| {
        let prefix = Prefix::parse(&unhex(prefixes[prefix])).unwrap();
        prefix.block((0..len).map(|at| at as u8 ^ seed).collect()).unwrap()
    })
}

/// A message in which no CID is named twice in one list, as decoding would have it.
fn message() -> impl Strategy<Value = Message> {
    let key = |cid: Cid| (cid.to_bytes(), cid);
    let parts = (
        vec((cid(), entry()), 0..40),
        any::<bool>(),
        vec(block(), 0..8),
        btree_map(cid().prop_map(move |cid| key(cid).0), any::<bool>(), 0..40),
        prop_oneof![Just(0), any::<i32>()],
    );
    parts.prop_map(|(wants, full, mut blocks, presences, pending_bytes)| {
        let mut seen = std::collections::BTreeSet::new();
        let entries = wants
            .into_iter()
            .filter(|(cid, _)| seen.insert(*cid))
            .map(|(cid, (priority, cancel, block, send_dont_have))| {
                let kind = if block { WantKind::Block } else { WantKind::Have };
                Entry { cid, priority, cancel, kind, send_dont_have }
            })
            .collect();
        blocks.sort_by_key(|block| *block.cid());
        blocks.dedup_by_key(|block| *block.cid());
        let presences = presences
            .into_iter()
            .map(|(cid, have)| Presence { cid: Cid::try_from(cid).unwrap(), have })
            .collect();
        Message { wantlist: Wantlist { entries, full }, blocks, presences, pending_bytes }
    })
}

fn version() -> impl Strategy<Value = Version> {
    (0..4usize).prop_map(|at| Version::PREFERRED[at])
}

/// What of a message can be said in this version.
fn sayable(mut message: Message, version: Version) -> Message {
    message.blocks.retain(|block| version.can_carry(block.cid()));
    if !version.has_presence() {
        message.presences.clear();
    }
    if !version.has_prefix() {
        message.pending_bytes = 0;
    }
    message
}

fn read(frame: &Bytes) -> Message {
    let decoded = decode(frame).unwrap();
    let Decoded { mut message, payloads, ignored: 0, skipped: 0 } = decoded else {
        panic!("something was left out: {decoded:?}")
    };
    message.add_blocks(payloads.into_iter().map(|payload| payload.verify().unwrap()));
    message
}

/// Frames of a stream that arrives in pieces of these sizes.
fn frames(stream: &[u8], sizes: &[usize]) -> Vec<Bytes> {
    let mut decoder = FrameDecoder::default();
    let (mut rest, mut sizes, mut out) = (stream, sizes.iter().cycle(), Vec::new());
    loop {
        while let Some(frame) = decoder.next_frame().unwrap() {
            out.push(frame);
        }
        if rest.is_empty() {
            decoder.finish().unwrap();
            return out;
        }
        let buffer = decoder.buffer_mut();
        let size = (*sizes.next().unwrap()).min(rest.len()).min(buffer.len());
        buffer[..size].copy_from_slice(&rest[..size]);
        decoder.advance(size);
        rest = &rest[size..];
    }
}

proptest! {
    #![proptest_config(contextualize_config(ProptestConfig::with_cases(256)))]

    #[test]
    fn a_message_is_read_as_it_was_written(message in message(), version in version()) {
        let frame = message.encode(version);
        prop_assert!(frame.segments().iter().all(|segment| !segment.is_empty()));
        let (len, left_out) = (frame.len(), frame.left_out());
        let stream = frame.into_segments().concat();
        prop_assert_eq!(stream.len(), len);
        let sayable = sayable(message.clone(), version);
        prop_assert_eq!(left_out, message.blocks.len() - sayable.blocks.len());

        let frames = frames(&stream, &[usize::MAX]);
        prop_assert_eq!(frames.len(), 1);
        prop_assert_eq!(frames[0].len(), message.encoded_len(version));
        let mut read = read(&frames[0]);
        read.blocks.sort_by_key(|block| *block.cid());
        // A presence of a CID whose block is there gives way; the random CIDs never meet.
        prop_assert_eq!(read, sayable);
    }

    #[test]
    fn items_and_overhead_bound_the_message(message in message(), version in version()) {
        let mut items: usize = message.wantlist.entries.iter().map(Entry::encoded_len).sum();
        items += message.blocks.iter().map(|block| block.encoded_len(version)).sum::<usize>();
        if version.has_presence() {
            items += message.presences.iter().map(Presence::encoded_len).sum::<usize>();
        }
        let len = message.encoded_len(version);
        prop_assert!(items < len && len <= items + Message::OVERHEAD_MAX);
    }

    #[test]
    fn parts_fit_and_say_the_same(message in message(), version in version(), limit in 100..9000usize) {
        let parts = message.clone().split(version, limit);
        let mut joined = Message::default();
        for (at, part) in parts.iter().enumerate() {
            let items = part.wantlist.entries.len() + part.blocks.len() + part.presences.len();
            prop_assert!(part.encoded_len(version) <= limit || items == 1, "part {at}");
            prop_assert_eq!(part.wantlist.full, message.wantlist.full && at == 0);
            prop_assert!(items > 0 || parts.len() == 1);
            joined.wantlist.entries.extend(part.wantlist.entries.iter().cloned());
            joined.blocks.extend(part.blocks.iter().cloned());
            joined.presences.extend(part.presences.iter().cloned());
            joined.pending_bytes = part.pending_bytes;
        }
        joined.wantlist.full = message.wantlist.full;
        prop_assert_eq!(joined, message);
    }

    #[test]
    fn a_stream_cut_anywhere_gives_the_same_frames(
        lens in vec(prop_oneof![0..300usize, 8_100..8_300usize, 60_000..140_000usize], 0..6),
        sizes in vec(prop_oneof![1..50usize, 1000..70_000usize], 1..20),
    ) {
        let body = |len: usize| (0..len).map(|at| (at * 7 + len) as u8).collect::<Vec<u8>>();
        let mut stream = Vec::new();
        for len in &lens {
            let mut number = *len;
            while number > 0x7f {
                stream.push(number as u8 | 0x80);
                number >>= 7;
            }
            stream.push(number as u8);
            stream.extend(body(*len));
        }
        let got = frames(&stream, &sizes);
        prop_assert_eq!(got, lens.into_iter().map(body).collect::<Vec<_>>());
    }

    #[test]
    fn no_bytes_make_the_decoders_panic(bytes in vec(any::<u8>(), 0..200)) {
        let frame = Bytes::from(bytes);
        let _ = decode(&frame);
        let _ = Prefix::parse(&frame).map(|prefix| prefix.block(frame.clone()));
        let _ = bitswap_core::cid_from_bytes(&frame);
    }
}

/// A full wantlist without entries still has to be said.
#[test]
fn an_empty_message_is_one_part() {
    for full in [false, true] {
        let wantlist = Wantlist { entries: Vec::new(), full };
        let message = Message { wantlist, ..Message::default() };
        assert_eq!(message.clone().split(Version::V1_2, 0), [message]);
    }
}
