//! Starting programs that cannot outlive us, whatever ends us.

use std::ffi::OsString;
use std::os::unix::process::{CommandExt, parent_id};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{SigSet, Signal};

/// `e2e guard PARENT PROGRAM ARGUMENTS...`
#[derive(clap::Args)]
pub(crate) struct Options {
    parent: u32,
    program: OsString,
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

/// A command that the kernel kills when the calling thread ends, in a process group of its own so that the
/// terminal's Ctrl-C does not reach it.
pub(crate) fn command(program: &Path) -> Command {
    let mut command = Command::new("/proc/self/exe");
    command
        .arg("guard")
        .arg(std::process::id().to_string())
        .arg(program)
        .process_group(0);
    command
}

/// Becomes the program.
pub(crate) fn run(options: &Options) -> Result<()> {
    set_pdeathsig(Signal::SIGKILL).context("cannot set the signal of the parent's death")?;
    // We wait for some signals instead of being ended by them; the program need not.
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
