//! Connections that are being set up: so many at a time, and then the oldest is closed.
//!
//! Whoever connects holds a socket of ours until encryption has been negotiated, and need not know
//! more than the address. A honest peer is done within a few round trips. So when there are too many,
//! the one that has taken longest is closed, of the address block that has the most: nobody is refused.

use std::collections::BTreeMap;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use libp2p::Multiaddr;
use libp2p::core::transport::{DialOpts, ListenerId, Transport, TransportError, TransportEvent};

use crate::address_block::AddressBlock;

/// A transport with a bound on the inbound connections that are being set up.
pub(crate) struct Bounded<T> {
    inner: T,
    slots: Slots,
}

/// The slots of those being set up.
#[derive(Clone)]
pub(crate) struct Slots(Arc<Mutex<Table>>);

struct Table {
    max: usize,
    next: u64,
    taken: BTreeMap<u64, (AddressBlock, Option<Waker>)>,
}

/// A slot. Its holder is asked to give it up by being woken.
struct Slot {
    id: u64,
    slots: Slots,
}

impl Slots {
    pub(crate) fn new(max: usize) -> Self {
        Self(Arc::new(Mutex::new(Table { max: max.max(1), next: 0, taken: BTreeMap::new() })))
    }

    /// Takes a slot, and somebody else's if there is none.
    fn take(&self, block: AddressBlock) -> Slot {
        let mut table = self.lock();
        let id = table.next;
        table.next += 1;
        table.taken.insert(id, (block, None));
        let mut woken = None;
        if table.taken.len() > table.max {
            let mut crowds: BTreeMap<AddressBlock, (usize, u64)> = BTreeMap::new();
            for (id, (block, _)) in &table.taken {
                crowds.entry(*block).or_insert((0, *id)).0 += 1;
            }
            let oldest =
                crowds.into_values().max_by_key(|(count, oldest)| (*count, u64::MAX - oldest));
            woken = oldest.and_then(|(_, oldest)| table.taken.remove(&oldest)?.1);
        }
        drop(table);
        woken.into_iter().for_each(Waker::wake);
        Slot { id, slots: self.clone() }
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        // Nothing panics while it holds the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slot {
    /// Whether the slot was given to somebody else; if not, this task is woken when it is.
    fn is_lost(&self, task: &Waker) -> bool {
        match self.slots.lock().taken.get_mut(&self.id) {
            None => true,
            Some((_, known)) => {
                *known = Some(task.clone());
                false
            }
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.slots.lock().taken.remove(&self.id);
    }
}

impl<T> Bounded<T> {
    pub(crate) fn new(inner: T, max: usize) -> Self {
        Self { inner, slots: Slots::new(max) }
    }
}

impl<T> Transport for Bounded<T>
where
    T: Transport<Error = io::Error> + Unpin,
    T::ListenerUpgrade: Send + 'static,
    T::Output: 'static,
{
    type Output = T::Output;
    type Error = io::Error;
    type ListenerUpgrade = BoxFuture<'static, io::Result<T::Output>>;
    type Dial = T::Dial;

    fn listen_on(
        &mut self,
        id: ListenerId,
        on: Multiaddr,
    ) -> Result<(), TransportError<io::Error>> {
        self.inner.listen_on(id, on)
    }

    fn remove_listener(&mut self, id: ListenerId) -> bool {
        self.inner.remove_listener(id)
    }

    fn dial(&mut self, to: Multiaddr, how: DialOpts) -> Result<T::Dial, TransportError<io::Error>> {
        self.inner.dial(to, how)
    }

    fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<TransportEvent<Self::ListenerUpgrade, io::Error>> {
        let event = std::task::ready!(Pin::new(&mut self.inner).poll(cx));
        Poll::Ready(match event {
            TransportEvent::Incoming { listener_id, upgrade, local_addr, send_back_addr } => {
                let slot = self.slots.take(AddressBlock::of(&send_back_addr));
                let upgrade = holding(slot, upgrade).boxed();
                TransportEvent::Incoming { listener_id, upgrade, local_addr, send_back_addr }
            }
            other => other.map_upgrade(|_| unreachable!("only what is incoming has an upgrade")),
        })
    }
}

/// Sets a connection up, as long as it has its slot.
async fn holding<T>(slot: Slot, upgrade: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    let mut upgrade = std::pin::pin!(upgrade);
    std::future::poll_fn(|cx| {
        if slot.is_lost(cx.waker()) {
            let why = "its set-up took too long while others waited";
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::ConnectionAborted, why)));
        }
        upgrade.as_mut().poll(cx)
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::sync::atomic::{AtomicU32, Ordering};

    use futures::task::{ArcWake, waker};

    use super::*;

    #[derive(Default)]
    struct Wakes(AtomicU32);

    impl ArcWake for Wakes {
        fn wake_by_ref(wakes: &Arc<Self>) {
            wakes.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn block(third: u8) -> AddressBlock {
        AddressBlock::of(&format!("/ip4/192.0.{third}.1/tcp/1").parse().unwrap())
    }

    type SetUp = Pin<Box<dyn Future<Output = io::Result<()>>>>;

    fn set_up(slots: &Slots, third: u8) -> SetUp {
        Box::pin(holding(slots.take(block(third)), pending()))
    }

    fn is_closed(set_up: &mut SetUp) -> bool {
        set_up.as_mut().now_or_never().is_some_and(|result| result.is_err())
    }

    #[test]
    fn who_takes_longest_of_the_most_crowded_block_gives_way() {
        let slots = Slots::new(4);
        let mut early = set_up(&slots, 1);
        let mut crowd: Vec<SetUp> = (0..3).map(|_| set_up(&slots, 2)).collect();
        assert!(crowd.iter_mut().chain([&mut early]).all(|one| !is_closed(one)), "there is room");
        let mut late: Vec<SetUp> = (0..2).map(|_| set_up(&slots, 2)).collect();
        assert!(is_closed(&mut crowd[0]) && is_closed(&mut crowd[1]), "the oldest of the crowd");
        assert!(late.iter_mut().all(|one| !is_closed(one)));
        assert!(!is_closed(&mut early), "it is alone in its block");
        drop((crowd, late, early));
        assert!(slots.lock().taken.is_empty());
    }

    #[test]
    fn who_gives_way_is_woken() {
        let slots = Slots::new(1);
        let mut first = set_up(&slots, 1);
        let wakes = Arc::new(Wakes::default());
        let task = waker(wakes.clone());
        assert!(first.as_mut().poll(&mut Context::from_waker(&task)).is_pending());
        let _second = set_up(&slots, 1);
        assert_eq!(wakes.0.load(Ordering::Relaxed), 1);
    }
}
