//! Records of IPNS: what a name stands for, signed by whoever has its key.
//!
//! Source: the specification "IPNS Record and Protocol". The signature of version 2 covers the dag-cbor in
//! `data`, and what is outside of it must say the same or nothing. Records with a signature of version 1 alone
//! are refused.

use std::time::{Duration, SystemTime};

use ipld_core::ipld::Ipld;
use libp2p::identity::{Keypair, PublicKey, SigningError};
use thiserror::Error;

use super::name::IpnsName;
use super::protobuf::{Value, field, put_bytes, put_number};

/// The longest record, in bytes.
const RECORD_MAX: usize = 10 << 10;

const VALUE: u64 = 1;
const SIGNATURE_V1: u64 = 2;
const VALIDITY_TYPE: u64 = 3;
const VALIDITY: u64 = 4;
const SEQUENCE: u64 = 5;
const TTL: u64 = 6;
const PUBLIC_KEY: u64 = 7;
const SIGNATURE_V2: u64 = 8;
const DATA: u64 = 9;

/// The only type of validity: until a time.
const UNTIL: u64 = 0;

/// What is signed is `data` behind this.
const SIGNED: &[u8] = b"ipns-signature:";

/// The last time that a record can name, the end of the year 9999, since the epoch.
const LAST: Duration = Duration::from_secs(253_402_300_799);

/// When a record ends that begins to hold at a time.
pub(super) fn end_of(begin: SystemTime, lifetime: Duration) -> SystemTime {
    let last = SystemTime::UNIX_EPOCH + LAST;
    begin.checked_add(lifetime).map_or(last, |end| end.min(last))
}

/// A record that was checked against its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IpnsRecord {
    name: IpnsName,
    value: String,
    sequence: u64,
    valid_until: SystemTime,
    ttl: Duration,
    bytes: Vec<u8>,
}

/// Why a record is none of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RecordFault {
    /// It has more than 10 KiB.
    #[error("the record has more than 10 KiB")]
    TooLong,
    /// It is no record, or has no signature of version 2.
    #[error("it is no record of IPNS")]
    Malformed,
    /// The key in it is not that of the name, or there is none.
    #[error("the record has not the key of the name")]
    Key,
    /// Somebody else has signed it, or it was changed.
    #[error("the record is not signed by the owner of the name")]
    Signature,
    /// What is not signed differs from what is.
    #[error("the record says one thing and is signed for another")]
    Mismatch,
    /// It was valid until a time that has passed.
    #[error("the record has expired")]
    Expired,
}

/// What a name is to stand for, and how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Terms {
    pub(crate) sequence: u64,
    pub(crate) valid_until: SystemTime,
    pub(crate) ttl: Duration,
}

/// The fields of a record.
#[derive(Default)]
struct Fields<'a> {
    value: &'a [u8],
    signature_v1: &'a [u8],
    validity_type: Option<u64>,
    validity: &'a [u8],
    sequence: Option<u64>,
    ttl: Option<u64>,
    public_key: &'a [u8],
    signature_v2: &'a [u8],
    data: &'a [u8],
}

impl<'a> Fields<'a> {
    fn read(mut bytes: &'a [u8]) -> Option<Self> {
        let mut fields = Self::default();
        while !bytes.is_empty() {
            let (number, value, rest) = field(bytes)?;
            match (number, value) {
                (VALUE, Value::Bytes(bytes)) => fields.value = bytes,
                (SIGNATURE_V1, Value::Bytes(bytes)) => fields.signature_v1 = bytes,
                (VALIDITY_TYPE, Value::Number(number)) => fields.validity_type = Some(number),
                (VALIDITY, Value::Bytes(bytes)) => fields.validity = bytes,
                (SEQUENCE, Value::Number(number)) => fields.sequence = Some(number),
                (TTL, Value::Number(number)) => fields.ttl = Some(number),
                (PUBLIC_KEY, Value::Bytes(bytes)) => fields.public_key = bytes,
                (SIGNATURE_V2, Value::Bytes(bytes)) => fields.signature_v2 = bytes,
                (DATA, Value::Bytes(bytes)) => fields.data = bytes,
                (VALUE..=DATA, _) => return None,
                _ => {}
            }
            bytes = rest;
        }
        Some(fields)
    }

    /// The key of the name, from it or from the record.
    fn key(&self, name: &IpnsName) -> Result<PublicKey, RecordFault> {
        let key = match self.public_key {
            [] => name.public_key(),
            key => PublicKey::try_decode_protobuf(key).ok(),
        };
        key.filter(|key| name.is_of(key)).ok_or(RecordFault::Key)
    }
}

/// What is signed.
struct Data {
    value: Vec<u8>,
    validity: Vec<u8>,
    validity_type: u64,
    sequence: u64,
    ttl: u64,
}

impl Data {
    fn read(bytes: &[u8]) -> Option<Self> {
        let Ok(Ipld::Map(mut map)) = serde_ipld_dagcbor::from_slice(bytes) else { return None };
        let bytes_of =
            |map: &mut std::collections::BTreeMap<_, _>, name: &str| match map.remove(name) {
                Some(Ipld::Bytes(bytes)) => Some(bytes),
                _ => None,
            };
        let value = bytes_of(&mut map, "Value")?;
        let validity = bytes_of(&mut map, "Validity")?;
        let mut number = |name: &str| match map.remove(name) {
            Some(Ipld::Integer(number)) => u64::try_from(number).ok(),
            _ => None,
        };
        Some(Self {
            value,
            validity,
            validity_type: number("ValidityType")?,
            sequence: number("Sequence")?,
            ttl: number("TTL")?,
        })
    }

