//! What a scripted peer does.

use std::time::Duration;

use crate::draw;
use crate::rng::Rng;

/// How a scripted peer answers, asks, and treats its connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerBehavior {
    /// As it should, from the blocks it has.
    Honest,
    /// Never.
    Silent,
    /// HAVE for everything, and nothing more.
    HaveThenSilent,
    /// HAVE and DONT_HAVE in turn, the second so much later and from then on with each answer; never a
    /// block. Without a pause both are in one message.
    Flapper(Duration),
    /// DONT_HAVE, and the block later, unasked.
    DontHaveThenBlock(Duration),
    /// HAVE at once, the block much later.
    FastHaveSlowBlock(Duration),
    /// Altered bytes.
    Corruptor,
    /// Every answer three times.
    Duplicator,
    /// Blocks that nobody asked for, with every answer.
    Spammer,
    /// Asks for everything there is, again and again, and never serves.
    Flooder,
    /// Wants and cancels the same blocks, over and over.
    Churner,

    // Those that follow were added for the worlds of attackers only: random worlds draw from the ones
    // above, and a seed should stay what it was.
    /// Blocks whose bytes or prefix are wrong on the wire.
    Mangler(Mangling),
    /// HAVE on one stream, DONT_HAVE on another, so much later, and on a third one now and then the
    /// block.
    Equivocator(Duration),
    /// HAVE with amounts of pending bytes that cannot be.
    PendingBytesLiar,

    /// Asks for what nobody has, as much as fits a message, and replaces it by the next lot.
    MadeUpWants,
    /// Asks for CIDs that are as equal as can be, to crowd one place of a hash table.
    HashCollider,
    /// Takes every block there is and serves none.
    FreeRider,
    /// Asks for the largest blocks again and again, and reads nothing.
    NeverReads,
    /// Asks for everything and reads so many bytes per second.
    SlowReader(u64),
    /// Gets small blocks for want-haves, which cost it less than they cost the server.
    SmallBlockAmplifier,
    /// The highest and lowest priorities there are, to push the wants of others aside.
    PriorityAbuser,
    /// Asks who has what, and takes it back.
    PresenceProber,
    /// Cancels that overtake their wants, and kinds of wants in the wrong order.
    Reorderer,

    /// CIDs of every malformed and oversized kind.
    CidBomb,
    /// Fields, groups and enums that the format does not know, and repeated ones, among real wants.
    UnknownFields,
    /// A length that does not end.
    EndlessVarint,
    /// Frames of 4 MiB that arrive a byte at a time, on many streams.
    Trickler,
    /// 4 MiB of blocks of one byte, of the costliest hashes.
    TinyBlocks,

    /// Negotiates another version for each stream, and answers as if it were the newest.
    Downgrader,
    /// Never negotiates a stream.
    NeverNegotiates,
    /// Opens connection after connection and lets the older ones die.
    ConnectionChurner,
    /// Leaves, and comes back as somebody else.
    IdentityChurner,
}

/// What is wrong with a block on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mangling {
    /// Its second half is missing.
    Truncated,
    /// A byte follows.
    Extended,
    /// The bytes of another block, which may be wanted too.
    Other,
    /// The prefix of another hash, which was never asked for.
    Prefix,
    /// The prefix is right and the bytes are withheld.
    Withheld,
}

/// Pauses that random worlds draw from: none, one that looks like latency, and long ones.
pub const PAUSES: [Duration; 5] = [
    Duration::ZERO,
    Duration::from_millis(1),
    Duration::from_millis(100),
    Duration::from_millis(700),
    Duration::from_secs(8),
];

impl PeerBehavior {
    /// Those that random worlds draw from.
    pub(crate) const BASIC: [Self; 11] = [
        Self::Honest,
        Self::Silent,
        Self::HaveThenSilent,
        Self::Flapper(Duration::from_millis(100)),
        Self::DontHaveThenBlock(Duration::from_millis(700)),
        Self::FastHaveSlowBlock(Duration::from_secs(8)),
        Self::Corruptor,
        Self::Duplicator,
        Self::Spammer,
        Self::Flooder,
        Self::Churner,
    ];

