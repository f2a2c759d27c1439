//! From a multiaddress with names to the addresses it stands for.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use futures::future::join;
use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol;

use super::{IpVersion, Resolve};

/// Lookups for one dial.
const LOOKUPS_MAX: usize = 32;

/// Records read of one answer.
const RECORDS_MAX: usize = 16;

/// What the TXT records of `/dnsaddr/…` start with.
const DNSADDR: &str = "dnsaddr=";

/// Whether there is something to look up.
pub(super) fn has_name(address: &Multiaddr) -> bool {
    address.iter().any(|part| Name::of(&part).is_some())
}

/// The addresses that one address stands for, looked up as they are asked for, in the order of the
/// answers.
pub(super) struct Expansion {
    resolver: Arc<dyn Resolve>,
    /// What is left to expand; the next is last.
    left: Vec<Multiaddr>,
    lookups: usize,
}

/// A lookup that failed.
#[derive(Debug)]
pub(super) struct LookupError {
    pub(super) name: String,
    pub(super) source: io::Error,
}

/// A part of an address that is looked up.
enum Name {
    /// A host with addresses, of one IP version or both.
    Host(String, Option<IpVersion>),
    /// A name whose TXT records hold whole addresses.
    Addresses(String),
}

impl Name {
    fn of(part: &Protocol<'_>) -> Option<Self> {
        match part {
            Protocol::Dns(host) => Some(Self::Host(host.to_string(), None)),
            Protocol::Dns4(host) => Some(Self::Host(host.to_string(), Some(IpVersion::V4))),
            Protocol::Dns6(host) => Some(Self::Host(host.to_string(), Some(IpVersion::V6))),
            Protocol::Dnsaddr(name) => Some(Self::Addresses(format!("_dnsaddr.{name}"))),
            _ => None,
        }
    }
}

impl Expansion {
    pub(super) fn new(address: Multiaddr, resolver: Arc<dyn Resolve>) -> Self {
        Self { resolver, left: vec![address], lookups: 0 }
    }

    /// The next address without a name; `None` after the last one.
    pub(super) async fn next(&mut self) -> Option<Result<Multiaddr, LookupError>> {
        loop {
            let address = self.left.pop()?;
            let found = address
                .iter()
                .enumerate()
                .find_map(|(place, part)| Name::of(&part).map(|name| (place, name)));
            let Some((place, name)) = found else { return Some(Ok(address)) };
            if self.lookups == LOOKUPS_MAX {
                self.left.clear();
                return None;
            }
            self.lookups += 1;
            match self.replacements(&address, place, name).await {
                Ok(replaced) => self.left.extend(replaced.into_iter().rev()),
                Err(error) => return Some(Err(error)),
            }
        }
    }

    /// The address with its part at `place` replaced by what that stands for.
    async fn replacements(
        &self,
        address: &Multiaddr,
        place: usize,
        name: Name,
    ) -> Result<Vec<Multiaddr>, LookupError> {
        match name {
            Name::Host(host, version) => {
                let ips = self.ips(host.clone(), version).await;
                let ips = ips.map_err(|source| LookupError { name: host, source })?;
                let with = |ip| address.replace(place, |_| Some(Protocol::from(ip)));
                Ok(ips.into_iter().take(RECORDS_MAX).filter_map(with).collect())
            }
            Name::Addresses(name) => {
                let texts = self.resolver.texts(name.clone()).await;
                let texts = texts.map_err(|source| LookupError { name, source })?;
                let before: Multiaddr = address.iter().take(place).collect();
                let after: Multiaddr = address.iter().skip(place + 1).collect();
                let read = |text: String| {
                    let listed: Multiaddr = text.strip_prefix(DNSADDR)?.parse().ok()?;
                    // `/dnsaddr/…/p2p/A` asks for the addresses of A among those that are listed.
                    let fits = listed.ends_with(&after);
                    fits.then(|| before.iter().chain(listed.iter()).collect())
                };
                Ok(texts.into_iter().take(RECORDS_MAX).filter_map(read).collect())
            }
        }
    }

    async fn ips(&self, host: String, version: Option<IpVersion>) -> io::Result<Vec<IpAddr>> {
        if let Some(version) = version {
            return self.resolver.addresses(host, version).await;
        }
        let v4 = self.resolver.addresses(host.clone(), IpVersion::V4);
        let v6 = self.resolver.addresses(host, IpVersion::V6);
        match join(v4, v6).await {
            (Ok(v4), Ok(v6)) => Ok(v6.into_iter().chain(v4).collect()),
            (Ok(ips), Err(_)) | (Err(_), Ok(ips)) => Ok(ips),
            (Err(error), Err(_)) => Err(error),
        }
    }
}
