//! `/etc/sanlock/sanlock.conf`: the settings of the lease daemon.
//!
//! One `key = value` per line, `#` in the first column starts a comment. The keys are those of
//! sanlock 3.9.5; what 4.x and 5.x added is recognised and reported as not supported.
//!
//! What a valid line means was learnt from sanlock's manual page and by running sanlock 3.8.5 and
//! 3.9.5 on files of every kind. The rule for lines that are not quite valid:
//!
//! * Where upstream's reading is plain, it counts here too, with a warning. `io_timeout = 20s` is 20
//!   in both, because hosts of one cluster must not disagree about time limits.
//! * Where upstream would take a meaningless value (`use_watchdog = true` switches the watchdog
//!   **off** there, a key without a value takes the number of the line before), the line has no
//!   effect and is an error.
//! * What upstream passes over without a word (unknown keys, a line that starts with white space) has
//!   no effect here either, but is an error, not silence.

mod keys;
mod lines;
mod report;
mod values;

use std::io::Read;
use std::path::{Path, PathBuf};

use crate::Diagnostic;
use keys::{Key, Lookup};
use lines::Line;
use report::Report;

/// Where the file is: `/etc/sanlock/sanlock.conf`.
pub const PATH: &str = "/etc/sanlock/sanlock.conf";

/// Larger files are not read: nothing that a person wrote comes near it. In bytes.
pub const MAX_FILE: u64 = 1024 * 1024;

/// What the file sets; `None` where it says nothing, so that the command line and the built-in
/// defaults (those of 3.9.5, given for each key) can be told from it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SanlockConf {
    /// `quiet_fail`, `-Q`: contention on a lease is no error in the log. Default true.
    pub quiet_fail: Option<bool>,
    /// `debug_renew`, `-R`: details of every renewal in the debug log. Default false.
    pub debug_renew: Option<bool>,
    /// `debug_hosts`: what the log says about other hosts' leases. Default [`DebugHosts::States`].
    pub debug_hosts: Option<DebugHosts>,
    /// `use_aio`: asynchronous I/O, in no manual page. Default true.
    pub use_aio: Option<bool>,
    /// `logfile_priority`, `-L`: what goes to the log file. Default 4, warnings.
    pub logfile_priority: Option<LogPriority>,
    /// `logfile_use_utc`: times in the log in UTC instead of local time. Default false.
    pub logfile_use_utc: Option<bool>,
    /// `syslog_priority`, `-S`: what goes to syslog. Default 3, errors.
    pub syslog_priority: Option<LogPriority>,
    /// `names_log_priority`: at which priority the names of acquired resources are logged. Default 6
    /// (4 before 3.9).
    pub names_log_priority: Option<LogPriority>,
    /// `use_watchdog`, `-w`: lockspaces are tied to the watchdog daemon. Default true.
    pub use_watchdog: Option<bool>,
    /// `watchdog_fire_timeout`: seconds from the watchdog's last keepalive to the reset, at least 1.
    /// All hosts must have the same. Default 60.
    pub watchdog_fire_timeout: Option<u32>,
    /// `io_timeout`, `-o`: seconds in which a request on storage must be answered, 1 to 65535 (the
    /// lease on disk has 16 bits for it). Default 10.
    pub io_timeout: Option<u16>,
    /// `kill_grace_seconds`, `-g`: seconds between asking a lease's holder to stop and killing it, 0
    /// to 60. Default 40; less with a `watchdog_fire_timeout` below 60.
    pub kill_grace_seconds: Option<u32>,
    /// `high_priority`, `-h`: real-time scheduling. Default false.
    pub high_priority: Option<bool>,
    /// `mlock_level`, `-l`: which memory is locked. Default [`MlockLevel::Current`].
    pub mlock_level: Option<MlockLevel>,
    /// `sh_retries`: how often a shared lease is tried again while other hosts take it shared. Default 8.
    pub sh_retries: Option<u32>,
    /// `uname`, `-U`: the user that the daemon becomes. Default `sanlock` where that user and group exist.
    pub uname: Option<String>,
    /// `gname`, `-G`: the group that the daemon becomes and that may use its socket. Default as for `uname`.
    pub gname: Option<String>,
    /// `our_host_name`, `-e`: this host's name in delta leases, 1 to 48 bytes of any kind without
    /// white space. Default: the machine's product UUID, or a random one.
    pub our_host_name: Option<Vec<u8>>,
    /// `renewal_read_extend_sec`: seconds that a renewal waits longer for the read of the one before.
    /// Default: the lockspace's `io_timeout`.
    pub renewal_read_extend_sec: Option<u32>,
    /// `write_init_io_timeout`: seconds for writing a new lease area, at least 1. Default 60.
    pub write_init_io_timeout: Option<u32>,
    /// `renewal_history_size`, `-H`: how many renewals per lockspace are remembered, 0 for none. Default 180.
    pub renewal_history_size: Option<u32>,
    /// `paxos_debug_all`: every detail of ballots in the debug log. Default false.
    pub paxos_debug_all: Option<bool>,
    /// `debug_io`: requests on storage in the debug log. Default neither.
    pub debug_io: Option<DebugIo>,
    /// `debug_clients`: connections in the debug log. Default false.
    pub debug_clients: Option<bool>,
    /// `debug_cmd`: which commands are in the debug log, to be applied in this order to the daemon's
    /// own choice. Empty where the file has no such line.
    pub debug_cmd: Vec<DebugCmd>,
    /// `max_sectors_kb`: the largest request that a lockspace's block device takes in one piece.
    /// Default [`MaxSectorsKb::Kilobytes`] 1024.
    pub max_sectors_kb: Option<MaxSectorsKb>,
    /// `max_worker_threads`, `-t`: how many requests are worked on at once, at least 2. Default 8.
    pub max_worker_threads: Option<u32>,
    /// `use_hugepages`: `all` is true, `none` false. Default true.
    pub use_hugepages: Option<bool>,
}

