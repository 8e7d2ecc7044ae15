//! The command line of `sanlock`: reading it, asking the daemon, working on storage, printing.
//!
//! Standard output, its order and the exit status are the original's, since programs read them; what
//! is said beyond that goes to standard error or needs an option that the original does not have.
//! The reference is sanlock 3.9.5 where versions differ.

pub mod actions;
mod check_config;
pub mod client;
pub mod command_line;
pub mod console;
pub mod daemon_options;
pub mod direct;
pub mod explain;
mod failure;
pub mod help;
pub mod json;
mod lease_strings;
mod number;
pub mod options;
pub mod text;
pub mod version;

use std::ffi::OsString;
use std::process::ExitCode;

use config::sanlock_conf;
use sanlock_proto::Client;

use command_line::{Invocation, Remarks};
use console::Console;
pub use daemon_options::DaemonOptions;
use options::Configured;

/// Does what the process's arguments say. `run_daemon` is the daemon's entry.
pub fn main(run_daemon: impl FnOnce(DaemonOptions) -> ExitCode) -> ExitCode {
    let mut words = std::env::args_os();
    let program = words.next().unwrap_or_else(|| OsString::from("sanlock"));
    let args: Vec<OsString> = words.collect();
    let invocation = Console::of_process(|console| {
        let mut remarks = Remarks::default();
        let invocation = command_line::parse(&args, configured(), &mut remarks);
        for line in remarks.lines {
            console.line(&text::Line::default().raw(&line));
        }
        for hint in remarks.hints {
            console.hint(format_args!("sanlock: {hint}"));
        }
        invocation
    });
    match invocation {
        None => ExitCode::FAILURE,
        Some(Invocation::Daemon(options)) => run_daemon(options),
        Some(other) => {
            let program = program.to_string_lossy();
            exit(Console::of_process(|console| run(other, &program, console)))
        }
    }
}

/// Carries out everything but the daemon; whether it succeeded.
fn run(invocation: Invocation, program: &str, console: &mut Console<'_>) -> bool {
    match invocation {
        Invocation::Usage { asked } => {
            console.raw(help::USAGE.as_bytes());
            if asked {
                console.flush();
                console.hint(help::BEYOND_USAGE.trim_end());
            }
            asked
        }
        Invocation::Version => {
            console.say(crate::version::TEXT);
            true
        }
        Invocation::LongVersion => {
            console.say(version::long(program));
            true
        }
        Invocation::Help(topic) => {
            console.raw(help::about(topic).as_bytes());
            true
        }
        Invocation::CheckConfig => check_config::run(console),
        Invocation::Explain(words) => explain::run(&words, console),
        Invocation::Client(action, options) => {
            client::run(action, &options, &Client::new(), console) == 0
        }
        Invocation::Direct(action, options) => direct::run(action, &options, console) == 0,
        // main does not pass it on.
        Invocation::Daemon(_) => false,
    }
}

fn exit(success: bool) -> ExitCode {
    if success {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// What sanlock.conf says; lines that it cannot use are the daemon's to report.
fn configured() -> Configured {
    let loaded = sanlock_conf::load(&crate::conf_path());
    loaded.map(|loaded| loaded.conf.into()).unwrap_or_default()
}
