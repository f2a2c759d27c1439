//! Paths that begin with a name, or with a CID.

use std::fmt;
use std::str::FromStr;

use cid::Cid;
use thiserror::Error;

use super::name::IpnsName;

/// The longest path, in bytes; records have less.
const PATH_MAX: usize = 8192;

/// What a path begins with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Root {
    /// Something that never changes: `/ipfs/CID`.
    Cid(Cid),
    /// What the owner of a key says: `/ipns/k51…`.
    Ipns(IpnsName),
    /// What the owner of a domain says (DNSLink): `/ipns/example.org`.
    Domain(String),
}

/// A path: `/ipfs/CID/a/b`, `/ipns/NAME/a/b` or `/ipns/example.org/a/b`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamePath {
    root: Root,
    path: Vec<String>,
}

/// Why a text is no path.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum NamePathError {
    /// It begins neither with `/ipfs/` nor with `/ipns/`.
    #[error("a path begins with /ipfs/ or /ipns/")]
    NoNamespace,
    /// What follows `/ipfs/` is no CID.
    #[error("there is no CID behind /ipfs/")]
    NoCid,
    /// What follows `/ipns/` is no name.
    #[error("there is no name behind /ipns/: a key such as k51…, or a domain such as example.org")]
    NoName,
    /// It has more than 8192 bytes.
    #[error("the path is longer than 8192 bytes")]
    TooLong,
}

impl NamePath {
    /// A path of names below a root.
    #[must_use]
    pub const fn new(root: Root, path: Vec<String>) -> Self {
        Self { root, path }
    }

    /// What it begins with.
    #[must_use]
    pub const fn root(&self) -> &Root {
        &self.root
    }

    /// The names behind that.
    #[must_use]
    pub fn path(&self) -> &[String] {
        &self.path
    }

    /// What this path leads to, where its root stands for `target`.
    pub(super) fn below(mut self, mut target: Self) -> Self {
        target.path.append(&mut self.path);
        target
    }
}

impl FromStr for NamePath {
    type Err = NamePathError;

    fn from_str(text: &str) -> Result<Self, NamePathError> {
        if text.len() > PATH_MAX {
            return Err(NamePathError::TooLong);
        }
        let rest = text.strip_prefix('/').ok_or(NamePathError::NoNamespace)?;
        let (namespace, rest) = rest.split_once('/').ok_or(NamePathError::NoNamespace)?;
        let mut parts = rest.split('/').filter(|part| !part.is_empty());
        let first = parts.next();
        let root = match namespace {
            "ipfs" => {
                let cid = first.and_then(|first| first.parse().ok());
                Root::Cid(cid.ok_or(NamePathError::NoCid)?)
            }
            "ipns" => first.and_then(root).ok_or(NamePathError::NoName)?,
            _ => return Err(NamePathError::NoNamespace),
        };
        Ok(Self { root, path: parts.map(str::to_owned).collect() })
    }
}

/// A key, or a domain. Where a domain must be one label, as in the name of a host of a gateway, its dots are dashes
/// and its dashes are doubled; such a one is read too.
fn root(text: &str) -> Option<Root> {
    if let Ok(name) = text.parse() {
        return Some(Root::Ipns(name));
    }
    let domain = match text.contains('.') {
        true => text.to_owned(),
        false => text.replace("--", "\0").replace('-', ".").replace('\0', "-"),
    };
    is_domain(&domain).then(|| Root::Domain(domain.to_ascii_lowercase()))
}

fn is_domain(text: &str) -> bool {
    let is_label = |label: &str| {
        let is_in = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        (1..=63).contains(&label.len()) && label.bytes().all(is_in)
    };
    let text = text.strip_suffix('.').unwrap_or(text);
    text.len() <= 253 && text.contains('.') && text.split('.').all(is_label)
}

impl fmt::Display for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cid(cid) => write!(f, "/ipfs/{cid}"),
            Self::Ipns(name) => write!(f, "/ipns/{name}"),
            Self::Domain(domain) => write!(f, "/ipns/{domain}"),
        }
    }
}

impl fmt::Display for NamePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.root)?;
        self.path.iter().try_for_each(|part| write!(f, "/{part}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_read_and_written_alike() {
        for path in [
            "/ipfs/bafkreiffsgtnic7uebaeuaixgph3pmmq2ywglpylzwrswv5so7m23hyuny/a/b c",
            "/ipns/k51qzi5uqu5dm4tm0wt8srkg9h9suud4wuiwjimndrkydqm81cqtlb5ak6p7ku",
            "/ipns/docs.example.org/a",
            "/ipns/_dnslink.example.org",
        ] {
            assert_eq!(path.parse::<NamePath>().unwrap().to_string(), path);
        }
        let inlined: NamePath = "/ipns/en-my--docs-example-org/x".parse().unwrap();
        assert_eq!(inlined.to_string(), "/ipns/en.my-docs.example.org/x");
        assert_eq!(
            "/ipns/Example.ORG".parse::<NamePath>().unwrap().to_string(),
            "/ipns/example.org"
        );
        for (wrong, error) in [
            ("", NamePathError::NoNamespace),
            ("ipns/example.org", NamePathError::NoNamespace),
            ("/ipld/bafy", NamePathError::NoNamespace),
            ("/ipfs/example.org", NamePathError::NoCid),
            ("/ipns/", NamePathError::NoName),
            ("/ipns/localhost", NamePathError::NoName),
            ("/ipns/exa mple.org", NamePathError::NoName),
            (&format!("/ipns/{}.org", "a".repeat(64)), NamePathError::NoName),
            (&format!("/ipns/example.org/{}", "a".repeat(9000)), NamePathError::TooLong),
        ] {
            assert_eq!(wrong.parse::<NamePath>(), Err(error), "{wrong}");
        }
    }
}
