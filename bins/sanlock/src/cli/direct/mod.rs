//! `sanlock direct`: works on storage without the daemon.

pub mod area;
pub mod check;
mod dump;
mod fault;
mod host;
mod index;
mod init;
mod leader_file;
mod leaders;
mod leases;
mod sizes;
mod syslog;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sanlock_proto::name::{DiskPath, PathFault};
use storage::{Buffer, DirectIo, Disk, IoError, Pending, Storage};
use tokio::runtime::Runtime;

use super::actions::DirectAction;
use super::console::Console;
use super::options::Options;
use fault::Fault;

/// Carries out an action and returns the original's result: the program succeeds if it is 0.
pub fn run(action: DirectAction, options: &Options, console: &mut Console<'_>) -> i32 {
    if action == DirectAction::Check {
        console.speak_up();
    }
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            console.hint(format_args!("sanlock: {}: {error}", action.name()));
            return error.raw_os_error().map_or(-1, i32::wrapping_neg);
        }
    };
    let mut run = Run {
        action,
        options,
        console,
        runtime,
        storage: DirectIo::new(),
    };
    match action {
        DirectAction::Dump => run.dump(),
        DirectAction::NextFree => run.next_free(),
        DirectAction::ReadLeader => run.read_leader(),
        DirectAction::WriteLeader => run.write_leader(),
        DirectAction::Check => run.check(),
        DirectAction::Init => run.init(),
        DirectAction::Acquire => run.acquire(),
        DirectAction::Release => run.release(),
        DirectAction::AcquireId => run.acquire_id(),
        DirectAction::ReleaseId => run.release_id(),
        DirectAction::RenewId => run.renew_id(),
        DirectAction::Format => run.format(),
        DirectAction::Lookup => run.lookup(),
        DirectAction::Update => run.update(),
        DirectAction::Rebuild => run.rebuild(),
    }
}

/// One action under way.
struct Run<'a, 'c> {
    action: DirectAction,
    options: &'a Options,
    console: &'a mut Console<'c>,
    runtime: Runtime,
    storage: DirectIo,
}

impl Run<'_, '_> {
    /// The time for one request.
    fn io_timeout(&self) -> Duration {
        Duration::from_secs(self.options.io_timeout.into())
    }

    /// Waits for a request as long as one may take.
    fn wait<T>(&self, request: impl FnOnce() -> Pending<T>) -> Result<T, IoError> {
        let timeout = self.io_timeout();
        self.runtime
            .block_on(async { request().within(timeout).await })
    }

    fn open(&self, path: &Path) -> Result<Arc<dyn Disk>, IoError> {
        self.wait(|| self.storage.open(path))
    }

    fn read(&self, disk: &Arc<dyn Disk>, offset: u64, len: usize) -> Result<Buffer, IoError> {
        self.wait(|| disk.read(offset, len))
    }

    fn write(&self, disk: &Arc<dyn Disk>, offset: u64, data: Buffer) -> Result<(), IoError> {
        self.wait(|| disk.write(offset, data))
    }

    /// Opens the disk of a lockspace; the original answers every failure with -19.
    fn open_lockspace(&self) -> Result<Arc<dyn Disk>, Fault> {
        let path = path_of(&self.options.lockspace.disk.path)?;
        self.open(path)
            .map_err(|error| Fault::new(NO_DEVICE, error))
    }

    /// Says on standard error what failed and what to do.
    fn explain(&mut self, fault: &Fault) {
        fault.report(self.action.name(), self.console);
    }

    /// Prints `WHAT done NUMBER` and explains a failure; returns the number.
    fn done(&mut self, what: &str, outcome: Result<(), Fault>) -> i32 {
        let number = outcome.as_ref().err().map_or(0, |fault| fault.code);
        self.console.say(format_args!("{what} done {number}"));
        if let Err(fault) = outcome {
            self.explain(&fault);
        }
        number
    }
}

/// -19, ENODEV.
const NO_DEVICE: i32 = -19;

/// -22, EINVAL.
const INVALID: i32 = -22;

/// The path, if it can be one.
fn path_of(path: &DiskPath) -> Result<&Path, Fault> {
    path.checked()
        .map_err(|fault: PathFault| Fault::new(fault.code(), fault))
}
