//! The command line, as getopt_long(3) takes it: short options in one word, long ones cut short.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

/// The longest time-out in seconds: what is left when counted in milliseconds by a signed number.
pub(crate) const TIMEOUT_MAX: u32 = (i32::MAX / 1000) as u32;

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Run the daemon.
    Run(Options),
    /// Ask the daemon that runs who holds which lock.
    List {
        /// As JSON instead of a table.
        as_json: bool,
    },
    /// Say how to use it.
    Help,
    /// Say which version it is.
    Version,
}

/// How the daemon runs.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Options {
    list: bool,
    json: bool,
    pub(crate) verbose: bool,
    pub(crate) daemon: bool,
    pub(crate) config: Option<PathBuf>,
    /// Seconds, 0 for never.
    pub(crate) timeout: u32,
    pub(crate) pid_file: Option<PathBuf>,
    /// Only say what is wrong with the configuration.
    pub(crate) check_config: bool,
}

impl Options {
    /// What gives the same options when it is parsed.
    pub(crate) fn arguments(&self) -> Vec<OsString> {
        let mut words: Vec<OsString> = Vec::new();
        let flags = [(self.verbose, "-v"), (self.daemon, "-d")];
        words.extend(
            flags
                .iter()
                .filter(|(is_set, _)| *is_set)
                .map(|(_, flag)| flag.into()),
        );
        if self.timeout > 0 {
            words.extend(["-t".into(), self.timeout.to_string().into()]);
        }
        for (flag, path) in [("-f", &self.config), ("-p", &self.pid_file)] {
            if let Some(path) = path {
                words.extend([flag.into(), path.clone().into_os_string()]);
            }
        }
        words
    }
}

/// Name, letter, and whether it takes an argument.
const OPTIONS: &[(&str, u8, bool)] = &[
    ("verbose", b'v', false),
    ("daemon", b'd', false),
    ("config", b'f', true),
    ("timeout", b't', true),
    ("pid-file", b'p', true),
    ("version", b'V', false),
    ("help", b'h', false),
];

/// Stand for options without a letter.
const LIST: u8 = 0;
const JSON: u8 = 1;
const CHECK_CONFIG: u8 = 2;

/// Our own, which the C daemon does not have. They are never cut short, so that what can be cut short stays as it is.
const OURS: &[(&str, u8, bool)] = &[
    ("list", LIST, false),
    ("json", JSON, false),
    ("check-config", CHECK_CONFIG, false),
];

/// Reads the arguments behind the program's name. Words that are no options are passed over, as by the C program.
///
/// # Errors
/// A sentence for the user.
pub(crate) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Order, String> {
    let mut arguments = arguments.into_iter();
    let mut options = Options::default();
    while let Some(word) = arguments.next() {
        let mut missing = |name: &str| {
            let next = arguments.next();
            next.ok_or_else(|| format!("option '{name}' requires an argument"))
        };
        match word.as_bytes() {
            b"--" => break,
            [b'-', b'-', long @ ..] => {
                let (name, value) = match long.iter().position(|byte| *byte == b'=') {
                    Some(at) => (&long[..at], long.get(at + 1..)),
                    None => (long, None),
                };
                let (name, letter, takes) = long_option(name)?;
                let value = match (takes, value) {
                    (true, Some(value)) => Some(OsStr::from_bytes(value).to_owned()),
                    (true, None) => Some(missing(&format!("--{name}"))?),
                    (false, None) => None,
                    (false, Some(_)) => {
                        return Err(format!("option '--{name}' doesn't allow an argument"));
                    }
                };
                if let Some(order) = apply(&mut options, letter, value)? {
                    return Ok(order);
                }
            }
            [b'-', short @ ..] if !short.is_empty() => {
                let mut rest = short;
                while let Some((letter, behind)) = rest.split_first() {
                    let known = OPTIONS.iter().find(|(_, known, _)| known == letter);
                    let Some((_, _, takes)) = known else {
                        return Err(format!("invalid option -- '{}'", char::from(*letter)));
                    };
                    let value = match (takes, behind) {
                        (false, _) => None,
                        (true, []) => Some(missing(&format!("-{}", char::from(*letter)))?),
                        (true, value) => Some(OsString::from_vec(value.to_vec())),
                    };
                    rest = if *takes { &[] } else { behind };
                    if let Some(order) = apply(&mut options, *letter, value)? {
                        return Ok(order);
                    }
                }
            }
            _ => {}
        }
    }
    match (options.list, options.json) {
        (true, as_json) => Ok(Order::List { as_json }),
        (false, true) => Err("option '--json' goes with '--list'".to_owned()),
        (false, false) => Ok(Order::Run(options)),
    }
}

