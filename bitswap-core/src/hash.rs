//! The hash table: which multihash codes are known and how each is computed.
//!
//! It holds what the widest deployed implementation accepts for blocks. A code that is not here is
//! an error and never a pass: md5, murmur3, shake-128, sha2-384 and BLAKE2 below 160 bits are left
//! out on purpose.

use cid::multihash::Multihash;
use multihash_codetable as table;
use multihash_derive::Hasher;
use sha3::digest::{ExtendableOutput, Update, XofReader};
use table::{Blake2bHasher, Blake2sHasher, Blake3Hasher};

/// The multihash code whose "digest" is the data itself.
pub(crate) const IDENTITY: u64 = 0x00;
/// SHA2-256, the hash of CIDv0.
pub(crate) const SHA2_256: u64 = 0x12;
/// The longest digest that a [`cid::Cid`] holds.
pub(crate) const MAX_DIGEST: usize = 64;

const SHA2_256_OF_NO_BYTES: [u8; 32] = [
    0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24,
    0x27, 0xae, 0x41, 0xe4, 0x64, 0x9b, 0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55,
];
const SHAKE_256: u64 = 0x19;
const DOUBLE_SHA2_256: u64 = 0x56;
/// BLAKE2b with a digest of n bytes has the code `BLAKE2B + n`, BLAKE2s `BLAKE2S + n`.
const BLAKE2B: u64 = 0xb200;
const BLAKE2S: u64 = 0xb240;

/// The longest digest of this hash in bytes; `None` for an unknown code.
///
/// Of the two hashes of unbounded length (SHAKE-256 and BLAKE3) as much as a CID holds.
pub(crate) const fn digest_len(code: u64) -> Option<u64> {
    Some(match code {
        0x11 => 20,
        0x17 | 0x1a => 28,
        SHA2_256 | 0x16 | 0x1b | DOUBLE_SHA2_256 => 32,
        0x15 | 0x1c => 48,
        IDENTITY | 0x13 | 0x14 | SHAKE_256 | 0x1d | 0x1e => 64,
        0xb214..=0xb240 => code - BLAKE2B,
        0xb254..=0xb260 => code - BLAKE2S,
        _ => return None,
    })
}

/// The multihash of `data`, its digest cut to `len` bytes; `None` for an unknown code or when the
/// digest is shorter than `len`.
pub(crate) fn hash(code: u64, data: &[u8], len: usize) -> Option<Multihash<MAX_DIGEST>> {
    let cut = |digest: &[u8]| Multihash::wrap(code, digest.get(..len)?).ok();
    match code {
        IDENTITY => cut(data),
        0x11 => cut(run(table::Sha1::default(), data).finalize()),
        SHA2_256 => cut(run(table::Sha2_256::default(), data).finalize()),
        0x13 => cut(run(table::Sha2_512::default(), data).finalize()),
        0x14 => cut(run(table::Sha3_512::default(), data).finalize()),
        0x15 => cut(run(table::Sha3_384::default(), data).finalize()),
        0x16 => cut(run(table::Sha3_256::default(), data).finalize()),
        0x17 => cut(run(table::Sha3_224::default(), data).finalize()),
        SHAKE_256 => cut(&shake_256(data)),
        0x1a => cut(run(table::Keccak224::default(), data).finalize()),
        0x1b => cut(run(table::Keccak256::default(), data).finalize()),
        0x1c => cut(run(table::Keccak384::default(), data).finalize()),
        0x1d => cut(run(table::Keccak512::default(), data).finalize()),
        0x1e => cut(run(Blake3Hasher::<MAX_DIGEST>::default(), data).finalize()),
        DOUBLE_SHA2_256 => {
            let mut inner = run(table::Sha2_256::default(), data);
            cut(run(table::Sha2_256::default(), inner.finalize()).finalize())
        }
        0xb214..=0xb240 => blake2b(code - BLAKE2B, data, cut),
        0xb254..=0xb260 => blake2s(code - BLAKE2S, data, cut),
        _ => None,
    }
}

/// Whether this is the hash of no bytes, however much of the digest it keeps. Each link of each file is asked that.
pub(crate) fn is_of_no_bytes(multihash: &Multihash<MAX_DIGEST>) -> bool {
    let digest = multihash.digest();
    match multihash.code() {
        SHA2_256 => SHA2_256_OF_NO_BYTES.starts_with(digest),
        code => hash(code, &[], digest.len()).as_ref() == Some(multihash),
    }
}

fn run<H: Hasher>(mut hasher: H, data: &[u8]) -> H {
    hasher.update(data);
    hasher
}

fn shake_256(data: &[u8]) -> [u8; MAX_DIGEST] {
    let mut shake = sha3::Shake256::default();
    Update::update(&mut shake, data);
    let mut digest = [0; MAX_DIGEST];
    shake.finalize_xof().read(&mut digest);
    digest
}

/// One function for a BLAKE2 of run-time width: the width is a parameter of the hash itself, so a
/// narrow digest is not a wide one cut short.
macro_rules! blake2_of_any_width {
    ($name:ident, $hasher:ident, $($width:literal)+) => {
        fn $name<T>(width: u64, data: &[u8], cut: impl Fn(&[u8]) -> Option<T>) -> Option<T> {
            match width {
                $($width => cut(run($hasher::<$width>::default(), data).finalize()),)+
                _ => None,
            }
        }
    };
}

blake2_of_any_width!(blake2b, Blake2bHasher,
    20 21 22 23 24 25 26 27 28 29 30 31 32 33 34 35 36 37 38 39 40 41 42
    43 44 45 46 47 48 49 50 51 52 53 54 55 56 57 58 59 60 61 62 63 64);
