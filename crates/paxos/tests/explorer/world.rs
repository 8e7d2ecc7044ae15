//! A tiny world of hosts and a shared disk, of which every request is a scheduling point.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use ondisk::{Generation, Lver, Timestamp};
use paxos::Member;
use storage::{Buffer, IoError};

use crate::claims::Claims;
use crate::event::{Event, Faults, Landed, LeaderComes, Request, What};
use crate::sectors::{AREA, SECTOR, Sectors, host_id};
use crate::view::Answer;

const EIO: i32 = 5;
/// All hosts' clocks until somebody is declared dead.
pub(crate) const START: Timestamp = Timestamp(100);
/// All hosts' clocks after that: more than a host-dead time later.
const MUCH_LATER: Timestamp = Timestamp(1000);
/// The deadline of a request; no other wait of an algorithm is so long.
const DEADLINE: Duration = Duration::from_secs(10);

pub(crate) struct State {
    sectors: Sectors,
    pub(crate) requests: BTreeMap<usize, Request>,
    next_request: usize,
    faults: Faults,
    now: Timestamp,
    crashed: BTreeSet<usize>,
    dead: BTreeSet<usize>,
    generations: Vec<Generation>,
    pub(crate) claims: Claims,
    /// What each host knows: everything it was told since its last operation began.
    knows: Vec<u64>,
    back_offs: Vec<u32>,
    pub(crate) trace: Option<Vec<String>>,
}

#[derive(Clone)]
pub(crate) struct World(Arc<Mutex<State>>);

impl World {
    pub(crate) fn new(hosts: usize, faults: Faults) -> Self {
        let mut sectors = Sectors::with_a_lease(hosts);
        let generations = vec![Generation(1); hosts];
        for (host, generation) in generations.iter().enumerate() {
            sectors.write_delta_lease(host, *generation, START);
        }
        Self(Arc::new(Mutex::new(State {
            sectors,
            requests: BTreeMap::new(),
            next_request: 0,
            faults,
            now: START,
            crashed: BTreeSet::new(),
            dead: BTreeSet::new(),
            generations,
            claims: Claims::of_nobody(hosts),
            knows: vec![0; hosts],
            back_offs: vec![0; hosts],
            trace: None,
        })))
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    pub(crate) fn request(&self, host: usize, what: What) -> Answer {
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
        Answer::to(self.clone(), id)
    }
}

impl State {
    pub(crate) fn now(&self) -> Timestamp {
        self.now
    }

    pub(crate) fn is_dead(&self, host: usize) -> bool {
        self.dead.contains(&host)
    }

    pub(crate) fn member(&self, host: usize) -> Member {
        Member {
            host: host_id(host),
            generation: self.generations[host],
        }
    }

    /// The latest version that the leader or a dblock knows of.
    fn latest_lver(&self) -> Lver {
        let hosts = 0..self.generations.len();
        let dblocks = hosts.map(|host| self.sectors.dblock(host).lver);
        dblocks
            .max()
            .unwrap_or_default()
            .max(self.sectors.leader().lver)
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
        for host in 0..self.generations.len() {
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
                    if request.host == host && request.is_write() {
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
                self.claims.released(host);
                None
            }
            Event::Rejoin(host) => {
                self.crashed.remove(&host);
                self.generations[host].0 += 1;
                self.sectors
                    .write_delta_lease(host, self.generations[host], START);
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
            self.claims.violate(format!(
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
                let mut sectors = self.sectors.read(offset, len);
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
        let seen = self.sectors.read(offset, len);
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
            self.sectors.write(offset, &data);
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

    pub(crate) fn backs_off(&mut self, host: usize) {
        self.back_offs[host] += 1;
    }

    /// How many times the host has backed off in its present operation.
    pub(crate) fn back_offs(&self, host: usize) -> u32 {
        self.back_offs[host]
    }

    /// When nothing can happen any more: a live host that holds nothing must not be in the way of others.
    pub(crate) fn check_end(&mut self) {
        let leader = self.sectors.leader();
        let owner = leader.owner_id.0 as usize;
        if !leader.is_owned() || owner == 0 || self.crashed.contains(&(owner - 1)) {
            return;
        }
        let host = owner - 1;
        let current = leader.owner_generation == self.generations[host];
        let dblock = self.sectors.dblock(host);
        let may_be_taken = leader.write_id != leader.owner_id && dblock.is_released();
        if self.claims.hold_of(host).is_none() && current && !may_be_taken {
            self.claims.violate(format!(
                "host {host} is the owner on disk and does not know it"
            ));
        }
    }

    pub(crate) fn note(&mut self, what: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            let what = what();
            trace.push(what);
        }
    }

    pub(crate) fn describe(&self, event: Event) -> String {
        let name = |id: usize| {
            let request = self.requests.get(&id);
            request.map_or("?".to_owned(), Request::to_string)
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
        (&self.generations, &self.claims, &self.knows).hash(&mut hasher);
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
