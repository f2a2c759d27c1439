//! Many that fetch the same from few, where every node sends at one speed at most.

use bitswap_sim::crowd::{Crowd, crowds, grid, svg, table};

#[test]
fn a_leech_alone_takes_its_floor_and_a_round_trip_for_the_stream() {
    let measured = Crowd { seeders: 1, leeches: 1 }.run(1..2);
    let (floor, took) = (measured.crowd.floor(), measured.took.unwrap());
    assert!(took > floor && took < floor * 5 / 4, "{measured}");
    assert_eq!((measured.copies, measured.duplicates, measured.entries), (100, 0, [100, 0, 0]));
}

#[test]
fn a_seeder_that_sends_to_two_sends_no_faster() {
    let one = Crowd { seeders: 1, leeches: 1 }.run(1..2).took.unwrap();
    let two = Crowd { seeders: 1, leeches: 2 }.run(1..2).took.unwrap();
    assert!(two > one * 5 / 4, "{two:?}, alone {one:?}");
}

#[test]
fn leeches_give_each_other_a_part_of_what_they_fetch() {
    let measured = Crowd { seeders: 1, leeches: 8 }.run(1..2);
    assert!(measured.took.is_some() && measured.copies < 500, "{measured}");
}

#[test]
fn a_grid_is_told_as_a_table_and_as_a_picture() {
    assert_eq!((crowds().len(), grid().len()), (5, 25));
    let small =
        [(1, 1), (1, 2), (2, 1)].map(|(seeders, leeches)| Crowd { seeders, leeches }.run(1..2));
    let table = table(&small);
    let rows: Vec<&str> = table.lines().collect();
    assert_eq!(rows.len(), 6, "{table}");
    assert_eq!(rows[1].matches('x').count(), 2, "{table}");
    assert_eq!(rows[2].matches('x').count(), 1, "{table}");
    assert!(svg(&small).contains("2 seeders"));
}
