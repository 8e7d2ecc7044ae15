//! Two hosts and their disk: the one that fails and the one that takes over.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use ondisk::HostId;

use super::disk::Disk;
use super::host::{Host, WatchdogDaemon};
use super::report::{LATENESS, Report, TAKEOVER_LIMIT};
use super::times::Times;
use crate::image::Image;
use crate::machine::Booting;
use crate::programs::Cast;

const VICTIM: HostId = HostId(1);
const RESCUER: HostId = HostId(2);

/// How often we look whether something has happened.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// What ended the victim's time with the lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// The watchdog.
    Reset(Instant),
    /// Nothing: the other host has the lease too.
    Taken(Instant),
}

/// The hosts, both in the lockspace.
pub(crate) struct Pair {
    pub(crate) victim: Host,
    pub(crate) rescuer: Host,
    pub(crate) disk: Disk,
    pub(crate) times: Times,
    begin: Instant,
}

impl Pair {
    /// Makes a disk and boots both machines.
    pub(crate) fn start(
        cast: Cast,
        times: Times,
        watchdog: WatchdogDaemon,
        image: &Image,
        dir: &Path,
    ) -> Result<Pair> {
        let begin = Instant::now();
        let disk = Disk::new(dir)?;
        let boot = |name| Booting::start(name, image, disk.path(), dir);
        let (victim, rescuer) = (boot("victim")?, boot("rescuer")?);
        let (victim, rescuer) = both(
            || Host::start(victim, VICTIM, cast.victim, watchdog, times),
            || Host::start(rescuer, RESCUER, cast.rescuer, WatchdogDaemon::Good, times),
        )?;
        victim.format_disk()?;
        both(|| victim.join(), || rescuer.join())?;
        Ok(Pair {
            victim,
            rescuer,
            disk,
            times,
            begin,
        })
    }

    /// Waits until the victim owns the lease and has renewed its host id since, and the other one has seen
    /// that: from then on each knows of the other.
    pub(crate) fn settle(&self) -> Result<()> {
        let patience = self.times.usable();
        let owned = self.wait(Instant::now() + patience, || {
            self.disk.owned_since(Some(VICTIM), self.begin)
        })?;
        let since = owned.context("the victim does not get the lease")?;
        for host in [VICTIM, RESCUER] {
            let renewed = self.wait(Instant::now() + patience, || {
                self.disk
                    .last_renewal(host)
                    .filter(|last| last.seen > since)
            })?;
            renewed.with_context(|| format!("host {} does not renew its host id", host.0))?;
        }
        Ok(())
    }

