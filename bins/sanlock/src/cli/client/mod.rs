//! `sanlock client`: asks the daemon, prints what the original prints, explains failures.

mod command;
mod config;
mod index;
mod leases;
mod lockspaces;
mod owners;
mod show;

use sanlock_proto::{Client, ClientError};

use super::actions::ClientAction;
use super::console::Console;
use super::failure;
use super::options::{DEFAULT_IO_TIMEOUT, Options};

/// What came of an action: the daemon's number, 0 or more, or why there is none.
type Outcome = Result<i32, ClientError>;

/// Carries out an action and returns the original's result: the program succeeds if it is 0.
pub fn run(
    action: ClientAction,
    options: &Options,
    client: &Client,
    console: &mut Console<'_>,
) -> i32 {
    let mut run = Run {
        action,
        options,
        client,
        console,
    };
    match action {
        ClientAction::Status => run.status(),
        ClientAction::HostStatus => run.host_status(),
        ClientAction::Gets => run.gets(),
        ClientAction::Renewal => run.renewal(),
        ClientAction::LogDump => run.log_dump(),
        ClientAction::Read => run.read(),
        ClientAction::Version => run.version(),
        ClientAction::Inquire => run.inquire(),
        ClientAction::Shutdown => run.shutdown(),
        ClientAction::SetEvent => run.set_event(),
        ClientAction::SetConfig => run.set_config(),
        ClientAction::Init => run.init(),
        ClientAction::AddLockspace => run.add_lockspace(),
        ClientAction::InqLockspace => run.inq_lockspace(),
        ClientAction::RemLockspace => run.rem_lockspace(),
        ClientAction::Align => run.align(),
        ClientAction::Examine => run.examine(),
        ClientAction::Command => run.command(),
        ClientAction::Acquire => run.acquire(),
        ClientAction::Convert => run.convert(),
        ClientAction::Release => run.release(),
        ClientAction::Request => run.request(),
        ClientAction::Format => run.format(),
        ClientAction::Rebuild => run.rebuild(),
        ClientAction::Create => run.create(),
        ClientAction::Delete => run.delete(),
        ClientAction::Lookup => run.lookup(),
        ClientAction::Update => run.update(),
    }
}

/// One action under way.
struct Run<'a, 'c> {
    action: ClientAction,
    options: &'a Options,
    client: &'a Client,
    console: &'a mut Console<'c>,
}

impl Run<'_, '_> {
    /// Prints `WHAT done NUMBER` and explains a failure; returns the number.
    fn done(&mut self, what: &str, outcome: &Outcome) -> i32 {
        let number = number(outcome);
        self.console.say(format_args!("{what} done {number}"));
        self.explain(outcome);
        number
    }

    /// Says on standard error why there is no result.
    fn explain(&mut self, outcome: &Outcome) {
        if let Err(error) = outcome {
            failure::of_client(self.action, error, self.console);
        }
    }

    /// What the original answers itself with when an option is missing.
    fn missing(&self, why: &'static str) -> ClientError {
        ClientError::Invalid {
            command: self.action.name(),
            why,
        }
    }
}

/// The number that the original prints.
fn number<T>(outcome: &Result<T, ClientError>) -> i32
where
    T: Copy + Into<i32>,
{
    match outcome {
        Ok(value) => (*value).into(),
        Err(error) => error.code(),
    }
}

/// Whether `-o` asks for another I/O timeout than the built-in one: the daemon's own is used otherwise.
fn differs_from_default(io_timeout: u32) -> bool {
    io_timeout != DEFAULT_IO_TIMEOUT
}
