//! A daemon whose executable is replaced.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::harness::{Outcome, skipped};
use super::scratch::Scratch;
use super::virtlockd::{Daemon, cannot_be_isolated, original, wait_until};

/// Which programs follow each other.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Series {
    C,
    Ours,
    /// C, ours, C, ours.
    Both,
    /// Ours, C, ours.
    Back,
}

/// What a case works with.
pub struct Lab {
    /// The first program, and those that follow.
    pub programs: Vec<Program>,
    scratch: Scratch,
}

#[derive(Clone)]
pub struct Program {
    pub name: &'static str,
    pub file: PathBuf,
}

pub fn ours() -> Program {
    let file = env!("CARGO_BIN_EXE_virtlockd").into();
    Program { name: "ours", file }
}

impl std::ops::Deref for Lab {
    type Target = Scratch;

    fn deref(&self) -> &Scratch {
        &self.scratch
    }
}

impl Lab {
    /// The first program, with these lines of configuration. It is known under a name that can be given to another.
    pub fn host(&self, conf: &str) -> Host {
        let host = self.prepare(conf);
        let (program, conf) = (self.path("virtlockd"), self.path("conf"));
        let log = self.path("messages");
        let daemon = Daemon::start_logged(Path::new(&program), &["-f", &conf], Path::new(&log));
        Host {
            daemon: Some(daemon),
            ..host
        }
    }

    /// All but the start.
    pub fn prepare(&self, conf: &str) -> Host {
        std::fs::write(self.path("conf"), conf).unwrap();
        let host = Host {
            daemon: None,
            scratch: self.scratch.dir().to_owned(),
            hops: Cell::new(0),
        };
        host.install(&self.programs[0].file);
        host
    }
}

pub struct Host {
    pub daemon: Option<Daemon>,
    scratch: PathBuf,
    hops: Cell<u32>,
}

impl Host {
    pub fn daemon(&self) -> &Daemon {
        self.daemon.as_ref().unwrap()
    }

    pub fn socket(&self) -> PathBuf {
        self.daemon().socket()
    }

    /// All that it said.
    pub fn messages(&self) -> String {
        std::fs::read_to_string(self.scratch.join("messages")).unwrap()
    }

    /// Puts a program at the daemon's name, as a file of its own, so that it can be told when it runs.
    pub fn install(&self, file: &Path) -> PathBuf {
        let number = self.hops.get();
        self.hops.set(number + 1);
        let own = self.scratch.join(format!("program-{number}"));
        if std::fs::hard_link(file, &own).is_err() {
            std::fs::copy(file, &own).unwrap();
        }
        self.point_at(&own);
        own
    }

    /// Makes the daemon's name mean this, in one step.
    pub fn point_at(&self, target: &Path) {
        let (new, name) = (self.scratch.join("new"), self.scratch.join("virtlockd"));
        std::os::unix::fs::symlink(target, &new).unwrap();
        std::fs::rename(&new, &name).unwrap();
    }

    /// Lets a program take over; how long it took until it ran.
    pub fn reload(&self, program: &Program) -> Duration {
        let file = self.install(&program.file);
        let since = Instant::now();
        self.daemon().signal(Signal::SIGUSR1);
        wait_until("the next program runs", || {
            runs(self.daemon().pid()).is_some_and(|now| now == file)
        });
        since.elapsed()
    }
}

/// What a process executes; nothing if it is gone.
pub fn runs(pid: u32) -> Option<PathBuf> {
    std::fs::read_link(format!("/proc/{pid}/exe")).ok()
}

/// A case that only root can play.
pub fn run_as_root(series: Series, case: fn(&Lab)) -> Outcome {
    match nix::unistd::geteuid().is_root() {
        true => run(series, case),
        false => skipped("only root can do this"),
    }
}

pub fn run(series: Series, case: fn(&Lab)) -> Outcome {
    let c = || original().map(|file| Program { name: "C", file });
    let programs = match series {
        Series::Ours => Ok(vec![ours(), ours(), ours()]),
        Series::C => c().map(|c| vec![c.clone(), c.clone(), c]),
        Series::Both => c().map(|c| vec![c.clone(), ours(), c, ours()]),
        Series::Back => c().map(|c| vec![ours(), c, ours()]),
    };
    let programs = match programs {
        Ok(programs) => programs,
        Err(why) => return skipped(why),
    };
    if let Some(why) = cannot_be_isolated() {
        return skipped(format!("no mount namespace: {why}"));
    }
    let scratch = Scratch::new("virtlockd-reexec");
    let lab = Lab { programs, scratch };
    case(&lab);
    lab.scratch.remove();
    Outcome::Passed
}
