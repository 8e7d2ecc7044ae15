//! Destinations that may be slow, each with a thread of its own.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use super::line::{Dates, Line, Record};
use super::priority::{Priority, Threshold};
use crate::{Error, realtime, signals};

/// How many lines wait for one destination. Upstream's.
pub(super) const QUEUE: usize = 4096;

/// Writes lines somewhere, taking its time.
pub(super) trait Sink: Send + 'static {
    /// Whether the line is written.
    fn write(&mut self, line: &Line) -> bool;
}

/// The near end of a destination.
pub(super) struct Target {
    threshold: Threshold,
    queue: SyncSender<Line>,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    queued: AtomicU64,
    done: AtomicU64,
    dropped: AtomicU64,
}

impl Target {
    /// Starts the thread that writes.
    pub(super) fn start(
        name: &'static str,
        threshold: Threshold,
        sink: impl Sink,
        utc: bool,
    ) -> Result<Self, Error> {
        Self::start_with(name, threshold, sink, utc, QUEUE)
    }

    pub(super) fn start_with(
        name: &'static str,
        threshold: Threshold,
        sink: impl Sink,
        utc: bool,
        queue: usize,
    ) -> Result<Self, Error> {
        let (sender, receiver) = sync_channel(queue);
        let counts = Arc::new(Counts::default());
        let theirs = Arc::clone(&counts);
        std::thread::Builder::new()
            .name(name.to_owned())
            .stack_size(256 * 1024)
            .spawn(move || {
                realtime::name_this_thread(name);
                let _ = signals::block_all_in_this_thread();
                write_all(&receiver, sink, Dates::new(utc), &theirs);
            })
            .map_err(|error| Error::os(format!("start thread {name}"), error))?;
        Ok(Self {
            threshold,
            queue: sender,
            counts,
        })
    }

    /// What it takes.
    pub(super) fn threshold(&self) -> Threshold {
        self.threshold
    }

    /// Queues a line that is urgent enough, or counts it as dropped. Never waits.
    pub(super) fn offer(&self, line: &Line) {
        if !self.threshold.lets_pass(line.priority) {
            return;
        }
        match self.queue.try_send(*line) {
            Ok(()) => self.counts.queued.fetch_add(1, Ordering::SeqCst),
            Err(_) => self.counts.dropped.fetch_add(1, Ordering::SeqCst),
        };
    }

    /// What is queued now.
    pub(super) fn queued(&self) -> Queued {
        Queued {
            until: self.counts.queued.load(Ordering::SeqCst),
            counts: Arc::clone(&self.counts),
        }
    }
}

/// Lines that wait for one destination.
pub(super) struct Queued {
    until: u64,
    counts: Arc<Counts>,
}

impl Queued {
    /// Waits until they are written. False if time ran out.
    pub(super) fn wait(&self, deadline: Instant) -> bool {
        loop {
            if self.counts.done.load(Ordering::SeqCst) >= self.until {
                return true;
            }
            if Instant::now() >= deadline {
                return false;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

fn write_all(queue: &Receiver<Line>, mut sink: impl Sink, mut dates: Dates, counts: &Counts) {
    for line in queue {
        let dropped = counts.dropped.swap(0, Ordering::SeqCst);
        if dropped > 0 && !sink.write(&dropped_line(dropped, line.priority, &mut dates)) {
            counts.dropped.fetch_add(dropped, Ordering::SeqCst);
        }
        if !sink.write(&line) {
            counts.dropped.fetch_add(1, Ordering::SeqCst);
        }
        counts.done.fetch_add(1, Ordering::SeqCst);
    }
}

/// A line that says that lines are missing.
pub(super) fn dropped_line(count: u64, priority: Priority, dates: &mut Dates) -> Line {
    let mut record = Record::now(priority);
    // Cannot fail.
    let _ = std::fmt::Write::write_fmt(&mut record.text, format_args!("dropped {count} entries"));
    Line::of(&record, dates)
}

/// The log file. It is only ever appended to, so it may be truncated under way (logrotate's
/// `copytruncate`).
pub(super) struct LogFile {
    path: PathBuf,
    file: Result<File, std::io::Error>,
}

impl LogFile {
    pub(super) fn open(path: PathBuf) -> Self {
        Self {
            file: append_to(&path),
            path,
        }
    }

    /// Why it is not open.
    pub(super) fn complaint(&self) -> Option<String> {
        let error = self.file.as_ref().err()?;
        Some(format!(
            "cannot open log file {}: {error}",
            self.path.display()
        ))
    }
}

fn append_to(path: &std::path::Path) -> std::io::Result<File> {
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o644)
        .open(path)
}

impl Sink for LogFile {
    fn write(&mut self, line: &Line) -> bool {
        if self.file.is_err() {
            self.file = append_to(&self.path);
        }
        match &mut self.file {
            Ok(file) => file.write_all(line.as_bytes()).is_ok(),
            Err(_) => false,
        }
    }
}

/// The standard error.
pub(super) struct Stderr;

impl Sink for Stderr {
    fn write(&mut self, line: &Line) -> bool {
        std::io::stderr().write_all(line.as_bytes()).is_ok()
    }
}
