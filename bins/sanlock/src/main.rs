//! `sanlock`: the lease daemon and its command line.

use std::process::ExitCode;

#[cfg(feature = "hazards")]
compile_error!("a daemon that can be told to make mistakes is for the simulation alone");

fn main() -> ExitCode {
    sanlock::cli::main(sanlock::server::run)
}
