//! What names stand for, as long as they may be believed.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use super::path::NamePath;

/// Names that are remembered.
const NAMES_MAX: usize = 256;

/// The longest that a name is believed without a look, whatever its owner says.
const TTL_MAX: Duration = Duration::from_secs(24 * 3600);

/// What names stand for.
#[derive(Debug, Default)]
pub(crate) struct Names(Mutex<BTreeMap<String, (NamePath, SystemTime)>>);

impl Names {
    /// What a name stands for, if that is known and holds until after `now`.
    pub(super) fn get(&self, name: &str, now: SystemTime) -> Option<(NamePath, Duration)> {
        let names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (target, until) = names.get(name)?;
        let left = until.duration_since(now).ok().filter(|left| !left.is_zero())?;
        Some((target.clone(), left))
    }

    /// Remembers for a while; of too many, the one that would be forgotten first gives way.
    pub(super) fn put(&self, name: String, target: NamePath, ttl: Duration, now: SystemTime) {
        let until = now + ttl.min(TTL_MAX);
        let mut names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        names.retain(|_, (_, until)| *until > now);
        if names.len() >= NAMES_MAX
            && let Some(first) = names.iter().min_by_key(|(_, (_, until))| *until)
        {
            let first = first.0.clone();
            names.remove(&first);
        }
        names.insert(name, (target, until));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_believed_for_its_time_and_no_longer_and_few_are_remembered() {
        let names = Names::default();
        let target: NamePath = "/ipns/example.org".parse().unwrap();
        let (now, minute) = (SystemTime::UNIX_EPOCH, Duration::from_secs(60));
        names.put("a".to_owned(), target.clone(), minute, now);
        assert_eq!(names.get("a", now + minute / 2), Some((target.clone(), minute / 2)));
        assert_eq!(names.get("a", now + minute), None);
        names.put("a".to_owned(), target.clone(), Duration::MAX, now);
        assert_eq!(names.get("a", now + TTL_MAX), None);
        for number in 0..2 * NAMES_MAX {
            names.put(number.to_string(), target.clone(), minute, now);
        }
        assert!(names.0.lock().unwrap().len() <= NAMES_MAX);
        assert!(names.get(&(2 * NAMES_MAX - 1).to_string(), now).is_some());
    }
}
