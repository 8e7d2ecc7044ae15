//! A machine with a lease daemon and a watchdog daemon.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use ondisk::HostId;

use super::disk::{RESOURCE_OFFSET, SECTORS};
use super::times::Times;
use crate::image::TOOLS;
use crate::machine::{Booting, Clock, Machine};
use crate::programs::{Build, Daemons};

const SPACE: &str = "LS";
/// The only one of device mapper.
const DEVICE: &str = "/dev/dm-0";
const WATCHDOG: &str = "/dev/watchdog0";
/// A process waits for a line here before it touches the disk.
const FIFO: &str = "/run/go";

/// One of the two hosts.
pub(crate) struct Host {
    pub(crate) machine: Machine,
    pub(crate) id: HostId,
    daemons: Daemons,
    watchdog: WatchdogDaemon,
    times: Times,
}

/// Which watchdog daemon a host has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WatchdogDaemon {
    Good,
    /// It keeps the device alive whatever its clients say.
    AlwaysPets,
}

/// A process that holds the lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Holder(u32);

/// A daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Daemon {
    Sanlock,
    Wdmd,
}

impl Daemon {
    fn name(self) -> &'static str {
        match self {
            Daemon::Sanlock => "sanlock",
            Daemon::Wdmd => "wdmd",
        }
    }
}

impl Host {
    /// Waits until it has booted, puts the disk below a device mapper table that can be exchanged, and starts
    /// the daemons.
    pub(crate) fn start(
        booting: Booting,
        id: HostId,
        daemons: Daemons,
        watchdog: WatchdogDaemon,
        times: Times,
    ) -> Result<Host> {
        let host = Host {
            machine: booting.wait()?,
            id,
            daemons,
            watchdog,
            times,
        };
        host.dmsetup(&format!("create lease --table '{}'", linear()))?;
        host.start_daemons()?;
        Ok(host)
    }

    fn start_daemons(&self) -> Result<()> {
        let conf = format!(
            "our_host_name = {}\\nuse_watchdog = 1\\nwatchdog_fire_timeout = {}\\n",
            self.machine.name(),
            self.times.fire
        );
        let root = self.daemons.sanlock.root();
        self.machine.run(&format!(
            "printf '{conf}' > {root}/etc/sanlock/sanlock.conf"
        ))?;
        match self.watchdog {
            WatchdogDaemon::Good => self.background(Daemon::Wdmd, "-D -G root")?,
            WatchdogDaemon::AlwaysPets => {
                let command = format!("/guest always-pets {WATCHDOG}");
                self.start_in_background(Daemon::Wdmd, &command)?;
            }
        }
        self.until("test -S /run/wdmd/wdmd.sock")?;
        self.background(Daemon::Sanlock, "daemon -D -U root -G root")?;
        self.until(&format!("{} > /dev/null", self.sanlock("client status")))
    }

    /// Starts a daemon that writes to the machine's log.
    fn background(&self, daemon: Daemon, arguments: &str) -> Result<()> {
        let build = match daemon {
            Daemon::Sanlock => self.daemons.sanlock,
            Daemon::Wdmd => self.daemons.wdmd,
        };
        let (root, name) = (build.root(), daemon.name());
        let command = format!("chroot {root} /usr/sbin/{name} {arguments}");
        self.start_in_background(daemon, &command)
    }

    /// The same with any program in its place.
    fn start_in_background(&self, daemon: Daemon, command: &str) -> Result<()> {
        let name = daemon.name();
        let start = format!("{command} > /dev/hvc0 2>&1 & echo $! > /run/{name}.started");
        self.machine.run(&start).map(drop)
    }

    fn until(&self, command: &str) -> Result<()> {
        let patiently = format!(
            "n=0; until {command}; do n=$((n+1)); [ $n -lt 200 ] || exit 1; sleep 0.1; done"
        );
        self.machine.run(&patiently).map(drop)
    }

