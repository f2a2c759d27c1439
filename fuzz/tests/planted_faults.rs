//! One fault for each target, each of a kind that was made before: the corpus finds it.
//!
//! A corpus that does not find its fault has lost its reach, whatever its size.

use std::collections::BTreeSet;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook};
use std::sync::Once;

use bitswap_core::chunk::{Contents, FileNode, Journal};
use bitswap_core::error::DecodeError;
use bitswap_core::message::{Decoded, FrameDecoder, decode};
use bitswap_core::{Block, Event, Output, Presence, SendId, cid_from_bytes};
use bitswap_fuzz::engine::Peer;
use bitswap_fuzz::frame::Frames;
use bitswap_fuzz::{
    dagpb_unixfs, engine_ops, frame, hostile_frames, journal, manifest, message, prefix_cid,
    roundtrip, seeds, two_engines,
};
use bitswap_testing::{Call, Interceptor};
use bytes::Bytes;
use multihash_codetable::{Code, MultihashDigest};

/// Whether an input of the corpus finds a fault.
fn finds(target: &str, run: impl Fn(&[u8])) -> bool {
    static QUIET: Once = Once::new();
    // Findings are what is wanted here; nobody needs to read them.
    QUIET.call_once(|| set_hook(Box::new(|_| {})));
    let files = fs::read_dir(seeds::corpus_dir(target)).expect("each target has a corpus");
    let mut files: Vec<_> = files.map(|file| file.expect("a file").path()).collect();
    files.sort();
    let finds = |input: &[u8]| catch_unwind(AssertUnwindSafe(|| run(input))).is_err();
    files.iter().any(|file| finds(&fs::read(file).expect("readable")))
}

/// Reserves what a peer announces.
struct Trusting(FrameDecoder, usize);

impl Frames for Trusting {
    fn new(limit: usize) -> Self {
        Self(FrameDecoder::new(limit), 0)
    }

    fn buffer_mut(&mut self) -> &mut [u8] {
        self.0.buffer_mut()
    }

    fn advance(&mut self, received: usize) {
        // Three bytes of a length of four announce 2 MiB and more.
        if self.0.buffer_mut().len() < 8192 - 3 {
            self.1 = 2 << 20;
        }
        self.0.advance(received);
    }

    fn next_frame(&mut self) -> Result<Option<Bytes>, DecodeError> {
        self.0.next_frame()
    }

    fn finish(&self) -> Result<(), DecodeError> {
        self.0.finish()
    }

    fn allocated(&self) -> usize {
        self.0.allocated() + self.1
    }
}

/// Loses the first byte of a read of one byte after a frame was taken.
struct Lossy(FrameDecoder, bool);

impl Frames for Lossy {
    fn new(limit: usize) -> Self {
        Self(FrameDecoder::new(limit), false)
    }

    fn buffer_mut(&mut self) -> &mut [u8] {
        self.0.buffer_mut()
    }

    fn advance(&mut self, received: usize) {
        let lost = std::mem::take(&mut self.1) && received == 1;
        self.0.advance(received - usize::from(lost));
    }

    fn next_frame(&mut self) -> Result<Option<Bytes>, DecodeError> {
        let frame = self.0.next_frame();
        self.1 |= matches!(frame, Ok(Some(_)));
        frame
    }

    fn finish(&self) -> Result<(), DecodeError> {
        self.0.finish()
    }

    fn allocated(&self) -> usize {
        self.0.allocated()
    }
}

#[test]
fn frame_finds_a_decoder_that_trusts_lengths_and_one_that_loses_a_byte_between_reads() {
    assert!(finds("frame", frame::check::<Trusting>));
    assert!(finds("frame", frame::check::<Lossy>));
    assert!(!finds("frame", frame::check::<FrameDecoder>));
}

/// Reads an absent want type as a want for the presence.
fn kind_mixed_up(frame: &Bytes) -> Result<Decoded, DecodeError> {
    let mut decoded = decode(frame)?;
    for entry in &mut decoded.message.wantlist.entries {
        if entry.priority < 0 {
            entry.kind = bitswap_core::WantKind::Have;
        }
    }
    Ok(decoded)
}

/// Lets a message pass whose CIDs do not parse, without them.
fn lenient(frame: &Bytes) -> Result<Decoded, DecodeError> {
    match decode(frame) {
        Err(DecodeError::BadCid) => Ok(Decoded::default()),
        other => other,
    }
}

#[test]
fn message_finds_a_wrong_value_and_a_wrong_acceptance() {
    assert!(finds("message", |data| message::check(data, kind_mixed_up)));
    assert!(finds("message", |data| message::check(data, lenient)));
    assert!(!finds("message", message::run));
}

/// Forgets presences of blocks that are absent.
fn only_haves(frame: &Bytes) -> Result<Decoded, DecodeError> {
    let mut decoded = decode(frame)?;
    decoded.message.presences.retain(|presence: &Presence| presence.have);
    Ok(decoded)
}

#[test]
fn roundtrip_finds_what_is_read_otherwise_than_written() {
    assert!(finds("roundtrip", |data| roundtrip::check(data, only_haves)));
    assert!(!finds("roundtrip", roundtrip::run));
}

