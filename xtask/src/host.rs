//! A "host": one lease daemon with a run directory of its own.

use std::fs::File;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::unistd::{Gid, Group, Uid, User};
use sanlock_proto::{Client, SOCKET_NAME};

use crate::cleanup::{Action, Undo, later};
use crate::program::Program;

/// How long a daemon may take to answer after its start.
const START_LIMIT: Duration = Duration::from_secs(10);

/// The file that our daemon reads instead of /etc/sanlock/sanlock.conf; the original does not know it.
const CONF_VARIABLE: &str = "SANLOCK_CONF_PATH";

/// How to start one.
pub(crate) struct Setup<'a> {
    /// What to run.
    pub(crate) program: &'a Program,
    /// The host's name in its leases.
    pub(crate) name: &'a str,
    /// Directory of its run directory.
    pub(crate) dir: &'a Path,
    /// Its sanlock.conf.
    pub(crate) conf: &'a str,
    /// More options of `sanlock daemon`.
    pub(crate) options: &'a [&'a str],
    /// A library that is loaded into it.
    pub(crate) preload: Option<&'a Path>,
    /// How it runs.
    pub(crate) runs: Runs,
}

/// How a daemon runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Runs {
    /// In the foreground, with all that it logs in a file.
    Logging,
    /// As it was meant to, in the background: what is of interest only to those who look for a mistake
    /// stays in its memory.
    InBackground,
}

/// A running daemon; killed when dropped.
pub(crate) struct Host {
    pub(crate) name: String,
    program: PathBuf,
    run_dir: PathBuf,
    /// What was started: the daemon, or what started that.
    child: Child,
    pid: u32,
    kill: Option<Undo>,
}

impl Host {
    /// Starts the daemon, without watchdog and privileges, and waits until it answers.
    pub(crate) fn start(setup: &Setup) -> Result<Host> {
        let run_dir = setup.dir.join(setup.name);
        std::fs::create_dir(&run_dir)
            .with_context(|| format!("cannot create {}", run_dir.display()))?;
        let conf = run_dir.join("sanlock.conf");
        std::fs::write(&conf, setup.conf)
            .with_context(|| format!("cannot write {}", conf.display()))?;
        let mut command = guard::command(&setup.program.path);
        environment(&mut command, &run_dir);
        command.env(CONF_VARIABLE, &conf);
        if let Some(library) = setup.preload {
            command.env("LD_PRELOAD", library);
        }
        command.args(["daemon", "-w", "0", "-e", setup.name]);
        // The socket goes to these; by default to a user that need not exist.
        command.args(["-U", &user_name(), "-G", &group_name()]);
        let log = match setup.runs {
            Runs::Logging => {
                command.arg("-D");
                Stdio::from(File::create(run_dir.join("log")).context("cannot create a log file")?)
            }
            Runs::InBackground => {
                // Nothing to the log file and the system log of the machine.
                command.args(["-L", "-1", "-S", "-1"]);
                Stdio::null()
            }
        };
        let child = command
            .args(setup.options)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .context("cannot start a daemon")?;
        let kill = later(Action::KillGroup(child.id()));
        let mut host = Host {
            name: setup.name.to_owned(),
            program: setup.program.path.clone(),
            run_dir,
            pid: child.id(),
            child,
            kill: Some(kill),
        };
        if setup.runs == Runs::InBackground {
            host.follow_into_background()?;
        }
        host.wait_until_served()?;
        Ok(host)
    }

