//! Starting programs that cannot outlive us, whatever ends us.
//!
//! The kernel sends a signal to a process whose parent ends, but only if that process itself asked for it. So a
//! program that uses this crate has a hidden subcommand `guard`, which asks for the signal and then becomes the
//! program that is to be guarded.

use std::ffi::OsString;
use std::os::unix::process::{CommandExt, parent_id};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{SigSet, Signal};

/// `THIS PROGRAM guard PARENT PROGRAM ARGUMENTS...`
#[derive(Debug, clap::Args)]
pub struct Options {
    /// The process whose end is waited for
    parent: u32,
    /// What is to be guarded
    program: OsString,
    /// What that one is told
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

/// A command that the kernel kills when the calling thread ends, in a process group of its own so that the
/// terminal's Ctrl-C does not reach it. Start it on a thread that lives as long as the program is to live.
pub fn command(program: &Path) -> Command {
    // Not `current_exe`: its name is gone when cargo has replaced the file meanwhile.
    let mut command = Command::new("/proc/self/exe");
    command
        .arg("guard")
        .arg(std::process::id().to_string())
        .arg(program)
        .process_group(0);
    command
}

/// Becomes the program; returns only to say why it did not.
///
/// # Errors
/// If the parent has ended already, or the program cannot be run.
pub fn run(options: &Options) -> Result<()> {
    set_pdeathsig(Signal::SIGKILL).context("cannot set the signal of the parent's death")?;
    // Whoever starts us may wait for some signals instead of being ended by them; the program need not.
    SigSet::all()
        .thread_unblock()
        .context("cannot let signals through")?;
    if parent_id() != options.parent {
        bail!("the parent has ended already");
    }
    let failure = Command::new(&options.program)
        .args(&options.arguments)
        .exec();
    Err(failure).with_context(|| format!("cannot run {}", Path::new(&options.program).display()))
}
