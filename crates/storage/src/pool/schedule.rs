//! Which request runs next, and whether it may: the books of a pool, without its threads.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::thread::Thread;
use std::time::{Duration, Instant};

use super::width::Width;
use super::{PATIENCE, PoolOptions, PoolStatus, Task};
use crate::IoError;
use crate::request::STUCK_PER_DISK;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct LaneId(u64);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct RequestId(u64);

impl RequestId {
    /// No request has this number.
    pub(super) const NONE: Self = Self(0);
}

/// A request that a thread does.
pub(super) struct Job {
    lane: LaneId,
    request: RequestId,
    pub(super) task: Box<dyn Task>,
}

/// A thread that has been given a request; to be woken or made without holding the lock.
pub(super) enum Wake {
    Sleeper(Thread),
    /// Counted already; [`Schedule::not_made`] if it cannot be made.
    NewThread {
        number: u64,
    },
}

struct Running {
    since: Instant,
    abandoned: bool,
}

struct Queued {
    task: Box<dyn Task>,
    asked: bool,
    since: Instant,
}

/// The requests on one path.
struct LaneBooks {
    path: PathBuf,
    handles: usize,
    queue: BTreeMap<RequestId, Queued>,
    running: BTreeMap<RequestId, Running>,
    abandoned: usize,
    width: Width,
}

impl LaneBooks {
    fn waited_for(&self) -> usize {
        self.running.len().saturating_sub(self.abandoned)
    }

    fn stuck(&self, after: Duration) -> usize {
        let stuck = |running: &&Running| running.abandoned && running.since.elapsed() >= after;
        if self.abandoned == 0 {
            0
        } else {
            self.running.values().filter(stuck).count()
        }
    }

    fn is_over(&self) -> bool {
        self.handles == 0 && self.queue.is_empty() && self.running.is_empty()
    }
}

pub(super) struct Schedule {
    max_threads: usize,
    max_stuck: usize,
    threads_per_disk: usize,
    threads_per_fast_disk: usize,
    guaranteed_per_disk: usize,
    queue_per_disk: usize,
    stuck_after: Duration,

    lanes: BTreeMap<LaneId, LaneBooks>,
    by_path: BTreeMap<PathBuf, LaneId>,
    /// Lanes with queued requests, the one that waited longest first. None of them may start another
    /// request now: whatever makes room starts one at once, and so does [`Schedule::overdue`].
    waiting: VecDeque<LaneId>,
    /// The thread that went to sleep last is woken first: its caches are warm, and those at the other
    /// end have been idle for long enough to end.
    sleeping: Vec<(u64, Thread)>,
    /// Requests that were given to a thread, by its number, and that it has not taken up yet.
    given: BTreeMap<u64, Job>,
    threads: usize,
    running: usize,
    abandoned: usize,
    last_number: u64,
}

impl Schedule {
    pub(super) fn new(options: &PoolOptions) -> Self {
        Self {
            max_threads: options.max_threads,
            max_stuck: options.max_stuck,
            threads_per_disk: options.threads_per_disk.max(1),
            threads_per_fast_disk: options.threads_per_fast_disk.max(1),
            guaranteed_per_disk: options.guaranteed_per_disk.max(1),
            queue_per_disk: options.queue_per_disk,
            stuck_after: options.stuck_after,
            lanes: BTreeMap::new(),
            by_path: BTreeMap::new(),
            waiting: VecDeque::new(),
            sleeping: Vec::new(),
            given: BTreeMap::new(),
            threads: 0,
            running: 0,
            abandoned: 0,
            last_number: 0,
        }
    }

    pub(super) fn status(&self) -> PoolStatus {
        PoolStatus {
            threads: self.threads,
            running: self.running,
            abandoned: self.abandoned,
            queued: self.lanes.values().map(|lane| lane.queue.len()).sum(),
            disks: self.lanes.len(),
        }
    }

    /// One more handle of the path's lane.
    pub(super) fn enter(&mut self, path: &Path) -> LaneId {
        let id = match self.by_path.get(path) {
            Some(id) => *id,
            None => {
                let id = LaneId(self.number());
                self.by_path.insert(path.to_owned(), id);
                let lane = LaneBooks {
                    path: path.to_owned(),
                    handles: 0,
                    queue: BTreeMap::new(),
                    running: BTreeMap::new(),
                    abandoned: 0,
                    width: Width::new(Instant::now()),
                };
                self.lanes.insert(id, lane);
                id
            }
        };
        self.enter_again(id);
        id
    }

