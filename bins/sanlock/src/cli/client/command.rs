//! `client command`: become a program that holds leases.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use sanlock_proto::client::Registered;

use super::Run;
use crate::cli::text::Line;

impl Run<'_, '_> {
    /// Registers, acquires, and becomes the program of `-c`: the daemon releases the leases when the
    /// connection that the program inherits is closed by its end.
    ///
    /// Standard output then is the program's. As in the original, which hands its unwritten output on
    /// to nobody, the lines up to there show only where a person watches, or when it comes to nothing.
    pub(super) fn command(&mut self) -> i32 {
        let mut held = Held {
            lines: Vec::new(),
            at_once: self.console.is_terminal,
        };
        held.add(self, "register");
        let mut registered = match self.client.register() {
            Ok(registered) => registered,
            Err(error) => {
                held.add(self, format_args!("register done {}", error.code()));
                held.release(self);
                self.explain(&Err(error));
                // The original's exit status is that of success here.
                return 0;
            }
        };
        let fd = registered.as_fd().as_raw_fd();
        held.add(self, format_args!("register done {fd}"));
        held.add(self, format_args!("acquire fd {fd}"));
        self.console.flush();
        let wanted = self.wanted_resources();
        let outcome = registered.acquire(self.acquire_flags(), &wanted, None);
        let number = super::number(&outcome);
        held.add(self, format_args!("acquire done {number}"));
        if outcome.is_err() {
            held.release(self);
            self.explain(&outcome);
            self.say_who_holds(number, &wanted);
            return number;
        }
        let Some((program, args)) = self
            .options
            .command
            .split_first()
            .filter(|(program, _)| !program.is_empty())
        else {
            held.release(self);
            self.console.flush();
            loop {
                std::thread::park();
            }
        };
        self.console.flush();
        let error = become_program(&registered, program, args);
        held.release(self);
        let reason = error
            .raw_os_error()
            .map(Errno::from_raw)
            .map_or("cannot", Errno::desc);
        self.console.error(format_args!("execv failed: {reason}"));
        let program = program.to_string_lossy();
        self.console.hint(format_args!(
            "sanlock: {program} was not run; the leases are released"
        ));
        // Here, too.
        0
    }
}

/// Replaces this process; comes back only when that failed.
fn become_program(registered: &Registered, program: &OsStr, args: &[OsString]) -> io::Error {
    if let Err(errno) = fcntl(registered.as_fd(), FcntlArg::F_SETFD(FdFlag::empty())) {
        return errno.into();
    }
    // The original does not look in $PATH.
    let mut path = program.to_owned();
    if !program.as_bytes().contains(&b'/') {
        path = OsString::from("./");
        path.push(program);
    }
    Command::new(path).arg0(program).args(args).exec()
}

/// Lines that are shown at once or only in the end.
struct Held {
    lines: Vec<Line>,
    at_once: bool,
}

impl Held {
    fn add(&mut self, run: &mut Run<'_, '_>, line: impl std::fmt::Display) {
        let line = Line::new(line);
        if self.at_once {
            run.console.line(&line);
        } else {
            self.lines.push(line);
        }
    }

    fn release(&mut self, run: &mut Run<'_, '_>) {
        run.console.lines(&std::mem::take(&mut self.lines));
    }
}
