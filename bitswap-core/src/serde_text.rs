//! CIDs as text: what people paste, and what JSON can hold.

use core::fmt;

use cid::Cid;
use serde::de::{Deserialize, Deserializer, Error as _, Visitor};
use serde::ser::Serializer;

/// One CID.
pub(crate) mod one {
    use super::{Cid, Deserializer, Serializer, Text};

    pub(crate) fn serialize<S: Serializer>(cid: &Cid, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(cid)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Cid, D::Error> {
        from.deserialize_str(Text)
    }
}

/// Several CIDs.
pub(crate) mod many {
    use super::{Cid, Serializer, Shown};

    pub(crate) fn serialize<S: Serializer>(cids: &[Cid], to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(cids.iter().map(Shown))
    }
}

struct Shown<'a>(&'a Cid);

impl serde::Serialize for Shown<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        one::serialize(self.0, to)
    }
}

struct Text;

impl Visitor<'_> for Text {
    type Value = Cid;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a CID as text")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Cid, E> {
        Cid::try_from(text).map_err(E::custom)
    }
}

impl serde::Serialize for crate::Block {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        #[derive(serde::Serialize)]
        struct Block<'a> {
            #[serde(with = "one")]
            cid: &'a Cid,
            data: &'a bytes::Bytes,
        }
        Block { cid: self.cid(), data: self.data() }.serialize(to)
    }
}

impl<'de> Deserialize<'de> for crate::Block {
    /// Hashes the bytes: what does not match its CID is an error.
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(serde::Deserialize)]
        struct Block {
            #[serde(with = "one")]
            cid: Cid,
            data: bytes::Bytes,
        }
        let Block { cid, data } = Block::deserialize(from)?;
        Self::new(cid, data).map_err(D::Error::custom)
    }
}

impl serde::Serialize for crate::SessionId {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(self.0.to_bits())
    }
}

impl serde::Serialize for crate::SendId {
    /// The peer's number, the stream and the message's number on it.
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        (self.peer.to_bits(), self.stream, self.seq).serialize(to)
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString as _;
    use alloc::vec;

    use serde_json::{from_value, json, to_value};

    use crate::message::Wantlist;
    use crate::{
        Block, Entry, Event, Limits, Message, PeerOutcome, PeerReport, Presence, Rates,
        SessionOptions, Stats, WantFailure, WantKind,
    };

    #[test]
    fn messages_survive_json_and_name_cids_by_their_text() {
        let block = Block::raw("hello");
        let cid = *block.cid();
        let message = Message {
            wantlist: Wantlist {
                entries: vec![Entry::want(cid, WantKind::Have, 3, true), Entry::cancel(cid)],
                full: true,
            },
            blocks: vec![block],
            presences: vec![Presence { cid, have: false }],
            pending_bytes: 7,
        };
        let json = to_value(&message).unwrap();
        assert_eq!(json["wantlist"]["entries"][0]["cid"], cid.to_string());
        assert_eq!(json["blocks"][0]["cid"], cid.to_string());
        assert_eq!(from_value::<Message>(json).unwrap(), message);
    }

    #[test]
    fn a_block_whose_bytes_are_not_those_of_its_cid_is_not_read() {
        let mut json = to_value(Block::raw("hello")).unwrap();
        json["data"][0] = 0.into();
        let error = from_value::<Block>(json).unwrap_err();
        assert_eq!(error.to_string(), "the bytes do not hash to the CID");
        let mut json = to_value(Block::raw("hello")).unwrap();
        json["cid"] = "bafy".into();
        assert!(from_value::<Block>(json).is_err());
    }

    #[test]
    fn what_is_left_out_of_settings_is_their_default() {
        let limits: Limits = from_value(json!({ "peers": 7 })).unwrap();
        assert_eq!(limits, Limits { peers: 7, ..Limits::default() });
        let rates: Rates = from_value(json!({ "upload": 1000 })).unwrap();
        assert_eq!(rates, Rates { upload: Some(1000), ..Rates::default() });
        let options: SessionOptions<u64> = from_value(json!({ "peers": { "Only": [1] } })).unwrap();
        assert!(options.find_providers && options.peers == crate::PeerSet::Only(vec![1]));
        let options = json!({ "peers": { "Prefer": [1] } });
        let options: SessionOptions<u64> = from_value(options).unwrap();
        assert_eq!(options.peers, crate::PeerSet::Prefer(vec![1]));
        let stats = Stats { peers: 3, ..Stats::default() };
        assert_eq!(from_value::<Stats>(to_value(stats).unwrap()).unwrap(), stats);
    }

    #[test]
    fn events_are_shown_with_their_reasons() {
        let report = PeerReport { peer: 1, outcome: PeerOutcome::DontHave };
        let mut engine: crate::Engine<u64> =
            crate::Engine::new(crate::Config::default(), [1; 32], crate::Timestamp::ZERO);
        let session =
            engine.open_session(SessionOptions::default(), crate::Timestamp::ZERO).unwrap();
        let event = Event::Failed {
            session,
            cid: *Block::raw("x").cid(),
            reason: WantFailure::NotFound(vec![report]),
        };
        let json = to_value(&event).unwrap();
        let reports = &json["Failed"]["reason"]["NotFound"];
        assert_eq!(*reports, json!([{ "peer": 1, "outcome": "DontHave" }]));
    }
}
