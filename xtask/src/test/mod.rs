//! Everything that can be tested on this machine, in one go.

mod counts;
mod fuzz;
mod killed;
mod runner;
mod steps;
mod summary;
mod systemd;

use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};

use crate::packages::Purpose;
use crate::program::Program;
use crate::{cleanup, packages, style};
use counts::Counts;
use steps::{STEPS, Step};

/// `cargo xtask test`
#[derive(Clone, clap::Args)]
pub(crate) struct Options {
    /// Only what takes a few minutes
    #[arg(long)]
    quick: bool,
    /// Only the steps whose name contains this; may be given again
    #[arg(long, value_name = "STEP")]
    only: Vec<String>,
    /// Only list the steps
    #[arg(long)]
    list: bool,
    /// Install nothing; what is missing is skipped
    #[arg(long)]
    no_install: bool,
    /// How many seeds the simulation tries
    #[arg(long, value_name = "N", default_value_t = 1000)]
    seeds: u32,
    /// How long each fuzz target runs
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    fuzz_seconds: u32,
}

impl Options {
    fn wants(&self, step: &Step) -> bool {
        if self.only.is_empty() {
            return step.quick || !self.quick;
        }
        self.only
            .iter()
            .any(|part| step.name.contains(part.as_str()))
    }
}

/// How a step ended.
pub(crate) enum Outcome {
    /// It ran; this is what it counted.
    Ran(Counts),
    /// It could not run, and why.
    Skipped(String),
}

/// A step that has been made.
pub(crate) struct Made {
    pub(crate) name: &'static str,
    pub(crate) counts: Counts,
    /// Why it was skipped as a whole.
    pub(crate) skipped: Option<String>,
    pub(crate) duration: Duration,
}

/// What the steps know.
pub(crate) struct Context {
    pub(crate) options: Options,
    /// The original, if it is here.
    pub(crate) original: Option<Program>,
}

/// Runs the steps one after the other, all of them, whatever becomes of each.
pub(crate) fn run(options: &Options) -> Result<()> {
    let chosen: Vec<&Step> = STEPS.iter().filter(|step| options.wants(step)).collect();
    if options.list {
        for step in STEPS {
            let quick = if step.quick { "quick" } else { "" };
            println!("{:<20} {:<6} {}", step.name, quick, step.what);
        }
        return Ok(());
    }
    ensure!(
        !chosen.is_empty(),
        "no step's name contains that; see --list"
    );
    cleanup::on_signals()?;
    install(options);
    let context = Context {
        options: options.clone(),
        original: Program::original(),
    };
    let begin = Instant::now();
    let mut made = Vec::new();
    for (number, step) in chosen.iter().enumerate() {
        println!(
            "\n{} {}",
            style::heading(format!("[{}/{}] {}", number + 1, chosen.len(), step.name)),
            style::quiet(step.what)
        );
        let step_begin = Instant::now();
        let outcome = (step.run)(&context).unwrap_or_else(|error| {
            println!("{error:#}");
            Outcome::Ran(Counts::failure())
        });
        let duration = step_begin.elapsed();
        let (counts, skipped) = match outcome {
            Outcome::Ran(counts) => (counts, None),
            Outcome::Skipped(why) => (Counts::skip(), Some(why)),
        };
        let one = Made {
            name: step.name,
            counts,
            skipped,
            duration,
        };
        println!("{}", summary::line(&one));
        made.push(one);
    }
    let failed = summary::print(&made, begin.elapsed());
    if failed {
        // The last line is the count; nothing is printed after it.
        std::process::exit(1);
    }
    Ok(())
}

/// Not being able to install is no failure: what is missing is skipped by name.
fn install(options: &Options) {
    if options.no_install {
        return;
    }
    // Among the tests are the scenarios.
    if let Err(error) = packages::install(&[Purpose::Test, Purpose::E2e]) {
        println!("{} {error:#}", style::notable("Going without:"));
    }
}

/// A program that a step needs from this machine.
pub(crate) fn need(name: &str) -> Result<()> {
    if crate::program::find(name).is_none() {
        bail!("{name} is not installed");
    }
    Ok(())
}