/// By its whole name, or as much of it as no other begins with.
fn long_option(name: &[u8]) -> Result<(&'static str, u8, bool), String> {
    let shown = String::from_utf8_lossy(name);
    if let Some(whole) = OPTIONS
        .iter()
        .chain(OURS)
        .find(|(known, _, _)| known.as_bytes() == name)
    {
        return Ok(*whole);
    }
    let mut begun = OPTIONS
        .iter()
        .filter(|(known, _, _)| known.as_bytes().starts_with(name));
    match (begun.next(), begun.next()) {
        (Some(one), None) => Ok(*one),
        (None, _) => Err(format!("unrecognized option '--{shown}'")),
        (Some(_), Some(_)) => Err(format!("option '--{shown}' is ambiguous")),
    }
}

fn apply(
    options: &mut Options,
    letter: u8,
    value: Option<OsString>,
) -> Result<Option<Order>, String> {
    match (letter, value) {
        (b'v', _) => options.verbose = true,
        (b'd', _) => options.daemon = true,
        (LIST, _) => options.list = true,
        (JSON, _) => options.json = true,
        (CHECK_CONFIG, _) => options.check_config = true,
        (b'f', Some(path)) => options.config = Some(path.into()),
        (b'p', Some(path)) => options.pid_file = Some(path.into()),
        (b't', Some(seconds)) => options.timeout = timeout(&seconds)?,
        (b'V', _) => return Ok(Some(Order::Version)),
        _ => return Ok(Some(Order::Help)),
    }
    Ok(None)
}

fn timeout(text: &OsStr) -> Result<u32, String> {
    const MOST: u32 = TIMEOUT_MAX;
    let seconds = text
        .to_str()
        .and_then(|text| text.trim_start().parse().ok());
    let shown = text.to_string_lossy();
    seconds.filter(|seconds| *seconds <= MOST).ok_or_else(|| {
        format!("Invalid value for timeout: '{shown}' is not a number of seconds from 0 to {MOST}")
    })
}

/// How to use the program.
pub(crate) fn usage(program: &str, config: &str, socket: &str, pid_file: &str) -> String {
    format!(
        "
Usage:
  {program} [options]

Options:
  -h | --help            Show this.
  -v | --verbose         Log what happens, not only what goes wrong.
  -d | --daemon          Run in the background.
  -t | --timeout <secs>  End after so many seconds without clients and locks.
  -f | --config <file>   Read another configuration file.
  -V | --version         Show the version.
  -p | --pid-file <file> Write another PID file.
  --list [--json]        Ask the daemon that runs who holds which lock.
  --check-config         Say what is wrong with the configuration, and start nothing.

libvirt lock management daemon:

  Default paths:

    Configuration file (unless overridden by -f):
      {config}

    Sockets:
      {socket}

    PID file (unless overridden by -p):
      {pid_file}

"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_again() {
        for line in ["", "-v", "-d -t 5", "-f /a -p /b -v -d -t 2147483"] {
            let Ok(Order::Run(options)) = parsed(line) else {
                panic!("{line}");
            };
            assert_eq!(parse(options.arguments()), Ok(Order::Run(options)));
        }
    }

    fn parsed(line: &str) -> Result<Order, String> {
        parse(line.split_whitespace().map(OsString::from))
    }

    fn options(line: &str) -> Options {
        match parsed(line) {
            Ok(Order::Run(options)) => options,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn short_and_long() {
        let all = Options {
            verbose: true,
            daemon: true,
            config: Some("/c".into()),
            timeout: 120,
            pid_file: Some("p".into()),
            ..Options::default()
        };
        assert_eq!(options("-dv -f /c -t 120 -p p"), all);
        assert_eq!(options("-vdt120 -f/c -pp word"), all);
        assert_eq!(
            options("--verb --da --config=/c --timeout 120 --pid-file p"),
            all
        );
        assert_eq!(options("-- -d"), Options::default());
        assert_eq!(parsed("-dV"), Ok(Order::Version));
        assert_eq!(parsed("--vers"), Ok(Order::Version));
        assert_eq!(parsed("-h"), Ok(Order::Help));
        let list = |as_json| Ok(Order::List { as_json });
        assert_eq!(parsed("--list"), list(false));
        assert_eq!(parsed("--json --list"), list(true));
        assert!(options("--check-config -f /c").check_config);
        assert_eq!(options("--c /c").config, Some("/c".into()));
    }

    #[test]
    fn what_cannot_be() {
        for line in [
            "-x",
            "--ver",
            "--nothing",
            "-f",
            "--config",
            "--daemon=1",
            "-t -1",
            "-t x",
            "-t 2147484",
            "--json",
            "--list=1",
            "--l",
            "--check",
        ] {
            assert!(parsed(line).is_err(), "{line}");
        }
        assert_eq!(options("-t 2147483").timeout, 2_147_483);
    }
}
