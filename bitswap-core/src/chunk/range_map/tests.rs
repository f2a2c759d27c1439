//! The map against a model: one state per byte, whatever happens.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use cid::Cid;
use proptest::prelude::*;

use super::{Step, Verification};
use crate::chunk::download::tests::harness::cid_of;
use crate::chunk::{Contents, FileNode, Holders, Order, RAW, RangeMap, RangeSet, Segment};
use crate::rng::Rng;

const LEAF: u64 = 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Queued,
    Comparing,
    InFlight,
    Writing,
    Have,
}

#[derive(Clone, Debug)]
enum Op {
    Next,
    Compared(usize, bool),
    Arrive(usize),
    RequestEnded(usize),
    Written(usize),
    Holders(usize, u32),
    Order(u8),
    Seek(u64),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => Just(Op::Next),
        2 => (any::<usize>(), any::<bool>()).prop_map(|(at, equal)| Op::Compared(at, equal)),
        3 => any::<usize>().prop_map(Op::Arrive),
        1 => any::<usize>().prop_map(Op::RequestEnded),
        3 => any::<usize>().prop_map(Op::Written),
        1 => (any::<usize>(), 0..4u32).prop_map(|(at, holders)| Op::Holders(at, holders)),
        1 => (0..4u8).prop_map(Op::Order),
        1 => (0..200u64).prop_map(Op::Seek),
    ]
}

const ORDERS: [Order; 4] = [Order::Sequential, Order::Rarest, Order::Deadline, Order::Random];

