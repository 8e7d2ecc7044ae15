//! The host that the daemon really runs on.

use std::fmt;
use std::future::Future;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use daemon::helper::{Helper, Order, SendError};
use daemon::{Clock, Process, ProcessState};
use nix::sys::signal::Signal;
use ondisk::{HostId, Name};
use storage::block_queue::{BlockQueue, MaxSectors};
use storage::{BoxFuture, DirectIo, IoError, Storage};
use tokio::runtime::Handle;
use tracing::{debug, error};

use crate::host::{
    HelperError, HelperStatus, Host, KillPath, Pid, StopSignal, Watchdog, WatchdogError,
};
use crate::membership::Membership;
use crate::watchdog;

/// How long the run directory is waited for; it is in memory on most hosts.
const RUN_DIR_PATIENCE: Duration = Duration::from_secs(2);

/// This machine.
pub struct RealHost {
    storage: DirectIo,
    renewal_storage: DirectIo,
    general: Handle,
    renewals: Handle,
    helper: Arc<Helper>,
    membership: Membership,
    helper_full: AtomicU32,
    helper_alive_at: AtomicU64,
    am_root: bool,
}

impl fmt::Debug for RealHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RealHost").finish_non_exhaustive()
    }
}

impl RealHost {
    /// A host whose tasks run on two runtimes: the general one and the one for renewals alone.
    pub fn new(
        storage: DirectIo,
        renewal_storage: DirectIo,
        general: Handle,
        renewals: Handle,
        helper: Arc<Helper>,
        membership: Membership,
    ) -> Self {
        Self {
            storage,
            renewal_storage,
            general,
            renewals,
            helper,
            membership,
            helper_full: AtomicU32::new(0),
            helper_alive_at: AtomicU64::new(0),
            am_root: nix::unistd::geteuid().is_root(),
        }
    }

    /// The helper process.
    pub fn helper(&self) -> &Arc<Helper> {
        &self.helper
    }

    /// Takes note that the helper is alive.
    pub fn helper_is_alive(&self) {
        self.helper_alive_at
            .store(Clock::monotonic_seconds(), Ordering::Relaxed);
    }

    fn order(&self, order: Result<Order, daemon::Error>) -> Result<(), HelperError> {
        let order = order.map_err(|failed| {
            error!("no order for the helper: {failed}");
            HelperError::Gone
        })?;
        self.helper.send(&order).map_err(|failed| match failed {
            SendError::Full => {
                self.helper_full.fetch_add(1, Ordering::Relaxed);
                HelperError::Full
            }
            SendError::Gone => HelperError::Gone,
            SendError::Os(failed) => {
                error!("the helper cannot be told anything: {failed}");
                HelperError::Gone
            }
        })
    }
}

fn unreadable(notes: &Membership, failed: &std::io::Error) -> IoError {
    IoError::Os {
        action: format!("use {}", notes.directory().display()),
        errno: failed.raw_os_error().unwrap_or(0),
    }
}

impl Host for RealHost {
    fn monotonic(&self) -> Duration {
        Clock::monotonic()
    }

    fn suspended(&self) -> Duration {
        Clock::suspended()
    }

    fn random_below(&self, bound: u64) -> u64 {
        let random = uuid::Uuid::new_v4().as_u64_pair().1;
        // The fixed bits of a version 4 UUID are in the upper two of these 64.
        (random & (u64::MAX >> 2)).checked_rem(bound).unwrap_or(0)
    }

    fn storage(&self) -> Arc<dyn Storage> {
        Arc::new(self.storage.clone())
    }

    fn renewal_storage(&self) -> Arc<dyn Storage> {
        Arc::new(self.renewal_storage.clone())
    }

    fn spawn(&self, task: Pin<Box<dyn Future<Output = ()> + Send>>) {
        self.general.spawn(task);
    }

    fn spawn_renewal(&self, task: Pin<Box<dyn Future<Output = ()> + Send>>) {
        self.renewals.spawn(task);
    }

    fn connect_watchdog(
        &self,
        name: String,
        fire_timeout: u32,
    ) -> BoxFuture<Result<Box<dyn Watchdog>, WatchdogError>> {
        Box::pin(watchdog::connect(name, fire_timeout))
    }

