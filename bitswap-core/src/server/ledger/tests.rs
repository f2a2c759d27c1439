use super::*;
use crate::message::WantKind;
use crate::rng::Rng;
use crate::server::samples::{cid, key, limited, peer, want_block, want_have_or};

fn ledger(rows: u32, rows_per_peer: u32) -> Ledger {
    let config = limited(|limits| {
        (limits.ledger, limits.ledger_per_peer) = (rows, rows_per_peer);
    });
    let mut ledger = Ledger::new(&config, &[1; 32]);
    (0..3).for_each(|place| ledger.connected(peer(place)));
    ledger
}

fn only(ledger: &Ledger, place: u32) -> Ref<Want> {
    ledger.table.latest_of(peer(place)).unwrap()
}

/// What happens to wants in any order leaves each in the queue of its state.
#[test]
fn a_want_is_in_the_queue_of_its_state_whatever_happens() {
    let mut rng = Rng::new(&[5; 32], "ledger");
    let mut ledger = ledger(20, 12);
    let (mut lookups, mut in_flight, mut seq) = (Vec::new(), Vec::new(), 0);
    let mut reached = [0; 4];
    for step in 0..20_000 {
        let now = Timestamp::from_micros(step * 100_000);
        let who = peer(rng.below(3) as u32);
        let n = rng.below(12) as u32;
        let pick = |rng: &mut Rng, len: usize| rng.below(len.max(1) as u64) as usize;
        match rng.below(12) {
            0..3 => {
                let kind = if rng.below(2) == 0 { WantKind::Block } else { WantKind::Have };
                let (priority, asks) = (rng.below(3) as i32, rng.below(2) == 0);
                ledger.apply(who, &Entry::want(cid(n), kind, priority, asks));
            }
            3 => _ = ledger.apply(who, &Entry::cancel(cid(n))),
            4 if step % 9 == 0 => ledger.keep_only(who, [want_block(n, 0)].iter()),
            4..6 => {
                let queue = ledger.queue(who).unwrap();
                let size = queue.next_size().map(|row| (row, LoadKind::Size));
                let next = size.or_else(|| queue.next_data().map(|row| (row, LoadKind::Data)));
                if let Some((row, kind)) = next {
                    lookups.push((ledger.lookup_started(row, kind).unwrap().0, kind));
                }
            }
            6..8 if !lookups.is_empty() => {
                let (want, kind) = lookups.swap_remove(pick(&mut rng, lookups.len()));
                let size = [10, 5000][pick(&mut rng, 2)];
                if let Some(row) = ledger.row(want) {
                    match (rng.below(3), kind) {
                        (0, _) => ledger.not_found(row),
                        (_, LoadKind::Size) => ledger.size_found(row, size),
                        (keep, LoadKind::Data) => {
                            let data = Bytes::from(alloc::vec![0; size as usize]);
                            ledger.block_found(row, data, keep == 1);
                        }
                    }
                }
            }
            8 => {
                seq += 1;
                let queue = ledger.queue(who).unwrap();
                let block =
                    queue.next_block().map(|(row, data)| (row, Response::Block(data.len() as u32)));
                let presence = || {
                    let row = queue.next_presence()?;
                    let has = ledger.at(row)?.state() == State::Presence { have: true };
                    Some((row, if has { Response::Have } else { Response::DontHave }))
                };
                if let Some((row, response)) = block.or_else(presence) {
                    in_flight.push((ledger.id(row).unwrap(), response, seq));
                    ledger.sent(row, response, seq);
                }
            }
            9..11 if !in_flight.is_empty() => {
                let (want, response, seq) = in_flight.swap_remove(pick(&mut rng, in_flight.len()));
                if rng.below(3) == 0 {
                    ledger.send_failed(want, response, seq);
                } else {
                    ledger.transport_took(want, response, seq, now);
                }
            }
            11 => {
                for row in ledger.of_cid(&key(n)) {
                    ledger.block_stored(row, [10, 5000][pick(&mut rng, 2)]);
                }
            }
            _ if step % 5 == 0 => ledger.put_back_unconfirmed(who, now),
            _ if step % 7 == 0 => ledger.unload(who),
            _ => {}
        }
        ledger.validate().unwrap();
        let queue = ledger.queue(who).unwrap();
        reached[0] += u32::from(queue.has_blocks());
        reached[1] += queue.unconfirmed_len();
        reached[2] += u32::from(queue.next_unsure().is_some());
        reached[3] += u32::from(ledger.table.len() == 20);
    }
    assert!(reached.iter().all(|count| *count > 100), "{reached:?}");
    (0..3).for_each(|place| ledger.disconnected(peer(place)));
    assert_eq!((ledger.len(), ledger.bytes()), (0, 0));
}

/// A want whose DONT_HAVE was lost while it was asked again waits for no memory to be denied again.
#[test]
fn a_lost_dont_have_makes_the_absence_matter_again() {
    let mut ledger = ledger(9, 9);
    let mut entry = want_have_or(1, 0);
    entry.kind = WantKind::Block;
    ledger.apply(peer(0), &entry);
    let row = only(&ledger, 0);
    let (want, _) = ledger.lookup_started(row, LoadKind::Data).unwrap();
    ledger.not_found(row);
    ledger.sent(row, Response::DontHave, 1);
    ledger.apply(peer(0), &want_block(1, 0));
    assert_eq!(ledger.queue(peer(0)).unwrap().next_unsure(), None);
    ledger.send_failed(want, Response::DontHave, 1);
    assert_eq!(ledger.queue(peer(0)).unwrap().next_unsure(), Some(row));
    ledger.validate().unwrap();
}

#[test]
fn the_last_64_answers_are_remembered_and_put_back_for_ten_seconds() {
    let mut ledger = ledger(1000, 1000);
    let answer = |ledger: &mut Ledger, n, at| {
        ledger.apply(peer(0), &want_block(n, 0));
        let row = only(ledger, 0);
        let (want, _) = ledger.lookup_started(row, LoadKind::Data).unwrap();
        ledger.block_found(row, Bytes::from_static(b"block"), true);
        ledger.sent(row, Response::Block(5), n);
        ledger.transport_took(want, Response::Block(5), n, Timestamp::from_micros(at));
    };
    for n in 0..70 {
        answer(&mut ledger, n, u64::from(n));
    }
    assert_eq!((ledger.table.len(), ledger.len(), ledger.len_of(peer(0))), (64, 0, 0));
    // The first of these, number 6, was taken just more than ten seconds ago.
    ledger.put_back_unconfirmed(peer(0), Timestamp::from_micros(10_000_007));
    assert_eq!((ledger.table.len(), ledger.len_of(peer(0))), (63, 63));
    ledger.validate().unwrap();
}

#[test]
fn a_want_whose_answer_went_out_is_another_one_when_it_comes_again() {
    let mut ledger = ledger(9, 9);
    ledger.apply(peer(0), &want_block(1, 0));
    let row = only(&ledger, 0);
    let (first, _) = ledger.lookup_started(row, LoadKind::Data).unwrap();
    ledger.block_found(row, Bytes::from_static(b"block"), true);
    ledger.sent(row, Response::Block(5), 1);
    ledger.transport_took(first, Response::Block(5), 1, Timestamp::ZERO);
    ledger.apply(peer(0), &want_block(1, 0));
    assert_eq!((ledger.row(first), ledger.len()), (None, 1));
    ledger.validate().unwrap();
}
