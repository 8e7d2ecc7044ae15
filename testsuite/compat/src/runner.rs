//! Runs tests side by side and counts.

use std::collections::VecDeque;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::lab::failure::{Failure, While};
use crate::lab::host::OVER_ETC;
use crate::lab::program::{Kind, Program};
use crate::lab::tools::Tools;
use crate::lab::{Lab, Plan};
use crate::options::Options;
use crate::test::{Need, Test};
use crate::upstream;

/// A test that takes longer is run only when slow tests are asked for.
const SLOW: u32 = 60;

/// A test with the programs it runs with.
struct Case {
    test: Test,
    name: String,
    programs: [(Program, Program); 2],
}

/// What became of the tests.
#[derive(Default)]
pub(crate) struct Count {
    /// Ended as expected.
    pub(crate) passed: usize,
    /// Did not.
    pub(crate) failed: usize,
    /// Could not run here.
    pub(crate) skipped: usize,
}

/// Runs the tests that were asked for, one line each.
pub(crate) fn run(tests: &[Test], options: &Options) -> Result<Count, Failure> {
    let mut cases: Vec<Case> = tests
        .iter()
        .flat_map(|test| cases_of(*test, options))
        .collect();
    cases.retain(|case| {
        options.only.is_empty() || options.only.iter().any(|part| case.name.contains(part))
    });
    if options.list {
        for case in &cases {
            println!(
                "{:<44} {:>4} s  {:?}",
                case.name, case.test.seconds, case.test.needs
            );
        }
        return Ok(Count::default());
    }
    // What takes longest starts first, so that it does not run alone at the end.
    cases.sort_by_key(|case| std::cmp::Reverse(case.test.seconds));
    let dir = options.dir.join(format!("compat-{}", std::process::id()));
    sweep(&options.dir);
    let tools = Arc::new(Tools::new(dir.join("tools"), options.upstream.clone())?);
    let queue = Mutex::new(cases.into_iter().enumerate().collect::<VecDeque<_>>());
    let count = Mutex::new(Count::default());
    std::thread::scope(|scope| {
        for _ in 0..options.jobs {
            scope.spawn(|| {
                while let Some((number, case)) = next(&queue) {
                    let plan = Plan {
                        programs: case.programs.clone(),
                        dir: dir.join(number.to_string()),
                        read: options.read.clone(),
                        record: options.record,
                        soak: options.soak,
                        tools: Arc::clone(&tools),
                    };
                    let report = one(&case, plan, options);
                    let mut count = locked(&count);
                    match report {
                        Report::Passed(_) => count.passed += 1,
                        Report::Failed(_) => count.failed += 1,
                        Report::Skipped(_) => count.skipped += 1,
                    }
                    print(&case.name, &report);
                }
            });
        }
    });
    // What is left is swept by the next run.
    let _ = std::fs::remove_dir_all(&dir);
    Ok(count.into_inner().unwrap_or_else(PoisonError::into_inner))
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn next(queue: &Mutex<VecDeque<(usize, Case)>>) -> Option<(usize, Case)> {
    locked(queue).pop_front()
}

enum Report {
    Passed(String),
    Failed(String),
    Skipped(String),
}

fn print(name: &str, report: &Report) {
    let mut out = std::io::stdout();
    // A reader that went away does not end the run.
    let _ = match report {
        Report::Passed(text) => writeln!(out, "ok      {name} {text}"),
        Report::Failed(text) => writeln!(out, "FAILED  {name}\n{text}"),
        Report::Skipped(text) => writeln!(out, "skipped {name}: {text}"),
    };
}

fn one(case: &Case, plan: Plan, options: &Options) -> Report {
    if case.test.seconds > SLOW && !options.slow {
        return Report::Skipped(format!(
            "takes {} s, runs with `--with slow`",
            case.test.seconds
        ));
    }
    for need in case.test.needs {
        if let Err(failure) = need_met(*need, &plan) {
            let why = failure.to_string().replace('\n', "; ");
            return Report::Skipped(format!("{need:?} is missing: {why}"));
        }
    }
    let since = Instant::now();
    let mut lab = match Lab::new(plan) {
        Ok(lab) => lab,
        Err(failure) => return Report::Failed(format!("no lab: {failure}")),
    };
    let result = (case.test.run)(&mut lab);
    let mut text: String = lab
        .mismatches()
        .iter()
        .map(|text| format!("{text}\n"))
        .collect();
    if let Err(failure) = result {
        text.push_str(&format!("{failure}\n{}", lab.logs()));
    }
    if text.is_empty() {
        let seconds = since.elapsed().as_secs_f32();
        let remarks: String = lab
            .remarks()
            .iter()
            .map(|text| format!(": {text}"))
            .collect();
        Report::Passed(format!(
            "({} checks, {seconds:.1} s){remarks}",
            lab.checks()
        ))
    } else {
        Report::Failed(text)
    }
}

/// The pairs of programs that a test runs with: a replacement by itself, and on either side of the original,
/// which by itself is another run.
fn cases_of(test: Test, options: &Options) -> Vec<Case> {
    let tested = (
        options.program.clone(),
        options
            .client
            .clone()
            .unwrap_or_else(|| options.program.clone()),
    );
    if !test.needs.contains(&Need::TwoHosts) {
        let programs = [tested.clone(), tested];
        return vec![Case {
            test,
            name: test.name.to_owned(),
            programs,
        }];
    }
    let mut pairs = vec![[tested.clone(), tested.clone()]];
    if options.program.kind == Kind::Ours && options.client.is_none() {
        if let Some(original) = Program::installed() {
            let original = (original.clone(), original);
            pairs.push([tested.clone(), original.clone()]);
            pairs.push([original, tested]);
        }
    }
    let case = |programs: [(Program, Program); 2]| Case {
        test,
        name: format!(
            "{} [{}/{}]",
            test.name,
            programs[0].0.name(),
            programs[1].0.name()
        ),
        programs,
    };
    pairs.into_iter().map(case).collect()
}

fn need_met(need: Need, plan: &Plan) -> Result<(), Failure> {
    match need {
        Need::CLibrary => plan.tools.c_client().map(drop),
        Need::Python => {
            let found = Command::new("/usr/bin/python3")
                .args(["-c", "import sanlock"])
                .output()?;
            if found.status.success() {
                Ok(())
            } else {
                Err("no module sanlock".into())
            }
        }
        Need::Loop => {
            let device = std::fs::File::options()
                .write(true)
                .open("/dev/loop-control");
            device
                .map(drop)
                .map_err(|error| format!("/dev/loop-control: {error}").into())
        }
        Need::TwoHosts => Ok(()),
        Need::Upstream => upstream::source(&plan.tools).map(drop),
        Need::Pytest => {
            // userstorage calls them.
            for program in ["sudo", "udevadm"] {
                let called = Command::new(program).arg("--version").output();
                called.during(|| format!("run {program}"))?;
            }
            upstream::python(&plan.tools).map(drop)
        }
        Need::Etc => {
            let arguments = ["--mount", "/bin/sh", "-c", OVER_ETC, "/tmp", "/bin/true"];
            let tried = Command::new("unshare").args(arguments).output()?;
            let said = String::from_utf8_lossy(&tried.stderr).trim().to_owned();
            if tried.status.success() {
                Ok(())
            } else {
                Err(said.into())
            }
        }
    }
}

/// Removes what runs that were killed have left behind: mounts, loop devices, files.
fn sweep(dir: &Path) {
    let stale = |path: &PathBuf| {
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        let pid = name.strip_prefix("compat-");
        pid.is_some_and(|pid| !Path::new("/proc").join(pid).exists())
    };
    for path in std::fs::read_dir(dir)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
    {
        if !stale(&path) {
            continue;
        }
        let below = format!("{}/", path.display());
        let mounts = std::fs::read_to_string("/proc/mounts").unwrap_or_default();
        let points = mounts.lines().filter_map(|line| line.split(' ').nth(1));
        for point in points.filter(|point| point.starts_with(&below)) {
            let _ = Command::new("umount").arg(point).status();
        }
        let devices = Command::new("losetup")
            .args(["-n", "-O", "NAME,BACK-FILE"])
            .output();
        let devices = devices.map(|output| output.stdout).unwrap_or_default();
        for line in String::from_utf8_lossy(&devices).lines() {
            if let Some((device, _)) = line
                .split_once(' ')
                .filter(|(_, file)| file.contains(&below))
            {
                let _ = Command::new("losetup").args(["-d", device]).status();
            }
        }
        // Another run may be sweeping too.
        let _ = std::fs::remove_dir_all(&path);
    }
}
