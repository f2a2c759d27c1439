//! The messages of one peer that the transport has.
//!
//! Invariant: every message has a number of its own, and at least one response.

use alloc::vec::Vec;

use crate::memory::list;
use crate::util::rows::Id;

use super::want::{Response, Want};

/// A response within a message. Its want may have ended since.
#[derive(Clone, Copy, Debug)]
pub(super) struct SentResponse {
    pub(super) want: Id<Want>,
    pub(super) response: Response,
}

/// A message that the transport has.
#[derive(Debug)]
pub(super) struct Unanswered {
    pub(super) seq: u32,
    pub(super) responses: Vec<SentResponse>,
}

/// The messages of one peer that the transport has neither taken nor refused.
#[derive(Debug, Default)]
pub(super) struct InFlight(Vec<Unanswered>);

impl InFlight {
    /// A message was handed to the transport.
    pub(super) fn push(&mut self, seq: u32, responses: Vec<SentResponse>) {
        self.0.push(Unanswered { seq, responses });
    }

    /// Takes out the responses of a message that was answered.
    pub(super) fn remove(&mut self, seq: u32) -> Option<Vec<SentResponse>> {
        let at = self.0.iter().position(|message| message.seq == seq)?;
        let message = self.0.remove(at);
        if self.0.is_empty() {
            self.0 = Vec::new();
        }
        Some(message.responses)
    }

    /// Takes out all, oldest first.
    pub(super) fn remove_all(&mut self) -> Vec<Unanswered> {
        core::mem::take(&mut self.0)
    }

    /// Bytes allocated.
    pub(super) fn heap_bytes(&self) -> usize {
        let responses: usize = self.0.iter().map(|message| message.responses.capacity()).sum();
        self.0.capacity() * size_of::<Unanswered>() + responses * size_of::<SentResponse>()
    }

    /// The most bytes of so many messages with so many responses each.
    pub(super) const fn heap_bytes_max(messages: u64, responses: u64) -> u64 {
        list::<Unanswered>(messages) + messages * list::<SentResponse>(responses)
    }

    /// What breaks the invariant, if anything does: for tests.
    #[cfg(any(test, feature = "testing"))]
    pub(super) fn validate(&self) -> Result<(), &'static str> {
        for (at, message) in self.0.iter().enumerate() {
            if message.responses.is_empty() {
                return Err("a message in flight has no response");
            }
            if self.0.iter().skip(at + 1).any(|other| other.seq == message.seq) {
                return Err("two messages in flight have the same number");
            }
        }
        Ok(())
    }

    /// The numbers of the messages: for tests.
    #[cfg(any(test, feature = "testing"))]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    #[test]
    fn a_message_is_answered_once_and_an_empty_list_holds_no_memory() {
        let response = SentResponse { want: Id::from_bits(7), response: Response::Have };
        let mut in_flight = InFlight::default();
        in_flight.push(4, vec![response]);
        in_flight.push(5, vec![response, response]);
        in_flight.validate().unwrap();
        assert_eq!(in_flight.remove(4).map(|responses| responses.len()), Some(1));
        assert!(in_flight.remove(4).is_none());
        assert_eq!(in_flight.remove(5).map(|responses| responses.len()), Some(2));
        assert_eq!(in_flight.heap_bytes(), 0);
        in_flight.push(6, vec![response]);
        assert_eq!(in_flight.remove_all().len(), 1);
        assert_eq!(in_flight.heap_bytes(), 0);
    }

    #[test]
    fn a_number_used_twice_is_noticed() {
        let response = SentResponse { want: Id::from_bits(7), response: Response::Have };
        let mut in_flight = InFlight::default();
        in_flight.push(4, vec![response]);
        in_flight.push(4, vec![response]);
        assert!(in_flight.validate().is_err());
    }

    #[test]
    fn messages_and_their_responses_take_room() {
        let response = SentResponse { want: Id::from_bits(7), response: Response::Have };
        let mut in_flight = InFlight::default();
        in_flight.push(4, vec![response; 3]);
        in_flight.push(5, vec![response; 4]);
        let messages = in_flight.0.capacity() * size_of::<Unanswered>();
        assert_eq!(in_flight.heap_bytes(), messages + 7 * size_of::<SentResponse>());
        assert_eq!(in_flight.len(), 2);
    }
}
