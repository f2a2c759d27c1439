//! Denylists in the compact format of IPIP-383.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;

use bitswap_core::Prefix;
use cid::multibase::Base;
use cid::multihash::Multihash;
use cid::{Cid, Version};
use sha2::{Digest as _, Sha256};
use thiserror::Error;

use crate::percent::{self, PercentError};

/// The largest header, in bytes; a list with a larger one has none.
const HEADER_MAX: usize = 1 << 20;
/// The longest line, in bytes.
const LINE_MAX: usize = 2 << 20;

/// What nobody may have: a list in the compact denylist format (IPIP-383), which Kubo reads too.
///
/// Lines of these kinds are read, each also with `!` before it, which makes an exception of what lines
/// before it deny; the last line that matches decides:
///
/// * `/ipfs/CID`: the block, by its hash, whatever the codec;
/// * `/ipfs/CID/PATH` and `/ipfs/CID/PATH*`: that path, or all that begin with it; `/ipfs/CID/*` is the block too;
/// * `//DOUBLE-HASH`: base58btc of a multihash of `HASH` or `HASH/PATH`, where `HASH` is the base58btc of the
///   block's multihash; or 64 hexadecimal digits, the SHA-256 of `CID/` or `CID/PATH`, where the CID is of
///   version 1 in base32.
///
/// Hints behind a line and in the header are left aside. Lines of `/ipns/` and all others are refused with a
/// [`DenylistFault`], and the list with them: none is left out in silence.
#[derive(Clone, Default)]
pub struct Denylist {
    /// By multihash.
    by_hash: HashMap<Vec<u8>, Vec<(Pattern, Rule)>>,
    /// By the multihash of what stands for them.
    doubled: HashMap<Vec<u8>, Rule>,
    /// The functions of these: code and length of digest.
    functions: Vec<(u64, u64)>,
    /// By the SHA-256 of what stood for them before that.
    legacy: HashMap<[u8; 32], Rule>,
}

/// A line, and whether it denies or makes an exception.
#[derive(Clone, Copy, Debug)]
struct Rule {
    line: usize,
    denies: bool,
}

/// Paths behind a CID, without slashes at the ends.
#[derive(Clone, Debug)]
enum Pattern {
    Exact(String),
    Prefix(String),
}

/// Why a denylist was not read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("line {line}: {fault}")]
pub struct DenylistError {
    line: usize,
    fault: DenylistFault,
}

/// What is wrong with a line of a denylist.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DenylistFault {
    /// The header is not one.
    #[error("this is no field of a header, which ends with the line ---")]
    Header,
    /// A list of a later version.
    #[error("the list is of version {0}, and only version 1 is known; update this program")]
    Version(String),
    /// Longer than lines may be.
    #[error("it is longer than 2 MiB")]
    TooLong,
    /// A name that can change.
    #[error("names of IPNS are not looked up here, so this rule could not be kept; remove it")]
    Ipns,
    /// No rule of any kind.
    #[error("a rule begins with /ipfs/ or //, or with ! and one of these")]
    Kind,
    /// There is no CID behind `/ipfs/`.
    #[error("{0:?} is no CID and no multihash in base58")]
    Cid(String),
    /// The path is not encoded as in a URL.
    #[error("its path cannot be decoded: {0}")]
    Path(PercentError),
    /// What follows `//` is of neither kind.
    #[error("{0:?} is neither a multihash in base58 nor a SHA-256 in 64 hexadecimal digits")]
    DoubleHash(String),
    /// Hashed by something that is not computed here.
    #[error("no hash of code {code:#x} with {digest_len} bytes is computed here; remove the rule")]
    HashFunction {
        /// The function, as in the table of multicodecs.
        code: u64,
        /// The length of the digest.
        digest_len: u64,
    },
}

impl DenylistError {
    /// The line, counted from 1.
    #[must_use]
    pub const fn line(&self) -> usize {
        self.line
    }

    /// What is wrong with it.
    #[must_use]
    pub const fn fault(&self) -> &DenylistFault {
        &self.fault
    }
}

impl Denylist {
    /// The line that denies what a path from a CID leads to, or the CID itself if the path is empty. Who may
    /// not have a block cannot follow a path from it either.
    #[must_use]
    pub fn denies(&self, cid: &Cid, path: &[String]) -> Option<usize> {
        let hash = cid.hash().to_bytes();
        let mut denied = self.decides(cid, &hash, "");
        if denied.is_none() && !path.is_empty() {
            denied = self.decides(cid, &hash, &path.join("/"));
        }
        denied
    }

