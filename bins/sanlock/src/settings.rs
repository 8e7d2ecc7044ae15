//! How the daemon is to behave: the sum of defaults, sanlock.conf and the command line.

use config::sanlock_conf::{DebugCmd, DebugHosts, MaxSectorsKb, MlockLevel, SanlockConf};
use ondisk::Name;
use storage::block_queue::MaxSectors;

use crate::cli::DaemonOptions;

/// Everything that can be set about the daemon's behaviour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Our name in delta leases; empty until one is chosen.
    pub our_host_name: Name,
    /// Whether lockspaces are tied to the watchdog.
    pub use_watchdog: bool,
    /// Seconds from the last keepalive until the watchdog resets a host; the same on all hosts.
    pub watchdog_fire_timeout: u32,
    /// Seconds that one request on storage may take, where a lockspace does not say otherwise.
    pub io_timeout: u32,
    /// How many hosts' sectors are read to see that a lease is free. No option sets it: in a simulation of a few
    /// hosts a few stand for many.
    pub first_look: u64,
    /// Seconds that processes get to stop by themselves after a lockspace failed.
    pub kill_grace_seconds: u32,
    /// Seconds that a host's bit stays set in our bitmap; `None` for six times the I/O timeout.
    pub set_bitmap_seconds: Option<u32>,
    /// Renewals remembered per lockspace.
    pub renewal_history_size: usize,
    /// Seconds to go on waiting for a renewal's read that timed out; `None` for the I/O timeout.
    pub renewal_read_extend_sec: Option<u32>,
    /// How often a shared lease is tried again while others hold it for the moment of sharing it.
    pub sh_retries: u32,
    /// Whether the common ways of not getting a lease are logged as debug messages only.
    pub quiet_fail: bool,
    /// 1: renewals are logged; 2: each check of them as well.
    pub debug_renew: u32,
    /// 1: changes of other hosts are logged.
    pub debug_hosts: u32,
    /// Whether all blocks seen in a ballot are logged.
    pub paxos_debug_all: bool,
    /// What to do about a device's largest request.
    pub max_sectors_kb: MaxSectors,
    /// Seconds for writing a whole new lease area; zero for the I/O timeout.
    pub write_init_io_timeout: u32,
    /// Shown in status; this daemon needs no worker threads.
    pub max_worker_threads: u32,
    /// Shown in status: whether every request may time out, which ours always may.
    pub use_aio: bool,
    /// 1: current memory is locked, 2: future memory too.
    pub mlock_level: u32,
    /// Whether renewals have a real-time priority.
    pub high_priority: bool,
    /// User id that the daemon runs as.
    pub uid: u32,
    /// Group id that the daemon runs as.
    pub gid: u32,
    /// Whether connections are logged.
    pub debug_clients: bool,
    /// A bit for each command whose handling is logged.
    pub debug_cmds: u64,
}

/// Commands whose handling is logged by default: all but those that clients send all the time.
pub const DEFAULT_DEBUG_CMDS: u64 = !((1 << 16) | (0b11_1111 << 19));

impl Default for Settings {
    fn default() -> Self {
        Self {
            our_host_name: Name::EMPTY,
            use_watchdog: true,
            watchdog_fire_timeout: 60,
            io_timeout: 10,
            first_look: paxos::FIRST_LOOK,
            kill_grace_seconds: 40,
            set_bitmap_seconds: None,
            renewal_history_size: 180,
            renewal_read_extend_sec: None,
            sh_retries: 8,
            quiet_fail: true,
            debug_renew: 0,
            debug_hosts: 1,
            paxos_debug_all: false,
            max_sectors_kb: MaxSectors::Kib(1024),
            write_init_io_timeout: 60,
            max_worker_threads: 8,
            use_aio: true,
            mlock_level: 1,
            high_priority: false,
            uid: 0,
            gid: 0,
            debug_clients: false,
            debug_cmds: DEFAULT_DEBUG_CMDS,
        }
    }
}

/// What goes into which log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogSettings {
    /// Up to which syslog priority messages go to the log file; -1 for none.
    pub file_priority: i64,
    /// Up to which syslog priority messages go to syslog; -1 for none.
    pub syslog_priority: i64,
    /// Times in UTC.
    pub utc: bool,
}

impl Settings {
    /// The grace period that goes with a shorter fire timeout, where none was set: the watchdog must
    /// not fire while processes are still being asked nicely.
    #[must_use]
    pub fn grace_for_fire_timeout(fire_timeout: u32) -> u32 {
        match fire_timeout {
            0..30 => 0,
            30..60 => 15,
            _ => 40,
        }
    }

    /// Whether handling of this command is to be logged.
    #[must_use]
    pub fn logs_command(&self, command: u32) -> bool {
        command < 64 && self.debug_cmds & (1 << command) != 0
    }

