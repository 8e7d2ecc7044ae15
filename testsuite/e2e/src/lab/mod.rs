//! Hosts of namespaces: libvirtd, its lock manager and guests, as on two computers with shared storage.

mod activator;
mod daemons;
mod devices;
mod enclosure;
mod faults;
mod guest;
mod host;
mod init;
mod leases;
mod libvirt;
mod lock_watch;
mod mounts;
mod network;
mod play;
mod renewals;
mod scenario;
mod scenarios;
mod stage;
mod story;

pub(crate) use activator::{Options as ActivatorOptions, run as run_activator};
pub(crate) use init::{Options as HostOptions, run as run_host};
pub(crate) use lock_watch::{Options as LockWatchOptions, run as watch_locks};
pub(crate) use play::{Options as LabOptions, inside as run_lab, play};
pub(crate) use scenario::Scenario;
pub(crate) use scenarios::SCENARIOS;
pub(crate) use stage::{Lab, missing, not_built};
pub(crate) use story::{Event, Held, Kind as EventKind, Story};
