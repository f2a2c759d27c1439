//! Saying what a name is to stand for, once or for as long as somebody cares.

use std::time::{Duration, SystemTime};

use futures::{Stream, stream};
use libp2p::identity::{Keypair, SigningError};
use thiserror::Error;

use super::name::IpnsName;
use super::path::{NamePath, Root};
use super::record::{IpnsRecord, Terms, end_of};
use super::resolve::DhtFault;
use crate::error::NodeClosed;
use crate::node::Node;
use crate::runtime::Runtime as _;

/// The longest time between two publications, as in Kubo: whoever keeps a record may leave the DHT at any time.
const RENEWAL_MAX: Duration = Duration::from_secs(4 * 3600);

/// The shortest: no lifetime makes it a loop.
const RENEWAL_MIN: Duration = Duration::from_secs(1);

/// The time after which a publication that failed is tried again; then twice as long.
const RETRY: Duration = Duration::from_secs(60);

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
    /// Somebody else has the key, and has published something else since.
    #[error("the name was published as {value} by somebody else who has its key")]
    Superseded {
        /// What it stands for now.
        value: String,
    },
    /// The node stopped meanwhile.
    #[error(transparent)]
    NodeClosed(#[from] NodeClosed),
}

impl From<DhtFault> for PublishError {
    fn from(fault: DhtFault) -> Self {
        match fault {
            DhtFault::NoDht => Self::NoDht,
            DhtFault::Unreachable => Self::Unreachable,
        }
    }
}

impl Node {
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
        self.publish_after(None, key, target, options).await
    }

    /// Publishes a name as [`Node::publish`] does, and again before the record ends or is forgotten: after a third of
    /// its lifetime, four hours at most. Each item tells how one publication went. After one that failed it tries
    /// again, first after a minute and then after twice as long each time.
    ///
    /// The stream ends when trying again is of no use: after [`PublishError::NoDht`], [`Sign`](PublishError::Sign),
    /// [`NodeClosed`](PublishError::NodeClosed), and after [`Superseded`](PublishError::Superseded), so that two
    /// who have the key do not undo each other's work for ever. Whoever drops it ends the renewals; the last record
    /// holds until its end.
    pub fn keep_published(
        &self,
        key: Keypair,
        target: NamePath,
        options: PublishOptions,
    ) -> impl Stream<Item = Result<IpnsRecord, PublishError>> + Send + use<> {
        struct Kept {
            pause: Option<Duration>,
            failures: u32,
            latest: Option<u64>,
        }
        let kept = Kept { pause: Some(Duration::ZERO), failures: 0, latest: None };
        let (node, runtime) = (self.clone(), self.runtime().clone());
        stream::unfold((kept, node, key, target), move |(kept, node, key, target)| {
            let runtime = runtime.clone();
            async move {
                let Kept { pause, mut failures, mut latest } = kept;
                let pause = pause?;
                if pause > Duration::ZERO {
                    runtime.sleep(pause).await;
                }
                let result = node.publish_after(latest, &key, &target, options).await;
                let pause = match &result {
                    Ok(record) => {
                        (failures, latest) = (0, Some(record.sequence()));
                        Some(renewal(options.lifetime))
                    }
                    Err(PublishError::Unreachable | PublishError::NotStored) => {
                        failures = failures.saturating_add(1);
                        Some(retry(failures).min(renewal(options.lifetime)))
                    }
                    Err(_) => None,
                };
                Some((result, (Kept { pause, failures, latest }, node, key, target)))
            }
        })
    }

    /// Publishes a name: as a renewal of the record with the number `latest` if there is one, which is not done when
    /// something else was published since.
    async fn publish_after(
        &self,
        latest: Option<u64>,
        key: &Keypair,
        target: &NamePath,
        options: PublishOptions,
    ) -> Result<IpnsRecord, PublishError> {
        let value = target.to_string();
        let name = IpnsName::from(&key.public());
        let before = self.find_record(name).await?.map_err(PublishError::from)?;
        if let (Some(latest), Some(before)) = (latest, &before)
            && before.value() != value
            && before.sequence() >= latest
        {
            return Err(PublishError::Superseded { value: before.value().to_owned() });
        }
        let now = SystemTime::now();
        let valid_until = end_of(now, options.lifetime);
        let next = before.map_or(0, |before| {
            // Of two with one number the one that is valid for longer counts.
            let is_renewal = before.value() == value && before.valid_until() < valid_until;
            before.sequence().saturating_add(u64::from(!is_renewal))
        });
        // Those who kept the latest may have left the DHT, and others may still remember it.
        let sequence = latest.map_or(next, |latest| next.max(latest));
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
}

/// When a record of that lifetime is published again.
fn renewal(lifetime: Duration) -> Duration {
    (lifetime / 3).clamp(RENEWAL_MIN, RENEWAL_MAX)
}

/// When it is tried again after so many failures in a row.
fn retry(failures: u32) -> Duration {
    RETRY.saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_renewed_twice_before_it_ends_and_before_others_forget_it() {
        let hour = Duration::from_secs(3600);
        for (lifetime, after) in [
            (48 * hour, 4 * hour),
            (Duration::MAX, 4 * hour),
            (3 * hour, hour),
            (Duration::ZERO, RENEWAL_MIN),
        ] {
            assert_eq!(renewal(lifetime), after, "{lifetime:?}");
        }
    }

    #[test]
    fn a_publication_that_fails_is_tried_again_ever_less_often() {
        let after: Vec<u64> = (1..=4).map(|failures| retry(failures).as_secs()).collect();
        assert_eq!(after, [60, 120, 240, 480]);
        assert!(retry(u32::MAX) > RENEWAL_MAX);
    }
}
