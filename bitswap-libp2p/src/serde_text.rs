//! Values as their text.

use std::fmt::Display;

use serde::Serializer;

/// Serializes what is displayed.
pub(crate) fn serialize<S: Serializer>(value: &impl Display, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(value)
}

/// Serializes a list of what is displayed.
pub(crate) fn serialize_all<S: Serializer>(
    values: &[impl Display],
    to: S,
) -> Result<S::Ok, S::Error> {
    to.collect_seq(values.iter().map(ToString::to_string))
}
