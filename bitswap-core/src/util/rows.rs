//! Rows in pages: where the engine keeps its many small things.
//!
//! A row is found by its [`Ref`], its place, as long as it lives; and by its [`Id`], which has the count of
//! insertions at the time it was made as well, so an id that outlived its row names nothing. Both carry the
//! type of what they name. Rows live in fixed pages that are allocated and freed one by one: no insertion
//! moves other rows, and an emptied table holds no memory.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::cmp::Ordering;
use core::fmt;
use core::hash::{Hash, Hasher};
use core::marker::PhantomData;
use core::num::NonZeroU32;

/// Rows in a page.
const PAGE: usize = 128;
/// "No slot" in the list of a page's vacant ones.
const NONE: u32 = u32::MAX;

/// The place of a live row. `K` is what the row stands for.
pub(crate) struct Ref<K> {
    /// The place and one, so that an optional place takes no more room.
    place: NonZeroU32,
    kind: PhantomData<fn() -> K>,
}

impl<K> Ref<K> {
    pub(crate) const fn from_place(place: u32) -> Self {
        Self { place: NonZeroU32::MIN.saturating_add(place), kind: PhantomData }
    }

    /// Places are dense: a table beside this one can be indexed by them.
    pub(crate) const fn place(self) -> u32 {
        self.place.get() - 1
    }
}

impl<K> Clone for Ref<K> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K> Copy for Ref<K> {}

impl<K> PartialEq for Ref<K> {
    fn eq(&self, other: &Self) -> bool {
        self.place == other.place
    }
}

impl<K> Eq for Ref<K> {}

impl<K> PartialOrd for Ref<K> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<K> Ord for Ref<K> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.place.cmp(&other.place)
    }
}

impl<K> Hash for Ref<K> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.place().hash(state);
    }
}

impl<K> fmt::Debug for Ref<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.place())
    }
}

impl<K> fmt::Display for Ref<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.place().fmt(f)
    }
}

/// The place and age of a row that may be gone. `K` is what the row stands for.
pub(crate) struct Id<K> {
    at: Ref<K>,
    age: u32,
}

impl<K> Id<K> {
    pub(crate) const fn at(self) -> Ref<K> {
        self.at
    }

    pub(crate) const fn from_bits(bits: u64) -> Self {
        Self { at: Ref::from_place(bits as u32), age: (bits >> 32) as u32 }
    }

    /// As one number, for those outside.
    pub(crate) const fn to_bits(self) -> u64 {
        (self.age as u64) << 32 | self.at.place() as u64
    }
}

impl<K> Clone for Id<K> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K> Copy for Id<K> {}

impl<K> PartialEq for Id<K> {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.age) == (other.at, other.age)
    }
}

impl<K> Eq for Id<K> {}

impl<K> PartialOrd for Id<K> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<K> Ord for Id<K> {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at, self.age).cmp(&(other.at, other.age))
    }
}

impl<K> Hash for Id<K> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.at, self.age).hash(state);
    }
}

impl<K> fmt::Debug for Id<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.at.place(), self.age)
    }
}

#[derive(Debug)]
enum Slot<T> {
    /// The next vacant slot of the same page.
    Vacant(u32),
    Live(u32, T),
}

#[derive(Debug)]
struct Page<T> {
    slots: Box<[Slot<T>]>,
    live: u32,
    vacant: u32,
}

/// Where a page is, or can be.
#[derive(Debug)]
struct Place<T> {
    page: Option<Page<T>>,
    /// It is in the list of those with room.
    listed: bool,
}

/// A table of rows that stand for a `K`.
#[derive(Debug)]
pub(crate) struct Rows<T, K = T> {
    pages: Vec<Place<T>>,
    /// Places with room: each that has a vacant slot or no page, once, and perhaps some that have
    /// filled up since, which are skipped.
    roomy: Vec<u32>,
    live: usize,
    /// Places that have a page.
    pages_len: usize,
    age: u32,
    kind: PhantomData<fn() -> K>,
}

impl<T, K> Default for Rows<T, K> {
    fn default() -> Self {
        Self {
            pages: Vec::new(),
            roomy: Vec::new(),
            live: 0,
            pages_len: 0,
            age: 0,
            kind: PhantomData,
        }
    }
}

impl<T, K> Rows<T, K> {
    pub(crate) fn len(&self) -> usize {
        self.live
    }