    /// Looks until something is there. `None` if it is not until then; an error if a machine that must not
    /// be reset was.
    pub(crate) fn wait<T>(&self, end: Instant, look: impl Fn() -> Option<T>) -> Result<Option<T>> {
        loop {
            if self.rescuer.machine.reset_at().is_some() {
                bail!("the host that takes over was reset");
            }
            if let Some(found) = look() {
                return Ok(Some(found));
            }
            if Instant::now() > end {
                return Ok(None);
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// The victim's last renewal, as a time of ours: its clock and we agree on it.
    pub(crate) fn last_renewal(&self) -> Result<Instant> {
        let last = self
            .disk
            .last_renewal(VICTIM)
            .context("the victim has never renewed its host id")?;
        Ok(self.victim.clock()?.at(last.timestamp))
    }

    /// Waits for the victim's reset, which must come.
    pub(crate) fn wait_for_reset(&self) -> Result<Instant> {
        let limit = self.times.expiry() + self.times.fire() + Duration::from_secs(20);
        let reset = self.wait(Instant::now() + limit, || self.victim.machine.reset_at())?;
        reset.with_context(|| format!("no reset within {} s", limit.as_secs()))
    }

    /// Waits until the victim was reset, or the other host has its lease although it was not.
    pub(crate) fn wait_for_reset_or_takeover(&self) -> Result<Ended> {
        let limit = self.times.expiry() + self.times.fire() + Duration::from_secs(20);
        let reset = || self.victim.machine.reset_at().map(Ended::Reset);
        let ended = self.wait(Instant::now() + limit, || {
            let taken = || self.disk.owned_since(Some(RESCUER), self.begin);
            reset().or_else(|| taken().map(Ended::Taken))
        })?;
        let ended = ended
            .with_context(|| format!("no reset and no takeover within {} s", limit.as_secs()))?;
        if let Ended::Taken(_) = ended {
            // QEMU's word may come a little after what the disk shows.
            std::thread::sleep(LATENESS);
        }
        Ok(reset().unwrap_or(ended))
    }

    /// When the other host may take the lease from one that renews no more since that time: when it has seen
    /// no renewal for long enough.
    fn may_take(&self, silent: Instant) -> Result<Instant> {
        // A renewal begins with reading the others', and the first may have begun before.
        for _ in 0..2 {
            let before = self.disk.last_renewal(RESCUER).map(|last| last.seen);
            let before = before.filter(|seen| *seen > silent).unwrap_or(silent);
            let renewed = self.wait(Instant::now() + self.times.usable(), || {
                self.disk
                    .last_renewal(RESCUER)
                    .filter(|last| last.seen > before)
            })?;
            renewed.context("the other host does not renew its host id")?;
        }
        let seen = self.rescuer.last_saw(VICTIM)?;
        let clock = self.rescuer.clock()?;
        Ok(clock.at(seen) + clock.uncertain() + self.times.expiry())
    }

    /// Waits until the other host has the lease of one that renews no more since that time, and says whether
    /// it was too early or too late.
    pub(crate) fn wait_for_takeover(&self, report: &mut Report, silent: Instant) -> Result<()> {
        let expiry = self.last_renewal()? + self.times.expiry();
        let may = self.may_take(silent)?;
        report.note("expiry", expiry);
        report.note("free", may);
        let end = may + TAKEOVER_LIMIT + self.times.usable();
        let taken = self.wait(end, || self.disk.owned_since(Some(RESCUER), self.begin))?;
        let Some(taken) = taken else {
            report.fault("the other host never took the lease");
            return Ok(());
        };
        report.note("taken", taken);
        report.not_before("taken", taken, ("the victim's expiry", expiry));
        report.not_after("taken", taken, ("its last moment", may + TAKEOVER_LIMIT));
        if let Some(reset) = self.victim.machine.reset_at() {
            report.not_before("taken", taken, ("the victim's reset", reset));
        }
        Ok(())
    }

    /// Nothing resets the victim until then.
    pub(crate) fn watch_for_resets(&self, report: &mut Report, end: Instant) -> Result<()> {
        if let Some(reset) = self.wait(end, || self.victim.machine.reset_at())? {
            report.note("reset", reset);
            report.fault("the victim was reset without cause");
        }
        Ok(())
    }

    /// Waits until the other host has the lease.
    pub(crate) fn lease_taken(&self, limit: Duration) -> Result<Option<Instant>> {
        self.wait(Instant::now() + limit, || {
            self.disk.owned_since(Some(RESCUER), self.begin)
        })
    }

    /// Whether both clocks have kept time until now.
    pub(crate) fn check_clocks(&self) -> Result<()> {
        self.victim.clock()?;
        self.rescuer.clock().map(drop)
    }
}

/// Does both at once.
fn both<A: Send, B: Send>(
    one: impl FnOnce() -> Result<A> + Send,
    other: impl FnOnce() -> Result<B> + Send,
) -> Result<(A, B)> {
    std::thread::scope(|scope| {
        let one = scope.spawn(one);
        let other = other();
        let one = one
            .join()
            .unwrap_or_else(|_| bail!("a thread has panicked"))?;
        Ok((one, other?))
    })
}
