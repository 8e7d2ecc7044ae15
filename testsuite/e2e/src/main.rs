//! Whole hosts, played by `cargo xtask e2e`: machines that are really reset, and hosts of namespaces with libvirt
//! and guests.

mod always_pets;
mod case;
mod guest;
mod image;
mod lab;
mod machine;
mod packages;
mod programs;
mod report;
mod resets;
mod runner;
mod scratch;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(
    name = "e2e",
    about = "Plays scenarios with whole hosts",
    max_term_width = 100,
    args_conflicts_with_subcommands = true
)]
struct Arguments {
    #[command(flatten)]
    options: runner::Options,
    #[command(subcommand)]
    part: Option<Part>,
}

/// What this program is for the processes that it starts.
#[derive(Subcommand)]
enum Part {
    /// Becomes another program that dies with its parent
    #[command(hide = true)]
    Guard(guard::Options),
    /// Does what it is told, in a machine
    #[command(hide = true)]
    Guest(guest::Options),
    /// Is a watchdog daemon that does not do what it is for, in a machine
    #[command(hide = true)]
    AlwaysPets(always_pets::Options),
    /// Is the lab of one scenario
    #[command(hide = true)]
    Lab(lab::LabOptions),
    /// Is a host of a lab
    #[command(hide = true)]
    Host(lab::HostOptions),
    /// Looks at locks, or tries to get them, until its standard input ends
    #[command(hide = true)]
    WatchLocks(lab::LockWatchOptions),
    /// Starts a daemon of a host when somebody wants to speak to it
    #[command(hide = true)]
    Activate(lab::ActivatorOptions),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = match &arguments.part {
        None => runner::run(&arguments.options).map(|passed| {
            if passed {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            }
        }),
        Some(Part::Guard(options)) => guard::run(options).map(|()| ExitCode::SUCCESS),
        Some(Part::Guest(options)) => guest::run(options).map(|()| ExitCode::SUCCESS),
        Some(Part::AlwaysPets(options)) => always_pets::run(options).map(|()| ExitCode::SUCCESS),
        Some(Part::Lab(options)) => lab::run_lab(options),
        Some(Part::Host(options)) => lab::run_host(options),
        Some(Part::WatchLocks(options)) => lab::watch_locks(options).map(|()| ExitCode::SUCCESS),
        Some(Part::Activate(options)) => lab::run_activator(options).map(|()| ExitCode::SUCCESS),
    };
    match done {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
