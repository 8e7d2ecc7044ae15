//! Hosts that are QEMU machines: a kernel of their own, a watchdog that really resets them, and a disk that
//! several of them share.

mod agent;
mod clock;
mod qmp;

use std::fs::File;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::image::Image;
use agent::Agent;
pub(crate) use agent::Said;
pub(crate) use clock::{Clock, OutOfTime};
use qmp::Monitor;

/// The program that runs them.
pub(crate) const QEMU: &str = "qemu-system-x86_64";

/// How long a machine may take to boot; it takes two seconds on a computer that does nothing else.
const BOOT_LIMIT: Duration = Duration::from_secs(90);

/// Without these, the clock of a machine without hardware virtualisation may run several times too fast on
/// a busy computer, without a word. The HPET counts for 42 s until it begins again; the ACPI timer for less
/// than 5, and a machine that a busy computer does not run for so long loses them.
const CLOCK_OPTIONS: &str = "clocksource=hpet notsc nolapic_timer";

/// A machine; it ends when dropped.
pub(crate) struct Machine {
    name: String,
    started: Instant,
    child: Child,
    monitor: Monitor,
    agent: Agent,
    clock: Clock,
}

/// A machine that has been started; it ends when dropped.
pub(crate) struct Booting {
    name: String,
    dir: PathBuf,
    started: Instant,
    child: Option<Child>,
}

impl Booting {
    /// Starts a machine with this disk, which others may share. Its sockets and logs are in the directory,
    /// under its name. It ends with the calling thread.
    pub(crate) fn start(name: &str, image: &Image, disk: &Path, dir: &Path) -> Result<Booting> {
        let log = File::create(file_of(name, dir, "qemu")).context("cannot create QEMU's log")?;
        let child = guard::command(Path::new(QEMU))
            .args(arguments(name, image, disk, dir))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot start {QEMU}"))?;
        Ok(Booting {
            name: name.to_owned(),
            dir: dir.to_owned(),
            started: Instant::now(),
            child: Some(child),
        })
    }

    /// Waits until it does what it is told.
    pub(crate) fn wait(mut self) -> Result<Machine> {
        let (monitor, agent, clock) = self
            .connect()
            .with_context(|| format!("machine {} does not boot", self.name))?;
        Ok(Machine {
            name: self.name.clone(),
            started: self.started,
            child: self.child.take().context("the machine is gone")?,
            monitor,
            agent,
            clock,
        })
    }

    fn connect(&mut self) -> Result<(Monitor, Agent, Clock)> {
        let end = self.started + BOOT_LIMIT;
        let monitor = Monitor::new(self.socket("monitor", end)?)?;
        let agent = Agent::new(self.socket("agent", end)?)?;
        let clock = Clock::of(&agent, self.started, end)?;
        Ok((monitor, agent, clock))
    }

    /// Connects to one of its sockets, once it is there.
    fn socket(&mut self, ending: &str, end: Instant) -> Result<UnixStream> {
        let socket = file_of(&self.name, &self.dir, ending);
        loop {
            match UnixStream::connect(&socket) {
                Ok(stream) => return Ok(stream),
                Err(error) if Instant::now() > end => {
                    return Err(error).with_context(|| format!("{}", socket.display()));
                }
                Err(_) => std::thread::sleep(Duration::from_millis(20)),
            }
            let ended = self.child.as_mut().map(Child::try_wait).transpose()?;
            if let Some(status) = ended.flatten() {
                bail!("{QEMU} has ended: {status}");
            }
        }
    }
}

impl Drop for Booting {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            end(child);
        }
    }
}

impl Machine {
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Runs a command, which must succeed; what it said.
    pub(crate) fn run(&self, command: &str) -> Result<String> {
        let said = self.try_run(command, Duration::from_secs(60))?;
        if said.status != 0 {
            bail!(
                "on machine {}: `{command}` ended with {}: {}",
                self.name,
                said.status,
                said.text.trim()
            );
        }
        Ok(said.text)
    }

    /// Runs a command.
    pub(crate) fn try_run(&self, command: &str, limit: Duration) -> Result<Said> {
        let answer = self.agent.ask(&format!("run {command}"), limit);
        answer.with_context(|| format!("on machine {}: `{command}`", self.name))
    }

    /// Has a command run until the machine ends, or the command does.
    pub(crate) fn start(&self, command: &str) -> Result<()> {
        self.agent.tell(&format!("run {command}"))
    }

    /// When the machine was reset, if it was; it stays off then.
    pub(crate) fn reset_at(&self) -> Option<Instant> {
        self.monitor.reset_at()
    }

    /// The machine's clock, looked at anew. An error if it does not keep time with ours.
    pub(crate) fn clock(&self) -> Result<Clock> {
        if self.reset_at().is_some() {
            return Ok(self.clock);
        }
        let now = Clock::of(
            &self.agent,
            self.started,
            Instant::now() + Duration::from_secs(10),
        );
        now.with_context(|| format!("the clock of machine {}", self.name))?
            .agreeing_with(&self.clock)
            .with_context(|| format!("the clock of machine {}", self.name))
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

fn end(child: &mut Child) {
    // It may have ended already.
    let _ = child.kill();
    let _ = child.wait();
}

/// One of a machine's sockets and logs.
fn file_of(name: &str, dir: &Path, ending: &str) -> PathBuf {
    dir.join(format!("{name}.{ending}"))
}

fn arguments(name: &str, image: &Image, disk: &Path, dir: &Path) -> Vec<String> {
    let file = |ending| file_of(name, dir, ending).display().to_string();
    let mut arguments: Vec<String> = [
        "-name",
        name,
        "-accel",
        "tcg",
        "-machine",
        "pc",
        "-cpu",
        "Nehalem",
        "-smp",
        "1",
        "-m",
        "384",
        "-nodefaults",
        "-no-user-config",
        "-display",
        "none",
        // A reset ends it, so that the machine that took over is alone with the disk and we need not hurry.
        "-action",
        "reboot=shutdown",
    ]
    .map(str::to_owned)
    .to_vec();
    let mut option = |name: &str, value: String| arguments.extend([name.to_owned(), value]);
    option("-kernel", image.kernel.display().to_string());
    option("-initrd", image.initramfs.display().to_string());
    option(
        "-append",
        format!("console=ttyS0 quiet rdinit=/init panic=0 {CLOCK_OPTIONS} host={name}"),
    );
    option("-serial", format!("file:{}", file("kernel")));
    option(
        "-qmp",
        format!("unix:{},server=on,wait=off", file("monitor")),
    );
    option("-device", "virtio-serial-pci".to_owned());
    // What is written here is with us at once; files in the machine are lost with it.
    option("-chardev", format!("file,id=log,path={}", file("log")));
    option("-device", "virtconsole,chardev=log,nr=0".to_owned());
    let agent = file("agent");
    option(
        "-chardev",
        format!("socket,id=agent,path={agent},server=on,wait=off"),
    );
    option("-device", "virtserialport,chardev=agent,nr=1".to_owned());
    option(
        "-blockdev",
        format!(
            "driver=raw,node-name=disk,file.driver=file,file.filename={},file.locking=off,cache.no-flush=on",
            disk.display()
        ),
    );
    option(
        "-device",
        "virtio-blk-pci,drive=disk,share-rw=on".to_owned(),
    );
    arguments
}