    fn write(&self) -> Vec<u8> {
        let number = |number: u64| Ipld::Integer(number.into());
        let map = [
            ("Value", Ipld::Bytes(self.value.clone())),
            ("Validity", Ipld::Bytes(self.validity.clone())),
            ("ValidityType", number(self.validity_type)),
            ("Sequence", number(self.sequence)),
            ("TTL", number(self.ttl)),
        ];
        let map = map.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        // Into memory, and of nothing that dag-cbor has no form for.
        serde_ipld_dagcbor::to_vec(&Ipld::Map(map)).unwrap_or_default()
    }
}

impl IpnsRecord {
    /// Reads the record of a name, and checks it.
    ///
    /// # Errors
    ///
    /// [`RecordFault`] says what is wrong with it.
    pub fn read(name: IpnsName, bytes: &[u8], now: SystemTime) -> Result<Self, RecordFault> {
        if bytes.len() > RECORD_MAX {
            return Err(RecordFault::TooLong);
        }
        let fields = Fields::read(bytes).ok_or(RecordFault::Malformed)?;
        if fields.data.is_empty() || fields.signature_v2.is_empty() {
            return Err(RecordFault::Malformed);
        }
        let key = fields.key(&name)?;
        if !key.verify(&[SIGNED, fields.data].concat(), fields.signature_v2) {
            return Err(RecordFault::Signature);
        }
        let data = Data::read(fields.data).ok_or(RecordFault::Malformed)?;
        let is_legacy = !fields.value.is_empty() || !fields.signature_v1.is_empty();
        let says_the_same = fields.value == data.value
            && fields.validity == data.validity
            && fields.validity_type.unwrap_or(0) == data.validity_type
            && fields.sequence.unwrap_or(0) == data.sequence
            && fields.ttl.unwrap_or(0) == data.ttl;
        if is_legacy && !says_the_same {
            return Err(RecordFault::Mismatch);
        }
        let valid_until = Some(&data.validity)
            .filter(|_| data.validity_type == UNTIL)
            .and_then(|text| std::str::from_utf8(text).ok())
            .and_then(|text| humantime::parse_rfc3339(text).ok())
            .ok_or(RecordFault::Malformed)?;
        if valid_until <= now {
            return Err(RecordFault::Expired);
        }
        let value = String::from_utf8(data.value).map_err(|_| RecordFault::Malformed)?;
        Ok(Self {
            name,
            value,
            sequence: data.sequence,
            valid_until,
            ttl: Duration::from_nanos(data.ttl),
            bytes: bytes.to_vec(),
        })
    }

    /// Signs a record: with the signatures of both versions, so that old resolvers take it too.
    ///
    /// # Errors
    ///
    /// When the key cannot sign.
    pub(crate) fn sign(key: &Keypair, value: &str, terms: Terms) -> Result<Self, SigningError> {
        let validity = humantime::format_rfc3339_nanos(terms.valid_until).to_string();
        let data = Data {
            value: value.into(),
            validity: validity.into(),
            validity_type: UNTIL,
            sequence: terms.sequence,
            ttl: terms.ttl.as_nanos().try_into().unwrap_or(u64::MAX),
        };
        let signed = data.write();
        let signature_v1 = key.sign(&[&data.value[..], &data.validity, b"EOL"].concat())?;
        let signature_v2 = key.sign(&[SIGNED, &signed].concat())?;
        let public = key.public();
        let name = IpnsName::from(&public);
        let mut bytes = Vec::new();
        put_bytes(&mut bytes, VALUE, &data.value);
        put_bytes(&mut bytes, SIGNATURE_V1, &signature_v1);
        put_number(&mut bytes, VALIDITY_TYPE, data.validity_type);
        put_bytes(&mut bytes, VALIDITY, &data.validity);
        put_number(&mut bytes, SEQUENCE, data.sequence);
        put_number(&mut bytes, TTL, data.ttl);
        if name.public_key().is_none() {
            put_bytes(&mut bytes, PUBLIC_KEY, &public.encode_protobuf());
        }
        put_bytes(&mut bytes, SIGNATURE_V2, &signature_v2);
        put_bytes(&mut bytes, DATA, &signed);
        let Terms { sequence, valid_until, ttl } = terms;
        Ok(Self { name, value: value.to_owned(), sequence, valid_until, ttl, bytes })
    }

    /// The name.
    #[must_use]
    pub const fn name(&self) -> IpnsName {
        self.name
    }

    /// What the name stands for: a path that begins with `/ipfs/` or `/ipns/`, if whoever signed it meant well.
    #[must_use]
    pub fn value(&self) -> &str {
        &self.value
    }

    /// Of two records of a name the one with the larger number holds.
    #[must_use]
    pub const fn sequence(&self) -> u64 {
        self.sequence
    }

    /// When it expires.
    #[must_use]
    pub const fn valid_until(&self) -> SystemTime {
        self.valid_until
    }

    /// How long it need not be looked up again, in the words of whoever signed it.
    #[must_use]
    pub const fn ttl(&self) -> Duration {
        self.ttl
    }

    /// The record as it is kept in the DHT.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether it holds rather than another of the same name: it is later, or as late and valid for longer.
    #[must_use]
    pub fn supersedes(&self, other: &Self) -> bool {
        let rank = |of: &Self| (of.sequence, of.valid_until);
        rank(self) > rank(other)
    }
}

#[cfg(test)]
mod tests;
