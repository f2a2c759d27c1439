//! CIDs as people give them: with white space around, with a path behind, in a URL, or broken.

use bitswap_node::{
    Multiaddr, NamePath, NamePathError, PeerId, Root, Ticket, TicketError, percent,
};
use cid::multibase::Base;
use cid::{Cid, Version};

/// A CID, and the path from there to what is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CidPath {
    pub(crate) cid: Cid,
    /// The names of the entries that lead to it.
    pub(crate) path: Vec<String>,
    /// What a URL or a ticket says that it is called.
    file_name: Option<String>,
    /// Where a ticket says that it is.
    pub(crate) from: Vec<Multiaddr>,
}

/// What a person may ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// Something that never changes.
    Cid(CidPath),
    /// What the owner of a name says that it is.
    Name { name: NamePath, file_name: Option<String> },
}

impl What {
    /// The CID, if that is known without asking anybody.
    pub(crate) const fn cid(&self) -> Option<&CidPath> {
        match self {
            Self::Cid(cid) => Some(cid),
            Self::Name { .. } => None,
        }
    }
}

impl std::fmt::Display for What {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Cid(cid) => write!(f, "{cid}"),
            Self::Name { name, .. } => write!(f, "{name}"),
        }
    }
}

impl CidPath {
    /// What a name stands for. Unless the path or a URL says otherwise, it is called by the name.
    pub(crate) fn named(
        cid: Cid,
        path: Vec<String>,
        name: &NamePath,
        file_name: Option<String>,
    ) -> Self {
        let root = match name.root() {
            Root::Domain(domain) => Some(domain.clone()),
            Root::Ipns(name) => Some(name.to_string()),
            Root::Cid(_) => None,
        };
        let file_name = file_name.or_else(|| name.path().last().cloned()).or(root);
        Self { cid, path, file_name, from: Vec::new() }
    }

    /// What it is called, as far as that is known. Whoever gave it the name, it is one of a file on every system,
    /// and leads nowhere else.
    pub(crate) fn name(&self) -> Option<&str> {
        let names = self.file_name.iter().chain(self.path.last());
        names.map(String::as_str).find(|name| is_file_name(name))
    }
}

/// Whether a name leads to no other folder, drive or stream of a file on any system, and can be printed.
fn is_file_name(name: &str) -> bool {
    let leads_away = |c: char| matches!(c, '/' | '\\' | ':') || c.is_control();
    !matches!(name, "" | "." | "..") && !name.contains(leads_away)
}

impl From<Cid> for CidPath {
    fn from(cid: Cid) -> Self {
        Self { cid, path: Vec::new(), file_name: None, from: Vec::new() }
    }
}

impl From<Ticket> for CidPath {
    fn from(ticket: Ticket) -> Self {
        let file_name = ticket.name().map(str::to_owned);
        Self { file_name, from: ticket.addresses().collect(), ..Self::from(*ticket.cid()) }
    }
}

impl std::fmt::Display for CidPath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.cid)?;
        self.path.iter().try_for_each(|name| write!(f, "/{name}"))
    }
}

/// Reads a CID with a path behind it: `CID/path`, `/ipfs/CID/path`, `ipfs://CID/path`, or the URL of a gateway in
/// either form; or a ticket. What is wrong with one that is none is said in the error, and what may have been meant.
pub(crate) fn parse_path(text: &str) -> Result<CidPath, String> {
    match parse_what(text)? {
        What::Cid(cid) => Ok(cid),
        What::Name { .. } => Err(IPNS.into()),
    }
}

/// Reads what [`parse_path`] reads, and names of IPNS and DNSLink in the same forms: `/ipns/NAME/path`, `ipns://NAME/path`.
pub(crate) fn parse_what(text: &str) -> Result<What, String> {
    let text = text.trim();
    if Ticket::is_meant(text) {
        let ticket = text.parse().map_err(|error: TicketError| error.to_string())?;
        return Ok(What::Cid(Ticket::into(ticket)));
    }
    parse(text).map_err(|error| match suggestion(text) {
        Some(meant) => format!("{error}; did you mean {meant} ?"),
        None => error,
    })
}

