//! What is to go wrong with which requests, and the words for it.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use nix::errno::Errno;

/// What a request wants of the file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// To read a file.
    Read,
    /// To write a file.
    Write,
    /// To open or create a file.
    Open,
    /// To close a file (the flush that a close waits for).
    Close,
    /// To look a name up or read its attributes.
    Stat,
}

/// Which kinds of request a rule is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kinds {
    /// One kind.
    Only(Kind),
    /// Reads and writes: what a command that names no kind means.
    Io,
    /// Every kind.
    All,
}

impl Kinds {
    fn contain(self, kind: Kind) -> bool {
        match self {
            Self::Only(only) => only == kind,
            Self::Io => matches!(kind, Kind::Read | Kind::Write),
            Self::All => true,
        }
    }
}

impl FromStr for Kinds {
    type Err = CommandError;

    fn from_str(word: &str) -> Result<Self, CommandError> {
        Ok(match word {
            "read" => Self::Only(Kind::Read),
            "write" => Self::Only(Kind::Write),
            "open" => Self::Only(Kind::Open),
            "close" => Self::Only(Kind::Close),
            "stat" => Self::Only(Kind::Stat),
            "io" => Self::Io,
            "all" => Self::All,
            _ => return Err(CommandError(format!("{word:?} is no kind of request"))),
        })
    }
}

impl fmt::Display for Kinds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Only(Kind::Read) => "read",
            Self::Only(Kind::Write) => "write",
            Self::Only(Kind::Open) => "open",
            Self::Only(Kind::Close) => "close",
            Self::Only(Kind::Stat) => "stat",
            Self::Io => "io",
            Self::All => "all",
        })
    }
}

/// What goes wrong with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing happens until the rule is taken back; then the request is done and answered.
    Hang,
    /// The request is done, but not answered until the rule is taken back.
    Hold,
    /// The request is not done and fails.
    Error(Errno),
    /// The request is done and fails nevertheless.
    Lose(Errno),
    /// The request is done later.
    Delay(Duration),
    /// Half of a read's or write's sectors are done, rounded down, and it fails with `EIO`. A request
    /// of another kind fails undone.
    Tear,
    /// As [`Fault::Tear`], but it is answered as done in part.
    Short,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hang => write!(f, "hang"),
            Self::Hold => write!(f, "hold"),
            Self::Error(errno) => write!(f, "error {errno:?}"),
            Self::Lose(errno) => write!(f, "lose {errno:?}"),
            Self::Delay(delay) => write!(f, "delay {}", delay.as_millis()),
            Self::Tear => write!(f, "tear"),
            Self::Short => write!(f, "short"),
        }
    }
}

/// A fault, and whom it meets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// What goes wrong.
    pub fault: Fault,
    /// With which requests.
    pub kinds: Kinds,
    /// On which files, by their paths below the mount point: `*` stands for any characters, also `/`,
    /// and `?` for one.
    pub pattern: String,
}

impl Rule {
    /// A rule for these requests on all files.
    #[must_use]
    pub fn new(fault: Fault, kinds: Kinds) -> Self {
        Self {
            fault,
            kinds,
            pattern: "*".to_owned(),
        }
    }

    /// The same rule for the files of a pattern.
    #[must_use]
    pub fn on(mut self, pattern: &str) -> Self {
        self.pattern = pattern.to_owned();
        self
    }

    pub(crate) fn meets(&self, kind: Kind, path: &str) -> bool {
        self.kinds.contain(kind) && matches(self.pattern.as_bytes(), path.as_bytes())
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.fault, self.kinds, self.pattern)
    }
}

/// What the control socket takes: see [`crate::COMMANDS`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// One more rule; of several that meet a request, the last one counts.
    Add(Rule),
    /// Takes back the rules with this pattern, or all.
    Recover(Option<String>),
    /// Tells the rules in force and how many requests they hold.
    Status,
}

/// A command that makes no sense, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct CommandError(String);

impl FromStr for Command {
    type Err = CommandError;

