//! The log, with libvirt's outputs and filters.
//!
//! An output is `LEVEL:stderr`, `LEVEL:journald`, `LEVEL:syslog:NAME` or `LEVEL:file:PATH`, a filter is
//! `LEVEL:PATTERN`, with levels from 1 (debug) to 4 (errors). An event goes to each output whose level it reaches, if it
//! reaches the level of the first filter that fits the part of the program it comes from, or the default level.

mod settings;

use std::fmt::{self, Write as _};
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixDatagram;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::SystemTime;

use settings::Destination;
pub(crate) use settings::{Filter, Output, Priority, SettingError, filters, outputs};
use tracing::field::{Field, Visit};
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, SubscriberExt};

use crate::utc::Utc;

/// The journal's socket.
pub(crate) const JOURNAL: &str = "/run/systemd/journal/socket";

/// Whether a pattern with `*` and `?` fits the whole text.
fn fits(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut from) = (0, 0);
    let mut star = None;
    while from < text.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, from));
                at += 1;
            }
            Some(byte) if *byte == b'?' || Some(byte) == text.get(from) => {
                at += 1;
                from += 1;
            }
            // The last star takes one more.
            _ => match star {
                Some((back, taken)) => {
                    star = Some((back, taken + 1));
                    (at, from) = (back + 1, taken + 1);
                }
                None => return false,
            },
        }
    }
    pattern.iter().skip(at).all(|byte| *byte == b'*')
}

/// What is logged and where to, at the start.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) level: Priority,
    pub(crate) filters: Vec<Filter>,
    pub(crate) outputs: Vec<Output>,
    /// Where the log goes if nothing is said about it.
    pub(crate) default: Output,
}

/// The log of this process, to be changed while it runs.
#[derive(Debug, Clone)]
pub(crate) struct Log {
    state: Arc<RwLock<State>>,
    default: Output,
}

/// Starts it.
///
/// # Errors
/// About an output that cannot be opened.
pub(crate) fn start(settings: Settings) -> Result<Log, String> {
    let outputs = open_all(settings.outputs).map_err(|error| error.to_string())?;
    let state = State {
        level: settings.level,
        filters: settings.filters,
        outputs,
    };
    let log = Log {
        state: Arc::new(RwLock::new(state)),
        default: settings.default,
    };
    let subscriber = tracing_subscriber::registry().with(log.clone());
    tracing::subscriber::set_global_default(subscriber).map_err(|error| error.to_string())?;
    Ok(log)
}

impl Log {
    /// Where the log goes, and how many places that are.
    pub(crate) fn outputs(&self) -> (String, u32) {
        shown(self.read().outputs.iter().map(|open| &open.output))
    }

    /// What is logged, and how many filters say so. The C daemon ends each filter with a blank.
    pub(crate) fn filters(&self) -> (String, u32) {
        let (mut text, count) = shown(self.read().filters.iter());
        if count > 0 {
            text.push(' ');
        }
        (text, count)
    }

    /// Writes to other places from now on: to the default one if none is named.
    ///
    /// # Errors
    /// [`SettingError`]: the log goes on as it was.
    pub(crate) fn set_outputs(&self, text: &str) -> Result<(), SettingError> {
        let mut outputs = settings::outputs(text)?;
        if outputs.is_empty() && text.is_empty() {
            outputs.push(self.default.clone());
        }
        let outputs = open_all(outputs)?;
        self.write().outputs = outputs;
        Ok(())
    }