/// What may have been meant by something that is no CID.
fn suggestion(text: &str) -> Option<String> {
    if text.parse::<PeerId>().is_ok() {
        return Some("--from and an address of this peer, and the CID beside it".to_owned());
    }
    if text.starts_with('/') && text.parse::<Multiaddr>().is_ok() {
        return Some(format!("--from {text}, and the CID beside it"));
    }
    // What a terminal breaks into lines, and what surrounds it in a sentence.
    let inner: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    let inner = inner.trim_matches(['"', '\'', '`', '<', '>', '(', ')', '[', ']', ',', ';', '.']);
    let letters = |from: &[char], to: &str| inner.replace(from, to);
    // What is written large by a machine, and what looks alike, in base32 and in base58.
    let candidates = [
        inner.to_owned(),
        inner.to_ascii_lowercase(),
        letters(&['0'], "o").replace('1', "l").replace('8', "b").to_ascii_lowercase(),
        letters(&['0', 'O'], "o").replace(['I', 'l'], "1"),
    ];
    let is_new = |candidate: &String| candidate != text && parse(candidate).is_ok();
    candidates.into_iter().find(is_new)
}

fn parse(text: &str) -> Result<What, String> {
    let (scheme, rest) = match text.split_once("://") {
        Some((scheme, rest)) => (Some(scheme.to_ascii_lowercase()), rest),
        None => (None, text),
    };
    let is_url = scheme.is_some();
    let (rest, file_name) = if is_url { without_query(rest)? } else { (rest, None) };
    let rest = match scheme.as_deref() {
        None | Some("ipfs") => rest.to_owned(),
        Some("ipns") => format!("/ipns/{rest}"),
        Some("http" | "https") => from_gateway(rest)?,
        Some(other) => return Err(format!("{other}:// is no address of a file in IPFS")),
    };
    let (name, rest) = match rest.strip_prefix("/ipns/") {
        Some(rest) => (true, rest),
        None => (false, rest.strip_prefix("/ipfs/").unwrap_or(&rest)),
    };
    let mut names = rest.split('/').filter(|name| !name.is_empty());
    let first = names.next().unwrap_or_default();
    let decode = |name: &str| if is_url { percent_decoded(name) } else { Ok(name.to_owned()) };
    let root = match name {
        true => {
            format!("/ipns/{first}").parse().map_err(|error: NamePathError| error.to_string())?
        }
        false => NamePath::new(Root::Cid(content(first)?), Vec::new()),
    };
    let path = names.map(decode).collect::<Result<Vec<_>, _>>()?;
    if let Some(name) = path.iter().find(|name| matches!(name.as_str(), "." | "..")) {
        return Err(format!("{name:?} is no name in a path; give the path without it"));
    }
    Ok(match root.root() {
        Root::Cid(cid) => What::Cid(CidPath { cid: *cid, path, file_name, from: Vec::new() }),
        root => What::Name { name: NamePath::new(root.clone(), path), file_name },
    })
}

const IPNS: &str = "names of IPNS can change; give the CID, which `bitswap resolve` finds out";

/// Cuts off what follows the path of a URL; gives what it says about the name.
fn without_query(url: &str) -> Result<(&str, Option<String>), String> {
    let url = url.split_once('#').map_or(url, |(url, _)| url);
    let Some((url, query)) = url.split_once('?') else { return Ok((url, None)) };
    let name = query.split('&').find_map(|part| part.strip_prefix("filename="));
    let name = name.map(|name| percent_decoded(&name.replace('+', " "))).transpose()?;
    Ok((url, name.filter(|name| is_file_name(name))))
}

/// The path behind a gateway's URL: `host/ipfs/CID/path`, or `CID.ipfs.host/path`.
fn from_gateway(url: &str) -> Result<String, String> {
    let (host, path) = url.split_once('/').unwrap_or((url, ""));
    if path.starts_with("ipfs/") || path.starts_with("ipns/") {
        return Ok(format!("/{path}"));
    }
    match host.split_once('.') {
        Some((cid, rest)) if rest.starts_with("ipfs.") => Ok(format!("/ipfs/{cid}/{path}")),
        Some((name, rest)) if rest.starts_with("ipns.") => Ok(format!("/ipns/{name}/{path}")),
        _ => Err("there is no CID in this URL: it has neither /ipfs/ nor .ipfs. in it".into()),
    }
}

fn percent_decoded(text: &str) -> Result<String, String> {
    percent::decode(text).map_err(|error| format!("{text:?}: {error}"))
}

/// A CID of something that can be got.
fn content(name: &str) -> Result<Cid, String> {
    let cid = parse_cid(name)?;
    // The hash of a key names no block, and what its owner says is behind /ipns/ alone.
    match cid.codec() {
        LIBP2P_KEY => Err(format!(
            "it is the name of a key, and stands for what its owner says; give /ipns/{name}"
        )),
        _ => Ok(cid),
    }
}