    /// `sanlock ARGUMENTS` on this host.
    fn sanlock(&self, arguments: &str) -> String {
        format!(
            "chroot {} /usr/sbin/sanlock {arguments}",
            self.daemons.sanlock.root()
        )
    }

    fn dmsetup(&self, arguments: &str) -> Result<()> {
        let command = format!("chroot {TOOLS} /sbin/dmsetup --noudevsync {arguments}");
        self.machine.run(&command).map(drop)
    }

    /// Writes a lockspace and a resource that nobody owns.
    pub(crate) fn format_disk(&self) -> Result<()> {
        let space = format!("{SPACE}:0:{DEVICE}:0");
        for lease in [format!("-s {space}"), format!("-r {}", resource())] {
            let init = self.sanlock(&format!("direct init {lease} -o {}", self.times.io));
            self.machine.run(&init)?;
        }
        Ok(())
    }

    /// Joins the lockspace.
    pub(crate) fn join(&self) -> Result<()> {
        let arguments = format!(
            "client add_lockspace -s {SPACE}:{}:{DEVICE}:0 -o {}",
            self.id.0, self.times.io
        );
        let limit = Duration::from_secs(u64::from(30 * self.times.io));
        let said = self.machine.try_run(&self.sanlock(&arguments), limit)?;
        if said.status != 0 {
            bail!("{} cannot join: {}", self.machine.name(), said.text.trim());
        }
        Ok(())
    }

    /// Leaves the lockspace.
    pub(crate) fn leave(&self) -> Result<()> {
        let arguments = format!("client rem_lockspace -s {SPACE}:{}:{DEVICE}:0", self.id.0);
        self.machine.run(&self.sanlock(&arguments)).map(drop)
    }

    /// Starts a process that holds the lease and does nothing.
    pub(crate) fn hold(&self) -> Result<Holder> {
        self.hold_with("sleep 100000")
    }

    /// Starts a process that holds the lease and reads the disk when it is told to: then nothing ends it
    /// while the disk hangs.
    pub(crate) fn hold_and_read(&self) -> Result<Holder> {
        self.machine.run(&format!("mkfifo {FIFO}"))?;
        let read = format!("dd if={DEVICE} of=/dev/null bs=4096 count=1 iflag=direct");
        self.hold_with(&format!(
            "sh -c 'read go < {FIFO}; exec /bin/busybox {read}'"
        ))
    }

    fn hold_with(&self, command: &str) -> Result<Holder> {
        let arguments = format!("client command -r {} -c /bin/busybox {command}", resource());
        let run = format!("{} > /dev/hvc0 2>&1 & echo $!", self.sanlock(&arguments));
        let said = self.machine.run(&run)?;
        let pid = said.trim().parse();
        pid.map(Holder)
            .with_context(|| format!("no process id: {said:?}"))
    }

    /// Tells the holder to read, and waits until it does and can not be interrupted.
    pub(crate) fn have_it_read(&self, holder: Holder) -> Result<()> {
        self.machine.run(&format!("echo go > {FIFO}"))?;
        self.until(&format!("grep -q '^State:.D' /proc/{}/status", holder.0))
    }

    /// Tries again and again to get the lease.
    pub(crate) fn contend(&self) -> Result<()> {
        let arguments = format!(
            "client command -r {} -c /bin/busybox sleep 100000",
            resource()
        );
        let command = self.sanlock(&arguments);
        self.machine.start(&format!(
            "until {command} > /run/contend 2>&1; do sleep 0.3; done"
        ))
    }

    /// Sends a daemon a signal. The reset clock starts between the two times.
    pub(crate) fn signal(&self, daemon: Daemon, signal: &str) -> Result<(Instant, Instant)> {
        let before = Instant::now();
        let pid = format!("$(cat /run/{}.started)", daemon.name());
        self.machine.run(&format!("kill -{signal} {pid}"))?;
        Ok((before, Instant::now()))
    }

