//! A /run of one's own.

use std::process::Command;

use super::common::harness::{Outcome, skipped};

/// Set in a process that has its own.
const VARIABLE: &str = "WATCHDOG_TEST_NAMESPACE";

/// Runs the case once more, in a namespace where /run is empty, unless this is it already: then the caller
/// goes on.
pub fn enter() -> Result<(), Outcome> {
    if std::env::var_os(VARIABLE).is_some() {
        return Ok(());
    }
    let mut mount = vec!["--mount", "--propagation", "private"];
    if !nix::unistd::geteuid().is_root() {
        mount.extend(["--user", "--map-root-user"]);
    }
    let within = |script: &str| {
        let mut command = Command::new("unshare");
        command.args(&mount).args(["--", "sh", "-c", script]);
        command
    };
    let possible = within("mount -t tmpfs tmpfs /run").output();
    match possible {
        Ok(output) if output.status.success() => {}
        Ok(output) => {
            let why = String::from_utf8_lossy(&output.stderr).into_owned();
            return Err(skipped(format!("no mount namespace: {}", why.trim())));
        }
        Err(failed) => return Err(skipped(format!("unshare: {failed}"))),
    }
    let script = "mount -t tmpfs tmpfs /run && exec \"$0\"";
    let status = within(script)
        .arg(std::env::current_exe().unwrap())
        .env(VARIABLE, "1")
        .status()
        .unwrap();
    match status.code() {
        Some(0) => Err(Outcome::Passed),
        code => std::process::exit(code.unwrap_or(1)),
    }
}
