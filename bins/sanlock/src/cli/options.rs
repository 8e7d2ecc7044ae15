//! What an action of `sanlock client` or `sanlock direct` was told on its command line.

use std::ffi::OsString;

use config::sanlock_conf::SanlockConf;
use sanlock_proto::flags::{LockspaceFlags, ResourceFlags, RindexFlags};
use sanlock_proto::{Lockspace, Resource, Rindex, RindexEntry};

/// Seconds that one request on storage may take, where nothing says otherwise.
pub const DEFAULT_IO_TIMEOUT: u32 = 10;

/// What sanlock.conf says that matters without the daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Configured {
    /// `io_timeout` in seconds: the default of `-o`.
    pub io_timeout: u32,
    /// `watchdog_fire_timeout` in seconds.
    pub watchdog_fire_timeout: u32,
    /// `write_init_io_timeout` in seconds; 0 for the I/O timeout.
    pub write_init_io_timeout: u32,
    /// `our_host_name`.
    pub host_name: Option<Vec<u8>>,
}

impl Default for Configured {
    fn default() -> Self {
        Self {
            io_timeout: DEFAULT_IO_TIMEOUT,
            watchdog_fire_timeout: 60,
            write_init_io_timeout: 60,
            host_name: None,
        }
    }
}

impl From<SanlockConf> for Configured {
    fn from(conf: SanlockConf) -> Self {
        let default = Self::default();
        Self {
            io_timeout: conf.io_timeout.map_or(default.io_timeout, u32::from),
            watchdog_fire_timeout: conf
                .watchdog_fire_timeout
                .unwrap_or(default.watchdog_fire_timeout),
            write_init_io_timeout: conf
                .write_init_io_timeout
                .unwrap_or(default.write_init_io_timeout),
            host_name: conf.our_host_name,
        }
    }
}

/// The options of an action. Every letter is understood by every action, as in the original; what an
/// action does not use has no effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// What sanlock.conf says.
    pub configured: Configured,
    /// `-D`: print more.
    pub debug: bool,
    /// `--json`: print JSON instead of the original's text.
    pub json: bool,
    /// `-a`: everything the process holds (release).
    pub all: bool,
    /// `-w`: wait for the result (shutdown).
    pub wait: i32,
    /// `-h`: list hosts, or owners, too (gets, read).
    pub hosts: bool,
    /// `-o p` or `-o s`: how status is sorted; other letters sort nothing.
    pub sort: u8,
    /// `-o`: seconds that one request on storage may take, and what is written into new delta leases.
    pub io_timeout: u32,
    /// `-n`: hosts that may use a resource lease.
    pub num_hosts: i32,
    /// `-m`: sent to the daemon with init.
    pub max_hosts: i32,
    /// `-p`: process that the leases are for; -1 for none.
    pub pid: i32,
    /// `-C`: client that the leases are for, by the daemon's number for it; -1 for none.
    pub client_id: i32,
    /// `-i`: host id.
    pub host_id: u64,
    /// `-g`: generation of that host id.
    pub generation: u64,
    /// `-e`: number of the event to set.
    pub event: u64,
    /// `-e`: name of this host, for `direct acquire_id`.
    pub host_name: Option<Vec<u8>>,
    /// `-d`: data of the event to set.
    pub event_data: u64,
    /// `-f`: force mode of a request; how much `dump` shows; the force of `shutdown`.
    pub force_mode: u32,
    /// `-s`.
    pub lockspace: Lockspace,
    /// `-r`, up to eight times.
    pub resources: Vec<Resource>,
    /// `-x`.
    pub rindex: Rindex,
    /// `-e` where the action works on a resource index.
    pub rentry: RindexEntry,
    /// `-O`: orphans, set or not.
    pub orphan: Option<bool>,
    /// `-u`: whether the lockspace is used from outside.
    pub used: Option<bool>,
    /// `-P`: the lease outlives its process.
    pub persistent: bool,
    /// `-z`: write a cleared lease, or remove an entry. The original looks only at the letter, so
    /// `-z 0` clears as well.
    pub clear: bool,
    /// `-Z`: bytes of a sector, 0 if not given.
    pub sector_size: i32,
    /// `-A`: bytes of a lease area, 0 if not given.
    pub align_size: u32,
    /// `-F`: file with leader fields.
    pub file: Option<OsString>,
    /// The path of `direct dump` and `direct next_free`.
    pub path: OsString,
    /// What follows `-c`.
    pub command: Vec<OsString>,
}

impl Options {
    /// No options given.
    #[must_use]
    pub fn new(configured: Configured) -> Options {
        Options {
            debug: false,
            json: false,
            all: false,
            wait: 0,
            hosts: false,
            sort: 0,
            io_timeout: configured.io_timeout,
            configured,
            num_hosts: 0,
            max_hosts: 0,
            pid: -1,
            client_id: -1,
            host_id: 0,
            generation: 0,
            event: 0,
            host_name: None,
            event_data: 0,
            force_mode: 0,
            lockspace: Lockspace::default(),
            resources: Vec::new(),
            rindex: Rindex::default(),
            rentry: RindexEntry::default(),
            orphan: None,
            used: None,
            persistent: false,
            clear: false,
            sector_size: 0,
            align_size: 0,
            file: None,
            path: OsString::new(),
            command: Vec::new(),
        }
    }

    /// Whether `-s` named a disk: what makes an action about a lockspace rather than a resource.
    #[must_use]
    pub fn is_about_lockspace(&self) -> bool {
        !self.lockspace.disk.path.is_empty()
    }

    /// The lockspace of `-s` with the sizes of `-Z` and `-A`.
    #[must_use]
    pub fn sized_lockspace(&self) -> Lockspace {
        let mut lockspace = self.lockspace.clone();
        lockspace.flags |= LockspaceFlags::from_bits(self.size_flags());
        lockspace
    }

    /// The first resource of `-r` with the sizes of `-Z` and `-A`.
    #[must_use]
    pub fn sized_resource(&self) -> Option<Resource> {
        let mut resource = self.resources.first()?.clone();
        resource.flags |= ResourceFlags::from_bits(self.size_flags());
        Some(resource)
    }

    /// The index of `-x` with the sizes of `-Z` and `-A`.
    #[must_use]
    pub fn sized_rindex(&self) -> Rindex {
        let mut rindex = self.rindex.clone();
        rindex.flags |= RindexFlags::from_bits(self.size_flags());
        rindex
    }

    /// Flags for the sizes given; lockspaces, resources and indexes use the same bits. A sector size
    /// that no lease can have gives no flag, as in the original.
    fn size_flags(&self) -> u32 {
        let sector = match self.sector_size {
            512 => ResourceFlags::SECTOR512,
            4096 => ResourceFlags::SECTOR4K,
            _ => ResourceFlags::NONE,
        };
        let align = match self.align_size >> 20 {
            1 => ResourceFlags::ALIGN1M,
            2 => ResourceFlags::ALIGN2M,
            4 => ResourceFlags::ALIGN4M,
            8 => ResourceFlags::ALIGN8M,
            _ => ResourceFlags::NONE,
        };
        (sector | align).bits()
    }
}