#[test]
fn prefix_cid_finds_a_parser_that_takes_bytes_after_the_end() {
    let lax = |bytes: &[u8]| match cid::Cid::try_from(bytes) {
        Ok(cid) => Ok(cid),
        Err(_) => cid_from_bytes(bytes),
    };
    assert!(finds("prefix_cid", |data| prefix_cid::check(data, lax)));
    assert!(!finds("prefix_cid", prefix_cid::run));
}

/// A host that does not pass everything on.
#[derive(Default)]
struct Faulty {
    calls: u32,
    fault: Option<Fault>,
    seen: BTreeSet<SendId>,
}

#[derive(Clone, Copy, PartialEq)]
enum Fault {
    /// Blocks are not hashed.
    Unverified,
    /// Cancels are not passed on.
    DeafToCancels,
    /// Each delivery is reported twice.
    DoubleDelivery,
    /// A departure is not passed on.
    DeafToDepartures,
    /// A message that was never written counts as sent.
    LostSend,
    /// The hostile peer's wantlist counts as the honest peer's.
    MixedUpPeers,
}

impl Faulty {
    fn new(fault: Fault) -> Self {
        Self { fault: Some(fault), ..Self::default() }
    }

    fn has(&self, fault: Fault) -> bool {
        self.fault == Some(fault)
    }
}

impl Interceptor<Peer> for Faulty {
    fn call(&mut self, call: Call<Peer>) -> Option<Call<Peer>> {
        self.calls += 1;
        Some(match call {
            Call::HandleMessage { peer, mut message } if self.has(Fault::Unverified) => {
                for block in &mut message.blocks {
                    *block = Block::new_unchecked(*block.cid(), Bytes::from_static(b"other bytes"));
                }
                Call::HandleMessage { peer, message }
            }
            Call::Cancel { .. } if self.has(Fault::DeafToCancels) => return None,
            Call::HandleDisconnected { .. } if self.has(Fault::DeafToDepartures) => return None,
            Call::HandleMessage { peer: 2, message } if self.has(Fault::MixedUpPeers) => {
                Call::HandleMessage { peer: 1, message }
            }
            call => call,
        })
    }

    fn output(&mut self, output: Output<Peer>, passed: &mut Vec<Output<Peer>>) {
        match &output {
            Output::Event(Event::Block { .. }) if self.has(Fault::DoubleDelivery) => {
                passed.extend([output.clone(), output]);
            }
            Output::Send(sending) if self.has(Fault::LostSend) => {
                // Every other message is emptied on its way.
                let mut sending = sending.clone();
                if self.seen.insert(sending.id) && self.seen.len().is_multiple_of(2) {
                    sending.message.wantlist.entries.clear();
                }
                passed.push(Output::Send(sending));
            }
            _ => passed.push(output),
        }
    }
}

#[test]
fn engine_ops_finds_faults_around_the_engine() {
    for fault in
        [Fault::Unverified, Fault::DeafToCancels, Fault::DoubleDelivery, Fault::DeafToDepartures]
    {
        let run = |data: &[u8]| _ = engine_ops::check(data, &mut Faulty::new(fault));
        assert!(finds("engine_ops", run));
    }
    assert!(!finds("engine_ops", engine_ops::run));
}

#[test]
fn two_engines_find_faults_between_them() {
    for fault in [Fault::LostSend, Fault::DeafToDepartures, Fault::Unverified] {
        assert!(finds("two_engines", |data| two_engines::check(data, &mut Faulty::new(fault))));
    }
    assert!(!finds("two_engines", two_engines::run));
}

#[test]
fn hostile_frames_find_that_peers_are_mixed_up_or_never_leave() {
    for fault in [Fault::MixedUpPeers, Fault::DeafToDepartures] {
        let run = |data: &[u8]| hostile_frames::check(data, &mut Faulty::new(fault));
        assert!(finds("hostile_frames", run));
    }
    assert!(!finds("hostile_frames", hostile_frames::run));
}

#[test]
fn dagpb_unixfs_finds_lengths_that_are_not_checked() {
    let unchecked = |codec, block: &Bytes, links_max| {
        let mut node = FileNode::decode(codec, block, links_max)?;
        node.size = node.children.iter().map(|child| child.len).sum();
        Ok(node)
    };
    assert!(finds("dagpb_unixfs", |data| dagpb_unixfs::check(data, unchecked)));
    assert!(!finds("dagpb_unixfs", dagpb_unixfs::run));
}

#[test]
fn manifest_finds_lies_between_blocks_that_are_believed() {
    let run = |data: &[u8]| {
        manifest::check(data, |manifest, piece, node| {
            Ok(manifest.expand(piece, node).unwrap_or_else(|_| Contents::default()))
        });
    };
    assert!(finds("manifest", run));
    assert!(!finds("manifest", manifest::run));
}

#[test]
fn journal_finds_a_checksum_that_is_not_checked() {
    let unchecked = |bytes: &[u8], root: &cid::Cid, wanted: &std::ops::Range<u64>| {
        let body = bytes.get(..bytes.len().checked_sub(32)?)?;
        let checksum = Code::Sha2_256.digest(body);
        Journal::decode(&[body, checksum.digest()].concat(), root, wanted)
    };
    assert!(finds("journal", |data| journal::check(data, unchecked)));
    assert!(!finds("journal", journal::run));
}
