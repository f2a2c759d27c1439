//! The system's DNS servers and hosts file, asked through the reactor.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use async_io::{Async, Timer};
use async_trait::async_trait;
use futures::future::{self, BoxFuture, Either};
use hickory_resolver::Resolver;
use hickory_resolver::config::{NameServerConfig, ResolverConfig};
use hickory_resolver::net::runtime::{self, DnsTcpStream, DnsUdpSocket, RuntimeProvider, Time};
use hickory_resolver::proto::rr::{RData, RecordType};
use libp2p::core::transport::PortUse;

use super::{IpVersion, Lookup, Resolve};
use crate::tcp::{TcpStream, connect};

/// How tasks are started on the executor of the program.
pub type Spawn = Arc<dyn Fn(BoxFuture<'static, ()>) + Send + Sync>;

/// The longest that connecting to a DNS server may take when the resolver does not say.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Looks names up as the system is configured to (`/etc/resolv.conf` and `/etc/hosts`, or the
/// registry), and keeps answers as long as they say.
#[derive(Clone)]
pub struct SystemResolver(Resolver<AsyncIo>);

impl fmt::Debug for SystemResolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SystemResolver").finish_non_exhaustive()
    }
}

impl SystemResolver {
    /// Reads the system's configuration.
    ///
    /// # Errors
    ///
    /// When there is none, or it does not parse.
    pub fn new(spawn: Spawn) -> io::Result<Self> {
        let builder = Resolver::builder(AsyncIo(spawn)).map_err(io::Error::other)?;
        Ok(Self(builder.build().map_err(io::Error::other)?))
    }

    /// Asks this server, and nothing that the system is configured to; without one it is [`Self::new`].
    ///
    /// # Errors
    ///
    /// When the resolver cannot be set up.
    pub fn with_server(server: Option<SocketAddr>, spawn: Spawn) -> io::Result<Self> {
        let Some(server) = server else { return Self::new(spawn) };
        let mut server_config = NameServerConfig::udp_and_tcp(server.ip());
        server_config.connections.iter_mut().for_each(|by| by.port = server.port());
        let config = ResolverConfig::from_parts(None, Vec::new(), vec![server_config]);
        let builder = Resolver::builder_with_config(config, AsyncIo(spawn));
        Ok(Self(builder.build().map_err(io::Error::other)?))
    }

    fn lookup<T: 'static>(
        &self,
        name: String,
        kind: RecordType,
        read: fn(&RData) -> Option<T>,
    ) -> Lookup<T> {
        let resolver = self.0.clone();
        Box::pin(async move {
            let answer = match resolver.lookup(name, kind).await {
                Ok(answer) => answer,
                Err(error) if error.is_no_records_found() => {
                    return Err(io::Error::new(io::ErrorKind::NotFound, error));
                }
                Err(error) => return Err(io::Error::other(error)),
            };
            Ok(answer.answers().iter().filter_map(|record| read(&record.data)).collect())
        })
    }
}

impl Resolve for SystemResolver {
    fn addresses(&self, host: String, version: IpVersion) -> Lookup<IpAddr> {
        let kind = match version {
            IpVersion::V4 => RecordType::A,
            IpVersion::V6 => RecordType::AAAA,
        };
        self.lookup(host, kind, RData::ip_addr)
    }

    fn texts(&self, name: String) -> Lookup<String> {
        self.lookup(name, RecordType::TXT, |data| match data {
            RData::TXT(text) => String::from_utf8(text.txt_data.concat()).ok(),
            _ => None,
        })
    }
}

/// Sockets, time and tasks for the resolver.
#[derive(Clone)]
struct AsyncIo(Spawn);

impl runtime::Spawn for AsyncIo {
    fn spawn_bg(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        (self.0)(Box::pin(task));
    }
}

impl RuntimeProvider for AsyncIo {
    type Handle = Self;
    type Timer = AsyncIoTime;
    type Udp = Udp;
    type Tcp = TcpStream;

    fn create_handle(&self) -> Self {
        self.clone()
    }

    fn connect_tcp(
        &self,
        server: SocketAddr,
        _: Option<SocketAddr>,
        timeout: Option<Duration>,
    ) -> Pin<Box<dyn Send + Future<Output = io::Result<TcpStream>>>> {
        let timeout = timeout.unwrap_or(CONNECT_TIMEOUT);
        let connect = connect(server, PortUse::New, Default::default());
        Box::pin(async move { AsyncIoTime::timeout(timeout, connect).await? })
    }

    fn bind_udp(
        &self,
        local: SocketAddr,
        _: SocketAddr,
    ) -> Pin<Box<dyn Send + Future<Output = io::Result<Udp>>>> {
        Box::pin(async move { Async::<UdpSocket>::bind(local).map(Udp) })
    }
}

impl DnsTcpStream for TcpStream {
    type Time = AsyncIoTime;
}

struct Udp(Async<UdpSocket>);

impl DnsUdpSocket for Udp {
    type Time = AsyncIoTime;

    fn poll_recv_from(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<(usize, SocketAddr)>> {
        loop {
            match self.0.get_ref().recv_from(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready!(self.0.poll_readable(cx))?;
                }
                done => return Poll::Ready(done),
            }
        }
    }

    fn poll_send_to(
        &self,
        cx: &mut Context<'_>,
        bytes: &[u8],
        to: SocketAddr,
    ) -> Poll<io::Result<usize>> {
        loop {
            match self.0.get_ref().send_to(bytes, to) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready!(self.0.poll_writable(cx))?;
                }
                done => return Poll::Ready(done),
            }
        }
    }
}

#[doc(hidden)]
#[derive(Debug)]
pub struct AsyncIoTime;

#[async_trait]
impl Time for AsyncIoTime {
    async fn delay_for(duration: Duration) {
        Timer::after(duration).await;
    }

    async fn timeout<F: Future + Send + 'static>(
        duration: Duration,
        future: F,
    ) -> io::Result<F::Output> {
        match future::select(pin!(future), Timer::after(duration)).await {
            Either::Left((output, _)) => Ok(output),
            Either::Right(_) => Err(io::ErrorKind::TimedOut.into()),
        }
    }
}