    /// Waits for what was started, and finds the daemon that it left.
    fn follow_into_background(&mut self) -> Result<()> {
        let ended = self.child.wait().context("cannot wait for a daemon")?;
        let file = self.run_dir.join("sanlock.pid");
        let end = Instant::now() + START_LIMIT;
        // The original may not have written it yet.
        while ended.success() && Instant::now() < end {
            let text = std::fs::read_to_string(&file).unwrap_or_default();
            if let Some(Ok(pid)) = text.strip_suffix('\n').map(str::parse) {
                self.pid = pid;
                // A daemon leads a group of its own.
                self.kill = Some(later(Action::KillGroup(pid)));
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let program = self.program.display();
        bail!(
            "the daemon of {} ({program}) left no {} ({ended})",
            self.name,
            file.display()
        )
    }

    fn wait_until_served(&mut self) -> Result<()> {
        let end = Instant::now() + START_LIMIT;
        loop {
            if self.client().version().is_ok() {
                return Ok(());
            }
            let ended = if self.pid == self.child.id() {
                self.child.try_wait().context("cannot wait for a daemon")?
            } else {
                None
            };
            if ended.is_none() && Instant::now() < end {
                std::thread::sleep(Duration::from_millis(20));
                continue;
            }
            let what = match ended {
                Some(status) => format!("ended at once ({status})"),
                None => format!("does not answer after {} s", START_LIMIT.as_secs()),
            };
            let program = self.program.display();
            bail!(
                "the daemon of {} ({program}) {what}\n{}",
                self.name,
                self.log_end(15)
            );
        }
    }

    /// Process id of the daemon.
    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// Where its socket is.
    pub(crate) fn run_dir(&self) -> &Path {
        &self.run_dir
    }

    /// The last lines of its log.
    pub(crate) fn log_end(&self, lines: usize) -> String {
        let text = std::fs::read(self.run_dir.join("log")).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let all: Vec<&str> = text.lines().collect();
        all.get(all.len().saturating_sub(lines)..)
            .unwrap_or_default()
            .join("\n")
    }

    /// A client of its socket.
    pub(crate) fn client(&self) -> Client {
        Client::at(self.run_dir.join(SOCKET_NAME)).with_timeout(Duration::from_secs(300))
    }

    /// `sanlock ARGUMENTS`, speaking to this host; not started yet.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = guard::command(&self.program);
        environment(&mut command, &self.run_dir);
        command.args(arguments).stdin(Stdio::null());
        command
    }

    /// Runs `sanlock ARGUMENTS` to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Result<Output> {
        self.command(arguments)
            .output()
            .with_context(|| format!("cannot run sanlock {}", arguments.join(" ")))
    }

    /// Runs `sanlock ARGUMENTS`, which must succeed; what it printed.
    pub(crate) fn check(&self, arguments: &[&str]) -> Result<String> {
        let output = self.run(arguments)?;
        let said = said(&output);
        if !output.status.success() {
            let how = exit_text(&output);
            bail!(
                "on {}: sanlock {} {how}\n{said}",
                self.name,
                arguments.join(" ")
            );
        }
        Ok(said)
    }

    /// Kills the daemon and its helpers with SIGKILL, as a crash of the host would.
    pub(crate) fn kill(&mut self) {
        self.kill.take();
        // Only to take its exit status.
        let _ = self.child.wait();
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.kill();
    }
}

fn environment(command: &mut Command, run_dir: &Path) {
    command
        .env("SANLOCK_RUN_DIR", run_dir)
        .env("SANLOCK_PRIVILEGED", "0");
}

/// Both outputs of a program.
pub(crate) fn said(output: &Output) -> String {
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.push_str(&String::from_utf8_lossy(&output.stderr));
    text.trim_end().to_owned()
}

/// How a program ended, in words.
pub(crate) fn exit_text(output: &Output) -> String {
    match (output.status.code(), output.status.signal()) {
        (Some(code), _) => format!("ended with {code}"),
        (None, Some(signal)) => format!("was killed by signal {signal}"),
        (None, None) => "ended".to_owned(),
    }
}

fn user_name() -> String {
    let uid = Uid::effective();
    User::from_uid(uid)
        .ok()
        .flatten()
        .map_or_else(|| uid.to_string(), |user| user.name)
}

fn group_name() -> String {
    let gid = Gid::effective();
    Group::from_gid(gid)
        .ok()
        .flatten()
        .map_or_else(|| gid.to_string(), |group| group.name)
}