/// The codec of CIDs that are names of keys.
const LIBP2P_KEY: u64 = 0x72;

fn parse_cid(name: &str) -> Result<Cid, String> {
    if name.is_empty() {
        return Err("it is empty".into());
    }
    let is_v0 = name.starts_with("Qm");
    let base = if is_v0 { Base::Base58Btc } else { base(name)? };
    let digits = if is_v0 { name } else { &name[1..] };
    only_digits(base, digits, name)?;
    if is_v0 && name.len() != 46 {
        let length = name.len();
        return Err(format!("a CID that begins with Qm has 46 characters, and this one {length}"));
    }
    let bytes = base
        .decode(digits)
        .map_err(|_| "characters of it are missing, or there are too many".to_owned())?;
    let cid = Cid::try_from(bytes.as_slice()).map_err(|error| fault(&error))?;
    match bytes.len() - cid.encoded_len() {
        0 if !is_v0 && cid.version() == Version::V0 => {
            Err(format!("a CID of version 0 has no prefix {:?}; give {cid}", &name[..1]))
        }
        0 => Ok(cid),
        _ => Err("there are characters too many at its end".into()),
    }
}

/// The base that the first character names.
fn base(name: &str) -> Result<Base, String> {
    let first = name.chars().next().unwrap_or_default();
    let base = Base::from_code(first).ok().filter(|base| *base != Base::Identity);
    base.ok_or_else(|| {
        format!(
            "it begins with {first:?}, and CIDs with a letter for their encoding, mostly b or Qm"
        )
    })
}

/// Looks for characters that are none of the base's.
fn only_digits(base: Base, digits: &str, name: &str) -> Result<(), String> {
    let (has, what): (fn(char) -> bool, &str) = match base {
        Base::Base32Lower => (|c| matches!(c, 'a'..='z' | '2'..='7'), "a to z and 2 to 7"),
        Base::Base32Upper => (|c| matches!(c, 'A'..='Z' | '2'..='7'), "A to Z and 2 to 7"),
        Base::Base16Lower => (|c| matches!(c, '0'..='9' | 'a'..='f'), "0 to 9 and a to f"),
        Base::Base36Lower => (|c| matches!(c, '0'..='9' | 'a'..='z'), "0 to 9 and a to z"),
        Base::Base58Btc => (
            |c| c.is_ascii_alphanumeric() && !matches!(c, '0' | 'O' | 'I' | 'l'),
            "letters and digits without 0, O, I and l",
        ),
        _ => return Ok(()),
    };
    let Some((at, wrong)) = digits.char_indices().find(|(_, c)| !has(*c)) else { return Ok(()) };
    let place = name[..name.len() - digits.len() + at].chars().count() + 1;
    Err(format!("character {place} is {wrong:?}, and in this encoding there are only {what}"))
}

