//! Mounts a faulty file system until a signal comes, or sends a command to one that is mounted.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::Parser;
use faultfs::{COMMANDS, Control, FaultFs};
use nix::sys::signal::{SigSet, Signal};

/// Shows a directory whose reads and writes can be made to hang, fail, wait or tear.
///
/// Prints `mounted` when it is, and unmounts on SIGTERM, SIGINT and SIGHUP, or when it dies.
#[derive(Debug, Parser)]
#[command(after_help = format!("Commands, one a line:\n{COMMANDS}"))]
struct Arguments {
    /// The directory to mount on.
    #[arg(required_unless_present = "send")]
    mount_point: Option<PathBuf>,
    /// The directory to show there.
    #[arg(required_unless_present = "send")]
    backing: Option<PathBuf>,
    /// The socket that takes commands.
    #[arg(long, value_name = "PATH", required_unless_present = "mount_point")]
    control: Option<PathBuf>,
    /// Sends this command to the socket and prints the answer, instead of mounting.
    #[arg(
        long,
        value_name = "COMMAND",
        requires = "control",
        conflicts_with = "mount_point"
    )]
    send: Option<String>,
}

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    match (
        arguments.send,
        arguments.mount_point,
        arguments.backing,
        arguments.control,
    ) {
        (Some(command), _, _, Some(socket)) => send(&socket, &command),
        (None, Some(mount_point), Some(backing), control) => {
            serve(&mount_point, &backing, control.as_deref())
        }
        _ => bail!("either a mount point and a directory, or --control and --send"),
    }
}

fn send(socket: &Path, command: &str) -> anyhow::Result<ExitCode> {
    let answer = faultfs::send(socket, command)
        .with_context(|| format!("send {command:?} to {}", socket.display()))?;
    println!("{answer}");
    Ok(if answer.starts_with("error") {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

fn serve(mount_point: &Path, backing: &Path, control: Option<&Path>) -> anyhow::Result<ExitCode> {
    let mut signals = SigSet::empty();
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        signals.add(signal);
    }
    // Before there are threads: they inherit it, and the signals wait for this one.
    signals.thread_block().context("block signals")?;
    let mounted = FaultFs::mount(mount_point, backing)
        .with_context(|| format!("mount {} on {}", backing.display(), mount_point.display()))?;
    let listening = match control {
        Some(path) => Some(
            Control::listen(path, mounted.faults())
                .with_context(|| format!("listen on {}", path.display()))?,
        ),
        None => None,
    };
    println!("mounted");
    io::stdout().flush()?;
    signals.wait().context("wait for a signal")?;
    drop(listening);
    drop(mounted);
    Ok(ExitCode::SUCCESS)
}
