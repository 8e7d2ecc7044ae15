//! The fuzz targets, each for a while, as many at once as there are processors.

use std::path::PathBuf;
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::thread;

use anyhow::{Context as _, Result, anyhow};

use super::counts::Counts;
use super::{Context, Outcome, need, runner};
use crate::{style, workspace};

/// The fuzz targets' own workspace.
pub(crate) fn manifest() -> PathBuf {
    workspace::root().join("testsuite/fuzz/Cargo.toml")
}

pub(crate) fn run(context: &Context) -> Result<Outcome> {
    if let Err(why) = need("c++") {
        return Ok(Outcome::Skipped(format!(
            "{why}: libFuzzer cannot be compiled"
        )));
    }
    let dir = workspace::root().join("testsuite/fuzz");
    let mut targets = Vec::new();
    let sources =
        std::fs::read_dir(dir.join("fuzz_targets")).context("cannot list the fuzz targets")?;
    for source in sources {
        let path = source.context("cannot list the fuzz targets")?.path();
        targets.extend(
            path.file_stem()
                .map(|name| name.to_string_lossy().into_owned()),
        );
    }
    targets.sort();
    targets.reverse();
    let seconds = context.options.fuzz_seconds.to_string();
    let fuzz = |target: &str, seconds: &str| {
        let mut command = Command::new(dir.join("run"));
        command.args([target, seconds]).current_dir(&dir);
        runner::run(&mut command, false)
    };

    let queue = Mutex::new(targets);
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).pop();
    let counts = Mutex::new(Counts::default());
    let workers = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    thread::scope(|scope| {
        let work = || -> Result<()> {
            while let Some(target) = next() {
                let ran = fuzz(&target, &seconds)?;
                let done = ran
                    .output
                    .lines()
                    .rev()
                    .find(|line| line.starts_with("Done "));
                let mut counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
                match done {
                    Some(done) if ran.success => {
                        println!(
                            "{} {target}: {}",
                            style::good("✓"),
                            done.trim_start_matches("Done ")
                        );
                        counts.add(Counts::success());
                    }
                    _ => {
                        println!("{} {target}\n{}", style::bad("✗"), end_of(&ran.output));
                        counts.add(Counts::failure());
                    }
                }
            }
            Ok(())
        };
        let running: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        running
            .into_iter()
            .try_for_each(|thread| thread.join().map_err(|_| anyhow!("a thread ended early"))?)
    })?;
    Ok(Outcome::Ran(
        counts.into_inner().unwrap_or_else(PoisonError::into_inner),
    ))
}

fn end_of(output: &str) -> String {
    let lines: Vec<&str> = output.lines().collect();
    lines
        .get(lines.len().saturating_sub(40)..)
        .unwrap_or_default()
        .join("\n")
}
