//! What a handler counts, without a connection.

use std::io::ErrorKind;
use std::time::Instant;

use super::*;
use crate::spawner::TokioSpawner;
use crate::traffic::Traffic;

fn handler() -> Handler {
    let settings = Settings {
        streams_max: 4,
        tick: Duration::from_secs(1),
        open_timeout: Duration::from_secs(10),
        offer: Offer::up_to(Version::V1_2),
    };
    let shares = Shares {
        filter: Locked::default(),
        allowance: Locked::new(Allowance::new(1, Instant::now())),
        memory: Arc::default(),
        spawner: Arc::new(TokioSpawner),
        arrivals: Arrivals::default(),
        sizes: Arc::default(),
    };
    Handler::new(settings, Mailbox::new(), shares)
}

#[test]
fn each_end_of_a_stream_that_is_read_is_counted_as_what_it_was() {
    type Counter = fn(&Traffic) -> u64;
    let cases: [(Ended, Counter); 5] = [
        (Ended::Failed(ErrorKind::ConnectionReset), |traffic| traffic.failed_streams),
        (Ended::Malformed(DecodeError::Truncated), |traffic| traffic.failed_streams),
        (Ended::Malformed(DecodeError::Malformed), |traffic| traffic.malformed_streams),
        (Ended::Stalled, |traffic| traffic.stalled_streams),
        (Ended::Evicted, |traffic| traffic.evicted_streams),
    ];
    let cx = &mut Context::from_waker(std::task::Waker::noop());
    for (why, counter) in cases {
        let mut handler = handler();
        for times in 1..=2 {
            handler.ended(why, None, cx);
            let Traffic { failed_streams, malformed_streams, .. } = handler.report.traffic;
            let Traffic { stalled_streams, evicted_streams, .. } = handler.report.traffic;
            let all = failed_streams + malformed_streams + stalled_streams + evicted_streams;
            assert_eq!((counter(&handler.report.traffic), all), (times, times), "{why:?}");
        }
        assert!(handler.report.streams.is_empty(), "it was none of ours");
    }
    let mut handler = handler();
    handler.ended(Ended::Finished, None, cx);
    assert!(handler.report.is_empty());
}