    /// Logs other things from now on.
    ///
    /// # Errors
    /// [`SettingError`]: the log goes on as it was.
    pub(crate) fn set_filters(&self, text: &str) -> Result<(), SettingError> {
        let filters = settings::filters(text)?;
        self.write().filters = filters;
        // Whether an event is logged is remembered where it is made.
        tracing::callsite::rebuild_interest_cache();
        Ok(())
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// In one line, and how many there are.
fn shown<T: fmt::Display>(all: impl Iterator<Item = T>) -> (String, u32) {
    let texts: Vec<String> = all.map(|one| one.to_string()).collect();
    let count = u32::try_from(texts.len()).unwrap_or(u32::MAX);
    (texts.join(" "), count)
}

fn open_all(outputs: Vec<Output>) -> Result<Vec<Open>, SettingError> {
    let open = |output: Output| {
        let sink = open(&output.to)?;
        Ok(Open { output, sink })
    };
    outputs.into_iter().map(open).collect()
}

fn open(destination: &Destination) -> Result<Sink, SettingError> {
    let failed = |to: &str| {
        let to = to.to_owned();
        |source| SettingError::Open { to, source }
    };
    let datagrams = |path: &str| {
        let socket = UnixDatagram::unbound()
            .and_then(|socket| socket.set_nonblocking(true).map(|()| socket));
        socket.map_err(failed(path))
    };
    Ok(match destination {
        Destination::Stderr => Sink::Stderr,
        Destination::Journald => Sink::Journald(datagrams(JOURNAL)?),
        Destination::Syslog(name) => Sink::Syslog(datagrams("/dev/log")?, name.clone()),
        Destination::File(path) => {
            let mut options = OpenOptions::new();
            let file = options.append(true).create(true).mode(0o600).open(path);
            Sink::File(file.map_err(failed(&path.to_string_lossy()))?)
        }
    })
}

#[derive(Debug)]
struct Open {
    output: Output,
    sink: Sink,
}

#[derive(Debug)]
enum Sink {
    Stderr,
    Journald(UnixDatagram),
    Syslog(UnixDatagram, String),
    File(File),
}

#[derive(Debug)]
struct State {
    level: Priority,
    filters: Vec<Filter>,
    outputs: Vec<Open>,
}

impl State {
    /// From which priority on events of this part of the program are logged.
    fn threshold(&self, part: &str) -> Priority {
        let filter = self.filters.iter().find(|filter| {
            // What is given is looked for anywhere in the name.
            fits(format!("*{}*", filter.pattern).as_bytes(), part.as_bytes())
        });
        filter.map_or(self.level, |filter| filter.from)
    }
}

impl<S: Subscriber> Layer<S> for Log {
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        Priority::of(*metadata.level()) >= self.read().threshold(metadata.target())
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let priority = Priority::of(*event.metadata().level());
        let mut message = Message::default();
        event.record(&mut message);
        let part = event.metadata().target();
        for open in &self.read().outputs {
            if priority >= open.output.from {
                open.sink.write(priority, part, &message.0);
            }
        }
    }
}

/// An event's words.
#[derive(Default)]
struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to a string does not fail.
        let _ = match field.name() {
            "message" => write!(self.0, "{value:?}"),
            name => write!(self.0, " {name}={value:?}"),
        };
    }
}

impl Sink {
    /// What cannot be logged is lost: there is nobody to tell.
    fn write(&self, priority: Priority, part: &str, message: &str) {
        let pid = std::process::id();
        // One line each, whatever names have in them.
        let message: String = message
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect();
        let now = Utc::of(SystemTime::now());
        let line = || {
            format!(
                "{}: {pid}: {} : {message}\n",
                now.in_the_log(),
                priority.name()
            )
        };
        let _ = match self {
            Self::Stderr => std::io::stderr().write_all(line().as_bytes()),
            Self::File(file) => (&*file).write_all(line().as_bytes()),
            Self::Syslog(socket, name) => {
                const DAEMON: u32 = 3 << 3;
                let code = DAEMON | priority.severity();
                let text = format!("<{code}>{name}[{pid}]: {message}");
                socket.send_to(text.as_bytes(), "/dev/log").map(|_| ())
            }
            Self::Journald(socket) => {
                let text = format!(
                    "MESSAGE={message}\nPRIORITY={}\nSYSLOG_IDENTIFIER=virtlockd\nLIBVIRT_SOURCE={part}\n",
                    priority.severity()
                );
                socket.send_to(text.as_bytes(), JOURNAL).map(|_| ())
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_filter_that_fits_counts() {
        let filters = filters("4:lock_daemon_dispatch 1:lock?ng 2:r*c").unwrap();
        let log = State {
            level: Priority::WARNING,
            filters,
            outputs: Vec::new(),
        };
        let threshold = |part| log.threshold(part);
        let priority = |number| Priority::new(number).unwrap();
        assert_eq!(threshold("locking.lock_daemon_dispatch"), priority(4));
        assert_eq!(threshold("locking.lock_daemon"), priority(1));
        assert_eq!(threshold("util.rpxc.y"), priority(2));
        assert_eq!(threshold("util.lockspace"), priority(3));
    }
}