    /// Bytes allocated for rows.
    pub(crate) fn bytes(&self) -> usize {
        self.pages_len * PAGE * size_of::<Slot<T>>()
            + self.pages.capacity() * size_of::<Place<T>>()
            + self.roomy.capacity() * size_of::<u32>()
    }

    /// The most bytes that so many rows take at once, however they came and went.
    pub(crate) const fn bytes_max(rows: u64) -> u64 {
        let pages = rows.div_ceil(PAGE as u64);
        // Both lists grow by doubling.
        let listed = 2 * (size_of::<Place<T>>() + size_of::<u32>()) as u64;
        pages * (PAGE * size_of::<Slot<T>>()) as u64 + (pages + 4) * listed
    }

    pub(crate) fn insert(&mut self, row: T) -> Id<K> {
        self.age = self.age.wrapping_add(1);
        let (number, page) = loop {
            let Some(&number) = self.roomy.last() else {
                let number = self.pages.len();
                self.pages.push(Place { page: None, listed: true });
                self.roomy.push(number as u32);
                continue;
            };
            let Some(place) = self.pages.get_mut(number as usize) else {
                debug_assert!(false, "a page that is not there has room");
                self.roomy.pop();
                continue;
            };
            if place.page.as_ref().is_none_or(|page| page.vacant != NONE) {
                self.pages_len += usize::from(place.page.is_none());
                break (number, place.page.get_or_insert_with(new_page));
            }
            place.listed = false;
            self.roomy.pop();
        };
        let at = page.vacant;
        if let Some(slot) = page.slots.get_mut(at as usize)
            && let Slot::Vacant(next) = core::mem::replace(slot, Slot::Live(self.age, row))
        {
            page.vacant = next;
        }
        page.live += 1;
        self.live += 1;
        Id { at: Ref::from_place(number * PAGE as u32 + at), age: self.age }
    }

    /// The row at a place that is known to be live.
    pub(crate) fn at(&self, at: Ref<K>) -> Option<&T> {
        match self.slot(at)? {
            Slot::Live(_, row) => Some(row),
            Slot::Vacant(_) => None,
        }
    }

    pub(crate) fn at_mut(&mut self, at: Ref<K>) -> Option<&mut T> {
        match self.slot_mut(at)? {
            Slot::Live(_, row) => Some(row),
            Slot::Vacant(_) => None,
        }
    }

    pub(crate) fn get(&self, id: Id<K>) -> Option<&T> {
        match self.slot(id.at)? {
            Slot::Live(age, row) if *age == id.age => Some(row),
            _ => None,
        }
    }

    pub(crate) fn get_mut(&mut self, id: Id<K>) -> Option<&mut T> {
        match self.slot_mut(id.at)? {
            Slot::Live(age, row) if *age == id.age => Some(row),
            _ => None,
        }
    }

    /// The full id of the row at a place.
    pub(crate) fn id(&self, at: Ref<K>) -> Option<Id<K>> {
        match self.slot(at)? {
            Slot::Live(age, _) => Some(Id { at, age: *age }),
            Slot::Vacant(_) => None,
        }
    }

    pub(crate) fn remove(&mut self, at: Ref<K>) -> Option<T> {
        let (number, at) = (at.place() / PAGE as u32, at.place() % PAGE as u32);
        let place = self.pages.get_mut(number as usize)?;
        let page = place.page.as_mut()?;
        let slot = page.slots.get_mut(at as usize)?;
        if matches!(slot, Slot::Vacant(_)) {
            return None;
        }
        let Slot::Live(_, row) = core::mem::replace(slot, Slot::Vacant(page.vacant)) else {
            return None;
        };
        page.vacant = at;
        page.live -= 1;
        self.live -= 1;
        if page.live == 0 {
            place.page = None;
            self.pages_len -= 1;
        }
        if !core::mem::replace(&mut place.listed, true) {
            self.roomy.push(number);
        }
        if self.live == 0 {
            self.pages = Vec::new();
            self.roomy = Vec::new();
        }
        Some(row)
    }

    /// All live rows in order of place.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Id<K>, &T)> {
        self.pages.iter().zip(0u32..).flat_map(|(place, number)| {
            place.page.iter().flat_map(move |page| {
                page.slots.iter().zip(0u32..).filter_map(move |(slot, at)| match slot {
                    Slot::Live(age, row) => Some((
                        Id { at: Ref::from_place(number * PAGE as u32 + at), age: *age },
                        row,
                    )),
                    Slot::Vacant(_) => None,
                })
            })
        })
    }

    fn slot(&self, at: Ref<K>) -> Option<&Slot<T>> {
        let index = at.place();
        let page = self.pages.get(index as usize / PAGE)?.page.as_ref()?;
        page.slots.get(index as usize % PAGE)
    }

    fn slot_mut(&mut self, at: Ref<K>) -> Option<&mut Slot<T>> {
        let index = at.place();
        let page = self.pages.get_mut(index as usize / PAGE)?.page.as_mut()?;
        page.slots.get_mut(index as usize % PAGE)
    }
}

