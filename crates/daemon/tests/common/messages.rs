//! What a program says to somebody who makes a mistake: what was tried, on what, and what to do.

#[path = "harness.rs"]
pub mod harness;

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Command, ExitCode, Stdio};

use harness::{Outcome, skipped};

/// Somebody without rights; also the number of their group.
const NOBODY: u32 = 65534;

/// A mistake, and what must be said of it.
#[derive(Debug, Clone)]
pub struct Mistake<'a> {
    pub arguments: &'a [&'a str],
    pub variables: &'a [(&'a str, &'a str)],
    /// Whether it is one only for somebody who is not root.
    pub as_nobody: bool,
    /// The place and the remedy.
    pub said: &'a [&'a str],
}

impl<'a> Mistake<'a> {
    /// Made by root.
    pub fn new(arguments: &'a [&'a str], said: &'a [&'a str]) -> Self {
        Self {
            arguments,
            variables: &[],
            as_nobody: false,
            said,
        }
    }

    pub fn with(self, variables: &'a [(&'a str, &'a str)]) -> Self {
        Self { variables, ..self }
    }

    pub fn made_by_nobody(self) -> Self {
        Self {
            as_nobody: true,
            ..self
        }
    }
}

/// The whole `main` of a program's test: its mistakes, and a pipe that nobody reads.
pub fn run(mistakes: fn() -> Outcome, closed_pipe: fn() -> Outcome) -> ExitCode {
    harness::run(&[
        ("mistakes_are_told_with_their_remedy", mistakes),
        ("a_closed_pipe_is_no_crash", closed_pipe),
    ])
}

/// Makes them all with a program, which must fail and say what is wanted.
pub fn make(program: &str, mistakes: &[Mistake<'_>]) -> Outcome {
    if !nix::unistd::geteuid().is_root() {
        return skipped("the rights of root, which it takes to give them up");
    }
    for mistake in mistakes {
        let mut command = Command::new(program);
        command
            .args(mistake.arguments)
            .envs(mistake.variables.iter().copied())
            .current_dir("/")
            .stdin(Stdio::null());
        if mistake.as_nobody {
            command.uid(NOBODY).gid(NOBODY);
        }
        let output = match command.output() {
            Err(_) if mistake.as_nobody => {
                return skipped("a program that everybody may run: a directory above it is closed");
            }
            output => output.unwrap(),
        };
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text);
        assert!(
            output.status.code().is_some_and(|code| code != 0),
            "{mistake:?}: {}: {text}",
            output.status
        );
        for wanted in mistake.said {
            assert!(text.contains(wanted), "{mistake:?}\n{text}");
        }
    }
    Outcome::Passed
}

/// Runs a program whose words nobody reads: it may fail, but not crash.
pub fn unread(program: &str, each: &[&[&str]]) -> Outcome {
    for arguments in each {
        let closed = || {
            let (ours, theirs) = UnixStream::pair().unwrap();
            drop(ours);
            Stdio::from(OwnedFd::from(theirs))
        };
        let status = Command::new(program)
            .args(*arguments)
            .env("SANLOCK_RUN_DIR", "/nonexistent/run")
            .stdin(Stdio::null())
            .stdout(closed())
            .stderr(closed())
            .status()
            .unwrap();
        assert_eq!(status.signal(), None, "{arguments:?}: {status}");
    }
    Outcome::Passed
}