    fn decides(&self, cid: &Cid, hash: &[u8], path: &str) -> Option<usize> {
        let plain = self.by_hash.get(hash).into_iter().flatten();
        let plain = plain.filter(|(pattern, _)| pattern.matches(path)).map(|(_, rule)| *rule);
        let name = if self.doubled.is_empty() {
            String::new()
        } else {
            let slash = if path.is_empty() { "" } else { "/" };
            format!("{}{slash}{path}", Base::Base58Btc.encode(hash))
        };
        let doubled = self.functions.iter().filter_map(|(code, digest_len)| {
            let hash = multihash(*code, *digest_len, name.as_bytes())?;
            self.doubled.get(&hash.to_bytes()).copied()
        });
        let legacy = (!self.legacy.is_empty()).then(|| {
            let cid = match cid.version() {
                Version::V0 => Cid::new_v1(cid.codec(), *cid.hash()),
                Version::V1 => *cid,
            };
            self.legacy.get(&<[u8; 32]>::from(Sha256::digest(format!("{cid}/{path}")))).copied()
        });
        let last = plain.chain(doubled).chain(legacy.flatten()).max_by_key(|rule| rule.line)?;
        last.denies.then_some(last.line)
    }

    fn add(&mut self, text: &str, line: usize) -> Result<(), DenylistFault> {
        let (text, denies) = match text.strip_prefix('!') {
            Some(text) => (text, false),
            None => (text, true),
        };
        let rule = Rule { line, denies };
        if let Some(double) = text.strip_prefix("//") {
            return self.add_double(double, rule);
        }
        if text.starts_with("/ipns/") {
            return Err(DenylistFault::Ipns);
        }
        let rest = text.strip_prefix("/ipfs/").ok_or(DenylistFault::Kind)?;
        let (name, path) = rest.split_once('/').unwrap_or((rest, ""));
        let hash = hash_of(name).ok_or_else(|| DenylistFault::Cid(name.to_owned()))?;
        let (path, is_prefix) = match path.strip_suffix('*') {
            Some(path) => (path, true),
            None => (path, false),
        };
        let path = percent::decode(path.trim_matches('/')).map_err(DenylistFault::Path)?;
        let pattern = if is_prefix { Pattern::Prefix(path) } else { Pattern::Exact(path) };
        self.by_hash.entry(hash).or_default().push((pattern, rule));
        Ok(())
    }

    fn add_double(&mut self, text: &str, rule: Rule) -> Result<(), DenylistFault> {
        // It may be of both kinds, and then it is.
        let hex = Base::Base16Lower.decode(text.to_ascii_lowercase()).ok();
        let legacy = hex.and_then(|hash| <[u8; 32]>::try_from(hash).ok());
        if let Some(hash) = legacy {
            self.legacy.insert(hash, rule);
        }
        let bytes = Base::Base58Btc.decode(text).ok();
        let Some(hash) = bytes.and_then(|bytes| Multihash::<64>::from_bytes(&bytes).ok()) else {
            return legacy.map(|_| ()).ok_or_else(|| DenylistFault::DoubleHash(text.to_owned()));
        };
        let (code, digest_len) = (hash.code(), u64::from(hash.size()));
        if multihash(code, digest_len, b"").is_none() {
            return match legacy {
                Some(_) => Ok(()),
                None => Err(DenylistFault::HashFunction { code, digest_len }),
            };
        }
        if !self.functions.contains(&(code, digest_len)) {
            self.functions.push((code, digest_len));
        }
        self.doubled.insert(hash.to_bytes(), rule);
        Ok(())
    }
}

impl Pattern {
    fn matches(&self, path: &str) -> bool {
        match self {
            Self::Exact(exact) => path == exact,
            Self::Prefix(prefix) => path.starts_with(prefix),
        }
    }
}

/// The multihash that a CID, or base58 of the hash itself, stands for.
fn hash_of(name: &str) -> Option<Vec<u8>> {
    if let Ok(cid) = Cid::try_from(name) {
        return Some(cid.hash().to_bytes());
    }
    let bytes = Base::Base58Btc.decode(name).ok()?;
    Multihash::<64>::from_bytes(&bytes).ok().map(|hash| hash.to_bytes())
}

