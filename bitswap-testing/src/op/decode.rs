//! Operations from the bytes of a fuzzer: four bytes each, so that inputs shrink and grow by whole
//! operations, and every input means something.

use alloc::vec::Vec;

use bitswap_core::error::{OpenError, SendError};
use bitswap_core::{PeerSet, ProtocolSupport, ProviderProgress, Rates, StreamKind, Version};

use super::{LoadOp, LoadPart, MessageOp, Op, ResponseOp, SessionOp, WantOp, WantedAs};

/// Peers that bytes name.
const PEERS: u8 = 4;

impl Op {
    /// Bytes of one operation.
    pub const LEN: usize = 4;
    /// The blocks that are in a set of eight bits: of all shapes, and small, since they are hashed often.
    pub const SMALL_BLOCKS: [u8; 8] = [3, 0, 1, 5, 6, 10, 2, 7];

    /// The blocks of a set.
    #[must_use]
    pub fn blocks(set: u8) -> Vec<u8> {
        let small = Self::SMALL_BLOCKS.iter().enumerate();
        small.filter(|(at, _)| set >> at & 1 == 1).map(|(_, block)| *block).collect()
    }

    /// The operations that an input spells. Outputs are drained after each, but for those that say
    /// otherwise.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Vec<Self> {
        let mut decoder = Decoder::default();
        for chunk in bytes.chunks(Self::LEN) {
            let mut op = [0; Self::LEN];
            op.iter_mut().zip(chunk).for_each(|(to, byte)| *to = *byte);
            decoder.read(op);
        }
        decoder.flush();
        decoder.ops
    }
}

#[derive(Default)]
struct Decoder {
    ops: Vec<Op>,
    /// A message that goes on with the next operation of the same peer.
    draft: Option<(u8, MessageOp)>,
}

impl Decoder {
    fn flush(&mut self) {
        if let Some((peer, message)) = self.draft.take() {
            self.ops.push(Op::Message(peer, message));
        }
    }

    /// Adds to a peer's message, and ends it unless there is more.
    fn message(&mut self, peer: u8, more: bool, add: impl FnOnce(&mut MessageOp)) {
        if self.draft.as_ref().is_some_and(|(other, _)| *other != peer) {
            self.flush();
        }
        add(&mut self.draft.get_or_insert_with(|| (peer, MessageOp::default())).1);
        if !more {
            self.flush();
        }
    }

    fn push(&mut self, ops: impl IntoIterator<Item = Op>) {
        self.flush();
        self.ops.extend(ops);
    }

    fn read(&mut self, [code, a, b, c]: [u8; Op::LEN]) {
        let peer = a % PEERS;
        let stream = if a & 4 == 0 { StreamKind::Requests } else { StreamKind::Responses };
        let bit = |at: u8| c >> at & 1 == 1;
        match code & 0x7f {
            0..=7 => {
                self.push(bit(0).then_some(Op::Remember(peer)));
                self.push([Op::Connect(peer, Version::V1_2)]);
            }
            8..=11 => self.push([Op::Disconnect(peer)]),
            12..=13 if bit(7) => self.push([Op::RoundTrip(peer, 10 << (b % 20))]),
            12..=13 => {
                let support = match b % 3 {
                    0 => ProtocolSupport::Yes,
                    1 => ProtocolSupport::No,
                    _ => ProtocolSupport::Unknown,
                };
                self.push([Op::Support(peer, support)]);
            }
            14..=25 => self.push([Op::Open(peer, stream, open(b))]),
            26..=37 => {
                let result = match b % 8 {
                    0 => Err(SendError::Closed),
                    1 => Err(SendError::Timeout),
                    _ => Ok(()),
                };
                self.push([Op::Sent(a, result)]);
            }
            38..=41 => self.push([Op::Reset(peer, stream)]),
            42..=55 => {
                let priority = match c >> 6 {
                    0 => 0,
                    1 => 1,
                    2 => i32::MAX,
                    _ => i32::MIN,
                };
                let (whole, cancel, dont_have) = (!bit(0), bit(1), bit(2));
                self.message(peer, bit(5), |message| {
                    message.full |= bit(3) && bit(4);
                    for block in Op::blocks(b) {
                        if message.entries.iter().all(|entry| entry.block != block) {
                            let entry = WantOp { block, priority, cancel, whole, dont_have };
                            message.entries.push(entry);
                        }
                    }
                });
            }
            56..=65 => self.message(peer, bit(5), |message| {
                respond(message, b, ResponseOp::Block);
            }),
            66..=75 => self.message(peer, bit(5), |message| {
                respond(message, b, if bit(0) { ResponseOp::Have } else { ResponseOp::DontHave });
            }),
            76..=83 => {
                let has = LoadOp::Has { blocks: Op::blocks(c), fails: a > 0x7f };
                self.push([Op::Loaded(a & 0x7f, has, LoadPart::Blocks(Op::blocks(b)))]);
            }
            84..=87 => {
                let progress =
                    if bit(0) { ProviderProgress::Partial } else { ProviderProgress::Final };
                self.push([Op::Found(a, peers(b), progress)]);
            }
            88..=91 => self.push([Op::Session(session(peers(b & 0x1e), c))]),
            92..=93 => self.push([Op::Close(a)]),
            94..=105 => {
                let wanted_as = WantedAs { priority: i32::from(c >> 1), sized: bit(0) };
                self.push([Op::Want(a, Op::blocks(b), wanted_as)]);
            }
            106..=109 => self.push([Op::Cancel(a, Op::blocks(b))]),
            110..=111 => self.push([Op::Release(a, Some(u64::from(b) << (c % 64)))]),
            112..=113 => self.push([Op::Store(Op::blocks(b))]),
            114 if a >= 0x80 => self.push([Op::SessionRate(a & 0x7f, rate(b))]),
            114 => {
                let (upload, download, download_per_peer) = (rate(b), rate(c), rate(a));
                let upload_per_peer = upload;
                self.push([Op::Rates(Rates {
                    upload,
                    upload_per_peer,
                    download,
                    download_per_peer,
                })]);
            }
            115..=118 => self.push([Op::Wait(u64::from(a) << (b % 40)), Op::Clock(0)]),
            119..=122 => self.push([Op::Deadline]),
            // Few, because nothing is wanted after it.
            123 if (a, b, c) == (0xff, 0xff, 0xff) => self.push([Op::Shutdown]),
            _ => self.push([Op::Settle(Op::blocks(b))]),
        }
        if code <= 0x7f {
            self.ops.push(Op::Drain);
        }
    }
}

