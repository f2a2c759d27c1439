//! What a block leads to.

use bitswap_core::chunk::{DAG_PB, Link, RAW};
use bytes::Bytes;
use cid::Cid;
use ipld_core::codec::Links as _;
use serde_ipld_dagcbor::codec::DagCborCodec;

use super::fault::StoreFault;
use crate::store::DAG_CBOR;

/// Codecs whose blocks lead nowhere: cbor, json, the keys of peers.
const LEAVES: [u64; 4] = [RAW, 0x51, 0x0200, 0x72];

/// Whether blocks of this codec lead nowhere.
pub(super) fn is_leaf(codec: u64) -> bool {
    LEAVES.contains(&codec)
}

/// The blocks that a block leads to, also through blocks within its links.
pub(super) fn links(cid: &Cid, bytes: &[u8]) -> Result<Vec<Cid>, StoreFault> {
    let mut found = Vec::new();
    // Within a link is no link to another one that is longer, so this ends.
    let mut inner = vec![(cid.codec(), Bytes::copy_from_slice(bytes))];
    while let Some((codec, bytes)) = inner.pop() {
        for link in direct(cid, codec, &bytes)? {
            match link {
                Link::Block(cid) => found.push(cid),
                Link::Inline { codec, data } if !data.is_empty() => inner.push((codec, data)),
                Link::Inline { .. } => {}
            }
        }
    }
    Ok(found)
}

fn direct(cid: &Cid, codec: u64, bytes: &[u8]) -> Result<Vec<Link>, StoreFault> {
    let invalid = || StoreFault::Invalid { cid: *cid };
    match codec {
        DAG_PB => Link::all_in_dag_pb(bytes, usize::MAX).map_err(|_| invalid()),
        DAG_CBOR => {
            let links = DagCborCodec::links(bytes).map_err(|_| invalid())?;
            links.map(|cid| Link::of(&cid).map_err(|_| invalid())).collect()
        }
        _ if is_leaf(codec) => Ok(Vec::new()),
        _ => Err(StoreFault::UnknownLinks { cid: *cid, codec }),
    }
}
