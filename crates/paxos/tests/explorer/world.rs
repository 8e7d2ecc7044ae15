//! A tiny shared disk of which every request is a scheduling point, and what must never happen on it.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use ondisk::{Dblock, Generation, Geometry, HostId, IoTimeout, Leader, Lver, Name, Timestamp};
use paxos::{Area, DeltaArea, Env, HostSeen, Liveness, Member, Mode, NoDeltaArea, ResourceLease};
use storage::{BoxFuture, Buffer, Disk, IoError, Pending};

/// The smallest unit that is read or written at once.
const SECTOR: usize = 512;
pub(crate) const GEOMETRY: Geometry = Geometry::ALL[0];
const AREA: u64 = 1 << 20;
const EIO: i32 = 5;
/// All hosts' clocks until somebody is declared dead.
const START: Timestamp = Timestamp(100);
/// All hosts' clocks after that: more than a host-dead time later.
const MUCH_LATER: Timestamp = Timestamp(1000);
/// The deadline of a request; no other wait of an algorithm is so long.
const DEADLINE: Duration = Duration::from_secs(10);

pub(crate) fn space() -> Name {
    "space".parse().unwrap()
}

pub(crate) fn resource() -> Name {
    "resource".parse().unwrap()
}

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

/// A sector's offset and what was read of it.
type SectorRead = (u64, [u8; SECTOR]);

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
enum What {
    Read {
        offset: u64,
        len: usize,
        half: Option<(LeaderComes, Vec<SectorRead>)>,
    },
    Write {
        offset: u64,
        data: Vec<u8>,
    },
    Sleep(Duration),
    Hold,
}

struct Request {
    host: usize,
    what: What,
    /// Nobody waits for it any more, or not for the first time.
    late: bool,
    answer: Option<Result<Option<Buffer>, IoError>>,
}

/// What a host believes to hold.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Hold {
    pub(crate) mode: HoldMode,
    pub(crate) lver: Lver,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum HoldMode {
    Exclusive,
    Shared,
}

impl From<Mode> for HoldMode {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Exclusive => Self::Exclusive,
            Mode::Shared => Self::Shared,
        }
    }
}

pub(crate) struct State {
    sectors: BTreeMap<u64, [u8; SECTOR]>,
    requests: BTreeMap<usize, Request>,
    next_request: usize,
    faults: Faults,
    now: Timestamp,
    crashed: BTreeSet<usize>,
    dead: BTreeSet<usize>,
    generations: Vec<Generation>,
    holds: Vec<Option<Hold>>,
    granted: BTreeMap<Lver, Member>,
    /// What each host knows: everything it was told since its last operation began.
    knows: Vec<u64>,
    back_offs: Vec<u32>,
    pub(crate) violation: Option<String>,
    pub(crate) trace: Option<Vec<String>>,
}

#[derive(Clone)]
pub(crate) struct World(Arc<Mutex<State>>);

impl World {
    pub(crate) fn new(hosts: usize, faults: Faults) -> Self {
        let mut state = State {
            sectors: BTreeMap::new(),
            requests: BTreeMap::new(),
            next_request: 0,
            faults,
            now: START,
            crashed: BTreeSet::new(),
            dead: BTreeSet::new(),
            generations: vec![Generation(1); hosts],
            holds: vec![None; hosts],
            granted: BTreeMap::new(),
            knows: vec![0; hosts],
            back_offs: vec![0; hosts],
            violation: None,
            trace: None,
        };
        let num_hosts = hosts as u64;
        let mut leader = Leader::new_paxos(GEOMETRY, &space(), &resource(), num_hosts);
        let mut sector = [0; SECTOR];
        leader.encode(&mut sector);
        state.write(AREA, &sector);
        for host in 0..hosts {
            state.write_delta_lease(host, START);
        }
        Self(Arc::new(Mutex::new(state)))
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    fn request(&self, host: usize, what: What) -> Answer {
        let mut state = self.state();
        let id = state.next_request;
        state.next_request += 1;
        state.requests.insert(
            id,
            Request {
                host,
                what,
                late: false,
                answer: None,
            },
        );
        Answer {
            world: self.clone(),
            id,
        }
    }

    pub(crate) fn lease(&self, host: usize) -> ResourceLease {
        let disk = Arc::new(HostDisk {
            world: self.clone(),
            host,
            path: "/world".into(),
        });
        ResourceLease {
            space: space(),
            name: resource(),
            areas: vec![Area::new(disk, AREA)],
            geometry: GEOMETRY,
        }
    }

    pub(crate) fn env(&self, host: usize) -> Arc<HostEnv> {
        Arc::new(HostEnv {
            world: self.clone(),
            host,
        })
    }

    /// Holds the lease for as long as the schedule says.
    pub(crate) async fn hold(&self, host: usize) {
        let _ = self.request(host, What::Hold).await;
    }
}

/// Resolves once the request has been answered.
struct Answer {
    world: World,
    id: usize,
}

impl Future for Answer {
    type Output = Result<Option<Buffer>, IoError>;

