//! What is tested, in the order in which it is: what fails soonest first.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::Result;

use super::counts::{Counting, Counts};
use super::runner::{counted, single};
use super::{Context, Outcome, fuzz, killed, systemd};
use crate::{tidy, workspace};

/// One of them.
pub(crate) struct Step {
    pub(crate) name: &'static str,
    pub(crate) what: &'static str,
    /// Whether it belongs to the tests of a few minutes.
    pub(crate) quick: bool,
    pub(crate) run: fn(&Context) -> Result<Outcome>,
}

pub(crate) const STEPS: &[Step] = &[
    Step {
        name: "format",
        what: "the sources are as cargo fmt writes them",
        quick: true,
        run: format,
    },
    Step {
        name: "tidy",
        what: "what no compiler checks: cargo xtask tidy",
        quick: true,
        run: tidy,
    },
    Step {
        name: "units",
        what: "systemd takes the units as they are meant",
        quick: true,
        run: systemd::verify,
    },
    Step {
        name: "clippy",
        what: "no warning in any target",
        quick: true,
        run: clippy,
    },
    Step {
        name: "doc",
        what: "no warning in the documentation",
        quick: true,
        run: doc,
    },
    Step {
        name: "unit",
        what: "the tests beside the code",
        quick: true,
        run: unit,
    },
    Step {
        name: "build",
        what: "the programs in release mode",
        quick: true,
        run: build,
    },
    Step {
        name: "simulation",
        what: "clusters on one simulated disk",
        quick: true,
        run: simulation,
    },
    Step {
        name: "planted-bugs",
        what: "the simulation finds planted bugs",
        quick: false,
        run: planted,
    },
    Step {
        name: "compat-original",
        what: "the compatibility tests describe the original",
        quick: false,
        run: compat_original,
    },
    Step {
        name: "compat-ours",
        what: "ours does the same",
        quick: true,
        run: compat_ours,
    },
    Step {
        name: "compat-our-client",
        what: "our command line with the original's daemon",
        quick: false,
        run: compat_our_client,
    },
    Step {
        name: "compat-our-daemon",
        what: "the original's command line with our daemon",
        quick: false,
        run: compat_our_daemon,
    },
    Step {
        name: "demo",
        what: "the demo ends well",
        quick: true,
        run: demo,
    },
    Step {
        name: "systemd",
        what: "a systemd starts, stops and kills ours by the units",
        quick: false,
        run: systemd::play,
    },
    Step {
        name: "e2e-original",
        what: "the scenarios with libvirtd describe the original",
        quick: false,
        run: e2e_original,
    },
    Step {
        name: "e2e-ours",
        what: "ours does the same under libvirtd",
        quick: false,
        run: e2e_ours,
    },
    Step {
        name: "e2e-killed",
        what: "of scenarios that are killed nothing remains",
        quick: false,
        run: killed::run,
    },
    Step {
        name: "machines-original",
        what: "real resets: the scenarios with machines describe the original",
        quick: false,
        run: machines_original,
    },
    Step {
        name: "machines-ours",
        what: "real resets: ours does what it should",
        quick: false,
        run: machines_ours,
    },
    Step {
        name: "fuzz",
        what: "each fuzz target for a while",
        quick: false,
        run: fuzz::run,
    },
];

fn format(_: &Context) -> Result<Outcome> {
    if let Some(why) = component("fmt", "rustfmt") {
        return Ok(Outcome::Skipped(why));
    }
    let mut counts = single(workspace::cargo().args(["fmt", "--all", "--check", "--", "-l"]))?;
    let other = fuzz::manifest();
    if other.is_file() {
        let mut command = workspace::cargo();
        counts.add(single(
            command
                .args(["fmt", "--check", "--manifest-path"])
                .arg(other)
                .args(["--", "-l"]),
        )?);
    }
    Ok(Outcome::Ran(counts))
}

fn tidy(_: &Context) -> Result<Outcome> {
    let tally = tidy::check()?;
    let counts = Counts {
        passed: u64::try_from(tally.passed)?,
        failed: u64::try_from(tally.failed)?,
        ..Counts::default()
    };
    Ok(Outcome::Ran(counts))
}

fn clippy(_: &Context) -> Result<Outcome> {
    if let Some(why) = component("clippy", "clippy") {
        return Ok(Outcome::Skipped(why));
    }
    let mut command = workspace::cargo();
    command.args([
        "clippy",
        "--workspace",
        "--all-targets",
        "--locked",
        "--keep-going",
        "--",
        "-D",
        "warnings",
    ]);
    Ok(Outcome::Ran(single(&mut command)?))
}

fn doc(_: &Context) -> Result<Outcome> {
    let mut command = workspace::cargo();
    command.args([
        "doc",
        "--workspace",
        "--no-deps",
        "--locked",
        "--keep-going",
    ]);
    Ok(Outcome::Ran(single(
        command.env("RUSTDOCFLAGS", "-D warnings"),
    )?))
}

