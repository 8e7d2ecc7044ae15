//! The directory for a run's sockets, disks and logs, removed however the run ends.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use nix::sys::signal::{SigSet, Signal};

/// What the directories' names begin with; our process id follows.
const PREFIX: &str = "leasehold-e2e.";

/// A run's directory; removed when dropped, unless it is kept.
pub(crate) struct Scratch {
    dir: PathBuf,
    keep: bool,
}

impl Scratch {
    /// Makes the directory, removes those of runs that were killed, and from now on removes this one when a
    /// signal ends us. Call it before any thread is started: they inherit which signals are waited for.
    pub(crate) fn new(keep: bool) -> Result<Scratch> {
        let parent = std::env::temp_dir();
        sweep(&parent);
        let dir = parent.join(format!("{PREFIX}{}", std::process::id()));
        std::fs::create_dir(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
        let scratch = Scratch { dir, keep };
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
    if std::fs::remove_dir_all(dir).is_err() {
        let _ = std::fs::remove_dir_all(dir);
    }
}

fn sweep(parent: &Path) {
    for entry in std::fs::read_dir(parent).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let pid = name.to_str().and_then(|name| name.strip_prefix(PREFIX));
        let owner = pid.and_then(|pid| pid.parse::<u32>().ok());
        if owner.is_some_and(|pid| !Path::new("/proc").join(pid.to_string()).exists()) {
            // Somebody else's may not be ours to remove.
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}
