//! What the hosts of a run share: the storage, the checker, the record of what happened.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use storage::sim::{Landed, Reads, SimStorage};
use tokio::time::Instant;

use crate::checker::{Checker, Violation};
use crate::disk;
use crate::machine::Machine;
use crate::moments::{Moment, Moments};
use crate::scenario::Scenario;
use crate::trace::{Event, Trace};

/// A lock that a panic cannot poison: a run ends with the first one.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A run's world.
#[derive(Debug)]
pub struct World {
    /// What the seed decided.
    pub scenario: Scenario,
    /// The disks.
    pub storage: SimStorage,
    /// The mistakes that are switched on.
    #[cfg(feature = "hazards")]
    pub hazards: crate::hazards::Hazards,
    start: Instant,
    trace: Mutex<Trace>,
    checker: Mutex<Checker>,
    machines: Mutex<Vec<Arc<Machine>>>,
    moments: Mutex<Moments>,
    quiet: Mutex<bool>,
}

impl World {
    /// The world of a scenario, without hosts.
    #[must_use]
    pub fn new(
        scenario: Scenario,
        print: bool,
        #[cfg(feature = "hazards")] hazards: crate::hazards::Hazards,
    ) -> Arc<Self> {
        let storage = SimStorage::new(scenario.seed);
        scenario.layout.format(&storage);
        let unmade = scenario
            .layout
            .resources
            .iter()
            .map(|resource| resource.unmade);
        let fire = Duration::from_secs(u64::from(scenario.fire_timeout));
        let world = Arc::new(Self {
            checker: Mutex::new(Checker::new(unmade, fire)),
            scenario,
            storage,
            #[cfg(feature = "hazards")]
            hazards,
            start: Instant::now(),
            trace: Mutex::new(Trace::new(print)),
            machines: Mutex::default(),
            moments: Mutex::default(),
            quiet: Mutex::new(false),
        });
        let watching: Weak<Self> = Arc::downgrade(&world);
        world.storage.observe(move |landed: &Landed<'_>| {
            if let Some(world) = watching.upgrade() {
                disk::landed(&world, landed);
            }
        });
        let watching: Weak<Self> = Arc::downgrade(&world);
        world.storage.observe_reads(move |read: &Reads<'_>| {
            if let Some(world) = watching.upgrade() {
                disk::reads(&world, read);
            }
        });
        world
    }

    /// The time of the run.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.start.elapsed()
    }

    /// The time of the run at a moment.
    #[must_use]
    pub fn time_of(&self, moment: Instant) -> Duration {
        moment.saturating_duration_since(self.start)
    }

    /// Takes note of something that happens on a host now; host 0 stands for none.
    pub fn event(&self, host: u32, event: Event) {
        self.event_at(self.now(), host, event);
    }

    /// Takes note of something that happened on a host.
    pub fn event_at(&self, at: Duration, host: u32, event: Event) {
        locked(&self.moments).happened(host, &event);
        locked(&self.trace).add(at, host, event);
    }

    /// Waits for the next such moment of a host, by its number. It may never come.
    pub async fn until(&self, host: u32, moment: Moment) {
        let coming = locked(&self.moments).next(host, moment);
        let _ = coming.await;
    }

    /// Counts something for the statistics.
    pub fn count(&self, what: &'static str) {
        locked(&self.trace).count(what);
    }

    /// The record of what happened.
    pub fn trace(&self) -> MutexGuard<'_, Trace> {
        locked(&self.trace)
    }

    /// Has the checker look at something. A violation is recorded when it is first seen.
    pub fn check<T>(&self, look: impl FnOnce(&mut Checker) -> T) -> T {
        let (result, news) = {
            let mut checker = locked(&self.checker);
            let before = checker.violation().is_some();
            let result = look(&mut checker);
            let news = checker.violation().filter(|_| !before).cloned();
            (result, news)
        };
        if let Some(Violation { property, what }) = news {
            self.event(0, Event::Violation(format!("{property}: {what}")));
        }
        result
    }

    /// The first violation.
    #[must_use]
    pub fn violation(&self) -> Option<Violation> {
        locked(&self.checker).violation().cloned()
    }

    /// Whether the faults are over and nobody begins anything new.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        *locked(&self.quiet)
    }

    /// The faults are over.
    pub fn set_quiet(&self) {
        *locked(&self.quiet) = true;
        self.event(0, Event::Quiet);
    }

    /// The hosts.
    #[must_use]
    pub fn machines(&self) -> Vec<Arc<Machine>> {
        locked(&self.machines).clone()
    }

    /// Puts the hosts into the world.
    pub fn set_machines(&self, machines: Vec<Arc<Machine>>) {
        *locked(&self.machines) = machines;
    }
}
