//! The directory for a run's sockets, disks and logs, removed however the run ends.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use nix::fcntl::{Flock, FlockArg};
use nix::sys::signal::{SigSet, Signal};

/// What the directories' names begin with; our process id follows, for people.
const PREFIX: &str = "leasehold-e2e.";

/// A run's directory; removed when dropped, unless it is kept.
pub(crate) struct Scratch {
    dir: PathBuf,
    keep: bool,
    /// Tells others that somebody lives who uses it: a process id may be another process's, or of another
    /// container.
    _used: Flock<File>,
}

impl Scratch {
    /// Makes the directory, removes those of runs that were killed, and from now on removes this one when a
    /// signal ends us. Call it before any thread is started: they inherit which signals are waited for.
    pub(crate) fn new(keep: bool) -> Result<Scratch> {
        let parent = std::env::temp_dir();
        sweep(&parent);
        let dir = parent.join(format!("{PREFIX}{}", std::process::id()));
        let used = create(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
        let scratch = Scratch {
            dir,
            keep,
            _used: used,
        };
        scratch.remove_on_signals()?;
        Ok(scratch)
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    fn remove_on_signals(&self) -> Result<()> {
        let mut waited_for = SigSet::empty();
        for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
            waited_for.add(signal);
        }
        waited_for
            .thread_block()
            .context("cannot wait for signals")?;
        let (dir, keep) = (self.dir.clone(), self.keep);
        std::thread::spawn(move || {
            // It fails only for an invalid set.
            let Ok(signal) = waited_for.wait() else {
                return;
            };
            if !keep {
                remove(&dir);
            }
            eprintln!("\nended by {signal}; cleaned up");
            // The machines end with us.
            std::process::exit(128 + signal as i32);
        });
        Ok(())
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if self.keep {
            println!("kept: {}", self.dir.display());
        } else {
            remove(&self.dir);
        }
    }
}

/// A machine that is being killed may create a last file meanwhile.
fn remove(dir: &Path) {
    if fs::remove_dir_all(dir).is_err() {
        let _ = fs::remove_dir_all(dir);
    }
}

/// Makes it, and has it marked as used for as long as the result lives.
fn create(dir: &Path) -> io::Result<Flock<File>> {
    for _ in 0..100 {
        match fs::create_dir(dir) {
            Ok(()) => {
                // Another run may take it for a dead one's before it is marked, and remove it.
                if let (Some(used), true) = (mark(dir), dir.exists()) {
                    return Ok(used);
                }
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Err(ErrorKind::AlreadyExists.into())
}

/// Marks it as used, if nobody does so.
fn mark(dir: &Path) -> Option<Flock<File>> {
    Flock::lock(File::open(dir).ok()?, FlockArg::LockExclusiveNonblock).ok()
}

fn sweep(parent: &Path) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let name = entry.file_name();
        if !name.to_string_lossy().starts_with(PREFIX) {
            continue;
        }
        if let Some(_nobody) = mark(&entry.path()) {
            // Somebody else's may not be ours to remove.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}