    pub(super) fn enter_again(&mut self, id: LaneId) {
        if let Some(lane) = self.lanes.get_mut(&id) {
            lane.handles += 1;
        }
    }

    pub(super) fn leave(&mut self, id: LaneId) {
        if let Some(lane) = self.lanes.get_mut(&id) {
            lane.handles = lane.handles.saturating_sub(1);
        }
        self.remove_if_over(id);
    }

    /// Whether one more request on this path may be sent: not if its disk hangs.
    pub(super) fn admit(&self, id: LaneId) -> Result<(), IoError> {
        let Some(lane) = self.lanes.get(&id) else {
            return Ok(());
        };
        let allowed = if self.abandoned < self.max_stuck {
            STUCK_PER_DISK
        } else {
            1
        };
        let stuck = lane.stuck(self.stuck_after);
        if stuck >= allowed {
            return Err(IoError::TooManyStuck { stuck });
        }
        if lane.queue.len() >= self.queue_per_disk {
            return Err(IoError::TooManyStuck {
                stuck: lane.queue.len() + lane.running.len(),
            });
        }
        Ok(())
    }

    /// Starts a request, or queues it.
    pub(super) fn push(
        &mut self,
        id: LaneId,
        task: Box<dyn Task>,
        asked: bool,
    ) -> (RequestId, Option<Wake>) {
        let request = RequestId(self.number());
        let now = Instant::now();
        let queued = Queued {
            task,
            asked,
            since: now,
        };
        let others_wait = self
            .lanes
            .get(&id)
            .is_some_and(|lane| !lane.queue.is_empty());
        // Nobody watches over the wait of what nobody asked for.
        let may_start = match asked {
            true => !others_wait && self.may_start(id),
            false => self.has_room(id, self.threads_per_disk),
        };
        if may_start {
            let job = self.start(id, request, queued);
            let wake = job.map(|job| self.give(job));
            return (request, wake);
        }
        if let Some(lane) = self.lanes.get_mut(&id) {
            if lane.queue.is_empty() {
                self.waiting.push_back(id);
            }
            lane.queue.insert(request, queued);
            lane.width.queued(now);
        }
        (request, None)
    }

    /// Starts a request that has waited for long enough, however many of its disk run, if there may be
    /// one more at all.
    pub(super) fn overdue(&mut self, id: LaneId, request: RequestId) -> Option<Wake> {
        if !self.has_room(id, self.threads_per_disk) {
            return None;
        }
        let lane = self.lanes.get_mut(&id)?;
        let queued = lane.queue.remove(&request)?;
        if lane.queue.is_empty() {
            self.waiting.retain(|waiting| *waiting != id);
        }
        let job = self.start(id, request, queued)?;
        Some(self.give(job))
    }

    /// The request that was given to this thread.
    pub(super) fn take(&mut self, thread: u64) -> Option<Job> {
        self.given.remove(&thread)
    }

    /// The request came back: its thread gets the next one, or counts as asleep from now on. Whoever
    /// wakes it will not have to wait for long.
    pub(super) fn finished(&mut self, job: &Job, number: u64, thread: Thread) -> Vec<Wake> {
        if let Some(lane) = self.lanes.get_mut(&job.lane) {
            let waiting = !lane.queue.is_empty();
            lane.width.done(Instant::now(), waiting);
        }
        self.close(job.lane, job.request);
        match self.start_next() {
            Some(next) => drop(self.given.insert(number, next)),
            None => self.sleeps(number, thread),
        }
        self.start_all()
    }

    /// The thread that was to do a request could not be made: here is the request.
    pub(super) fn not_made(&mut self, number: u64) -> Option<Job> {
        self.thread_ended();
        let job = self.given.remove(&number)?;
        self.close(job.lane, job.request);
        Some(job)
    }

    /// Nobody waits for the request any more. One that was not started is returned and never will be.
    pub(super) fn abandon(
        &mut self,
        id: LaneId,
        request: RequestId,
    ) -> (Option<Box<dyn Task>>, Vec<Wake>) {
        let Some(lane) = self.lanes.get_mut(&id) else {
            return (None, Vec::new());
        };
        if let Some(queued) = lane.queue.remove(&request) {
            if lane.queue.is_empty() {
                self.waiting.retain(|waiting| *waiting != id);
            }
            return (Some(queued.task), Vec::new());
        }
        match lane.running.get_mut(&request) {
            Some(running) if !running.abandoned => {
                running.abandoned = true;
                lane.abandoned += 1;
                self.abandoned += 1;
                self.running = self.running.saturating_sub(1);
            }
            _ => return (None, Vec::new()),
        }
        // Its thread does not count any more.
        (None, self.start_all())
    }

