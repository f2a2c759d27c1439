//! Doubly linked lists through rows: membership costs no allocation, and leaving takes constant time.
//!
//! A [`List`] keeps its ends. A [`Chain`] keeps nothing: whoever uses it finds its first row by other means.

use core::marker::PhantomData;

use super::rows::{Ref, Rows};

/// The neighbours of a row in one list.
#[derive(Debug)]
pub(crate) struct Links<T> {
    prev: Option<Ref<T>>,
    next: Option<Ref<T>>,
}

impl<T> Default for Links<T> {
    fn default() -> Self {
        Self { prev: None, next: None }
    }
}

/// A row that can be in a list of the kind `L`: in one such list at a time. A row that is in several
/// lists at once has a kind, and links, for each.
pub(crate) trait Linked<L>: Sized {
    fn links(&self) -> &Links<Self>;
    fn links_mut(&mut self) -> &mut Links<Self>;
}

/// The head of a list of the kind `L`.
#[derive(Debug)]
pub(crate) struct List<T, L> {
    head: Option<Ref<T>>,
    tail: Option<Ref<T>>,
    len: u32,
    kind: PhantomData<fn() -> L>,
}

impl<T, L> Default for List<T, L> {
    fn default() -> Self {
        Self { head: None, tail: None, len: 0, kind: PhantomData }
    }
}

impl<T: Linked<L>, L> List<T, L> {
    pub(crate) const fn len(&self) -> u32 {
        self.len
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(crate) const fn first(&self) -> Option<Ref<T>> {
        self.head
    }

    /// Adds a row that is in no list of this kind, as the last one.
    pub(crate) fn push_back(&mut self, rows: &mut Rows<T>, row: Ref<T>) {
        let Some(this) = rows.at_mut(row) else {
            debug_assert!(false, "a row that is not live joins a list");
            return;
        };
        *this.links_mut() = Links { prev: self.tail, next: None };
        match self.tail.and_then(|tail| rows.at_mut(tail)) {
            Some(tail) => tail.links_mut().next = Some(row),
            None => self.head = Some(row),
        }
        self.tail = Some(row);
        self.len += 1;
    }

    /// Adds a row that is in no list of this kind, as the first one.
    pub(crate) fn push_front(&mut self, rows: &mut Rows<T>, row: Ref<T>) {
        let Some(this) = rows.at_mut(row) else {
            debug_assert!(false, "a row that is not live joins a list");
            return;
        };
        *this.links_mut() = Links { prev: None, next: self.head };
        match self.head.and_then(|head| rows.at_mut(head)) {
            Some(head) => head.links_mut().prev = Some(row),
            None => self.tail = Some(row),
        }
        self.head = Some(row);
        self.len += 1;
    }

    /// Takes out a row that is in this list.
    pub(crate) fn remove(&mut self, rows: &mut Rows<T>, row: Ref<T>) {
        let Some(Links { prev, next }) = unlink::<T, L>(rows, row) else {
            return;
        };
        if prev.is_none() {
            self.head = next;
        }
        if next.is_none() {
            self.tail = prev;
        }
        self.len -= 1;
    }

    /// The row after this one.
    pub(crate) fn next(rows: &Rows<T>, row: Ref<T>) -> Option<Ref<T>> {
        rows.at(row)?.links().next
    }

    /// The rows, first to last.
    pub(crate) fn iter<'a>(
        &self,
        rows: &'a Rows<T>,
    ) -> impl Iterator<Item = (Ref<T>, &'a T)> + use<'a, T, L> {
        Chain::<T, L>::iter(rows, self.head)
    }

    /// The rows, last to first.
    pub(crate) fn iter_back<'a>(
        &self,
        rows: &'a Rows<T>,
    ) -> impl Iterator<Item = (Ref<T>, &'a T)> + use<'a, T, L> {
        let mut next = self.tail;
        core::iter::from_fn(move || {
            let at = next?;
            let row = rows.at(at)?;
            next = row.links().prev;
            Some((at, row))
        })
    }

    /// What is wrong with the list, if anything: for tests.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn validate(&self, rows: &Rows<T>) -> Result<(), &'static str> {
        let (mut prev, mut count) = (None, 0);
        for (at, row) in self.iter(rows) {
            if row.links().prev != prev {
                return Err("a row does not know the one before it");
            }
            (prev, count) = (Some(at), count + 1);
            if count > self.len {
                break;
            }
        }
        if count != self.len {
            return Err("the list is not as long as it says");
        }
        if prev != self.tail {
            return Err("the list does not end with its last row");
        }
        Ok(())
    }
}

/// Joins the neighbours of a row, and gives what they were.
fn unlink<T: Linked<L>, L>(rows: &mut Rows<T>, row: Ref<T>) -> Option<Links<T>> {
    let Some(this) = rows.at_mut(row) else {
        debug_assert!(false, "a row that is not live leaves a list");
        return None;
    };
    let Links { prev, next } = core::mem::take(this.links_mut());
    if let Some(before) = prev.and_then(|prev| rows.at_mut(prev)) {
        before.links_mut().next = next;
    }
    if let Some(after) = next.and_then(|next| rows.at_mut(next)) {
        after.links_mut().prev = prev;
    }
    Some(Links { prev, next })
}

/// A list of the kind `L` of which nothing is kept but the links. A row alone is a chain.
#[derive(Debug)]
pub(crate) struct Chain<T, L>(PhantomData<fn() -> (T, L)>);

