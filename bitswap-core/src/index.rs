//! From a key to its row: a sharded hash table of row numbers.
//!
//! It is never iterated, and it is keyed from the engine's seed: a peer that does not know the seed
//! cannot choose keys that collide. Sharding bounds the cost of the worst insertion: growing moves
//! the entries of one shard, not of the table. It shrinks below a quarter, and an empty shard holds
//! no memory.

use core::hash::Hasher;

use hashbrown::HashTable;
use siphasher::sip::SipHasher13;

use crate::rng::sub_seed;

const SHARDS: usize = 64;
/// Below this a shard is not worth shrinking.
const SMALL: usize = 16;

/// A hash of a key, made by [`Index::hash`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hash(u64);

/// Hashes keys for one [`Index`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeyHasher(u64, u64);

impl KeyHasher {
    /// Hashes a key of two parts: bytes and a number (a peer's, or 0).
    pub(crate) fn hash(self, bytes: &[u8], number: u64) -> Hash {
        let mut hasher = SipHasher13::new_with_keys(self.0, self.1);
        hasher.write_u64(number);
        hasher.write(bytes);
        Hash(hasher.finish())
    }
}

/// Row numbers, found by the hash of a key that the row holds.
#[derive(Debug)]
pub(crate) struct Index {
    hasher: KeyHasher,
    shards: [HashTable<u32>; SHARDS],
}

impl Index {
    /// An index keyed by the seed and a label of its own.
    pub(crate) fn new(seed: &[u8; 32], label: &str) -> Self {
        Self {
            hasher: KeyHasher(sub_seed(seed, label, 0), sub_seed(seed, label, 1)),
            shards: [const { HashTable::new() }; SHARDS],
        }
    }

    /// A copy of the hasher, for use while the index is borrowed.
    pub(crate) const fn hasher(&self) -> KeyHasher {
        self.hasher
    }

    /// Hashes a key of two parts: bytes and a number (a peer's, or 0).
    pub(crate) fn hash(&self, bytes: &[u8], number: u64) -> Hash {
        self.hasher.hash(bytes, number)
    }

    /// The row with this hash that `is` confirms.
    pub(crate) fn find(&self, hash: Hash, mut is: impl FnMut(u32) -> bool) -> Option<u32> {
        self.shards[shard(hash)].find(hash.0, |row| is(*row)).copied()
    }

    /// Adds a row that is not there yet. `rehash` gives the hash of a row already present.
    pub(crate) fn insert(&mut self, hash: Hash, row: u32, rehash: impl Fn(u32) -> Hash) {
        self.shards[shard(hash)].insert_unique(hash.0, row, |row| rehash(*row).0);
    }

    /// Takes a row out. `rehash` as in [`Index::insert`].
    pub(crate) fn remove(&mut self, hash: Hash, row: u32, rehash: impl Fn(u32) -> Hash) {
        let table = &mut self.shards[shard(hash)];
        if let Ok(entry) = table.find_entry(hash.0, |there| *there == row) {
            entry.remove();
            if table.is_empty() {
                *table = HashTable::new();
            } else if table.capacity() > SMALL && table.len() < table.capacity() / 4 {
                table.shrink_to(table.len() * 2, |row| rehash(*row).0);
            }
        }
    }

    /// Bytes allocated.
    pub(crate) fn bytes(&self) -> usize {
        self.shards.iter().map(HashTable::allocation_size).sum()
    }
}

fn shard(hash: Hash) -> usize {
    // Bits that the tables use neither for the bucket (lowest) nor for the tag (highest seven).
    (hash.0 >> 48) as usize % SHARDS
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    #[test]
    fn finds_what_was_added_and_frees_all() {
        let mut index = Index::new(&[1; 32], "test");
        let keys: Vec<[u8; 4]> = (0..5_000u32).map(u32::to_le_bytes).collect();
        let hashes: Vec<Hash> = keys.iter().map(|key| index.hash(key, 0)).collect();
        for (row, hash) in (0u32..).zip(&hashes) {
            index.insert(*hash, row, |row| hashes[row as usize]);
        }
        for (row, hash) in (0u32..).zip(&hashes) {
            assert_eq!(index.find(*hash, |there| there == row), Some(row));
        }
        assert!(index.bytes() > 0);
        for (row, hash) in (0u32..).zip(&hashes) {
            index.remove(*hash, row, |row| hashes[row as usize]);
            assert_eq!(index.find(*hash, |there| there == row), None);
        }
        assert_eq!(index.bytes(), 0);
    }

    #[test]
    fn the_key_comes_from_seed_and_label() {
        let one = Index::new(&[1; 32], "a").hash(b"key", 0).0;
        assert_ne!(one, Index::new(&[2; 32], "a").hash(b"key", 0).0);
        assert_ne!(one, Index::new(&[1; 32], "b").hash(b"key", 0).0);
        assert_ne!(one, Index::new(&[1; 32], "a").hash(b"key", 1).0);
    }
}
