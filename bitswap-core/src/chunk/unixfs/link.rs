//! What a DAG node links to.

use alloc::vec::Vec;

use bytes::Bytes;
use cid::Cid;

use super::dag_pb;
use super::error::DagFault;
use crate::hash::is_of_no_bytes;
use crate::prefix::Prefix;
use crate::protobuf::CanonicalFields;

pub use crate::prefix::{DAG_PB, RAW};

/// The longest identity digest that is resolved; longer ones are refused, as other
/// implementations do.
pub const INLINE_MAX: usize = 128;

const IDENTITY: u64 = 0x00;

/// The target of a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Link {
    /// A block that can be requested from peers.
    Block(Cid),
    /// The block itself: the link's CID is an identity CID, whose digest is the bytes, or the hash of no bytes.
    Inline {
        /// How the bytes are read.
        codec: u64,
        /// At most [`INLINE_MAX`] bytes.
        data: Bytes,
    },
}

impl Link {
    /// Parses the bytes of a link's CID.
    ///
    /// Identity digests are taken from the bytes, because they may be longer than [`Cid`] holds.
    ///
    /// # Errors
    ///
    /// [`DagFault::BadLink`] when the bytes are not one whole CID,
    /// [`DagFault::UnfetchableLink`] when no peer could prove its block,
    /// [`DagFault::LongInline`] for an identity digest above [`INLINE_MAX`] bytes.
    pub fn parse(bytes: &[u8]) -> Result<Self, DagFault> {
        if let Some(inline) = Self::parse_identity(bytes)? {
            return Ok(inline);
        }
        let cid = Cid::try_from(bytes).map_err(|_| DagFault::BadLink)?;
        // `Cid` stops reading at its own end and tolerates what follows.
        if cid.encoded_len() != bytes.len() {
            return Err(DagFault::BadLink);
        }
        Self::fetchable(&cid)
    }

    /// The link to `cid`; the bytes of an identity CID are taken out of it.
    ///
    /// # Errors
    ///
    /// [`DagFault::UnfetchableLink`] when no peer could prove its block.
    pub fn of(cid: &Cid) -> Result<Self, DagFault> {
        if cid.hash().code() == IDENTITY {
            let data = Bytes::copy_from_slice(cid.hash().digest());
            return Ok(Self::Inline { codec: cid.codec(), data });
        }
        Self::fetchable(cid)
    }

    /// The links of a dag-pb node, whatever it is a part of: files, directories, or something else.
    ///
    /// # Errors
    ///
    /// As [`Self::parse`] for each link, [`DagFault::TooManyLinks`] above `links_max`, and
    /// [`DagFault::Malformed`] when it is no dag-pb.
    pub fn all_in_dag_pb(node: &[u8], links_max: usize) -> Result<Vec<Self>, DagFault> {
        let node = dag_pb::decode(node, links_max)?;
        Ok(node.links.into_iter().map(|link| link.target).collect())
    }

    /// The link to a block that peers can prove. That of no bytes proves itself: nobody is asked for it.
    fn fetchable(cid: &Cid) -> Result<Self, DagFault> {
        let prefix = Prefix::of(cid).map_err(DagFault::UnfetchableLink)?;
        prefix.fetchable().map_err(DagFault::UnfetchableLink)?;
        if is_of_no_bytes(cid.hash()) {
            return Ok(Self::Inline { codec: cid.codec(), data: Bytes::new() });
        }
        Ok(Self::Block(*cid))
    }

    fn parse_identity(bytes: &[u8]) -> Result<Option<Self>, DagFault> {
        let mut fields = CanonicalFields::new(bytes);
        let mut varint = || fields.varint().map_err(|_| DagFault::BadLink);
        if varint()? != 1 {
            return Ok(None);
        }
        let codec = varint()?;
        if varint()? != IDENTITY {
            return Ok(None);
        }
        let len = varint()?;
        let data = fields.rest();
        if u64::try_from(data.len()) != Ok(len) {
            return Err(DagFault::BadLink);
        }
        if data.len() > INLINE_MAX {
            return Err(DagFault::LongInline);
        }
        // A copy: a slice would keep the whole node in memory for at most 128 bytes.
        Ok(Some(Self::Inline { codec, data: Bytes::copy_from_slice(data) }))
    }
}

