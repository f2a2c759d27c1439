//! The TCP transport over loopback.

use std::future::poll_fn;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::pin::Pin;

use async_io::block_on;
use bitswap_net_async_io::{TcpStream, TcpTransport};
use futures::future::{join, poll_immediate};
use futures::io::{AsyncReadExt as _, AsyncWriteExt as _};
use libp2p::Multiaddr;
use libp2p::core::transport::{DialOpts, ListenerId, PortUse, TransportError, TransportEvent};
use libp2p::core::{Endpoint, Transport as _};
use libp2p::multiaddr::Protocol;

type Event = TransportEvent<std::future::Ready<io::Result<TcpStream>>, io::Error>;

async fn next(transport: &mut TcpTransport) -> Event {
    poll_fn(|cx| Pin::new(&mut *transport).poll(cx)).await
}

/// Listens, and gives the address that is announced.
async fn listen(transport: &mut TcpTransport, on: &str) -> (ListenerId, Multiaddr) {
    let id = ListenerId::next();
    transport.listen_on(id, on.parse().unwrap()).unwrap();
    match next(transport).await {
        TransportEvent::NewAddress { listener_id, listen_addr } if listener_id == id => {
            (id, listen_addr)
        }
        event => panic!("{event:?}"),
    }
}

/// The next connection, and the addresses of its ends.
async fn accept(transport: &mut TcpTransport) -> (TcpStream, Multiaddr, Multiaddr) {
    match next(transport).await {
        TransportEvent::Incoming { upgrade, local_addr, send_back_addr, .. } => {
            (upgrade.await.unwrap(), local_addr, send_back_addr)
        }
        event => panic!("{event:?}"),
    }
}

const fn options(port_use: PortUse) -> DialOpts {
    DialOpts { role: Endpoint::Dialer, port_use }
}

fn dial(
    transport: &mut TcpTransport,
    address: &Multiaddr,
    port_use: PortUse,
) -> impl Future<Output = io::Result<TcpStream>> + use<> {
    transport.dial(address.clone(), options(port_use)).unwrap()
}

/// A connection from one transport to the other.
async fn connect(
    from: &mut TcpTransport,
    to: &mut TcpTransport,
    address: &Multiaddr,
) -> (TcpStream, TcpStream) {
    let dial = dial(from, address, PortUse::New);
    let (dialled, (accepted, ..)) = join(dial, accept(to)).await;
    (dialled.unwrap(), accepted)
}

fn port(address: &Multiaddr) -> u16 {
    match address.iter().last() {
        Some(Protocol::Tcp(port)) => port,
        _ => panic!("{address}"),
    }
}

#[test]
fn bytes_go_both_ways_over_ipv4_and_ipv6() {
    for on in ["/ip4/127.0.0.1/tcp/0", "/ip6/::1/tcp/0"] {
        block_on(async {
            let (mut a, mut b) = (TcpTransport::new(), TcpTransport::new());
            let (_, address) = listen(&mut a, on).await;
            assert_ne!(port(&address), 0, "the system's choice is announced");
            let (mut dialled, mut accepted) = connect(&mut b, &mut a, &address).await;

            let sent: Vec<u8> = (0..3_000_000_u32).map(|n| (n / 251) as u8).collect();
            let mut received = vec![0; sent.len()];
            let (written, read) =
                join(dialled.write_all(&sent), accepted.read_exact(&mut received)).await;
            written.unwrap();
            read.unwrap();
            assert!(received == sent);
            accepted.write_all(b"thanks").await.unwrap();
            let mut thanks = [0; 6];
            dialled.read_exact(&mut thanks).await.unwrap();
            assert_eq!(&thanks, b"thanks");
        });
    }
}

