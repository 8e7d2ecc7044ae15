//! Our daemon and the original, measured side by side in one run.
//!
//! Both run at once on the same file with host ids 1 and 2, and take the same leases in turn, in rounds whose
//! order rotates, with the same client. Beside them runs the bare input and output that the lease algorithm
//! cannot do without, which is as fast as any daemon could be.

mod cleanup;
mod figures;
mod hosts;
mod lane;
mod leases;
mod load;
mod lockd;
mod many;
mod measure;
mod raw;
mod report;
mod slow;
mod space;

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use crate::cleanup::{on_signals, temporary_dir};
use crate::program::Program;
use crate::style;
use crate::workspace;
use figures::Figure;
use hosts::Contestant;

/// `cargo xtask bench`
#[derive(clap::Args)]
pub(crate) struct Options {
    /// What is measured, instead of the workspace's sanlock
    #[arg(long, value_name = "PATH")]
    program: Option<PathBuf>,
    /// What it is compared with, instead of the installed sanlock
    #[arg(long, value_name = "PATH")]
    original: Option<PathBuf>,
    /// How often each measurement is repeated
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Only the measurements whose name contains this
    #[arg(long, value_name = "NAME")]
    only: Option<String>,
    /// How many lease files `cleanup` is measured with; 1 MiB each, one in fifty of them held
    #[arg(long, value_name = "COUNT", default_value_t = 1000,
          value_parser = clap::value_parser!(u32).range(50..=100_000))]
    cleanup_files: u32,
    /// Print the table as Markdown
    #[arg(long)]
    markdown: bool,
    /// Where the lease files go; the file system must take O_DIRECT [default: target/bench]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Only list the measurements
    #[arg(long)]
    list: bool,
}

/// What every measurement is given.
struct Session {
    contestants: Vec<Contestant>,
    dir: PathBuf,
    rounds: usize,
    cleanup_files: usize,
    /// Processes that wanted to run on average in the minute before.
    load_before: f64,
}

struct Measurement {
    name: &'static str,
    what: &'static str,
    /// Whether it needs the lease daemons.
    is_of_leases: bool,
    run: fn(&Session) -> Result<Vec<Figure>>,
}

const MEASUREMENTS: &[Measurement] = &[
    Measurement {
        name: "leases",
        what: "one lease exclusive, one shared, eight in one request; processor time",
        is_of_leases: true,
        run: leases::measure,
    },
    Measurement {
        name: "clients",
        what: "32 clients at once",
        is_of_leases: true,
        run: load::measure_disk,
    },
    Measurement {
        name: "slow-disk",
        what: "64 clients at once on a disk that takes 5 ms longer",
        is_of_leases: true,
        run: load::measure_slow_disk,
    },
    Measurement {
        name: "lockspaces",
        what: "40 lockspaces joined at once, and left",
        is_of_leases: true,
        run: many::measure_joining,
    },
    Measurement {
        name: "idle",
        what: "50 lockspaces and nothing to do: processor time and memory",
        is_of_leases: true,
        run: many::measure_idling,
    },
    Measurement {
        name: "cleanup",
        what: "leases that nobody holds removed: virt-sanlock-cleanup and libvirt's script",
        is_of_leases: true,
        run: cleanup::measure,
    },
    Measurement {
        name: "virtlockd",
        what: "virtlockd: locks on 1 and 64 connections, memory, start",
        is_of_leases: false,
        run: lockd::measure,
    },
];

/// Measures and reports.
pub(crate) fn run(options: &Options) -> Result<()> {
    let wanted = |name: &str| {
        options
            .only
            .as_ref()
            .is_none_or(|part| name.contains(part.as_str()))
    };
    let chosen: Vec<_> = MEASUREMENTS.iter().filter(|one| wanted(one.name)).collect();
    if options.list {
        for one in &chosen {
            println!("{:<12} {}", one.name, one.what);
        }
        return Ok(());
    }
    ensure!(
        !chosen.is_empty(),
        "no measurement's name contains that; see --list"
    );
    let contestants = match chosen.iter().any(|one| one.is_of_leases) {
        true => contestants(options)?,
        false => Vec::new(),
    };
    on_signals()?;
    let results = workspace::target().join("bench");
    let parent = options.dir.clone().unwrap_or_else(|| results.clone());
    std::fs::create_dir_all(&results)
        .and_then(|()| std::fs::create_dir_all(&parent))
        .context("cannot create the directory of the bench")?;
    let parent = std::fs::canonicalize(parent).context("cannot find the directory of the bench")?;
    let (dir, _remove) = temporary_dir(&parent, "run", false)?;

    let rounds = usize::try_from(options.rounds).unwrap_or(1);
    let load_before = load();
    let session = Session {
        contestants,
        dir,
        rounds,
        cleanup_files: usize::try_from(options.cleanup_files).unwrap_or(1),
        load_before,
    };
    let mut figures = Vec::new();
    for one in chosen {
        eprintln!("{} {}", style::heading(one.name), style::quiet(one.what));
        let begin = Instant::now();
        let measured = (one.run)(&session);
        eprintln!(
            "{}",
            style::quiet(format!("  {:.0} s", begin.elapsed().as_secs_f64()))
        );
        match measured {
            Ok(measured) => figures.extend(measured),
            Err(error) => {
                eprintln!("{} {error:#}", style::notable("skipped:"));
                figures.push(Figure::skipped(one.name, &format!("{error:#}")));
            }
        }
    }
    report::print(&session, &figures, options.markdown);
    let file = results.join("report.md");
    std::fs::write(&file, report::markdown(&session, &figures))
        .context("cannot write the report")?;
    eprintln!("Written to {}", file.display());
    Ok(())
}

fn contestants(options: &Options) -> Result<Vec<Contestant>> {
    let ours = match &options.program {
        Some(path) => Program::at(path)?,
        None => Program::built()?,
    };
    let original = match &options.original {
        Some(path) => Some(Program::at(path)?),
        None => Program::original(),
    };
    let mut contestants = vec![Contestant {
        label: "ours",
        program: ours,
    }];
    match original {
        Some(program) => contestants.push(Contestant {
            label: "original",
            program,
        }),
        None => eprintln!(
            "{} the original is not installed (`cargo xtask install-deps`), there is nothing to compare with",
            style::notable("note:")
        ),
    }
    Ok(contestants)
}

/// The load average of the last minute; 0 where there is none.
fn load() -> f64 {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ')
        .next()
        .and_then(|load| load.parse().ok())
        .unwrap_or(0.0)
}
