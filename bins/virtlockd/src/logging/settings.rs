//! What the log's settings are, and how they are written.

use std::fmt;
use std::io;
use std::path::{Component, Path, PathBuf};

use tracing::Level;

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

    /// As `strtoul(3)` reads a number.
    fn parse(text: &str) -> Option<Self> {
        let text = text.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == '\x0b');
        text.parse().ok().and_then(Self::new)
    }

    pub(super) fn of(level: Level) -> Self {
        Self(match level {
            Level::ERROR => 4,
            Level::WARN => 3,
            Level::INFO => 2,
            _ => 1,
        })
    }

    pub(super) fn name(self) -> &'static str {
        match self.0 {
            4 => "error",
            3 => "warning",
            2 => "info",
            _ => "debug",
        }
    }

    /// syslog's number.
    pub(super) fn severity(self) -> u32 {
        match self.0 {
            4 => 3,
            3 => 4,
            2 => 6,
            _ => 7,
        }
    }
}

/// Why the log cannot be set so.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SettingError {
    /// The text is none that libvirt takes.
    #[error("{0}")]
    Text(String),
    /// Nothing can be written there.
    #[error("failed to open {to}: {source}")]
    Open {
        /// Where to.
        to: String,
        /// What the system said.
        source: io::Error,
    },
}

/// Where events go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Destination {
    Stderr,
    Journald,
    Syslog(String),
    File(PathBuf),
}

/// An output as it is configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Output {
    pub(super) from: Priority,
    pub(super) to: Destination,
}

impl Output {
    pub(crate) fn stderr(from: Priority) -> Self {
        let to = Destination::Stderr;
        Self { from, to }
    }

    /// As the default it leaves debugging out: the journal slows down who writes too much.
    pub(crate) fn journald(from: Priority) -> Self {
        let to = Destination::Journald;
        let from = from.max(Priority::INFO);
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
    pub(super) from: Priority,
    pub(super) pattern: String,
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

/// Reads outputs, separated by blanks. Of several with one destination the last one counts.
///
/// # Errors
/// About the first that is none.
pub(crate) fn outputs(text: &str) -> Result<Vec<Output>, SettingError> {
    let mut outputs: Vec<Output> = Vec::new();
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        let new = output(word)?;
        outputs.retain(|known| known.to != new.to);
        outputs.push(new);
    }
    Ok(outputs)
}

fn output(text: &str) -> Result<Output, SettingError> {
    let wrong = |why: String| Err(SettingError::Text(why));
    let words: Vec<&str> = text.split(':').collect();
    let [level, kind, rest @ ..] = words.as_slice() else {
        return wrong(format!("Malformed format for log output '{text}'"));
    };
    let Some(from) = Priority::parse(level) else {
        return wrong(format!(
            "Invalid log priority '{level}' for log output '{text}'"
        ));
    };
    let to = match (*kind, rest) {
        ("stderr", []) => Destination::Stderr,
        ("journald", []) => Destination::Journald,
        ("syslog", [name]) => Destination::Syslog((*name).to_owned()),
        ("file", [path]) => Destination::File(whole_path(path)?),
        ("stderr" | "journald" | "syslog" | "file", _) => {
            return wrong(format!(
                "Log output '{text}' does not meet the format requirements for destination type '{kind}'"
            ));
        }
        _ => {
            return wrong(format!(
                "Invalid log destination '{kind}' for log output '{text}'"
            ));
        }
    };
    Ok(Output { from, to })
}

/// From the root on, without `.` and `..`; links are left as they are.
fn whole_path(path: &str) -> Result<PathBuf, SettingError> {
    let open = |source| {
        let to = path.to_owned();
        SettingError::Open { to, source }
    };
    let mut whole = std::env::current_dir().map_err(open)?;
    for part in Path::new(path).components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                whole.pop();
            }
            part => whole.push(part),
        }
    }
    Ok(whole)
}

/// Reads filters, separated by blanks.
///
/// # Errors
/// About the first that is none.
pub(crate) fn filters(text: &str) -> Result<Vec<Filter>, SettingError> {
    let words = text.split(' ').filter(|word| !word.is_empty());
    words.map(filter).collect()
}

fn filter(text: &str) -> Result<Filter, SettingError> {
    let wrong = |why: String| Err(SettingError::Text(why));
    let mut words = text.split(':');
    let (Some(level), Some(word)) = (words.next(), words.next()) else {
        return wrong(format!("Malformed format for filter '{text}'"));
    };
    let Some(from) = Priority::parse(level) else {
        return wrong(format!("Invalid priority '{level}' for filter '{text}'"));
    };
    // A plus once asked for stack traces.
    let pattern = word.strip_prefix('+').unwrap_or(word);
    if pattern.is_empty() {
        return wrong(format!("Invalid match string '{word}'"));
    }
    let pattern = pattern.to_owned();
    Ok(Filter { from, pattern })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_and_filters() {
        let [error, debug] = [4, 1].map(|number| Priority::new(number).unwrap());
        let read = outputs("4:stderr  1:file:/a/../b//c 1:syslog:x 4:journald").unwrap();
        let to = Destination::Syslog("x".to_owned());
        let wanted = [
            Output::stderr(error),
            Output::file(debug, Path::new("/b/c")),
            Output { from: debug, to },
            Output::journald(error),
        ];
        assert_eq!(read, wanted);
        for wrong in [
            "stderr",
            "0:stderr",
            "5:stderr",
            "x:stderr",
            "-1:stderr",
            "1:stderr:x",
            "1:file",
            "1:tape",
        ] {
            assert!(outputs(wrong).is_err(), "{wrong}");
        }
        for wrong in ["1", "0:a", "1:", "1:+", "x:a"] {
            assert!(filters(wrong).is_err(), "{wrong}");
        }
        assert_eq!(filters("1:+a").unwrap(), filters("1:a:b").unwrap());
    }

    #[test]
    fn the_last_of_one_destination_counts() {
        let read = outputs("1:stderr 4:syslog:x 2:syslog:y 3:stderr").unwrap();
        let texts: Vec<String> = read.iter().map(ToString::to_string).collect();
        assert_eq!(texts, ["4:syslog:x", "2:syslog:y", "3:stderr"]);
    }
}
