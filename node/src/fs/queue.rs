//! Operations that one thread of the pool does one after the other.
//!
//! Each by itself would cost more in handing it to a thread and waking that up than in the operation: most are one or
//! two calls of the system, and those on one file or directory wait for each other there anyway.

use std::collections::VecDeque;
use std::io;
use std::sync::Mutex;

use bitswap_core::chunk::Done;
use futures::channel::oneshot;

use super::locked;

/// Where the result of an operation goes.
pub(super) type Reply = oneshot::Sender<io::Result<Done>>;

/// Operations that wait, and whether a thread serves them.
#[derive(Debug)]
pub(super) struct Queue<E>(Mutex<State<E>>);

#[derive(Debug)]
struct State<E> {
    waiting: VecDeque<(E, Reply)>,
    is_served: bool,
}

impl<E> Default for Queue<E> {
    fn default() -> Self {
        Self(Mutex::new(State { waiting: VecDeque::new(), is_served: false }))
    }
}

impl<E> Queue<E> {
    /// Adds an operation. True when a thread must begin to [serve](Self::serve).
    pub(super) fn push(&self, effect: E, done: Reply) -> bool {
        let mut state = locked(&self.0);
        state.waiting.push_back((effect, done));
        !std::mem::replace(&mut state.is_served, true)
    }

    /// Performs what waits, until nothing does.
    pub(super) fn serve(&self, perform: impl Fn(E) -> io::Result<Done>) {
        while let Some((effect, done)) = self.next() {
            // Nobody waits any more if the answer cannot be sent.
            drop(done.send(perform(effect)));
        }
    }

    fn next(&self) -> Option<(E, Reply)> {
        let mut state = locked(&self.0);
        let next = state.waiting.pop_front();
        state.is_served = next.is_some();
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_thread_at_a_time_serves_and_everything_is_done_in_order() {
        let queue = Queue::default();
        let push = |number: u32| {
            let (done, result) = oneshot::channel();
            (queue.push(number, done), result)
        };
        let (first, _result) = push(1);
        let (second, _other) = push(2);
        assert!(first && !second);
        let performed = Mutex::new(Vec::new());
        let (third, third_result) = (Mutex::new(None), Mutex::new(None));
        queue.serve(|number| {
            locked(&performed).push(number);
            if number == 2 {
                // What comes meanwhile is done by the same thread.
                let (is_first, result) = push(3);
                (*locked(&third), *locked(&third_result)) = (Some(is_first), Some(result));
            }
            Ok(Done::Unit)
        });
        assert_eq!(*locked(&performed), [1, 2, 3]);
        assert_eq!(*locked(&third), Some(false));
        let mut result = locked(&third_result).take().unwrap();
        assert!(matches!(result.try_recv(), Ok(Some(Ok(Done::Unit)))));
        let (again, _result) = push(4);
        assert!(again, "after the end another one begins");
    }
}
