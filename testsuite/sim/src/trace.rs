//! What happened in a run, in order: hashed to compare runs, and kept to be read.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::time::Duration;

use crate::faults::FaultKind;

/// Something that happened on, or to, a host.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Event {
    /// The host booted for the so-manieth time.
    Booted(u32),
    /// The host stopped at once.
    Stopped(Why),
    /// A fault begins.
    Fault(FaultKind),
    /// A fault ends.
    FaultEnds(FaultKind),
    /// The daemon started.
    DaemonStarted,
    /// The daemon ended, all lockspaces left.
    DaemonEnded,
    /// It begins to join, with this host id.
    Joins(u64),
    /// It joined, with this host id and generation.
    Joined(u64, u64),
    /// It could not join.
    JoinFailed(i32),
    /// It left the lockspace; whether because the lease had run out or was overwritten.
    Left(bool),
    /// It looks whether the owner of a lease, with this host id, lives.
    LooksAt(u64),
    /// It gives up the lockspace, because the lease ran out or was overwritten.
    Lost,
    /// wdmd stopped petting its device.
    PettingEnds,
    /// wdmd goes on petting its device.
    PettingResumes,
    /// A process began.
    Began(i32),
    /// A process died.
    Died(i32, Death),
    /// A process was sent a signal.
    Signal(i32, i32),
    /// A process' kill program was started.
    KillProgram(i32),
    /// A process asks for something, of these resources (a bit for each).
    Asks(i32, Asked, u64),
    /// A process was answered.
    Answered(i32, Asked, i32),
    /// A process uses a resource from now on, alone or not.
    Uses(i32, usize, Mode),
    /// A process uses a resource no longer.
    Leaves(i32, usize),
    /// A write landed.
    Landed(Landing),
    /// Something must never happen, and did.
    Violation(String),
    /// The faults are over: everything must work again soon.
    Quiet,
}

/// Why a host stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Why {
    /// Its watchdog fired.
    Watchdog,
    /// Its power failed.
    Power,
}

/// How a process died.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Death {
    /// It had done its work, or could not go on.
    Exit,
    /// Without a word.
    Crash,
    /// It was told to.
    Killed,
}

/// How a resource is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Mode {
    /// Together with others.
    Shared,
    /// Alone.
    Exclusive,
}

/// What a process can ask its daemon for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Asked {
    /// Leases, to use alone.
    Exclusive,
    /// Leases, to use together with others.
    Shared,
    /// To give leases back.
    Release,
    /// To have a shared lease alone.
    Upgrade,
    /// To share a lease with others.
    Downgrade,
    /// To set a lease's value.
    SetValue,
    /// To get a lease's value.
    GetValue,
    /// That the owner of a lease gives it up.
    Request,
    /// That a lease is made.
    Make,
}

/// What landed on the disk, decoded.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Landing {
    /// A host id's lease: host id, generation, timestamp.
    HostId(u64, u64, u64),
    /// A resource's leader.
    Leader {
        /// Which resource.
        resource: usize,
        /// On which of its disks.
        disk: usize,
        /// Its version.
        lver: u64,
        /// Its owner.
        owner: (u64, u64),
        /// Whether nobody owns it.
        free: bool,
        /// The host that wrote it.
        writer: u64,
    },
    /// A host's sector of a resource.
    Dblock {
        /// Which resource.
        resource: usize,
        /// Whose sector.
        host: u64,
        /// Its ballot.
        mbal: u64,
        /// The ballot of its value.
        bal: u64,
        /// Its value.
        value: (u64, u64),
        /// The version it is for.
        lver: u64,
        /// It says that it has released the lease.
        released: bool,
        /// The generation that holds the lease shared; 0 for none.
        shared: u64,
    },
    /// A resource's value.
    Value(usize, u64),
    /// A request to a resource's owner.
    Request(usize),
    /// Several sectors of a resource.
    Area(usize, usize),
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Booted(boot) => write!(f, "boots (boot {boot})"),
            Self::Stopped(Why::Watchdog) => f.write_str("IS RESET BY ITS WATCHDOG"),
            Self::Stopped(Why::Power) => f.write_str("LOSES ITS POWER"),
            Self::Fault(fault) => write!(f, "FAULT: {fault}"),
            Self::FaultEnds(fault) => write!(f, "fault is over: {fault}"),
            Self::DaemonStarted => f.write_str("daemon starts"),
            Self::DaemonEnded => f.write_str("daemon has ended"),
            Self::Joins(host_id) => write!(f, "joins the lockspace as host {host_id}"),
            Self::Joined(host_id, generation) => {
                write!(f, "has joined as host {host_id}, generation {generation}")
            }
            Self::JoinFailed(code) => write!(f, "could not join: {code}"),
            Self::Left(lost) => write!(
                f,
                "has left the lockspace{}",
                if *lost { ", lost" } else { "" }
            ),
            Self::LooksAt(host_id) => write!(f, "looks whether host {host_id} lives"),
            Self::Lost => f.write_str("GIVES UP the lockspace"),
            Self::PettingEnds => f.write_str("wdmd stops petting the watchdog"),
            Self::PettingResumes => f.write_str("wdmd pets the watchdog again"),
            Self::Began(pid) => write!(f, "process {pid} begins"),
            Self::Died(pid, how) => write!(f, "process {pid} dies ({how:?})"),
            Self::Signal(pid, signal) => write!(f, "process {pid} gets signal {signal}"),
            Self::KillProgram(pid) => write!(f, "kill program runs for process {pid}"),
            Self::Asks(pid, what, which) => {
                let which: Vec<_> = (0..64).filter(|bit| which & (1 << bit) != 0).collect();
                write!(f, "process {pid} asks: {what:?} {which:?}")
            }
            Self::Answered(pid, what, code) => write!(f, "process {pid} is told: {what:?} {code}"),
            Self::Uses(pid, resource, mode) => {
                write!(f, "process {pid} USES resource {resource} {mode:?}")
            }
            Self::Leaves(pid, resource) => write!(f, "process {pid} leaves resource {resource}"),
            Self::Landed(what) => write!(f, "on disk: {what}"),
            Self::Violation(what) => write!(f, "VIOLATION: {what}"),
            Self::Quiet => f.write_str("--- the faults are over ---"),
        }
    }
}

