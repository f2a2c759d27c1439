//! From a key to its row: a sharded hash table of the places of rows.
//!
//! It is never iterated, and it is keyed from the engine's seed: a peer that does not know the seed
//! cannot choose keys that collide. Sharding bounds the cost of the worst insertion: growing moves
//! the entries of one shard, not of the table, and shards grow and shrink at different fillings, as
//! equally filled as they are. A shard is at least an eighth full, and an empty one holds no memory.

use core::hash::Hasher;

use hashbrown::HashTable;
use siphasher::sip::SipHasher13;

use crate::rng::sub_seed;

const SHARDS: usize = 64;
/// Below this a shard is not worth shrinking.
const SMALL: usize = 16;

/// A hash of a key, made by [`Index::hash`]: enough bits for any number of rows, few enough to be
/// kept beside each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hash(u32);

impl Hash {
    /// Spread over all bits, as the tables take some from both ends.
    const fn spread(self) -> u64 {
        (self.0 as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }

    /// By other bits than those that say where in its shard a row is looked for: the lowest.
    const fn shard(self) -> usize {
        (self.0 >> (u32::BITS - SHARDS.ilog2())) as usize
    }
}

#[derive(Clone, Copy, Debug)]
struct Entry<R> {
    row: R,
    /// Growing must not look at the rows, which are all over the memory.
    hash: Hash,
}

/// Places of rows, found by the hash of a key that the row holds.
#[derive(Debug)]
pub(crate) struct Index<R> {
    key: (u64, u64),
    shards: [HashTable<Entry<R>>; SHARDS],
}

impl<R: Copy + PartialEq> Index<R> {
    /// An index keyed by the seed and a label of its own.
    pub(crate) fn new(seed: &[u8; 32], label: &str) -> Self {
        Self {
            key: (sub_seed(seed, label, 0), sub_seed(seed, label, 1)),
            shards: [const { HashTable::new() }; SHARDS],
        }
    }

    /// Hashes a key of two parts: bytes and a number (a peer's, or 0).
    pub(crate) fn hash(&self, bytes: &[u8], number: u64) -> Hash {
        let mut hasher = SipHasher13::new_with_keys(self.key.0, self.key.1);
        hasher.write_u64(number);
        hasher.write(bytes);
        Hash(hasher.finish() as u32)
    }

    /// The row with this hash that `is` confirms.
    pub(crate) fn find(&self, hash: Hash, mut is: impl FnMut(R) -> bool) -> Option<R> {
        let same = |entry: &Entry<R>| entry.hash == hash && is(entry.row);
        let shard = self.shards.get(hash.shard())?;
        shard.find(hash.spread(), same).map(|entry| entry.row)
    }

    /// Adds a row that is not there yet.
    pub(crate) fn insert(&mut self, hash: Hash, row: R) {
        // There is a shard for every remainder.
        let Some(table) = self.shards.get_mut(hash.shard()) else { return };
        let capacity = capacity(table);
        if capacity > SMALL && table.len() >= staggered(capacity / 2, hash.shard()) {
            table.reserve(capacity + 1 - table.len(), |entry| entry.hash.spread());
        }
        table.insert_unique(hash.spread(), Entry { row, hash }, |entry| entry.hash.spread());
    }

    /// Takes a row out.
    pub(crate) fn remove(&mut self, hash: Hash, row: R) {
        let Some(table) = self.shards.get_mut(hash.shard()) else { return };
        if let Ok(entry) = table.find_entry(hash.spread(), |entry| entry.row == row) {
            entry.remove();
            let capacity = capacity(table);
            if table.is_empty() {
                *table = HashTable::new();
            } else if capacity > SMALL && table.len() < staggered(capacity / 8, hash.shard()) {
                table.shrink_to(table.len() * 3, |entry| entry.hash.spread());
            }
        }
    }

    /// Gives up what small shards keep for the next rows: a peer that was here leaves nothing behind that can be seen.
    /// Takes a time that does not depend on how many rows there are.
    pub(crate) fn release(&mut self) {
        for table in &mut self.shards {
            if capacity(table) <= SMALL {
                table.shrink_to_fit(|entry| entry.hash.spread());
            }
        }
    }

    /// The most bytes that so many entries take at once.
    pub(crate) const fn bytes_max(entries: u64) -> u64 {
        // A table has two to four times the room that it needs when it has just grown, an eighth of
        // it cannot be used, and each place has a byte of its hash beside it.
        let place = size_of::<Entry<R>>() as u64 + 1;
        entries * place * 4 * 8 / 7 + SHARDS as u64 * (SMALL as u64 * 2 * place + 16)
    }

    /// Bytes allocated.
    pub(crate) fn bytes(&self) -> usize {
        self.shards.iter().map(HashTable::allocation_size).sum()
    }
}

/// How many entries a table has room for. What it says itself leaves out the places that removed ones have left
/// unusable, by which it seems fuller than it is.
fn capacity<T>(table: &HashTable<T>) -> usize {
    table.num_buckets() / 8 * 7
}

/// Between `least` and twice as many, a little more for each shard.
const fn staggered(least: usize, shard: usize) -> usize {
    least + least * shard / SHARDS
}

#[cfg(test)]
mod tests {
    use alloc::vec;
    use alloc::vec::Vec;

