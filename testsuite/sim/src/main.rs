//! `cargo run --release -p sim`: runs seeds, and says which of them violate what.

use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use sim::log;
use sim::report::{Summary, run_many, shrink};
use sim::run::{Options, Outcome, run};

/// Runs clusters of lease daemons on one simulated disk, each from one seed.
#[derive(Debug, Parser)]
#[command(name = "sim")]
struct Arguments {
    /// How many seeds; 1000 if not given, or at most 10000 for each planted mistake.
    #[arg(long)]
    seeds: Option<u64>,
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// One seed only.
    #[arg(long)]
    seed: Option<u64>,
    /// With --seed: print all that happens, with the daemons' log.
    #[arg(long)]
    trace: bool,
    /// With --seed: say which faults of its plan are needed for its violation.
    #[arg(long)]
    shrink: bool,
    /// With --seed: leave these faults of its plan out.
    #[arg(long, value_delimiter = ',')]
    without: Vec<usize>,
    /// So many hosts in each run.
    #[arg(long)]
    hosts: Option<usize>,
    /// How many runs at a time; one per processor if not given.
    #[arg(long)]
    jobs: Option<usize>,
    /// Stop after so many failing seeds.
    #[arg(long, default_value_t = 10)]
    failures: usize,
    /// Switch this mistake on, and run seeds until it is found.
    #[arg(long)]
    hazard: Option<String>,
    /// Look for each mistake that can be switched on.
    #[arg(long)]
    bugs: bool,
}

/// How many seeds are run if nobody says so.
const SEEDS: u64 = 1000;

/// Within how many seeds a planted mistake must be found.
#[cfg(feature = "hazards")]
const MOST_SEEDS: u64 = 10_000;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let options = Options {
        hosts: arguments.hosts,
        without: arguments.without.clone(),
        ..Options::default()
    };
    if arguments.bugs || (arguments.hazard.is_some() && arguments.seed.is_none()) {
        return look_for_hazards(&arguments, &options);
    }
    match arguments.seed {
        Some(seed) => one_seed(&arguments, seed, options),
        None => many_seeds(&arguments, &options),
    }
}

fn jobs(arguments: &Arguments) -> usize {
    arguments.jobs.unwrap_or_else(|| {
        std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get)
    })
}

#[cfg(feature = "hazards")]
fn with_hazard(options: Options, name: Option<&str>) -> Option<Options> {
    let Some(name) = name else {
        return Some(options);
    };
    let hazards = sim::hazards::by_name(name)?;
    let theme = hazards.theme();
    Some(Options {
        hazards,
        theme,
        ..options
    })
}

#[cfg(not(feature = "hazards"))]
fn with_hazard(options: Options, name: Option<&str>) -> Option<Options> {
    name.is_none().then_some(options)
}

fn one_seed(arguments: &Arguments, seed: u64, options: Options) -> ExitCode {
    let Some(mut options) = with_hazard(options, arguments.hazard.as_deref()) else {
        eprintln!("there is no such hazard in this program; is it built with --features hazards?");
        return ExitCode::from(2);
    };
    options.print = arguments.trace;
    let began = Instant::now();
    let outcome = if arguments.trace {
        log::printed(|| run(seed, &options))
    } else {
        run(seed, &options)
    };
    println!("seed {seed}: {}", outcome.scenario);
    println!(
        "{} events in {:.0} s of virtual time, {:.3} s of real time, hash {:016x}",
        outcome.events,
        outcome.took.as_secs_f64(),
        began.elapsed().as_secs_f64(),
        outcome.hash
    );
    if outcome.violation.is_some() {
        tell(&outcome, !arguments.trace);
        if arguments.shrink {
            let needed = shrink(&outcome, &options);
            let others: Vec<_> = (0..outcome.planned)
                .filter(|one| !needed.contains(one))
                .map(|one| one.to_string())
                .collect();
            println!(
                "it needs {} of {} faults; replay with:",
                needed.len(),
                outcome.planned
            );
            println!("  --seed {seed} --trace --without {}", others.join(","));
        }
    }
    let failed = usize::from(outcome.violation.is_some());
    end(1 - failed as u64, failed)
}

fn tell(outcome: &Outcome, with_events: bool) {
    if with_events {
        outcome
            .last_events
            .iter()
            .for_each(|line| println!("{line}"));
    }
    if let Some(violation) = &outcome.violation {
        println!(
            "seed {} violates {}: {}",
            outcome.seed, violation.property, violation.what
        );
    }
}

fn many_seeds(arguments: &Arguments, options: &Options) -> ExitCode {
    let began = Instant::now();
    let (mut done, mut told) = (0, 0);
    let each = |outcome: &Outcome| {
        done += 1;
        if outcome.violation.is_some() {
            println!();
            if told < 3 {
                tell(outcome, true);
            } else {
                tell(outcome, false);
            }
            told += 1;
            println!(
                "replay: cargo run --release -p sim -- --seed {} --trace",
                outcome.seed
            );
        }
        if done % 100 == 0 {
            println!("{done} seeds, {:.0} s", began.elapsed().as_secs_f64());
        }
    };
    let enough = |summary: &Summary| summary.failed.len() >= arguments.failures;
    let summary = run_many(
        arguments.from,
        arguments.seeds.unwrap_or(SEEDS),
        jobs(arguments),
        options,
        each,
        enough,
    );
    println!();
    print!("{}", summary.statistics());
    if !summary.failed.is_empty() {
        println!("failing seeds:");
        for outcome in &summary.failed {
            tell(outcome, false);
        }
    }
    end(summary.passed, summary.failed.len())
}

fn end(passed: u64, failed: usize) -> ExitCode {
    println!("{passed} passed, {failed} failed");
    if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

#[cfg(feature = "hazards")]
fn look_for_hazards(arguments: &Arguments, options: &Options) -> ExitCode {
    let names = match &arguments.hazard {
        Some(name) => vec![name.clone()],
        None => sim::hazards::names(),
    };
    let (mut found, mut missed) = (0, 0);
    let began = Instant::now();
    for name in names {
        let Some(options) = with_hazard(options.clone(), Some(&name)) else {
            eprintln!(
                "there is no hazard {name}; there are: {}",
                sim::hazards::names().join(" ")
            );
            return ExitCode::from(2);
        };
        let enough = |summary: &Summary| !summary.failed.is_empty();
        let summary = run_many(
            arguments.from,
            arguments.seeds.unwrap_or(MOST_SEEDS),
            jobs(arguments),
            &options,
            |_| (),
            enough,
        );
        let took = summary.took.as_secs_f64();
        let violation = |outcome: &Outcome| outcome.violation.clone();
        match summary.failed.iter().min_by_key(|outcome| outcome.seed) {
            Some(outcome) => {
                found += 1;
                let (property, what) = violation(outcome)
                    .map(|violation| (violation.property, violation.what))
                    .unwrap_or_default();
                let seed = outcome.seed;
                println!("{name:<24} seed {seed:>5}  {took:>5.1} s  {property}  {what}");
            }
            None => {
                missed += 1;
                let seeds = summary.passed;
                println!("{name:<24} NOT FOUND in {seeds} seeds, {took:.1} s");
            }
        }
    }
    println!("{:.0} s in all", began.elapsed().as_secs_f64());
    end(found, missed)
}

#[cfg(not(feature = "hazards"))]
fn look_for_hazards(_: &Arguments, _: &Options) -> ExitCode {
    eprintln!("no mistakes can be switched on in this program: build it with --features hazards");
    ExitCode::from(2)
}