    fn poll(self: Pin<&mut Self>, _: &mut TaskContext<'_>) -> Poll<Self::Output> {
        let mut state = self.world.state();
        let Some(request) = state.requests.get_mut(&self.id) else {
            return Poll::Pending;
        };
        match request.answer.take() {
            None => Poll::Pending,
            Some(answer) => {
                state.requests.remove(&self.id);
                Poll::Ready(answer)
            }
        }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        let mut state = self.world.state();
        let id = self.id;
        let Some(request) = state.requests.get_mut(&id) else {
            return;
        };
        let under_way = matches!(request.what, What::Write { .. }) && request.answer.is_none();
        if under_way {
            request.late = true;
        } else {
            state.requests.remove(&id);
        }
    }
}

impl State {
    fn read(&self, offset: u64, len: usize) -> Vec<(u64, [u8; SECTOR])> {
        let first = offset / SECTOR as u64;
        let range = first..first + (len / SECTOR) as u64;
        self.sectors
            .range(range)
            .map(|(at, sector)| (*at, *sector))
            .collect()
    }

    fn write(&mut self, offset: u64, data: &[u8]) {
        let first = offset / SECTOR as u64;
        for (at, sector) in (first..).zip(data.chunks(SECTOR)) {
            let sector: [u8; SECTOR] = sector.try_into().unwrap();
            if sector == [0; SECTOR] {
                self.sectors.remove(&at);
            } else {
                self.sectors.insert(at, sector);
            }
        }
    }

    fn write_delta_lease(&mut self, host: usize, timestamp: Timestamp) {
        let id = HostId(host as u64 + 1);
        let mut leader = Leader::new_delta(GEOMETRY, &space(), IoTimeout(10));
        leader.owner_id = id;
        leader.owner_generation = self.generations[host];
        leader.timestamp = timestamp;
        let mut sector = [0; SECTOR];
        leader.encode(&mut sector);
        self.write(GEOMETRY.delta_offset(id).unwrap(), &sector);
    }

    pub(crate) fn member(&self, host: usize) -> Member {
        Member {
            host: HostId(host as u64 + 1),
            generation: self.generations[host],
        }
    }

    pub(crate) fn leader(&self) -> Leader {
        let sector = self.sectors.get(&(AREA / SECTOR as u64)).unwrap();
        Leader::decode(sector).unwrap().record
    }

    pub(crate) fn dblock(&self, host: usize) -> Dblock {
        let at = AREA / SECTOR as u64 + 2 + host as u64;
        self.sectors.get(&at).map_or(Dblock::default(), |sector| {
            Dblock::decode(sector).unwrap().record
        })
    }

    /// The latest version that the leader or a dblock knows of.
    fn latest_lver(&self) -> Lver {
        let dblocks = (0..self.holds.len()).map(|host| self.dblock(host).lver);
        dblocks.max().unwrap_or_default().max(self.leader().lver)
    }

    /// Everything that may happen next.
    ///
    /// Nobody else can tell when a host's wait ends or when it reads what never changes, so these happen
    /// before everything else.
    pub(crate) fn events(&self) -> Vec<Event> {
        if let Some((id, _)) = self
            .requests
            .iter()
            .find(|(_, request)| self.is_private(request))
        {
            return vec![Event::Done(*id)];
        }
        let mut events = Vec::new();
        for (id, request) in &self.requests {
            self.events_of(*id, request, &mut events);
        }
        for host in 0..self.holds.len() {
            let waits = self.requests.values().any(|request| request.host == host);
            if !self.crashed.contains(&host) {
                if self.faults.crashes > 0 && waits {
                    events.push(Event::Crash(host));
                }
            } else if self.faults.rejoin {
                // What the dead incarnation wrote into its own sector would be taken for the new one's:
                // sanlock relies on it to land before the host has its id again.
                let hinders = |request: &Request| match request.what {
                    What::Write { offset, .. } => {
                        request.host == host && !(self.faults.late_leaders && offset == AREA)
                    }
                    _ => false,
                };
                if !self.requests.values().any(hinders) {
                    events.push(Event::Rejoin(host));
                }
            } else if !self.dead.contains(&host) && !waits {
                events.push(Event::IsDead(host));
            }
        }
        events
    }

