//! The multicast socket of one network interface.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::task::{Context, Poll, ready};
use std::time::Instant;

use async_io::Async;
use if_watch::Ipv4Net;
use socket2::{Domain, Protocol, Socket, Type};

use super::schedule::Schedule;

/// Where multicast DNS is spoken.
const GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 251);
const PORT: u16 = 5353;

/// The largest packet that is read: RFC 6762 allows this much at most.
pub(super) const PACKET_MAX: usize = 9000;

/// One interface: its network, its socket and what is due on it.
#[derive(Debug)]
pub(super) struct Interface {
    net: Ipv4Net,
    socket: Async<UdpSocket>,
    pub(super) schedule: Schedule,
}

impl Interface {
    /// Joins the group on the interface with this address.
    pub(super) fn join(net: Ipv4Net, now: Instant) -> io::Result<Self> {
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
        // Other programs on this machine listen there too, and all of them get what is multicast.
        socket.set_reuse_address(true)?;
        #[cfg(all(unix, not(any(target_os = "solaris", target_os = "illumos"))))]
        socket.set_reuse_port(true)?;
        // Not what comes in on other interfaces: each has a socket of its own.
        #[cfg(target_os = "linux")]
        socket.set_multicast_all_v4(false)?;
        socket.bind(&SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, PORT).into())?;
        socket.join_multicast_v4(&GROUP, &net.addr())?;
        socket.set_multicast_if_v4(&net.addr())?;
        // Peers on the same machine hear it too.
        socket.set_multicast_loop_v4(true)?;
        socket.set_multicast_ttl_v4(255)?;
        socket.set_nonblocking(true)?;
        Ok(Self { net, socket: Async::new(socket.into())?, schedule: Schedule::new(now) })
    }

    /// Whether this address is the interface's own.
    pub(super) fn is_at(&self, ip: IpAddr) -> bool {
        ip == IpAddr::V4(self.net.addr())
    }

    /// Whether this address is on the interface's network, so that it can be reached from here.
    pub(super) fn reaches(&self, ip: IpAddr) -> bool {
        matches!(ip, IpAddr::V4(ip) if self.net.contains(&ip))
    }

    /// The next packet, and who sent it; `None` for one from another network, which was not multicast
    /// here. Each counts as one: who floods the port from elsewhere must not be read without end.
    pub(super) fn poll_receive(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<Option<(usize, IpAddr)>>> {
        loop {
            match self.socket.get_ref().recv_from(buffer) {
                Ok((length, from)) => {
                    let from = from.ip();
                    return Poll::Ready(Ok(self.reaches(from).then_some((length, from))));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready!(self.socket.poll_readable(cx))?;
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    /// Sends a packet to everybody on this network. A socket that is full drops it: it is datagrams
    /// after all, and the next query brings the same answer.
    pub(super) fn send(&self, packet: &[u8]) {
        let group = SocketAddr::V4(SocketAddrV4::new(GROUP, PORT));
        if let Err(error) = self.socket.get_ref().send_to(packet, group) {
            tracing::debug!(interface = %self.net, %error, "an mDNS packet was not sent");
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;
    use futures::future::poll_fn;

    use super::*;

    /// An interface of a network, whose socket is on loopback, and that socket's address.
    fn interface(net: Ipv4Net) -> (Interface, SocketAddr) {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = socket.local_addr().unwrap();
        let socket = Async::new(socket).unwrap();
        (Interface { net, socket, schedule: Schedule::new(Instant::now()) }, address)
    }

    #[test]
    fn packets_from_elsewhere_are_dropped_one_by_one() {
        let elsewhere = Ipv4Net::new(Ipv4Addr::new(192, 0, 2, 1), 24).unwrap();
        let here = Ipv4Net::new(Ipv4Addr::LOCALHOST, 8).unwrap();
        for (net, expected) in [(elsewhere, None), (here, Some((5, Ipv4Addr::LOCALHOST.into())))] {
            let (interface, address) = interface(net);
            let sender = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            let mut buffer = [0; PACKET_MAX];
            for _ in 0..3 {
                sender.send_to(b"flood", address).unwrap();
            }
            for _ in 0..3 {
                // On loopback a packet is there as soon as it was sent.
                let receive = poll_fn(|cx| interface.poll_receive(cx, &mut buffer));
                let received = receive.now_or_never().expect("a packet, wanted or not");
                assert_eq!(received.unwrap(), expected);
            }
            let receive = poll_fn(|cx| interface.poll_receive(cx, &mut buffer));
            assert!(receive.now_or_never().is_none());
        }
    }
}
