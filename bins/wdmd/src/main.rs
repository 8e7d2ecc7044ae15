//! `wdmd`: the watchdog multiplexer.

use std::process::ExitCode;

fn main() -> ExitCode {
    wdmd::cli::main()
}
