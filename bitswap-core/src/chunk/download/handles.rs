//! The lock and the one open file of a download.
//!
//! One file is open at a time, and the temporary file only under the lock.

use super::effects::{Effect, FileRole};

/// How a step changes the lock or the open file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HandleChange {
    Lock,
    Unlock,
    Open(FileRole),
    Close,
    None,
}

/// An effect that a stage waits for, and how it changes the handles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) effect: Effect,
    pub(super) change: HandleChange,
}

impl Step {
    /// The step of an effect.
    pub(super) const fn of(effect: Effect) -> Self {
        let change = match &effect {
            Effect::Lock => HandleChange::Lock,
            Effect::Unlock => HandleChange::Unlock,
            Effect::Open { role, .. } => HandleChange::Open(*role),
            Effect::Close { .. } => HandleChange::Close,
            _ => HandleChange::None,
        };
        Self { effect, change }
    }
}

/// See the [module](self).
#[derive(Clone, Debug, Default)]
pub(super) struct Handles {
    is_locked: bool,
    open: Option<FileRole>,
}

impl Handles {
    pub(super) const fn is_locked(&self) -> bool {
        self.is_locked
    }

    pub(super) const fn open(&self) -> Option<FileRole> {
        self.open
    }

    /// A step was answered.
    pub(super) fn apply(&mut self, change: HandleChange, succeeded: bool) {
        match change {
            HandleChange::Lock => self.is_locked = succeeded,
            HandleChange::Unlock => self.is_locked = false,
            HandleChange::Open(role) if succeeded => {
                debug_assert_eq!(self.open, None, "one file at a time");
                self.open = Some(role);
            }
            // Whatever close returns, the handle is gone.
            HandleChange::Close => self.open = None,
            HandleChange::Open(_) | HandleChange::None => {}
        }
    }

    /// Checks the structure.
    ///
    /// # Panics
    ///
    /// When the temporary file is open without the lock.
    #[cfg(any(test, feature = "testing"))]
    pub(super) fn validate(&self) {
        assert!(self.open != Some(FileRole::Temp) || self.is_locked, "open without the lock");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_open_from_a_successful_open_to_any_close() {
        let open = Step::of(Effect::Open { role: FileRole::Temp, create: true });
        let close = Step::of(Effect::Close { role: FileRole::Temp });
        let mut handles = Handles::default();
        handles.apply(HandleChange::Lock, true);
        handles.apply(open.change, false);
        assert_eq!((handles.is_locked(), handles.open()), (true, None));
        handles.apply(open.change, true);
        handles.apply(Step::of(Effect::Sync).change, false);
        handles.validate();
        assert_eq!(handles.open(), Some(FileRole::Temp));
        handles.apply(close.change, false);
        assert_eq!(handles.open(), None);
        handles.apply(Step::of(Effect::Unlock).change, false);
        assert!(!handles.is_locked());
    }
}
