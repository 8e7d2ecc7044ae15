//! Where the algorithms meet the host: time and chance, open disks, and what is known of other hosts.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use ondisk::{HostId, IoTimeout, Name, Timestamp};
use paxos::resource::Held;
use paxos::{Area as OpenArea, Context, DeltaArea, Env, HostSeen, Liveness, NoDeltaArea, Timeouts};
use storage::{BoxFuture, IoError, Storage};
use tracing::error;

use crate::host::Host;

use super::space::Space;
use super::spec::Area;
use super::{Manager, locked};

/// Time and chance for the algorithms.
#[derive(Debug)]
pub(super) struct HostEnv(pub(super) Arc<dyn Host>);

impl Env for HostEnv {
    fn monotime(&self) -> Timestamp {
        self.0.monotime()
    }

    fn random_below(&self, bound: u64) -> u64 {
        self.0.random_below(bound)
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<()> {
        self.0.sleep(duration)
    }
}

/// The path of an area, unless a client sent one that fills its field and has no end. It would be a good
/// path for the system; the C program reads on behind the field.
fn path_that_ends(area: &Area) -> Result<&Path, IoError> {
    const ENAMETOOLONG: i32 = 36;
    let path = &area.path;
    if path.as_os_str().len() < sanlock_proto::DiskPath::LEN {
        return Ok(path);
    }
    Err(IoError::Os {
        action: format!(
            "open {}, a path of at least {} bytes",
            path.display(),
            sanlock_proto::DiskPath::LEN
        ),
        errno: ENAMETOOLONG,
    })
}

impl Manager {
    /// What the algorithms are called with, for requests that may take `io_timeout`.
    pub(super) fn context(&self, io_timeout: IoTimeout) -> Context {
        self.context.with_timeouts(Timeouts {
            io: io_timeout,
            watchdog_fire: self.watchdog_fire(),
        })
    }

    /// What the algorithms are called with outside any lockspace.
    pub(super) fn default_context(&self) -> Context {
        self.context(IoTimeout(self.settings.io_timeout))
    }

    /// Opens one area.
    ///
    /// # Errors
    /// Why it cannot be opened, within the I/O timeout.
    pub(super) async fn open_area(
        &self,
        storage: &Arc<dyn Storage>,
        area: &Area,
        io_timeout: IoTimeout,
    ) -> Result<OpenArea, IoError> {
        let opened = match path_that_ends(area) {
            Ok(path) => storage.open(path).within(io_timeout.duration()).await,
            Err(failed) => Err(failed),
        };
        match opened {
            Ok(disk) => Ok(OpenArea::new(disk, area.offset)),
            Err(failed) => {
                error!("cannot open {area}: {failed}");
                Err(failed)
            }
        }
    }

    /// Opens the areas of one lease, side by side. Those that cannot be opened fail each request, so
    /// that a majority of the others can do without them.
    ///
    /// # Errors
    /// When no majority can be opened: why the last one cannot.
    pub(super) async fn open_areas(
        &self,
        areas: &[Area],
        io_timeout: IoTimeout,
    ) -> Result<Vec<OpenArea>, IoError> {
        let storage = self.host.storage();
        let opening = areas
            .iter()
            .map(|area| self.open_area(&storage, area, io_timeout));
        let opened = join_all(opening).await;
        let good = opened.iter().filter(|one| one.is_ok()).count();
        let mut last_failure = None;
        let all = areas
            .iter()
            .zip(opened)
            .map(|(area, opened)| {
                opened.unwrap_or_else(|failed| {
                    last_failure = Some(failed.clone());
                    OpenArea::unopened(&area.path, area.offset, failed)
                })
            })
            .collect();
        match last_failure {
            Some(failed) if good.saturating_mul(2) <= areas.len() => Err(failed),
            _ => Ok(all),
        }
    }
}

impl Manager {
    /// The areas of a lease that is to be worked on. A single one is opened by the first request, which
    /// saves a hand-over to the storage's threads.
    ///
    /// # Errors
    /// As [`Manager::open_areas`], for several.
    pub(super) async fn areas_of_lease(
        &self,
        areas: &[Area],
        io_timeout: IoTimeout,
    ) -> Result<Vec<OpenArea>, IoError> {
        match areas {
            [only] => {
                let disk = self.host.storage().open_on_use(path_that_ends(only)?);
                Ok(vec![OpenArea::new(disk, only.offset)])
            }
            several => self.open_areas(several, io_timeout).await,
        }
    }

