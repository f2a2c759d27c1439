//! What is asked of a victim unprompted.

use bitswap_core::{Entry, Message, WantKind, Wantlist};
use cid::Cid;
use cid::multihash::Multihash;

use super::PeerBehavior;
use super::server::Server;
use crate::actor::Context;
use crate::node::Node;

/// Entries of a message that is as large as they are read.
const ENTRIES_MAX: u64 = 8192;
/// Blocks from this size on are worth asking for to fill a victim's memory.
const LARGE: usize = 512 << 10;
/// Blocks up to this size are sent for want-haves.
const SMALL: usize = 1024;

impl Server {
    /// One turn, of which so many are left.
    pub(super) fn ask(&mut self, victim: Node, left: u32, context: &mut Context<'_>) {
        let of_size = |sizes: &dyn Fn(usize) -> bool| -> Vec<Cid> {
            let all = context.block_set.blocks().iter();
            all.filter(|block| sizes(block.data().len())).map(|block| *block.cid()).collect()
        };
        let even = left.is_multiple_of(2);
        let want = |cid, priority| Entry::want(cid, WantKind::Block, priority, true);
        let lists: Vec<(Vec<Entry>, bool)> = match self.behavior {
            PeerBehavior::Flooder | PeerBehavior::Churner => {
                let churns = self.behavior == PeerBehavior::Churner;
                let all = of_size(&|_| true).into_iter();
                let wants = all.map(|cid| want(cid, self.rng.next_u64() as i32));
                let entries = wants.map(|entry| match churns && even {
                    true => Entry::cancel(entry.cid),
                    false => entry,
                });
                vec![(entries.collect(), !churns && left.is_multiple_of(3))]
            }
            PeerBehavior::MadeUpWants => {
                let kind = if even { WantKind::Have } else { WantKind::Block };
                let entry = |cid| Entry::want(cid, kind, 1, true);
                let entries = (0..ENTRIES_MAX).map(|_| entry(self.made_up_cid())).collect();
                vec![(entries, left.is_multiple_of(3))]
            }
            PeerBehavior::HashCollider => {
                let turn = u64::from(left) << 32;
                // All bytes are equal but those at one end, and those are small numbers.
                let cids = (0..ENTRIES_MAX / 2).map(|number| similar_cid(turn | number, even));
                vec![(cids.map(|cid| want(cid, 1)).collect(), false)]
            }
            PeerBehavior::FreeRider
            | PeerBehavior::SlowReader(_)
            | PeerBehavior::ConnectionChurner
            | PeerBehavior::IdentityChurner => {
                vec![(of_size(&|_| true).into_iter().map(|cid| want(cid, 1)).collect(), false)]
            }
            PeerBehavior::NeverReads => {
                let large = of_size(&|size| size >= LARGE);
                let cancels = large.iter().map(|cid| Entry::cancel(*cid)).collect();
                vec![(cancels, false), (large.iter().map(|cid| want(*cid, 1)).collect(), false)]
            }
            PeerBehavior::SmallBlockAmplifier => {
                let small = of_size(&|size| size <= SMALL);
                let have = |cid: &Cid| Entry::want(*cid, WantKind::Have, 1, true);
                let cancels = small.iter().map(|cid| Entry::cancel(*cid)).collect();
                vec![(small.iter().map(have).collect(), false), (cancels, false)]
            }
            PeerBehavior::PriorityAbuser => {
                let priority = if even { i32::MAX } else { i32::MIN };
                let mut entries: Vec<Entry> =
                    (0..1000).map(|_| want(self.made_up_cid(), priority)).collect();
                entries.extend(of_size(&|_| true).into_iter().map(|cid| want(cid, priority)));
                vec![(entries, false)]
            }
            PeerBehavior::PresenceProber => {
                let mut cids = of_size(&|_| true);
                cids.extend((0..200).map(|_| self.made_up_cid()));
                let have = |cid: &Cid| Entry::want(*cid, WantKind::Have, 1, true);
                let cancels = cids.iter().map(|cid| Entry::cancel(*cid)).collect();
                vec![(cids.iter().map(have).collect(), false), (cancels, false)]
            }
            PeerBehavior::Reorderer => {
                let cids = of_size(&|_| true);
                let cancels = || cids.iter().map(|cid| Entry::cancel(*cid)).collect();
                let blocks = cids.iter().map(|cid| want(*cid, 1)).collect();
                let have = |cid: &Cid| Entry::want(*cid, WantKind::Have, 1, even);
                let haves = cids.iter().map(have).collect();
                let last = if even { (cancels(), false) } else { (Vec::new(), true) };
                vec![(cancels(), false), (blocks, false), (haves, false), last]
            }
            _ => Vec::new(),
        };
        for (stream, (entries, full)) in (0..).zip(lists) {
            let wantlist = Wantlist { entries, full };
            self.reply(victim, stream, Message { wantlist, ..Message::default() }, context);
        }
    }

    /// A CID of which nobody knows the block.
    pub(super) fn made_up_cid(&mut self) -> Cid {
        let mut digest = [0; 32];
        for bytes in digest.chunks_mut(8) {
            bytes.copy_from_slice(&self.rng.next_u64().to_le_bytes());
        }
        raw_cid(&digest)
    }
}

fn similar_cid(number: u64, at_the_end: bool) -> Cid {
    let mut digest = [0; 32];
    let place = if at_the_end { 24 } else { 0 };
    digest[place..place + 8].copy_from_slice(&number.to_be_bytes());
    raw_cid(&digest)
}

fn raw_cid(digest: &[u8; 32]) -> Cid {
    Cid::new_v1(0x55, Multihash::wrap(0x12, digest).expect("32 bytes fit"))
}