impl<T: Linked<L>, L> Chain<T, L> {
    /// Adds a row that is in no chain of this kind, as the one after `before`.
    pub(crate) fn insert_after(rows: &mut Rows<T>, before: Ref<T>, row: Ref<T>) {
        let next = rows.at_mut(before).and_then(|before| before.links_mut().next.replace(row));
        if let Some(after) = next.and_then(|next| rows.at_mut(next)) {
            after.links_mut().prev = Some(row);
        }
        match rows.at_mut(row) {
            Some(this) => *this.links_mut() = Links { prev: Some(before), next },
            None => debug_assert!(false, "a row that is not live joins a chain"),
        }
    }

    /// Takes out a row. When it was the first of its chain, the one that is first now, if any is left.
    pub(crate) fn remove(rows: &mut Rows<T>, row: Ref<T>) -> Unlinked<T> {
        match unlink::<T, L>(rows, row) {
            Some(Links { prev: None, next }) => Unlinked::First(next),
            _ => Unlinked::Later,
        }
    }

    /// The rows from this one on.
    pub(crate) fn iter<'a>(
        rows: &'a Rows<T>,
        first: Option<Ref<T>>,
    ) -> impl Iterator<Item = (Ref<T>, &'a T)> + use<'a, T, L> {
        let mut next = first;
        core::iter::from_fn(move || {
            let at = next?;
            let row = rows.at(at)?;
            next = row.links().next;
            Some((at, row))
        })
    }
}

/// Where in its chain a row was.
#[derive(Debug)]
pub(crate) enum Unlinked<T> {
    /// The first. The one after it is now, if there is one.
    First(Option<Ref<T>>),
    /// Behind another one.
    Later,
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    struct Row(Links<Self>);

    struct Only;

    impl Linked<Only> for Row {
        fn links(&self) -> &Links<Self> {
            &self.0
        }
        fn links_mut(&mut self) -> &mut Links<Self> {
            &mut self.0
        }
    }

    #[test]
    fn lists_keep_their_order_when_rows_come_and_leave() {
        let mut rows = Rows::default();
        let mut list = List::<Row, Only>::default();
        let ids: Vec<_> = (0..6).map(|_| rows.insert(Row(Links::default())).at()).collect();
        for id in &ids[1..] {
            list.push_back(&mut rows, *id);
        }
        list.push_front(&mut rows, ids[0]);
        let order = |list: &List<Row, Only>, rows: &Rows<Row>| {
            list.validate(rows).unwrap();
            list.iter(rows).map(|(at, _)| at).collect::<Vec<_>>()
        };
        assert_eq!(order(&list, &rows), ids);
        for gone in [ids[2], ids[0], ids[5]] {
            list.remove(&mut rows, gone);
        }
        assert_eq!(order(&list, &rows), [ids[1], ids[3], ids[4]]);
        assert_eq!((list.first(), list.len()), (Some(ids[1]), 3));
        assert_eq!(List::<Row, Only>::next(&rows, ids[1]), Some(ids[3]));
        for gone in [ids[3], ids[1], ids[4]] {
            list.remove(&mut rows, gone);
        }
        assert!(list.is_empty() && list.first().is_none());
        list.push_front(&mut rows, ids[2]);
        list.push_back(&mut rows, ids[0]);
        assert_eq!(order(&list, &rows), [ids[2], ids[0]]);
    }

    #[test]
    fn a_chain_is_found_from_its_first_row_whoever_that_is() {
        type RowChain = Chain<Row, Only>;
        let mut rows = Rows::default();
        let ids: Vec<_> = (0..4).map(|_| rows.insert(Row(Links::default())).at()).collect();
        for id in &ids[1..] {
            RowChain::insert_after(&mut rows, ids[0], *id);
        }
        let order = |rows: &Rows<Row>, first| {
            RowChain::iter(rows, Some(first)).map(|(at, _)| at).collect::<Vec<_>>()
        };
        assert_eq!(order(&rows, ids[0]), [ids[0], ids[3], ids[2], ids[1]]);
        assert!(matches!(RowChain::remove(&mut rows, ids[2]), Unlinked::Later));
        assert!(matches!(
            RowChain::remove(&mut rows, ids[0]),
            Unlinked::First(Some(first)) if first == ids[3]
        ));
        assert_eq!(order(&rows, ids[3]), [ids[3], ids[1]]);
        assert!(matches!(RowChain::remove(&mut rows, ids[3]), Unlinked::First(Some(_))));
        assert!(matches!(RowChain::remove(&mut rows, ids[1]), Unlinked::First(None)));
    }

    #[test]
    fn a_broken_list_is_noticed() {
        let mut rows = Rows::default();
        let mut list = List::<Row, Only>::default();
        let ids: Vec<_> = (0..3).map(|_| rows.insert(Row(Links::default())).at()).collect();
        ids.iter().for_each(|id| list.push_back(&mut rows, *id));
        rows.remove(ids[1]);
        assert!(list.validate(&rows).is_err());
        list.len = 1;
        assert!(list.validate(&rows).is_err());
    }

    #[test]
    fn a_link_is_four_bytes() {
        assert_eq!(size_of::<Links<Row>>(), 8);
        assert_eq!(size_of::<List<Row, Only>>(), 12);
    }
}
