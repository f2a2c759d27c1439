//! The records that a node keeps for a DHT.
//!
//! Who provides what, and records of IPNS; other values are refused, because nothing here is about them. Anybody may
//! send records, so their size and their number are bounded, and the one that expires first is evicted.
//! Our own are in the same place and are not touched by that. A record of IPNS is kept only if it holds, and
//! gives way only to a later one of its name.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::iter::{self, Empty};
use std::time::{Duration, Instant, SystemTime};
use std::vec;

use libp2p::kad::store::{Error, RecordStore, Result};
use libp2p::kad::{K_VALUE, ProviderRecord, Record, RecordKey};
use libp2p::{Multiaddr, PeerId};

use crate::names::{IpnsName, IpnsRecord};

/// Records of others in all: 25 MiB at worst.
const RECORDS_MAX: usize = 8192;
/// Records of names: 11 MiB at worst.
const VALUES_MAX: usize = 1024;
/// Addresses of a record.
const ADDRESSES_MAX: usize = 8;
/// Bytes of an address.
const ADDRESS_BYTES_MAX: usize = 256;
/// Bytes of a key: more than any hash that names a block has.
const KEY_BYTES_MAX: usize = 168;

/// Who provides what.
#[derive(Debug)]
pub(crate) struct Records {
    me: PeerId,
    all: BTreeMap<Vec<u8>, Vec<ProviderRecord>>,
    /// The records of others, by when they expire.
    expiring: BTreeSet<(Instant, Vec<u8>, PeerId)>,
    values: BTreeMap<Vec<u8>, Value>,
}

/// A record of a name.
#[derive(Debug)]
struct Value {
    record: Record,
    ipns: IpnsRecord,
}

impl Value {
    /// How long it holds and is kept from now on: as its owner says, and as the DHT does.
    fn left(&self) -> Duration {
        let valid = self.ipns.valid_until().duration_since(SystemTime::now()).unwrap_or_default();
        let expires = self.record.expires.map(|at| at.saturating_duration_since(Instant::now()));
        expires.map_or(valid, |kept| kept.min(valid))
    }

    fn holds(&self) -> bool {
        !self.left().is_zero()
    }
}

/// Keeps only as many addresses as a record may have, each once, and none that is longer than it may be.
pub(crate) fn bound_addresses(addresses: &mut Vec<Multiaddr>) {
    let mut kept = BTreeSet::new();
    addresses.retain(|address| {
        address.len() <= ADDRESS_BYTES_MAX
            && kept.len() < ADDRESSES_MAX
            && kept.insert(address.clone())
    });
}

impl Records {
    pub(crate) const fn new(me: PeerId) -> Self {
        Self { me, all: BTreeMap::new(), expiring: BTreeSet::new(), values: BTreeMap::new() }
    }

    /// Removes the records of a key that have expired.
    fn remove_expired(&mut self, key: &[u8]) {
        let now = Instant::now();
        let records = self.all.get(key).into_iter().flatten();
        let expired = records.filter(|record| record.is_expired(now)).map(|record| record.provider);
        for provider in expired.collect::<Vec<_>>() {
            self.remove(key, &provider);
        }
    }

    fn remove(&mut self, key: &[u8], provider: &PeerId) {
        let Some(records) = self.all.get_mut(key) else { return };
        if let Some(at) = records.iter().position(|record| record.provider == *provider)
            && let Some(expires) = records.swap_remove(at).expires
        {
            self.expiring.remove(&(expires, key.to_vec(), *provider));
        }
        if records.is_empty() {
            self.all.remove(key);
        }
    }
}

impl RecordStore for Records {
    type RecordsIter<'a> = Empty<Cow<'a, Record>>;
    type ProvidedIter<'a> = vec::IntoIter<Cow<'a, ProviderRecord>>;

