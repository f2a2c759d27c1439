//! The key of a private network.

use std::fmt;

use cid::multibase::Base;
use libp2p::pnet::PreSharedKey;
use thiserror::Error;

/// The key of a private network: peers with another key, or none, cannot connect, and learn nothing.
///
/// It is what Kubo has in `swarm.key`, and what libp2p's private networks use (pnet): everything on a TCP
/// connection is encrypted with it, below the encryption between the two peers. A node with a key has no
/// QUIC.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SwarmKey(PreSharedKey);

/// Why a file holds no key of a private network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SwarmKeyError {
    /// It begins otherwise.
    #[error("its first line is not {FIRST}: it is no key of a private network")]
    Kind,
    /// The second line names none that is known.
    #[error("its second line is none of /base16/, /base64/ and /bin/")]
    Encoding,
    /// There is no key after the second line, or not in this encoding.
    #[error("its key is not encoded as the second line says")]
    Digits,
    /// A key of another length.
    #[error("its key has {bytes} bytes, and 32 are needed")]
    Length {
        /// The length that it has.
        bytes: usize,
    },
}

const FIRST: &str = "/key/swarm/psk/1.0.0/";

impl SwarmKey {
    /// Reads the contents of a `swarm.key`: the kind of key, its encoding (base16, base64 or none), and the
    /// 32 bytes, each on a line.
    ///
    /// # Errors
    ///
    /// [`SwarmKeyError`] says what is wrong with it.
    pub fn parse(file: &[u8]) -> Result<Self, SwarmKeyError> {
        let (first, rest) = line(file);
        if first != FIRST.as_bytes() {
            return Err(SwarmKeyError::Kind);
        }
        let (encoding, rest) = line(rest);
        let text =
            || std::str::from_utf8(rest).map(str::trim_end).map_err(|_| SwarmKeyError::Digits);
        let decoded = |base: Base, text: &str| base.decode(text).map_err(|_| SwarmKeyError::Digits);
        let key = match encoding {
            b"/base16/" => decoded(Base::Base16Lower, &text()?.to_ascii_lowercase())?,
            b"/base64/" => decoded(Base::Base64, text()?.trim_end_matches('='))?,
            b"/bin/" => rest.to_vec(),
            _ => return Err(SwarmKeyError::Encoding),
        };
        let length = SwarmKeyError::Length { bytes: key.len() };
        Ok(Self(PreSharedKey::new(key.try_into().map_err(|_| length)?)))
    }

    /// What tells it from others without giving it away, as go-libp2p computes it.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        self.0.fingerprint().to_string()
    }

    pub(crate) const fn pre_shared(&self) -> PreSharedKey {
        self.0
    }
}

fn line(text: &[u8]) -> (&[u8], &[u8]) {
    let (line, rest) = match text.iter().position(|byte| *byte == b'\n') {
        Some(at) => (&text[..at], &text[at + 1..]),
        None => (text, &[][..]),
    };
    (line.strip_suffix(b"\r").unwrap_or(line), rest)
}

impl fmt::Debug for SwarmKey {
    /// The key itself is a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SwarmKey({})", self.fingerprint())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "00112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF";

    #[test]
    fn a_key_is_read_in_every_encoding_that_others_write() {
        let key = SwarmKey::parse(format!("{FIRST}\n/base16/\n{HEX}\n").as_bytes()).unwrap();
        // Another implementation reads the same.
        let theirs: PreSharedKey = format!("{FIRST}\n/base16/\n{HEX}").parse().unwrap();
        assert_eq!(key.0, theirs);
        let base64 = "ABEiM0RVZneImaq7zN3u/wARIjNEVWZ3iJmqu8zd7v8=";
        let binary = Base::Base16Lower.decode(HEX.to_lowercase()).unwrap();
        for file in [
            format!("{FIRST}\r\n/base16/\r\n{HEX}").into_bytes(),
            format!("{FIRST}\n/base64/\n{base64}\n").into_bytes(),
            [format!("{FIRST}\n/bin/\n").as_bytes(), &binary].concat(),
        ] {
            assert_eq!(SwarmKey::parse(&file), Ok(key), "{}", String::from_utf8_lossy(&file));
        }
        let shown = format!("{key:?}");
        assert!(!shown.to_lowercase().contains("00112233"), "{shown}");
    }

    #[test]
    fn what_is_wrong_with_a_key_is_said() {
        let parse = |text: &str| SwarmKey::parse(text.as_bytes()).unwrap_err();
        for text in ["", HEX, "/key/swarm/psk/2.0.0/\n/base16/\n"] {
            assert_eq!(parse(text), SwarmKeyError::Kind);
        }
        assert_eq!(parse(&format!("{FIRST}\n{HEX}\n")), SwarmKeyError::Encoding);
        assert_eq!(parse(&format!("{FIRST}\n/base16/\nxy")), SwarmKeyError::Digits);
        let short = format!("{FIRST}\n/base16/\n{}\n", &HEX[2..]);
        assert_eq!(parse(&short), SwarmKeyError::Length { bytes: 31 });
    }
}