fn new_page<T>() -> Page<T> {
    let slots = (1..=PAGE as u32)
        .map(|next| Slot::Vacant(if next == PAGE as u32 { NONE } else { next }))
        .collect();
    Page { slots, live: 0, vacant: 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_names_its_row_only() {
        let mut rows = Rows::default();
        let a: Id<char> = rows.insert('a');
        assert_eq!(rows.get(a), Some(&'a'));
        assert_eq!(rows.remove(a.at()), Some('a'));
        let b = rows.insert('b');
        assert_eq!(b.at(), a.at());
        assert_eq!(rows.get(a), None);
        assert_eq!(rows.get(b), Some(&'b'));
        assert_eq!(rows.remove(Ref::from_place(7)), None);
        assert_eq!((Id::from_bits(b.to_bits()), b.to_bits()), (b, 2 << 32));
        assert_eq!(size_of::<Option<Ref<char>>>(), 4);
    }

    #[test]
    fn pages_are_freed_one_by_one_and_reused() {
        let mut rows = Rows::default();
        let ids: Vec<Id<usize>> = (0..10 * PAGE).map(|n| rows.insert(n)).collect();
        let full = rows.bytes();
        // Empty the third page: its memory goes, its neighbours stay.
        for id in &ids[2 * PAGE..3 * PAGE] {
            rows.remove(id.at());
        }
        assert!(rows.bytes() < full);
        assert_eq!(rows.get(ids[PAGE]), Some(&PAGE));
        let again = rows.insert(0);
        assert_eq!(again.at().place() as usize / PAGE, 2);
        for id in ids {
            rows.remove(id.at());
        }
        rows.remove(again.at());
        assert_eq!((rows.len(), rows.bytes()), (0, 0));
    }

    #[test]
    fn a_row_that_comes_and_goes_takes_no_memory_with_time() {
        let mut rows = Rows::default();
        let mut last: Ref<usize> = (0..PAGE).map(|n| rows.insert(n).at()).last().unwrap();
        let before = rows.bytes();
        for n in 0..1000 {
            rows.remove(last);
            last = rows.insert(n).at();
        }
        assert_eq!(rows.bytes(), before);
        assert!(rows.bytes() as u64 <= Rows::<usize>::bytes_max(PAGE as u64));
    }

    #[test]
    fn iteration_is_in_order_of_place() {
        let mut rows: Rows<u32> = Rows::default();
        for n in 0..300 {
            rows.insert(n);
        }
        assert!(rows.iter().map(|(_, n)| *n).eq(0..300));
    }

    #[test]
    fn a_table_takes_its_pages_and_the_lists_of_them() {
        let mut rows: Rows<u64> = Rows::default();
        assert_eq!(rows.bytes(), 0);
        let ids: Vec<Id<u64>> = (0..=2 * PAGE as u64).map(|n| rows.insert(n)).collect();
        let lists = rows.pages.capacity() * size_of::<Place<u64>>() + rows.roomy.capacity() * 4;
        let page = PAGE * size_of::<Slot<u64>>();
        assert_eq!(rows.bytes(), 3 * page + lists);
        rows.remove(ids[2 * PAGE].at());
        let lists = rows.pages.capacity() * size_of::<Place<u64>>() + rows.roomy.capacity() * 4;
        assert_eq!(rows.bytes(), 2 * page + lists);
    }

    #[test]
    fn rows_and_their_ids_are_read_as_place_and_age() {
        let mut rows: Rows<char> = Rows::default();
        let [a, b] = ['a', 'b'].map(|row| rows.insert(row));
        assert_eq!(alloc::format!("{a:?} {b:?} {:?} {}", a.at(), b.at()), "0.1 1.2 0 1");
        assert_eq!((rows.id(b.at()), rows.id(Ref::from_place(2))), (Some(b), None));
        assert!(a < b && a.at() < b.at());
        // The same place later is a larger id.
        rows.remove(a.at());
        let c = rows.insert('c');
        assert!(a.at() == c.at() && a != c && a < c && c < b);
    }
}
