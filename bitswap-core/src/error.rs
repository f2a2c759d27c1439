//! Errors by whose fault they are.
//!
//! * [`DecodeError`]: the bytes of one stream. The adapter resets that stream and nothing else.
//! * [`PrefixError`], [`BlockError`]: one payload. It is dropped and counted; the stream lives.
//! * [`WantError`], [`ConfigError`]: the caller. Nothing was changed.
//! * [`OpenError`], [`SendError`]: the transport, reported by the adapter.
//!
//! Invalid DAGs and failed downloads have their own types in [`crate::chunk`].

use core::fmt;
use core::ops::RangeInclusive;
use core::time::Duration;

use thiserror::Error;

use crate::byte_size::ByteSize;
use crate::protobuf::Malformed;

/// The bytes of a frame or message break the wire format: reset the stream they came on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub enum DecodeError {
    /// A length prefix longer than nine bytes or not in its shortest form.
    #[error("peer sent a length prefix that is not a minimal varint")]
    BadLength,
    /// A frame above the limit; nothing of it was buffered.
    #[error("peer announced a message of {announced} bytes, the limit is {limit}")]
    TooLarge {
        /// The length that the peer announced.
        announced: u64,
        /// The largest frame that is read.
        limit: u64,
    },
    /// The stream ended within a frame.
    #[error("peer closed its stream within a message")]
    Truncated,
    /// Not the protobuf of a Bitswap message.
    #[error("peer sent bytes that are not a Bitswap message")]
    Malformed,
    /// An entry or presence whose CID does not parse, or has bytes after its end.
    #[error("peer named something that is not a CID")]
    BadCid,
    /// A payload whose prefix does not parse.
    #[error("peer sent a payload whose prefix does not parse")]
    BadPrefix,
}

impl From<Malformed> for DecodeError {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}

/// A prefix from which no block can be built.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum PrefixError {
    /// A CID version other than 0 and 1, or a version 0 that is not sha2-256 dag-pb.
    #[error("CID version {0} does not fit the rest of the prefix")]
    Version(u64),
    /// A multihash code that is not in the table.
    #[error("multihash code {0:#x} is unknown or not allowed")]
    UnknownHash(u64),
    /// A digest cut below 20 bytes proves too little.
    #[error("a digest of {0} bytes is too short, at least 20 are needed")]
    ShortDigest(u64),
    /// A digest longer than the hash makes or than a CID can hold.
    #[error("a digest of {0} bytes is longer than its hash")]
    LongDigest(u64),
    /// The CID holds the data itself: there is nothing to fetch.
    #[error("an identity CID holds its data, take it from there")]
    Identity,
    /// Bytes after the end of the prefix, or too few, or a number that has no varint.
    #[error("the prefix is not four minimal varints")]
    Malformed,
}

/// Bytes that are not the block they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum BlockError {
    /// The bytes hash to another CID.
    #[error("the bytes do not hash to the CID")]
    Mismatch,
    /// The CID cannot be checked.
    #[error(transparent)]
    Prefix(#[from] PrefixError),
}

/// Why the transport could not open a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum OpenError {
    /// The peer speaks none of our protocols; it is not asked again until it shows otherwise.
    #[error("the peer does not speak Bitswap")]
    Unsupported,
    /// Negotiation took too long.
    #[error("opening a stream timed out")]
    Timeout,
    /// The connection failed or closed.
    #[error("the connection closed")]
    Closed,
}

/// Why a message was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum SendError {
    /// The stream or its connection closed.
    #[error("the stream closed")]
    Closed,
    /// The peer did not read for too long.
    #[error("the peer did not read in time")]
    Timeout,
}

/// A want that the engine refuses. Nothing of the call was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub enum WantError {
    /// The session does not exist or was closed.
    #[error("the session is closed")]
    NoSession,
    /// The engine is shutting down.
    #[error("the engine is shutting down")]
    ShuttingDown,
    /// More wants than [`crate::Limits::wants`]; wait until some end.
    #[error("more than {limit} wants at once")]
    TooMany {
        /// The limit that would be passed.
        limit: u32,
    },
    /// No peer can answer for this CID: identity (its bytes are in the CID), an unknown or
    /// forbidden hash, or a CID above 168 bytes.
    #[error("a CID that cannot be fetched: {0}")]
    Unfetchable(PrefixError),
}

/// A text that names nothing of its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
#[error("not the name of a {0}")]
pub struct UnknownName(pub(crate) &'static str);

/// A setting outside its bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
#[error("{setting} is {value}; it must be from {min} to {max}")]
pub struct ConfigError {
    setting: &'static str,
    value: Quantity,
    min: Quantity,
    max: Quantity,
}

impl ConfigError {
    /// Checks that a setting of this name is within its bounds: for settings of adapters too.
    ///
    /// # Errors
    ///
    /// When it is not.
    pub fn check<T>(setting: &'static str, value: T, bounds: RangeInclusive<T>) -> Result<(), Self>
    where
        T: PartialOrd + Into<Quantity>,
    {
        if bounds.contains(&value) {
            return Ok(());
        }
        let (min, max) = bounds.into_inner();
        Err(Self { setting, value: value.into(), min: min.into(), max: max.into() })
    }

    /// The setting's name.
    #[must_use]
    pub const fn setting(&self) -> &'static str {
        self.setting
    }

    /// What it was to be.
    #[must_use]
    pub const fn value(&self) -> Quantity {
        self.value
    }

    /// The smallest value allowed.
    #[must_use]
    pub const fn min(&self) -> Quantity {
        self.min
    }

    /// The largest value allowed.
    #[must_use]
    pub const fn max(&self) -> Quantity {
        self.max
    }
}

/// The value of a setting, or one of its bounds. It is displayed with its unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Quantity {
    /// A number of things.
    Count(u64),
    /// A number of bytes.
    Bytes(ByteSize),
    /// A time.
    Time(Duration),
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(count) => count.fmt(f),
            Self::Bytes(bytes) => bytes.fmt(f),
            Self::Time(time) => fmt::Debug::fmt(time, f),
        }
    }
}

impl From<u64> for Quantity {
    fn from(count: u64) -> Self {
        Self::Count(count)
    }
}

impl From<ByteSize> for Quantity {
    fn from(bytes: ByteSize) -> Self {
        Self::Bytes(bytes)
    }
}

impl From<Duration> for Quantity {
    fn from(time: Duration) -> Self {
        Self::Time(time)
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString as _;

    use super::*;

    #[test]
    fn a_setting_out_of_bounds_is_named_with_its_unit() {
        let ms = Duration::from_millis;
        let refused = ConfigError::check("stall_window", ms(5), ms(10)..=ms(600_000)).unwrap_err();
        assert_eq!(refused.to_string(), "stall_window is 5ms; it must be from 10ms to 600s");
        assert_eq!((refused.setting(), refused.min()), ("stall_window", Quantity::Time(ms(10))));
        let bytes = |bytes| ByteSize(bytes);
        let refused = ConfigError::check("block", bytes(5 << 20), bytes(1)..=bytes(4 << 20));
        let text = refused.unwrap_err().to_string();
        assert_eq!(text, "block is 5.0 MiB; it must be from 1 B to 4.0 MiB");
        let refused = ConfigError::check("peers", 0, 1..=7).unwrap_err();
        assert_eq!(refused.to_string(), "peers is 0; it must be from 1 to 7");
        assert_eq!(ConfigError::check("peers", 7, 1..=7), Ok(()));
    }
}
