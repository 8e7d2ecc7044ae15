//! A host: a set of namespaces in which commands are run.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::init::READY;
use super::scenario::Manager;
use super::story::{Kind, Teller};

/// The names and addresses of all hosts.
pub(super) const HOSTS_FILE: &str = "127.0.0.1 localhost\n10.77.0.1 alpha\n10.77.0.2 beta\n";

/// How long a command may take before it counts as hung: the computer may be busy.
const PATIENCE: Duration = Duration::from_secs(150);

/// What is asked again, is asked so often.
pub(super) const ASK_EVERY: Duration = Duration::from_millis(150);

/// What a host is made of.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(super) name: &'static str,
    /// Its host id.
    pub(super) number: u8,
    pub(super) manager: Manager,
    /// Its files, which outlive it.
    pub(super) dir: PathBuf,
    pub(super) log: PathBuf,
    /// What is shown where.
    pub(super) binds: Vec<(PathBuf, PathBuf)>,
    pub(super) devices: Vec<PathBuf>,
    /// Directories of the computer in which it may change what it sees.
    pub(super) writable: &'static [&'static str],
}

/// How a command ended.
#[derive(Clone, Debug)]
pub(crate) struct Said {
    pub(crate) ok: bool,
    pub(crate) text: String,
}

/// A host that is up, or was; clones are the same one.
#[derive(Clone)]
pub(crate) struct Host {
    pub(super) plan: Plan,
    pub(super) teller: Teller,
    process: Arc<Mutex<Child>>,
    /// Its first process.
    init: Pid,
    pub(super) up: Arc<AtomicBool>,
}

impl Host {
    /// Takes less than a second.
    pub(super) fn boot(plan: Plan, teller: &Teller) -> Result<Host> {
        for dir in [&plan.dir, &plan.log] {
            fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
        }
        let mut command = guard::command(Path::new("/proc/self/exe"));
        command
            .arg("host")
            .arg(plan.name)
            .arg(plan.number.to_string())
            .arg(&plan.dir)
            .arg(&plan.log);
        for (from, at) in &plan.binds {
            let bind = format!("{}:{}", from.display(), at.display());
            command.arg("--bind").arg(bind);
        }
        for device in &plan.devices {
            command.arg("--device").arg(device);
        }
        for place in plan.writable {
            command.arg("--writable").arg(place);
        }
        let errors = plan.log.join("boot");
        let mut process = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(&errors)?)
            .spawn()
            .context("cannot start a host")?;
        let output = process.stdout.take().context("no pipe")?;
        let mut lines = BufReader::new(output).lines().map_while(Result::ok);
        let init = lines.next().and_then(|line| line.parse().ok());
        let ready = lines.next().is_some_and(|line| line == READY);
        let (Some(init), true) = (init, ready) else {
            let why = fs::read_to_string(&errors).unwrap_or_default();
            bail!("host {} did not come up: {}", plan.name, why.trim());
        };
        teller.tell(Kind::Seen, Some(plan.name), "up");
        let host = Host {
            plan,
            teller: teller.clone(),
            process: Arc::new(Mutex::new(process)),
            init: Pid::from_raw(init),
            up: Arc::new(AtomicBool::new(true)),
        };
        host.watch();
        Ok(host)
    }

    pub(crate) fn name(&self) -> &'static str {
        self.plan.name
    }

    /// Something is done to it.
    pub(crate) fn inject(&self, text: impl Into<String>) {
        self.teller.tell(Kind::Injected, Some(self.name()), text);
    }

    /// Pulls the plug: all its processes are gone when this returns. When it was pulled.
    pub(crate) fn crash(&self) -> Result<Instant> {
        let when = Instant::now();
        self.inject("host crashes");
        self.up.store(false, Ordering::Relaxed);
        kill(self.init, Signal::SIGKILL).context("cannot kill a host")?;
        // The kernel reports the first process's end after that of all others.
        let mut process = self.process.lock().unwrap_or_else(PoisonError::into_inner);
        process.wait().context("cannot wait for a host's end")?;
        self.teller.holdings(self.name(), &[]);
        Ok(when)
    }

    /// For a network interface that belongs into it.
    pub(super) fn network(&self) -> String {
        self.init.to_string()
    }

    /// A command inside.
    pub(super) fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command
            .args(["--target", &self.init.to_string()])
            .args(["--mount", "--pid", "--ipc", "--uts", "--net", "--", program])
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("HOME", "/root")
            .env("LC_ALL", "C")
            .env("TZ", "UTC")
            .stdin(Stdio::null());
        command
    }

    /// Runs a command, without a word in the story.
    pub(super) fn quietly(&self, words: &[&str]) -> Result<Said> {
        let patience = PATIENCE.as_secs().to_string();
        let output = self
            .command("timeout")
            .args(["--kill-after=5", &patience])
            .args(words)
            .output()
            .with_context(|| format!("cannot run {}", words.join(" ")))?;
        let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.push_str(&String::from_utf8_lossy(&output.stderr));
        let text = text.trim().to_owned();
        ensure!(
            output.status.code() != Some(124),
            "`{}` on {} did not end within {patience} s; it said: {text}",
            words.join(" "),
            self.name()
        );
        Ok(Said {
            ok: output.status.success(),
            text,
        })
    }

    /// Runs a command, whatever comes of it.
    pub(crate) fn attempt(&self, words: &[&str]) -> Result<Said> {
        let said = self.quietly(words)?;
        let mut line = words.join(" ");
        if !said.ok {
            line.push_str(": failed");
        }
        if !said.text.is_empty() {
            line.push_str(": ");
            line.push_str(&said.text);
        }
        self.teller.tell(Kind::Command, Some(self.name()), line);
        Ok(said)
    }

    /// Runs a command that must succeed.
    pub(crate) fn run(&self, words: &[&str]) -> Result<String> {
        let said = self.attempt(words)?;
        ensure!(
            said.ok,
            "`{}` failed on {}: {}",
            words.join(" "),
            self.name(),
            said.text
        );
        Ok(said.text)
    }

    /// Waits until something holds, asking again and again.
    pub(crate) fn until(
        &self,
        what: &str,
        limit: Duration,
        mut holds: impl FnMut(&Host) -> Result<bool>,
    ) -> Result<Instant> {
        let end = Instant::now() + limit;
        loop {
            if holds(self)? {
                let when = Instant::now();
                let text = what.to_owned();
                self.teller.tell(Kind::Seen, Some(self.name()), text);
                return Ok(when);
            }
            ensure!(
                Instant::now() < end,
                "not within {} s on {}: {what}",
                limit.as_secs(),
                self.name()
            );
            std::thread::sleep(ASK_EVERY);
        }
    }

    /// Where a file of its own is, from outside.
    pub(super) fn path(&self, path: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{path}", self.init))
    }

    /// A file of its own, from outside.
    pub(crate) fn read(&self, path: &str) -> Option<String> {
        fs::read_to_string(self.path(path)).ok()
    }

    /// Writes a file of its own.
    pub(crate) fn write(&self, path: &str, text: &str) -> Result<()> {
        fs::write(self.path(path), text)
            .with_context(|| format!("cannot write {path} on {}", self.name()))
    }
}