    fn note_membership(&self, space: Name, host: HostId, joined: bool) -> BoxFuture<()> {
        let notes = self.membership.clone();
        let noted = self
            .renewal_storage
            .run(self.membership.directory(), move || {
                let noted = notes.note(&space, host, joined);
                noted.map_err(|failed| unreadable(&notes, &failed))
            });
        Box::pin(async move {
            if let Err(failed) = noted.within(RUN_DIR_PATIENCE).await {
                error!(
                    "whether lockspace {space} is joined could not be noted: {failed}; a later daemon may take \
                     what this one leaves behind for dead"
                );
            }
        })
    }

    fn died_joined(&self, space: Name, host: HostId) -> BoxFuture<bool> {
        let notes = self.membership.clone();
        let found = self
            .renewal_storage
            .run(self.membership.directory(), move || {
                let found = notes.is_noted(&space, host);
                found.map_err(|failed| unreadable(&notes, &failed))
            });
        Box::pin(async move {
            found.within(RUN_DIR_PATIENCE).await.unwrap_or_else(|failed| {
                error!(
                    "whether an earlier daemon left lockspace {space} cannot be told: {failed}; the worst is \
                     assumed"
                );
                true
            })
        })
    }

    fn kill(&self, pid: Pid, signal: StopSignal) -> Result<(), HelperError> {
        let signal = match signal {
            StopSignal::Term => Signal::SIGTERM,
            StopSignal::Kill => Signal::SIGKILL,
        };
        // The time of its start tells it from a later process of the same number.
        let started = Process::open(pid.0)
            .ok()
            .and_then(|process| process.start_time());
        self.order(Order::kill(pid.0, signal, started))
    }

    fn run_kill_path(&self, program: &KillPath, pid: Option<Pid>) -> Result<(), HelperError> {
        self.order(Order::run_program(
            &program.path,
            &program.args,
            pid.map(|pid| pid.0),
        ))
    }

    fn describe_process(&self, pid: Pid) -> String {
        match ProcessState::read(pid.0) {
            Ok(state) => state.to_string(),
            Err(failed) => format!("cannot be looked at: {failed}"),
        }
    }

    fn set_max_sectors(
        &self,
        path: PathBuf,
        wanted: MaxSectors,
        align_size: usize,
    ) -> BoxFuture<u32> {
        let look_at = path.clone();
        let looked = self.renewal_storage.run(&path, move || {
            let Some(queue) = BlockQueue::of(&look_at)? else {
                return Ok(None);
            };
            let hardware = queue.hardware_max_sectors_kib()?;
            let current = queue.max_sectors_kib()?;
            let device = std::fs::metadata(&look_at).map_or(0, |found| found.rdev());
            Ok(wanted
                .wanted_kib(align_size, hardware)
                .map(|kib| (queue, device, kib, current != kib)))
        });
        let am_root = self.am_root;
        let storage = self.renewal_storage.clone();
        let helper = Arc::clone(&self.helper);
        Box::pin(async move {
            let found = match looked.within(Duration::from_secs(2)).await {
                Ok(Some(found)) => found,
                Ok(None) => return 0,
                Err(failed) => {
                    debug!(
                        "max_sectors_kb of {} is left alone: {failed}",
                        path.display()
                    );
                    return 0;
                }
            };
            let (queue, device, kib, differs) = found;
            if !differs {
                return kib;
            }
            if am_root {
                let set = storage.run(&path, move || queue.set_max_sectors_kib(kib));
                if let Err(failed) = set.within(Duration::from_secs(2)).await {
                    debug!(
                        "max_sectors_kb of {} is left alone: {failed}",
                        path.display()
                    );
                    return 0;
                }
                return kib;
            }
            // The helper has the rights where the daemon has not.
            let (major, minor) = (nix::sys::stat::major(device), nix::sys::stat::minor(device));
            let ordered = Order::set_max_sectors_kb(major, minor, kib)
                .is_ok_and(|order| helper.send(&order).is_ok());
            if ordered { kib } else { 0 }
        })
    }

    fn helper_status(&self) -> HelperStatus {
        use std::os::fd::AsRawFd;
        HelperStatus {
            pid: self.helper.pid(),
            kill_fd: self.helper.reports().as_raw_fd(),
            full_count: self.helper_full.load(Ordering::Relaxed),
            last_status: self.helper_alive_at.load(Ordering::Relaxed),
        }
    }
}
