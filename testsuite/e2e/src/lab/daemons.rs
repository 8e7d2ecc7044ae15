//! The daemons of a host: started as services are, ended as accidents end them.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use daemon::ProcessState;

use super::host::{Host, Said};
use super::story::Kind;

/// How long a daemon may take to answer, or to end: on a busy computer.
const PATIENCE: Duration = Duration::from_secs(90);

/// What libvirt's daemons write down.
const LOG_FILTERS: &str = "1:locking 3:qemu.qemu_cgroup 2:qemu 3:*";
const LOG_OUTPUTS: &str = "1:stderr";

/// A daemon of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Daemon {
    Sanlock,
    Libvirtd,
    Virtlockd,
}

impl Daemon {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Daemon::Sanlock => "sanlock",
            Daemon::Libvirtd => "libvirtd",
            Daemon::Virtlockd => "virtlockd",
        }
    }

    /// Where the distribution installs it.
    fn place(self) -> PathBuf {
        Path::new("/usr/sbin").join(self.name())
    }

    fn command(self, host: &Host) -> Vec<&'static str> {
        match self {
            Daemon::Sanlock => {
                let name = host.name();
                vec![
                    "sanlock", "daemon", "-D", "-w", "0", "-U", "root", "-G", "root", "-e", name,
                ]
            }
            Daemon::Libvirtd => vec!["libvirtd", "--listen"],
            Daemon::Virtlockd => vec!["virtlockd"],
        }
    }

    /// What succeeds when it serves.
    fn probe(self) -> &'static [&'static str] {
        match self {
            Daemon::Sanlock => &["sanlock", "client", "status"],
            Daemon::Libvirtd => &["virsh", "--connect", "qemu:///system", "list"],
            Daemon::Virtlockd => &[
                "virt-admin",
                "--connect",
                "virtlockd:///system",
                "server-list",
            ],
        }
    }
}

