//! Plays scenarios side by side and counts.

use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::image::{self, Image};
use crate::machine;
use crate::packages::Store;
use crate::programs::{Build, Cast, Ours, Programs};
use crate::resets::{self, Report, SCENARIOS, Scenario};
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
    /// Also those that take minutes
    #[arg(long)]
    slow: bool,
    /// Which programs run on the hosts; may be given again
    #[arg(long, value_name = "WHICH", value_enum, default_value = "ours")]
    programs: Vec<Programs>,
    /// Plays each scenario so many times
    #[arg(long, value_name = "N", default_value_t = 1)]
    repeat: u32,
    /// How many scenarios are played at a time; each has two machines
    #[arg(long, value_name = "N", default_value_t = 1)]
    jobs: usize,
    /// Keeps the machines' disks and logs
    #[arg(long)]
    keep: bool,
    /// Where the logs of scenarios that failed go
    #[arg(long, value_name = "DIR", default_value = "target/e2e/report")]
    report: PathBuf,
    /// Where this project's programs are
    #[arg(long, value_name = "DIR", default_value = "target/release")]
    ours: PathBuf,
    /// Where fetched packages are kept
    #[arg(long, value_name = "DIR", default_value = "target/e2e/cache")]
    cache: PathBuf,
}

impl Options {
    fn wants(&self, scenario: &Scenario) -> bool {
        if self.only.is_empty() {
            return self.slow || !scenario.slow;
        }
        let mut parts = self.only.iter();
        parts.any(|part| scenario.name.contains(part.as_str()))
    }
}

/// A scenario with the programs that it is played with.
struct Case {
    scenario: &'static Scenario,
    cast: Cast,
    /// Its directory's name.
    label: String,
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
        for scenario in SCENARIOS {
            let slow = if scenario.slow { "slow" } else { "" };
            println!("{:<16} {slow:<5} {}", scenario.name, scenario.what);
        }
        return Ok(true);
    }
    let cases = cases(options)?;
    let scratch = Scratch::new(options.keep)?;
    let begin = Instant::now();
    let ours = Ours::new(&options.ours);
    let mut count = Count::default();
    let mut playable = VecDeque::new();
    for case in cases {
        let why = case.impossible(&ours);
        match why {
            Some(why) => {
                count.skipped += 1;
                println!("skipped {}: {why}", case.title());
            }
            None => playable.push_back(case),
        }
    }
    let image = if playable.is_empty() {
        None
    } else {
        prepare(&playable, &ours, options, scratch.dir())
            .map_err(|error| {
                for case in &playable {
                    println!("skipped {}: {error:#}", case.title());
                }
            })
            .ok()
    };
    match image {
        Some(image) => play_all(playable, &image, options, scratch.dir(), &mut count),
        None => count.skipped += u32::try_from(playable.len())?,
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
    let wanted: Vec<&Scenario> = SCENARIOS
        .iter()
        .filter(|scenario| options.wants(scenario))
        .collect();
    ensure!(
        !wanted.is_empty(),
        "no scenario's name contains that; see --list"
    );
    let mut cases = Vec::new();
    for programs in &options.programs {
        for scenario in &wanted {
            for cast in programs.casts() {
                for _ in 0..options.repeat {
                    cases.push(Case {
                        scenario,
                        cast,
                        label: format!("{:03}-{}", cases.len() + 1, scenario.name),
                    });
                }
            }
        }
    }
    Ok(cases)
}

impl Case {
    fn title(&self) -> String {
        format!("{:<16} {}", self.scenario.name, self.cast.name())
    }

    /// What this machine lacks for it.
    fn impossible(&self, ours: &Ours) -> Option<String> {
        let here = |name: &str| {
            let path = std::env::var_os("PATH").unwrap_or_default();
            std::env::split_paths(&path).any(|dir| dir.join(name).is_file())
        };
        let needed = [machine::QEMU, "apt-get", "dpkg-deb", "ldd"];
        let lacking = needed.iter().find(|name| !here(name));
        if let Some(name) = lacking {
            return Some(format!("{name} is not installed"));
        }
        ours.missing(self.cast)
    }
}

/// Fetches what is not there yet and makes what the machines boot.
fn prepare(cases: &VecDeque<Case>, ours: &Ours, options: &Options, dir: &Path) -> Result<Image> {
    let mut builds: Vec<Build> = cases.iter().flat_map(|case| case.cast.builds()).collect();
    builds.sort_unstable();
    builds.dedup();
    let cache = std::path::absolute(&options.cache)?;
    fs::create_dir_all(&cache).with_context(|| format!("cannot create {}", cache.display()))?;
    image::make(&Store::new(&cache), &builds, ours, dir).context("no machine can be made")
}

fn play_all(
    cases: VecDeque<Case>,
    image: &Image,
    options: &Options,
    dir: &Path,
    count: &mut Count,
) {
    let queue = Mutex::new(cases);
    let count = Mutex::new(count);
    std::thread::scope(|scope| {
        for _ in 0..options.jobs.max(1) {
            scope.spawn(|| {
                loop {
                    let next = locked(&queue).pop_front();
                    let Some(case) = next else {
                        return;
                    };
                    let passed = play(&case, image, options, dir);
                    let mut count = locked(&count);
                    if passed {
                        count.passed += 1;
                    } else {
                        count.failed += 1;
                    }
                }
            });
        }
    });
}

fn play(case: &Case, image: &Image, options: &Options, dir: &Path) -> bool {
    let begin = Instant::now();
    let dir = dir.join(&case.label);
    let played = fs::create_dir(&dir)
        .context("cannot create a directory")
        .and_then(|()| resets::play(case.scenario, case.cast, image, &dir));
    let faults = match &played {
        Ok(report) => report.faults().to_vec(),
        Err(error) => vec![format!("{error:#}")],
    };
    let passed = faults.is_empty();
    let word = if passed { "ok     " } else { "FAILED " };
    let times = played.as_ref().map(Report::to_string).unwrap_or_default();
    let mut text = format!(
        "{word} {}  {times}  {}",
        case.title(),
        took(begin.elapsed())
    );
    for fault in faults {
        text.push_str(&format!("\n        {fault}"));
    }
    if !passed {
        match keep_logs(&dir, &options.report.join(&case.label)) {
            Ok(kept) => text.push_str(&format!("\n        logs: {}", kept.display())),
            Err(error) => text.push_str(&format!("\n        no logs: {error:#}")),
        }
    }
    println!("{text}");
    if !options.keep {
        // What cannot be removed now is removed with the directory above it.
        let _ = fs::remove_dir_all(&dir);
    }
    passed
}

fn took(duration: Duration) -> String {
    format!("({} s)", duration.as_secs())
}

/// Copies what the machines wrote.
fn keep_logs(dir: &Path, to: &Path) -> Result<PathBuf> {
    fs::create_dir_all(to).with_context(|| format!("cannot create {}", to.display()))?;
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let Some(name) = path.file_name().filter(|_| path.is_file()) else {
            continue;
        };
        fs::copy(&path, to.join(name))?;
    }
    Ok(std::path::absolute(to)?)
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
