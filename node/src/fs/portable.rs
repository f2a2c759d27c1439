//! Which names of a tree's entries are taken.
//!
//! A tree is to be the same wherever it goes. So by default a name must be one on every system, and no two in a
//! directory may be the same to a system that ignores case, or how letters with accents are encoded.

use std::ffi::OsStr;
use std::hash::{DefaultHasher, Hasher as _};

use bitswap_core::chunk::NameRefusal;
use icu_normalizer::DecomposingNormalizerBorrowed;

use super::names::{NameFault, NameRules};

/// Takes the names that every system takes.
///
/// # Errors
///
/// Why one of them does not.
pub fn portable_names(name: &str) -> Result<Option<u64>, NameRefusal> {
    for rules in [NameRules::Unix, NameRules::Windows] {
        check(rules, name)?;
    }
    Ok(Some(folded(name)))
}

/// Takes the names that this system takes.
///
/// # Errors
///
/// Why it does not.
pub fn native_names(name: &str) -> Result<Option<u64>, NameRefusal> {
    check(NameRules::HERE, name)?;
    // These ignore case as they come.
    let folds = cfg!(any(windows, target_vendor = "apple"));
    Ok(folds.then(|| folded(name)))
}

fn check(rules: NameRules, name: &str) -> Result<(), NameRefusal> {
    rules.check(OsStr::new(name)).map_err(|fault| match fault {
        NameFault::NoName => NameRefusal::NoName,
        NameFault::Character(character) => NameRefusal::Character(character),
        NameFault::DotOrSpaceAtEnd => NameRefusal::DotOrSpaceAtEnd,
        NameFault::Device(device) => NameRefusal::Device(device),
    })
}

/// The same for names that differ only in case, or in how letters with accents are encoded.
fn folded(name: &str) -> u64 {
    let decompose = DecomposingNormalizerBorrowed::new_nfd();
    let upper: String = decompose.normalize(name).chars().flat_map(char::to_uppercase).collect();
    let lower: String = upper.chars().flat_map(char::to_lowercase).collect();
    let mut hasher = DefaultHasher::new();
    hasher.write(decompose.normalize(&lower).as_bytes());
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_some_system_takes_for_the_same_clash() {
        let same = |a: &str, b: &str| portable_names(a).unwrap() == portable_names(b).unwrap();
        for (a, b) in [
            ("README", "readme"),
            ("é", "e\u{301}"),
            ("É", "e\u{301}"),
            ("\u{1E9B}\u{323}", "\u{1E9B}\u{323}"),
            ("ǅ", "ǆ"),
            ("ΣΑΣ", "σας"),
            ("ﬀ", "FF"),
            ("한", "\u{1112}\u{1161}\u{11AB}"),
        ] {
            assert!(same(a, b), "{a:?} {b:?}");
        }
        for (a, b) in [("a", "b"), ("e", "é"), ("o", "ö"), ("a", "aa"), ("a b", "ab")] {
            assert!(!same(a, b), "{a:?} {b:?}");
        }
    }

    #[test]
    fn a_name_that_one_system_refuses_is_refused_everywhere() {
        for (name, why) in [
            ("a:b", NameRefusal::Character(':')),
            ("C:", NameRefusal::Character(':')),
            ("a\\b", NameRefusal::Character('\\')),
            ("..\\a", NameRefusal::Character('\\')),
            ("a/b", NameRefusal::Character('/')),
            ("nul.txt", NameRefusal::Device("NUL")),
            ("a.", NameRefusal::DotOrSpaceAtEnd),
            ("..", NameRefusal::NoName),
            ("", NameRefusal::NoName),
        ] {
            assert_eq!(portable_names(name), Err(why), "{name:?}");
        }
        if !cfg!(windows) {
            assert!(native_names("a:b").is_ok() && native_names("a/b").is_err());
        }
    }
}
