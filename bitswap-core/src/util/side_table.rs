//! A value for each of some rows of another table, found by the row's place.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::marker::PhantomData;

use super::rows::Ref;

/// One `T` for each of some rows that stand for a `K`. Memory follows the highest place in use and goes
/// to zero.
#[derive(Debug)]
pub(crate) struct SideTable<T, K> {
    values: Vec<Option<Box<T>>>,
    live: usize,
    kind: PhantomData<fn() -> K>,
}

impl<T, K> Default for SideTable<T, K> {
    fn default() -> Self {
        Self { values: Vec::new(), live: 0, kind: PhantomData }
    }
}

impl<T, K> SideTable<T, K> {
    pub(crate) fn insert(&mut self, row: Ref<K>, value: T) {
        let at = row.place() as usize;
        if self.values.len() <= at {
            self.values.resize_with(at + 1, || None);
        }
        if let Some(place) = self.values.get_mut(at)
            && place.replace(Box::new(value)).is_none()
        {
            self.live += 1;
        }
    }

    pub(crate) fn get(&self, row: Ref<K>) -> Option<&T> {
        self.values.get(row.place() as usize)?.as_deref()
    }

    pub(crate) fn get_mut(&mut self, row: Ref<K>) -> Option<&mut T> {
        self.values.get_mut(row.place() as usize)?.as_deref_mut()
    }

    pub(crate) fn remove(&mut self, row: Ref<K>) -> Option<T> {
        let value = self.values.get_mut(row.place() as usize)?.take()?;
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
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Ref<K>, &T)> {
        (0..)
            .zip(&self.values)
            .filter_map(|(place, value)| Some((Ref::from_place(place), value.as_deref()?)))
    }

    /// All values in order of place.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (Ref<K>, &mut T)> {
        (0..)
            .zip(&mut self.values)
            .filter_map(|(place, value)| Some((Ref::from_place(place), value.as_deref_mut()?)))
    }

    /// Bytes allocated, without what the values hold themselves.
    pub(crate) fn bytes(&self) -> usize {
        self.values.capacity() * size_of::<Option<Box<T>>>() + self.live * size_of::<T>()
    }

    /// The most bytes that a value, and its part of the places, take of so many.
    pub(crate) const fn bytes_max_each(values: u64) -> u64 {
        let values = if values == 0 { 1 } else { values };
        size_of::<T>() as u64 + crate::memory::list::<Option<Box<T>>>(values).div_ceil(values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_goes_to_zero() {
        let mut table: SideTable<u32, ()> = SideTable::default();
        let row = Ref::from_place;
        for place in 0..100 {
            table.insert(row(place), place);
        }
        assert_eq!((table.iter().count(), table.get(row(7))), (100, Some(&7)));
        for place in (0..100).rev() {
            assert_eq!(table.remove(row(place)), Some(place));
        }
        assert_eq!((table.len(), table.bytes(), table.get(row(7))), (0, 0, None));
    }

    #[test]
    fn what_it_takes_is_within_the_bound_and_most_of_it() {
        let mut table: SideTable<u32, ()> = SideTable::default();
        for place in 0..300 {
            table.insert(Ref::from_place(place), place);
            let values = u64::from(place) + 1;
            let most = SideTable::<u32, ()>::bytes_max_each(values) * values;
            let bytes = table.bytes() as u64;
            assert!((most - values..=most).contains(&bytes), "{bytes} of {most} for {values}");
        }
    }

    #[test]
    fn the_places_and_the_values_are_counted() {
        let mut table: SideTable<[u64; 5], ()> = SideTable::default();
        for place in [0, 3] {
            table.insert(Ref::from_place(place), [0; 5]);
        }
        let places = table.values.capacity() * size_of::<usize>();
        assert_eq!((table.len(), table.bytes()), (2, places + 2 * 40));
        // A value in a place that has one replaces it.
        table.insert(Ref::from_place(3), [1; 5]);
        assert_eq!((table.len(), table.bytes()), (2, places + 2 * 40));
        assert_eq!(table.remove(Ref::from_place(1)), None);
        assert_eq!(
            table.iter_mut().map(|(row, value)| (row.place(), value[0])).collect::<Vec<_>>(),
            [(0, 0), (3, 1)]
        );
    }
}
