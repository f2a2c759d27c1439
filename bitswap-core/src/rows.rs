//! Rows in pages: where the engine keeps its many small things.
//!
//! A row is found by an [`Id`]: its place and the count of insertions at the time it was made, so
//! an id that outlived its row names nothing. Rows live in fixed pages that are allocated and
//! freed one by one: no insertion moves other rows, and an emptied table holds no memory.

use alloc::boxed::Box;
use alloc::vec::Vec;

/// Rows in a page.
const PAGE: usize = 128;
/// "No row" in a link between rows.
pub(crate) const NONE: u32 = u32::MAX;

/// A row's place and age.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Id {
    pub(crate) index: u32,
    pub(crate) age: u32,
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

/// A table of rows.
#[derive(Debug)]
pub(crate) struct Rows<T> {
    pages: Vec<Place<T>>,
    /// Places with room: each that has a vacant slot or no page, once, and perhaps some that have
    /// filled up since, which are skipped.
    roomy: Vec<u32>,
    live: usize,
    age: u32,
}

impl<T> Default for Rows<T> {
    fn default() -> Self {
        Self { pages: Vec::new(), roomy: Vec::new(), live: 0, age: 0 }
    }
}

impl<T> Rows<T> {
    pub(crate) fn len(&self) -> usize {
        self.live
    }

    /// Bytes allocated for rows.
    pub(crate) fn bytes(&self) -> usize {
        let pages = self.pages.iter().filter(|place| place.page.is_some()).count();
        pages * PAGE * size_of::<Slot<T>>()
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

    pub(crate) fn insert(&mut self, row: T) -> Id {
        self.age = self.age.wrapping_add(1);
        let (number, page) = loop {
            let Some(&number) = self.roomy.last() else {
                let number = self.pages.len();
                self.pages.push(Place { page: None, listed: true });
                self.roomy.push(number as u32);
                continue;
            };
            let place = &mut self.pages[number as usize];
            if place.page.as_ref().is_none_or(|page| page.vacant != NONE) {
                break (number, place.page.get_or_insert_with(new_page));
            }
            place.listed = false;
            self.roomy.pop();
        };
        let at = page.vacant;
        if let Slot::Vacant(next) = page.slots[at as usize] {
            page.vacant = next;
        }
        page.slots[at as usize] = Slot::Live(self.age, row);
        page.live += 1;
        self.live += 1;
        Id { index: number * PAGE as u32 + at, age: self.age }
    }

    /// The row at a place that is known to be live.
    pub(crate) fn at(&self, index: u32) -> Option<&T> {
        match self.slot(index)? {
            Slot::Live(_, row) => Some(row),
            Slot::Vacant(_) => None,
        }
    }

    pub(crate) fn at_mut(&mut self, index: u32) -> Option<&mut T> {
        match self.slot_mut(index)? {
            Slot::Live(_, row) => Some(row),
            Slot::Vacant(_) => None,
        }
    }

    pub(crate) fn get(&self, id: Id) -> Option<&T> {
        match self.slot(id.index)? {
            Slot::Live(age, row) if *age == id.age => Some(row),
            _ => None,
        }
    }

    pub(crate) fn get_mut(&mut self, id: Id) -> Option<&mut T> {
        match self.slot_mut(id.index)? {
            Slot::Live(age, row) if *age == id.age => Some(row),
            _ => None,
        }
    }

    /// The full id of the row at a place.
    pub(crate) fn id(&self, index: u32) -> Option<Id> {
        match self.slot(index)? {
            Slot::Live(age, _) => Some(Id { index, age: *age }),
            Slot::Vacant(_) => None,
        }
    }

    pub(crate) fn remove(&mut self, index: u32) -> Option<T> {
        let number = index / PAGE as u32;
        let at = index % PAGE as u32;
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
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Id, &T)> {
        self.pages.iter().zip(0u32..).flat_map(|(place, number)| {
            place.page.iter().flat_map(move |page| {
                page.slots.iter().zip(0u32..).filter_map(move |(slot, at)| match slot {
                    Slot::Live(age, row) => {
                        Some((Id { index: number * PAGE as u32 + at, age: *age }, row))
                    }
                    Slot::Vacant(_) => None,
                })
            })
        })
    }

    fn slot(&self, index: u32) -> Option<&Slot<T>> {
        let page = self.pages.get(index as usize / PAGE)?.page.as_ref()?;
        page.slots.get(index as usize % PAGE)
    }

    fn slot_mut(&mut self, index: u32) -> Option<&mut Slot<T>> {
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
        let a = rows.insert('a');
        assert_eq!(rows.get(a), Some(&'a'));
        assert_eq!(rows.remove(a.index), Some('a'));
        let b = rows.insert('b');
        assert_eq!(b.index, a.index);
        assert_eq!(rows.get(a), None);
        assert_eq!(rows.get(b), Some(&'b'));
        assert_eq!(rows.remove(7), None);
    }

    #[test]
    fn pages_are_freed_one_by_one_and_reused() {
        let mut rows = Rows::default();
        let ids: Vec<Id> = (0..10 * PAGE).map(|n| rows.insert(n)).collect();
        let full = rows.bytes();
        // Empty the third page: its memory goes, its neighbours stay.
        for id in &ids[2 * PAGE..3 * PAGE] {
            rows.remove(id.index);
        }
        assert!(rows.bytes() < full);
        assert_eq!(rows.get(ids[PAGE]), Some(&PAGE));
        let again = rows.insert(0);
        assert_eq!(again.index as usize / PAGE, 2);
        for id in ids {
            rows.remove(id.index);
        }
        rows.remove(again.index);
        assert_eq!((rows.len(), rows.bytes()), (0, 0));
    }

    #[test]
    fn a_row_that_comes_and_goes_takes_no_memory_with_time() {
        let mut rows = Rows::default();
        let last = (0..PAGE).map(|n| rows.insert(n)).last().unwrap();
        let mut index = last.index;
        let before = rows.bytes();
        for n in 0..1000 {
            rows.remove(index);
            index = rows.insert(n).index;
        }
        assert_eq!(rows.bytes(), before);
        assert!(rows.bytes() as u64 <= Rows::<usize>::bytes_max(PAGE as u64));
    }

    #[test]
    fn iteration_is_in_order_of_place() {
        let mut rows = Rows::default();
        for n in 0..300 {
            rows.insert(n);
        }
        assert!(rows.iter().map(|(_, n)| *n).eq(0..300));
    }
}
