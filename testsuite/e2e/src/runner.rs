//! Plays scenarios side by side and counts.

use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use crate::image::{self, Image, Parts};
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
    /// Where the logs of scenarios that failed go [default: e2e/report in cargo's target directory]
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
    let places = Places::new(options)?;
    let scratch = Scratch::new(options.keep)?;
    let begin = Instant::now();
    let ours = Ours::new(&places.ours);
    let mut count = Count::default();
    let mut playable = VecDeque::new();
    for case in cases {
        match case.impossible(&ours) {
            Some(why) => count.skip(&case, &why),
            None => playable.push_back(case),
        }
    }
    if !playable.is_empty() {
        let mut builds: Vec<Build> = playable
            .iter()
            .flat_map(|case| case.cast.builds())
            .collect();
        builds.sort_unstable();
        builds.dedup();
        match Parts::fetch(&Store::new(&places.cache), &builds) {
            Ok(parts) => {
                let image = image::make(&parts, &builds, &ours, scratch.dir())
                    .context("cannot make what the machines boot")?;
                let stage = Stage {
                    image,
                    dir: scratch.dir(),
                    report: &places.report,
                    keep: options.keep,
                };
                stage.play_all(playable, options.jobs, &mut count);
            }
            Err(error) => {
                for case in &playable {
                    count.skip(case, &format!("{error:#}"));
                }
            }
        }
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

impl Count {
    fn skip(&mut self, case: &Case, why: &str) {
        self.skipped += 1;
        println!("skipped {}: {why}", case.title());
    }
}

/// Where scenarios are played.
struct Stage<'a> {
    image: Image,
    dir: &'a Path,
    report: &'a Path,
    keep: bool,
}

impl Stage<'_> {
    fn play_all(&self, cases: VecDeque<Case>, jobs: usize, count: &mut Count) {
        let queue = Mutex::new(cases);
        let count = Mutex::new(count);
        std::thread::scope(|scope| {
            for _ in 0..jobs.max(1) {
                scope.spawn(|| {
                    loop {
                        let next = locked(&queue).pop_front();
                        let Some(case) = next else {
                            return;
                        };
                        let passed = self.play(&case);
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

    /// Plays one and says what became of it.
    fn play(&self, case: &Case) -> bool {
        println!("playing {}", case.title());
        let begin = Instant::now();
        let dir = self.dir.join(&case.label);
        let played = fs::create_dir(&dir)
            .context("cannot create a directory")
            .and_then(|()| resets::play(case.scenario, case.cast, &self.image, &dir));
        let faults = match &played {
            Ok(report) => report.faults().to_vec(),
            Err(error) => vec![format!("{error:#}")],
        };
        let passed = faults.is_empty();
        let word = if passed { "ok     " } else { "FAILED " };
        let times = played.as_ref().map(Report::to_string).unwrap_or_default();
        let took = begin.elapsed().as_secs();
        let mut text = format!("{word} {}  {times}  ({took} s)", case.title());
        for fault in faults {
            text.push_str(&format!("\n        {fault}"));
        }
        if !passed {
            match keep_logs(&dir, &self.report.join(&case.label)) {
                Ok(kept) => text.push_str(&format!("\n        logs: {}", kept.display())),
                Err(error) => text.push_str(&format!("\n        no logs: {error:#}")),
            }
        }
        println!("{text}");
        if !self.keep {
            // What cannot be removed now is removed with the directory above it.
            let _ = fs::remove_dir_all(&dir);
        }
        passed
    }
}

/// Copies what the machines wrote, in place of what an earlier run left there.
fn keep_logs(dir: &Path, to: &Path) -> Result<PathBuf> {
    if to.is_dir() {
        fs::remove_dir_all(to).with_context(|| format!("cannot empty {}", to.display()))?;
    }
    fs::create_dir_all(to).with_context(|| format!("cannot create {}", to.display()))?;
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if let Some(name) = path.file_name().filter(|_| path.is_file()) {
            fs::copy(&path, to.join(name))?;
        }
    }
    Ok(to.to_owned())
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
