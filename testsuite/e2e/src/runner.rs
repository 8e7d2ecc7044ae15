//! Plays scenarios side by side and counts.

use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use crate::case::{self, Case, Kind, Part, Scenario};
use crate::image::{self, Image, Parts};
use crate::packages::Store;
use crate::programs::{Ours, Programs};
use crate::report::{self, Outcome};
use crate::scratch::Scratch;

/// How the program is called.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Only list the scenarios
    #[arg(long)]
    list: bool,
    /// Only the scenarios whose name contains this; may be given again
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Only the scenarios for this kind of hosts
    #[arg(long, value_name = "KIND", value_enum)]
    kind: Option<Kind>,
    /// Also those that take minutes
    #[arg(long)]
    slow: bool,
    /// Which programs run on the hosts; may be given again
    #[arg(long, value_name = "WHICH", value_enum, default_value = "ours")]
    programs: Vec<Programs>,
    /// Plays each scenario so many times
    #[arg(long, value_name = "N", default_value_t = 1)]
    repeat: u32,
    /// Plays them in another order, which this number stands for
    #[arg(long, value_name = "SEED")]
    shuffle: Option<u64>,
    /// How many scenarios are played at a time
    #[arg(long, value_name = "N", default_value_t = 1)]
    jobs: usize,
    /// Keeps the hosts' disks and logs
    #[arg(long)]
    keep: bool,
    /// Where the report goes, with the logs of scenarios that failed [default: e2e/report in cargo's target
    /// directory]
    #[arg(long, value_name = "DIR")]
    report: Option<PathBuf>,
    /// Where this project's programs are [default: where this one is]
    #[arg(long, value_name = "DIR")]
    ours: Option<PathBuf>,
    /// Where fetched packages are kept [default: e2e/cache in cargo's target directory]
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,
}

/// Directories.
struct Places {
    report: PathBuf,
    ours: PathBuf,
    cache: PathBuf,
}

impl Places {
    fn new(options: &Options) -> Result<Places> {
        let program = std::env::current_exe().context("cannot find this program")?;
        let built = program.parent().unwrap_or(Path::new("/"));
        let target = built.parent().unwrap_or(built).join("e2e");
        let place = |given: &Option<PathBuf>, default: PathBuf| {
            std::path::absolute(given.clone().unwrap_or(default)).context("no such directory")
        };
        Ok(Places {
            report: place(&options.report, target.join("report"))?,
            ours: place(&options.ours, built.to_owned())?,
            cache: place(&options.cache, target.join("cache"))?,
        })
    }
}

impl Options {
    fn wants(&self, scenario: Scenario) -> bool {
        if self.kind.is_some_and(|kind| kind != scenario.kind()) {
            return false;
        }
        if self.only.is_empty() {
            return self.slow || !scenario.is_slow();
        }
        // A scenario's whole name is that scenario only, even if others are called after it.
        self.only.iter().any(|part| {
            let exact = case::all().iter().any(|other| other.name() == part);
            if exact {
                scenario.name() == part
            } else {
                scenario.name().contains(part.as_str())
            }
        })
    }
}

/// How many scenarios ended how.
#[derive(Default)]
struct Count {
    passed: u32,
    failed: u32,
    skipped: u32,
}

/// Plays what was asked for. Whether all went well.
pub(crate) fn run(options: &Options) -> Result<bool> {
    if options.list {
        for scenario in case::all() {
            let slow = if scenario.is_slow() { "slow" } else { "" };
            println!("{:<24} {slow:<5} {}", scenario.name(), scenario.what());
        }
        return Ok(true);
    }
    let cases = cases(options)?;
    let places = Places::new(options)?;
    let scratch = Scratch::new(options.keep)?;
    let begin = Instant::now();
    let ours = Ours::new(&places.ours);
    let mut count = Count::default();
    let mut outcomes = Vec::new();
    let mut playable = Vec::new();
    if let Some(others) = case::others_in_place(&cases, &ours) {
        println!("not built, so the distribution's are used: {others}");
    }
    for case in cases {
        match case.impossible(&ours) {
            Some(why) => outcomes.push(count.skip(case, why)),
            None => playable.push(case),
        }
    }
    let mut stage = Stage {
        image: None,
        dir: scratch.dir(),
        ours: &places.ours,
        report: &places.report,
        keep: options.keep,
    };
    let builds = case::builds(&playable);
    if !builds.is_empty() {
        match Parts::fetch(&Store::new(&places.cache), &builds) {
            Ok(parts) => {
                let image = image::make(&parts, &builds, &ours, scratch.dir())
                    .context("cannot make what the machines boot")?;
                stage.image = Some(image);
            }
            Err(error) => {
                let (machines, others) = playable
                    .into_iter()
                    .partition(|case| matches!(case.part, Part::Reset(..)));
                playable = others;
                let machines: Vec<Case> = machines;
                for case in machines {
                    outcomes.push(count.skip(case, format!("{error:#}")));
                }
            }
        }
    }
    if let Some(seed) = options.shuffle {
        shuffle(&mut playable, seed);
    }
    outcomes.extend(stage.play_all(playable.into(), options.jobs, &mut count));
    match report::write(&places.report, &outcomes) {
        Ok(page) => println!("report: {}", page.display()),
        Err(error) => println!("no report: {error:#}"),
    }
    println!(
        "{} s\n{} passed, {} failed, {} skipped",
        begin.elapsed().as_secs(),
        count.passed,
        count.failed,
        count.skipped
    );
    Ok(count.failed == 0)
}

