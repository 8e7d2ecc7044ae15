//! The log, with libvirt's outputs and filters.
//!
//! An output is `LEVEL:stderr`, `LEVEL:journald`, `LEVEL:syslog:NAME` or `LEVEL:file:PATH`, a filter is
//! `LEVEL:PATTERN`, with levels from 1 (debug) to 4 (errors). An event goes to each output whose level it reaches, if it
//! reaches the level of the first filter that fits the part of the program it comes from, or the default level.

use std::fmt::{self, Write as _};
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, SubscriberExt};

/// The journal's socket.
pub(crate) const JOURNAL: &str = "/run/systemd/journal/socket";

/// What of an event counts: 1 debug to 4 error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Priority(u32);

impl Priority {
    pub(crate) const INFO: Self = Self(2);
    pub(crate) const WARNING: Self = Self(3);

    /// 1 to 4.
    pub(crate) fn new(number: u32) -> Option<Self> {
        (1..=4).contains(&number).then_some(Self(number))
    }

    fn of(level: Level) -> Self {
        Self(match level {
            Level::ERROR => 4,
            Level::WARN => 3,
            Level::INFO => 2,
            _ => 1,
        })
    }

    fn name(self) -> &'static str {
        match self.0 {
            4 => "error",
            3 => "warning",
            2 => "info",
            _ => "debug",
        }
    }

    /// syslog's number.
    fn severity(self) -> u32 {
        match self.0 {
            4 => 3,
            3 => 4,
            2 => 6,
            _ => 7,
        }
    }
}

/// Where events go.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Destination {
    Stderr,
    Journald,
    Syslog(String),
    File(PathBuf),
}

/// An output as it is configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Output {
    from: Priority,
    to: Destination,
}

impl Output {
    pub(crate) fn stderr(from: Priority) -> Self {
        let to = Destination::Stderr;
        Self { from, to }
    }

    pub(crate) fn journald(from: Priority) -> Self {
        let to = Destination::Journald;
        Self { from, to }
    }

    pub(crate) fn file(from: Priority, path: &Path) -> Self {
        let to = Destination::File(path.to_owned());
        Self { from, to }
    }
}

/// A filter as it is configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Filter {
    from: Priority,
    pattern: String,
}

/// As in the configuration.
impl fmt::Display for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let from = self.from.0;
        match &self.to {
            Destination::Stderr => write!(f, "{from}:stderr"),
            Destination::Journald => write!(f, "{from}:journald"),
            Destination::Syslog(name) => write!(f, "{from}:syslog:{name}"),
            Destination::File(path) => write!(f, "{from}:file:{}", path.display()),
        }
    }
}

/// As libvirt shows it: with the stars that it puts around each pattern.
impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:*{}*", self.from.0, self.pattern)
    }
}

/// Outputs or filters in one line, and how many there are.
pub(crate) fn shown(all: &[impl fmt::Display]) -> (String, u32) {
    let texts: Vec<String> = all.iter().map(ToString::to_string).collect();
    (
        texts.join(" "),
        u32::try_from(all.len()).unwrap_or(u32::MAX),
    )
}

/// What is logged and where to.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) level: Priority,
    pub(crate) filters: Vec<Filter>,
    pub(crate) outputs: Vec<Output>,
}

/// Reads outputs, separated by blanks.
///
/// # Errors
/// A sentence about the first that is none.
pub(crate) fn outputs(text: &str) -> Result<Vec<Output>, String> {
    text.split_whitespace().map(output).collect()
}

fn output(text: &str) -> Result<Output, String> {
    let words: Vec<&str> = text.split(':').collect();
    let [level, kind, rest @ ..] = words.as_slice() else {
        return Err(format!("Malformed format for log output '{text}'"));
    };
    let from = level.parse().ok().and_then(Priority::new);
    let from =
        from.ok_or_else(|| format!("Invalid log priority '{level}' for log output '{text}'"))?;
    let to = match (*kind, rest) {
        ("stderr", []) => Destination::Stderr,
        ("journald", []) => Destination::Journald,
        ("syslog", [name]) => Destination::Syslog((*name).to_owned()),
        ("file", [path]) => {
            let path = std::path::absolute(path);
            Destination::File(path.map_err(|error| format!("log output '{text}': {error}"))?)
        }
        ("stderr" | "journald" | "syslog" | "file", _) => {
            return Err(format!(
                "Log output '{text}' does not meet the format requirements for destination type '{kind}'"
            ));
        }
        _ => {
            return Err(format!(
                "Invalid log destination '{kind}' for log output '{text}'"
            ));
        }
    };
    Ok(Output { from, to })
}

/// Reads filters, separated by blanks.
///
/// # Errors
/// A sentence about the first that is none.
pub(crate) fn filters(text: &str) -> Result<Vec<Filter>, String> {
    text.split_whitespace().map(filter).collect()
}