impl fmt::Display for Landing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HostId(host_id, generation, 0) => {
                write!(f, "host id {host_id} is free after generation {generation}")
            }
            Self::HostId(host_id, generation, timestamp) => {
                write!(
                    f,
                    "host id {host_id} generation {generation} timestamp {timestamp}"
                )
            }
            Self::Leader {
                resource,
                disk,
                lver,
                owner: (host, generation),
                free,
                writer,
            } => write!(
                f,
                "leader of {resource}{}: version {lver}, {} {host}/{generation}, by {writer}",
                if *disk == 0 {
                    String::new()
                } else {
                    format!(" (disk {disk})")
                },
                if *free { "FREE, was" } else { "owner" },
            ),
            Self::Dblock {
                resource,
                host,
                mbal,
                bal,
                value,
                lver,
                released,
                shared,
            } => write!(
                f,
                "dblock of {resource}, host {host}: mbal {mbal} bal {bal} value {}/{} version {lver}{}{}",
                value.0,
                value.1,
                if *released { " released" } else { "" },
                if *shared == 0 {
                    String::new()
                } else {
                    format!(" SHARED by {shared}")
                },
            ),
            Self::Value(resource, value) => write!(f, "value of {resource}: {value}"),
            Self::Request(resource) => write!(f, "request for {resource}"),
            Self::Area(resource, bytes) => write!(f, "{bytes} bytes of {resource}"),
        }
    }
}

/// How many of the last events are kept to be read.
const KEPT: usize = 600;

/// The events of a run.
#[derive(Debug, Default)]
pub struct Trace {
    hash: Fnv,
    events: u64,
    last: VecDeque<(Duration, u32, Event)>,
    /// How often each kind of thing happened.
    pub counts: BTreeMap<&'static str, u64>,
    print: bool,
}

impl Trace {
    /// An empty one; each event is printed at once if `print`.
    #[must_use]
    pub fn new(print: bool) -> Self {
        Self {
            print,
            ..Self::default()
        }
    }

    /// Takes note of an event on a host (0 for none), at this time of the run.
    pub fn add(&mut self, at: Duration, host: u32, event: Event) {
        (at, host, &event).hash(&mut self.hash);
        self.events += 1;
        if self.print {
            println!("{}", line(at, host, &event));
            return;
        }
        if self.last.len() == KEPT {
            self.last.pop_front();
        }
        self.last.push_back((at, host, event));
    }

    /// Counts something.
    pub fn count(&mut self, what: &'static str) {
        self.count_many(what, 1);
    }

    /// Counts something that happened so often.
    pub fn count_many(&mut self, what: &'static str, times: u64) {
        *self.counts.entry(what).or_default() += times;
    }

    /// A number that is the same for runs in which the same happened at the same times.
    #[must_use]
    pub fn hash(&self) -> u64 {
        self.hash.0
    }

    /// How many events there were.
    #[must_use]
    pub fn events(&self) -> u64 {
        self.events
    }

    /// The last events, to be read.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.last
            .iter()
            .map(|(at, host, event)| line(*at, *host, event))
            .collect()
    }
}

/// An event, to be read.
fn line(at: Duration, host: u32, event: &Event) -> String {
    if host == 0 {
        return format!("{:>12.6}          {event}", at.as_secs_f64());
    }
    format!("{:>12.6}  host {host:<3} {event}", at.as_secs_f64())
}

/// A hash that is the same on every machine and in every run.
#[derive(Debug)]
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Hasher for Fnv {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
}