/// Up to which syslog priority messages are logged: -1 for none, 0 (emergencies) to 7 (debugging).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct LogPriority(i8);

impl LogPriority {
    /// The nearest to `number` of -1 to 7.
    #[must_use]
    pub fn nearest(number: i64) -> Self {
        // In range, so the conversion cannot fail.
        Self(i8::try_from(number.clamp(-1, 7)).unwrap_or(-1))
    }

    /// -1 to 7.
    #[must_use]
    pub fn number(self) -> i8 {
        self.0
    }
}

/// What is logged about other hosts' delta leases (since 3.9).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DebugHosts {
    /// 0: nothing.
    Nothing,
    /// 1: hosts that reach the failed or dead state.
    States,
    /// 2: every renewal seen.
    Updates,
}

/// Which of the daemon's memory is locked, so that it is never paged out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MlockLevel {
    /// 0: none.
    Nothing,
    /// 1: what is mapped at the start.
    Current,
    /// 2: also what is mapped later.
    CurrentAndFuture,
}

/// Which moments of a request on storage are logged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DebugIo {
    /// When it is submitted.
    pub submit: bool,
    /// When it completes.
    pub complete: bool,
}

/// One `debug_cmd` line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DebugCmd {
    /// `+all` or `-all`.
    All {
        /// Whether all commands are logged from here on.
        on: bool,
    },
    /// `+NAME` or `-NAME`.
    One {
        /// One of [`COMMANDS`].
        name: &'static str,
        /// Whether it is logged from here on.
        on: bool,
    },
}

/// How the largest request of a lockspace's block device is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MaxSectorsKb {
    /// `ignore`: left alone.
    Ignore,
    /// `align`: to the lockspace's align size.
    Align,
    /// To this many KiB: even, 2 to 8192.
    Kilobytes(u32),
}

pub use keys::COMMANDS;

/// A file that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    /// What it sets.
    pub conf: SanlockConf,
    /// What is wrong with it, in the order of its lines; at most 100, the last then says so.
    pub diagnostics: Vec<Diagnostic>,
}

/// The file could not be read. Upstream's daemon goes on with its defaults then.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// It exists but cannot be opened or read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is longer than [`MAX_FILE`].
    #[error("{} is longer than {MAX_FILE} bytes and was not read", path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
    },
}

/// Reads the file at `path`; one that does not exist sets nothing.
///
/// # Errors
/// [`LoadError`] if it exists and cannot be read. Bad lines are no error but [`Loaded::diagnostics`].
pub fn load(path: &Path) -> Result<Loaded, LoadError> {
    let read = |path: &Path| -> std::io::Result<Vec<u8>> {
        let mut text = Vec::new();
        std::fs::File::open(path)?
            .take(MAX_FILE.saturating_add(1))
            .read_to_end(&mut text)?;
        Ok(text)
    };
    match read(path) {
        Ok(text) if text.len() as u64 > MAX_FILE => Err(LoadError::TooLong {
            path: path.to_owned(),
        }),
        Ok(text) => Ok(parse(path, &text)),
        Err(source) if source.kind() == std::io::ErrorKind::NotFound => Ok(parse(path, b"")),
        Err(source) => Err(LoadError::Read {
            path: path.to_owned(),
            source,
        }),
    }
}

