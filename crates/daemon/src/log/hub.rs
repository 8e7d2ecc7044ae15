//! From whoever logs to the ring and the destinations.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::Thread;
use std::time::{Duration, Instant};

use super::RING_SIZE;
use super::line::{Dates, Line, Record};
use super::priority::{Priority, Threshold};
use super::ring::Ring;
use super::target::{QUEUE, Target, dropped_line};
use crate::{Error, realtime, signals};

/// The queue that everybody logs into, and the far end of it.
pub(super) struct Hub {
    queue: SyncSender<Record>,
    dropped: AtomicU64,
    /// Records that came since they were last moved on, or a few more.
    waiting: AtomicUsize,
    /// How many may wait before they are moved on although no destination wants them.
    many: usize,
    /// What each destination takes.
    thresholds: Vec<Threshold>,
    /// Moves records on whenever it is woken.
    thread: OnceLock<Thread>,
    /// Never taken by who logs.
    far: Mutex<Far>,
}

struct Far {
    queue: Receiver<Record>,
    ring: Ring,
    dates: Dates,
    targets: Vec<Target>,
}

impl Hub {
    pub(super) fn start(targets: Vec<Target>, utc: bool) -> Result<Arc<Self>, Error> {
        Self::start_with(targets, utc, QUEUE, RING_SIZE)
    }

    pub(super) fn start_with(
        targets: Vec<Target>,
        utc: bool,
        queue: usize,
        ring: usize,
    ) -> Result<Arc<Self>, Error> {
        let (sender, receiver) = sync_channel(queue);
        let hub = Arc::new(Self {
            queue: sender,
            dropped: AtomicU64::new(0),
            waiting: AtomicUsize::new(0),
            many: queue / 8,
            thresholds: targets.iter().map(Target::threshold).collect(),
            thread: OnceLock::new(),
            far: Mutex::new(Far {
                queue: receiver,
                ring: Ring::new(ring),
                dates: Dates::new(utc),
                targets,
            }),
        });
        let moving = Arc::clone(&hub);
        let thread = std::thread::Builder::new()
            .name("log".to_owned())
            .stack_size(256 * 1024)
            .spawn(move || {
                realtime::name_this_thread("log");
                let _ = signals::block_all_in_this_thread();
                loop {
                    drop(moving.move_on());
                    std::thread::park();
                }
            })
            .map_err(|error| Error::os("start thread log", error))?;
        let _ = hub.thread.set(thread.thread().clone());
        Ok(hub)
    }

    /// Takes a record down. Never waits: neither for room nor for a lock.
    ///
    /// The receiver only ever looks without waiting, so that sending finds no waiter whose lock it
    /// would have to take; it is woken here instead. What goes to the ring alone can wait there until
    /// somebody wants to see it: waking a thread for each such record costs more than writing it.
    pub(super) fn push(&self, record: Record) {
        let priority = record.priority;
        if self.queue.try_send(record).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        let many = self.waiting.fetch_add(1, Ordering::Relaxed) >= self.many;
        if many || self.thresholds.iter().any(|to| to.lets_pass(priority)) {
            if let Some(thread) = self.thread.get() {
                thread.unpark();
            }
        }
    }

    /// Logs a sentence without `tracing`.
    pub(super) fn log(&self, priority: Priority, sentence: &str) {
        let mut record = Record::now(priority);
        let _ = record.text.write_str(sentence);
        self.push(record);
    }

    /// Moves what was logged before this call to where it belongs.
    fn move_on(&self) -> MutexGuard<'_, Far> {
        // A panic under the lock leaves at worst half a line in the ring.
        let mut guard = self.far.lock().unwrap_or_else(PoisonError::into_inner);
        let far = &mut *guard;
        self.waiting.store(0, Ordering::Relaxed);
        // No more than fit into the queue, so that a flood does not keep a caller here.
        for _ in 0..=QUEUE {
            let Ok(record) = far.queue.try_recv() else {
                break;
            };
            let dropped = self.dropped.swap(0, Ordering::Relaxed);
            if dropped > 0 {
                let line = dropped_line(dropped, Priority::WARNING, &mut far.dates);
                far.deliver(&line);
            }
            let line = Line::of(&record, &mut far.dates);
            far.deliver(&line);
        }
        guard
    }

    pub(super) fn dump(&self) -> Vec<u8> {
        self.move_on().ring.dump()
    }

    /// Waits until what was logged before this call is written.
    pub(super) fn flush(&self, limit: Duration) -> bool {
        let now = Instant::now();
        let deadline = now.checked_add(limit).unwrap_or(now);
        let queued: Vec<_> = self.move_on().targets.iter().map(Target::queued).collect();
        queued.iter().all(|queued| queued.wait(deadline))
    }
}

#[cfg(test)]
impl Hub {
    /// Runs `work` while nobody can move records on.
    pub(super) fn with_the_lock_held(&self, work: impl FnOnce()) {
        let _far = self.far.lock().unwrap();
        work();
    }
}

impl Far {
    fn deliver(&mut self, line: &Line) {
        self.ring.push(line.as_bytes());
        for target in &self.targets {
            target.offer(line);
        }
    }
}

impl std::fmt::Debug for Hub {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hub")
    }
}
