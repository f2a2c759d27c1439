//! Following names to what they stand for, and saying what a name is to stand for.

use std::io;
use std::time::{Duration, SystemTime};

use cid::Cid;
use libp2p::identity::{Keypair, SigningError};
use thiserror::Error;

use super::name::IpnsName;
use super::path::{NamePath, NamePathError, Root};
use super::record::{IpnsRecord, Terms, end_of};
use crate::error::NodeClosed;
use crate::node::Node;

/// Names that may stand for names, one after the other.
const STEPS_MAX: usize = 32;

/// How long what a domain says is believed: resolvers do not tell.
const DOMAIN_TTL: Duration = Duration::from_secs(60);

/// What a path with a name leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ResolvedName {
    /// The root.
    pub cid: Cid,
    /// The names that lead from there to what is meant.
    pub path: Vec<String>,
    /// How long that may be believed; nothing if it never changes.
    pub ttl: Option<Duration>,
}

/// Why a name was not followed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum NameError {
    /// Names of keys are in a DHT, and the node takes part in none.
    #[error("{name} is looked up in a DHT, and the node takes part in none")]
    NoDht {
        /// The name.
        name: IpnsName,
    },
    /// Nobody in the DHT has answered, or not enough of it in time.
    #[error("{name} cannot be looked up: the DHT does not answer; is any machine of it reachable?")]
    Unreachable {
        /// The name.
        name: IpnsName,
    },
    /// Nobody asked has a record of it that holds.
    #[error("nobody in the DHT has a record of {name} that holds")]
    NotFound {
        /// The name.
        name: IpnsName,
    },
    /// The domain has no such record.
    #[error("{domain} has no TXT record dnslink=/ipfs/… or dnslink=/ipns/…")]
    NoLink {
        /// The domain.
        domain: String,
    },
    /// The domain could not be looked up.
    #[error("cannot look up {domain}")]
    Lookup {
        /// The domain.
        domain: String,
        /// What the resolver says.
        source: io::Error,
    },
    /// What the name stands for is no path.
    #[error(
        "{name} stands for {value:?}, which is no path in IPFS; its owner must publish another"
    )]
    Value {
        /// The name.
        name: String,
        /// What it stands for.
        value: String,
        /// What is wrong with it.
        source: NamePathError,
    },
    /// Names stand for names without end.
    #[error("{name} leads from name to name without end")]
    Endless {
        /// The name.
        name: String,
    },
    /// The node stopped meanwhile.
    #[error(transparent)]
    NodeClosed(#[from] NodeClosed),
}

/// How a name is published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublishOptions {
    /// How long the record holds, to the end of the year 9999 at most. Those who keep it forget it after two days
    /// whatever it says. Default: 48 h.
    pub lifetime: Duration,
    /// How long others need not look again. Default: 5 min.
    pub ttl: Duration,
}

impl Default for PublishOptions {
    fn default() -> Self {
        Self { lifetime: Duration::from_secs(48 * 3600), ttl: Duration::from_secs(300) }
    }
}

