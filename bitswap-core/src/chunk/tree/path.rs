//! Paths within a tree.

use alloc::string::String;
use alloc::sync::Arc;
use core::fmt;

use crate::chunk::unixfs::{DagFault, check_name};

/// The path of an entry in its tree: names with `/` between them; the root's is empty.
///
/// Every name in it is one component: not empty, not `.` or `..`, and without `/` and zero bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TreePath(Arc<str>);

impl TreePath {
    /// The root.
    #[must_use]
    pub fn root() -> Self {
        Self(Arc::from(""))
    }

    /// The entry of this name in the directory that has this path.
    ///
    /// # Errors
    ///
    /// [`DagFault::BadName`].
    pub fn join(&self, name: &str) -> Result<Self, DagFault> {
        check_name(name.as_bytes())?;
        if self.0.is_empty() {
            return Ok(Self(Arc::from(name)));
        }
        let mut path = String::with_capacity(self.0.len() + 1 + name.len());
        path.push_str(&self.0);
        path.push('/');
        path.push_str(name);
        Ok(Self(path.into()))
    }

    /// Whether it is that of the root.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The names, from the root down.
    pub fn components(&self) -> impl Iterator<Item = &str> {
        self.0.split('/').filter(|name| !name.is_empty())
    }

    /// The last name; empty for the root.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.rsplit_once('/').map_or(&self.0, |(_, name)| name)
    }

    /// The path as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Reads what [`Self::as_str`] gives.
    pub(super) fn parse(text: &str) -> Option<Self> {
        if text.is_empty() {
            return Some(Self::root());
        }
        text.split('/').all(|name| check_name(name.as_bytes()).is_ok()).then(|| Self(text.into()))
    }
}

impl fmt::Display for TreePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { f.write_str(".") } else { f.write_str(&self.0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_its_names_from_the_root_down() {
        use alloc::string::ToString as _;
        use alloc::vec::Vec;
        let root = TreePath::root();
        assert_eq!(
            (root.is_root(), root.name(), root.as_str(), &root.to_string()[..]),
            (true, "", "", ".")
        );
        assert_eq!(root.components().count(), 0);
        let one = root.join("one").unwrap();
        let two = one.join("two").unwrap();
        assert_eq!((one.as_str(), one.name(), two.name()), ("one", "one", "two"));
        assert_eq!(
            (two.as_str(), &two.to_string()[..], two.is_root()),
            ("one/two", "one/two", false)
        );
        assert_eq!(two.components().collect::<Vec<_>>(), ["one", "two"]);
        assert!(one.join("a/b").is_err() && root.join("..").is_err());
        assert_eq!(TreePath::parse("one/two"), Some(two));
        assert_eq!(TreePath::parse(""), Some(root));
        assert_eq!(
            [TreePath::parse("one//two"), TreePath::parse("/"), TreePath::parse("a/..")],
            [None, None, None]
        );
    }
}
