//! A disk that takes longer, from `testsuite/faultfs`.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::cleanup::{Action, Undo, later};
use crate::workspace;

/// A mounted directory whose requests can be delayed.
pub(super) struct SlowDisk {
    mount: PathBuf,
    control: PathBuf,
    child: Child,
    /// Undone in this order.
    undo: [Option<Undo>; 3],
}

impl SlowDisk {
    /// Mounts below `dir`, without a delay.
    pub(super) fn mount(dir: &Path) -> Result<SlowDisk> {
        ensure!(
            Path::new("/dev/fuse").exists(),
            "there is no /dev/fuse here"
        );
        let program = workspace::build_release("faultfs")?;
        // In memory, so that the delay is nearly all that a request takes.
        let memory = Path::new("/dev/shm");
        let backing = if memory.is_dir() {
            memory.join(format!("leasehold-bench-{}", std::process::id()))
        } else {
            dir.join("backing")
        };
        let mount = dir.join("mount");
        for path in [&mount, &backing] {
            std::fs::create_dir_all(path)
                .with_context(|| format!("cannot create {}", path.display()))?;
        }
        let control = dir.join("control");
        // It unmounts by itself when it is told to end or dies.
        let mut child = Command::new(&program)
            .args([&mount, &backing])
            .arg("--control")
            .arg(&control)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot run {}", program.display()))?;
        let undo = [
            Some(later(Action::Terminate(child.id()))),
            Some(later(Action::Unmount(mount.clone()))),
            Some(later(Action::RemoveDir(backing))),
        ];
        let mut line = String::new();
        let output = child.stdout.take().context("faultfs has no output")?;
        BufReader::new(output)
            .read_line(&mut line)
            .context("cannot hear from faultfs")?;
        let disk = SlowDisk {
            mount,
            control,
            child,
            undo,
        };
        ensure!(line.trim() == "mounted", "faultfs could not mount");
        Ok(disk)
    }

    /// Where it is mounted.
    pub(super) fn path(&self) -> &Path {
        &self.mount
    }

    /// From now on every read and write takes that much longer.
    pub(super) fn set_delay(&self, delay: Duration) -> Result<()> {
        self.send("recover")?;
        self.send(&format!("delay {} io", delay.as_millis()))
    }

    fn send(&self, command: &str) -> Result<()> {
        let mut answer = String::new();
        UnixStream::connect(&self.control)
            .and_then(|mut connection| {
                writeln!(connection, "{command}")?;
                BufReader::new(connection).read_line(&mut answer)
            })
            .context("cannot command faultfs")?;
        if answer.trim() != "ok" {
            bail!("faultfs does not take {command:?}: {}", answer.trim());
        }
        Ok(())
    }
}

impl Drop for SlowDisk {
    fn drop(&mut self) {
        let [terminate, unmount, remove] = &mut self.undo;
        terminate.take();
        // Only to take its exit status.
        let _ = self.child.wait();
        unmount.take();
        remove.take();
    }
}
