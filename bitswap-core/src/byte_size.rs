//! Numbers of bytes, as people read them.

use core::fmt;

/// A number of bytes that is displayed in a unit that fits: `1023 B`, `1.5 MiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct ByteSize(pub u64);

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
        if self.0 < 1024 {
            return write!(f, "{} B", self.0);
        }
        // Tenths, rounded down: what is free or fetched is never made more by its text.
        let (mut power, mut units) = (10, UNITS.iter());
        let mut unit = units.next();
        while self.0 >> power >= 1024 {
            power += 10;
            unit = units.next();
        }
        let tenths = (u128::from(self.0) * 10) >> power;
        write!(f, "{}.{} {}", tenths / 10, tenths % 10, unit.unwrap_or(&"B"))
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString as _;

    use super::*;

    #[test]
    fn sizes_are_short_and_never_rounded_up() {
        let sizes = [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            ((1 << 20) - 1, "1023.9 KiB"),
            (1 << 20, "1.0 MiB"),
            (3 << 29, "1.5 GiB"),
            (1 << 40, "1.0 TiB"),
            (u64::MAX, "15.9 EiB"),
        ];
        for (bytes, text) in sizes {
            assert_eq!(ByteSize(bytes).to_string(), text);
        }
    }
}
