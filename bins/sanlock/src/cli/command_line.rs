//! From arguments to what is to be done.
//!
//! The grammar is the original's: a command, an action, then letters that each take one value, except
//! `-D`. A letter is understood whatever the action; an option that an action does not use is no error.
//! Words with two dashes are ours: `--json`, where the action has it, `--help`, and `--check-config`.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use super::actions::{ClientAction, DirectAction};
use super::daemon_options::DaemonOptions;
use super::lease_strings;
use super::number::{atoi, strtou32, strtoull};
use super::options::{Configured, Options};

/// What the command line asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Invocation {
    /// Print the usage text; a failure when something was missing.
    Usage {
        /// Whether it was asked for.
        asked: bool,
    },
    /// Print the version number alone.
    Version,
    /// Print program, version and build.
    LongVersion,
    /// Explain `--help` about one thing.
    Help(Topic),
    /// Explain result numbers or symbols.
    Explain(Vec<OsString>),
    /// Say what is wrong with the daemon's configuration.
    CheckConfig,
    /// Run the daemon.
    Daemon(DaemonOptions),
    /// Ask the daemon.
    Client(ClientAction, Box<Options>),
    /// Work on storage without it.
    Direct(DirectAction, Box<Options>),
}

/// What `--help` was asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topic {
    /// `sanlock daemon`.
    Daemon,
    /// `sanlock client` as a whole.
    AllClient,
    /// `sanlock direct` as a whole.
    AllDirect,
    /// One action.
    Client(ClientAction),
    /// One action.
    Direct(DirectAction),
    /// `sanlock explain`.
    Explain,
}

/// What is said while the command line is read.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Remarks {
    /// Lines for standard output, as the original prints them.
    pub lines: Vec<Vec<u8>>,
    /// Sentences for standard error: more than the original says.
    pub hints: Vec<String>,
}

impl Remarks {
    pub(super) fn line(&mut self, line: impl Into<Vec<u8>>) {
        self.lines.push(line.into());
    }

    pub(super) fn hint(&mut self, hint: impl Into<String>) {
        self.hints.push(hint.into());
    }
}

/// Reads the arguments after the program's name. `configured` is what sanlock.conf says.
///
/// `None` means that they were refused: the program ends with a failure once it has printed `remarks`.
pub fn parse(
    args: &[OsString],
    configured: Configured,
    remarks: &mut Remarks,
) -> Option<Invocation> {
    let Some((first, rest)) = args.split_first() else {
        return Some(Invocation::Usage { asked: true });
    };
    match first.as_bytes() {
        b"help" | b"--help" | b"-h" => Some(Invocation::Usage { asked: true }),
        b"version" => Some(Invocation::Version),
        b"--version" | b"-V" => Some(Invocation::LongVersion),
        b"explain" => Some(explain(rest)),
        b"--check-config" => Some(Invocation::CheckConfig),
        b"daemon" if rest.first().is_some_and(|word| word == "--check-config") => {
            Some(Invocation::CheckConfig)
        }
        b"daemon" => Reader::new(Kind::Daemon, configured, remarks).read(rest),
        b"client" => client(rest, configured, remarks),
        b"direct" => direct(rest, configured, remarks),
        _ => client(args, configured, remarks),
    }
}

fn explain(args: &[OsString]) -> Invocation {
    if args.first().is_some_and(|first| first == "--help") {
        return Invocation::Help(Topic::Explain);
    }
    let dashes = usize::from(args.first().is_some_and(|first| first == "--"));
    Invocation::Explain(args.iter().skip(dashes).cloned().collect())
}

fn client(args: &[OsString], configured: Configured, remarks: &mut Remarks) -> Option<Invocation> {
    let Some((name, rest)) = args.split_first() else {
        return Some(Invocation::Usage { asked: false });
    };
    if name == "--help" {
        return Some(Invocation::Help(Topic::AllClient));
    }
    let Some(action) = ClientAction::named(name.as_bytes()) else {
        remarks.line(unknown_action(b"client", name));
        remarks.hint("\"sanlock client --help\" lists the actions");
        return None;
    };
    Reader::new(Kind::Client(action), configured, remarks).read(rest)
}