    /// The thread waits to be woken.
    pub(super) fn sleeps(&mut self, number: u64, thread: Thread) {
        if !self.sleeping.iter().any(|(asleep, _)| *asleep == number) {
            self.sleeping.push((number, thread));
        }
    }

    /// Ends a thread that nobody woke.
    pub(super) fn end_if_asleep(&mut self, number: u64) -> bool {
        let place = self
            .sleeping
            .iter()
            .rposition(|(asleep, _)| *asleep == number);
        let asleep = place.map(|place| self.sleeping.remove(place)).is_some();
        if asleep {
            self.thread_ended();
        }
        asleep
    }

    fn thread_ended(&mut self) {
        self.threads = self.threads.saturating_sub(1);
    }

    /// Books a request as running.
    fn start(&mut self, id: LaneId, request: RequestId, queued: Queued) -> Option<Job> {
        let lane = self.lanes.get_mut(&id)?;
        let abandoned = !queued.asked;
        lane.running.insert(
            request,
            Running {
                since: Instant::now(),
                abandoned,
            },
        );
        if abandoned {
            lane.abandoned += 1;
            self.abandoned += 1;
        } else {
            self.running += 1;
        }
        Some(Job {
            lane: id,
            request,
            task: queued.task,
        })
    }

    /// Starts the queued request whose turn it is, if there is room for one.
    fn start_next(&mut self) -> Option<Job> {
        let place = self.waiting.iter().position(|id| self.may_start(*id))?;
        let id = self.waiting.remove(place)?;
        let lane = self.lanes.get_mut(&id)?;
        let (request, queued) = lane.queue.pop_first()?;
        if !lane.queue.is_empty() {
            self.waiting.push_back(id);
        }
        self.start(id, request, queued)
    }

    fn start_all(&mut self) -> Vec<Wake> {
        let mut wakes = Vec::new();
        while let Some(job) = self.start_next() {
            wakes.push(self.give(job));
        }
        wakes
    }

    /// Gives a request to a thread that sleeps, else to a new one.
    fn give(&mut self, job: Job) -> Wake {
        if let Some((number, thread)) = self.sleeping.pop() {
            self.given.insert(number, job);
            return Wake::Sleeper(thread);
        }
        self.threads += 1;
        let number = self.number();
        self.given.insert(number, job);
        Wake::NewThread { number }
    }

    /// Takes a request off the books.
    fn close(&mut self, id: LaneId, request: RequestId) {
        if let Some(lane) = self.lanes.get_mut(&id) {
            if let Some(running) = lane.running.remove(&request) {
                if running.abandoned {
                    lane.abandoned = lane.abandoned.saturating_sub(1);
                    self.abandoned = self.abandoned.saturating_sub(1);
                } else {
                    self.running = self.running.saturating_sub(1);
                }
            }
        }
        self.remove_if_over(id);
    }

    fn may_start(&self, id: LaneId) -> bool {
        self.has_room(id, self.width(id))
    }

    /// How many requests of a disk may run now. Those that nobody waits for any more do not take the place of
    /// others.
    fn width(&self, id: LaneId) -> usize {
        let may_wait = |lane: &&LaneBooks| {
            let oldest = lane.queue.first_key_value();
            let overdue = oldest.is_some_and(|(_, queued)| queued.since.elapsed() >= PATIENCE);
            !overdue && !lane.width.is_wide()
        };
        let Some(lane) = self.lanes.get(&id).filter(may_wait) else {
            return self.threads_per_disk;
        };
        let narrow = self.threads_per_fast_disk.saturating_add(lane.abandoned);
        narrow.min(self.threads_per_disk)
    }

    fn has_room(&self, id: LaneId, most: usize) -> bool {
        self.lanes.get(&id).is_some_and(|lane| {
            lane.running.len() < most
                && (self.running < self.max_threads || lane.waited_for() < self.guaranteed_per_disk)
        })
    }

    fn remove_if_over(&mut self, id: LaneId) {
        if self.lanes.get(&id).is_some_and(LaneBooks::is_over) {
            if let Some(lane) = self.lanes.remove(&id) {
                self.by_path.remove(&lane.path);
            }
        }
    }

    fn number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }
}