fn cases(options: &Options) -> Result<Vec<Case>> {
    let wanted: Vec<Scenario> = case::all()
        .into_iter()
        .filter(|scenario| options.wants(*scenario))
        .collect();
    ensure!(
        !wanted.is_empty(),
        "no scenario's name contains that; see --list"
    );
    let mut cases = Vec::new();
    for programs in &options.programs {
        for scenario in &wanted {
            for part in scenario.parts(*programs) {
                for _ in 0..options.repeat {
                    let label = format!("{:03}-{}", cases.len() + 1, scenario.name());
                    cases.push(Case { part, label });
                }
            }
        }
    }
    Ok(cases)
}

/// Puts them into the order that this seed stands for, whatever the build.
fn shuffle<T>(items: &mut [T], seed: u64) {
    let mut state = seed;
    let mut random = || {
        // SplitMix64.
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    };
    for last in (1..items.len()).rev() {
        let choices = u64::try_from(last).unwrap_or(u64::MAX).saturating_add(1);
        let other = usize::try_from(random() % choices).unwrap_or(last);
        items.swap(last, other);
    }
}

impl Count {
    fn skip(&mut self, case: Case, why: String) -> Outcome {
        self.skipped += 1;
        println!("skipped {}: {why}", case.title());
        Outcome::skipped(case, why)
    }
}

/// Where scenarios are played.
struct Stage<'a> {
    /// What machines boot, if one is to be booted.
    image: Option<Image>,
    dir: &'a Path,
    ours: &'a Path,
    report: &'a Path,
    keep: bool,
}

impl Stage<'_> {
    fn play_all(&self, cases: VecDeque<Case>, jobs: usize, count: &mut Count) -> Vec<Outcome> {
        let queue = Mutex::new(cases);
        let done = Mutex::new((count, Vec::new()));
        std::thread::scope(|scope| {
            for _ in 0..jobs.max(1) {
                scope.spawn(|| {
                    loop {
                        let next = locked(&queue).pop_front();
                        let Some(case) = next else {
                            return;
                        };
                        let outcome = self.play(case);
                        let mut done = locked(&done);
                        if outcome.played.faults.is_empty() {
                            done.0.passed += 1;
                        } else {
                            done.0.failed += 1;
                        }
                        done.1.push(outcome);
                    }
                });
            }
        });
        let (_, mut outcomes) = done.into_inner().unwrap_or_else(PoisonError::into_inner);
        outcomes.sort_by(|one: &Outcome, other| one.case.label.cmp(&other.case.label));
        outcomes
    }

    /// Plays one and says what became of it.
    fn play(&self, case: Case) -> Outcome {
        println!("playing {}", case.title());
        let begin = Instant::now();
        let dir = self.dir.join(&case.label);
        let played = case.play(self.image.as_ref(), self.ours, &dir);
        let passed = played.faults.is_empty();
        let word = if passed { "ok     " } else { "FAILED " };
        let took = begin.elapsed();
        let mut text = format!(
            "{word} {}  {}  ({} s)",
            case.title(),
            played.line,
            took.as_secs()
        );
        for fault in &played.faults {
            text.push_str(&format!("\n        {}", fault.replace('\n', "\n        ")));
        }
        let logs = report::read_logs(&dir);
        if !passed {
            let to = self.report.join(&case.label);
            match case::keep_logs(&dir, &to) {
                Ok(()) => text.push_str(&format!("\n        logs: {}", to.display())),
                Err(error) => text.push_str(&format!("\n        no logs: {error:#}")),
            }
        }
        println!("{text}");
        if !self.keep {
            // What cannot be removed now is removed with the directory above it.
            let _ = fs::remove_dir_all(&dir);
        }
        Outcome {
            case,
            played,
            took,
            skipped: None,
            logs,
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::shuffle;

    #[test]
    fn a_seed_is_an_order_of_all() {
        let order = |seed| {
            let mut items: Vec<u32> = (0..50).collect();
            shuffle(&mut items, seed);
            items
        };
        assert_eq!(order(1), order(1));
        assert_ne!(order(1), order(2));
        let mut all = order(3);
        all.sort_unstable();
        assert_eq!(all, (0..50).collect::<Vec<u32>>());
    }
}