/// `None` for a function that is not computed here.
fn multihash(code: u64, digest_len: u64, bytes: &[u8]) -> Option<Multihash<64>> {
    let prefix = Prefix::new(bitswap_core::chunk::RAW, code, digest_len);
    Some(*prefix.block(bytes.to_vec().into()).ok()?.cid().hash())
}

/// The lines of the header, if there is one, without its end.
fn header_lines(text: &str) -> Option<usize> {
    let mut bytes = 0;
    for (at, line) in text.lines().enumerate() {
        if line == "---" {
            return Some(at);
        }
        bytes += line.len() + 1;
        if bytes > HEADER_MAX {
            break;
        }
    }
    None
}

/// Looks at a line of the header. Of its fields only the version means something here.
fn read_header(line: &str) -> Result<(), DenylistFault> {
    let is_inside = line.starts_with([' ', '\t', '-', '#']) || line.trim().is_empty();
    if is_inside {
        return Ok(());
    }
    let (field, value) = line.split_once(':').ok_or(DenylistFault::Header)?;
    let value = value.split(" #").next().unwrap_or_default().trim().trim_matches(['"', '\'']);
    if field == "version" && value != "1" {
        return Err(DenylistFault::Version(value.to_owned()));
    }
    Ok(())
}

impl FromStr for Denylist {
    type Err = DenylistError;

    fn from_str(text: &str) -> Result<Self, DenylistError> {
        let header = header_lines(text);
        let mut list = Self::default();
        for (at, line) in text.lines().enumerate() {
            let read = if header.is_some_and(|end| at < end) {
                read_header(line)
            } else if header == Some(at) || line.starts_with('#') {
                Ok(())
            } else if line.len() >= LINE_MAX {
                Err(DenylistFault::TooLong)
            } else {
                // Hints follow the rule.
                line.split_whitespace().next().map_or(Ok(()), |rule| list.add(rule, at + 1))
            };
            read.map_err(|fault| DenylistError { line: at + 1, fault })?;
        }
        Ok(list)
    }
}

impl fmt::Debug for Denylist {
    /// How long it is: it may have millions of lines.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Denylist")
            .field("blocks", &self.by_hash.len())
            .field("double_hashes", &(self.doubled.len() + self.legacy.len()))
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(text: &str) -> Denylist {
        text.parse().unwrap()
    }

    fn cid(text: &str) -> Cid {
        text.parse().unwrap()
    }

    /// Whether a list denies what a path with its CID leads to.
    fn denies(list: &Denylist, path: &str) -> bool {
        let mut names = path.split('/');
        let root = cid(names.next().unwrap());
        list.denies(&root, &names.map(str::to_owned).collect::<Vec<_>>()).is_some()
    }

    /// The same hash with another codec and in version 0.
    const RULE1: [&str; 3] = [
        "bafybeihvvulpp4evxj7x7armbqcyg6uezzuig6jp3lktpbovlqfkuqeuoq",
        "bafkreihvvulpp4evxj7x7armbqcyg6uezzuig6jp3lktpbovlqfkuqeuoq",
        "QmesfgDQ3q6prBy2Kg2gKbW4MAGuWiRP2DVuGA5MZSERLo",
    ];
    const BLOCKED: &str = "QmUboz9UsQBDeS6Tug1U8jgoFkgYxyYood9NDyVURAY9pK";
    const LEGACY: &str = "bafybeiefwqslmf6zyyrxodaxx4vwqircuxpza5ri45ws3y5a62ypxti42e";

    #[test]
    fn a_block_is_denied_by_its_hash_whatever_the_codec() {
        for rule in RULE1 {
            let list = list(&format!("version: 1\nname: x\n---\n# why\n\n/ipfs/{rule} hint=1\n"));
            for asked in RULE1 {
                assert_eq!(list.denies(&cid(asked), &[]), Some(6), "{rule}, {asked}");
                assert!(denies(&list, &format!("{asked}/below")), "nobody gets past it");
            }
            assert!(!denies(&list, BLOCKED));
        }
    }