#[test]
fn closing_ends_the_sending_half_and_no_more() {
    block_on(async {
        let (mut a, mut b) = (TcpTransport::new(), TcpTransport::new());
        let (_, address) = listen(&mut a, "/ip4/127.0.0.1/tcp/0").await;
        let (mut dialled, mut accepted) = connect(&mut b, &mut a, &address).await;
        dialled.close().await.unwrap();
        let mut nothing = Vec::new();
        accepted.read_to_end(&mut nothing).await.unwrap();
        assert_eq!(nothing, []);
        accepted.write_all(b"still here").await.unwrap();
        drop(accepted);
        let mut rest = Vec::new();
        dialled.read_to_end(&mut rest).await.unwrap();
        assert_eq!(rest, b"still here");
        dialled.close().await.expect("a second close, after the peer has gone");
    });
}

#[test]
fn both_ends_know_each_other_by_the_same_addresses() {
    block_on(async {
        let (mut a, mut b) = (TcpTransport::new(), TcpTransport::new());
        let (_, address) = listen(&mut a, "/ip4/127.0.0.1/tcp/0").await;
        let dial = dial(&mut b, &address, PortUse::New);
        let (dialled, (_accepted, local, remote)) = join(dial, accept(&mut a)).await;
        assert_eq!(local, address);
        let from = dialled.unwrap().local_address().unwrap();
        assert_eq!(remote, format!("/ip4/127.0.0.1/tcp/{}", from.port()).parse().unwrap());
    });
}

#[cfg(unix)]
#[test]
fn a_dial_leaves_from_the_listening_port_unless_a_new_one_is_asked_for() {
    block_on(async {
        let (mut a, mut b) = (TcpTransport::new(), TcpTransport::new());
        let (_, address) = listen(&mut a, "/ip4/127.0.0.1/tcp/0").await;
        let (_, own) = listen(&mut b, "/ip4/127.0.0.1/tcp/0").await;

        let first = dial(&mut b, &address, PortUse::Reuse);
        let (first, (_kept, _, from)) = join(first, accept(&mut a)).await;
        assert_eq!(from, own);

        // The pair of ports is in use now: the second connection needs another port.
        let second = dial(&mut b, &address, PortUse::Reuse);
        let (second, (_kept, _, from)) = join(second, accept(&mut a)).await;
        assert_ne!(from, own);

        let third = dial(&mut b, &address, PortUse::New);
        let (third, (_kept, _, from)) = join(third, accept(&mut a)).await;
        assert_ne!(from, own);
        assert!(first.is_ok() && second.is_ok() && third.is_ok());
    });
}

#[test]
fn a_transport_can_dial_itself() {
    block_on(async {
        let mut transport = TcpTransport::new();
        let (_, address) = listen(&mut transport, "/ip4/127.0.0.1/tcp/0").await;
        let dial = dial(&mut transport, &address, PortUse::Reuse);
        let (dialled, (accepted, ..)) = join(dial, accept(&mut transport)).await;
        assert_ne!(
            dialled.unwrap().local_address().unwrap(),
            accepted.local_address().unwrap(),
            "not one socket connected to itself"
        );
    });
}

#[test]
fn an_unspecified_address_listens_on_every_interface() {
    block_on(async {
        let (mut a, mut b) = (TcpTransport::new(), TcpTransport::new());
        a.listen_on(ListenerId::next(), "/ip4/0.0.0.0/tcp/0".parse().unwrap()).unwrap();
        // One event for each interface, in no order; loopback is among them.
        let address = loop {
            match next(&mut a).await {
                TransportEvent::NewAddress { listen_addr, .. } => {
                    assert!(!listen_addr.to_string().contains("0.0.0.0"), "{listen_addr}");
                    if listen_addr.to_string().starts_with("/ip4/127.0.0.1/") {
                        break listen_addr;
                    }
                }
                event => panic!("{event:?}"),
            }
        };
        let dial = dial(&mut b, &address, PortUse::New);
        let accept = async {
            loop {
                if let TransportEvent::Incoming { .. } = next(&mut a).await {
                    break;
                }
            }
        };
        let (dialled, ()) = join(dial, accept).await;
        dialled.unwrap();
    });
}