    /// Kills the holder.
    pub(crate) fn kill(&self, holder: Holder) -> Result<()> {
        self.machine
            .run(&format!("kill -KILL {}", holder.0))
            .map(drop)
    }

    /// Whether the holder is there, and no zombie.
    pub(crate) fn is_alive(&self, holder: Holder) -> Result<bool> {
        let command = format!("grep -q '^State:.[^ZX]' /proc/{}/status", holder.0);
        let said = self.machine.try_run(&command, Duration::from_secs(20))?;
        Ok(said.status == 0)
    }

    /// Stops the lease daemon, which must be in no lockspace, and then the watchdog daemon; waits for both.
    pub(crate) fn stop_in_order(&self) -> Result<()> {
        self.machine.run(&self.sanlock("client shutdown"))?;
        self.until_gone(Daemon::Sanlock)?;
        self.signal(Daemon::Wdmd, "TERM")?;
        self.until_gone(Daemon::Wdmd)
    }

    fn until_gone(&self, daemon: Daemon) -> Result<()> {
        let pid = format!("$(cat /run/{}.started)", daemon.name());
        self.until(&format!(
            "! grep -q '^State:.[^ZX]' /proc/{pid}/status 2> /dev/null"
        ))
    }

    /// Whether the watchdog's device stays open when the watchdog daemon dies.
    pub(crate) fn keeps_its_device(&self) -> bool {
        self.daemons.wdmd == Build::Ours
    }

    /// What the kernel says of the watchdog: `active` or `inactive`.
    pub(crate) fn watchdog_state(&self) -> Result<String> {
        let said = self
            .machine
            .run("cat /sys/class/watchdog/watchdog0/state")?;
        Ok(said.trim().to_owned())
    }

    /// From now on each request to this host's disk fails.
    pub(crate) fn fail_disk(&self) -> Result<()> {
        // Not waiting for what is under way, and no file system is asked to settle.
        self.dmsetup("suspend --noflush --nolockfs lease")?;
        self.dmsetup(&format!("load lease --table '0 {SECTORS} error'"))?;
        self.dmsetup("resume lease")
    }

    /// From now on each request to this host's disk hangs.
    pub(crate) fn hang_disk(&self) -> Result<()> {
        self.dmsetup("suspend --noflush --nolockfs lease")
    }

    /// When this host last saw the other one alive, by its lease daemon's word.
    pub(crate) fn last_saw(&self, other: HostId) -> Result<u64> {
        let said = self
            .machine
            .run(&self.sanlock(&format!("client host_status -s {SPACE} -D")))?;
        last_live(&said, other).with_context(|| format!("no last_live of host {}: {said}", other.0))
    }

    /// The host's clock.
    pub(crate) fn clock(&self) -> Result<Clock> {
        self.machine.clock()
    }
}

fn linear() -> String {
    format!("0 {SECTORS} linear /dev/vda 0")
}

fn resource() -> String {
    format!("{SPACE}:R1:{DEVICE}:{RESOURCE_OFFSET}")
}

/// A host's line begins with its id, and its details are indented.
fn last_live(text: &str, host: HostId) -> Option<u64> {
    let mut current = None;
    for line in text.lines() {
        if !line.starts_with([' ', '\t']) {
            current = line.split_whitespace().next()?.parse::<u64>().ok();
        } else if current == Some(host.0) {
            if let Some(value) = line.trim().strip_prefix("last_live=") {
                return value.parse().ok();
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_sight_of_a_host_is_found() {
        let text = "1 timestamp 30\n    last_check=31\n    last_live=29\n2 timestamp 32\n    last_live=32\n";
        assert_eq!(last_live(text, HostId(1)), Some(29));
        assert_eq!(last_live(text, HostId(2)), Some(32));
        assert_eq!(last_live(text, HostId(3)), None);
    }
}
