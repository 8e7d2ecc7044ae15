//! Whole hosts: machines that are really reset, played by `cargo xtask e2e`.

mod guard;
mod guest;
mod image;
mod machine;
mod packages;
mod programs;
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
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = match &arguments.part {
        None => runner::run(&arguments.options),
        Some(Part::Guard(options)) => guard::run(options).map(|()| true),
        Some(Part::Guest(options)) => guest::run(options).map(|()| true),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