fn filter(text: &str) -> Result<Filter, String> {
    let mut words = text.split(':');
    let (Some(level), Some(pattern)) = (words.next(), words.next()) else {
        return Err(format!("Malformed format for filter '{text}'"));
    };
    let from = level.parse().ok().and_then(Priority::new);
    let from = from.ok_or_else(|| format!("Invalid priority '{level}' for filter '{text}'"))?;
    // A plus once asked for stack traces.
    let pattern = pattern.strip_prefix('+').unwrap_or(pattern);
    if pattern.is_empty() {
        return Err(format!("Invalid match string in filter '{text}'"));
    }
    let pattern = pattern.to_owned();
    Ok(Filter { from, pattern })
}

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

/// Starts the log of this process.
///
/// # Errors
/// A sentence about an output that cannot be opened.
pub(crate) fn start(settings: Settings) -> Result<(), String> {
    let opened = settings.outputs.iter().map(open);
    let outputs = opened.collect::<Result<_, _>>()?;
    let layer = Log {
        level: settings.level,
        filters: settings.filters,
        outputs,
    };
    let subscriber = tracing_subscriber::registry().with(layer);
    tracing::subscriber::set_global_default(subscriber).map_err(|error| error.to_string())
}

fn open(output: &Output) -> Result<Open, String> {
    let datagrams = |path: &str| {
        let socket = UnixDatagram::unbound()
            .and_then(|socket| socket.set_nonblocking(true).map(|()| socket));
        socket.map_err(|error| format!("cannot log to {path}: {error}"))
    };
    let to = match &output.to {
        Destination::Stderr => Sink::Stderr,
        Destination::Journald => Sink::Journald(datagrams(JOURNAL)?),
        Destination::Syslog(name) => Sink::Syslog(datagrams("/dev/log")?, name.clone()),
        Destination::File(path) => {
            let mut options = OpenOptions::new();
            let file = options.append(true).create(true).mode(0o600).open(path);
            let file = file
                .map_err(|error| format!("failed to open log file {}: {error}", path.display()))?;
            Sink::File(file)
        }
    };
    Ok(Open {
        from: output.from,
        to,
    })
}

struct Open {
    from: Priority,
    to: Sink,
}

enum Sink {
    Stderr,
    Journald(UnixDatagram),
    Syslog(UnixDatagram, String),
    File(File),
}

struct Log {
    level: Priority,
    filters: Vec<Filter>,
    outputs: Vec<Open>,
}

impl Log {
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
        Priority::of(*metadata.level()) >= self.threshold(metadata.target())
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let priority = Priority::of(*event.metadata().level());
        let mut message = Message::default();
        event.record(&mut message);
        let part = event.metadata().target();
        for output in self.outputs.iter().filter(|output| priority >= output.from) {
            output.to.write(priority, part, &message.0);
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
        let line = || format!("{}: {pid}: {} : {message}\n", now(), priority.name());
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

/// The time as libvirt writes it: `2026-01-31 12:00:00.123+0000`.
fn now() -> String {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let (days, second) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    let (year, month, day) = date(days);
    format!(
        "{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02}.{:03}+0000",
        second / 3600,
        second / 60 % 60,
        second % 60,
        since.subsec_millis()
    )
}

/// Year, month and day of a day since 1970, counted in eras of 400 years that begin in March.
fn date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + year + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_and_filters() {
        let [error, debug] = [4, 1].map(|number| Priority::new(number).unwrap());
        let read = outputs("4:stderr  1:file:/a/b\n1:syslog:x 4:journald").unwrap();
        let to = Destination::Syslog("x".to_owned());
        let wanted = [
            Output::stderr(error),
            Output::file(debug, Path::new("/a/b")),
            Output { from: debug, to },
            Output::journald(error),
        ];
        assert_eq!(read, wanted);
        for wrong in [
            "stderr",
            "0:stderr",
            "5:stderr",
            "x:stderr",
            "1:stderr:x",
            "1:file",
            "1:tape",
        ] {
            assert!(outputs(wrong).is_err(), "{wrong}");
        }
        for wrong in ["1", "0:a", "1:", "1:+", "x:a"] {
            assert!(filters(wrong).is_err(), "{wrong}");
        }
        assert_eq!(filters("1:+a").unwrap(), filters("1:a").unwrap());
    }

    #[test]
    fn the_first_filter_that_fits_counts() {
        let filters = filters("4:lock_daemon_dispatch 1:lock?ng 2:r*c").unwrap();
        let log = Log {
            level: Priority::WARNING,
            filters,
            outputs: Vec::new(),
        };
        let threshold = |part| log.threshold(part).0;
        assert_eq!(threshold("locking.lock_daemon_dispatch"), 4);
        assert_eq!(threshold("locking.lock_daemon"), 1);
        assert_eq!(threshold("util.rpxc.y"), 2);
        assert_eq!(threshold("util.lockspace"), 3);
    }

    #[test]
    fn dates() {
        assert_eq!(date(0), (1970, 1, 1));
        assert_eq!(date(59), (1970, 3, 1));
        assert_eq!(date(11_016), (2000, 2, 29));
        assert_eq!(date(20_778), (2026, 11, 21));
        assert_eq!(date(47_540), (2100, 2, 28));
        assert_eq!(date(47_541), (2100, 3, 1));
    }
}