#[cfg(test)]
mod tests {
    use cid::multihash::Multihash;
    use multihash_codetable::{Code, MultihashDigest};

    use super::*;

    fn identity(len: usize) -> Vec<u8> {
        let mut bytes = alloc::vec![1, RAW as u8, 0];
        crate::varint::put(&mut bytes, len as u64);
        bytes.resize(bytes.len() + len, 7);
        bytes
    }

    #[test]
    fn identity_links_are_bytes_up_to_128_even_beyond_what_a_cid_holds() {
        for len in [0, 1, 64, 65, 128] {
            let link = Link::parse(&identity(len));
            let data = Bytes::from(alloc::vec![7; len]);
            assert_eq!(link, Ok(Link::Inline { codec: RAW, data }));
        }
        assert_eq!(Link::parse(&identity(129)), Err(DagFault::LongInline));
        assert_eq!(Link::parse(&identity(9)[..12]), Err(DagFault::BadLink));
    }

    #[test]
    fn the_links_of_a_node_are_found_whatever_the_node_is() {
        let to = |data: &[u8]| Cid::new_v1(RAW, Code::Sha2_256.digest(data));
        let (one, inline) = (to(b"one").to_bytes(), identity(3));
        let links = [(&one[..], &b"name"[..], 1), (&inline[..], &b""[..], 0)];
        // The data is no UnixFS.
        let node = dag_pb::encode(links.into_iter(), b"something else");
        let data = Bytes::from_static(&[7; 3]);
        let expected = [Link::Block(to(b"one")), Link::Inline { codec: RAW, data }];
        assert_eq!(Link::all_in_dag_pb(&node, 2), Ok(expected.to_vec()));
        assert_eq!(Link::all_in_dag_pb(&node, 1), Err(DagFault::TooManyLinks));
        assert_eq!(Link::all_in_dag_pb(b"junk", 9), Err(DagFault::Malformed));
    }

    #[test]
    fn the_empty_block_is_proved_by_its_hash_alone() {
        for code in [Code::Sha2_256, Code::Sha2_512, Code::Blake3_256] {
            for codec in [RAW, DAG_PB] {
                let cid = Cid::new_v1(codec, code.digest(b""));
                let empty = Link::Inline { codec, data: Bytes::new() };
                assert_eq!(Link::of(&cid), Ok(empty.clone()));
                assert_eq!(Link::parse(&cid.to_bytes()), Ok(empty.clone()));
                let cut = Multihash::wrap(code.into(), &cid.hash().digest()[..20]).unwrap();
                assert_eq!(Link::of(&Cid::new_v1(codec, cut)), Ok(empty));
            }
            let other = Cid::new_v1(RAW, code.digest(b"x"));
            assert_eq!(Link::of(&other), Ok(Link::Block(other)));
        }
    }

    #[test]
    fn whole_cids_only() {
        let digest = Code::Sha2_256.digest(b"x");
        for cid in [Cid::new_v0(digest).unwrap(), Cid::new_v1(RAW, digest)] {
            let mut bytes = cid.to_bytes();
            assert_eq!(Link::parse(&bytes), Ok(Link::Block(cid)));
            bytes.push(0);
            assert_eq!(Link::parse(&bytes), Err(DagFault::BadLink));
            bytes.truncate(20);
            assert_eq!(Link::parse(&bytes), Err(DagFault::BadLink));
        }
        assert_eq!(Link::parse(&[]), Err(DagFault::BadLink));
    }

    #[test]
    fn a_link_whose_hash_proves_nothing_is_refused() {
        let digest = Code::Sha2_256.digest(b"x");
        let short = digest.truncate(19);
        let unknown = Multihash::wrap(0x9999, digest.digest()).unwrap();
        for hash in [short, unknown] {
            let bytes = Cid::new_v1(RAW, hash).to_bytes();
            assert!(matches!(Link::parse(&bytes), Err(DagFault::UnfetchableLink(_))));
        }
    }
}
