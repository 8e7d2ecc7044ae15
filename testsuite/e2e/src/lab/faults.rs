//! Storage that fails on command: the file system of `testsuite/faultfs`, on each host by itself.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::host::Host;
use crate::programs::Ours;

/// Takes commands.
const SOCKET: &str = "/run/lab/faultfs.sock";

impl Host {
    /// Puts it over the directory of leases.
    pub(super) fn start_faultfs(&self, ours: &Ours) -> Result<()> {
        let program = ours.program("faultfs").context("faultfs was not built")?;
        let program = program.display().to_string();
        self.command(&program)
            .args(["/var/lib/libvirt/sanlock", "/var/lib/libvirt/below"])
            .args(["--control", SOCKET])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot start faultfs")?;
        self.write("/run/lab/faultfs", &program)?;
        self.until("storage is mounted", Duration::from_secs(30), |host| {
            Ok(host.faultfs("status")?.0)
        })
        .map(drop)
    }

    fn faultfs(&self, command: &str) -> Result<(bool, String)> {
        let program = self.read("/run/lab/faultfs").context("no faultfs here")?;
        let said = self.quietly(&[&program, "--control", SOCKET, "--send", command])?;
        Ok((said.ok, said.text))
    }

    /// Has the storage fail, hang, be late or recover: a command of `faultfs`.
    pub(crate) fn storage(&self, command: &str) -> Result<()> {
        self.inject(format!("storage: {command}"));
        let (ok, text) = self.faultfs(command)?;
        ensure!(ok, "faultfs refused `{command}`: {text}");
        Ok(())
    }
}
