//! The names of protocols that a peer proposes on its streams.
//!
//! Until both sides agree on a protocol, each message on a stream is a length and a name. The negotiation
//! makes room for a name as soon as its length is known, up to 16 KiB, and hundreds of streams may be
//! negotiated at once; so a length is looked at before the negotiation gets to know it.

use std::io;

/// The longest name that is read, in bytes. The longest one in use has less than a hundred.
const NAME_MAX: usize = 256;

/// Follows what is read from a stream of the peer, for as long as names are read. It is told apart by the
/// sizes of reads: a length is read byte by byte, and then exactly the name. Nothing that is spoken here
/// on streams of others begins with a read of a single byte.
#[derive(Clone, Copy, Debug)]
pub(super) enum Names {
    /// A length begins.
    Length,
    /// The second byte of a length follows these bits.
    More(usize),
    /// So many bytes of a name follow.
    Name(usize),
    /// Names are no longer read, or never were.
    Over,
}

impl Names {
    /// What was read into a buffer of some size, or that nothing was there.
    ///
    /// # Errors
    ///
    /// When the peer proposes a name that is too long.
    pub(super) fn read(&mut self, buffer: usize, read: &[u8]) -> io::Result<()> {
        let expected = match *self {
            Self::Length | Self::More(_) => 1,
            Self::Name(left) => left,
            Self::Over => return Ok(()),
        };
        if buffer != expected {
            *self = Self::Over;
        }
        let [first, ..] = *read else { return Ok(()) };
        let low = usize::from(first & 0x7f);
        *self = match *self {
            Self::Length if first & 0x80 != 0 => Self::More(low),
            Self::Length if low > 0 => Self::Name(low),
            Self::More(bits) if first & 0x80 == 0 => Self::Name(bits | low << 7),
            Self::Name(left) if read.len() < left => Self::Name(left - read.len()),
            Self::Length | Self::Name(_) => Self::Length,
            Self::More(_) | Self::Over => Self::Over,
        };
        if matches!(*self, Self::Name(bytes) if bytes > NAME_MAX) {
            let why = "the peer proposed a protocol with a name of more than 256 bytes";
            return Err(io::Error::new(io::ErrorKind::InvalidData, why));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads as the negotiation does: each byte of a length, then the name in pieces.
    fn negotiate(names: &mut Names, len: usize, piece: usize) -> io::Result<()> {
        let mut rest = len;
        loop {
            let more = rest > 0x7f;
            names.read(1, &[(rest & 0x7f) as u8 | u8::from(more) << 7])?;
            if !more {
                break;
            }
            rest >>= 7;
        }
        let mut left = len;
        while left > 0 {
            let read = piece.min(left);
            names.read(left, &vec![b'a'; read])?;
            left -= read;
        }
        Ok(())
    }

    #[test]
    fn names_up_to_256_bytes_are_read_and_longer_ones_are_refused_at_their_length() {
        for piece in [1, 7, 1000] {
            let mut names = Names::Length;
            for len in [19, 0, 1, 127, 128, 255, 256, 20] {
                negotiate(&mut names, len, piece).unwrap();
                assert!(matches!(names, Names::Length), "{names:?} after {len}");
            }
            for len in [257_u16, 300, 16_383] {
                let mut names = names;
                names.read(1, &[(len & 0x7f) as u8 | 0x80]).unwrap();
                let refused = names.read(1, &[(len >> 7) as u8]).unwrap_err();
                assert_eq!(refused.kind(), io::ErrorKind::InvalidData, "{len}");
            }
        }
    }

    #[test]
    fn what_follows_the_names_is_not_looked_at() {
        let mut names = Names::Length;
        negotiate(&mut names, 20, 20).unwrap();
        names.read(8192, &[0xff; 5]).unwrap();
        assert!(matches!(names, Names::Over));
        for byte in [0xff, 0x7f] {
            names.read(1, &[byte]).unwrap();
            assert!(matches!(names, Names::Over));
        }
        // Nor is anything before it comes.
        let mut names = Names::Length;
        names.read(8192, &[]).unwrap();
        assert!(matches!(names, Names::Over));
        // The end of a stream says nothing.
        let mut names = Names::More(1);
        names.read(1, &[]).unwrap();
        assert!(matches!(names, Names::More(1)));
    }
}