/// Five different leaves.
fn cids() -> Vec<Cid> {
    let texts: [&'static [u8]; 5] = [b"a", b"b", b"c", b"d", b"e"];
    texts.iter().map(|text| Cid::new_v1(RAW, *cid_of(text).hash())).collect()
}

proptest! {
    #[test]
    fn every_range_is_in_exactly_one_state(
        leaves in proptest::collection::vec((0..5usize, any::<bool>()), 1..20),
        ops in proptest::collection::vec(op(), 0..120),
    ) {
        let cids = cids();
        let leaf = FileNode::decode(RAW, &alloc::vec![0; LEAF as usize].into(), 0).unwrap();
        let size = LEAF * leaves.len() as u64;
        let rng = Rng::new(&[1; 32], "test");
        let mut map = RangeMap::new(0..size, RangeSet::new(), Order::Sequential, 1 << 16, rng);
        let segments = leaves.iter().enumerate().map(|(at, (cid, _))| Segment {
            cid: cids[*cid],
            offset: LEAF * at as u64,
            len: LEAF,
            depth: 1,
            tsize: LEAF,
        });
        let contents = Contents { extents: Vec::new(), segments: segments.collect() };
        map.add_contents(&contents, |segment| {
            if leaves[(segment.offset / LEAF) as usize].1 { Verification::Compare } else { Verification::Trust }
        });
        let mut model: BTreeMap<u64, State> =
            contents.segments.iter().map(|segment| (segment.offset, State::Queued)).collect();
        let leaf_at = |offset: u64| leaves[(offset / LEAF) as usize].0;
        let offsets_of = |cid: usize| {
            contents.segments.iter().map(|segment| segment.offset).filter(move |at| leaf_at(*at) == cid)
        };
        let mut holders = Holders::default();
        for op in ops {
            let with = |state: State| -> Vec<u64> {
                model.iter().filter(|(_, has)| **has == state).map(|(at, _)| *at).collect()
            };
            match op {
                Op::Next => match map.next(true, u64::MAX) {
                    None => prop_assert!(with(State::Queued).is_empty()),
                    Some(Step::Compare(segment)) => {
                        prop_assert_eq!(model.insert(segment.offset, State::Comparing), Some(State::Queued));
                    }
                    Some(Step::Want(segment, _)) => {
                        prop_assert_eq!(model[&segment.offset], State::Queued);
                        for at in offsets_of(leaf_at(segment.offset)) {
                            prop_assert_ne!(model[&at], State::InFlight, "one want at a time");
                            if model[&at] == State::Queued {
                                model.insert(at, State::InFlight);
                            }
                        }
                    }
                    // A leaf that filled several ranges is still cached for one that was being compared.
                    Some(Step::Expand(segment, ..)) => {
                        map.expanded(segment.offset, None);
                        let bytes = alloc::vec![0; LEAF as usize].into();
                        let extents = alloc::vec![crate::chunk::Extent { offset: segment.offset, bytes }];
                        map.add_contents(&Contents { extents, segments: Vec::new() }, |_| Verification::Trust);
                        prop_assert_eq!(model.insert(segment.offset, State::Writing), Some(State::Queued));
                    }
                },
                Op::Compared(at, equal) => {
                    let comparing = with(State::Comparing);
                    if comparing.is_empty() { continue }
                    let at = comparing[at % comparing.len()];
                    map.compared(at, equal);
                    let asked = offsets_of(leaf_at(at)).any(|at| model[&at] == State::InFlight);
                    let back = if asked { State::InFlight } else { State::Queued };
                    model.insert(at, if equal { State::Have } else { back });
                }
                Op::Arrive(cid) => {
                    let cid = cid % 5;
                    let taken = map.take_segments(&cids[cid], &leaf, 0);
                    let contents = Contents {
                        segments: Vec::new(),
                        extents: taken.iter().map(|segment| crate::chunk::Extent {
                            offset: segment.offset,
                            bytes: alloc::vec![0; LEAF as usize].into(),
                        }).collect(),
                    };
                    map.add_contents(&contents, |_| Verification::Trust);
                    for at in offsets_of(cid) {
                        if matches!(model[&at], State::Queued | State::InFlight) {
                            model.insert(at, State::Writing);
                        }
                    }
                }
                Op::RequestEnded(cid) => {
                    map.request_ended(&cids[cid % 5]);
                    for at in offsets_of(cid % 5) {
                        if model[&at] == State::InFlight {
                            model.insert(at, State::Queued);
                        }
                    }
                }
                Op::Written(at) => {
                    let writing = with(State::Writing);
                    if writing.is_empty() { continue }
                    let at = writing[at % writing.len()];
                    map.written(at);
                    model.insert(at, State::Have);
                }
                Op::Holders(cid, of) => {
                    holders.insert(cids[cid % 5], of);
                    map.set_holders(holders.clone());
                }
                Op::Order(order) => map.set_order(ORDERS[order as usize]),
                Op::Seek(position) => map.seek(position),
            }
            let bytes = |states: &[State]| {
                LEAF * model.values().filter(|state| states.contains(state)).count() as u64
            };
            map.validate();
            let counts = map.counts();
            prop_assert_eq!(counts.queued, bytes(&[State::Queued]));
            prop_assert_eq!(counts.in_flight, bytes(&[State::InFlight, State::Comparing]));
            prop_assert_eq!(counts.writing, bytes(&[State::Writing]));
            prop_assert_eq!(counts.have, bytes(&[State::Have]));
            prop_assert_eq!(map.is_complete(), counts.have == size);
        }
    }
}

#[test]
fn a_written_range_costs_no_row() {
    let size = 1000 * LEAF;
    let mut map =
        RangeMap::new(0..size, RangeSet::new(), Order::Random, 1 << 16, Rng::new(&[1; 32], "test"));
    let cid = cids()[0];
    let segment = |at| Segment { cid, offset: LEAF * at, len: LEAF, depth: 1, tsize: LEAF };
    let contents = Contents { extents: Vec::new(), segments: (0..1000).map(segment).collect() };
    map.add_contents(&contents, |_| Verification::Compare);
    while let Some(Step::Compare(segment)) = map.next(true, u64::MAX) {
        map.compared(segment.offset, true);
    }
    assert!(map.is_complete());
    assert_eq!(map.have().len(), 1);
    assert_eq!(map.footprint(), (0, 0, 0));
}
