//! Threads for requests that may hang.
//!
//! A system call on storage that does not answer cannot be taken back: it holds its thread until the
//! storage comes back or the host goes down. So each request has a thread for as long as it takes, the
//! caller waits elsewhere and may stop waiting, and what one disk can hold is bounded:
//!
//! * a disk has at most [`PoolOptions::threads_per_disk`] requests running; more wait in its queue;
//! * of a disk that does not get more done that way [`PoolOptions::threads_per_fast_disk`] are enough; but
//!   no request waits longer than [`PATIENCE`] for less than the first number;
//! * once [`crate::STUCK_PER_DISK`] of those running were given up by their callers and still do not come back,
//!   the disk is taken to hang and further requests on it are refused at once;
//! * a thread whose request was given up does not count against [`PoolOptions::max_threads`], and every
//!   disk may always have [`PoolOptions::guaranteed_per_disk`] requests running, so that disks that hang
//!   do not hold up one that does not.

mod schedule;
#[cfg(test)]
mod tests;
mod width;

use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::request::STUCK_AFTER;
use crate::{IoError, Pending, follow};
use schedule::{LaneId, RequestId, Schedule, Wake};

/// How long a request waits at most because few of its disk run at a time: it is started then, as those may
/// hang.
pub(crate) const PATIENCE: Duration = Duration::from_millis(20);

/// Bytes of stack. Work that goes on in a thread of the pool was seen to use 28 KiB, and 160 where nothing is
/// optimised.
const STACK: usize = if cfg!(debug_assertions) {
    1 << 20
} else {
    128 << 10
};

/// How many threads a pool may use, and what they are like.
#[derive(Clone)]
pub struct PoolOptions {
    /// What the threads' names begin with; the kernel shows 15 bytes.
    pub name: String,
    /// Threads for requests that somebody waits for, all disks together.
    pub max_threads: usize,
    /// Threads for requests that nobody waits for any more, all disks together. Beyond it a disk with
    /// a single such request is taken to hang.
    pub max_stuck: usize,
    /// Requests running at a time on one disk.
    pub threads_per_disk: usize,
    /// The same of a disk that does not get more done with more of them.
    pub threads_per_fast_disk: usize,
    /// Requests that may run on one disk even when `max_threads` are busy with others.
    pub guaranteed_per_disk: usize,
    /// Requests that may wait for their turn on one disk.
    pub queue_per_disk: usize,
    /// A request that nobody waits for counts as stuck when it has run for so long.
    pub stuck_after: Duration,
    /// A thread that had nothing to do for so long ends; with [`Duration::MAX`] it stays.
    pub idle: Duration,
    /// The stack of a thread in bytes.
    pub stack_size: usize,
    /// Runs first in each new thread: sets its scheduling, for example.
    pub on_thread_start: Option<Arc<dyn Fn() + Send + Sync>>,
}

impl Default for PoolOptions {
    /// Up to 128 threads named `io`, 64 of them per disk, or 16 where these do as much.
    fn default() -> Self {
        Self {
            name: "io".to_owned(),
            max_threads: 128,
            max_stuck: 256,
            threads_per_disk: 64,
            threads_per_fast_disk: 16,
            guaranteed_per_disk: 2,
            queue_per_disk: 4096,
            stuck_after: STUCK_AFTER,
            idle: Duration::from_secs(10),
            stack_size: STACK,
            on_thread_start: None,
        }
    }
}

impl fmt::Debug for PoolOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PoolOptions")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// What a pool is doing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PoolStatus {
    /// Threads there are.
    pub threads: usize,
    /// Requests running that somebody waits for.
    pub running: usize,
    /// Requests running that nobody waits for any more.
    pub abandoned: usize,
    /// Requests that wait for a thread.
    pub queued: usize,
    /// Disks with an open handle or a request.
    pub disks: usize,
}

/// A pool of threads; clones are the same pool.
#[derive(Clone)]
pub(crate) struct Pool(Arc<Shared>);

struct Shared {
    options: PoolOptions,
    schedule: Mutex<Schedule>,
}