blake2_of_any_width!(blake2s, Blake2sHasher, 20 21 22 23 24 25 26 27 28 29 30 31 32);

#[cfg(test)]
mod tests {
    use super::*;
    use std::{format, string::String, vec, vec::Vec};

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn digest(code: u64, data: &[u8]) -> Vec<u8> {
        let len = digest_len(code).unwrap() as usize;
        hash(code, data, len).unwrap().digest().to_vec()
    }

    /// Digests of "abc": FIPS 180-4, FIPS 202, RFC 7693 and the hashes' own publications where they
    /// print them, the rest from OpenSSL, pycryptodome (Keccak) and the BLAKE2 reference code.
    #[test]
    fn known_answers() {
        let answers = [
            (0x11, "a9993e364706816aba3e25717850c26c9cd0d89d"),
            (0x12, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
            (
                0x13,
                "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
            ),
            (
                0x14,
                "b751850b1a57168a5693cd924b6b096e08f621827444f70d884f5d0240d2712e10e116e9192af3c91a7ec57647e3934057340b4cf408d5a56592f8274eec53f0",
            ),
            (
                0x15,
                "ec01498288516fc926459f58e2c6ad8df9b473cb0fc08c2596da7cf0e49be4b298d88cea927ac7f539f1edf228376d25",
            ),
            (0x16, "3a985da74fe225b2045c172d6bd390bd855f086e3e9d525b46bfe24511431532"),
            (0x17, "e642824c3f8cf24ad09234ee7d3c766fc9a3a5168d0c94ad73b46fdf"),
            (
                0x19,
                "483366601360a8771c6863080cc4114d8db44530f8f1e1ee4f94ea37e78b5739d5a15bef186a5386c75744c0527e1faa9f8726e462a12a4feb06bd8801e751e4",
            ),
            (0x1a, "c30411768506ebe1c2871b1ee2e87d38df342317300a9b97a95ec6a8"),
            (0x1b, "4e03657aea45a94fc7d47ba826c8d667c0d1e6e33a64a036ec44f58fa12d6c45"),
            (
                0x1c,
                "f7df1165f033337be098e7d288ad6a2f74409d7a60b49c36642218de161b1f99f8c681e4afaf31a34db29fb763e3c28e",
            ),
            (
                0x1d,
                "18587dc2ea106b9a1563e32b3312421ca164c7f1f07bc922a9c83d77cea3a1e5d0c69910739025372dc14ac9642629379540c17e2a65b19d77aa511a9d00bb96",
            ),
            (0x56, "4f8b42c22dd3729b519ba6f68d2da7cc5b2d606d05daed5ad5128cc03e6c6358"),
            (0xb214, "384264f676f39536840523f284921cdc68b6846b"),
            (0xb220, "bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319"),
            (
                0xb230,
                "6f56a82c8e7ef526dfe182eb5212f7db9df1317e57815dbda46083fc30f54ee6c66ba83be64b302d7cba6ce15bb556f4",
            ),
            (
                0xb240,
                "ba80a53f981c4d0d6a2797b69f12f6e94c212f14685ac4b74b12bb6fdbffa2d17d87c5392aab792dc252d5de4533cc9518d38aa8dbf1925ab92386edd4009923",
            ),
            (0xb254, "5ae3b99be29b01834c3b508521ede60438f8de17"),
            (0xb25c, "0b033fc226df7abde29f67a05d3dc62cf271ef3dfea4d387407fbd55"),
            (0xb260, "508c5e8c327c14e2e1a72ba34eeb452f37458b209ed63a294d999b4c86675982"),
        ];
        for (code, answer) in answers {
            assert_eq!(hex(&digest(code, b"abc")), answer, "code {code:#x}");
        }
        let blake3 = "6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85";
        assert_eq!(hex(hash(0x1e, b"abc", 32).unwrap().digest()), blake3);
        assert_eq!(hash(IDENTITY, b"abc", 3).unwrap().digest(), b"abc");
    }

    /// SHA2-256 over the digests of "abc" of all widths, the reference code's.
    #[test]
    fn blake2_of_every_width() {
        let all = |codes: core::ops::RangeInclusive<u64>| {
            let digests: Vec<u8> = codes.flat_map(|code| digest(code, b"abc")).collect();
            hex(&digest(SHA2_256, &digests))
        };
        let blake2b = "6bcfee9e188bd459e8d27fcbf8dda217d8acf587ad2af74e20e72ab05e8f665f";
        let blake2s = "ab22e1a4cfa5349b5c16fb38b5e728dbf5312b0eb9553690dfe20359f4cabb2b";
        assert_eq!(all(0xb214..=0xb240), blake2b);
        assert_eq!(all(0xb254..=0xb260), blake2s);
    }

    #[test]
    fn lengths_and_hashes_name_the_same_codes() {
        let data = vec![7; 100];
        for code in 0..=0x1_0000 {
            match digest_len(code) {
                Some(len) => {
                    let len = len as usize;
                    assert!(hash(code, &data, len).is_some(), "{code:#x}");
                    assert!(hash(code, &data, len + 1).is_none(), "{code:#x}");
                }
                None => assert!(hash(code, &data, 0).is_none(), "{code:#x}"),
            }
        }
    }

    #[test]
    fn weak_and_unheard_of_codes_are_not_in_the_table() {
        // md5, murmur3, shake-128, sha2-384, sha2-256 truncated variants, BLAKE2 below 160 bits.
        for code in [0xd5, 0x22, 0x18, 0x20, 0x1012, 0xb213, 0xb253, 0xb261, u64::MAX] {
            assert_eq!(digest_len(code), None, "{code:#x}");
        }
    }
}