fn fault(error: &cid::Error) -> String {
    match error {
        cid::Error::InvalidCidVersion | cid::Error::InvalidExplicitCidV0 => {
            "it is encoded text of something else: no CID".into()
        }
        cid::Error::InputTooShort | cid::Error::Io(_) | cid::Error::VarIntDecodeError => {
            "it ends too early: characters of it are missing".into()
        }
        // The digest's length is behind this one.
        cid::Error::ParsingError => "its hash has another length than it says".into(),
        error => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use cid::multibase;

    use super::*;

    fn parse_alone(text: &str) -> Result<Cid, String> {
        let CidPath { cid, path, .. } = parse_path(text)?;
        assert!(path.is_empty(), "{text:?}");
        Ok(cid)
    }

    const HELLO: &str = "bafkreiffsgtnic7uebaeuaixgph3pmmq2ywglpylzwrswv5so7m23hyuny";
    const KEY: &str = "k51qzi5uqu5dm4tm0wt8srkg9h9suud4wuiwjimndrkydqm81cqtlb5ak6p7ku";
    const V0: &str = "QmdfTbBqBPQ7VNxZEYEj14VmRuZBkqFbiwReogJgS1zR1n";

    #[test]
    fn a_cid_is_found_in_what_surrounds_it() {
        for cid in [HELLO, V0] {
            let expected: Cid = cid.parse().unwrap();
            for text in [
                cid.to_owned(),
                format!(" \t{cid}\r\n"),
                format!("/ipfs/{cid}"),
                format!("ipfs://{cid}/"),
                format!("https://example.test/ipfs/{cid}"),
            ] {
                assert_eq!(parse_alone(&text), Ok(expected), "{text:?}");
            }
        }
        // Every encoding of the same CID.
        let expected: Cid = HELLO.parse().unwrap();
        for base in [Base::Base58Btc, Base::Base16Lower, Base::Base36Lower, Base::Base64Url] {
            assert_eq!(parse_alone(&multibase::encode(base, expected.to_bytes())), Ok(expected));
        }
    }

    #[test]
    fn what_is_wrong_with_a_cid_is_said() {
        let (cut, long) = (&HELLO[..HELLO.len() - 8], format!("{HELLO}aaaaaaaa"));
        for (text, said) in [
            ("", "empty"),
            ("  ", "empty"),
            (&format!("{HELLO}/a/../b"), "no name"),
            ("/ipns/example.org", "IPNS"),
            (
                KEY,
                &format!("the name of a key, and stands for what its owner says; give /ipns/{KEY}"),
            ),
            (&format!("/ipfs/{KEY}/a"), &format!("give /ipns/{KEY}")),
            ("ipns://example.org", "IPNS"),
            (&format!("/ipns/{HELLO}"), "no name behind /ipns/"),
            ("/ipns/nonsense", "no name behind /ipns/"),
            ("https://example.test/", "no CID in this URL"),
            (&format!("ftp://{HELLO}"), "no address"),
            (&format!("ipfs://{HELLO}/a%2"), "two digits"),
            (&format!("ipfs://{HELLO}/%ff"), "not UTF-8"),
            ("xyz", "begins with 'x'"),
            ("?", "begins with '?'"),
            ("ä", "begins with 'ä'"),
            (&HELLO.replacen('7', "1", 1), "character 16 is '1'"),
            (&HELLO.to_uppercase().replacen('B', "b", 1), "character 2 is 'A'"),
            (&HELLO.replacen("kre", "k re", 1), "character 5 is ' '"),
            (cut, "characters of it are missing"),
            (&long, "characters too many"),
            (&V0[..45], "46 characters, and this one 45"),
            (&V0.replacen('d', "0", 1), "character 3 is '0'"),
            (&V0.replacen("dfT", "dfä", 1), "character 5 is 'ä'"),
            ("baaaaaaaa", "no CID"),
            (&format!("z{V0}"), &format!("give {V0}")),
        ] {
            let error = parse_alone(text).unwrap_err();
            assert!(error.contains(said), "{text:?}: {error}");
        }
    }

    #[test]
    fn a_path_follows_the_cid_in_every_form() {
        let path = |text: &str| {
            let parsed = parse_path(text).unwrap();
            assert_eq!(parsed.cid.to_string(), HELLO, "{text:?}");
            parsed.path.join("|")
        };
        for form in [
            "{}/a b/c",
            "/ipfs/{}/a b/c/",
            "ipfs://{}/a%20b/c",
            "{}//a b//c",
            "https://example.test/ipfs/{}/a%20b/c?format=raw#top",
            "https://{}.ipfs.example.test/a%20b/c",
            "http://{}.ipfs.localhost:8080/a%20b/c",
        ] {
            assert_eq!(path(&form.replace("{}", HELLO)), "a b|c", "{form:?}");
        }
        // Only URLs are encoded; what a URL encodes is part of a name.
        assert_eq!(path(&format!("{HELLO}/a%20b?c#d")), "a%20b?c#d");
        assert_eq!(path(&format!("ipfs://{HELLO}/a%2Fb")), "a/b");
        assert_eq!(path(&format!("{HELLO}/ipfs/x")), "ipfs|x");
        assert_eq!(
            parse_path(&format!("{HELLO}/a/b")).unwrap().to_string(),
            format!("{HELLO}/a/b")
        );
    }

    #[test]
    fn a_name_is_read_in_every_form_of_a_cid() {
        let key = KEY;
        for (text, read) in [
            ("/ipns/example.org/a b", "/ipns/example.org/a b"),
            ("ipns://example.org/a%20b?x#y", "/ipns/example.org/a b"),
            ("https://gateway.test/ipns/example.org/a%20b", "/ipns/example.org/a b"),
            ("https://docs-example-org.ipns.gateway.test/a", "/ipns/docs.example.org/a"),
            (&format!("/ipns/{key}"), &format!("/ipns/{key}")),
            (&format!("https://{key}.ipns.gateway.test/a"), &format!("/ipns/{key}/a")),
        ] {
            let what = parse_what(text).unwrap();
            assert_eq!((what.to_string().as_str(), what.cid()), (read, None), "{text}");
        }
        let cid: Cid = HELLO.parse().unwrap();
        let called = |text: &str| match parse_what(text).unwrap() {
            What::Name { name, file_name } => {
                CidPath::named(cid, Vec::new(), &name, file_name).name().map(str::to_owned)
            }
            What::Cid(_) => None,
        };
        assert_eq!(called("/ipns/example.org").as_deref(), Some("example.org"));
        assert_eq!(called("/ipns/example.org/a/b").as_deref(), Some("b"));
        assert_eq!(called("ipns://example.org/?filename=c").as_deref(), Some("c"));
    }

    #[test]
    fn the_name_is_the_last_of_the_path_or_what_the_url_says() {
        let name = |text: &str| parse_path(text).unwrap().name().map(str::to_owned);
        let known = |name: &str| Some(name.to_owned());
        assert_eq!(name(HELLO), None);
        assert_eq!(name(&format!("{HELLO}/a/b.txt")), known("b.txt"));
        let url = format!("https://example.test/ipfs/{HELLO}");
        assert_eq!(name(&format!("{url}?filename=a+b%2e.txt&x=y")), known("a b..txt"));
        assert_eq!(name(&format!("{url}/c?filename=../../etc/passwd")), known("c"));
        assert_eq!(name(&format!("{url}?filename=")), None);
        for elsewhere in ["..", "..%5Cx", "C:x", "C:%5Cx", "%5C%5Chost%5Cx", "x:stream", "a%0Ab"] {
            assert_eq!(name(&format!("{url}?filename={elsewhere}")), None, "{elsewhere}");
            if elsewhere != ".." {
                assert_eq!(name(&format!("{url}/{elsewhere}")), None, "{elsewhere}");
            }
        }
        assert_eq!(name(&format!("{url}/a/..%2Fx")), None);
        assert_eq!(name(&format!("{HELLO}/C:\\x")), None);
    }

    #[test]
    fn what_may_have_been_meant_by_a_mistyped_cid_is_said() {
        let peer = "12D3KooWDkNqEJNmreF3NYYFK1ws7Ra2fuW6cHBTu567SPV3LdYA";
        let address = format!("/ip4/192.0.2.1/tcp/4001/p2p/{peer}");
        for (text, meant) in [
            (&HELLO.to_uppercase().replacen('B', "b", 1), HELLO),
            (&HELLO.replacen('l', "1", 1), HELLO),
            (&HELLO.replacen('b', "8", 2).replacen('8', "b", 1), HELLO),
            (&format!("{}\n{}", &HELLO[..30], &HELLO[30..]), HELLO),
            (&format!("<{HELLO}>,"), HELLO),
            (&V0.replacen('o', "0", 1), V0),
            (&format!("({V0}/a)."), &format!("{V0}/a")),
            (&peer.to_owned(), "--from and an address"),
            (&address, &format!("--from {address},")),
        ] {
            let error = parse_path(text).unwrap_err();
            assert!(error.contains(&format!("did you mean {meant}")), "{text:?}: {error}");
        }
        // Nothing is made up.
        for text in ["nonsense", "/ipns/x", &HELLO[..40]] {
            let error = parse_path(text).unwrap_err();
            assert!(!error.contains("did you mean"), "{text:?}: {error}");
        }
    }

    #[test]
    fn a_ticket_says_what_it_is_called_and_where_it_is() {
        let peer = "12D3KooWDkNqEJNmreF3NYYFK1ws7Ra2fuW6cHBTu567SPV3LdYA";
        let text = format!("bitswap:v1/{HELLO}+name=a%20b+peer={peer}+addr=/ip4/192.0.2.1/tcp/1");
        let read = parse_path(&format!(" {text}\n")).unwrap();
        assert_eq!((read.cid.to_string().as_str(), read.name()), (HELLO, Some("a b")));
        let from: Vec<String> = read.from.iter().map(ToString::to_string).collect();
        assert_eq!(from, [format!("/ip4/192.0.2.1/tcp/1/p2p/{peer}")]);
        let error = parse_path(&text[..text.len() - 4]).unwrap_err();
        assert!(error.contains("its address \"/ip4/192.0.2.1/"), "{error}");
    }
}