impl Host {
    /// Starts a daemon and waits until it answers. Its output is a log.
    pub(crate) fn start_daemon(&self, daemon: Daemon) -> Result<()> {
        let name = daemon.name();
        let log = self.plan.log.join(format!("{name}.log"));
        let output = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&log)
            .with_context(|| format!("cannot write {}", log.display()))?;
        let words = daemon.command(self).join(" ");
        let script = format!("echo $$ > /run/lab/{name}.pid; exec {words}");
        let mut child = self
            .command("sh")
            .args(["-c", &script])
            // Where it may not raise its limits, the C program would end.
            .env("SANLOCK_PRIVILEGED", "0")
            .env("LIBVIRT_LOG_FILTERS", LOG_FILTERS)
            .env("LIBVIRT_LOG_OUTPUTS", LOG_OUTPUTS)
            .stdout(Stdio::from(output.try_clone()?))
            .stderr(Stdio::from(output))
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        self.teller
            .tell(Kind::Command, Some(self.name()), words.clone());
        self.until(&format!("{name} answers"), PATIENCE, |host| {
            if let Some(status) = child.try_wait()? {
                anyhow::bail!("{name} on {} ended: {status}; see its log", host.name());
            }
            Ok(host.quietly(daemon.probe())?.ok)
        })?;
        Ok(())
    }

    /// Has virtlockd started by whoever wants to speak to it; it ends by itself when that was long ago.
    pub(crate) fn activate_virtlockd(&self, timeout: Duration) -> Result<()> {
        let program = std::env::current_exe().context("cannot find this program")?;
        let log = File::create(self.plan.log.join("virtlockd.log"))?;
        let timeout = timeout.as_secs().to_string();
        self.command(&program.display().to_string())
            .arg("activate")
            .args(["--socket", "/run/libvirt/virtlockd-sock:virtlockd.socket"])
            .args([
                "--socket",
                "/run/libvirt/virtlockd-admin-sock:virtlockd-admin.socket",
            ])
            .args(["--pid-file", "/run/lab/virtlockd.pid"])
            .args(["--", "virtlockd", "--timeout", &timeout])
            .env("LIBVIRT_LOG_FILTERS", LOG_FILTERS)
            .env("LIBVIRT_LOG_OUTPUTS", LOG_OUTPUTS)
            .stdout(Stdio::from(log.try_clone()?))
            .stderr(Stdio::from(log))
            .spawn()
            .context("cannot start what activates virtlockd")?;
        let socket = self.path("/run/libvirt/virtlockd-admin-sock");
        self.until("virtlockd's sockets are there", PATIENCE, |_| {
            Ok(socket.exists())
        })
        .map(drop)
    }

    /// A daemon's process id, on the host.
    pub(crate) fn pid_of(&self, daemon: Daemon) -> Result<u32> {
        let file = format!("/run/lab/{}.pid", daemon.name());
        self.read(&file)
            .and_then(|text| text.trim().parse().ok())
            .with_context(|| format!("{} was not started on {}", daemon.name(), self.name()))
    }

    /// Whether a process of the host still runs.
    pub(crate) fn is_alive(&self, pid: u32) -> bool {
        let pid = pid.try_into().unwrap_or(i32::MAX);
        let stat = self.read(&format!("/proc/{pid}/stat"));
        let state = stat.and_then(|stat| ProcessState::parse(pid, stat.as_bytes()));
        state.is_some_and(|state| !state.has_ended())
    }

    /// Sends a daemon a signal.
    pub(crate) fn signal_daemon(&self, daemon: Daemon, signal: &str) -> Result<()> {
        self.inject(format!("{} gets SIG{signal}", daemon.name()));
        let said = self.signal(self.pid_of(daemon)?, signal)?;
        ensure!(said.ok, "cannot signal {}: {}", daemon.name(), said.text);
        Ok(())
    }

    /// Sends a process of the host a signal. By the shell, as a small system has no program `kill`.
    pub(super) fn signal(&self, pid: u32, signal: &str) -> Result<Said> {
        self.quietly(&["sh", "-c", &format!("kill -{signal} {pid}")])
    }

    /// Kills a daemon, by surprise.
    pub(crate) fn kill_daemon(&self, daemon: Daemon) -> Result<()> {
        let pid = self.pid_of(daemon)?;
        self.signal_daemon(daemon, "KILL")?;
        self.gone(daemon, pid)
    }

    /// Ends a daemon as a service manager does.
    pub(crate) fn stop_daemon(&self, daemon: Daemon) -> Result<()> {
        let pid = self.pid_of(daemon)?;
        self.signal_daemon(daemon, "TERM")?;
        self.gone(daemon, pid)
    }

    /// What stands in the place of the distribution's program, if anything does.
    pub(crate) fn installed(&self, daemon: Daemon) -> Option<PathBuf> {
        let binds = self.plan.binds.iter();
        let found = binds.rev().find(|(_, at)| *at == daemon.place());
        found.map(|(from, _)| from.clone())
    }

    /// Puts another program in that place, or takes away what is there.
    pub(crate) fn install(&self, daemon: Daemon, program: Option<&Path>) -> Result<()> {
        let place = daemon.place().display().to_string();
        match program {
            Some(program) => {
                let program = program.display().to_string();
                self.run(&["mount", "--bind", &program, &place]).map(drop)
            }
            None if self.installed(daemon).is_some() => {
                self.run(&["umount", "--lazy", &place]).map(drop)
            }
            None => Ok(()),
        }
    }

    /// Whether the daemon is the program that stands there now.
    pub(crate) fn runs_what_is_installed(&self, daemon: Daemon) -> Result<bool> {
        let pid = self.pid_of(daemon)?;
        let place = daemon.place().display().to_string();
        let stat = |file: &str| self.run(&["stat", "-L", "-c", "%d:%i", file]);
        Ok(stat(&format!("/proc/{pid}/exe"))? == stat(&place)?)
    }

    /// Has virtlockd execute itself anew, and waits until that has been done.
    pub(crate) fn reexecute_virtlockd(&self) -> Result<()> {
        let daemon = Daemon::Virtlockd;
        let pid = self.pid_of(daemon)?;
        // The process stays the same one; what the kernel told its program is another thing each time.
        let told = || std::fs::read(self.path(&format!("/proc/{pid}/auxv"))).ok();
        let before = told().context("virtlockd has ended")?;
        self.signal_daemon(daemon, "USR1")?;
        self.until("virtlockd answers again", PATIENCE, |host| {
            let now = told().context("virtlockd ended when it was to execute itself anew")?;
            Ok(now != before && host.quietly(daemon.probe())?.ok)
        })
        .map(drop)
    }

    fn gone(&self, daemon: Daemon, pid: u32) -> Result<()> {
        let what = format!("{} is gone", daemon.name());
        self.until(&what, PATIENCE, |host| Ok(!host.is_alive(pid)))
            .map(drop)
    }
}
