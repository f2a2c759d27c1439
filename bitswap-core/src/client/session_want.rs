//! One session and one want.

use super::session::Session;
use super::want_table::{OfSession, OfWant, Want};
use crate::time::Timestamp;
use crate::util::list::{Linked, Links};
use crate::util::rows::Ref;

/// Where a session's want stands, and which list of the session it is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Not asked yet; in the queue of its priority.
    Queued,
    /// Asked, or about to be.
    Asked,
    /// Nobody can be asked now.
    Waiting,
    /// Over; the session is to be told.
    Ended(End),
}

/// How a want ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Block,
    Stored,
    NotFound,
    TimedOut,
    ShutDown,
}

/// One session's want. It is in the list of its session that its stage says.
#[derive(Debug)]
pub(super) struct SessionWant {
    session: Ref<Session>,
    want: Ref<Want>,
    of_want: Links<Self>,
    of_session: Links<Self>,
    priority: i32,
    /// The block's size as the caller told, or as it was estimated when it was asked for; 0: not known.
    size: u32,
    /// The caller did not tell the size.
    is_size_guessed: bool,
    /// It is charged to the limits of download.
    is_charged: bool,
    stage: Stage,
    /// A provider lookup for it has ended since it started waiting.
    was_looked_up: bool,
    /// The peers that its session prefers have failed for it.
    is_open_to_others: bool,
    /// When the session's time for it is up.
    expires: Option<Timestamp>,
}

impl SessionWant {
    pub(super) fn new(
        session: Ref<Session>,
        want: Ref<Want>,
        priority: i32,
        size: u32,
        expires: Option<Timestamp>,
    ) -> Self {
        Self {
            session,
            want,
            of_want: Links::default(),
            of_session: Links::default(),
            priority,
            size,
            is_size_guessed: size == 0,
            is_charged: false,
            stage: Stage::Queued,
            was_looked_up: false,
            is_open_to_others: false,
            expires,
        }
    }

    pub(super) const fn session(&self) -> Ref<Session> {
        self.session
    }

    pub(super) const fn want(&self) -> Ref<Want> {
        self.want
    }

    pub(super) const fn priority(&self) -> i32 {
        self.priority
    }

    pub(super) const fn size(&self) -> u32 {
        self.size
    }

    pub(super) const fn is_size_guessed(&self) -> bool {
        self.is_size_guessed
    }

    pub(super) const fn stage(&self) -> Stage {
        self.stage
    }

    pub(super) const fn has_ended(&self) -> bool {
        matches!(self.stage, Stage::Ended(_))
    }

    /// Peers were asked for it, or would be if there were any.
    pub(super) const fn is_asked_or_waiting(&self) -> bool {
        matches!(self.stage, Stage::Asked | Stage::Waiting)
    }

    pub(super) const fn was_looked_up(&self) -> bool {
        self.was_looked_up
    }

    pub(super) const fn set_looked_up(&mut self) {
        self.was_looked_up = true;
    }

    /// Others than the peers that its session prefers may be asked, if it prefers any.
    pub(super) const fn is_open_to_others(&self) -> bool {
        self.is_open_to_others
    }

    pub(super) const fn open_to_others(&mut self) {
        self.is_open_to_others = true;
    }

    #[cfg(any(test, feature = "testing"))]
    pub(super) const fn expires(&self) -> Option<Timestamp> {
        self.expires
    }

    /// Its time is not limited any more.
    pub(super) const fn take_expiry(&mut self) -> Option<Timestamp> {
        self.expires.take()
    }

    /// Takes an estimate for a size that is not known.
    pub(super) const fn estimate_size(&mut self, expected: u32) {
        if self.size == 0 {
            self.size = expected;
        }
    }

    pub(super) const fn set_charged(&mut self) {
        self.is_charged = true;
    }

    /// It is not charged to the limits of download any more; whether it was.
    pub(super) const fn take_charged(&mut self) -> bool {
        core::mem::replace(&mut self.is_charged, false)
    }

    /// Called by the session's queue, which moves it between its lists.
    pub(super) const fn set_stage(&mut self, stage: Stage) {
        self.stage = stage;
    }

    /// Called by the session's queue, which has a list for each priority.
    pub(super) const fn set_priority(&mut self, priority: i32) {
        self.priority = priority;
    }
}

impl Linked<OfWant> for SessionWant {
    fn links(&self) -> &Links<Self> {
        &self.of_want
    }
    fn links_mut(&mut self) -> &mut Links<Self> {
        &mut self.of_want
    }
}

impl Linked<OfSession> for SessionWant {
    fn links(&self) -> &Links<Self> {
        &self.of_session
    }
    fn links_mut(&mut self) -> &mut Links<Self> {
        &mut self.of_session
    }
}
