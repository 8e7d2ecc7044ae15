//! What the algorithms need of the host they run on.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use ondisk::{IoTimeout, Timestamp};
use storage::BoxFuture;

use crate::LateWrites;
#[cfg(feature = "hazards")]
use crate::hazards::Hazards;

/// Time and chance of the host: real on a host, simulated in the test suite.
///
/// Together with the disks it decides everything that an algorithm does.
pub trait Env: Send + Sync + Debug + 'static {
    /// Whole seconds of this host's monotonic clock (`CLOCK_MONOTONIC`), as it writes them to disk.
    fn monotime(&self) -> Timestamp;

    /// A random number from 0 to `bound - 1`, or 0 if `bound` is 0.
    fn random_below(&self, bound: u64) -> u64;

    /// Becomes ready once `duration` has passed.
    ///
    /// All waiting goes through here, deadlines of disk requests too.
    fn sleep(&self, duration: Duration) -> BoxFuture<()> {
        Box::pin(tokio::time::sleep(duration))
    }
}

/// The two numbers from which all timeouts of a lockspace follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// Our timeout of one disk request.
    pub io: IoTimeout,
    /// How long after its last test a watchdog resets its host. All hosts use the same.
    pub watchdog_fire: Duration,
}

impl Default for Timeouts {
    /// sanlock's defaults: 10 and 60 seconds.
    fn default() -> Self {
        Self {
            io: IoTimeout::default(),
            watchdog_fire: Duration::from_secs(60),
        }
    }
}

/// How many hosts' sectors the first look at a lease takes in: with the leader and the request record 64 KiB in
/// sectors of 512 bytes, and as good as all hosts that there are.
pub const FIRST_LOOK: u64 = 126;

/// What every algorithm is called with: the host, its timeouts in one lockspace, and its writes that
/// have not come back.
#[derive(Debug, Clone)]
pub struct Context {
    /// Time and chance.
    pub env: Arc<dyn Env>,
    /// The timeouts of the lockspace.
    pub timeouts: Timeouts,
    /// Writes of this host that nobody waits for any more but that may still reach a disk. One for the
    /// whole daemon: clones share their contents.
    pub late: LateWrites,
    /// How many hosts' sectors are read to see that a lease is free; [`FIRST_LOOK`] on a real host.
    pub first_look: u64,
    /// Mistakes that are switched on.
    #[cfg(feature = "hazards")]
    pub hazards: Hazards,
}

impl Context {
    /// A context without late writes.
    #[must_use]
    pub fn new(env: Arc<dyn Env>, timeouts: Timeouts) -> Self {
        Self {
            env,
            timeouts,
            late: LateWrites::default(),
            first_look: FIRST_LOOK,
            #[cfg(feature = "hazards")]
            hazards: Hazards::default(),
        }
    }

    /// The same host in another lockspace.
    #[must_use]
    pub fn with_timeouts(&self, timeouts: Timeouts) -> Self {
        Self {
            timeouts,
            ..self.clone()
        }
    }

    /// The time to write to disk; never [`Timestamp::FREE`], not even in the first second after boot.
    pub(crate) fn now(&self) -> Timestamp {
        self.env.monotime().max(Timestamp(1))
    }

    /// The deadline of an ordinary request.
    pub(crate) fn io(&self) -> Duration {
        self.timeouts.io.duration()
    }
}

/// Whether a mistake is switched on: never, unless the `hazards` feature is compiled in.
macro_rules! planted {
    ($ctx:expr, $hazard:ident) => {{
        #[cfg(feature = "hazards")]
        let on = $ctx.hazards.has($crate::Hazard::$hazard);
        #[cfg(not(feature = "hazards"))]
        let on = {
            let _: &$crate::Context = $ctx;
            false
        };
        on
    }};
}
pub(crate) use planted;
