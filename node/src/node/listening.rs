//! Addresses that are about to be listened on, and who waits for them.

use std::collections::HashMap;
use std::io;

use futures::channel::oneshot;
use libp2p::Multiaddr;
use libp2p::core::transport::ListenerId;
use libp2p::swarm::{NetworkBehaviour, Swarm};

use crate::error::ListenError;

type Reply = oneshot::Sender<Result<Multiaddr, ListenError>>;

/// Listeners that have no address yet.
#[derive(Default)]
pub(super) struct Listening(HashMap<ListenerId, (Multiaddr, Reply)>);

impl Listening {
    /// Listens on an address; the answer is the first that others can dial.
    ///
    /// # Errors
    ///
    /// Why that cannot be; whoever waits is told too.
    pub(super) fn listen<B: NetworkBehaviour>(
        &mut self,
        swarm: &mut Swarm<B>,
        address: Multiaddr,
        reply: Reply,
    ) -> Result<(), String> {
        match swarm.listen_on(address.clone()) {
            Ok(id) => {
                self.0.insert(id, (address, reply));
                Ok(())
            }
            Err(reason) => Err(refuse(ListenError::Transport { address, reason }, reply)),
        }
    }

    /// A listener has an address.
    pub(super) fn begun(&mut self, id: ListenerId, address: &Multiaddr) {
        if let Some((_, reply)) = self.0.remove(&id) {
            // Whoever asked may have gone, here and below.
            let _ = reply.send(Ok(address.clone()));
        }
    }

    /// A listener has closed.
    ///
    /// # Errors
    ///
    /// Why, unless it was to close.
    pub(super) fn closed(
        &mut self,
        id: ListenerId,
        reason: Result<(), io::Error>,
    ) -> Result<(), String> {
        if let Some((address, reply)) = self.0.remove(&id) {
            return Err(refuse(ListenError::Closed { address, reason: reason.err() }, reply));
        }
        reason.map_err(|reason| format!("a listener has closed: {reason}"))
    }
}

/// Tells whoever waits. What it says.
fn refuse(error: ListenError, reply: Reply) -> String {
    let said = error.to_string();
    let _ = reply.send(Err(error));
    said
}
