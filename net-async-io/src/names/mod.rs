//! Dialling names: `/dns/…`, `/dns4/…`, `/dns6/…` and `/dnsaddr/…`.

mod expand;
mod system;
#[cfg(test)]
mod tests;

use std::error::Error;
use std::fmt;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use futures::future::{BoxFuture, TryFutureExt as _};
use libp2p::Multiaddr;
use libp2p::core::Transport;
use libp2p::core::transport::{DialOpts, ListenerId, TransportError, TransportEvent};
use thiserror::Error;

use expand::{Expansion, has_name};

pub use system::{Spawn, SystemResolver};

/// The IP version that a name is looked up for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IpVersion {
    /// IPv4: A records.
    V4,
    /// IPv6: AAAA records.
    V6,
}

/// Looks names up.
pub trait Resolve: Send + Sync + 'static {
    /// The addresses of a host. One without any is an error.
    fn addresses(&self, host: String, version: IpVersion) -> Lookup<IpAddr>;

    /// The TXT records of a name, each with its strings joined.
    fn texts(&self, name: String) -> Lookup<String>;
}

/// The answer to come to a lookup.
pub type Lookup<T> = BoxFuture<'static, io::Result<Vec<T>>>;

/// Dials that one dial of a name may become.
const DIALS_MAX: usize = 16;

/// A transport that resolves names before it lets another dial.
///
/// The addresses that a name stands for are dialled one after the other until one answers. Names can
/// stand for names, so a hostile one could keep a dial busy for ever: one dial ends after 32 lookups
/// and 16 dials, and of an answer only 16 records are read.
pub struct Named<T> {
    inner: Arc<Mutex<T>>,
    resolver: Arc<dyn Resolve>,
}

impl<T> fmt::Debug for Named<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Named").finish_non_exhaustive()
    }
}

/// Why a dial failed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum NamedError<E: Error> {
    /// The transport below failed; for a name with several addresses, at the last of them.
    #[error(transparent)]
    Transport(E),
    /// The name could not be looked up.
    #[error("cannot resolve {name}")]
    Lookup {
        /// What was looked up.
        name: String,
        /// What the resolver said.
        source: io::Error,
    },
    /// The name stands for no address that the transport below can dial.
    #[error("{0} stands for no address that can be dialled")]
    NoAddress(Multiaddr),
}

impl<T> Named<T> {
    /// Lets `inner` dial names too.
    pub fn new(inner: T, resolver: impl Resolve) -> Self {
        Self { inner: Arc::new(Mutex::new(inner)), resolver: Arc::new(resolver) }
    }
}

fn lock<T>(inner: &Mutex<T>) -> MutexGuard<'_, T> {
    inner.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<T> Transport for Named<T>
where
    T: Transport + Send + Unpin + 'static,
    T::Dial: Send + 'static,
    T::Error: Send + Sync + 'static,
    T::Output: 'static,
{
    type Output = T::Output;
    type Error = NamedError<T::Error>;
    type ListenerUpgrade = futures::future::MapErr<T::ListenerUpgrade, fn(T::Error) -> Self::Error>;
    type Dial = BoxFuture<'static, Result<T::Output, Self::Error>>;

    fn listen_on(
        &mut self,
        id: ListenerId,
        address: Multiaddr,
    ) -> Result<(), TransportError<Self::Error>> {
        let listening = lock(&self.inner).listen_on(id, address);
        listening.map_err(|error| error.map(NamedError::Transport))
    }

    fn remove_listener(&mut self, id: ListenerId) -> bool {
        lock(&self.inner).remove_listener(id)
    }

    fn dial(
        &mut self,
        address: Multiaddr,
        options: DialOpts,
    ) -> Result<Self::Dial, TransportError<Self::Error>> {
        if has_name(&address) {
            return Ok(Box::pin(dial_any(
                self.inner.clone(),
                address.clone(),
                Expansion::new(address, self.resolver.clone()),
                options,
            )));
        }
        match lock(&self.inner).dial(address, options) {
            Ok(dial) => Ok(Box::pin(dial.map_err(NamedError::Transport))),
            Err(error) => Err(error.map(NamedError::Transport)),
        }
    }

    fn poll(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<TransportEvent<Self::ListenerUpgrade, Self::Error>> {
        Pin::new(&mut *lock(&self.inner)).poll(cx).map(|event| {
            event
                .map_upgrade(|upgrade| upgrade.map_err(NamedError::Transport as fn(_) -> _))
                .map_err(NamedError::Transport)
        })
    }
}

/// Dials what the name stands for, until one answers.
async fn dial_any<T>(
    inner: Arc<Mutex<T>>,
    name: Multiaddr,
    mut addresses: Expansion,
    options: DialOpts,
) -> Result<T::Output, NamedError<T::Error>>
where
    T: Transport,
{
    let mut failure = None;
    let mut dials = 0;
    while let Some(address) = addresses.next().await {
        let dial = match address {
            Ok(address) => lock(&inner).dial(address, options),
            Err(error) => {
                failure = Some(NamedError::Lookup { name: error.name, source: error.source });
                continue;
            }
        };
        let error = match dial {
            Ok(dial) => match dial.await {
                Ok(output) => return Ok(output),
                Err(error) => error,
            },
            Err(TransportError::MultiaddrNotSupported(_)) => continue,
            Err(TransportError::Other(error)) => error,
        };
        failure = Some(NamedError::Transport(error));
        dials += 1;
        if dials == DIALS_MAX {
            break;
        }
    }
    Err(failure.unwrap_or(NamedError::NoAddress(name)))
}
