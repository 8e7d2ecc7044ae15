//! One run: a seed, a cluster, and what came of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use storage::sim::Counts;
use tokio::time::Instant;

use crate::admin;
use crate::checker::Violation;
use crate::inject;
use crate::machine::Machine;
use crate::quiet;
use crate::scenario::Scenario;
use crate::theme::Theme;
use crate::trace::Trace;
use crate::world::World;

/// How to run a seed.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// So many hosts instead of what the seed says.
    pub hosts: Option<usize>,
    /// Print what happens.
    pub print: bool,
    /// Leave these faults of the plan out.
    pub without: Vec<usize>,
    /// Pass over all seeds that are about something else.
    pub theme: Option<Theme>,
    /// The mistakes that are switched on.
    #[cfg(feature = "hazards")]
    pub hazards: crate::hazards::Hazards,
}

/// What came of a run.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Its seed.
    pub seed: u64,
    /// The scenario in a sentence.
    pub scenario: String,
    /// How many faults were planned.
    pub planned: usize,
    /// The first violation.
    pub violation: Option<Violation>,
    /// The last events.
    pub last_events: Vec<String>,
    /// The same for runs in which the same happened.
    pub hash: u64,
    /// How many events there were.
    pub events: u64,
    /// How long it took, in virtual time.
    pub took: Duration,
    /// How often each interesting thing happened.
    pub counts: BTreeMap<&'static str, u64>,
}

/// Runs a seed in a runtime of its own, on this thread.
///
/// # Panics
/// If there can be no runtime.
#[must_use]
pub fn run(seed: u64, options: &Options) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build();
    #[allow(clippy::panic)] // a test tool without a runtime has nothing to say
    let Ok(runtime) = runtime else {
        panic!("no runtime")
    };
    runtime.block_on(run_in_runtime(seed, options))
}

async fn run_in_runtime(seed: u64, options: &Options) -> Outcome {
    let scenario = Scenario::new(seed, options.hosts);
    let (description, planned) = (scenario.describe(), scenario.plan.len());
    let world = World::new(
        scenario,
        options.print,
        #[cfg(feature = "hazards")]
        options.hazards.clone(),
    );
    let machines: Vec<_> = (0..world.scenario.hosts)
        .map(|index| Machine::new(&world, index))
        .collect();
    world.set_machines(machines.clone());
    start(&world, &machines, &options.without);
    let began = Instant::now();
    let length = world.scenario.length;
    let undisturbed = watch(&world, &machines, tokio::time::sleep(length)).await;
    if undisturbed {
        quiet::begin(&world, &machines);
        watch(
            &world,
            &machines,
            quiet::everything_works(&world, &machines),
        )
        .await;
    }
    count_requests(&world, &machines);
    let outcome = outcome(&world, seed, description, planned, began.elapsed());
    take_apart(&world, &machines);
    outcome
}

fn start(world: &Arc<World>, machines: &[Arc<Machine>], without: &[usize]) {
    let mut random = crate::random::Random::new(world.scenario.seed, 3);
    let first = admin::FIRST_BOOT.as_millis();
    for machine in machines {
        let after = random.millis(0..u64::try_from(first).unwrap_or(1));
        let booting = Arc::clone(machine);
        tokio::spawn(async move {
            tokio::time::sleep(after).await;
            booting.boot();
        });
        tokio::spawn(Arc::clone(machine).run_device());
    }
    for (number, planned) in world.scenario.plan.iter().enumerate() {
        if !without.contains(&number) {
            tokio::spawn(inject::fault(Arc::clone(world), number, planned.clone()));
        }
    }
}

/// Watches the run until `end`; false if something happened before that must not happen.
async fn watch(
    world: &Arc<World>,
    machines: &[Arc<Machine>],
    end: impl Future<Output = ()>,
) -> bool {
    const EVERY: Duration = Duration::from_millis(500);
    tokio::pin!(end);
    loop {
        tokio::select! {
            biased;
            () = &mut end => return world.violation().is_none(),
            () = tokio::time::sleep(EVERY) => {}
        }
        world.storage.settle();
        world.check(crate::checker::Checker::tick);
        machines.iter().for_each(|machine| admin::look(machine));
        if world.violation().is_some() {
            return false;
        }
    }
}

fn count_requests(world: &World, machines: &[Arc<Machine>]) {
    let mut trace = world.trace();
    for label in machines.iter().flat_map(|machine| machine.labels()) {
        let Counts {
            reads,
            writes,
            hung,
            late,
            errors,
            lost_replies,
            torn,
            partial,
            abandoned,
            landed_after_abandon,
            landed_after_crash,
            lost_in_crash,
            refused,
            ..
        } = world.storage.counts(label);
        for (what, times) in [
            ("disk: reads", reads),
            ("disk: writes", writes),
            ("disk: requests that hung", hung),
            ("disk: requests made late", late),
            ("disk: requests failed", errors),
            ("disk: replies lost", lost_replies),
            ("disk: requests torn", torn),
            ("disk: writes done in part", partial),
            ("disk: requests timed out", abandoned),
            (
                "disk: writes landed after their time-out",
                landed_after_abandon,
            ),
            ("disk: writes landed after a crash", landed_after_crash),
            ("disk: writes lost in a crash", lost_in_crash),
            ("disk: requests refused as too many hang", refused),
        ] {
            trace.count_many(what, times);
        }
    }
}

fn outcome(world: &World, seed: u64, scenario: String, planned: usize, took: Duration) -> Outcome {
    let violation = world.violation();
    let seen = world.check(|checker| checker.seen.clone());
    let trace = world.trace();
    let Trace { counts, .. } = &*trace;
    let mut counts = counts.clone();
    for (what, times) in seen {
        *counts.entry(what).or_default() += times;
    }
    Outcome {
        seed,
        scenario,
        planned,
        last_events: if violation.is_some() {
            trace.lines()
        } else {
            Vec::new()
        },
        violation,
        hash: trace.hash(),
        events: trace.events(),
        took,
        counts,
    }
}

/// Hosts and world know each other: nothing of them would ever be freed.
fn take_apart(world: &World, machines: &[Arc<Machine>]) {
    world.storage.observe(|_| {});
    for machine in machines {
        let daemon = {
            let mut state = machine.state();
            state.boots += 1;
            state.gate.close();
            state.wdmd_gate.close();
            state.processes.clear();
            state.daemon.take()
        };
        if let Some(daemon) = daemon {
            daemon.gate.close();
        }
    }
    world.set_machines(Vec::new());
}
