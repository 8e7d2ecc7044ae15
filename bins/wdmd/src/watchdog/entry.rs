//! What is logged: each sentence as a value, so that decisions can be tested by what they say.
//!
//! The wording of what the original logs too is the original's: people search for it.

// The fields are what the sentences have in them, by the names that the sentences have for them.
#![allow(missing_docs)]

use std::fmt;

use wdmd_proto::Name;

use super::clients::Slot;
use super::scripts::{Script, ScriptEnd};
use super::time::Millis;

/// How urgent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// To the system's log.
    Error,
    /// With `-D` alone.
    Debug,
}

/// The times that stand in a line about a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// When.
    pub now: Millis,
    /// Seconds until the device fires.
    pub remaining: i64,
    /// Last keepalive.
    pub ping: Millis,
    /// When the device was last closed without being disarmed.
    pub close: Millis,
    /// What the client said.
    pub renewal: u64,
    /// What the client said.
    pub expire: u64,
    /// The client's process.
    pub pid: i32,
    /// The client's name.
    pub name: Name,
}

/// A line of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// A client said who it is.
    Registered {
        slot: Slot,
        fd: i32,
        pid: i32,
        name: Name,
    },
    /// A client is well.
    TestLive {
        slot: Slot,
        renewal: u64,
        expire: u64,
    },
    /// What became of a request to open the device.
    OpenAnswered { wanted: u32, result: u32 },
    /// A client that needs nothing is gone.
    Gone(Slot),
    /// A client is gone while it was watched.
    Dead {
        slot: Slot,
        fd: i32,
        pid: i32,
        renewal: u64,
        expire: u64,
        name: Name,
    },
    /// A client sent a command that there is none of.
    UnknownCommand { slot: Slot, pid: i32, command: u32 },
    /// A test begins.
    Test(Millis),
    /// The device was kept alive.
    KeptAlive,
    /// It was not, by this error number.
    KeepAliveFailed { errno: i32 },
    /// The device works again.
    Recovered,
    /// The device is open.
    Opened { timeout: u32 },
    /// It was opened again, in time.
    Reopened,
    /// It cannot be opened again.
    ReopenFailed,
    /// It is open for a client that did not ask for it.
    OpenedUnasked(Slot),
    /// It could not be opened for a client that did not ask for it.
    UnaskedOpenFailed(Slot),
    /// Nobody needs it.
    Unused,
    /// It will not fire.
    Disarmed,
    /// It could not be disarmed, by this error number.
    DisarmFailed { errno: i32 },
    /// It was closed without being disarmed.
    ClosedUnclean,
    /// It stays open and is not kept alive: closing it would put the reset off.
    Withheld,
    /// It is kept alive again.
    KeptAgain,
    /// A client's time is up soon.
    ClientWarning(Trouble),
    /// A client's time is up.
    ClientFailed(Trouble),
    /// So many more clients are in the same state.
    MoreClients(usize),
    /// A script was found.
    ScriptAdded { index: usize, name: String },
    /// There is no place for another.
    ScriptNoSpace(String),
    /// A script cannot be run any more.
    ScriptRemoved { name: String, result: i32 },
    /// A script runs.
    ScriptStarted { name: String, pid: i32 },
    /// A script failed.
    ScriptEnded {
        name: String,
        pid: i32,
        end: ScriptEnd,
    },
    /// A script has not ended in time.
    ScriptOverdue {
        name: String,
        pid: i32,
        start: Millis,
        now: Millis,
    },
    /// A script's record.
    ScriptRecord(Box<Script>),
    /// The process that runs scripts is gone.
    ScriptsLost,
    /// A request to end was not followed.
    MayNotEnd { clients: usize },
    /// The daemon ends and the device will fire.
    EndsArmed,
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Registered { slot, fd, pid, name } => {
                write!(f, "register ci {} fd {fd} pid {pid} {}", slot.number(), shown(name))
            }
            Self::TestLive { slot, renewal, expire } => {
                let number = slot.number();
                write!(f, "test_live ci {number} renewal {renewal} expire {expire}")
            }
            Self::OpenAnswered { wanted, result } => {
                write!(f, "open_watchdog fire_timeout {wanted} result {result}")
            }
            Self::Gone(slot) => write!(f, "client_pid_dead ci {}", slot.number()),
            Self::Dead { slot, fd, pid, renewal, expire, name } => write!(
                f,
                "client dead ci {} fd {fd} pid {pid} renewal {renewal} expire {expire} {}",
                slot.number(),
                shown(name)
            ),
            Self::UnknownCommand { slot, pid, command } => write!(
                f,
                "ci {} pid {pid} sent command {command}, which this wdmd does not know; it has no effect",
                slot.number()
            ),
            Self::Test(now) => write!(f, "test_time {now}"),
            Self::KeptAlive => f.write_str("keepalive 0"),
            Self::KeepAliveFailed { errno } => write!(
                f,
                "keepalive error {errno}: the watchdog device does not answer; unless it does soon it resets \
                 this host, or, if it is broken, nothing does"
            ),
            Self::Recovered => f.write_str("keepalive works again"),
            Self::Opened { timeout } => write!(f, "open with timeout {timeout}"),
            Self::Reopened => f.write_str("reopen"),
            Self::ReopenFailed => f.write_str("cannot be opened again: this host will be reset"),
            Self::OpenedUnasked(slot) => write!(
                f,
                "ci {} wants to be watched and has not asked for a fire timeout, as before sanlock 3.9",
                slot.number()
            ),
            Self::UnaskedOpenFailed(slot) => write!(
                f,
                "ci {} wants to be watched, but the device cannot be opened: it is NOT protected",
                slot.number()
            ),
            Self::Unused => f.write_str("close watchdog unused"),
            Self::Disarmed => f.write_str("disarmed"),
            Self::DisarmFailed { errno } => write!(f, "disarm write error {errno}"),
            Self::ClosedUnclean => f.write_str("closed unclean"),
            Self::Withheld => f.write_str(
                "not kept alive and left open: it is too late to close it, which would put the reset off",
            ),
            Self::KeptAgain => f.write_str("kept alive again"),
            Self::ClientWarning(trouble) => {
                write!(f, "test warning now {}", trouble.now)?;
                trouble.fmt(f)
            }
            Self::ClientFailed(trouble) => {
                write!(f, "test failed rem {} now {}", trouble.remaining, trouble.now)?;
                trouble.fmt(f)
            }
            Self::MoreClients(count) => write!(f, "test failed for {count} more clients"),
            Self::ScriptAdded { index, name } => write!(f, "add_script {index} {name}"),
            Self::ScriptNoSpace(name) => write!(f, "script {name} no space"),
            Self::ScriptRemoved { name, result } => write!(f, "script {name} removed {result}"),
            Self::ScriptStarted { name, pid } => write!(f, "script {name} pid {pid}"),
            Self::ScriptEnded { name, pid, end: ScriptEnd::Exited(status) } => {
                write!(f, "script {name} pid {pid} exit status {status}")
            }
            Self::ScriptEnded { name, pid, end: ScriptEnd::Killed(signal) } => {
                write!(f, "script {name} pid {pid} term signal {signal}")
            }
            Self::ScriptOverdue { name, pid, start, now } => {
                write!(f, "script {name} pid {pid} start {start} now {now} taking too long")
            }
            Self::ScriptRecord(script) => write!(
                f,
                "script {:.64} last_result {} start {} run {} fail {} good {} kill {} long {}",
                script.name,
                script.last_result,
                script.start,
                script.runs,
                script.failures,
                script.successes,
                script.kills,
                script.overdue
            ),
            Self::ScriptsLost => f.write_str(
                "the process that runs the test scripts is gone: they count as failed, restart wdmd",
            ),
            Self::MayNotEnd { clients } => write!(
                f,
                "not ending: {clients} clients need the watchdog (wdmd -d names them); end them first"
            ),
            Self::EndsArmed => f.write_str(
                "ending with the watchdog armed, as a test has failed: it resets this host",
            ),
        }
    }
}

