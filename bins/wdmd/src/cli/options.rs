//! From arguments to what is to be done.

use super::getopt::{Item, Long, number, read as getopt};
use crate::service::Options;

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Command {
    /// `-h`, with what was given before it: the text shows it as defaults.
    Help(Given),
    /// `-V`.
    Version,
    /// `-d`.
    Dump {
        /// As a JSON document.
        json: bool,
    },
    /// `--check-config`.
    CheckConfig,
    /// `-p`, `-t`.
    Probe(Probe),
    /// `-F` alone.
    ForceWithoutTimeout,
    /// `-t` with a negative number.
    BadTimeout,
    /// Run the daemon.
    Daemon(Options),
}

/// How devices are probed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Probe {
    /// The one to try first.
    pub(super) device: Option<String>,
    /// The timeout to try, if any.
    pub(super) timeout: Option<u32>,
    /// Let it fire.
    pub(super) force: bool,
    /// Print a JSON document.
    pub(super) json: bool,
}

/// Options that were given so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Given {
    pub(super) daemon: Options,
    probe: bool,
    timeout: i32,
    force: bool,
}

const LETTERS: &str = "hpdVDH:G:S:s:k:w:t:F";

/// No letters of an option of getopt: those of our own long ones.
const HOLD: char = '1';
const JSON: char = '2';
const CHECK_CONFIG: char = '3';

const LONG: &[Long] = &[
    long("help", 'h'),
    long("probe", 'p'),
    long("dump", 'd'),
    Long {
        has_argument: true,
        ..long("trytimeout", 't')
    },
    long("forcefire", 'F'),
    long("version", 'V'),
    Long {
        own: true,
        ..long("hold", HOLD)
    },
    Long {
        own: true,
        ..long("json", JSON)
    },
    Long {
        own: true,
        ..long("check-config", CHECK_CONFIG)
    },
];

const fn long(name: &'static str, letter: char) -> Long {
    Long {
        name,
        letter,
        has_argument: false,
        own: false,
    }
}

/// What the arguments ask for, and what is wrong with those before that. As in the original, wrong options have
/// no effect, and the first of `-h`, `-V` and `-d` ends the reading.
pub(super) fn read(program: &str, arguments: &[String]) -> (Command, Vec<String>) {
    let items = getopt(program, arguments, LETTERS, LONG);
    // Wherever it stands.
    let json = items.contains(&Item::Option(JSON, None));
    let mut given = Given::default();
    let mut complaints = Vec::new();
    for item in items {
        let (letter, value) = match item {
            Item::Option(letter, value) => (letter, value.unwrap_or_default()),
            Item::Complaint(complaint) => {
                complaints.push(complaint);
                continue;
            }
        };
        let daemon = &mut given.daemon;
        match letter {
            'h' => return (Command::Help(given), complaints),
            'V' => return (Command::Version, complaints),
            'd' => return (Command::Dump { json }, complaints),
            CHECK_CONFIG => return (Command::CheckConfig, complaints),
            'p' => given.probe = true,
            't' => {
                given.probe = true;
                given.timeout = number(&value);
            }
            'F' => given.force = true,
            'D' => daemon.debug = true,
            'G' => daemon.group = Some(value),
            'H' => daemon.high_priority = number(&value),
            'S' => daemon.allow_scripts = number(&value),
            's' => daemon.scripts_dir = Some(value),
            'k' => daemon.kill_script_sec = number(&value),
            'w' => daemon.device = Some(value),
            HOLD => daemon.hold = true,
            _ => {}
        }
    }
    (given.command(json), complaints)
}

impl Given {
    fn command(self, json: bool) -> Command {
        if self.force && !self.probe {
            Command::ForceWithoutTimeout
        } else if self.timeout < 0 {
            Command::BadTimeout
        } else if self.probe {
            Command::Probe(Probe {
                device: self.daemon.device,
                timeout: u32::try_from(self.timeout)
                    .ok()
                    .filter(|wanted| *wanted > 0),
                force: self.force,
                json,
            })
        } else {
            Command::Daemon(self.daemon)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(arguments: &[&str]) -> (Command, Vec<String>) {
        let arguments: Vec<String> = arguments.iter().map(|text| (*text).to_owned()).collect();
        read("wdmd", &arguments)
    }

    #[test]
    fn options_of_all_kinds() {
        let (command, complaints) =
            of(&["-DH1", "word", "-S", "1", "-sdir", "-k", "7x", "-w/dev/w"]);
        assert_eq!(complaints, Vec::<String>::new());
        let expected = Options {
            debug: true,
            high_priority: 1,
            allow_scripts: 1,
            scripts_dir: Some("dir".to_owned()),
            kill_script_sec: 7,
            device: Some("/dev/w".to_owned()),
            ..Options::default()
        };
        assert_eq!(command, Command::Daemon(expected));
        assert_eq!(of(&["--", "-h"]).0, Command::Daemon(Options::default()));
    }

    #[test]
    fn abbreviations_and_what_is_wrong() {
        assert!(matches!(of(&["--prob"]).0, Command::Probe(_)));
        assert!(matches!(of(&["--h"]).0, Command::Help(_)));
        let try_timeout = Probe {
            timeout: Some(30),
            ..Probe::default()
        };
        assert_eq!(of(&["--try=30"]).0, Command::Probe(try_timeout));
        for (arguments, complaint) in [
            (["-Z", "-V"], "wdmd: invalid option -- 'Z'"),
            (["--bogus", "-V"], "wdmd: unrecognized option '--bogus'"),
            (
                ["--help=1", "-V"],
                "wdmd: option '--help' doesn't allow an argument",
            ),
        ] {
            assert_eq!(
                of(&arguments),
                (Command::Version, vec![complaint.to_owned()])
            );
        }
        assert_eq!(of(&["-w"]).1, ["wdmd: option requires an argument -- 'w'"]);
    }

    #[test]
    fn what_comes_first_counts() {
        assert_eq!(of(&["-V", "-h"]).0, Command::Version);
        assert_eq!(of(&["-d", "--json"]).0, Command::Dump { json: true });
        assert_eq!(of(&["--check-config", "-d"]).0, Command::CheckConfig);
        assert_eq!(of(&["-F"]).0, Command::ForceWithoutTimeout);
        assert!(matches!(of(&["-F", "-p"]).0, Command::Probe(probe) if probe.timeout.is_none()));
        assert_eq!(of(&["-t", "-5"]).0, Command::BadTimeout);
        let help = of(&["-S", "1", "-h", "-S", "0"]).0;
        assert!(matches!(help, Command::Help(given) if given.daemon.allow_scripts == 1));
    }

    #[test]
    fn numbers() {
        for (text, value) in [
            ("7", 7),
            (" -7x", -7),
            ("x", 0),
            ("99999999999", i32::MAX),
            ("", 0),
        ] {
            assert_eq!(number(text), value, "{text}");
        }
    }
}
