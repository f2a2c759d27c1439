//! Who the bytes come from, and go to: how much, and how fast each.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use bitswap_core::ByteSize;
use bitswap_node::{PeerId, Seeder};
use serde_json::{Value, json};

/// Bytes per second between two looks at a counter.
pub(crate) fn rate_of(before: u64, now: u64, passed: Duration) -> u64 {
    match passed.as_secs_f64() {
        0.0 => 0,
        seconds => (now.saturating_sub(before) as f64 / seconds) as u64,
    }
}

/// Rates of counters that are looked at now and then, one for each peer.
#[derive(Debug, Default)]
pub(crate) struct Rates {
    looked: Option<Instant>,
    bytes: BTreeMap<PeerId, u64>,
}

impl Rates {
    /// Looks at the counters of peers; their rates since the last look, in the same order. Those that are not among them are
    /// forgotten.
    pub(crate) fn look(&mut self, counters: &[(PeerId, u64)], now: Instant) -> Vec<u64> {
        let passed = self.looked.map_or(Duration::ZERO, |looked| now - looked);
        let before = std::mem::replace(&mut self.bytes, counters.iter().copied().collect());
        self.looked = Some(now);
        let rate = |(peer, bytes): &(PeerId, u64)| {
            rate_of(before.get(peer).copied().unwrap_or_default(), *bytes, passed)
        };
        counters.iter().map(rate).collect()
    }
}

/// The peers that have what is fetched.
#[derive(Debug, Default)]
pub(super) struct Peers {
    rates: Rates,
    known: Vec<(Seeder, u64)>,
    /// What was told last.
    told: (usize, usize),
}

impl Peers {
    /// What is known now. True when it is news how many are connected, or known.
    pub(super) fn learn(&mut self, seeders: &[Seeder], now: Instant) -> bool {
        let counters: Vec<_> = seeders.iter().map(|seeder| (seeder.peer, seeder.bytes)).collect();
        let rates = self.rates.look(&counters, now);
        self.known = seeders.iter().copied().zip(rates).collect();
        let counted = self.counted();
        std::mem::replace(&mut self.told, counted) != counted
    }

    /// How many of them are connected, and how many there are.
    fn counted(&self) -> (usize, usize) {
        let connected = self.known.iter().filter(|(seeder, _)| seeder.is_connected);
        (connected.count(), self.known.len())
    }

    /// For a line with little room.
    pub(super) fn short(&self) -> String {
        match self.counted() {
            (_, 0) => String::new(),
            (connected, known) => format!("{connected}/{known} seeders"),
        }
    }

    /// How many there are, for programs.
    pub(super) fn news(&self) -> Value {
        let (connected, known) = self.counted();
        json!({"event": "seeders", "connected": connected, "known": known})
    }

    /// Each of them, for programs.
    pub(super) fn object(&self) -> Value {
        let object = |(seeder, rate): &(Seeder, u64)| {
            json!({
                "peer": seeder.peer.to_string(), "connected": seeder.is_connected,
                "said_have": seeder.said_have, "blocks": seeder.blocks, "bytes": seeder.bytes,
                "rate": rate, "latency_ms": seeder.latency.as_secs_f64() * 1e3,
            })
        };
        let peers: Vec<Value> = self.known.iter().map(object).collect();
        json!({"event": "peers", "peers": peers})
    }

    /// What each of several delivered, for people.
    pub(super) fn delivered(&self) -> Vec<String> {
        let of_use = || self.known.iter().map(|(seeder, _)| seeder).filter(|one| one.blocks > 0);
        if of_use().count() < 2 {
            return Vec::new();
        }
        let line = |seeder: &Seeder| {
            let Seeder { peer, blocks, bytes, latency, .. } = seeder;
            let milliseconds = latency.as_millis();
            format!("  {} in {blocks} blocks from {peer}, {milliseconds} ms each", ByteSize(*bytes))
        };
        of_use().map(line).collect()
    }
}

impl fmt::Display for Peers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (connected, known) = self.counted();
        write!(f, "Connected to {connected}/{known} seeders")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_of_the_time_since_the_last_look_and_of_each_peer_alone() {
        let (a, b) = (PeerId::random(), PeerId::random());
        let (mut rates, start) = (Rates::default(), Instant::now());
        let after = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(rates.look(&[(a, 500)], start), [0], "it is not known since when");
        assert_eq!(rates.look(&[(a, 700), (b, 100)], after(2)), [100, 50]);
        assert_eq!(rates.look(&[(b, 100)], after(3)), [0]);
        assert_eq!(rates.look(&[(a, 10), (b, 50)], after(4)), [10, 0], "counted anew");
    }
}