impl Entry {
    /// How urgent it is.
    #[must_use]
    pub fn level(&self) -> Level {
        match self {
            Self::Registered { .. }
            | Self::TestLive { .. }
            | Self::OpenAnswered { .. }
            | Self::Gone(_)
            | Self::Test(_)
            | Self::KeptAlive
            | Self::Unused
            | Self::ScriptAdded { .. }
            | Self::ScriptStarted { .. } => Level::Debug,
            _ => Level::Error,
        }
    }

    /// Whether it is about the device, whose path then comes first.
    #[must_use]
    pub fn is_of_the_device(&self) -> bool {
        matches!(
            self,
            Self::Opened { .. }
                | Self::Reopened
                | Self::ReopenFailed
                | Self::Disarmed
                | Self::DisarmFailed { .. }
                | Self::ClosedUnclean
                | Self::Withheld
                | Self::KeptAgain
        )
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            " ping {} close {} renewal {} expire {} client {} {}",
            self.ping,
            self.close,
            self.renewal,
            self.expire,
            self.pid,
            shown(&self.name)
        )
    }
}

/// A client's name as it may stand in a line: a client can call itself anything.
pub(crate) fn shown(name: &Name) -> impl fmt::Display + '_ {
    struct Shown<'a>(&'a Name);
    impl fmt::Display for Shown<'_> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            use fmt::Write;
            for chunk in self.0.as_bytes().utf8_chunks() {
                for c in chunk.valid().chars() {
                    f.write_char(if c.is_control() { '?' } else { c })?;
                }
                if !chunk.invalid().is_empty() {
                    f.write_char('?')?;
                }
            }
            Ok(())
        }
    }
    Shown(name)
}