    fn is_private(&self, request: &Request) -> bool {
        let may_fail = self.faults.errors > 0 || self.faults.timeouts > 0;
        request.answer.is_none()
            && match &request.what {
                What::Sleep(time) => !self.is_deadline(request.host, *time),
                What::Read { offset, .. } => *offset < AREA && !may_fail && !self.faults.rejoin,
                What::Write { .. } | What::Hold => false,
            }
    }

    /// Whether a host's wait is that for a disk.
    fn is_deadline(&self, host: usize, time: Duration) -> bool {
        let mut requests = self.requests.values();
        time >= DEADLINE
            && requests.any(|other| {
                other.host == host && matches!(other.what, What::Read { .. } | What::Write { .. })
            })
    }

    fn events_of(&self, id: usize, request: &Request, events: &mut Vec<Event>) {
        if request.answer.is_some() {
            return;
        }
        let fails = self.faults.errors > 0 && !request.late;
        match &request.what {
            What::Hold => events.push(Event::Done(id)),
            What::Sleep(_) => {
                if self.faults.timeouts > 0 {
                    events.push(Event::TimesOut(id));
                }
            }
            What::Read { len, half, .. } => {
                if self.faults.torn_reads && *len > SECTOR && half.is_none() {
                    events.push(Event::HalfRead(id, LeaderComes::First));
                    events.push(Event::HalfRead(id, LeaderComes::Last));
                } else {
                    events.push(Event::Done(id));
                }
                if fails {
                    events.push(Event::Fails(id, Landed::No));
                }
            }
            What::Write { .. } => {
                events.push(Event::Done(id));
                if request.late {
                    events.push(Event::Vanishes(id));
                }
                if fails {
                    events.push(Event::Fails(id, Landed::Yes));
                    events.push(Event::Fails(id, Landed::No));
                }
            }
        }
    }

    /// Lets something happen, and returns the host that learns of it.
    ///
    /// Crashes and rejoining are up to the caller, who has the hosts.
    pub(crate) fn happen(&mut self, event: Event) -> Option<usize> {
        let latest = self.latest_lver();
        let host = match event {
            Event::Done(id) => self.done(id),
            Event::HalfRead(id, leader) => {
                self.half_read(id, leader);
                return None;
            }
            Event::Fails(id, landed) => {
                self.faults.errors -= 1;
                if landed == Landed::Yes {
                    self.land(id);
                }
                let action = "request".to_owned();
                self.answer(id, Err(IoError::Os { action, errno: EIO }), 1)
            }
            Event::TimesOut(id) => {
                self.faults.timeouts -= 1;
                let host = self.requests[&id].host;
                for request in self.requests.values_mut() {
                    if request.host == host && matches!(request.what, What::Write { .. }) {
                        request.late = true;
                    }
                }
                self.answer(id, Ok(None), 2)
            }
            Event::Vanishes(id) => {
                let action = "request".to_owned();
                self.answer(id, Err(IoError::Os { action, errno: EIO }), 1)
            }
            Event::Crash(host) => {
                self.faults.crashes -= 1;
                self.crashed.insert(host);
                self.holds[host] = None;
                None
            }
            Event::Rejoin(host) => {
                self.crashed.remove(&host);
                self.generations[host].0 += 1;
                self.write_delta_lease(host, START);
                Some(host)
            }
            Event::IsDead(host) => {
                self.dead.insert(host);
                self.now = MUCH_LATER;
                None
            }
        };
        // A late leader may undo two changes of hands at once; then hosts take part in the ballots for
        // versions again that they have been in before, and find what was chosen then.
        if self.latest_lver() < latest && !self.faults.late_leaders {
            self.violate(format!(
                "the version went back from {latest} to {}",
                self.latest_lver()
            ));
        }
        host
    }

    fn done(&mut self, id: usize) -> Option<usize> {
        let mut news = 0;
        let answer = match &self.requests[&id].what {
            What::Sleep(_) | What::Hold => None,
            What::Write { .. } => {
                self.land(id);
                None
            }
            What::Read { offset, len, half } => {
                let (offset, len) = (*offset, *len);
                let mut sectors = self.read(offset, len);
                if let Some((leader, earlier)) = half {
                    let first = offset / SECTOR as u64;
                    let is_late = |at: u64| (at == first) == (*leader == LeaderComes::Last);
                    sectors.retain(|(at, _)| is_late(*at));
                    sectors.extend(earlier.iter().filter(|(at, _)| !is_late(*at)));
                }
                sectors.sort_by_key(|(at, _)| *at);
                news = fingerprint_of(&sectors);
                let mut buffer = Buffer::zeroed(len);
                for (at, sector) in sectors {
                    let start = (at * SECTOR as u64 - offset) as usize;
                    buffer[start..start + SECTOR].copy_from_slice(&sector);
                }
                Some(buffer)
            }
        };
        self.answer(id, Ok(answer), news)
    }

