//! The keys' names.

use crate::nearest::nearest;

/// A key of sanlock 3.9.5.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    QuietFail,
    DebugRenew,
    DebugHosts,
    UseAio,
    LogfilePriority,
    LogfileUseUtc,
    SyslogPriority,
    NamesLogPriority,
    UseWatchdog,
    WatchdogFireTimeout,
    IoTimeout,
    KillGraceSeconds,
    HighPriority,
    MlockLevel,
    ShRetries,
    Uname,
    Gname,
    OurHostName,
    RenewalReadExtendSec,
    WriteInitIoTimeout,
    RenewalHistorySize,
    PaxosDebugAll,
    DebugIo,
    DebugClients,
    DebugCmd,
    MaxSectorsKb,
    MaxWorkerThreads,
    UseHugepages,
}

pub(super) const KEYS: [(&str, Key); 28] = [
    ("quiet_fail", Key::QuietFail),
    ("debug_renew", Key::DebugRenew),
    ("debug_hosts", Key::DebugHosts),
    ("use_aio", Key::UseAio),
    ("logfile_priority", Key::LogfilePriority),
    ("logfile_use_utc", Key::LogfileUseUtc),
    ("syslog_priority", Key::SyslogPriority),
    ("names_log_priority", Key::NamesLogPriority),
    ("use_watchdog", Key::UseWatchdog),
    ("watchdog_fire_timeout", Key::WatchdogFireTimeout),
    ("io_timeout", Key::IoTimeout),
    ("kill_grace_seconds", Key::KillGraceSeconds),
    ("high_priority", Key::HighPriority),
    ("mlock_level", Key::MlockLevel),
    ("sh_retries", Key::ShRetries),
    ("uname", Key::Uname),
    ("gname", Key::Gname),
    ("our_host_name", Key::OurHostName),
    ("renewal_read_extend_sec", Key::RenewalReadExtendSec),
    ("write_init_io_timeout", Key::WriteInitIoTimeout),
    ("renewal_history_size", Key::RenewalHistorySize),
    ("paxos_debug_all", Key::PaxosDebugAll),
    ("debug_io", Key::DebugIo),
    ("debug_clients", Key::DebugClients),
    ("debug_cmd", Key::DebugCmd),
    ("max_sectors_kb", Key::MaxSectorsKb),
    ("max_worker_threads", Key::MaxWorkerThreads),
    ("use_hugepages", Key::UseHugepages),
];

/// A key that sanlock 4.x or 5.x brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Newer {
    CreateOldDeltaDiskVersion,
    CreateOldPaxosDiskVersion,
    UseCompareAndWrite,
    CawFua,
    CawDpo,
}

pub(super) const NEWER: [(&str, Newer); 5] = [
    (
        "create_old_delta_disk_version",
        Newer::CreateOldDeltaDiskVersion,
    ),
    (
        "create_old_paxos_disk_version",
        Newer::CreateOldPaxosDiskVersion,
    ),
    ("use_compare_and_write", Newer::UseCompareAndWrite),
    ("caw_fua", Newer::CawFua),
    ("caw_dpo", Newer::CawDpo),
];

/// The commands that a `debug_cmd` line can name.
pub const COMMANDS: [&str; 40] = [
    "inq_lockspace",
    "read_resource_owners",
    "get_lockspaces",
    "get_hosts",
    "register",
    "add_lockspace",
    "rem_lockspace",
    "shutdown",
    "status",
    "acquire",
    "release",
    "inquire",
    "restrict",
    "request",
    "align",
    "examine_lockspace",
    "examine_resource",
    "host_status",
    "killpath",
    "write_lockspace",
    "write_resource",
    "read_lockspace",
    "read_resource",
    "set_lvb",
    "get_lvb",
    "convert",
    "version",
    "shutdown_wait",
    "reg_event",
    "end_event",
    "set_event",
    "set_config",
    "renewal",
    "format_rindex",
    "update_rindex",
    "lookup_rindex",
    "create_resource",
    "delete_resource",
    "rebuild_rindex",
    "log_dump",
];

/// What a word in a key's place is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lookup {
    Known(Key),
    Newer(Newer),
    Unknown {
        /// The known key that it was perhaps meant to be.
        nearest: Option<&'static str>,
    },
}

impl Lookup {
    pub(super) fn of(word: &[u8]) -> Self {
        if let Some((_, key)) = KEYS.iter().find(|(name, _)| name.as_bytes() == word) {
            return Self::Known(*key);
        }
        if let Some((_, key)) = NEWER.iter().find(|(name, _)| name.as_bytes() == word) {
            return Self::Newer(*key);
        }
        let nearest = nearest(word, KEYS.iter().map(|(name, _)| *name));
        Self::Unknown { nearest }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_found_by_its_name() {
        for (name, key) in KEYS {
            assert_eq!(Lookup::of(name.as_bytes()), Lookup::Known(key));
        }
        for (name, key) in NEWER {
            assert_eq!(Lookup::of(name.as_bytes()), Lookup::Newer(key));
        }
    }

    #[test]
    fn a_slip_of_the_pen_finds_the_key() {
        for (slip, meant) in [
            ("io_timeuot", "io_timeout"),
            ("iotimeout", "io_timeout"),
            ("Use_Watchdog", "use_watchdog"),
            ("use-watchdog", "use_watchdog"),
            ("quiet_fail:", "quiet_fail"),
            ("gnam", "gname"),
        ] {
            assert_eq!(
                Lookup::of(slip.as_bytes()),
                Lookup::Unknown {
                    nearest: Some(meant)
                },
                "{slip}"
            );
        }
        for other in ["", "host", "xyzzy", "lease_timeout_of_the_host"] {
            assert_eq!(
                Lookup::of(other.as_bytes()),
                Lookup::Unknown { nearest: None },
                "{other}"
            );
        }
    }
}
