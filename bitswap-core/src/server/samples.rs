//! What the tests of the parts share.

use cid::Cid;
use cid::multihash::Multihash;

use crate::config::Config;
use crate::key::Key;
use crate::limits::Limits;
use crate::message::{Entry, WantKind};
use crate::peer::Peer;
use crate::util::rows::Ref;

/// A CID of its own for each number.
pub(super) fn cid(n: u32) -> Cid {
    let digest = [n.to_le_bytes(); 8].concat();
    Cid::new_v1(0x55, Multihash::wrap(0x12, &digest).unwrap())
}

pub(super) fn key(n: u32) -> Key {
    Key::new(&cid(n))
}

pub(super) const fn peer(place: u32) -> Ref<Peer> {
    Ref::from_place(place)
}

/// A want-block that does not ask for a DONT_HAVE.
pub(super) fn want_block(n: u32, priority: i32) -> Entry {
    Entry::want(cid(n), WantKind::Block, priority, false)
}

/// A want-have that asks for a DONT_HAVE.
pub(super) fn want_have_or(n: u32, priority: i32) -> Entry {
    Entry::want(cid(n), WantKind::Have, priority, true)
}

/// A configuration with other limits.
pub(super) fn limited(how: impl FnOnce(&mut Limits)) -> Config {
    let mut limits = Limits::default();
    how(&mut limits);
    Config::default().with_limits(limits).unwrap()
}
