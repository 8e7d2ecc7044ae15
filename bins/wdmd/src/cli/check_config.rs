//! `--check-config`: the options that the unit starts the daemon with, which are all its settings.

use std::process::ExitCode;

use config::Check;
use config::environment_file::{self, Program};

use super::options;

pub(super) const PROGRAM: Program = Program::Wdmd;

/// Says what is wrong; whether nothing is.
pub(super) fn run(program: &str) -> ExitCode {
    let path = PROGRAM.path();
    let mut check = Check::default();
    if let Some(options) = check.loaded(path, environment_file::load(path, PROGRAM)) {
        let (command, complaints) = options::read(program, &options.words);
        for complaint in complaints {
            check.wrong(format_args!(
                "the options in {}: {complaint}",
                path.display()
            ));
        }
        if !matches!(command, options::Command::Daemon(_)) {
            check.wrong(format_args!(
                "with the options in {} no daemon runs",
                path.display()
            ));
        }
    }
    daemon::console::out(format_args!("{check}"));
    check.exit_code()
}
