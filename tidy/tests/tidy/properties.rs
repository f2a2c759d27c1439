//! Property tests draw the same cases for everybody, and new ones when they are told to.

use crate::tree;

#[test]
fn the_seed_of_property_tests_is_fixed_in_one_place() {
    let config = tree::read(".cargo/config.toml");
    assert!(config.lines().any(|line| line == "PROPTEST_RNG_SEED = \"1\""), "{config}");
}

#[test]
fn seeds_and_cases_of_property_tests_can_be_chosen_from_outside() {
    let settings = ["proptest_config", "("].concat();
    for file in tree::files(".rs") {
        for line in file.text.lines().filter(|line| line.contains(&settings)) {
            assert!(
                line.contains("contextualize_config("),
                "{}: `ci/explore` cannot set the seed and the cases: {line}",
                file.path
            );
        }
    }
}
