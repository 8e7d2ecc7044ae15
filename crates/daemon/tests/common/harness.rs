//! Runs each case in a process of its own, one after the other or a few at a time, and counts those that
//! had to be skipped apart from those that passed.
//!
//! A case starts single-threaded, so it can fork, and whatever it does to its process (limits, user,
//! namespaces) ends with it.

use std::process::{Command, ExitCode, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A name and what it does.
pub type Case = (&'static str, fn() -> Outcome);

/// How a case ended that did not panic.
pub enum Outcome {
    /// All that it asserts holds.
    Passed,
    /// Something that it needs is not here: what.
    Skipped(String),
}

/// Shorthand for [`Outcome::Skipped`].
pub fn skipped(why: impl Into<String>) -> Outcome {
    Outcome::Skipped(why.into())
}

const CASE: &str = "HARNESS_CASE";
const SKIPPED: i32 = 77;

/// What a case measured: lines on its standard output that begin so are shown even if it passed.
const MEASURED: &str = "measured: ";

/// The whole `main` of a test program. The last line counts, as `cargo xtask test` understands it.
pub fn run(cases: &[Case]) -> ExitCode {
    run_at_a_time(cases, 1)
}

/// As [`run`], so many cases at a time: for cases that wait more than they work.
pub fn run_at_a_time(cases: &[Case], at_a_time: usize) -> ExitCode {
    if let Ok(name) = std::env::var(CASE) {
        return run_here(cases, &name);
    }
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == "--list") {
        for (name, _) in cases {
            println!("{name}: test");
        }
        return ExitCode::SUCCESS;
    }
    let filter = arguments.iter().find(|argument| !argument.starts_with('-'));
    let wanted: Vec<&str> = cases
        .iter()
        .map(|(name, _)| *name)
        .filter(|name| filter.is_none_or(|filter| name.contains(filter.as_str())))
        .collect();
    let (next, tally) = (AtomicUsize::new(0), Mutex::new(Tally::default()));
    std::thread::scope(|scope| {
        for _ in 0..at_a_time {
            scope.spawn(|| {
                while let Some(name) = wanted.get(next.fetch_add(1, Ordering::Relaxed)) {
                    run_in_a_process(name, &tally);
                }
            });
        }
    });
    let tally = tally.into_inner().unwrap();
    println!(
        "\n{} passed, {} failed, {} skipped",
        tally.passed, tally.failed, tally.skipped
    );
    if tally.failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

#[derive(Default)]
struct Tally {
    passed: usize,
    failed: usize,
    skipped: usize,
}

fn run_in_a_process(name: &str, tally: &Mutex<Tally>) {
    let output = Command::new(std::env::current_exe().unwrap())
        .env(CASE, name)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    // Held while it is told, so that two cases' lines do not mix.
    let mut tally = tally.lock().unwrap();
    match output.status.code() {
        Some(0) => {
            println!("test {name} ... ok");
            for line in said.lines().filter(|line| line.starts_with(MEASURED)) {
                println!("    {line}");
            }
            tally.passed += 1;
        }
        Some(SKIPPED) => {
            let why = said.lines().last().unwrap_or("");
            println!("skipped {name}: {why}");
            tally.skipped += 1;
        }
        _ => {
            println!("test {name} ... FAILED ({})", output.status);
            println!("{said}{}", String::from_utf8_lossy(&output.stderr));
            tally.failed += 1;
        }
    }
}

fn run_here(cases: &[Case], name: &str) -> ExitCode {
    let (_, case) = cases.iter().find(|(known, _)| *known == name).unwrap();
    match case() {
        Outcome::Passed => ExitCode::SUCCESS,
        Outcome::Skipped(why) => {
            println!("{why}");
            std::process::exit(SKIPPED)
        }
    }
}
