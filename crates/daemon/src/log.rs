//! Logs: a ring in memory, the log file, syslog and the standard error.
//!
//! Programs and crates write them with `tracing`'s macros. A line looks like upstream's:
//!
//! ```text
//! 2026-01-31 12:00:00 4711 [815]: s1:r2 text of the message
//! ```
//!
//! with local time, [`Clock::monotonic_seconds`](crate::Clock::monotonic_seconds), the thread's id,
//! and what the message is about: of an event or the spans around it, the fields `space` (`s1`, or the
//! number 1) and `resource` (`r2`, or 2), else `client` (`cl 12:34`), else `task` (its first 8
//! characters). Other fields follow the message as ` name=value`. A line has at most 509 bytes;
//! control characters in it become spaces.
//!
//! | `tracing` | syslog priority | where upstream puts it by default |
//! |---|---|---|
//! | `error!` | 3 | ring, file, syslog |
//! | `warn!` | 4 | ring, file |
//! | `info!` | 6 | ring |
//! | `debug!` | 7 | ring |
//!
//! The field `priority` (0 to 7) overrides it for one event. `trace!` goes nowhere.
//!
//! **Whoever logs never waits**, not for the disk, not for syslog, and not for a lock that a thread
//! of lower priority holds: a line goes into a queue of fixed size, from which a thread feeds the ring
//! and further threads, one per destination. What finds its queue full is dropped, and the next line
//! that gets through is preceded by one that says how many were.

mod hub;
mod layer;
mod line;
mod prefix;
mod priority;
mod ring;
mod syslog;
mod target;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tracing_subscriber::layer::SubscriberExt;

pub use layer::LogLayer;
pub use priority::{Priority, Threshold};

use crate::Error;
use hub::Hub;
use target::Target;

/// The local date and time of day of a number of seconds since 1970.
pub(crate) fn local_date(seconds: i64) -> String {
    let time = line::broken_down(seconds, false);
    format!(
        "{:04}-{:02}-{:02} {:02}:{:02}:{:02}",
        time.tm_year.saturating_add(1900),
        time.tm_mon.saturating_add(1),
        time.tm_mday,
        time.tm_hour,
        time.tm_min,
        time.tm_sec
    )
}

/// What goes where.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The program's name in syslog.
    pub name: &'static str,
    /// The log file; none if not given.
    pub file: Option<PathBuf>,
    /// What goes to the file.
    pub file_threshold: Threshold,
    /// What goes to syslog.
    pub syslog_threshold: Threshold,
    /// The socket of syslog.
    pub syslog_socket: PathBuf,
    /// Whether lines in syslog are whole ones, or the text alone without the times and the thread.
    pub syslog_whole_lines: bool,
    /// What goes to the standard error.
    pub stderr_threshold: Threshold,
    /// Times in UTC instead of local time.
    pub utc: bool,
}

impl Settings {
    /// The lease daemon's defaults: warnings to `/var/log/sanlock.log`, errors to syslog.
    #[must_use]
    pub fn sanlock() -> Self {
        Self {
            name: "sanlock",
            file: Some(PathBuf::from("/var/log/sanlock.log")),
            file_threshold: Threshold::up_to(Priority::WARNING),
            syslog_threshold: Threshold::up_to(Priority::ERROR),
            syslog_socket: PathBuf::from("/dev/log"),
            syslog_whole_lines: true,
            stderr_threshold: Threshold::NOTHING,
            utc: false,
        }
    }
}

/// Bytes of lines that [`LogRing`] keeps.
pub const RING_SIZE: usize = 1024 * 1024;

/// The newest lines, of all priorities.
#[derive(Debug, Clone)]
pub struct LogRing(Arc<Hub>);

impl LogRing {
    /// The last [`RING_SIZE`] bytes of whole lines, oldest first, all logged before this call
    /// included, without the last newline (as upstream answers `log_dump`).
    #[must_use]
    pub fn dump(&self) -> Vec<u8> {
        self.0.dump()
    }
}

/// The running logs. Lines go on being logged when this is dropped; to have the last ones written
/// before the process ends, call [`Log::flush`].
#[derive(Debug)]
pub struct Log {
    hub: Arc<Hub>,
}

impl Log {
    /// Starts the logs and makes them those of the whole process. Starts threads.
    ///
    /// A log file that cannot be opened is an error in the other logs, and tried again at every line.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the process already has logs; [`Error::Os`] if no thread can be started.
    pub fn start(settings: Settings) -> Result<Self, Error> {
        let (layer, log) = Self::build(settings)?;
        let subscriber = tracing_subscriber::registry().with(layer);
        tracing::subscriber::set_global_default(subscriber)
            .map_err(|_| Error::Invalid("the process already has logs".to_owned()))?;
        Ok(log)
    }

    /// Starts the logs without making them anybody's: the layer is for a subscriber of the caller's.
    ///
    /// # Errors
    /// [`Error::Os`] if no thread can be started.
    pub fn build(settings: Settings) -> Result<(LogLayer, Self), Error> {
        let utc = settings.utc;
        let mut targets = Vec::new();
        let mut complaint = None;
        let threshold = settings.file_threshold;
        if let Some(path) = settings.file.filter(|_| threshold != Threshold::NOTHING) {
            let file = target::LogFile::open(path);
            complaint = file.complaint();
            targets.push(Target::start("log-file", threshold, file, utc)?);
        }
        let threshold = settings.syslog_threshold;
        if threshold != Threshold::NOTHING {
            let whole = settings.syslog_whole_lines;
            let syslog = syslog::Syslog::new(settings.name, settings.syslog_socket, whole);
            targets.push(Target::start("log-syslog", threshold, syslog, utc)?);
        }
        let threshold = settings.stderr_threshold;
        if threshold != Threshold::NOTHING {
            targets.push(Target::start("log-stderr", threshold, target::Stderr, utc)?);
        }
        let hub = Hub::start(targets, utc)?;
        if let Some(complaint) = complaint {
            hub.log(Priority::ERROR, &complaint);
        }
        Ok((LogLayer::new(Arc::clone(&hub)), Self { hub }))
    }

    /// The ring, for whoever answers `log_dump`.
    #[must_use]
    pub fn ring(&self) -> LogRing {
        LogRing(Arc::clone(&self.hub))
    }

    /// Waits until all lines logged before this call are written, at most `limit`. False if time ran
    /// out.
    pub fn flush(&self, limit: Duration) -> bool {
        self.hub.flush(limit)
    }

    /// Has panics logged as errors, and written, before they end the process.
    pub fn log_panics(&self) {
        let hub = Arc::clone(&self.hub);
        let previous = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            hub.log(Priority::ERROR, &panic.to_string());
            hub.flush(Duration::from_secs(1));
            previous(panic);
        }));
    }
}

#[cfg(test)]
mod tests;
