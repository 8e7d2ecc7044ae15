//! The project's own commands: `cargo xtask demo`, `test`, `e2e`, `bench`, `tidy`, `install-deps`.

mod bench;
mod cleanup;
mod demo;
mod e2e;
mod host;
mod packages;
mod program;
mod style;
mod table;
mod test;
mod tidy;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(
    name = "cargo xtask",
    about = "Leasehold's own commands",
    max_term_width = 100
)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Shows two hosts and one lease: refusal, the owner's death, take-over
    Demo(demo::Options),
    /// Runs everything that can be tested on this machine
    Test(test::Options),
    /// Has whole machines lose their leases: which are reset, and when are their leases taken over?
    E2e(e2e::Options),
    /// Measures against the installed original, side by side
    Bench(bench::Options),
    /// Checks what no compiler checks: paths, licences, headers, sizes of files
    Tidy,
    /// Installs the distribution's packages that the tests use
    InstallDeps(packages::Options),
    /// Becomes another program that dies with its parent
    #[command(hide = true)]
    Guard(guard::Options),
}

fn main() -> ExitCode {
    let done = match Arguments::parse().task {
        Task::Demo(options) => demo::run(&options),
        Task::Test(options) => test::run(&options),
        Task::E2e(options) => e2e::run(&options),
        Task::Bench(options) => bench::run(&options),
        Task::Tidy => tidy::run(),
        Task::InstallDeps(options) => packages::run(&options),
        Task::Guard(options) => guard::run(&options),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}: {error:#}", style::bad("error"));
            ExitCode::FAILURE
        }
    }
}