#[test]
fn a_removed_listener_says_so_and_is_gone() {
    block_on(async {
        let (mut a, mut b) = (TcpTransport::new(), TcpTransport::new());
        let (id, address) = listen(&mut a, "/ip4/127.0.0.1/tcp/0").await;
        assert!(a.remove_listener(id));
        match next(&mut a).await {
            TransportEvent::ListenerClosed { listener_id, reason: Ok(()) } => {
                assert_eq!(listener_id, id);
            }
            event => panic!("{event:?}"),
        }
        assert!(poll_immediate(next(&mut a)).await.is_none());
        assert!(!a.remove_listener(id));
        let error = dial(&mut b, &address, PortUse::New).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        // Its port is free again, for dials as well.
        TcpListener::bind((Ipv4Addr::LOCALHOST, port(&address))).unwrap();
    });
}

#[test]
fn closing_wakes_the_task_that_waits_for_the_next_event() {
    block_on(async {
        let mut transport = TcpTransport::new();
        let (id, _) = listen(&mut transport, "/ip4/127.0.0.1/tcp/0").await;
        let (waker, woken) = futures_test_waker();
        let mut cx = std::task::Context::from_waker(&waker);
        assert!(Pin::new(&mut transport).poll(&mut cx).is_pending());
        transport.remove_listener(id);
        assert!(woken());
    });
}

#[test]
fn listening_wakes_the_task_that_waits_for_the_next_event() {
    let mut transport = TcpTransport::new();
    let (waker, woken) = futures_test_waker();
    let mut cx = std::task::Context::from_waker(&waker);
    assert!(Pin::new(&mut transport).poll(&mut cx).is_pending());
    transport.listen_on(ListenerId::next(), "/ip4/127.0.0.1/tcp/0".parse().unwrap()).unwrap();
    assert!(woken());
}

/// A waker, and whether it was woken.
fn futures_test_waker() -> (std::task::Waker, impl Fn() -> bool) {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    struct Flag(AtomicBool);
    impl std::task::Wake for Flag {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::SeqCst);
        }
    }
    let flag = Arc::new(Flag(AtomicBool::new(false)));
    (flag.clone().into(), move || flag.0.load(Ordering::SeqCst))
}

#[test]
fn a_port_in_use_is_refused() {
    let other = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let SocketAddr::V4(taken) = other.local_addr().unwrap() else { panic!("not IPv4") };
    let address: Multiaddr = format!("/ip4/127.0.0.1/tcp/{}", taken.port()).parse().unwrap();
    match TcpTransport::new().listen_on(ListenerId::next(), address) {
        Err(TransportError::Other(error)) => assert_eq!(error.kind(), io::ErrorKind::AddrInUse),
        result => panic!("{result:?}"),
    }
}

#[test]
fn a_dial_does_nothing_before_it_is_polled() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    let address: Multiaddr = format!("/ip4/127.0.0.1/tcp/{port}").parse().unwrap();
    let dial = dial(&mut TcpTransport::new(), &address, PortUse::Reuse);
    assert_eq!(listener.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
    block_on(dial).unwrap();
    listener.accept().unwrap();
}

#[test]
fn what_is_not_plain_tcp_is_left_to_other_transports() {
    let mut transport = TcpTransport::new();
    for address in [
        "/ip4/127.0.0.1/udp/1/quic-v1",
        "/dns4/localhost/tcp/1",
        "/ip4/127.0.0.1/tcp/1/ws",
        "/ip4/127.0.0.1/tcp/0",
        "/ip4/0.0.0.0/tcp/1",
    ] {
        let address: Multiaddr = address.parse().unwrap();
        match transport.dial(address.clone(), options(PortUse::Reuse)) {
            Err(TransportError::MultiaddrNotSupported(refused)) => assert_eq!(refused, address),
            _ => panic!("{address} was dialled"),
        }
    }
    let address: Multiaddr = "/ip4/127.0.0.1/udp/0/quic-v1".parse().unwrap();
    let listening = transport.listen_on(ListenerId::next(), address);
    assert!(matches!(listening, Err(TransportError::MultiaddrNotSupported(_))));
}