fn unit(_: &Context) -> Result<Outcome> {
    counted(
        workspace::cargo().args(["test", "--workspace", "--no-fail-fast", "--locked"]),
        Counting::All,
    )
}

/// Each by itself: built with the whole workspace, they would have what only the tests ask of their crates.
fn build(_: &Context) -> Result<Outcome> {
    let mut counts = Counts::default();
    let mut programs = Vec::new();
    for entry in std::fs::read_dir(workspace::root().join("bins"))? {
        programs.push(entry?.file_name());
    }
    programs.sort();
    for program in programs {
        let mut command = workspace::cargo();
        command
            .args(["build", "--release", "--locked", "--package"])
            .arg(program);
        counts.add(single(&mut command)?);
    }
    Ok(Outcome::Ran(counts))
}

fn simulation(context: &Context) -> Result<Outcome> {
    let seeds = if context.options.quick {
        100
    } else {
        context.options.seeds
    };
    counted(
        simulator(&[]).args(["--seeds", &seeds.to_string()]),
        Counting::Last,
    )
}

fn planted(_: &Context) -> Result<Outcome> {
    counted(
        simulator(&["--features", "hazards"]).arg("--bugs"),
        Counting::Last,
    )
}

fn simulator(features: &[&str]) -> Command {
    let mut command = workspace::cargo();
    command.args(["run", "--quiet", "--release", "--locked"]);
    command.args(["--package", "sim"]).args(features).arg("--");
    command
}

/// A side of the compatibility tests.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Ours,
    Original,
}

fn compat_original(context: &Context) -> Result<Outcome> {
    compat(context, Side::Original, Side::Original)
}

fn compat_ours(context: &Context) -> Result<Outcome> {
    compat(context, Side::Ours, Side::Ours)
}

fn compat_our_client(context: &Context) -> Result<Outcome> {
    compat(context, Side::Original, Side::Ours)
}

fn compat_our_daemon(context: &Context) -> Result<Outcome> {
    compat(context, Side::Ours, Side::Original)
}

fn compat(context: &Context, daemon: Side, client: Side) -> Result<Outcome> {
    if context.original.is_none() && [daemon, client].contains(&Side::Original) {
        return Ok(Outcome::Skipped(
            "the original sanlock is not installed".to_owned(),
        ));
    }
    // The build may have failed, and what an earlier one left must not be tested instead.
    let program = |side| match side {
        Side::Ours => workspace::build_release("sanlock"),
        Side::Original => Ok(PathBuf::from("original")),
    };
    let mut command = workspace::cargo();
    command.args(["run", "--quiet", "--locked", "--package", "compat", "--"]);
    command.arg("--program").arg(program(daemon)?);
    if client != daemon {
        command.arg("--client").arg(program(client)?);
    }
    counted(&mut command, Counting::Last)
}

fn demo(_: &Context) -> Result<Outcome> {
    Ok(Outcome::Ran(single(
        workspace::cargo().args(["xtask", "demo"]),
    )?))
}

fn e2e_original(context: &Context) -> Result<Outcome> {
    e2e(context, "original")
}

fn e2e_ours(context: &Context) -> Result<Outcome> {
    e2e(context, "ours")
}

fn machines_original(context: &Context) -> Result<Outcome> {
    scenarios(context, "machines", "original")
}

fn machines_ours(context: &Context) -> Result<Outcome> {
    scenarios(context, "machines", "ours")
}

fn e2e(context: &Context, programs: &str) -> Result<Outcome> {
    scenarios(context, "namespaces", programs)
}

/// Those with hosts of this kind, but for the slow ones.
fn scenarios(context: &Context, kind: &str, programs: &str) -> Result<Outcome> {
    let mut command = workspace::cargo();
    command.args(["xtask", "e2e"]);
    if context.options.no_install {
        command.arg("--no-install");
    }
    command.args(["--kind", kind, "--programs", programs]);
    let report = workspace::target().join("e2e/report");
    // Mostly they wait.
    let (jobs, report) = match kind {
        "namespaces" => ("4", report.join(programs)),
        _ => ("5", report.join(format!("{kind}-{programs}"))),
    };
    command.args(["--jobs", jobs]);
    command.arg("--report").arg(report);
    counted(&mut command, Counting::Last)
}

/// A part of the toolchain that need not be there. Fetched where rustup can; else why it is missing.
fn component(subcommand: &str, component: &str) -> Option<String> {
    let there = || {
        let mut command = workspace::cargo();
        command
            .args([subcommand, "--version"])
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    let fetched = || {
        let mut command = Command::new("rustup");
        command
            .args(["component", "add", component])
            .stdin(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    if there() || (fetched() && there()) {
        return None;
    }
    Some(format!("the toolchain has no {component}"))
}
