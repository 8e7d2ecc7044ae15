//! Socket activation, as a service manager does it: the sockets are there before the daemon is, and stay when it ends.

use std::os::fd::AsRawFd;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// The first descriptor that a daemon is given.
const FIRST: i32 = 3;

/// `e2e activate`
#[derive(clap::Args)]
pub(crate) struct Options {
    /// A socket and its unit's name, as PATH:NAME; may be given again
    #[arg(long)]
    socket: Vec<String>,
    /// Where the daemon's process id is written to
    #[arg(long)]
    pid_file: PathBuf,
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
    words: Vec<String>,
}

/// Listens, and starts the daemon whenever somebody knocks and it is not there.
pub(crate) fn run(options: &Options) -> Result<()> {
    let mut listeners = Vec::new();
    let mut names = Vec::new();
    for (number, socket) in (FIRST..).zip(&options.socket) {
        let (path, name) = socket.split_once(':').context("--socket wants PATH:NAME")?;
        let listener = listen(Path::new(path))?;
        ensure!(
            listener.as_raw_fd() == number,
            "a descriptor below {number} is not free"
        );
        fcntl(&listener, FcntlArg::F_SETFD(FdFlag::empty())).context("cannot pass a socket on")?;
        listeners.push(listener);
        names.push(name);
    }
    // The daemon's process id is known to nobody before it is there.
    let script = format!(
        "echo $$ > {}; export LISTEN_PID=$$; exec \"$@\"",
        options.pid_file.display()
    );
    loop {
        let mut waiting: Vec<PollFd<'_>> = listeners
            .iter()
            .map(|listener| PollFd::new(std::os::fd::AsFd::as_fd(listener), PollFlags::POLLIN))
            .collect();
        poll(&mut waiting, PollTimeout::NONE).context("cannot wait for clients")?;
        let status = Command::new("sh")
            .args(["-c", &script, "sh"])
            .args(&options.words)
            .env("LISTEN_FDS", names.len().to_string())
            .env("LISTEN_FDNAMES", names.join(":"))
            .status()
            .context("cannot start the daemon")?;
        println!("activator: the daemon ended: {status}");
    }
}

fn listen(path: &Path) -> Result<UnixListener> {
    let about = || format!("cannot listen on {}", path.display());
    if let Some(dir) = path.parent() {
        std::fs::create_dir_all(dir).with_context(about)?;
    }
    UnixListener::bind(path).with_context(about)
}