/// Reads `text`, which is the content of `file`. The last of several lines with one key counts.
#[must_use]
pub fn parse(file: &Path, text: &[u8]) -> Loaded {
    let mut conf = SanlockConf::default();
    let mut report = Report::new(file);
    for (index, bytes) in text.split(|&byte| byte == b'\n').enumerate() {
        let Some(line) = Line::parse(index + 1, bytes, &mut report) else {
            continue;
        };
        match Lookup::of(line.key()) {
            Lookup::Known(key) => set(&mut conf, key, &line, &mut report),
            Lookup::Newer(newer) => values::newer(newer, &line, &mut report),
            Lookup::Unknown { nearest } => report.unknown_key(&line, nearest),
        }
    }
    Loaded {
        conf,
        diagnostics: report.finish(),
    }
}

/// Sets what one line sets, if its value is good.
fn set(conf: &mut SanlockConf, key: Key, line: &Line<'_>, report: &mut Report<'_>) {
    let Some(value) = line.value(report) else {
        return;
    };
    let mut v = values::Reader {
        key: line.key(),
        value,
        line,
        report,
    };
    // A bad value leaves what an earlier line has set.
    match key {
        Key::QuietFail => keep(&mut conf.quiet_fail, v.switch()),
        Key::DebugRenew => keep(&mut conf.debug_renew, v.switch()),
        Key::DebugHosts => keep(&mut conf.debug_hosts, v.debug_hosts()),
        Key::UseAio => keep(&mut conf.use_aio, v.switch()),
        Key::LogfilePriority => keep(&mut conf.logfile_priority, v.priority()),
        Key::LogfileUseUtc => keep(&mut conf.logfile_use_utc, v.switch()),
        Key::SyslogPriority => keep(&mut conf.syslog_priority, v.priority()),
        Key::NamesLogPriority => keep(&mut conf.names_log_priority, v.priority()),
        Key::UseWatchdog => keep(&mut conf.use_watchdog, v.switch()),
        Key::WatchdogFireTimeout => keep(&mut conf.watchdog_fire_timeout, v.count(1)),
        Key::IoTimeout => keep(&mut conf.io_timeout, v.io_timeout()),
        Key::KillGraceSeconds => keep(&mut conf.kill_grace_seconds, v.grace()),
        Key::HighPriority => keep(&mut conf.high_priority, v.switch()),
        Key::MlockLevel => keep(&mut conf.mlock_level, v.mlock_level()),
        Key::ShRetries => keep(&mut conf.sh_retries, v.count(0)),
        Key::Uname => keep(&mut conf.uname, v.account()),
        Key::Gname => keep(&mut conf.gname, v.account()),
        Key::OurHostName => keep(&mut conf.our_host_name, Some(v.host_name())),
        Key::RenewalReadExtendSec => keep(&mut conf.renewal_read_extend_sec, v.count(0)),
        Key::WriteInitIoTimeout => keep(&mut conf.write_init_io_timeout, v.count(1)),
        Key::RenewalHistorySize => keep(&mut conf.renewal_history_size, v.count(0)),
        Key::PaxosDebugAll => keep(&mut conf.paxos_debug_all, v.switch()),
        Key::DebugIo => keep(&mut conf.debug_io, v.debug_io()),
        Key::DebugClients => keep(&mut conf.debug_clients, v.switch()),
        Key::DebugCmd => conf.debug_cmd.extend(v.debug_cmd()),
        Key::MaxSectorsKb => keep(&mut conf.max_sectors_kb, v.max_sectors_kb()),
        Key::MaxWorkerThreads => keep(&mut conf.max_worker_threads, v.worker_threads()),
        Key::UseHugepages => keep(&mut conf.use_hugepages, v.hugepages()),
    }
}

fn keep<T>(setting: &mut Option<T>, value: Option<T>) {
    if value.is_some() {
        *setting = value;
    }
}

#[cfg(test)]
mod tests;