    fn half_read(&mut self, id: usize, comes: LeaderComes) {
        let What::Read { offset, len, .. } = self.requests[&id].what else {
            return;
        };
        let seen = self.read(offset, len);
        if let Some(Request {
            what: What::Read { half, .. },
            ..
        }) = self.requests.get_mut(&id)
        {
            *half = Some((comes, seen));
        }
    }

    fn land(&mut self, id: usize) {
        if let What::Write { offset, data } = self.requests[&id].what.clone() {
            self.write(offset, &data);
        }
    }

    /// Answers a request and adds the answer to what its host knows.
    fn answer(
        &mut self,
        id: usize,
        answer: Result<Option<Buffer>, IoError>,
        news: u64,
    ) -> Option<usize> {
        let request = self.requests.get_mut(&id)?;
        let host = request.host;
        if self.crashed.contains(&host) {
            self.requests.remove(&id);
            return None;
        }
        let mut hasher = hasher();
        self.knows[host].hash(&mut hasher);
        news.hash(&mut hasher);
        matches!(request.what, What::Sleep(_)).hash(&mut hasher);
        request.late.hash(&mut hasher);
        self.knows[host] = hasher.finish();
        request.answer = Some(answer);
        Some(host)
    }

    /// A host begins an operation knowing only `this`.
    pub(crate) fn begins(&mut self, host: usize, this: impl Hash) {
        let mut hasher = hasher();
        this.hash(&mut hasher);
        self.knows[host] = hasher.finish();
        self.back_offs[host] = 0;
    }

    /// How many times the host has backed off in its present operation.
    pub(crate) fn back_offs(&self, host: usize) -> u32 {
        self.back_offs[host]
    }

    /// A host believes from now on that it holds the lease.
    pub(crate) fn acquired(&mut self, host: usize, hold: Hold) {
        for (other, theirs) in self.holds.clone().into_iter().enumerate() {
            let Some(theirs) = theirs.filter(|_| other != host) else {
                continue;
            };
            if (hold.mode, theirs.mode) != (HoldMode::Shared, HoldMode::Shared) {
                self.violate(format!(
                    "host {host} has {hold:?} while host {other} has {theirs:?}"
                ));
            }
        }
        self.holds[host] = Some(hold);
    }

    /// A host was made the owner of a version.
    pub(crate) fn granted(&mut self, host: usize, lver: Lver) {
        let us = self.member(host);
        if let Some(before) = self.granted.insert(lver, us) {
            self.violate(format!(
                "version {lver} was acquired by {before:?} and then by {us:?}"
            ));
        }
    }

    /// A host knows from now on that it does not hold the lease.
    pub(crate) fn released(&mut self, host: usize) {
        self.holds[host] = None;
    }

    /// When nothing can happen any more: a live host that holds nothing must not be in the way of others.
    pub(crate) fn check_end(&mut self) {
        let leader = self.leader();
        let owner = leader.owner_id.0 as usize;
        if !leader.is_owned() || owner == 0 || self.crashed.contains(&(owner - 1)) {
            return;
        }
        let host = owner - 1;
        let current = leader.owner_generation == self.generations[host];
        let dblock = self.dblock(host);
        let may_be_taken = leader.write_id != leader.owner_id && dblock.is_released();
        if self.holds[host].is_none() && current && !may_be_taken {
            self.violate(format!(
                "host {host} is the owner on disk and does not know it"
            ));
        }
    }

    pub(crate) fn violate(&mut self, what: String) {
        self.violation.get_or_insert(what);
    }

    pub(crate) fn note(&mut self, what: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            let what = what();
            trace.push(what);
        }
    }

