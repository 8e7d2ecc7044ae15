//! The end of a lock's owner.
//!
//! The C daemon frees the locks first and then kills their owner, at most for three seconds, while it answers nobody.
//! Here the locks stay until the owner is gone, however long that takes: a process that cannot be killed (one that
//! waits for its disk) may still write to it.

use std::time::Duration;

use daemon::Process;
use nix::sys::signal::Signal;
use tokio::time::{Instant, sleep};
use tracing::{error, warn};

/// How long an owner that was asked to end may take, before it is killed.
const PATIENCE: Duration = Duration::from_millis(1600);

/// A process that ends closes its connection a moment before it is gone.
const ENDING: Duration = Duration::from_millis(20);

/// How often it is said that an owner does not end.
const COMPLAIN: Duration = Duration::from_secs(10);

/// Ends a process, and returns when it is gone.
pub(crate) async fn end(process: &Process) {
    if gone_within(process, ENDING).await {
        return;
    }
    let pid = process.pid();
    warn!(target: "locking.lock_daemon", "process {pid} closed its connection with locks held: ending it");
    send(process, Signal::SIGTERM);
    if gone_within(process, PATIENCE).await {
        return;
    }
    send(process, Signal::SIGKILL);
    while !gone_within(process, COMPLAIN).await {
        error!(
            target: "locking.lock_daemon",
            "process {pid} was killed but does not end (does it wait for its disk?): its locks stay"
        );
        send(process, Signal::SIGKILL);
    }
}

fn send(process: &Process, signal: Signal) {
    if let Err(failed) = process.signal(signal) {
        if process.is_alive() {
            error!(target: "locking.lock_daemon", "Failed to kill off pid {}: {failed}", process.pid());
        }
    }
}

/// Looks often at first: mostly it is ending already.
async fn gone_within(process: &Process, limit: Duration) -> bool {
    let since = Instant::now();
    let mut pause = Duration::from_millis(1);
    loop {
        if !process.is_alive() {
            return true;
        }
        if since.elapsed() >= limit {
            return false;
        }
        sleep(pause).await;
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}
