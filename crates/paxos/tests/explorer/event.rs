//! What may happen next, and how it reads.

use std::time::Duration;

use ondisk::{Dblock, Leader};
use storage::{Buffer, IoError};

use crate::sectors::{AREA, SECTOR, Sector};

/// Something that may happen next.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Event {
    /// A request is done and answered, or a wait is over.
    Done(usize),
    /// The first half of a read is done: the leader first, or the leader last.
    HalfRead(usize, LeaderComes),
    /// A request is answered with an error, done or not.
    Fails(usize, Landed),
    /// The deadline of a request passes.
    TimesOut(usize),
    /// A write that nobody waits for is lost.
    Vanishes(usize),
    /// A host stops, with all that it had under way still under way.
    Crash(usize),
    /// A crashed host has been back for long enough to have its host id again.
    Rejoin(usize),
    /// A crashed host has been silent for long enough.
    IsDead(usize),
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum LeaderComes {
    First,
    Last,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Landed {
    Yes,
    No,
}

/// How much may go wrong in one run.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) struct Faults {
    pub(crate) timeouts: u8,
    pub(crate) errors: u8,
    pub(crate) crashes: u8,
    /// Reads of several sectors are done in two halves.
    pub(crate) torn_reads: bool,
    /// Crashed hosts come back with a new generation; otherwise they stay dead.
    pub(crate) rejoin: bool,
    /// When they do, leaders that they had written may still be under way.
    pub(crate) late_leaders: bool,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) enum What {
    Read {
        offset: u64,
        len: usize,
        half: Option<(LeaderComes, Vec<Sector>)>,
    },
    Write {
        offset: u64,
        data: Vec<u8>,
    },
    Sleep(Duration),
    Hold,
}

/// What a host waits for, or has sent.
pub(crate) struct Request {
    pub(crate) host: usize,
    pub(crate) what: What,
    /// Nobody waits for it any more, or not for the first time.
    pub(crate) late: bool,
    pub(crate) answer: Option<Result<Option<Buffer>, IoError>>,
}

impl Request {
    pub(crate) fn is_write(&self) -> bool {
        matches!(self.what, What::Write { .. })
    }
}

impl std::fmt::Display for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { host, what, .. } = self;
        write!(f, "host {host}: ")?;
        match what {
            What::Sleep(time) => write!(f, "wait of {time:?}"),
            What::Hold => f.write_str("hold"),
            What::Read { offset, len, .. } => write!(f, "read {len} at {offset}"),
            What::Write { offset, data } => {
                f.write_str("write ")?;
                match (offset - AREA) / SECTOR as u64 {
                    0 => describe_leader(data, f),
                    sector => describe_dblock(sector - 1, data, f),
                }
            }
        }?;
        f.write_str(if self.late { " (late)" } else { "" })
    }
}

fn describe_leader(data: &[u8], f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
    let leader = Leader::decode(data).unwrap().record;
    write!(
        f,
        "leader lver {} owner {}/{} ts {} by {}",
        leader.lver, leader.owner_id, leader.owner_generation, leader.timestamp, leader.write_id
    )
}

fn describe_dblock(number: u64, data: &[u8], f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
    let d = Dblock::decode(data).unwrap().record;
    write!(
        f,
        "dblock {number} mbal {} bal {} inp {}/{} lver {} flags {}",
        d.mbal, d.bal, d.inp, d.inp2, d.lver, d.flags
    )
}