    /// The command line over the file over the defaults.
    #[must_use]
    pub fn merge(conf: &SanlockConf, options: &DaemonOptions) -> (Self, LogSettings) {
        let default = Self::default();
        let on = |option: Option<i32>, conf: Option<bool>, default: bool| {
            option.map_or(conf.unwrap_or(default), |number| number != 0)
        };
        let count = |number: i32| u32::try_from(number).unwrap_or(0);
        let fire = conf
            .watchdog_fire_timeout
            .unwrap_or(default.watchdog_fire_timeout);
        let name = options
            .our_host_name
            .as_ref()
            .or(conf.our_host_name.as_ref())
            .map(|name| name.get(..Name::LEN).unwrap_or(name))
            .and_then(|name| Name::from_bytes(name).ok())
            .unwrap_or_default();
        let settings = Self {
            our_host_name: name,
            use_watchdog: on(options.use_watchdog, conf.use_watchdog, true),
            watchdog_fire_timeout: fire,
            io_timeout: options
                .io_timeout
                .or(conf.io_timeout.map(u32::from))
                .unwrap_or(default.io_timeout),
            first_look: default.first_look,
            kill_grace_seconds: options
                .kill_grace_seconds
                .or(conf.kill_grace_seconds)
                .unwrap_or_else(|| Self::grace_for_fire_timeout(fire)),
            set_bitmap_seconds: options.set_bitmap_seconds.map(count),
            renewal_history_size: options
                .renewal_history_size
                .map(count)
                .or(conf.renewal_history_size)
                .map_or(default.renewal_history_size, |size| size as usize),
            renewal_read_extend_sec: conf.renewal_read_extend_sec,
            sh_retries: conf.sh_retries.unwrap_or(default.sh_retries),
            quiet_fail: on(options.quiet_fail, conf.quiet_fail, true),
            debug_renew: options
                .debug_renew
                .map_or(u32::from(conf.debug_renew.unwrap_or(false)), count),
            debug_hosts: match conf.debug_hosts {
                Some(DebugHosts::Nothing) => 0,
                Some(DebugHosts::States) | None => 1,
                Some(DebugHosts::Updates) => 2,
            },
            paxos_debug_all: conf.paxos_debug_all.unwrap_or(false),
            max_sectors_kb: match conf.max_sectors_kb {
                None => default.max_sectors_kb,
                Some(MaxSectorsKb::Ignore) => MaxSectors::Ignore,
                Some(MaxSectorsKb::Align) => MaxSectors::Align,
                Some(MaxSectorsKb::Kilobytes(kib)) => MaxSectors::Kib(kib),
            },
            write_init_io_timeout: conf
                .write_init_io_timeout
                .unwrap_or(default.write_init_io_timeout),
            max_worker_threads: options
                .max_worker_threads
                .map(count)
                .or(conf.max_worker_threads)
                .unwrap_or(default.max_worker_threads),
            use_aio: on(options.use_aio, conf.use_aio, true),
            mlock_level: options.mlock_level.map_or_else(
                || match conf.mlock_level {
                    Some(MlockLevel::Nothing) => 0,
                    Some(MlockLevel::Current) | None => 1,
                    Some(MlockLevel::CurrentAndFuture) => 2,
                },
                count,
            ),
            high_priority: on(options.high_priority, conf.high_priority, false),
            uid: default.uid,
            gid: default.gid,
            debug_clients: conf.debug_clients.unwrap_or(false),
            debug_cmds: debug_cmds(&conf.debug_cmd),
        };
        let log = LogSettings {
            file_priority: options
                .logfile_priority
                .map(i64::from)
                .or(conf
                    .logfile_priority
                    .map(|priority| i64::from(priority.number())))
                .unwrap_or(4),
            syslog_priority: options
                .syslog_priority
                .map(i64::from)
                .or(conf
                    .syslog_priority
                    .map(|priority| i64::from(priority.number())))
                .unwrap_or(3),
            utc: conf.logfile_use_utc.unwrap_or(false),
        };
        (settings, log)
    }
}

fn debug_cmds(lines: &[DebugCmd]) -> u64 {
    lines
        .iter()
        .fold(DEFAULT_DEBUG_CMDS, |bits, line| match line {
            DebugCmd::All { on: true } => u64::MAX,
            DebugCmd::All { on: false } => 0,
            DebugCmd::One { name, on } => {
                let command = sanlock_proto::Command::ALL
                    .iter()
                    .find(|command| command.name() == *name);
                let bit = command.map_or(0, |command| 1 << command.number());
                if *on { bits | bit } else { bits & !bit }
            }
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_counts_more_than_the_file() {
        let conf = SanlockConf {
            io_timeout: Some(20),
            use_watchdog: Some(false),
            watchdog_fire_timeout: Some(30),
            debug_cmd: vec![
                DebugCmd::All { on: false },
                DebugCmd::One {
                    name: "acquire",
                    on: true,
                },
            ],
            ..SanlockConf::default()
        };
        let options = DaemonOptions {
            io_timeout: Some(5),
            ..DaemonOptions::default()
        };
        let (settings, log) = Settings::merge(&conf, &options);
        assert_eq!(settings.io_timeout, 5);
        assert!(!settings.use_watchdog);
        assert_eq!(
            settings.kill_grace_seconds, 15,
            "the grace follows the fire timeout"
        );
        assert_eq!(settings.debug_cmds, 1 << 7);
        assert_eq!((log.file_priority, log.syslog_priority), (4, 3));
        let (plain, _) = Settings::merge(&SanlockConf::default(), &DaemonOptions::default());
        assert_eq!(plain, Settings::default());
        assert_eq!(plain.debug_cmds, 0xffff_ffff_fe06_ffff);
    }
}
