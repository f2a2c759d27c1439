//! Operations on one engine, drawn by the property tests and decoded from bytes by the fuzzers.

use alloc::vec::Vec;

use bitswap_core::message::Version;
use bitswap_core::{ProtocolSupport, StreamKind};

/// One operation. Numbers name peers, sessions, blocks and outstanding requests of a
/// [`Harness`](super::Harness) and wrap around, so every value means something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// Nothing happens for so many microseconds. The engine is told only if it asked to be.
    Wait(u32),
    /// Time goes on to the engine's next deadline, which is handled.
    Deadline,
    /// An early or late call without a reason, so many microseconds before or after now.
    Clock(i32),
    /// Outputs are taken until there are none.
    Drain,
    /// One output is taken.
    Poll,
    /// A peer connects; its streams negotiate this version.
    Connect(u8, Version),
    /// A peer is gone.
    Disconnect(u8),
    /// What a peer supports becomes known.
    Support(u8, ProtocolSupport),
    /// An outstanding request for a stream is answered.
    Opened(u8, Opened),
    /// An outstanding message is answered: taken or failed.
    Sent(u8, bool),
    /// A stream was reset.
    Reset(u8, StreamKind),
    /// A peer changes or replaces its wantlist.
    Wantlist(u8, Vec<WantOp>, bool),
    /// A peer sends blocks, HAVEs and DONT_HAVEs.
    Answer(u8, Vec<AnswerOp>),
    /// An outstanding store lookup is answered, wholly or for its first CID only.
    Loaded(u8, LoadOp, bool),
    /// An outstanding provider search is answered by these peers; true: finally.
    Found(u8, Vec<u8>, bool),
    /// A session opens.
    Session(SessionOp),
    /// A session closes.
    Close(u8),
    /// A session wants blocks.
    Want(u8, Vec<u8>),
    /// A session cancels wants.
    Cancel(u8, Vec<u8>),
    /// A session's user has taken what was delivered.
    Taken(u8),
    /// Blocks come into the local store.
    Announce(Vec<u8>),
    /// Bandwidth limits change: bytes per second up and down.
    Rates(Option<u32>, Option<u32>),
    /// The engine is shut down.
    Shutdown,
}

/// How a request for a stream ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opened {
    /// The stream is open for the peer's version.
    Yes,
    /// The peer does not speak Bitswap.
    Unsupported,
    /// It failed for now.
    Failed,
}

/// An entry of a peer's wantlist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WantOp {
    /// The block.
    pub block: u8,
    /// Its priority.
    pub priority: i32,
    /// A cancel.
    pub cancel: bool,
    /// A want-block, else a want-have.
    pub whole: bool,
    /// DONT_HAVE is asked for.
    pub dont_have: bool,
}

/// One item of a peer's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerOp {
    /// The block.
    Block(u8),
    /// Altered bytes.
    Altered(u8),
    /// HAVE.
    Have(u8),
    /// DONT_HAVE.
    DontHave(u8),
}

/// What the store says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoadOp {
    /// The truth.
    True,
    /// It does not have the blocks, or refuses the peer.
    Absent,
    /// It fails.
    Failed,
    /// What was not asked for.
    Nonsense,
}

/// Options of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionOp {
    /// The only peers it may ask.
    pub only: Option<Vec<u8>>,
    /// Missing blocks fail.
    pub fail: bool,
    /// Milliseconds that a want may take.
    pub timeout_ms: Option<u16>,
    /// Its window.
    pub window_bytes: u32,
    /// Providers are looked for.
    pub search: bool,
}

impl Op {
    /// Operations from bytes: every input means something, and near inputs near things.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Vec<Self> {
        let mut source = Source { bytes };
        let mut ops = Vec::new();
        while !source.bytes.is_empty() {
            ops.push(source.op());
        }
        ops
    }
}

struct Source<'a> {
    bytes: &'a [u8],
}