    fn get(&self, key: &RecordKey) -> Option<Cow<'_, Record>> {
        let value = self.values.get(key.as_ref())?;
        value.holds().then_some(Cow::Borrowed(&value.record))
    }

    fn put(&mut self, record: Record) -> Result<()> {
        let key = record.key.to_vec();
        let name = IpnsName::of_routing_key(&key).ok_or(Error::MaxRecords)?;
        let ipns = IpnsRecord::read(name, &record.value, SystemTime::now())
            .map_err(|_| Error::MaxRecords)?;
        // One that nobody gets any more keeps no other out.
        if let Some(known) = self.values.get(&key)
            && known.holds()
            && known.ipns.supersedes(&ipns)
        {
            return Err(Error::MaxRecords);
        }
        if !self.values.contains_key(&key) && self.values.len() >= VALUES_MAX {
            let others = self
                .values
                .iter()
                .filter(|(_, value)| value.record.publisher != Some(self.me) || !value.holds());
            let first = others.min_by_key(|(_, value)| value.left());
            let first = first.ok_or(Error::MaxRecords)?.0.clone();
            self.values.remove(&first);
        }
        self.values.insert(key, Value { record, ipns });
        Ok(())
    }

    fn remove(&mut self, key: &RecordKey) {
        self.values.remove(key.as_ref());
    }

    fn records(&self) -> Self::RecordsIter<'_> {
        iter::empty()
    }

    fn add_provider(&mut self, mut record: ProviderRecord) -> Result<()> {
        let key = record.key.to_vec();
        if key.len() > KEY_BYTES_MAX {
            return Err(Error::ValueTooLarge);
        }
        bound_addresses(&mut record.addresses);
        self.remove(&key, &record.provider);
        self.remove_expired(&key);
        let is_mine = record.provider == self.me;
        let known = self.all.get(&key).map_or(0, Vec::len);
        if !is_mine {
            if known >= K_VALUE.get() {
                // So many are enough to ask, and who came first is no worse than who comes later.
                return Ok(());
            }
            let Some(expires) = record.expires else { return Err(Error::ValueTooLarge) };
            if self.expiring.len() >= RECORDS_MAX
                && let Some((_, key, provider)) = self.expiring.first().cloned()
            {
                self.remove(&key, &provider);
            }
            self.expiring.insert((expires, key.clone(), record.provider));
        }
        self.all.entry(key).or_default().push(record);
        Ok(())
    }

    fn providers(&self, key: &RecordKey) -> Vec<ProviderRecord> {
        self.all.get(key.as_ref()).cloned().unwrap_or_default()
    }

    /// None: what is ours is provided by the [`Reprovider`](super::Reprovider).
    fn provided(&self) -> Self::ProvidedIter<'_> {
        Vec::new().into_iter()
    }

    fn remove_provider(&mut self, key: &RecordKey, provider: &PeerId) {
        self.remove(key.as_ref(), provider);
    }
}

#[cfg(test)]
mod tests {
    use libp2p::identity::Keypair;

    use super::*;
    use crate::names::Terms;

    fn record(key: &[u8], provider: PeerId, expires: Instant) -> ProviderRecord {
        let expires = Some(expires);
        ProviderRecord { key: key.to_vec().into(), provider, expires, addresses: Vec::new() }
    }

    #[test]
    fn records_of_others_are_bounded_and_the_one_that_expires_first_gives_way() {
        let (me, other, now) = (PeerId::random(), PeerId::random(), Instant::now());
        let mut records = Records::new(me);
        let mine = ProviderRecord { expires: None, ..record(b"mine", me, now) };
        records.add_provider(mine).unwrap();
        let number = |number: usize| number.to_le_bytes();
        for at in 0..RECORDS_MAX + 10 {
            let expires = now + Duration::from_secs(at as u64);
            records.add_provider(record(&number(at), other, expires)).unwrap();
        }
        assert_eq!(records.expiring.len(), RECORDS_MAX);
        assert_eq!(records.all.len(), RECORDS_MAX + 1);
        let knows = |key: &[u8]| !records.providers(&key.to_vec().into()).is_empty();
        assert!(knows(b"mine"));
        assert!(!knows(&number(9)) && knows(&number(10)) && knows(&number(RECORDS_MAX + 9)));
    }

    #[test]
    fn a_record_that_is_renewed_is_kept_once_and_one_that_is_removed_leaves_nothing() {
        let (other, now) = (PeerId::random(), Instant::now());
        let mut records = Records::new(PeerId::random());
        for seconds in 1..4 {
            let expires = now + Duration::from_secs(seconds);
            records.add_provider(record(b"key", other, expires)).unwrap();
        }
        let key = b"key".to_vec().into();
        assert_eq!(records.providers(&key).len(), 1);
        assert_eq!(records.expiring.len(), 1);
        records.remove_provider(&key, &other);
        assert!(records.all.is_empty() && records.expiring.is_empty());
    }

    #[test]
    fn what_one_record_holds_is_bounded() {
        let now = Instant::now();
        let mut records = Records::new(PeerId::random());
        let long = format!("/dns4/{}/tcp/1", "a".repeat(ADDRESS_BYTES_MAX));
        let mut addresses: Vec<Multiaddr> = vec![long.parse().unwrap()];
        addresses.extend((0..20).map(|port| format!("/tcp/{port}").parse().unwrap()));
        addresses.insert(2, addresses[1].clone());
        let padded = ProviderRecord { addresses, ..record(b"key", PeerId::random(), now) };
        records.add_provider(padded.clone()).unwrap();
        let kept = &records.providers(&padded.key)[0].addresses;
        assert_eq!(
            kept[..],
            [&padded.addresses[1..2], &padded.addresses[3..]].concat()[..ADDRESSES_MAX]
        );
        let long = record(&[0; KEY_BYTES_MAX + 1], PeerId::random(), now);
        assert!(records.add_provider(long).is_err());
        let later = now + Duration::from_secs(60);
        for _ in 0..2 * K_VALUE.get() {
            records.add_provider(record(b"popular", PeerId::random(), later)).unwrap();
        }
        assert_eq!(records.providers(&b"popular".to_vec().into()).len(), K_VALUE.get());
    }

