//! Running many seeds, and telling what came of them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use crate::faults::FaultKind;
use crate::run::{Options, Outcome, run};
use crate::theme::Theme;

/// What came of many seeds.
#[derive(Debug, Default)]
pub struct Summary {
    /// Seeds without a violation.
    pub passed: u64,
    /// Those with one.
    pub failed: Vec<Outcome>,
    /// How often each interesting thing happened, in all of them.
    pub counts: BTreeMap<&'static str, u64>,
    /// In how many seeds it happened.
    pub seeds_with: BTreeMap<&'static str, u64>,
    /// Events of all runs.
    pub events: u64,
    /// Virtual time of all runs.
    pub virtual_time: Duration,
    /// Real time.
    pub took: Duration,
}

impl Summary {
    fn add(&mut self, outcome: Outcome) {
        for (what, times) in &outcome.counts {
            *self.counts.entry(what).or_default() += times;
            *self.seeds_with.entry(what).or_default() += u64::from(*times != 0);
        }
        self.events += outcome.events;
        self.virtual_time += outcome.took;
        match outcome.violation {
            None => self.passed += 1,
            Some(_) => self.failed.push(outcome),
        }
    }

    /// How many kinds of faults were seen.
    #[must_use]
    pub fn fault_kinds(&self) -> usize {
        let seen = |kind: &&FaultKind| {
            self.counts
                .get(kind.name())
                .is_some_and(|times| *times != 0)
        };
        FaultKind::ALL.iter().filter(seen).count()
    }

    /// The figures, to be read.
    #[must_use]
    pub fn statistics(&self) -> String {
        use std::fmt::Write;
        let mut text = String::new();
        for (what, times) in &self.counts {
            let seeds = self.seeds_with.get(what).copied().unwrap_or(0);
            let _ = writeln!(text, "  {times:>12}  in {seeds:>6} seeds  {what}");
        }
        let _ = writeln!(
            text,
            "{} of {} kinds of faults were seen; {} events in {:.1} days of virtual time, {:.1} s of real time",
            self.fault_kinds(),
            FaultKind::ALL.len(),
            self.events,
            self.virtual_time.as_secs_f64() / 86_400.0,
            self.took.as_secs_f64()
        );
        text
    }
}

/// Runs seeds from `from` on, `jobs` at a time, until `seeds` are done or `enough` says so; `each` sees
/// every outcome as it comes.
pub fn run_many(
    from: u64,
    seeds: u64,
    jobs: usize,
    options: &Options,
    mut each: impl FnMut(&Outcome),
    mut enough: impl FnMut(&Summary) -> bool,
) -> Summary {
    let began = Instant::now();
    let next = AtomicU64::new(0);
    let mut summary = Summary::default();
    std::thread::scope(|scope| {
        let (done, outcomes) = mpsc::sync_channel(jobs);
        for _ in 0..jobs {
            let (next, done) = (&next, done.clone());
            scope.spawn(move || {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let seed = from + number;
                    if number >= seeds {
                        return;
                    }
                    if options.theme.is_some_and(|theme| theme != Theme::of(seed)) {
                        continue;
                    }
                    if done.send(run(seed, options)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(done);
        for outcome in outcomes {
            each(&outcome);
            summary.add(outcome);
            if enough(&summary) {
                next.store(seeds, Ordering::Relaxed);
            }
        }
    });
    summary.took = began.elapsed();
    summary
}

/// Which faults of a failing seed's plan can be left out, so that it still fails in the same way.
#[must_use]
pub fn shrink(failed: &Outcome, options: &Options) -> Vec<usize> {
    let mut options = options.clone();
    let property = failed
        .violation
        .as_ref()
        .map(|violation| violation.property);
    for fault in (0..failed.planned).rev() {
        options.without.push(fault);
        let outcome = run(failed.seed, &options);
        if outcome.violation.map(|violation| violation.property) != property {
            options.without.pop();
        }
    }
    (0..failed.planned)
        .filter(|fault| !options.without.contains(fault))
        .collect()
}
