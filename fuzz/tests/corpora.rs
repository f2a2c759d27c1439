//! The corpora, on stable: no input that was ever found breaks a rule, and none is lost.

use std::fs;
use std::path::PathBuf;

use bitswap_fuzz::{TARGETS, engine_ops, seeds};
use bitswap_testing::PassThrough;

/// The committed inputs of a target, in the order of their names.
fn corpus(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let files = fs::read_dir(seeds::corpus_dir(target)).expect("each target has a corpus");
    let mut files: Vec<PathBuf> = files.map(|file| file.expect("a file").path()).collect();
    files.sort();
    files.into_iter().map(|file| (file.clone(), fs::read(file).expect("readable"))).collect()
}

fn replay(name: &str) {
    let (_, target) = TARGETS.into_iter().find(|(other, _)| *other == name).expect("a target");
    let corpus = corpus(name);
    assert!(corpus.len() >= 20, "the corpus of {name} is too small to mean something");
    for (file, input) in corpus {
        println!("{}", file.display());
        target(&input);
    }
    for input in seeds::of(name) {
        target(&input);
    }
}

macro_rules! replay {
    ($($name:ident)*) => {
        $(#[test] fn $name() { replay(stringify!($name)); })*

        #[test]
        fn every_target_is_replayed() {
            assert_eq!(TARGETS.map(|(name, _)| name), [$(stringify!($name)),*]);
        }
    };
}

replay! {
    frame message roundtrip prefix_cid engine_ops two_engines hostile_frames dagpb_unixfs manifest
    journal
}

#[test]
fn the_same_input_gives_the_same_outputs() {
    for (file, input) in corpus("engine_ops") {
        let first = engine_ops::check(&input, &mut PassThrough);
        let second = engine_ops::check(&input, &mut PassThrough);
        assert_eq!(first, second, "{}", file.display());
    }
}

#[test]
fn the_corpora_stay_small() {
    let sizes = TARGETS.map(|(name, _)| {
        let corpus = corpus(name);
        corpus.iter().map(|(_, input)| input.len()).sum::<usize>()
    });
    assert!(sizes.iter().sum::<usize>() < 2 << 20, "{sizes:?}");
}
