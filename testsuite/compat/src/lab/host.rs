//! A host of the lab: one daemon and its run directory.

use std::fs::File;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::failure::{Failure, While};
use super::process::{Guarded, Said, lossy, run, tied};
use super::program::Program;

/// How long a daemon may take until its socket answers.
const START: Duration = Duration::from_secs(30);

/// A shell script that lays the directory `$0` over `/etc` and goes on as `$@`.
pub(crate) const OVER_ETC: &str =
    "mount -t overlay overlay -o \"lowerdir=$0:/etc\" /etc && exec \"$@\"";

/// One host.
#[derive(Debug)]
pub(crate) struct Host {
    /// 1 or 2.
    pub(crate) number: usize,
    /// What runs as the daemon.
    pub(crate) daemon: Program,
    /// What runs as the command line program.
    pub(crate) client: Program,
    /// `SANLOCK_RUN_DIR`.
    pub(crate) run_dir: PathBuf,
    /// A directory whose files the daemon finds in `/etc`.
    pub(crate) etc: Option<PathBuf>,
    scratch: PathBuf,
    running: Option<Guarded>,
}

impl Host {
    /// A host without a running daemon.
    pub(crate) fn new(
        number: usize,
        daemon: Program,
        client: Program,
        dir: &Path,
    ) -> Result<Host, Failure> {
        let run_dir = dir.join(format!("run{number}"));
        let scratch = dir.join(format!("scratch{number}"));
        for new in [&run_dir, &scratch] {
            std::fs::create_dir_all(new).during(|| format!("make {}", new.display()))?;
        }
        Ok(Host {
            number,
            daemon,
            client,
            run_dir,
            etc: None,
            scratch,
            running: None,
        })
    }

    /// The socket of the daemon.
    pub(crate) fn socket(&self) -> PathBuf {
        self.run_dir.join("sanlock.sock")
    }

    /// What every program of this host finds in its environment.
    pub(crate) fn environment(&self, command: &mut Command) {
        command
            .env("SANLOCK_RUN_DIR", &self.run_dir)
            .env("SANLOCK_PRIVILEGED", "0");
    }

    /// The command that starts the daemon in the foreground, without a watchdog, and under the
    /// name of its host if it is not called `nameless`.
    fn daemon_command(&self, options: &[String]) -> Result<Command, Failure> {
        let mut command = match &self.etc {
            None => tied(&self.daemon.path),
            Some(etc) => {
                let mut command = tied(Path::new("unshare"));
                let script = OVER_ETC;
                command
                    .args(["--mount", "/bin/sh", "-c", script])
                    .arg(etc)
                    .arg(&self.daemon.path);
                command
            }
        };
        command.args(["daemon", "-D", "-w", "0", "-h", "0", "-l", "0"]);
        // The system's own logs are not written.
        command.args(["-L", "-1", "-S", "-1"]);
        command.args(["-U", &user("-un")?, "-G", &user("-gn")?]);
        let (nameless, options): (Vec<_>, Vec<_>) =
            options.iter().partition(|option| *option == "nameless");
        if nameless.is_empty() && !options.iter().any(|option| *option == "-e") {
            command.args(["-e", &format!("host{}", self.number)]);
        }
        command.args(options);
        self.environment(&mut command);
        Ok(command)
    }

    /// Starts the daemon and waits until it takes connections.
    pub(crate) fn start(&mut self, options: &[String]) -> Result<(), Failure> {
        let mut command = self.daemon_command(options)?;
        let log = File::options().create(true).append(true).open(self.log())?;
        command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        // Only the new daemon's socket shall count.
        let _ = std::fs::remove_file(self.socket());
        let mut daemon = Guarded::spawn(&mut command)?;
        let since = Instant::now();
        while UnixStream::connect(self.socket()).is_err() {
            if let Some(end) = daemon.ended() {
                return Err(format!("the daemon ended ({end})\n{}", self.log_end()?).into());
            }
            if since.elapsed() > START {
                return Err(format!("no socket after {} s", START.as_secs()).into());
            }
            sleep(Duration::from_millis(10));
        }
        self.running = Some(daemon);
        Ok(())
    }

    /// The daemon that was started.
    pub(crate) fn running(&mut self) -> Result<&mut Guarded, Failure> {
        self.running
            .as_mut()
            .ok_or_else(|| Failure::new("the daemon does not run"))
    }

    /// Takes the daemon out of the host, so that the next one can be started.
    pub(crate) fn forget(&mut self) -> Option<Guarded> {
        self.running.take()
    }

    /// Runs the command line program.
    pub(crate) fn cli(&self, words: &[String], patience: Duration) -> Result<Said, Failure> {
        self.run(&self.client, words, patience)
    }

    /// Runs the daemon's program to the end of what was started, not of what it leaves in the background.
    pub(crate) fn run_daemon(&self, words: &[String], patience: Duration) -> Result<Said, Failure> {
        self.run(&self.daemon, words, patience)
    }

    fn run(
        &self,
        program: &Program,
        words: &[String],
        patience: Duration,
    ) -> Result<Said, Failure> {
        let mut command = Command::new(&program.path);
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        command.args(words);
        self.environment(&mut command);
        run(&mut command, &self.scratch, patience)
    }

    /// Where the daemon's output goes.
    pub(crate) fn log(&self) -> PathBuf {
        self.scratch.join("daemon.log")
    }

    /// The last lines of the daemon's output.
    pub(crate) fn log_end(&self) -> Result<String, Failure> {
        if !self.log().exists() {
            return Ok(String::new());
        }
        let text = lossy(&self.log())?;
        let lines: Vec<&str> = text.lines().collect();
        Ok(lines[lines.len().saturating_sub(25)..].join("\n"))
    }
}

fn user(which: &str) -> Result<String, Failure> {
    let output = Command::new("id")
        .arg(which)
        .output()
        .during(|| "run id".to_owned())?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