/// Why a name was not published.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PublishError {
    /// Names are published in a DHT.
    #[error("names are published in a DHT, and the node takes part in none")]
    NoDht,
    /// Nobody in the DHT has answered, or not enough of it in time: what the name stands for so far is not known, and
    /// so neither which record would be a later one.
    #[error("the DHT does not answer; is any machine of it reachable?")]
    Unreachable,
    /// The key did not sign.
    #[error("the key cannot sign")]
    Sign(#[from] SigningError),
    /// No other node keeps the record.
    #[error("nobody in the DHT has taken the record; is any machine of it reachable?")]
    NotStored,
    /// The node stopped meanwhile.
    #[error(transparent)]
    NodeClosed(#[from] NodeClosed),
}

impl Node {
    /// Follows a path that begins with a name of IPNS or DNSLink, until there is a CID. A record of IPNS is believed
    /// only if its owner signed it and it has not expired; of several the latest counts. What was found is
    /// remembered for as long as its owner says, a day at most, and a domain for a minute.
    ///
    /// # Errors
    ///
    /// [`NameError`] says which name could not be followed, and why.
    pub async fn resolve_name(&self, path: &NamePath) -> Result<ResolvedName, NameError> {
        let mut at = path.clone();
        let mut ttl: Option<Duration> = None;
        for _ in 0..STEPS_MAX {
            let (name, now) = (at.root().to_string(), SystemTime::now());
            let (target, holds) = match (at.root(), self.names().get(&name, now)) {
                (Root::Cid(cid), _) => {
                    return Ok(ResolvedName { cid: *cid, path: at.path().to_vec(), ttl });
                }
                (_, Some(known)) => known,
                (Root::Domain(domain), None) => {
                    let link = self.link_of(domain).await?;
                    self.believe(name, link, DOMAIN_TTL, now)?
                }
                (Root::Ipns(of), None) => {
                    let record = self.record_of(*of).await?;
                    let left = record.valid_until().duration_since(now).unwrap_or_default();
                    self.believe(name, record.value().to_owned(), record.ttl().min(left), now)?
                }
            };
            ttl = Some(ttl.map_or(holds, |ttl| ttl.min(holds)));
            at = at.below(target);
        }
        Err(NameError::Endless { name: path.root().to_string() })
    }

    /// Remembers what a name stands for, and how long that may be believed.
    fn believe(
        &self,
        name: String,
        value: String,
        holds: Duration,
        now: SystemTime,
    ) -> Result<(NamePath, Duration), NameError> {
        let target: NamePath = value.parse().map_err(|source| NameError::Value {
            name: name.clone(),
            value,
            source,
        })?;
        self.names().put(name, target.clone(), holds, now);
        Ok((target, holds))
    }

    /// Lets the name of a key stand for a path, in the DHT, and gives the record. If the name stood for
    /// something else before, or for longer, the record is a later one.
    ///
    /// # Errors
    ///
    /// [`PublishError`] says why it was not.
    pub async fn publish(
        &self,
        key: &Keypair,
        target: &NamePath,
        options: PublishOptions,
    ) -> Result<IpnsRecord, PublishError> {
        let value = target.to_string();
        let name = IpnsName::from(&key.public());
        let before = self.find_record(name).await?.map_err(PublishError::from)?;
        let now = SystemTime::now();
        let valid_until = end_of(now, options.lifetime);
        let sequence = before.map_or(0, |before| {
            // Of two with one number the one that is valid for longer counts.
            let is_renewal = before.value() == value && before.valid_until() < valid_until;
            before.sequence().saturating_add(u64::from(!is_renewal))
        });
        let terms = Terms { sequence, valid_until, ttl: options.ttl };
        let record = IpnsRecord::sign(key, &value, terms)?;
        let stored = self.store_record(record.clone()).await?;
        match stored.map_err(PublishError::from)? {
            true => {
                let holds = options.ttl.min(options.lifetime);
                self.names().put(Root::Ipns(name).to_string(), target.clone(), holds, now);
                Ok(record)
            }
            false => Err(PublishError::NotStored),
        }
    }

    async fn record_of(&self, name: IpnsName) -> Result<IpnsRecord, NameError> {
        let found = self.find_record(name).await?.map_err(|fault| match fault {
            DhtFault::NoDht => NameError::NoDht { name },
            DhtFault::Unreachable => NameError::Unreachable { name },
        })?;
        found.ok_or(NameError::NotFound { name })
    }

    /// What a domain says: under `_dnslink`, or itself.
    async fn link_of(&self, domain: &str) -> Result<String, NameError> {
        let mut failed = None;
        let domain = domain.trim_end_matches('.');
        // In full, or the system's resolver may look below its own domain.
        for asked in [format!("_dnslink.{domain}."), format!("{domain}.")] {
            match self.texts(asked).await {
                Ok(texts) => {
                    // Several are an error of the owner; then the first in order counts for everybody.
                    let mut links: Vec<_> = texts.iter().filter_map(|text| link(text)).collect();
                    links.sort_unstable();
                    if let Some(link) = links.first() {
                        return Ok((*link).to_owned());
                    }
                }
                Err(source) if source.kind() == io::ErrorKind::NotFound => {}
                Err(source) => failed = Some(source),
            }
        }
        let domain = domain.to_owned();
        Err(match failed {
            Some(source) => NameError::Lookup { domain, source },
            None => NameError::NoLink { domain },
        })
    }
}

/// Why a DHT could not be asked.
#[derive(Clone, Copy, Debug)]
pub(crate) enum DhtFault {
    /// The node takes part in none.
    NoDht,
    /// Nobody has answered, or not enough in time.
    Unreachable,
}

impl From<DhtFault> for PublishError {
    fn from(fault: DhtFault) -> Self {
        match fault {
            DhtFault::NoDht => Self::NoDht,
            DhtFault::Unreachable => Self::Unreachable,
        }
    }
}

fn link(text: &str) -> Option<&str> {
    let link = text.trim().strip_prefix("dnslink=")?.trim();
    (link.starts_with("/ipfs/") || link.starts_with("/ipns/")).then_some(link)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_meant_as_a_link_is_one() {
        assert_eq!(link("dnslink=/ipfs/bafy/a"), Some("/ipfs/bafy/a"));
        assert_eq!(link(" dnslink= /ipns/example.org "), Some("/ipns/example.org"));
        for other in ["", "v=spf1 -all", "dnslink=", "dnslink=https://example.org", "/ipfs/bafy"] {
            assert_eq!(link(other), None, "{other:?}");
        }
    }
}