    #[test]
    fn paths_are_denied_exactly_or_by_their_beginning_and_the_last_line_decides() {
        let list = list(&format!(
            "/ipfs/{BLOCKED}/blocked*\n\
             !/ipfs/{BLOCKED}/blockednot\n\
             !/ipfs/{BLOCKED}/blocked/not\n\
             !/ipfs/{BLOCKED}/blocked/exceptions*\n\
             /ipfs/{BLOCKED}/a%20b/\n\
             /ipfs/{}/*\n",
            RULE1[0],
        ));
        let is = |path: &str| denies(&list, &format!("{BLOCKED}/{path}"));
        for path in ["blocked", "blocked2", "blocked/x", "blockednot/x", "a b"] {
            assert!(is(path), "{path}");
        }
        for path in ["blockednot", "blocked/not", "blocked/exceptions2", "other", "a b/c", "a%20b"]
        {
            assert!(!is(path), "{path}");
        }
        assert!(!denies(&list, BLOCKED), "the block itself may be had");
        assert!(denies(&list, RULE1[1]) && denies(&list, &format!("{}/x", RULE1[2])));
    }

    #[test]
    fn hashes_of_hashes_deny_what_they_stand_for() {
        let list = list(
            "//d9d295bde21f422d471a90f2a37ec53049fdf3e5fa3ee2e8f20e10003da429e7\n\
             //QmX9dhRcQcKUw3Ws8485T5a9dtjrSCQaUAHnG4iK9i4ceM\n\
             //QmbK7LDv5NNBvYQzNfm2eED17SNLt1yNMapcUhSuNLgkqz\n",
        );
        assert!(denies(&list, LEGACY));
        let same_hash = Cid::new_v1(0x55, *cid(LEGACY).hash());
        assert_eq!(list.denies(&same_hash, &[]), None, "the old kind is of one CID only");
        assert!(denies(&list, "bafybeidjwik6im54nrpfg7osdvmx7zojl5oaxqel5cmsz46iuelwf5acja"));
        assert!(denies(&list, "QmVTF1yEejXd9iMgoRTFDxBv7HAz9kuZcQNBzHrceuK9HR"));
        let root = "f01701e20903cf61d46521b05f926ba1634628d0bba8a7ffb5b6d5a3ca310682ca63b5ef0";
        assert!(denies(&list, &format!("{root}/path")));
        assert!(!denies(&list, &format!("{root}/path2")) && !denies(&list, root));
        let path = "//3f8b9febd851873b3774b937cce126910699ceac56e72e64b866f8e258d09572";
        let list: Denylist = path.parse().unwrap();
        assert!(denies(&list, &format!("{LEGACY}/path")));
        assert!(!denies(&list, LEGACY) && !denies(&list, &format!("{LEGACY}/other")));
    }

    #[test]
    fn a_line_that_cannot_be_kept_refuses_the_list_by_its_number() {
        let refused = |text: &str| {
            let error = text.parse::<Denylist>().unwrap_err();
            (error.line(), error.fault().clone())
        };
        let long = format!("/ipfs/{}", "a".repeat(LINE_MAX));
        let identity =
            Base::Base58Btc.encode(Multihash::<64>::wrap(0x1234, b"abc").unwrap().to_bytes());
        let function = DenylistFault::HashFunction { code: 0x1234, digest_len: 3 };
        for (text, line, fault) in [
            ("version: 2\n---\n", 1, DenylistFault::Version("2".to_owned())),
            ("name: x\nnonsense\n---\n", 2, DenylistFault::Header),
            ("\n/ipns/example.test", 2, DenylistFault::Ipns),
            ("!/ipns/example.test/x*", 1, DenylistFault::Ipns),
            ("/path", 1, DenylistFault::Kind),
            (LEGACY, 1, DenylistFault::Kind),
            ("/ipfs/nonsense/x", 1, DenylistFault::Cid("nonsense".to_owned())),
            (&format!("/ipfs/{LEGACY}*"), 1, DenylistFault::Cid(format!("{LEGACY}*"))),
            (&format!("/ipfs/{LEGACY}/%zz"), 1, DenylistFault::Path(PercentError::Digits)),
            ("//abc", 1, DenylistFault::DoubleHash("abc".to_owned())),
            (&format!("//{identity}"), 1, function),
            (&long, 1, DenylistFault::TooLong),
        ] {
            assert_eq!(refused(text), (line, fault), "{}", &text[..text.len().min(80)]);
        }
    }
}
