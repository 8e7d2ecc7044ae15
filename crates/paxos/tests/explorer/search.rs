//! Going through all schedules of a few hosts.

use std::collections::HashSet;
use std::task::{Context as TaskContext, Poll, Waker};
use std::time::{Duration, Instant};

use paxos::Context;

use crate::event::{Event, Faults};
use crate::host::{self, HostFuture, Script};
use crate::world::World;

/// What to explore.
#[derive(Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) scripts: &'static [Script],
    pub(crate) faults: Faults,
    /// What crashed hosts do when they are back.
    pub(crate) after_rejoin: Script,
    pub(crate) configure: fn(&mut Context),
    /// After how many back-offs a host gives an operation up.
    pub(crate) back_offs: u32,
    /// No more schedules than this.
    pub(crate) limit: u64,
}

/// What an exploration has seen.
#[derive(Debug, Default, Clone)]
pub(crate) struct Report {
    /// Schedules that were run to their end, or to a state that had been seen before.
    pub(crate) schedules: u64,
    /// Different states.
    pub(crate) states: u64,
    /// Schedules that ended with all hosts done.
    pub(crate) complete: u64,
    /// The longest schedule.
    pub(crate) longest: usize,
    pub(crate) time: Duration,
    /// Everything was seen, not only as much as the limit allows.
    pub(crate) exhausted: bool,
    /// What must not happen, with the schedule that made it happen.
    pub(crate) violation: Option<(String, Vec<usize>)>,
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            schedules,
            states,
            complete,
            longest,
            time,
            exhausted,
            violation,
        } = self;
        let all = if *exhausted { "all" } else { "only" };
        write!(
            f,
            "{all} {schedules} schedules, {states} states, {complete} to the end, "
        )?;
        write!(
            f,
            "the longest of {longest} steps, {:.1} s",
            time.as_secs_f64()
        )?;
        match violation {
            None => Ok(()),
            Some((violation, _)) => write!(f, ": {violation}"),
        }
    }
}

/// One run of all hosts.
struct Run {
    world: World,
    hosts: Vec<Option<HostFuture>>,
    plan: Plan,
}

impl Run {
    fn new(plan: Plan) -> Self {
        let world = World::new(plan.scripts.len(), plan.faults);
        let start =
            |(number, script): (usize, &Script)| Some(host::run(&world, number, script, &plan));
        let hosts = plan.scripts.iter().enumerate().map(start).collect();
        let mut run = Self { world, hosts, plan };
        for host in 0..run.hosts.len() {
            run.poll(host);
        }
        run
    }

    /// Lets a host go on until it waits again.
    fn poll(&mut self, host: usize) {
        let Some(future) = &mut self.hosts[host] else {
            return;
        };
        let mut context = TaskContext::from_waker(Waker::noop());
        if let Poll::Ready(()) = future.as_mut().poll(&mut context) {
            self.hosts[host] = None;
        }
    }

    fn happen(&mut self, event: Event) {
        {
            let mut state = self.world.state();
            let line = state.trace.is_some().then(|| state.describe(event));
            state.note(|| line.unwrap_or_default());
        }
        if let Event::Crash(host) = event {
            // The host forgets; what it had sent stays under way.
            self.world.state().happen(event);
            self.hosts[host] = None;
            return;
        }
        let host = self.world.state().happen(event);
        if let Event::Rejoin(host) = event {
            let plan = self.plan;
            self.hosts[host] = Some(host::run(&self.world, host, plan.after_rejoin, &plan));
        }
        if let Some(host) = host {
            self.poll(host);
        }
    }
}

/// Explores all schedules of a plan, each state once.
pub(crate) fn explore(plan: Plan) -> Report {
    let start = Instant::now();
    let mut report = Report::default();
    let mut seen: HashSet<u64> = HashSet::new();
    // Which of the events is taken at each step, and how many there are.
    let mut path: Vec<(usize, usize)> = Vec::new();
    loop {
        let mut run = Run::new(plan);
        for depth in 0.. {
            let events = {
                let mut state = run.world.state();
                let events = state.events();
                if events.is_empty() {
                    state.check_end();
                }
                if let Some(violation) = state.claims.violation().cloned() {
                    let schedule = path.iter().map(|(choice, _)| *choice).collect();
                    report.violation = Some((violation, schedule));
                    report.time = start.elapsed();
                    return report;
                }
                events
            };
            if depth < path.len() {
                run.happen(events[path[depth].0]);
                continue;
            }
            let fingerprint = run.world.state().fingerprint();
            if !seen.insert(fingerprint) {
                break;
            }
            report.states += 1;
            if events.is_empty() {
                report.complete += 1;
                break;
            }
            path.push((0, events.len()));
            report.longest = report.longest.max(path.len());
            run.happen(events[0]);
        }
        report.schedules += 1;
        while let Some((choice, of)) = path.last_mut() {
            *choice += 1;
            if choice < of {
                break;
            }
            path.pop();
        }
        if path.is_empty() {
            report.exhausted = true;
            break;
        }
        if report.schedules >= plan.limit {
            break;
        }
    }
    report.time = start.elapsed();
    report
}

/// Runs one schedule again and tells what happens in it.
pub(crate) fn retell(plan: Plan, schedule: &[usize]) -> Vec<String> {
    let mut run = Run::new(plan);
    run.world.state().trace = Some(Vec::new());
    for choice in schedule {
        let events = run.world.state().events();
        let Some(event) = events.get(*choice) else {
            break;
        };
        run.happen(*event);
    }
    run.world.state().trace.take().unwrap_or_default()
}