    #[test]
    fn providers_that_have_expired_take_no_place_of_another() {
        let (now, live) = (Instant::now(), PeerId::random());
        let mut records = Records::new(PeerId::random());
        for _ in 0..K_VALUE.get() {
            let key = b"popular".to_vec();
            // Put here as it is after its time: one that has expired already is not sent.
            let expired = record(&key, PeerId::random(), now);
            records.expiring.insert((now, key.clone(), expired.provider));
            records.all.entry(key).or_default().push(expired);
        }
        let later = now + Duration::from_secs(60);
        records.add_provider(record(b"popular", live, later)).unwrap();
        let kept = records.providers(&b"popular".to_vec().into());
        assert_eq!(kept.iter().map(|record| record.provider).collect::<Vec<_>>(), [live]);
        assert_eq!(records.expiring.len(), 1);
    }

    fn value(key: &Keypair, sequence: u64, seconds: u64) -> Record {
        let valid_until = SystemTime::now() + Duration::from_secs(seconds);
        let terms = Terms { sequence, valid_until, ttl: Duration::ZERO };
        let record = IpnsRecord::sign(key, "/ipns/example.org", terms).unwrap();
        Record::new(record.name().routing_key(), record.bytes().to_vec())
    }

    #[test]
    fn only_records_of_names_are_kept_and_a_later_one_is_not_replaced_by_an_earlier() {
        let mut records = Records::new(PeerId::random());
        let key = Keypair::generate_ed25519();
        let (first, second) = (value(&key, 1, 100), value(&key, 2, 100));
        let sequence = |records: &Records| {
            let kept = records.get(&first.key)?.into_owned();
            Some(u64::from(kept == second) + 1)
        };
        records.put(first.clone()).unwrap();
        assert_eq!(sequence(&records), Some(1));
        records.put(second.clone()).unwrap();
        assert!(records.put(first.clone()).is_err());
        assert_eq!(sequence(&records), Some(2));
        // Of another name, of no name, and expired.
        let foreign = value(&Keypair::generate_ed25519(), 3, 100);
        assert!(records.put(Record { key: first.key.clone(), ..foreign }).is_err());
        assert!(records.put(Record::new(b"/pk/x".to_vec(), b"value".to_vec())).is_err());
        assert!(records.put(value(&key, 3, 0)).is_err());
        assert_eq!(sequence(&records), Some(2));
        RecordStore::remove(&mut records, &first.key);
        assert_eq!(sequence(&records), None);
    }

    #[test]
    fn a_record_that_has_expired_gives_way_to_any_that_holds() {
        let key = Keypair::generate_ed25519();
        let earlier = value(&key, 0, 100);
        let mut records = Records::new(PeerId::random());
        // Its owner's time is over, or that of those who keep it.
        for (seconds, expires) in [(0, None), (100, Some(Instant::now()))] {
            let later = Record { expires, ..value(&key, 5, seconds) };
            let name = IpnsName::from(&key.public());
            let ipns = IpnsRecord::read(name, &later.value, SystemTime::UNIX_EPOCH).unwrap();
            records.values.insert(later.key.to_vec(), Value { record: later, ipns });
            assert_eq!(records.get(&earlier.key), None);
            records.put(earlier.clone()).unwrap();
            assert_eq!(records.get(&earlier.key).as_deref(), Some(&earlier));
        }
    }

    #[test]
    fn records_of_names_are_bounded_and_the_one_that_expires_first_gives_way_unless_it_is_ours() {
        let me = PeerId::random();
        let mut records = Records::new(me);
        let ours = Record { publisher: Some(me), ..value(&Keypair::generate_ed25519(), 0, 50) };
        records.put(ours.clone()).unwrap();
        // Valid for ever, and not kept as long as the others.
        let expires = Some(Instant::now() + Duration::from_secs(60));
        let first = Record { expires, ..value(&Keypair::generate_ed25519(), 0, 1 << 32) };
        records.put(first.clone()).unwrap();
        for _ in 0..VALUES_MAX {
            records.put(value(&Keypair::generate_ed25519(), 0, 100)).unwrap();
        }
        assert_eq!(records.values.len(), VALUES_MAX);
        assert!(records.get(&ours.key).is_some() && records.get(&first.key).is_none());
    }
}