    /// Every kind of attacker.
    pub const ATTACKS: [Self; 35] = [
        Self::Silent,
        Self::HaveThenSilent,
        Self::Flapper(Duration::ZERO),
        Self::DontHaveThenBlock(Duration::from_millis(700)),
        Self::FastHaveSlowBlock(Duration::from_secs(8)),
        Self::Corruptor,
        Self::Duplicator,
        Self::Spammer,
        Self::Flooder,
        Self::Churner,
        Self::Mangler(Mangling::Truncated),
        Self::Mangler(Mangling::Extended),
        Self::Mangler(Mangling::Other),
        Self::Mangler(Mangling::Prefix),
        Self::Mangler(Mangling::Withheld),
        Self::Equivocator(Duration::ZERO),
        Self::PendingBytesLiar,
        Self::MadeUpWants,
        Self::HashCollider,
        Self::FreeRider,
        Self::NeverReads,
        Self::SlowReader(2048),
        Self::SmallBlockAmplifier,
        Self::PriorityAbuser,
        Self::PresenceProber,
        Self::Reorderer,
        Self::CidBomb,
        Self::UnknownFields,
        Self::EndlessVarint,
        Self::Trickler,
        Self::TinyBlocks,
        Self::Downgrader,
        Self::NeverNegotiates,
        Self::ConnectionChurner,
        Self::IdentityChurner,
    ];

    /// The same with another pause between what it says and does, where it makes one.
    #[must_use]
    pub const fn with_pause(self, pause: Duration) -> Self {
        match self {
            Self::Flapper(_) => Self::Flapper(pause),
            Self::DontHaveThenBlock(_) => Self::DontHaveThenBlock(pause),
            Self::FastHaveSlowBlock(_) => Self::FastHaveSlowBlock(pause),
            Self::Equivocator(_) => Self::Equivocator(pause),
            other => other,
        }
    }

    /// One of [`PeerBehavior::ATTACKS`] with drawn parameters.
    #[must_use]
    pub fn draw(rng: &mut Rng) -> Self {
        let kind = Self::ATTACKS[rng.below(Self::ATTACKS.len() as u64) as usize];
        let pause = PAUSES[rng.below(PAUSES.len() as u64) as usize];
        match kind {
            Self::SlowReader(_) => Self::SlowReader(draw::skewed(rng, 1024, 1 << 20)),
            other => other.with_pause(pause),
        }
    }

    /// What it is called on the command line: its name in this enum.
    #[must_use]
    pub fn name(self) -> String {
        let text = format!("{self:?}");
        match self {
            Self::Mangler(_) => text,
            _ => text.split('(').next().unwrap_or_default().to_owned(),
        }
    }

    /// Bytes per second that it reads; `None`: all that comes.
    #[must_use]
    pub const fn reads_per_second(self) -> Option<u64> {
        match self {
            Self::SlowReader(rate) => Some(rate),
            _ => None,
        }
    }

    /// Its answers to wants are the attack. All others answer as they are told to.
    pub(super) const fn is_in_answers(self) -> bool {
        matches!(
            self,
            Self::Honest
                | Self::Silent
                | Self::HaveThenSilent
                | Self::Flapper(_)
                | Self::DontHaveThenBlock(_)
                | Self::FastHaveSlowBlock(_)
                | Self::Corruptor
                | Self::Duplicator
                | Self::Spammer
                | Self::Mangler(_)
                | Self::Equivocator(_)
                | Self::PendingBytesLiar
        )
    }

    /// Turns that it takes on each victim, and the pause between two: enough to hurt, few enough to
    /// end.
    pub(super) const fn turns(self) -> (u32, Duration) {
        let (turns, ms) = match self {
            Self::Flooder | Self::Churner => (40, 50),
            // Thousands of entries each.
            Self::MadeUpWants | Self::HashCollider => (6, 500),
            Self::FreeRider | Self::SlowReader(_) => (5, 1000),
            Self::NeverReads | Self::PriorityAbuser => (20, 100),
            Self::SmallBlockAmplifier | Self::PresenceProber | Self::Reorderer => (30, 50),
            Self::CidBomb => (40, 50),
            Self::UnknownFields => (200, 20),
            Self::EndlessVarint | Self::Trickler => (100, 50),
            // Megabytes each.
            Self::TinyBlocks => (3, 300),
            Self::ConnectionChurner | Self::IdentityChurner => (100, 50),
            _ => (0, 0),
        };
        (turns, Duration::from_millis(ms))
    }
}
