//! What a scenario is: data, and what is done.

use std::time::Duration;

use anyhow::Result;

use super::Lab;

/// The lock manager that libvirt is told to use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manager {
    Sanlock,
    Lockd,
    None,
}

/// Where the leases are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Storage {
    /// A directory that both hosts see.
    Directory,
    /// The same, through a file system that fails on command, on each host by itself.
    Faulty,
}

/// A program that does not do what it is for, in place of a good one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Broken {
    /// Whose place it takes.
    pub(crate) program: &'static str,
    pub(crate) script: &'static str,
}

/// What hosts there are, and how they are set up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setup {
    pub(crate) hosts: u8,
    pub(crate) manager: Manager,
    pub(crate) storage: Storage,
    /// sanlock: a lease for each disk without being asked for it.
    pub(crate) auto_leases: bool,
    /// sanlock: no guest without leases.
    pub(crate) require_leases: bool,
    /// sanlock: other host ids than 1 and 2.
    pub(crate) host_ids: Option<[u8; 2]>,
    /// A device with sectors of this size, that both hosts have.
    pub(crate) device_sector: Option<u16>,
    /// virtlockd: locks are files of their own in a directory, not on the images themselves.
    pub(crate) lockspace: bool,
    /// virtlockd: devices are locked by the names that LVM and SCSI have for them. The programs that are asked for those can
    /// be replaced.
    pub(crate) volumes: bool,
    /// virtlockd: started by its first client, and ended after so long without one.
    pub(crate) activated: Option<Duration>,
    /// libvirtd lets nobody in without a password, not even root.
    pub(crate) passwords: bool,
    /// Programs that others do without.
    pub(crate) needs: &'static [&'static str],
    pub(crate) broken: Option<Broken>,
    /// Takes minutes, so it is played only when asked for.
    pub(crate) slow: bool,
}

impl Setup {
    pub(super) const fn new(manager: Manager, hosts: u8) -> Setup {
        Setup {
            hosts,
            manager,
            storage: Storage::Directory,
            auto_leases: true,
            require_leases: false,
            host_ids: None,
            device_sector: None,
            lockspace: true,
            volumes: false,
            activated: None,
            passwords: false,
            needs: &[],
            broken: None,
            slow: false,
        }
    }
}

/// A scenario.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) what: &'static str,
    pub(crate) setup: Setup,
    pub(crate) play: fn(&mut Lab) -> Result<()>,
}