    use super::*;

    #[test]
    fn finds_what_was_added_and_frees_all() {
        let mut index = Index::new(&[1; 32], "test");
        let keys: Vec<[u8; 4]> = (0..5_000u32).map(u32::to_le_bytes).collect();
        let hashes: Vec<Hash> = keys.iter().map(|key| index.hash(key, 0)).collect();
        for (row, hash) in (0u32..).zip(&hashes) {
            index.insert(*hash, row);
        }
        for (row, hash) in (0u32..).zip(&hashes) {
            assert_eq!(index.find(*hash, |there| there == row), Some(row));
        }
        assert!(index.bytes() > 0);
        for (row, hash) in (0u32..).zip(&hashes) {
            index.remove(*hash, row);
            assert_eq!(index.find(*hash, |there| there == row), None);
        }
        assert_eq!(index.bytes(), 0);
    }

    /// Otherwise equally filled shards would all grow, or shrink, while a few rows come or go.
    #[test]
    fn shards_grow_and_shrink_at_different_fillings() {
        let changes = |shard: u32| {
            let mut index = Index::new(&[1; 32], "test");
            let hash = |row: u32| Hash(shard << 26 | row);
            let (mut grown, mut shrunk) = (Vec::new(), Vec::new());
            for row in 0..200 {
                let before = index.bytes();
                index.insert(hash(row), row);
                grown.extend((index.bytes() > before).then_some(row));
            }
            for row in (0..200).rev() {
                let before = index.bytes();
                index.remove(hash(row), row);
                shrunk.extend((index.bytes() < before).then_some(row));
            }
            (grown, shrunk)
        };
        let changed = (vec![0, 3, 7, 14, 15, 28, 56, 112], vec![55, 27, 13, 6, 2, 0]);
        assert_eq!(changes(0), changed);
        let changed = (vec![0, 3, 7, 14, 21, 42, 84, 168], vec![74, 37, 18, 9, 3, 0]);
        assert_eq!(changes(32), changed);
        let changed = (vec![0, 3, 7, 14, 27, 55, 111], vec![37, 18, 9, 4, 0]);
        assert_eq!(changes(63), changed);
    }

    #[test]
    fn what_small_shards_keep_for_the_next_rows_is_given_up() {
        let hash = |row: u32| Hash(3 << 26 | row);
        let filled = |rows: u32, least: u32| {
            let mut index = Index::new(&[1; 32], "test");
            (0..rows).for_each(|row| index.insert(hash(row), row));
            (least..rows).for_each(|row| index.remove(hash(row), row));
            index
        };
        for least in 0..7 {
            let mut index = filled(7, least);
            let small = filled(least, least).bytes();
            assert_eq!(index.bytes() > small, (1..4).contains(&least), "{least}");
            index.release();
            assert_eq!(index.bytes(), small, "{least}");
            assert!((0..least).all(|row| index.find(hash(row), |at| at == row).is_some()));
        }
    }

    /// Rows that all begin in the same few places of their shard are found by looking through each other.
    #[test]
    fn rows_of_one_shard_begin_all_over_it() {
        let index = Index::<u32>::new(&[1; 32], "test");
        let hashes = (0..64 * 256u32).map(|row| index.hash(&row.to_le_bytes(), 0));
        let mut starts = [0; 64];
        hashes
            .filter(|hash| hash.shard() == 7)
            .for_each(|hash| starts[hash.spread() as usize % 64] += 1);
        assert_eq!(starts.iter().sum::<u32>(), 240);
        assert!(starts.iter().all(|rows| *rows <= 12), "{starts:?}");
    }

    #[test]
    fn the_key_comes_from_seed_and_label() {
        let one = Index::<u32>::new(&[1; 32], "a").hash(b"key", 0).0;
        assert_ne!(one, Index::<u32>::new(&[2; 32], "a").hash(b"key", 0).0);
        assert_ne!(one, Index::<u32>::new(&[1; 32], "b").hash(b"key", 0).0);
        assert_ne!(one, Index::<u32>::new(&[1; 32], "a").hash(b"key", 1).0);
    }

    #[test]
    fn of_rows_with_the_same_hash_the_one_that_is_confirmed_is_found() {
        let mut index = Index::new(&[1; 32], "test");
        let hash = index.hash(b"same", 0);
        for row in 0u32..3 {
            index.insert(hash, row);
        }
        for row in 0..3 {
            assert_eq!(index.find(hash, |there| there == row), Some(row));
        }
        assert_eq!(index.find(hash, |_| false), None);
        // Another hash of the same shard.
        assert_eq!(index.find(Hash(hash.0 ^ 1), |_| true), None);
        index.remove(hash, 1);
        assert_eq!(
            [0, 1, 2].map(|row| index.find(hash, |there| there == row)),
            [Some(0), None, Some(2)]
        );
    }
}
