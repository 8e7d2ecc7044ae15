//! The manager: it owns what the daemon knows of lockspaces, resources and clients, and does what
//! clients ask for.
//!
//! Its state stands behind one lock that is held for moments only and never across a wait. What
//! must not wait even for that, the renewal of host ids, keeps to [`space::LeaseStatus`].

/// Whether a mistake is switched on: never, unless the `hazards` feature is compiled in.
macro_rules! planted {
    ($manager:expr, $hazard:ident) => {{
        #[cfg(feature = "hazards")]
        let on = $manager.hazards.has($crate::manager::DaemonHazard::$hazard);
        #[cfg(not(feature = "hazards"))]
        let on = {
            let _: &$crate::manager::Manager = $manager;
            false
        };
        on
    }};
}

mod acquire;
pub mod clients;
mod command;
mod convert;
mod enter;
mod events;
#[cfg(feature = "hazards")]
mod hazards;
mod host_events;
pub mod hosts;
mod join;
mod lease;
pub mod lockspaces;
mod lvb;
mod recovery;
mod release;
mod renewal;
mod request;
pub mod resources;
mod rindex;
mod sharing;
mod shutdown;
pub mod space;
pub mod spec;
pub mod storage_commands;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ondisk::Name;
use tokio::sync::Notify;

use crate::host::Host;
use crate::settings::Settings;
use crate::watched::Watched;

pub use acquire::AcquireRequest;
pub use command::Target;
pub use events::{HostEvent, ReceivedEvent};
#[cfg(feature = "hazards")]
pub use hazards::{DaemonHazard, Hazards};
pub use lockspaces::{List, LockspaceConfig};
pub use release::ReleaseRequest;
pub use rindex::{RindexEntrySpec, RindexSpec};
pub use shutdown::Shutdown;

use clients::Clients;
use lockspaces::Spaces;
use resources::Resources;

/// A result as the C program's clients know it: zero or more is good, below zero is an error number.
pub type Code = i32;

/// Error numbers of the system, as results.
pub mod errno {
    /// Not held.
    pub const PERM: i32 = -1;
    /// No such thing.
    pub const NOENT: i32 = -2;
    /// No such process.
    pub const SRCH: i32 = -3;
    /// Too many.
    pub const TOOBIG: i32 = -7;
    /// Not now.
    pub const AGAIN: i32 = -11;
    /// Not enough memory; in `set_lvb`, no value at all.
    pub const NOMEM: i32 = -12;
    /// Somebody works on it.
    pub const BUSY: i32 = -16;
    /// It is there already.
    pub const EXIST: i32 = -17;
    /// No storage there.
    pub const NODEV: i32 = -19;
    /// Not a valid argument.
    pub const INVAL: i32 = -22;
    /// The client died meanwhile.
    pub const NOTTY: i32 = -25;
    /// No such lockspace.
    pub const NOSPC: i32 = -28;
    /// Out of range.
    pub const RANGE: i32 = -34;
    /// A path without an end.
    pub const NAMETOOLONG: i32 = -36;
    /// No place for a listener.
    pub const NOCSI: i32 = -50;
    /// The end of the message is missing.
    pub const NOTCONN: i32 = -107;
    /// It is so already.
    pub const ALREADY: i32 = -114;
    /// It is under way.
    pub const INPROGRESS: i32 = -115;
    /// The client is gone.
    pub const STALE: i32 = -116;
    /// An orphan stands in the way.
    pub const UCLEAN: i32 = -117;
}

/// The manager.
#[derive(Debug)]
pub struct Manager {
    host: Arc<dyn Host>,
    settings: Settings,
    state: Mutex<State>,
    /// A client went away or gave up leases: who waits for that may look again.
    clients_changed: Notify,
    /// Whether, and how, the daemon is to end.
    shutdown: Watched<Shutdown>,
    /// What the algorithms are called with; each lockspace has its own timeouts.
    context: paxos::Context,
    /// Mistakes that are switched on.
    #[cfg(feature = "hazards")]
    hazards: Hazards,
}

/// What the daemon knows.
#[derive(Debug, Default)]
pub struct State {
    spaces: Spaces,
    resources: Resources,
    clients: Clients,
    last_token_id: u32,
    /// Resource index operations under way, one per lockspace at most.
    rindex_ops: BTreeMap<Name, rindex::Operation>,
}

/// A lock that a panic cannot poison: the daemon ends with the first panic.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Manager {
    /// A manager without lockspaces or clients.
    pub fn new(host: Arc<dyn Host>, settings: Settings) -> Arc<Self> {
        Arc::new(Self::made(host, settings))
    }

    /// The same with mistakes.
    #[cfg(feature = "hazards")]
    pub fn with_hazards(host: Arc<dyn Host>, settings: Settings, hazards: Hazards) -> Arc<Self> {
        let mut manager = Self::made(host, settings);
        manager.context.hazards = hazards.leases.clone();
        manager.hazards = hazards;
        Arc::new(manager)
    }

    fn made(host: Arc<dyn Host>, settings: Settings) -> Self {
        let env = Arc::new(lease::HostEnv(Arc::clone(&host)));
        let mut context = paxos::Context::new(env, paxos::Timeouts::default());
        context.first_look = settings.first_look;
        Self {
            context,
            host,
            settings,
            state: Mutex::default(),
            clients_changed: Notify::new(),
            shutdown: Watched::new(Shutdown::No),
            #[cfg(feature = "hazards")]
            hazards: Hazards::default(),
        }
    }

    /// How the daemon was set up.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The host under it.
    pub fn host(&self) -> &Arc<dyn Host> {
        &self.host
    }

    fn state(&self) -> MutexGuard<'_, State> {
        locked(&self.state)
    }

    /// Seconds of the monotonic clock.
    fn now(&self) -> u64 {
        self.host.monotime().0
    }

    /// How long the host has been suspended since boot: the monotonic clock does not count it, leases do.
    fn suspended(&self) -> Duration {
        if planted!(self, ExpiryStopsInSuspend) {
            return Duration::ZERO;
        }
        self.host.suspended()
    }

    /// Time since boot, by which a lease's validity is counted.
    fn uptime(&self) -> Duration {
        self.host.monotonic().saturating_add(self.suspended())
    }

    /// For how long a host id is ours after a renewal.
    fn valid_for(&self, space: &space::Space) -> Duration {
        if planted!(self, ExpiryTooLate) {
            return space.io_timeout.host_dead(self.watchdog_fire());
        }
        space.io_timeout.renewal_fail()
    }

    /// How long after its last keepalive a watchdog resets its host.
    fn watchdog_fire(&self) -> Duration {
        Duration::from_secs(u64::from(self.settings.watchdog_fire_timeout))
    }

    /// What is to be thought of a host now.
    pub fn host_state(&self, space: &space::Space, host: &hosts::HostRecord) -> hosts::HostState {
        host.state(self.now(), space.spec.host_id, self.watchdog_fire())
    }

    /// Looks at clients and resources, for status.
    pub fn look<T>(&self, look: impl FnOnce(&Clients, &Resources) -> T) -> T {
        let state = self.state();
        look(&state.clients, &state.resources)
    }
}
