//! Following names to what they stand for.

use std::io;
use std::time::{Duration, SystemTime};

use cid::Cid;
use thiserror::Error;

use super::name::IpnsName;
use super::path::{NamePath, NamePathError, Root};
use super::record::IpnsRecord;
use crate::dns_reason;
use crate::error::NodeClosed;
use crate::error_chain::ErrorChain;
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

impl Node {
    /// Follows a path that begins with a name of IPNS or DNSLink, until there is a CID. A record of IPNS is believed
    /// only if its owner signed it and it has not expired; of several the latest counts. What was found is
    /// remembered for as long as its owner says, a day at most, and a domain for a minute.
    ///
    /// # Errors
    ///
    /// [`NameError`] says which name could not be followed, and why.
    pub async fn resolve_name(&self, path: &NamePath) -> Result<ResolvedName, NameError> {
        self.resolve_name_telling(path, |_| {}).await
    }

    /// As [`Self::resolve_name`], and tells of each name that has to be asked for, before it is: a lookup may take long,
    /// and whoever waits wants to know for what.
    ///
    /// # Errors
    ///
    /// As [`Self::resolve_name`].
    pub async fn resolve_name_telling(
        &self,
        path: &NamePath,
        mut asked: impl FnMut(&Root),
    ) -> Result<ResolvedName, NameError> {
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
                    asked(at.root());
                    let link = self.link_of(domain).await?;
                    self.believe(name, link, DOMAIN_TTL, now)?
                }
                (Root::Ipns(of), None) => {
                    asked(at.root());
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
                Err(source) => {
                    let words = dns_reason::of(&source)
                        .or_else(|| dns_reason::in_words(&ErrorChain(&source).to_string()));
                    failed = Some(match words {
                        Some(words) => io::Error::new(source.kind(), words),
                        None => source,
                    });
                }
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
