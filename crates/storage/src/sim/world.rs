//! The one disk that all simulated hosts share, and what is under way on it.
//!
//! Nothing drives it: whoever looks first lets everything happen that was due until now, in the order
//! of the moments it was due, so that what is seen is the same as if it had happened by itself.

mod crash;

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::Instant;

use super::faults::{Counts, Faults, RequestFaults};
use super::file::{File, length, split};
use super::random::Random;
use super::{HostLabel, Landed, Reads};
use crate::request::{STUCK_AFTER, STUCK_PER_DISK};
use crate::{Buffer, IoError};

pub(super) type Observer = Box<dyn FnMut(&Landed<'_>) + Send>;
pub(super) type ReadObserver = Box<dyn FnMut(&Reads<'_>) + Send>;

/// What a request is to do.
pub(super) enum Work {
    Open,
    Read { offset: u64, into: Buffer },
    Write { offset: u64, data: Buffer },
}

/// What became of it.
#[derive(Debug)]
pub(super) enum Done {
    Opened { sector_size: u32 },
    Read(Buffer),
    Written,
}

/// Whether a request has its answer.
pub(super) enum Progress {
    Answered(Result<Done, IoError>),
    DueAt(Instant),
    Hangs,
    /// Its host crashed: nobody is there to be answered.
    Never,
}

/// What was done with a request that a host wants to send.
pub(super) enum Sent {
    Request(u64),
    Refused(IoError),
    HostCrashed,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Hung,
    UnderWay { answer_at: Instant },
    Answered,
    HostCrashed,
}

struct Request {
    host: HostLabel,
    path: PathBuf,
    work: Work,
    state: State,
    parts_left: usize,
    failed: Option<IoError>,
    sent_at: Instant,
    abandoned: bool,
    landed: bool,
}

impl Request {
    fn is_stuck(&self, host: HostLabel, path: &Path) -> bool {
        self.host == host
            && self.path == path
            && self.abandoned
            && matches!(self.state, State::Hung | State::UnderWay { .. })
            && self.sent_at.elapsed() >= STUCK_AFTER
    }
}

enum Event {
    Part { request: u64, range: Range<usize> },
    Answer { request: u64 },
}

struct Host {
    random: Random,
    incarnation: u64,
    faults: Faults,
    path_faults: BTreeMap<PathBuf, Faults>,
    counts: Counts,
}

pub(super) struct World {
    seed: u64,
    files: BTreeMap<PathBuf, File>,
    hosts: BTreeMap<HostLabel, Host>,
    requests: BTreeMap<u64, Request>,
    /// By the moment they are due, then by the order in which they were planned.
    events: BTreeMap<(Instant, u64), Event>,
    last_number: u64,
    pub(super) observer: Option<Observer>,
    pub(super) read_observer: Option<ReadObserver>,
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            seed,
            files: BTreeMap::new(),
            hosts: BTreeMap::new(),
            requests: BTreeMap::new(),
            events: BTreeMap::new(),
            last_number: 0,
            observer: None,
            read_observer: None,
        }
    }

    pub(super) fn file(&mut self, path: &Path) -> Option<&mut File> {
        self.settle();
        self.files.get_mut(path)
    }

    pub(super) fn put_file(&mut self, path: &Path, file: File) {
        self.settle();
        self.files.insert(path.to_owned(), file);
    }

    pub(super) fn remove_file(&mut self, path: &Path) {
        self.settle();
        self.files.remove(path);
    }

    pub(super) fn incarnation(&mut self, host: HostLabel) -> u64 {
        self.host(host).incarnation
    }

    pub(super) fn counts(&mut self, host: HostLabel) -> Counts {
        self.settle();
        self.host(host).counts
    }

    pub(super) fn set_faults(&mut self, host: HostLabel, faults: Faults) {
        self.host(host).faults = faults;
    }

    pub(super) fn set_path_faults(&mut self, host: HostLabel, path: &Path, faults: Option<Faults>) {
        let path_faults = &mut self.host(host).path_faults;
        match faults {
            Some(faults) => path_faults.insert(path.to_owned(), faults),
            None => path_faults.remove(path),
        };
    }

    pub(super) fn under_way(&mut self, host: HostLabel) -> usize {
        self.settle();
        let open = |request: &&Request| request.host == host && request.state != State::Answered;
        self.requests.values().filter(open).count()
    }

    /// Takes a request from a host, decides what will happen to it and when.
    pub(super) fn send(
        &mut self,
        host: HostLabel,
        incarnation: u64,
        path: &Path,
        work: Work,
    ) -> Sent {
        self.settle();
        let stuck = self
            .requests
            .values()
            .filter(|r| r.is_stuck(host, path))
            .count();
        let this = self.host(host);
        if this.incarnation != incarnation {
            return Sent::HostCrashed;
        }
        if stuck >= STUCK_PER_DISK {
            this.counts.refused += 1;
            return Sent::Refused(IoError::TooManyStuck { stuck });
        }
        match &work {
            Work::Open => this.counts.opens += 1,
            Work::Read { into, .. } => {
                this.counts.reads += 1;
                this.counts.bytes_read += length(into.len());
            }
            Work::Write { data, .. } => {
                this.counts.writes += 1;
                this.counts.bytes_written += length(data.len());
            }
        }
        let hangs = {
            let faults = this.faults_of(path, &work);
            this.random.chance(faults.hang)
        };
        this.counts.hung += u64::from(hangs);
        if let (Work::Read { offset, into }, Some(observer)) = (&work, &mut self.read_observer) {
            observer(&Reads {
                host,
                path,
                offset: *offset,
                len: into.len(),
            });
        }
        let number = self.number();
        let path = path.to_owned();
        let state = State::Hung;
        let request = Request {
            host,
            path,
            work,
            state,
            parts_left: 0,
            failed: None,
            sent_at: Instant::now(),
            abandoned: false,
            landed: false,
        };
        self.requests.insert(number, request);
        if !hangs {
            self.plan(number);
        }
        Sent::Request(number)
    }

    /// Whether the request has been answered by now; its answer is given once.
    pub(super) fn progress(&mut self, number: u64) -> Progress {
        self.settle();
        let Some(request) = self.requests.get(&number) else {
            return Progress::Never;
        };
        match request.state {
            State::Hung => Progress::Hangs,
            State::UnderWay { answer_at } => Progress::DueAt(answer_at),
            State::HostCrashed => Progress::Never,
            State::Answered => match self.requests.remove(&number) {
                Some(request) => Progress::Answered(self.answer(request)),
                None => Progress::Never,
            },
        }
    }

    /// The caller does not wait any longer.
    pub(super) fn abandon(&mut self, number: u64) {
        self.settle();
        let Some(request) = self.requests.get_mut(&number) else {
            return;
        };
        let host = request.host;
        let over = request.state == State::Answered;
        let crashed = request.state == State::HostCrashed;
        request.abandoned = true;
        if over {
            self.requests.remove(&number);
        }
        if !over && !crashed {
            self.host(host).counts.abandoned += 1;
        }
    }

    /// Lets the host's hung requests go on.
    pub(super) fn release_hung(&mut self, host: HostLabel) {
        self.settle();
        let is_hung = |r: &Request| r.host == host && r.state == State::Hung;
        let hung: Vec<u64> = self
            .requests
            .iter()
            .filter(|(_, r)| is_hung(r))
            .map(|(number, _)| *number)
            .collect();
        for number in hung {
            self.plan(number);
        }
    }

    /// Answers the host's hung requests with `EIO`.
    pub(super) fn fail_hung(&mut self, host: HostLabel) {
        self.settle();
        let now = Instant::now();
        let mut failed = Vec::new();
        for (number, request) in &mut self.requests {
            if request.host == host && request.state == State::Hung {
                request.state = State::UnderWay { answer_at: now };
                request.failed = Some(failure(&request.path, &request.work, libc::EIO));
                failed.push(*number);
            }
        }
        for request in failed {
            self.at(now, Event::Answer { request });
        }
    }

    /// Lets everything happen that was due until now.
    pub(super) fn settle(&mut self) {
        let now = Instant::now();
        while let Some(entry) = self.events.first_entry() {
            let (due, _) = *entry.key();
            if due > now {
                break;
            }
            match entry.remove() {
                Event::Part { request, range } => self.land(request, range, due),
                Event::Answer { request } => {
                    let Some(found) = self.requests.get_mut(&request) else {
                        continue;
                    };
                    found.state = State::Answered;
                    if found.abandoned {
                        self.requests.remove(&request);
                    }
                }
            }
        }
    }

    /// Decides when and how the request happens, and when it is answered.
    fn plan(&mut self, number: u64) {
        let now = Instant::now();
        let Some(request) = self.requests.get(&number) else {
            return;
        };
        let (host, path) = (request.host, request.path.clone());
        let Some(this) = self.hosts.get_mut(&host) else {
            return;
        };
        let faults = this.faults_of(&path, &request.work);
        let sector = self.files.get(&path).map_or(512, |file| file.sector_size);
        let (whole, is_write) = match &request.work {
            Work::Open => (0..0, false),
            Work::Read { into, .. } => (0..into.len(), false),
            Work::Write { data, .. } => (0..data.len(), true),
        };
        let several = u32::try_from(whole.len()).is_ok_and(|len| len > sector);

        let random = &mut this.random;
        let mut latency = random.within(&faults.latency);
        let late = random.chance(faults.late);
        if late {
            latency += random.within(&faults.late_by);
        }
        let error = random.chance(faults.error);
        let lost_reply = !error && random.chance(faults.lost_reply);
        let partial = !error && is_write && random.chance(faults.partial);
        let torn = !error && several && (partial || random.chance(faults.torn));
        let mut parts = if error {
            Vec::new()
        } else if torn {
            split(random, whole, sector)
        } else {
            vec![whole]
        };
        if partial {
            let keep = random.below(length(parts.len()));
            while length(parts.len()) > keep {
                let victim = random.below(length(parts.len()));
                parts.swap_remove(usize::try_from(victim).unwrap_or(0));
            }
        }
        let parts: Vec<_> = parts
            .into_iter()
            .map(|range| (now + random.within(&(Duration::ZERO..latency)), range))
            .collect();

        let counts = &mut this.counts;
        counts.late += u64::from(late);
        counts.errors += u64::from(error);
        counts.lost_replies += u64::from(lost_reply);
        counts.torn += u64::from(torn);
        counts.partial += u64::from(partial);

        let answer_at = now + latency;
        if let Some(request) = self.requests.get_mut(&number) {
            request.state = State::UnderWay { answer_at };
            request.parts_left = parts.len();
            if error || lost_reply || partial {
                request.failed = Some(failure(&path, &request.work, libc::EIO));
            }
        }
        for (due, range) in parts {
            self.at(
                due,
                Event::Part {
                    request: number,
                    range,
                },
            );
        }
        self.at(answer_at, Event::Answer { request: number });
    }

    /// One part of a request happens, at one moment.
    fn land(&mut self, number: u64, range: Range<usize>, at: Instant) {
        let Some(request) = self.requests.get_mut(&number) else {
            return;
        };
        request.parts_left = request.parts_left.saturating_sub(1);
        let first = !std::mem::replace(&mut request.landed, true);
        let crashed = request.state == State::HostCrashed;
        let file = self.files.get_mut(&request.path);
        let errno = match (&mut request.work, file) {
            (Work::Open, None) => Some(libc::ENOENT),
            (Work::Open, Some(_)) => None,
            (_, None) => Some(libc::ESTALE),
            (Work::Read { offset, into }, Some(file)) => {
                let wanted = into.len();
                match (into.get_mut(range.clone()), file.at(*offset, &range)) {
                    (Some(into), Some(from)) => into.copy_from_slice(from),
                    _ => {
                        let action = action(&request.path, &request.work);
                        let got = self.files.get(&request.path).map_or(0, |f| f.bytes.len());
                        request.failed = Some(IoError::Short {
                            action,
                            got: got.min(wanted),
                            wanted,
                        });
                    }
                }
                None
            }
            (Work::Write { offset, data }, Some(file)) => {
                let written = match data.get(range.clone()) {
                    Some(data) => file.put(*offset, &range, data),
                    None => false,
                };
                if let (true, Some(observer)) = (written, &mut self.observer) {
                    let data = data.get(range.clone()).unwrap_or_default();
                    let offset = offset.saturating_add(length(range.start));
                    let (host, path) = (request.host, request.path.as_path());
                    observer(&Landed {
                        at,
                        sent_at: request.sent_at,
                        host,
                        path,
                        offset,
                        data,
                    });
                }
                (!written).then_some(libc::ENOSPC)
            }
        };
        let is_write = matches!(request.work, Work::Write { .. });
        if let Some(errno) = errno {
            request.failed = Some(failure(&request.path, &request.work, errno));
        }
        let (host, abandoned, over) = (request.host, request.abandoned, request.parts_left == 0);
        if crashed && over {
            self.requests.remove(&number);
        }
        if first && is_write {
            let counts = &mut self.host(host).counts;
            counts.landed_after_crash += u64::from(crashed);
            counts.landed_after_abandon += u64::from(abandoned && !crashed);
        }
    }

    fn answer(&self, request: Request) -> Result<Done, IoError> {
        if let Some(failed) = request.failed {
            return Err(failed);
        }
        match request.work {
            Work::Open => match self.files.get(&request.path) {
                Some(file) => Ok(Done::Opened {
                    sector_size: file.sector_size,
                }),
                None => Err(failure(&request.path, &Work::Open, libc::ENOENT)),
            },
            Work::Read { into, .. } => Ok(Done::Read(into)),
            Work::Write { .. } => Ok(Done::Written),
        }
    }

    fn host(&mut self, label: HostLabel) -> &mut Host {
        let seed = self.seed;
        self.hosts.entry(label).or_insert_with(|| Host {
            random: Random::new(seed, u64::from(label.0)),
            incarnation: 0,
            faults: Faults::none(),
            path_faults: BTreeMap::new(),
            counts: Counts::default(),
        })
    }

    fn at(&mut self, due: Instant, event: Event) {
        let number = self.number();
        self.events.insert((due, number), event);
    }

    fn number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }
}

impl Host {
    fn faults_of(&self, path: &Path, work: &Work) -> RequestFaults {
        let faults = self.path_faults.get(path).unwrap_or(&self.faults);
        match work {
            Work::Open => faults.open.clone(),
            Work::Read { .. } => faults.read.clone(),
            Work::Write { .. } => faults.write.clone(),
        }
    }
}

fn action(path: &Path, work: &Work) -> String {
    let path = path.display();
    match work {
        Work::Open => format!("open {path}"),
        Work::Read { offset, into } => format!("read {} bytes at {offset} of {path}", into.len()),
        Work::Write { offset, data } => format!("write {} bytes at {offset} of {path}", data.len()),
    }
}

fn failure(path: &Path, work: &Work, errno: i32) -> IoError {
    IoError::Os {
        action: action(path, work),
        errno,
    }
}
