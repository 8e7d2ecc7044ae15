//! virt-admin, while guests run.

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::lab::Lab;
use crate::lab::guest::Guest;
use crate::lab::host::Host;
use crate::lab::scenario::{Manager, Scenario, Setup};

pub(super) const SCENARIOS: &[Scenario] = &[Scenario {
    name: "virt-admin",
    what: "administrators ask, set limits and logs, and disconnect a guest, which ends",
    setup: Setup::new(Manager::Lockd, 1),
    play,
}];

/// The next client must wait for a place: so long it is watched.
const WAITS: Duration = Duration::from_secs(3);

/// A guest that was disconnected ends within this time, on a busy computer.
const ENDED: Duration = Duration::from_secs(60);

fn admin(host: &Host, words: &[&str]) -> Result<String> {
    let mut all = vec!["virt-admin", "--connect", "virtlockd:///system"];
    all.extend(words);
    host.run(&all)
}

/// Something that an administrator asks must be answered with all of these.
fn tells(host: &Host, words: &[&str], parts: &[&str]) -> Result<()> {
    let text = admin(host, words)?;
    // Columns are as wide as this version makes them.
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    for part in parts {
        ensure!(
            text.contains(part),
            "virt-admin {} does not say \"{part}\": {text}",
            words.join(" ")
        );
    }
    Ok(())
}

fn clients(host: &Host) -> Result<Vec<String>> {
    let list = admin(host, &["client-list", "virtlockd"])?;
    let numbers = list.lines().filter_map(|line| {
        let first = line.split_whitespace().next()?;
        first.parse::<u64>().ok().map(|_| first.to_owned())
    });
    Ok(numbers.collect())
}

fn play(lab: &mut Lab) -> Result<()> {
    let host = lab.host();
    lab.step("A guest runs, and is the only client");
    host.define(&Guest::new("first").image("disk"))?;
    host.define(&Guest::new("second").image("disk"))?;
    host.define(&Guest::new("third").image("third"))?;
    host.virsh(&["start", "first"])?;
    tells(host, &["server-list"], &["virtlockd", "admin"])?;
    let [client] = clients(host)?
        .try_into()
        .map_err(|clients| anyhow::anyhow!("not one client: {clients:?}"))?;
    let info = ["client-info", "virtlockd", &client];
    let pid = host.guest_pid("first")?;
    tells(
        host,
        &info,
        &[
            "transport : unix",
            "unix_user_id : 0",
            &format!("unix_process_id: {pid}"),
        ],
    )?;

    lab.step("What is logged is changed, and where to");
    let log = "/var/log/libvirt/virtlockd-admin.log";
    admin(host, &["daemon-log-filters", "1:locking 3:rpc"])?;
    admin(host, &["daemon-log-outputs", &format!("1:file:{log}")])?;
    tells(host, &["daemon-log-outputs"], &[log])?;
    host.refused(&["start", "second"], lab.refusal_on_same_host())?;
    ensure!(
        host.read(log)
            .is_some_and(|text| text.contains("is locked")),
        "the refusal is not in the new log"
    );

    lab.step("There is no room for another client: the next guest waits for it");
    let limit = |clients| {
        let all = ["--max-clients", clients, "--max-unauth-clients", clients];
        let words = [&["server-clients-set", "virtlockd"][..], &all[..]].concat();
        admin(host, &words)
    };
    limit("1")?;
    tells(
        host,
        &["server-clients-info", "virtlockd"],
        &["nclients_max : 1", "nclients : 1"],
    )?;
    let starter = host.clone();
    let start = std::thread::spawn(move || starter.virsh(&["start", "third"]));
    std::thread::sleep(WAITS);
    ensure!(!start.is_finished(), "there was room for another client");
    host.expect_state("first", "running")?;

    lab.step("The limit is raised, and it starts");
    limit("20")?;
    start.join().ok().context("the guest's start panicked")??;
    lab.holds(host, "third", "third")?;
    lab.holds(host, "first", "disk")?;

    lab.step("The first guest is disconnected: it ends, and its lock is free");
    host.inject(format!("virt-admin disconnects client {client}"));
    admin(host, &["client-disconnect", "virtlockd", &client])?;
    host.until("the guest's QEMU is gone", ENDED, |host| {
        Ok(!host.is_alive(pid))
    })?;
    host.until_state("first", "shut off", ENDED)?;
    lab.free(host, "disk")?;
    host.virsh(&["start", "second"])?;
    lab.holds(host, "second", "disk")?;
    host.expect_state("third", "running")?;
    lab.holds(host, "third", "third")
}
