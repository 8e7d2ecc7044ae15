//! `sanlock`: the lease daemon and its command line.

use std::process::ExitCode;

fn main() -> ExitCode {
    sanlock::cli::main(sanlock::server::run)
}
