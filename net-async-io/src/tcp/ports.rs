//! Ports that are listened on, shared between the listeners and the dials that may leave from them.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The socket addresses that are listened on.
#[derive(Clone, Debug, Default)]
pub(crate) struct ListenPorts(Arc<Mutex<BTreeSet<SocketAddr>>>);

impl ListenPorts {
    pub(crate) fn add(&self, address: SocketAddr) {
        self.lock().insert(address);
    }

    pub(crate) fn remove(&self, address: SocketAddr) {
        self.lock().remove(&address);
    }

    /// The address that a dial to `remote` should be bound to: any interface, and the port of a
    /// listener that packets from there could reach. `None` without such a listener, and when
    /// `remote` is one itself: from the same port, the connection would meet itself.
    pub(crate) fn for_dial(&self, remote: SocketAddr) -> Option<SocketAddr> {
        let addresses = self.lock();
        if addresses.contains(&remote) {
            return None;
        }
        let local = addresses.iter().find(|local| {
            local.is_ipv4() == remote.is_ipv4()
                && local.ip().is_loopback() == remote.ip().is_loopback()
        })?;
        let any: IpAddr = match remote {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        Some(SocketAddr::new(any, local.port()))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeSet<SocketAddr>> {
        // No call panics while it holds the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_dial_leaves_from_a_listener_of_its_family_and_reach() {
        let ports = ListenPorts::default();
        assert_eq!(ports.for_dial(at("192.0.2.1:9")), None);
        ports.add(at("127.0.0.1:4001"));
        assert_eq!(
            ports.for_dial(at("192.0.2.1:9")),
            None,
            "loopback cannot be reached from there"
        );
        assert_eq!(ports.for_dial(at("[::1]:9")), None);
        assert_eq!(ports.for_dial(at("127.0.0.1:9")), Some(at("0.0.0.0:4001")));
        ports.add(at("[::1]:4002"));
        assert_eq!(ports.for_dial(at("[::1]:9")), Some(at("[::]:4002")));
        ports.remove(at("127.0.0.1:4001"));
        assert_eq!(ports.for_dial(at("127.0.0.1:9")), None);
    }

    #[test]
    fn a_dial_to_our_own_listener_leaves_from_another_port() {
        let ports = ListenPorts::default();
        ports.add(at("127.0.0.1:4001"));
        ports.add(at("127.0.0.1:4002"));
        assert_eq!(ports.for_dial(at("127.0.0.1:4001")), None);
    }
}