impl Source<'_> {
    fn byte(&mut self) -> u8 {
        match self.bytes.split_first() {
            Some((first, rest)) => {
                self.bytes = rest;
                *first
            }
            None => 0,
        }
    }

    fn flag(&mut self) -> bool {
        self.byte() & 1 == 1
    }

    fn number(&mut self) -> u32 {
        // A power of two and a mantissa: small and large values from two bytes.
        let shift = self.byte() % 26;
        (u32::from(self.byte()) << shift) >> 2
    }

    fn list<T>(&mut self, mut item: impl FnMut(&mut Self) -> T) -> Vec<T> {
        let len = self.byte() % 8;
        (0..len).map(|_| item(self)).collect()
    }

    fn maybe<T>(&mut self, item: impl FnOnce(&mut Self) -> T) -> Option<T> {
        self.flag().then(|| item(self))
    }

    fn op(&mut self) -> Op {
        let stream = |flag| if flag { StreamKind::Requests } else { StreamKind::Responses };
        match self.byte() % 32 {
            0 => Op::Wait(self.number()),
            1 | 2 => Op::Deadline,
            3 => Op::Clock(self.number() as i32 - (1 << 20)),
            4 | 5 => Op::Drain,
            6 => Op::Poll,
            7 => {
                let version = Version::PREFERRED[usize::from(self.byte() % 4)];
                Op::Connect(self.byte(), version)
            }
            8 => Op::Connect(self.byte(), Version::V1_2),
            9 => Op::Disconnect(self.byte()),
            10 => {
                let kinds = [ProtocolSupport::Unknown, ProtocolSupport::No, ProtocolSupport::Yes];
                Op::Support(self.byte(), kinds[usize::from(self.byte() % 3)])
            }
            11 | 12 => {
                let opened = match self.byte() % 8 {
                    0 => Opened::Unsupported,
                    1 => Opened::Failed,
                    _ => Opened::Yes,
                };
                Op::Opened(self.byte(), opened)
            }
            13 | 14 => {
                let taken = !self.byte().is_multiple_of(8);
                Op::Sent(self.byte(), taken)
            }
            15 => Op::Reset(self.byte(), stream(self.flag())),
            16 | 17 => {
                let entries = self.list(Self::want);
                Op::Wantlist(self.byte(), entries, self.byte().is_multiple_of(8))
            }
            18..=20 => {
                let items = self.list(Self::answer);
                Op::Answer(self.byte(), items)
            }
            21 | 22 => {
                let answers = [
                    LoadOp::True,
                    LoadOp::True,
                    LoadOp::True,
                    LoadOp::True,
                    LoadOp::True,
                    LoadOp::Absent,
                    LoadOp::Failed,
                    LoadOp::Nonsense,
                ];
                let answer = answers[usize::from(self.byte() % 8)];
                Op::Loaded(self.byte(), answer, !self.byte().is_multiple_of(4))
            }
            23 => {
                let peers = self.list(Self::byte);
                Op::Found(self.byte(), peers, self.flag())
            }
            24 => Op::Session(SessionOp {
                only: self.maybe(|source| source.list(Self::byte)),
                fail: self.flag(),
                timeout_ms: self.maybe(|source| u16::from(source.byte()) * 64),
                window_bytes: self.number(),
                search: self.flag(),
            }),
            25 => Op::Close(self.byte()),
            26 | 27 => {
                let blocks = self.list(Self::byte);
                Op::Want(self.byte(), blocks)
            }
            28 => {
                let blocks = self.list(Self::byte);
                Op::Cancel(self.byte(), blocks)
            }
            29 => Op::Taken(self.byte()),
            30 => Op::Announce(self.list(Self::byte)),
            _ => match self.byte() {
                0 => Op::Shutdown,
                _ => Op::Rates(self.maybe(Self::number), self.maybe(Self::number)),
            },
        }
    }

    fn want(&mut self) -> WantOp {
        let flags = self.byte();
        WantOp {
            block: self.byte(),
            priority: i32::from(self.byte()).wrapping_sub(128).wrapping_mul(1 << 24),
            cancel: flags & 3 == 3,
            whole: flags & 4 == 4,
            dont_have: flags & 8 == 8,
        }
    }

    fn answer(&mut self) -> AnswerOp {
        let block = self.byte();
        match self.byte() % 8 {
            0 => AnswerOp::Altered(block),
            1..=3 => AnswerOp::Have(block),
            4 => AnswerOp::DontHave(block),
            _ => AnswerOp::Block(block),
        }
    }
}
