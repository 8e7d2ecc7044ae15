//! The cable between hosts.

use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::host::Host;

/// Joins two hosts by a cable of their own; it ends with either.
pub(super) fn join(one: &Host, other: &Host) -> Result<()> {
    let (first, second) = (one.network(), other.network());
    ip(&[
        "link", "add", "eth0", "netns", &first, "type", "veth", "peer", "name", "eth0", "netns",
        &second,
    ])?;
    for host in [one, other] {
        let address = format!("10.77.0.{}/24", host.plan.number);
        for words in [
            vec!["ip", "address", "add", &address, "dev", "eth0"],
            vec!["ip", "link", "set", "eth0", "up"],
        ] {
            let said = host.quietly(&words)?;
            ensure!(said.ok, "{}: {}", words.join(" "), said.text);
        }
    }
    Ok(())
}

fn ip(words: &[&str]) -> Result<()> {
    let output = Command::new("ip")
        .args(words)
        .output()
        .context("cannot run ip")?;
    ensure!(
        output.status.success(),
        "ip {}: {}",
        words.join(" "),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}
