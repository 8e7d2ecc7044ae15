//! Namespaces that end with the process that made them, whatever ends it: the kernel then kills every process
//! inside, and with the last one go its mounts, its network and its loop devices.

use std::io::Write;
use std::os::unix::process::parent_id;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;

/// All that a host has of its own.
fn flags() -> CloneFlags {
    CloneFlags::CLONE_NEWNS
        | CloneFlags::CLONE_NEWPID
        | CloneFlags::CLONE_NEWIPC
        | CloneFlags::CLONE_NEWUTS
        | CloneFlags::CLONE_NEWNET
}

/// Whether this process is the first of its process namespace.
pub(super) fn is_inside() -> bool {
    std::process::id() == 1
}

/// Makes the namespaces, runs this program in them with the same arguments as their first process, and ends as
/// that one does. The first line on its standard output says that process's id.
pub(super) fn enter_again() -> Result<ExitCode> {
    unshare(flags()).context("cannot make namespaces (that takes root's rights)")?;
    let mut child = Command::new("/proc/self/exe")
        .args(std::env::args_os().skip(1))
        // Its end tells the inner process that there is nobody outside any more.
        .stdin(Stdio::piped())
        .spawn()
        .context("cannot start the first process of the namespaces")?;
    // `wait` would close it.
    let mut open = child.stdin.take().context("no pipe")?;
    println!("{}", child.id());
    // Not before that: what it prints comes after this line.
    writeln!(open, "go").context("the first process of the namespaces has ended")?;
    let status = child
        .wait()
        .context("cannot wait for the namespaces' end")?;
    drop(open);
    Ok(
        match status.code().and_then(|code| u8::try_from(code).ok()) {
            Some(code) => ExitCode::from(code),
            None => ExitCode::FAILURE,
        },
    )
}

/// For the first process: it ends with the one outside, and what it mounts is seen inside only.
pub(super) fn settle() -> Result<()> {
    set_pdeathsig(Signal::SIGKILL).context("cannot set the signal of the parent's death")?;
    // Outside of this process namespace, therefore zero while it lives.
    anyhow::ensure!(parent_id() == 0, "this is not the first process inside");
    let mut go = String::new();
    std::io::stdin()
        .read_line(&mut go)
        .context("cannot hear the process outside")?;
    std::thread::spawn(|| {
        // If the parent ended before the signal was set, this is how we learn it.
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        std::process::exit(1);
    });
    let none = None::<&Path>;
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(none, "/", none, private, none).context("cannot make mounts private")?;
    mount(Some("proc"), "/proc", Some("proc"), MsFlags::empty(), none).context("cannot mount /proc")
}
