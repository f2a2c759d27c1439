//! Attackers beside honest peers: what each can do alone, and what they can do together.

use bitswap_sim::{Attack, Conduct, Speed, Victim};

#[test]
fn no_attacker_alone_slows_an_honest_pair_or_leaves_anything_behind() {
    let mut failed = Vec::new();
    for conduct in Conduct::ATTACKS {
        for victim in [Victim::Fetcher, Victim::Seeders] {
            for speed in [Speed::Fast, Speed::Slow] {
                let t=std::time::Instant::now();
                let r=std::panic::catch_unwind(|| Attack::of(conduct, victim, speed).run());
                match r {
                    Ok(Ok(outcome)) => println!("{conduct:?} {victim:?} {speed:?}: {outcome} {:?} {}", t.elapsed(), outcome.steps),
                    Ok(Err(why)) => { println!("{conduct:?} {victim:?} {speed:?}: FAILED {why}"); failed.push(format!("{conduct:?} {victim:?} {speed:?}: {}", why.chars().take(300).collect::<String>())) },
                    Err(_) => failed.push(format!("{conduct:?} {victim:?} {speed:?}: panicked")),
                }
            }
        }
    }
    assert!(failed.is_empty(), "{failed:#?}");
}
