//! A value per connected peer, found by the peer's place in the engine's table.

use alloc::boxed::Box;
use alloc::vec::Vec;

/// One `T` for each of some peers. Memory follows the highest place in use and goes to zero.
#[derive(Debug)]
pub(crate) struct PerPeer<T> {
    values: Vec<Option<Box<T>>>,
    live: usize,
}

impl<T> Default for PerPeer<T> {
    fn default() -> Self {
        Self { values: Vec::new(), live: 0 }
    }
}

impl<T> PerPeer<T> {
    pub(crate) fn insert(&mut self, peer: u32, value: T) {
        let at = peer as usize;
        if self.values.len() <= at {
            self.values.resize_with(at + 1, || None);
        }
        if self.values[at].replace(Box::new(value)).is_none() {
            self.live += 1;
        }
    }

    pub(crate) fn get(&self, peer: u32) -> Option<&T> {
        self.values.get(peer as usize)?.as_deref()
    }

    pub(crate) fn get_mut(&mut self, peer: u32) -> Option<&mut T> {
        self.values.get_mut(peer as usize)?.as_deref_mut()
    }

    pub(crate) fn remove(&mut self, peer: u32) -> Option<T> {
        let value = self.values.get_mut(peer as usize)?.take()?;
        self.live -= 1;
        while self.values.last().is_some_and(Option::is_none) {
            self.values.pop();
        }
        if self.values.is_empty() || self.values.len() < self.values.capacity() / 4 {
            self.values.shrink_to(self.values.len() * 2);
        }
        Some(*value)
    }

    pub(crate) fn len(&self) -> usize {
        self.live
    }

    /// All values in order of place.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        (0..).zip(&self.values).filter_map(|(peer, value)| Some((peer, value.as_deref()?)))
    }

    /// All values in order of place.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (u32, &mut T)> {
        (0..).zip(&mut self.values).filter_map(|(peer, value)| Some((peer, value.as_deref_mut()?)))
    }

    /// Bytes allocated, without what the values hold themselves.
    pub(crate) fn bytes(&self) -> usize {
        self.values.capacity() * size_of::<Option<Box<T>>>() + self.live * size_of::<T>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_goes_to_zero() {
        let mut table = PerPeer::default();
        for peer in 0..100 {
            table.insert(peer, peer);
        }
        assert_eq!(table.iter().count(), 100);
        for peer in (0..100).rev() {
            assert_eq!(table.remove(peer), Some(peer));
        }
        assert_eq!((table.len(), table.bytes()), (0, 0));
    }
}
