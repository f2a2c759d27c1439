//! CIDs as people give them: with white space around, as a path or a URL, or broken.

use cid::multibase::Base;
use cid::{Cid, Version};

/// Reads a CID. What is wrong with one that is none is said in the error.
pub(crate) fn parse(text: &str) -> Result<Cid, String> {
    let text = text.trim();
    let name = text.strip_prefix("ipfs://").unwrap_or(text);
    let name = name.find("/ipfs/").map_or(name, |at| &name[at + "/ipfs/".len()..]);
    let name = name.trim_end_matches('/');
    if name.is_empty() {
        return Err("it is empty".into());
    }
    if name.contains('/') {
        return Err("it is a path; give the CID of the file itself".into());
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

    const HELLO: &str = "bafkreiffsgtnic7uebaeuaixgph3pmmq2ywglpylzwrswv5so7m23hyuny";
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
                assert_eq!(parse(&text), Ok(expected), "{text:?}");
            }
        }
        // Every encoding of the same CID.
        let expected: Cid = HELLO.parse().unwrap();
        for base in [Base::Base58Btc, Base::Base16Lower, Base::Base36Lower, Base::Base64Url] {
            assert_eq!(parse(&multibase::encode(base, expected.to_bytes())), Ok(expected));
        }
    }

    #[test]
    fn what_is_wrong_with_a_cid_is_said() {
        let (cut, long) = (&HELLO[..HELLO.len() - 8], format!("{HELLO}aaaaaaaa"));
        for (text, said) in [
            ("", "empty"),
            ("  ", "empty"),
            (&format!("/ipfs/{HELLO}/name"), "a path"),
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
            let error = parse(text).unwrap_err();
            assert!(error.contains(said), "{text:?}: {error}");
        }
    }
}