fn direct(args: &[OsString], configured: Configured, remarks: &mut Remarks) -> Option<Invocation> {
    let Some((name, rest)) = args.split_first() else {
        return Some(Invocation::Usage { asked: false });
    };
    if name == "--help" {
        return Some(Invocation::Help(Topic::AllDirect));
    }
    let Some(action) = DirectAction::named(name.as_bytes()) else {
        remarks.line(unknown_action(b"direct", name));
        remarks.hint("\"sanlock direct --help\" lists the actions");
        return None;
    };
    let mut reader = Reader::new(Kind::Direct(action), configured, remarks);
    if !action.takes_path() {
        return reader.read(rest);
    }
    let Some((path, rest)) = rest.split_first() else {
        reader
            .remarks
            .hint(format!("{} needs a path[:offset[:size]]", action.name()));
        return None;
    };
    if path == "--help" {
        return Some(Invocation::Help(Topic::Direct(action)));
    }
    reader.options.path = path.clone();
    reader.read(rest)
}

fn unknown_action(command: &[u8], name: &OsStr) -> Vec<u8> {
    [command, b" action \"", name.as_bytes(), b"\" is unknown"].concat()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Daemon,
    Client(ClientAction),
    Direct(DirectAction),
}

impl Kind {
    fn is_rindex(self) -> bool {
        match self {
            Kind::Daemon => false,
            Kind::Client(action) => action.is_rindex(),
            Kind::Direct(action) => action.is_rindex(),
        }
    }

    fn has_json(self) -> bool {
        match self {
            Kind::Daemon => false,
            Kind::Client(action) => action.has_json(),
            Kind::Direct(action) => action.has_json(),
        }
    }

    fn topic(self) -> Topic {
        match self {
            Kind::Daemon => Topic::Daemon,
            Kind::Client(action) => Topic::Client(action),
            Kind::Direct(action) => Topic::Direct(action),
        }
    }
}

/// Reads the options that follow an action.
struct Reader<'a> {
    kind: Kind,
    daemon: DaemonOptions,
    options: Options,
    remarks: &'a mut Remarks,
}

impl<'a> Reader<'a> {
    fn new(kind: Kind, configured: Configured, remarks: &'a mut Remarks) -> Self {
        let options = Options::new(configured);
        Self {
            kind,
            daemon: DaemonOptions::default(),
            options,
            remarks,
        }
    }

    fn read(mut self, args: &[OsString]) -> Option<Invocation> {
        let mut args = args;
        while let Some((word, rest)) = args.split_first() {
            args = rest;
            let letter = match word.as_bytes() {
                b"--help" => return Some(Invocation::Help(self.kind.topic())),
                b"--json" if self.kind.has_json() => {
                    self.options.json = true;
                    continue;
                }
                [b'-', b'D'] => {
                    self.options.debug = true;
                    self.daemon.debug = true;
                    continue;
                }
                [b'-', letter] => *letter,
                other => {
                    self.remarks.line([b"unknown option ", other].concat());
                    self.remarks.line("space required before option value");
                    return None;
                }
            };
            let Some((value, after)) = args.split_first() else {
                self.remarks
                    .line([b"option '", [letter].as_slice(), b"' requires arg"].concat());
                return None;
            };
            if letter == b'c' {
                self.options.command = args.to_vec();
                break;
            }
            if !self.take(letter, value) {
                self.remarks
                    .line([b"unknown option: ", [letter].as_slice()].concat());
                return None;
            }
            args = after;
        }
        self.finish()
    }

