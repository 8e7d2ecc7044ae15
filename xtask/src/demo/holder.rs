//! A process that is given a lease before it begins: `sanlock client command`.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::stage::show_command;
use crate::cleanup::{Action, Undo, later};
use crate::host::Host;

/// The process; killed when dropped.
pub(crate) struct Holder {
    child: Child,
    started: PathBuf,
    log: PathBuf,
    kill: Option<Undo>,
}

impl Holder {
    /// Starts it and shows the command. The "guest" writes the file `started` once it has the lease.
    pub(crate) fn start(host: &Host, resource: &str, started: &Path) -> Result<Holder> {
        show_command(
            host,
            &[
                "client",
                "command",
                "-r",
                resource,
                "-c",
                "/bin/sh -c 'sleep 600'",
            ],
        );
        Holder::start_quietly(host, resource, started)
    }

    /// The same without a word.
    pub(crate) fn start_quietly(host: &Host, resource: &str, started: &Path) -> Result<Holder> {
        let log = started.with_extension("log");
        let output = File::create(&log).context("cannot create a log file")?;
        let guest = format!("echo runs > '{}'; exec sleep 600", started.display());
        let child = host
            .command(&[
                "client", "command", "-r", resource, "-c", "/bin/sh", "-c", &guest,
            ])
            .stdout(output.try_clone().context("cannot share a log file")?)
            .stderr(output)
            .spawn()
            .context("cannot start sanlock client")?;
        let kill = later(Action::KillGroup(child.id()));
        Ok(Holder {
            child,
            started: started.to_owned(),
            log,
            kill: Some(kill),
        })
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether the guest runs, and so has the lease.
    pub(crate) fn has_started(&self) -> bool {
        self.started.is_file()
    }

    /// Whether it has ended, and so was refused if it has not started.
    pub(crate) fn has_ended(&mut self) -> Result<bool> {
        Ok(self
            .child
            .try_wait()
            .context("cannot wait for sanlock client")?
            .is_some())
    }

    /// Waits until the guest runs or cannot run any more.
    pub(crate) fn wait_until_started(&mut self, limit: Duration) -> Result<bool> {
        let end = Instant::now() + limit;
        while !self.has_started() && !self.has_ended()? && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(self.has_started())
    }

    /// What the client said.
    pub(crate) fn said(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default())
            .trim_end()
            .to_owned()
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        self.kill.take();
        // Only to take its exit status.
        let _ = self.child.wait();
    }
}