impl Shared {
    fn schedule(&self) -> MutexGuard<'_, Schedule> {
        self.schedule.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pool {
    pub(crate) fn new(options: PoolOptions) -> Self {
        let schedule = Mutex::new(Schedule::new(&options));
        Self(Arc::new(Shared { options, schedule }))
    }

    pub(crate) fn status(&self) -> PoolStatus {
        self.0.schedule().status()
    }

    /// The queue for requests on this path: one, however often it is opened.
    pub(crate) fn lane(&self, path: &Path) -> Lane {
        let id = self.0.schedule().enter(path);
        Lane {
            pool: self.clone(),
            id,
        }
    }

    fn wake(&self, wakes: impl IntoIterator<Item = Wake>) {
        for wake in wakes {
            match wake {
                Wake::Sleeper(thread) => thread.unpark(),
                Wake::NewThread { number } => self.make_thread(number),
            }
        }
    }

    fn make_thread(&self, number: u64) {
        let options = &self.0.options;
        let pool = self.clone();
        let made = thread::Builder::new()
            .name(format!("{}-{number}", options.name))
            .stack_size(options.stack_size)
            .spawn(move || pool.run_thread(number));
        if made.is_err() {
            // Dropping the request is its answer; not while the lock is held, for it may hold the last
            // handle of a disk.
            let unsent = self.0.schedule().not_made(number);
            drop(unsent);
        }
    }

    /// What each thread of the pool does until it has been idle for long enough.
    fn run_thread(self, number: u64) {
        if let Some(hook) = &self.0.options.on_thread_start {
            hook();
        }
        let mut idle_since = Instant::now();
        let mut schedule = self.0.schedule();
        loop {
            if let Some(mut job) = schedule.take(number) {
                drop(schedule);
                job.task.run();
                // The books are put right before the answer goes out: whoever gets it and sends the
                // next request should find this thread, which is awake, and not start another.
                let wakes = self.0.schedule().finished(&job, number, thread::current());
                self.wake(wakes);
                follow::deliver_and_go_on(|| job.task.deliver());
                idle_since = Instant::now();
                schedule = self.0.schedule();
                continue;
            }
            schedule.sleeps(number, thread::current());
            drop(schedule);
            // It may return for no reason, or for a request that this thread has done meanwhile.
            thread::park_timeout(self.0.options.idle.saturating_sub(idle_since.elapsed()));
            schedule = self.0.schedule();
            if idle_since.elapsed() >= self.0.options.idle && schedule.end_if_asleep(number) {
                return;
            }
        }
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Pool").field(&self.0.options.name).finish()
    }
}

/// The way of requests on one path into the pool.
pub(crate) struct Lane {
    pool: Pool,
    id: LaneId,
}

impl Lane {
    /// Has a thread of the pool do `work`.
    pub(crate) fn submit<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, IoError> + Send + 'static,
    ) -> Pending<T> {
        let (reply, answer) = oneshot::channel();
        let task = Box::new(Asked {
            work: Some(work),
            result: None,
            reply,
        });
        let mut schedule = self.pool.0.schedule();
        // A refused task is dropped after the lock is gone: it may hold the last handle of a disk.
        let pushed = match schedule.admit(self.id) {
            Ok(()) => Ok(schedule.push(self.id, task, true)),
            Err(refused) => Err(refused),
        };
        drop(schedule);
        let sent = pushed.map(|(request, wake)| {
            let claim = Claim {
                lane: self.clone(),
                request,
            };
            let waits = wake.is_none();
            self.pool.wake(wake);
            (claim, waits)
        });
        Pending::new(async move {
            let (claim, waits) = sent?;
            let mut answer = answer;
            let result = if waits {
                match tokio::time::timeout(PATIENCE, &mut answer).await {
                    Ok(result) => result,
                    Err(_) => {
                        claim.overdue();
                        answer.await
                    }
                }
            } else {
                answer.await
            };
            claim.settled();
            result.unwrap_or_else(|_| {
                let action = "start a thread for a request on storage".to_owned();
                Err(IoError::Os {
                    action,
                    errno: libc::EAGAIN,
                })
            })
        })
    }

    /// Has a thread of the pool do `work` sometime; nobody waits for it and it is never refused.
    pub(crate) fn submit_unasked(&self, work: impl FnOnce() + Send + 'static) {
        let task = Box::new(Unasked { work: Some(work) });
        let (_, wake) = self.pool.0.schedule().push(self.id, task, false);
        self.pool.wake(wake);
    }
}

impl Clone for Lane {
    fn clone(&self) -> Self {
        self.pool.0.schedule().enter_again(self.id);
        Self {
            pool: self.pool.clone(),
            id: self.id,
        }
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        self.pool.0.schedule().leave(self.id);
    }
}

impl fmt::Debug for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Lane({:?})", self.id)
    }
}

/// A caller's interest in a request; dropping it abandons the request.
struct Claim {
    lane: Lane,
    request: RequestId,
}

impl Claim {
    /// The request may have waited for others that hang.
    fn overdue(&self) {
        let pool = &self.lane.pool;
        let wake = pool.0.schedule().overdue(self.lane.id, self.request);
        pool.wake(wake);
    }

    /// The request was answered: there is nothing to abandon.
    fn settled(mut self) {
        self.request = RequestId::NONE;
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if self.request == RequestId::NONE {
            return;
        }
        let pool = &self.lane.pool;
        // What a request that was never started holds is dropped outside the lock, for it may hold the
        // last handle of a disk.
        let (_never_started, wakes) = pool.0.schedule().abandon(self.lane.id, self.request);
        pool.wake(wakes);
    }
}

/// Something to do in a thread of the pool, then to tell.
trait Task: Send {
    fn run(&mut self);
    fn deliver(self: Box<Self>);
}

struct Asked<T, F> {
    work: Option<F>,
    result: Option<Result<T, IoError>>,
    reply: oneshot::Sender<Result<T, IoError>>,
}

impl<T, F> Task for Asked<T, F>
where
    T: Send,
    F: FnOnce() -> Result<T, IoError> + Send,
{
    fn run(&mut self) {
        self.result = self.work.take().map(|work| work());
    }

    fn deliver(self: Box<Self>) {
        if let Some(result) = self.result {
            // Nobody may be waiting any more.
            let _ = self.reply.send(result);
        }
    }
}

struct Unasked<F> {
    work: Option<F>,
}

impl<F: FnOnce() + Send> Task for Unasked<F> {
    fn run(&mut self) {
        if let Some(work) = self.work.take() {
            work();
        }
    }

    fn deliver(self: Box<Self>) {}
}
