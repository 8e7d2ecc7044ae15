//! What must be undone however a command ends: by itself, by an error or by a signal.
//!
//! Each thing to undo is kept in one list; [`Undo`] takes it from there and does it when it is dropped, and
//! a signal does all that is still there, the last first.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::signal::unix::{SignalKind, signal};

/// Something to undo.
#[derive(Clone, Debug)]
pub(crate) enum Action {
    /// Kill a process group.
    KillGroup(u32),
    /// Ask a process group to end, and kill it if it does not.
    EndGroup(u32),
    /// Remove a directory and what is in it.
    RemoveDir(PathBuf),
    /// Remove a file.
    RemoveFile(PathBuf),
}

static PENDING: Mutex<Vec<(u64, Action)>> = Mutex::new(Vec::new());
static NEXT: AtomicU64 = AtomicU64::new(1);

/// Undoes its action when dropped.
#[must_use]
#[derive(Debug)]
pub(crate) struct Undo(u64);

impl Drop for Undo {
    fn drop(&mut self) {
        let mut pending = PENDING.lock().unwrap_or_else(PoisonError::into_inner);
        let found = pending.iter().position(|(id, _)| *id == self.0);
        if let Some(index) = found {
            let (_, action) = pending.remove(index);
            perform(&action);
        }
    }
}

/// Does the action when the guard is dropped or a signal ends us.
pub(crate) fn later(action: Action) -> Undo {
    let id = NEXT.fetch_add(1, Ordering::Relaxed);
    PENDING
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push((id, action));
    Undo(id)
}

/// From now on SIGINT, SIGTERM and SIGHUP undo what is pending and end the command.
pub(crate) fn on_signals() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .context("cannot watch for signals")?;
    let (mut int, mut term, mut hup) = {
        let _entered = runtime.enter();
        let watch = |kind| signal(kind).context("cannot watch for signals");
        (
            watch(SignalKind::interrupt())?,
            watch(SignalKind::terminate())?,
            watch(SignalKind::hangup())?,
        )
    };
    std::thread::spawn(move || {
        let (name, number) = runtime.block_on(async {
            tokio::select! {
                biased;
                _ = int.recv() => ("interrupted", 2),
                _ = term.recv() => ("terminated", 15),
                _ = hup.recv() => ("hung up", 1),
            }
        });
        // Held until the end, so that nobody adds to what is being undone.
        let mut pending = PENDING.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some((_, action)) = pending.pop() {
            perform(&action);
        }
        eprintln!("\n{name}; cleaned up");
        std::process::exit(128 + number);
    });
    Ok(())
}

fn perform(action: &Action) {
    match action {
        Action::KillGroup(group) => {
            if let Ok(group) = i32::try_from(*group) {
                // It may have ended already.
                let _ = killpg(Pid::from_raw(group), Signal::SIGKILL);
            }
        }
        Action::EndGroup(group) => {
            if let Ok(group) = i32::try_from(*group) {
                end_group(Pid::from_raw(group));
            }
        }
        Action::RemoveDir(dir) => {
            // What is being killed may create a last file meanwhile.
            if std::fs::remove_dir_all(dir).is_err() {
                let _ = std::fs::remove_dir_all(dir);
            }
        }
        Action::RemoveFile(file) => {
            let _ = std::fs::remove_file(file);
        }
    }
}

/// Gives the group two seconds to clean up after itself.
fn end_group(group: Pid) {
    let mut signal = Some(Signal::SIGTERM);
    for _ in 0..20 {
        if killpg(group, signal).is_err() {
            return;
        }
        std::thread::sleep(Duration::from_millis(100));
        signal = None;
    }
    let _ = killpg(group, Signal::SIGKILL);
}

/// An empty directory of our own, only for us, removed at the end unless `keep`.
pub(crate) fn temporary_dir(
    parent: &Path,
    name: &str,
    keep: bool,
) -> Result<(PathBuf, Option<Undo>)> {
    let dir = nix::unistd::mkdtemp(&parent.join(format!("{name}.XXXXXX")))
        .with_context(|| format!("cannot create a directory in {}", parent.display()))?;
    let undo = (!keep).then(|| later(Action::RemoveDir(dir.clone())));
    Ok((dir, undo))
}
