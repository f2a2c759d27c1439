//! How many wants a node tells its peers until it has what few of them have, in exact numbers.

use std::time::Duration;

use bitswap_sim::told::{Asking, Holders, Measured, goals, svg};

fn measured(peers: usize, holders: Holders, is_file: bool) -> Measured {
    Asking { peers, holders, is_file }.run(1..4)
}

#[test]
fn one_holder_among_a_thousand_is_found_without_telling_half_of_the_others() {
    let block = measured(1000, Holders::One, false);
    assert_eq!(block.entries, [342, 9, 349], "{block}");
    let ms = |ms| Some(Duration::from_millis(ms));
    assert_eq!((block.took, block.worst), (ms(360), ms(680)), "{block}");
    let file = measured(1000, Holders::One, true);
    assert_eq!(file.took, ms(520), "{file}");
    assert!(file.wants_per_peer() <= 1.2, "{file}");
    // Below the root only the one that had it is asked.
    assert_eq!(file.next, 99, "{file}");
}

#[test]
fn below_its_root_a_file_is_asked_of_the_holder_that_was_found_among_ten() {
    let file = measured(10, Holders::One, true);
    assert_eq!((file.entries, file.next), ([8, 102, 9], 99), "{file}");
}

#[test]
fn what_all_have_is_told_to_three() {
    for peers in [10, 100, 1000] {
        let block = measured(peers, Holders::All, false);
        assert_eq!((block.entries, block.took), ([2, 1, 2], Some(Duration::from_millis(40))));
    }
    let file = measured(1000, Holders::All, true);
    assert_eq!((file.entries, file.next), ([22, 100, 22], 119), "{file}");
}

#[test]
fn a_lookup_that_finds_somebody_ends_the_search_among_those_connected() {
    let block = measured(1000, Holders::Provider, false);
    assert_eq!(block.entries, [783, 16, 798], "{block}");
    assert_eq!(block.took, Some(Duration::from_millis(640)), "{block}");
}

#[test]
fn what_nobody_has_is_told_to_all_and_taken_back_from_all() {
    for (peers, entries) in [(1, [0, 4, 1]), (10, [8, 32, 10]), (100, [95, 305, 100])] {
        let block = measured(peers, Holders::Nobody, false);
        assert_eq!((block.entries, block.took), (entries, None), "{block}");
        // The root of a file is a block like any other.
        assert_eq!(measured(peers, Holders::Nobody, true).entries, entries);
    }
}

#[test]
fn goals_are_told_as_reached_or_missed_and_the_wants_as_a_picture() {
    let [block, mut file] = [false, true].map(|is_file| measured(1000, Holders::One, is_file));
    file.next = 119;
    let text = goals(&[block, file]);
    assert_eq!(text.matches(": missed").count(), 1, "{text}");
    file.next = 118;
    let text = goals(&[block, file]);
    assert_eq!((text.lines().count(), text.matches(": reached").count()), (6, 5), "{text}");
    assert!(svg(&[block, file]).contains("A file of 100 blocks"));
    assert_eq!((goals(&[]), Asking::all().len()), (String::new(), 32));
}
