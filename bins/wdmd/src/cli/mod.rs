//! The command line.

mod check_config;
mod getopt;
mod help;
mod options;
mod probe;
mod show;

use std::process::ExitCode;

use options::Command;

/// The whole program.
#[must_use]
pub fn main() -> ExitCode {
    let mut arguments = std::env::args_os().map(|argument| argument.to_string_lossy().into_owned());
    let program = arguments.next().unwrap_or_else(|| "wdmd".to_owned());
    let arguments: Vec<String> = arguments.collect();
    let (command, complaints) = options::read(&program, &arguments);
    for complaint in complaints {
        daemon::console::err(format_args!("{complaint}"));
    }
    match command {
        Command::Help(options) => {
            daemon::console::out_text(&help::usage(&options));
            ExitCode::SUCCESS
        }
        Command::Version => {
            daemon::console::out(format_args!("{}", help::version()));
            ExitCode::SUCCESS
        }
        Command::CheckConfig => check_config::run(&program),
        Command::Dump { json } => show::dump(json),
        Command::Probe(probe) => probe::run(&probe),
        Command::ForceWithoutTimeout => {
            daemon::console::err(format_args!("Use force fire (-F) with a timeout (-t)."));
            ExitCode::FAILURE
        }
        Command::BadTimeout => {
            daemon::console::err(format_args!(
                "wdmd: the timeout of -t is a number of seconds, 1 or more"
            ));
            ExitCode::FAILURE
        }
        Command::Daemon(options) => crate::service::run(&options),
    }
}
