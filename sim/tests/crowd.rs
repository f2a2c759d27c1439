//! Many that fetch the same from few, where seeders send at one speed at most.

use std::time::Duration;

use bitswap_sim::crowd::{Crowd, Setting, crowds, grid, near, svg, table};

const STAGGER: Duration = Duration::from_millis(200);

#[test]
fn a_leech_alone_takes_its_floor_and_a_round_trip_for_the_stream() {
    let measured = Crowd::new(1, 1).run(1..2);
    let (floor, took) = (measured.crowd.floor(), measured.took.unwrap());
    assert!(took > floor && took < floor * 5 / 4, "{measured}");
    assert_eq!((measured.copies, measured.duplicates, measured.entries), (100, 0, [100, 0, 0]));
    let alone = [measured.slowest, measured.late, measured.lone];
    assert_eq!((alone, measured.crowd.floor_alone()), ([Some(took); 3], floor));
}

#[test]
fn a_seeder_that_sends_to_two_sends_no_faster() {
    let one = Crowd::new(1, 1).run(1..2).took.unwrap();
    let two = Crowd::new(1, 2).run(1..2).took.unwrap();
    assert!(two > one * 5 / 4, "{two:?}, alone {one:?}");
}

#[test]
fn leeches_give_each_other_a_part_of_what_they_fetch() {
    let measured = Crowd::new(1, 8).run(1..2);
    assert!(measured.took.is_some() && measured.copies < 500, "{measured}");
}

#[test]
fn what_a_leech_has_from_another_does_not_come_from_all_others_as_well() {
    for (leeches, duplicates) in [(4, 20), (8, 60)] {
        let crowd = Crowd::new(1, leeches).over(Setting::NEAR_TOLD);
        for crowd in [crowd, crowd.staggered(STAGGER)] {
            let measured = crowd.run(1..2);
            assert!(measured.took.is_some() && measured.duplicates < duplicates, "{measured}");
        }
    }
}

#[test]
fn leeches_that_begin_together_ask_the_seeder_for_different_parts() {
    for leeches in [4, 8] {
        let measured = Crowd::new(1, leeches).over(Setting::NEAR_TOLD).run(1..4);
        assert!(measured.took.unwrap() * 2 < measured.crowd.floor() * 3, "{measured}");
        assert!(measured.copies < 150, "{measured}");
    }
}

#[test]
fn whoever_begins_late_gets_most_from_those_who_began_before() {
    let together = Crowd::new(1, 16).run(1..2);
    let staggered = Crowd::new(1, 16).staggered(STAGGER).run(1..2);
    assert_eq!((together.took, together.late < together.took), (together.slowest, true));
    assert_eq!(together.lone, staggered.lone);
    let [took, slowest, late, lone] =
        [staggered.took, staggered.slowest, staggered.late, staggered.lone]
            .map(|time| time.unwrap().as_micros());
    // From the first start to the end of the last one, who begins after 15 pauses.
    assert_eq!((took, slowest), (3_112_839, 800_752), "{staggered}");
    assert_eq!((late, lone), (took - 15 * STAGGER.as_micros(), 459_604), "{staggered}");
    assert!(took <= staggered.crowd.floor().as_micros() * 11 / 10, "{staggered}");
    assert!(late * 2 < lone && staggered.duplicates < 200, "{staggered}");
}

#[test]
fn the_floor_of_all_is_that_of_the_first_or_of_the_last_to_begin() {
    let us = Duration::from_micros;
    let far = Crowd::new(1, 4);
    // 4 MiB at 10 MB/s and a round trip of 40 ms.
    assert_eq!((far.floor(), far.floor_alone()), (us(459_430), us(459_430)));
    // The last one begins after 600 ms, and can have it from four.
    let staggered = far.staggered(STAGGER);
    assert_eq!((staggered.floor(), staggered.floor_alone()), (us(744_857), us(459_430)));
    // 16 MiB at 10 MiB/s, and whoever begins within that time can have it at once from the others.
    let close = far.over(Setting::NEAR).staggered(STAGGER);
    assert_eq!((close.floor(), close.floor_alone()), (us(1_600_200), us(1_600_200)));
    // A block of 25 ms passes at once, and is paid for after the end.
    assert_eq!(far.over(Setting::NEAR_TOLD).floor(), us(1_575_100));
}

#[test]
fn a_seeder_that_limits_itself_takes_its_floor() {
    let micros = |setting| {
        let measured = Crowd::new(1, 1).over(setting).run(1..2);
        [measured.crowd.floor(), measured.took.unwrap()].map(|time| time.as_micros())
    };
    // The way of the want costs nothing of what was saved meanwhile.
    assert_eq!(micros(Setting::NEAR), [1_600_200, 1_600_311]);
    assert_eq!(micros(Setting::NEAR_TOLD), [1_575_100, 1_575_101]);
}

#[test]
fn a_grid_is_told_as_a_table_and_as_a_picture() {
    assert_eq!((crowds(STAGGER).len(), grid(STAGGER).len()), (5, 25));
    assert!(near(STAGGER, Setting::NEAR).iter().all(|crowd| crowd.stagger == STAGGER));
    let small =
        [(1, 1), (1, 2), (2, 1)].map(|(seeders, leeches)| Crowd::new(seeders, leeches).run(1..2));
    let table = table(&small);
    let rows: Vec<&str> = table.lines().collect();
    assert_eq!(rows.len(), 6, "{table}");
    assert_eq!(rows[1].matches('x').count(), 2, "{table}");
    assert_eq!(rows[2].matches('x').count(), 1, "{table}");
    let grids = [String::from("at once"), String::from("late")].map(|name| (name, small.to_vec()));
    let svg = svg(&grids);
    assert_eq!((svg.matches("2 seeders").count(), svg.matches(">late<").count()), (2, 1), "{svg}");
}
