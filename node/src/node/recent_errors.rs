//! The last errors of a node, for whoever looks for what is wrong.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bitswap_core::Timestamp;

/// Errors that are remembered.
const ERRORS_MAX: usize = 20;
/// Bytes of each, at most.
const LEN_MAX: usize = 1024;

/// An error that a node has met.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct RecentError {
    /// How long ago.
    pub ago: Duration,
    /// What it was, for people.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::serde_text::serialize"))]
    pub message: Arc<str>,
}

/// The last errors, oldest first.
#[derive(Debug, Default)]
pub(super) struct RecentErrors(VecDeque<(Timestamp, Arc<str>)>);

impl RecentErrors {
    pub(super) fn note(&mut self, message: &str, now: Timestamp) {
        if self.0.len() == ERRORS_MAX {
            self.0.pop_front();
        }
        let len = (0..=LEN_MAX.min(message.len())).rev().find(|at| message.is_char_boundary(*at));
        let len = len.unwrap_or_default();
        self.0.push_back((now, message[..len].into()));
    }

    /// What is remembered at `now`.
    pub(super) fn list(&self, now: Timestamp) -> Vec<RecentError> {
        let error = |(at, message): &(Timestamp, Arc<str>)| RecentError {
            ago: now.since(*at),
            message: message.clone(),
        };
        self.0.iter().map(error).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_twenty_errors_are_remembered_and_each_is_short() {
        let mut errors = RecentErrors::default();
        for number in 0..25 {
            errors.note(&format!("error {number}"), Timestamp::from_micros(number * 1_000_000));
        }
        let listed = errors.list(Timestamp::from_micros(30_000_000));
        assert_eq!(listed.len(), 20);
        assert_eq!((&*listed[0].message, listed[0].ago.as_secs()), ("error 5", 25));
        assert_eq!((&*listed[19].message, listed[19].ago.as_secs()), ("error 24", 6));
        errors.note(&"é".repeat(2000), Timestamp::ZERO);
        assert_eq!(errors.list(Timestamp::ZERO)[19].message.len(), LEN_MAX);
    }
}