    /// Opens a held lease's areas again. While it is just held they are closed, so that the storage may
    /// be taken away or replaced.
    ///
    /// # Errors
    /// As [`Manager::areas_of_lease`].
    pub(super) async fn reopen(
        &self,
        held: &mut Held,
        areas: &[Area],
        io_timeout: IoTimeout,
    ) -> Result<(), IoError> {
        held.lease.areas = self.areas_of_lease(areas, io_timeout).await?;
        Ok(())
    }
}

/// Whether a lease that was just taken is in what its paths lead to now, on most of its disks.
///
/// Who removes a file must hold its lease for that, so that from now on it stays. Before, another host may have
/// removed it while we had it open: then others will make a new one, and find nobody in it.
///
/// # Errors
/// Why that cannot be told, within the I/O timeout.
pub(super) async fn still_there(
    context: &Context,
    lease: &paxos::ResourceLease,
) -> Result<bool, IoError> {
    let timeout = context.timeouts.io.duration();
    let (mut there, mut gone, mut failure) = (0_usize, 0_usize, None);
    // Side by side, as some may hang.
    let looks = lease.areas.iter().map(|area| area.disk.is_at_its_path());
    for look in looks.collect::<Vec<_>>() {
        match look.within(timeout).await {
            Ok(true) => there += 1,
            Ok(false) => gone += 1,
            Err(failed) => failure = Some(failed),
        }
    }
    let most = |count: usize| count.saturating_mul(2) > lease.areas.len();
    match failure {
        _ if most(there) => Ok(true),
        Some(failed) if !most(gone) => Err(failed),
        _ => Ok(false),
    }
}

/// Closes a held lease's areas.
pub(super) fn close(held: &mut Held) {
    held.lease.areas = Vec::new();
}

/// What one lockspace knows of its hosts, for those who take its leases.
pub(super) struct SpaceLiveness<'a> {
    manager: &'a Manager,
    space: Arc<Space>,
}

impl<'a> SpaceLiveness<'a> {
    /// The hosts of this lockspace.
    pub(super) fn new(manager: &'a Manager, space: Arc<Space>) -> Self {
        Self { manager, space }
    }
}

impl Liveness for SpaceLiveness<'_> {
    fn host_status(&self, host: HostId) -> Option<HostSeen> {
        let max_hosts = self.space.geometry.get()?.max_hosts();
        if host == HostId(0) || host.0 > max_hosts {
            return None;
        }
        self.manager.joined_lockspace(&self.space.spec.name)?;
        Some(locked(&self.space.hosts).host(host).seen)
    }

    fn delta_area(&self, space: &Name) -> Result<DeltaArea, NoDeltaArea> {
        if *space != self.space.spec.name || self.manager.joined_lockspace(space).is_none() {
            return Err(NoDeltaArea::NotJoined);
        }
        let geometry = *self.space.geometry.get().ok_or(NoDeltaArea::NotJoined)?;
        let Area { path, offset } = self.space.spec.area.clone();
        // They are looked at seldom, and then as they are, not through a handle that may have gone stale.
        let disk = self.manager.host.storage().open_on_use(&path);
        Ok(DeltaArea {
            area: OpenArea::new(disk, offset),
            geometry,
        })
    }

    fn host_id_is_ours(&self) -> bool {
        self.manager.lease_is_valid(&self.space)
    }
}

impl Manager {
    /// Whether leases may be taken and kept in a lockspace now: its host id was renewed in time, and it
    /// is not being given up.
    pub(super) fn lease_is_valid(&self, space: &Space) -> bool {
        let silent_for = self.uptime().saturating_sub(space.lease.valid_since());
        let in_time = silent_for < self.valid_for(space) && !space.lease.has_expired();
        in_time
            && space.lease.corrupt() == 0
            && !space.removal_requested()
            && self
                .state()
                .spaces
                .joined(&space.spec.name)
                .is_some_and(|listed| listed.space.id == space.id && !listed.space_dead)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_fills_its_field_is_not_opened() {
        let area = |len: usize| Area {
            path: "/d".repeat(len / 2).into(),
            offset: 0,
        };
        assert_eq!(path_that_ends(&area(1022)), Ok(&*area(1022).path));
        assert_eq!(path_that_ends(&area(1024)).unwrap_err().code(), -36);
    }
}