/// Adds blocks, each once, to a message.
fn respond(message: &mut MessageOp, set: u8, how: impl Fn(u8) -> ResponseOp) {
    for block in Op::blocks(set) {
        let named = |item: &ResponseOp| match item {
            ResponseOp::Block(other) | ResponseOp::Altered(other) => *other == block,
            ResponseOp::Have(other) | ResponseOp::DontHave(other) => *other == block,
        };
        if !message.responses.iter().any(named) {
            message.responses.push(how(block));
        }
    }
}

fn peers(set: u8) -> Vec<u8> {
    (0..8).filter(|at| set >> at & 1 == 1).collect()
}

fn session(named: Vec<u8>, style: u8) -> SessionOp {
    SessionOp {
        peers: match named.is_empty() {
            true => PeerSet::Any,
            false if style & 32 != 0 => PeerSet::Prefer(named),
            false => PeerSet::Only(named),
        },
        fail: style & 4 != 0,
        timeout_ms: (style & 8 != 0).then_some(500),
        window_bytes: match style & 3 {
            0 => 32 << 20,
            1 => 0,
            2 => 1100,
            _ => 8000,
        },
        search: style & 16 == 0,
    }
}

fn open(choice: u8) -> Result<Version, OpenError> {
    match choice % 16 {
        0 => Err(OpenError::Unsupported),
        1 => Err(OpenError::Timeout),
        2 => Err(OpenError::Closed),
        3 => Ok(Version::Unversioned),
        4 => Ok(Version::V1_0),
        5 | 6 => Ok(Version::V1_1),
        _ => Ok(Version::V1_2),
    }
}

/// Bytes per second; 0 for no limit.
fn rate(choice: u8) -> Option<u64> {
    (choice > 0).then(|| u64::from(choice) << (choice % 16))
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    #[test]
    fn messages_of_several_operations_go_out_as_one_before_anything_else() {
        // Wants two blocks with more to come, a HAVE that ends the message; then a late disconnect.
        let bytes = [42, 1, 0b11, 0b10_0000, 66, 1, 0b100, 1, 0x80 | 8, 1, 0, 0];
        let entry =
            |block| WantOp { block, priority: 0, cancel: false, whole: true, dont_have: false };
        let message = MessageOp {
            entries: vec![entry(3), entry(0)],
            full: false,
            responses: vec![ResponseOp::Have(1)],
        };
        let ops = [Op::Drain, Op::Message(1, message), Op::Drain, Op::Disconnect(1)];
        assert_eq!(Op::decode(&bytes), ops);
    }

    #[test]
    fn every_input_means_something() {
        for code in 0..=255 {
            assert!(!Op::decode(&[code]).is_empty());
        }
    }
}
