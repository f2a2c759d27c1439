//! Rows in the order in which they joined, each at most once, from which any can leave.

use alloc::collections::BTreeMap;

use super::rows::Ref;

/// A row's place in a queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ticket(Option<u64>);

impl Ticket {
    /// Of a row that is not in the queue.
    pub(crate) const fn new() -> Self {
        Self(None)
    }

    pub(crate) const fn is_queued(self) -> bool {
        self.0.is_some()
    }
}

/// A queue of rows that stand for a `K`. Each row keeps its [`Ticket`].
#[derive(Debug)]
pub(crate) struct TicketQueue<K> {
    next: u64,
    rows: BTreeMap<u64, Ref<K>>,
}

impl<K> Default for TicketQueue<K> {
    fn default() -> Self {
        Self { next: 0, rows: BTreeMap::new() }
    }
}

impl<K> TicketQueue<K> {
    /// Adds a row at the back, unless its ticket says that it is there.
    pub(crate) fn push(&mut self, row: Ref<K>, ticket: &mut Ticket) {
        if ticket.0.is_none() {
            ticket.0 = Some(self.next);
            self.rows.insert(self.next, row);
            self.next += 1;
        }
    }

    /// Takes the row at the front; the caller clears its ticket.
    pub(crate) fn pop(&mut self) -> Option<Ref<K>> {
        self.rows.pop_first().map(|(_, row)| row)
    }

    /// Takes a row out, if it is there.
    pub(crate) fn remove(&mut self, ticket: &mut Ticket) {
        if let Some(ticket) = ticket.0.take() {
            self.rows.remove(&ticket);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Gives up what an empty queue keeps for the next time.
    pub(crate) fn release(&mut self) {
        if self.rows.is_empty() {
            self.rows = BTreeMap::new();
        }
    }

    /// Bytes allocated, about.
    pub(crate) fn bytes(&self) -> usize {
        self.rows.len() * size_of::<(u64, Ref<K>)>() * 3 / 2
    }

    pub(crate) const fn bytes_max(rows: u64) -> u64 {
        crate::memory::tree::<(u64, Ref<K>)>(rows)
    }

    /// The row is in the queue at the place that its ticket says.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn holds(&self, row: Ref<K>, ticket: Ticket) -> bool {
        ticket.0.is_some_and(|ticket| self.rows.get(&ticket) == Some(&row))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_leave_in_the_order_of_their_joining_or_by_their_ticket() {
        let mut queue: TicketQueue<()> = TicketQueue::default();
        let mut tickets = [Ticket::default(); 4];
        let row = Ref::from_place;
        for (place, ticket) in (0..).zip(&mut tickets) {
            queue.push(row(place), ticket);
            queue.push(row(place), ticket);
        }
        assert_eq!(queue.len(), 4);
        queue.remove(&mut tickets[1]);
        queue.remove(&mut tickets[1]);
        assert!(!tickets[1].is_queued() && queue.holds(row(2), tickets[2]));
        queue.push(row(1), &mut tickets[1]);
        assert!(core::iter::from_fn(|| queue.pop()).eq([0, 2, 3, 1].map(row)));
        queue.release();
        assert!(queue.is_empty() && queue.bytes() == 0);
    }

    #[test]
    fn a_queue_takes_its_rows_and_half_of_that() {
        let mut queue: TicketQueue<()> = TicketQueue::default();
        let mut tickets = [Ticket::new(); 6];
        for (place, ticket) in (0..).zip(&mut tickets) {
            queue.push(Ref::from_place(place), ticket);
        }
        assert_eq!(queue.bytes(), 9 * size_of::<(u64, Ref<()>)>());
    }
}