    fn from_str(line: &str) -> Result<Self, CommandError> {
        let mut words = line.split_whitespace();
        let verb = words.next().unwrap_or_default();
        let mut argument = |what: &str| {
            words
                .next()
                .ok_or_else(|| CommandError(format!("{verb} needs {what}")))
        };
        let fault = match verb {
            "hang" => Fault::Hang,
            "hold" => Fault::Hold,
            "tear" => Fault::Tear,
            "short" => Fault::Short,
            "error" => Fault::Error(errno(argument("an error")?)?),
            "lose" => Fault::Lose(errno(argument("an error")?)?),
            "delay" => {
                let word = argument("milliseconds")?;
                let delay = word.parse().map(Duration::from_millis);
                Fault::Delay(delay.map_err(|_| CommandError(format!("{word:?} is no number")))?)
            }
            "recover" => return Ok(Self::Recover(words.next().map(str::to_owned))),
            "status" => return Ok(Self::Status),
            _ => return Err(CommandError(format!("{verb:?} is no command"))),
        };
        let mut rule = Rule::new(fault, Kinds::Io);
        let mut next = words.next();
        if let Some(Ok(kinds)) = next.map(str::parse) {
            rule.kinds = kinds;
            next = words.next();
        }
        if let Some(pattern) = next {
            rule.pattern = pattern.to_owned();
        }
        match words.next() {
            Some(more) => Err(CommandError(format!("{more:?} is too much"))),
            None => Ok(Self::Add(rule)),
        }
    }
}

fn errno(word: &str) -> Result<Errno, CommandError> {
    let known = [
        Errno::EIO,
        Errno::ENOSPC,
        Errno::EROFS,
        Errno::ESTALE,
        Errno::ENXIO,
        Errno::ENODEV,
        Errno::ENOENT,
        Errno::EAGAIN,
        Errno::EINVAL,
        Errno::EACCES,
        Errno::EPERM,
        Errno::ETIMEDOUT,
        Errno::ENOTCONN,
        Errno::EDQUOT,
        Errno::ENOMEM,
    ];
    if let Some(errno) = known.into_iter().find(|errno| format!("{errno:?}") == word) {
        return Ok(errno);
    }
    match word.parse().map(Errno::from_raw) {
        Ok(errno) if errno != Errno::UnknownErrno => Ok(errno),
        _ => Err(CommandError(format!("{word:?} is no error"))),
    }
}

fn matches(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern.split_first(), text.split_first()) {
        (None, None) => true,
        (Some((b'*', rest)), _) => {
            (0..=text.len()).any(|skipped| matches(rest, text.get(skipped..).unwrap_or_default()))
        }
        (Some((wanted, pattern)), Some((found, text))) => {
            (*wanted == b'?' || wanted == found) && matches(pattern, text)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_whole_paths() {
        for (pattern, path, wanted) in [
            ("*", "", true),
            ("*", "a/b", true),
            ("leases", "leases", true),
            ("leases", "leases2", false),
            ("leases*", "leases2", true),
            ("*/ids", "a/b/ids", true),
            ("?", "", false),
            ("a?c", "abc", true),
            ("", "a", false),
        ] {
            assert_eq!(
                matches(pattern.as_bytes(), path.as_bytes()),
                wanted,
                "{pattern} {path}"
            );
        }
    }

    #[test]
    fn a_rule_reads_as_it_is_written() {
        for line in [
            "hang io *",
            "hold write leases",
            "error EIO all *",
            "error ENOTTY read *",
            "lose ESTALE write a/b*",
            "delay 250 open *",
            "tear write *",
            "short read ?",
            "hang close *",
            "hang stat *",
        ] {
            let numeric = line.replace("ENOTTY", "25");
            let Ok(Command::Add(rule)) = numeric.parse() else {
                panic!("{line}")
            };
            assert_eq!(rule.to_string(), line);
        }
    }

    #[test]
    fn what_is_left_out_means_all_reads_and_writes() {
        let hang = |kinds, pattern: &str| Command::Add(Rule::new(Fault::Hang, kinds).on(pattern));
        assert_eq!("hang".parse(), Ok(hang(Kinds::Io, "*")));
        assert_eq!("hang leases".parse(), Ok(hang(Kinds::Io, "leases")));
        assert_eq!(
            "  hang \t read \n".parse(),
            Ok(hang(Kinds::Only(Kind::Read), "*"))
        );
        assert_eq!("recover".parse(), Ok(Command::Recover(None)));
        assert_eq!(
            "recover leases".parse(),
            Ok(Command::Recover(Some("leases".to_owned())))
        );
        assert_eq!("status".parse(), Ok(Command::Status));
    }

    #[test]
    fn nonsense_is_refused() {
        for line in [
            "",
            "help",
            "error",
            "error EFOO",
            "error -1",
            "delay",
            "delay x",
            "tear a b",
        ] {
            assert!(line.parse::<Command>().is_err(), "{line}");
        }
    }
}