    pub(crate) fn describe(&self, event: Event) -> String {
        let name = |id: usize| match self.requests.get(&id) {
            None => "?".to_owned(),
            Some(Request {
                host, what, late, ..
            }) => {
                let late = if *late { " (late)" } else { "" };
                match what {
                    What::Sleep(time) => format!("host {host}: wait of {time:?}"),
                    What::Hold => format!("host {host}: hold"),
                    What::Read { offset, len, .. } => {
                        format!("host {host}: read {len} at {offset}{late}")
                    }
                    What::Write { offset, data } => {
                        let sector = (offset - AREA) / SECTOR as u64;
                        let what = match sector {
                            0 => {
                                let leader = Leader::decode(data).unwrap().record;
                                format!(
                                    "leader lver {} owner {}/{} ts {} by {}",
                                    leader.lver,
                                    leader.owner_id,
                                    leader.owner_generation,
                                    leader.timestamp,
                                    leader.write_id
                                )
                            }
                            _ => {
                                let d = Dblock::decode(data).unwrap().record;
                                format!(
                                    "dblock {} mbal {} bal {} inp {}/{} lver {} flags {}",
                                    sector - 1,
                                    d.mbal,
                                    d.bal,
                                    d.inp,
                                    d.inp2,
                                    d.lver,
                                    d.flags
                                )
                            }
                        };
                        format!("host {host}: write {what}{late}")
                    }
                }
            }
        };
        match event {
            Event::Done(id) => name(id),
            Event::HalfRead(id, leader) => format!("{}: half, leader {leader:?}", name(id)),
            Event::Fails(id, landed) => format!("{} FAILS, landed {landed:?}", name(id)),
            Event::TimesOut(id) => format!("{} TIMES OUT", name(id)),
            Event::Vanishes(id) => format!("{} VANISHES", name(id)),
            other => format!("{other:?}"),
        }
    }

    /// A number that is the same for states from which the same can happen.
    pub(crate) fn fingerprint(&self) -> u64 {
        let mut hasher = hasher();
        self.sectors.hash(&mut hasher);
        for request in self.requests.values() {
            (
                request.host,
                &request.what,
                request.late,
                request.answer.is_some(),
            )
                .hash(&mut hasher);
        }
        (self.faults, self.now, &self.crashed, &self.dead).hash(&mut hasher);
        (&self.generations, &self.holds, &self.knows).hash(&mut hasher);
        for (lver, member) in &self.granted {
            (lver, member.host, member.generation).hash(&mut hasher);
        }
        self.back_offs.hash(&mut hasher);
        hasher.finish()
    }
}

fn hasher() -> impl Hasher {
    std::hash::DefaultHasher::new()
}

fn fingerprint_of(what: impl Hash) -> u64 {
    let mut hasher = hasher();
    what.hash(&mut hasher);
    hasher.finish()
}

#[derive(Clone)]
pub(crate) struct HostEnv {
    world: World,
    host: usize,
}

impl std::fmt::Debug for HostEnv {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "host {}", self.host)
    }
}

impl Env for HostEnv {
    fn monotime(&self) -> Timestamp {
        self.world.state().now
    }

    fn random_below(&self, _bound: u64) -> u64 {
        self.world.state().back_offs[self.host] += 1;
        0
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<()> {
        let answer = self.world.request(self.host, What::Sleep(duration));
        Box::pin(async {
            let _ = answer.await;
        })
    }
}

impl Liveness for HostEnv {
    fn host_status(&self, host: HostId) -> Option<HostSeen> {
        let state = self.world.state();
        let other = host.0 as usize - 1;
        let is_dead = state.dead.contains(&other);
        Some(HostSeen {
            first_check: Some(START),
            last_check: Some(state.now),
            last_live: Some(if is_dead { START } else { state.now }),
            owner_id: host,
            generation: state.generations[other],
            timestamp: START,
            io_timeout: Some(IoTimeout(10)),
        })
    }

    fn delta_area(&self, _space: &Name) -> Result<DeltaArea, NoDeltaArea> {
        let path = "/world".into();
        let disk = HostDisk {
            world: self.world.clone(),
            host: self.host,
            path,
        };
        Ok(DeltaArea {
            area: Area::new(Arc::new(disk), 0),
            geometry: GEOMETRY,
        })
    }

    fn host_id_is_ours(&self) -> bool {
        true
    }
}

struct HostDisk {
    world: World,
    host: usize,
    path: PathBuf,
}

impl std::fmt::Debug for HostDisk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "disk of host {}", self.host)
    }
}

impl Disk for HostDisk {
    fn path(&self) -> &Path {
        &self.path
    }

    fn device_sector_size(&self) -> u32 {
        512
    }

    fn read(&self, offset: u64, len: usize) -> Pending<Buffer> {
        let answer = self.world.request(
            self.host,
            What::Read {
                offset,
                len,
                half: None,
            },
        );
        Pending::new(async move { Ok(answer.await?.unwrap()) })
    }

    fn write(&self, offset: u64, data: Buffer) -> Pending<()> {
        let data = data.to_vec();
        let answer = self.world.request(self.host, What::Write { offset, data });
        Pending::new(async move { answer.await.map(|_| ()) })
    }
}
