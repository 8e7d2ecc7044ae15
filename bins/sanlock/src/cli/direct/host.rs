//! This host's clock and chance, for the algorithms.

use std::sync::Arc;
use std::time::Duration;

use ondisk::{IoTimeout, Timestamp};
use paxos::{Context, Env, Timeouts};

use crate::cli::options::Options;

/// The real ones.
#[derive(Debug)]
struct ThisHost;

impl Env for ThisHost {
    fn monotime(&self) -> Timestamp {
        Timestamp(daemon::Clock::monotonic_seconds())
    }

    fn random_below(&self, bound: u64) -> u64 {
        let (random, _) = uuid::Uuid::new_v4().as_u64_pair();
        random.checked_rem(bound).unwrap_or(0)
    }
}

/// What the algorithms are called with.
pub(super) fn context(options: &Options) -> Context {
    let watchdog_fire = Duration::from_secs(options.configured.watchdog_fire_timeout.into());
    let timeouts = Timeouts {
        io: IoTimeout(options.io_timeout),
        watchdog_fire,
    };
    Context::new(Arc::new(ThisHost), timeouts)
}
