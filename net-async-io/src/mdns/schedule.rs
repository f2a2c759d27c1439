//! When to ask and when to answer on one interface.

use std::time::{Duration, Instant};

/// The pause after the first query; it doubles until it is [`QUERY_INTERVAL`].
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// The pause between queries in the long run, as other implementations have it.
const QUERY_INTERVAL: Duration = Duration::from_secs(5 * 60);

/// What is multicast reaches everybody, so nobody needs to hear it again within this time (RFC 6762,
/// 6): a flood of queries is not answered by a flood.
const ANSWER_PAUSE: Duration = Duration::from_secs(1);

/// Queries and answers of one interface.
#[derive(Clone, Debug)]
pub(super) struct Schedule {
    query_at: Instant,
    pause: Duration,
    /// The query to answer, when an answer is owed.
    owed: Option<u16>,
    /// The earliest time for the next answer.
    answer_from: Instant,
}

/// Something to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    Query,
    /// To the query with this number.
    Answer(u16),
}

impl Schedule {
    pub(super) const fn new(now: Instant) -> Self {
        Self { query_at: now, pause: FIRST_PAUSE, owed: None, answer_from: now }
    }

    /// Somebody asked, or our addresses changed (then the number is 0).
    pub(super) const fn owe_answer(&mut self, query: u16) {
        self.owed = Some(query);
    }

    /// The next thing to send now.
    pub(super) fn next(&mut self, now: Instant) -> Option<Due> {
        if self.query_at <= now {
            self.query_at = now + self.pause;
            self.pause = (self.pause * 2).min(QUERY_INTERVAL);
            return Some(Due::Query);
        }
        if self.answer_from <= now
            && let Some(query) = self.owed.take()
        {
            self.answer_from = now + ANSWER_PAUSE;
            return Some(Due::Answer(query));
        }
        None
    }

    /// When the next thing is due.
    pub(super) fn wake_at(&self) -> Instant {
        match self.owed {
            Some(_) => self.query_at.min(self.answer_from),
            None => self.query_at,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_frequent_at_first_and_rare_later() {
        let start = Instant::now();
        let mut schedule = Schedule::new(start);
        let mut at = Vec::new();
        let mut now = start;
        while at.len() < 12 {
            assert_eq!(schedule.next(now), Some(Due::Query));
            assert_eq!(schedule.next(now), None);
            at.push((now - start).as_secs());
            now = schedule.wake_at();
        }
        assert_eq!(at, [0, 1, 3, 7, 15, 31, 63, 127, 255, 511, 811, 1111]);
    }

    #[test]
    fn a_thousand_queries_in_a_second_get_one_answer_each_second() {
        let start = Instant::now();
        let mut schedule = Schedule::new(start);
        assert_eq!(schedule.next(start), Some(Due::Query));
        let mut answers = Vec::new();
        for step in 0..3000_u16 {
            let now = start + Duration::from_millis(step.into());
            schedule.owe_answer(step);
            while let Some(due) = schedule.next(now) {
                if due != Due::Query {
                    answers.push((step, due));
                }
            }
        }
        let answered = |at| (at, Due::Answer(at));
        assert_eq!(answers, [answered(0), answered(1000), answered(2000)]);
    }

    #[test]
    fn an_answer_that_has_to_wait_is_given_when_it_may() {
        let start = Instant::now();
        let mut schedule = Schedule::new(start);
        assert_eq!(schedule.next(start), Some(Due::Query));
        schedule.owe_answer(1);
        assert_eq!(schedule.next(start), Some(Due::Answer(1)));
        schedule.owe_answer(2);
        assert_eq!(schedule.next(start), None);
        // The second query is due at the same time and goes first.
        assert_eq!(schedule.wake_at(), start + ANSWER_PAUSE);
        let now = schedule.wake_at();
        assert_eq!(schedule.next(now), Some(Due::Query));
        assert_eq!(schedule.next(now), Some(Due::Answer(2)));
        assert_eq!(schedule.next(now), None);
    }
}