    /// Takes one option; false if there is no such letter.
    fn take(&mut self, letter: u8, value: &OsStr) -> bool {
        let text = value.as_bytes();
        match letter {
            b'Q' => self.daemon.quiet_fail = Some(atoi(text)),
            b'R' => self.daemon.debug_renew = Some(atoi(text)),
            b'H' => self.daemon.renewal_history_size = Some(atoi(text)),
            b'L' => self.daemon.logfile_priority = Some(atoi(text)),
            b'S' => self.daemon.syslog_priority = Some(atoi(text)),
            b'U' => self.daemon.user = Some(value.to_string_lossy().into_owned()),
            b'G' => self.daemon.group = Some(value.to_string_lossy().into_owned()),
            b't' => self.daemon.max_worker_threads = Some(atoi(text).max(2)),
            b'l' => self.daemon.mlock_level = Some(atoi(text)),
            b'b' => self.daemon.set_bitmap_seconds = Some(atoi(text)),
            b'a' => {
                self.options.all = atoi(text) != 0;
                self.daemon.use_aio = Some(i32::from(atoi(text) != 0));
            }
            b'w' => {
                self.options.wait = atoi(text);
                self.daemon.use_watchdog = Some(atoi(text));
            }
            b'h' => self.take_h(atoi(text)),
            b'o' => self.take_o(text),
            b'g' => self.take_g(text),
            b'e' => self.take_e(value),
            b'n' => self.options.num_hosts = atoi(text),
            b'm' => self.options.max_hosts = atoi(text),
            b'p' => self.options.pid = atoi(text),
            b'C' => self.options.client_id = atoi(text),
            b'd' => self.options.event_data = strtoull(text),
            b'i' => self.options.host_id = strtoull(text),
            b'f' => self.options.force_mode = strtou32(text),
            b's' => self.options.lockspace = lease_strings::lockspace(text),
            b'r' => lease_strings::resource(text, &mut self.options.resources, self.remarks),
            b'x' => self.options.rindex = lease_strings::rindex(text),
            b'O' => self.options.orphan = Some(atoi(text) != 0),
            b'P' => self.options.persistent = atoi(text) != 0,
            b'u' => self.options.used = Some(atoi(text) != 0),
            b'z' => self.take_z(text),
            b'A' => self.take_align(text),
            b'Z' => self.options.sector_size = atoi(text),
            b'F' => self.options.file = Some(value.to_owned()),
            _ => return false,
        }
        true
    }

    fn take_h(&mut self, number: i32) {
        match self.kind {
            Kind::Client(ClientAction::Gets | ClientAction::Read) => {
                self.options.hosts = number != 0
            }
            _ => self.daemon.high_priority = Some(number),
        }
    }

    fn take_o(&mut self, text: &[u8]) {
        if self.kind == Kind::Client(ClientAction::Status) {
            self.options.sort = text.first().copied().unwrap_or(0);
            return;
        }
        if let Some(seconds) = u32::try_from(atoi(text))
            .ok()
            .filter(|seconds| *seconds > 0)
        {
            self.options.io_timeout = seconds;
            self.daemon.io_timeout = Some(seconds);
        }
    }

    fn take_g(&mut self, text: &[u8]) {
        if self.kind != Kind::Daemon {
            self.options.generation = strtoull(text);
        } else if let Some(seconds) = u32::try_from(atoi(text))
            .ok()
            .filter(|seconds| *seconds <= 60)
        {
            self.daemon.kill_grace_seconds = Some(seconds);
        }
    }

    fn take_e(&mut self, value: &OsStr) {
        let text = value.as_bytes();
        if self.kind.is_rindex() {
            lease_strings::rindex_entry(text, &mut self.options.rentry);
            return;
        }
        self.options.event = strtoull(text);
        self.options.host_name = Some(text.to_vec());
        self.daemon.our_host_name = Some(text.to_vec());
    }

    fn take_z(&mut self, text: &[u8]) {
        self.options.clear = true;
        if atoi(text) == 0 {
            self.remarks.hint(
                "-z clears whatever its value is, as in the original; leave it out not to clear",
            );
        }
    }

    fn take_align(&mut self, text: &[u8]) {
        self.options.align_size = match text {
            b"1M" => 1 << 20,
            b"2M" => 2 << 20,
            b"4M" => 4 << 20,
            b"8M" => 8 << 20,
            _ => self.options.align_size,
        };
    }

    /// Checks the sizes, which the original does for every command.
    fn finish(self) -> Option<Invocation> {
        let (sector, align) = (self.options.sector_size, self.options.align_size);
        let fits = match (sector, align >> 20) {
            (_, 0) | (512, 1) => true,
            (4096, megabytes) => [1, 2, 4, 8].contains(&megabytes),
            _ => false,
        };
        if !fits {
            self.remarks.line(format!(
                "Invalid sector_size/align_size combination ({sector}/{align})"
            ));
            self.remarks
                .line("Use one of: 512/1M, 4096/1M, 4096/2M, 4096/4M, 4096/8M.");
            return None;
        }
        Some(match self.kind {
            Kind::Daemon => Invocation::Daemon(self.daemon),
            Kind::Client(action) => Invocation::Client(action, Box::new(self.options)),
            Kind::Direct(action) => Invocation::Direct(action, Box::new(self.options)),
        })
    }
}

#[cfg(test)]
mod tests;
