//! Guests of a user without rights: their libvirtd is the user's, and so is virtlockd, which libvirtd starts.

use anyhow::{Context, Result, ensure};

use crate::lab::Lab;
use crate::lab::guest::{Disk, Guest};
use crate::lab::host::{Host, Said};
use crate::lab::scenario::{Manager, Scenario, Setup};

pub(super) const SCENARIOS: &[Scenario] = &[Scenario {
    name: "session",
    what: "a user's own libvirtd starts a virtlockd of the user's: of two guests with one disk the second is refused",
    setup: Setup::new(Manager::None, 1),
    play,
}];

/// The user.
const USER: &str = "1000";

/// `$XDG_RUNTIME_DIR`; what else the user has is below it.
const DIR: &str = "/run/user/1000";

/// Runs a command as the user.
fn user(host: &Host, words: &[&str]) -> Result<Said> {
    let home = format!("HOME={DIR}/home");
    let runtime = format!("XDG_RUNTIME_DIR={DIR}");
    let mut all = vec!["setpriv", "--reuid", USER, "--regid", USER];
    all.extend(["--clear-groups", "env", &home, &runtime]);
    all.extend(words);
    host.attempt(&all)
}

fn virsh(host: &Host, words: &[&str]) -> Result<String> {
    let said = try_virsh(host, words)?;
    ensure!(said.ok, "`virsh {}` failed: {}", words.join(" "), said.text);
    Ok(said.text)
}

fn try_virsh(host: &Host, words: &[&str]) -> Result<Said> {
    let mut all = vec!["virsh", "--connect", "qemu:///session"];
    all.extend(words);
    user(host, &all)
}

/// The second guest must be refused, because of the disk.
fn refused(host: &Host) -> Result<()> {
    let said = try_virsh(host, &["start", "second"])?;
    ensure!(
        !said.ok,
        "a second guest has the disk that the first one has"
    );
    ensure!(
        said.text.contains("is locked"),
        "the second guest was refused, but not for the lock: {}",
        said.text
    );
    Ok(())
}

fn play(lab: &mut Lab) -> Result<()> {
    let host = lab.host();
    lab.step("A user's libvirt is told to use virtlockd");
    let script = format!(
        "mkdir -p {DIR}/home/.config/libvirt {DIR}/images && \
         echo 'lock_manager = \"lockd\"' > {DIR}/home/.config/libvirt/qemu.conf && \
         chown -R {USER}:{USER} {DIR} && chmod 700 {DIR}"
    );
    host.run(&["sh", "-c", &script])?;
    for name in ["first", "second"] {
        let disk = Disk {
            source: format!("{DIR}/images/disk.img"),
            ..Disk::image("disk", "sda")
        };
        let file = format!("/run/lab/{name}.xml");
        host.write(&file, &Guest::new(name).disk(disk).xml())?;
        let made = user(
            host,
            &["truncate", "--size=1M", &format!("{DIR}/images/disk.img")],
        )?;
        ensure!(made.ok, "no image: {}", made.text);
        virsh(host, &["define", &file])?;
    }

    lab.step("The first guest starts, and with it the user's virtlockd");
    virsh(host, &["start", "first"])?;
    let pid = lock_daemon(host)?;
    let about = host
        .read(&format!("/proc/{pid}/status"))
        .context("virtlockd does not run")?;
    ensure!(
        about.contains(&format!("\nUid:\t{USER}\t")),
        "virtlockd is not the user's: {about}"
    );

    lab.step("The second is refused, until the first has stopped");
    refused(host)?;
    virsh(host, &["destroy", "first"])?;
    virsh(host, &["start", "second"])?;
    ensure!(
        lock_daemon(host)? == pid,
        "there is another virtlockd than before"
    );
    let servers = user(
        host,
        &[
            "virt-admin",
            "--connect",
            "virtlockd:///session",
            "server-list",
        ],
    )?;
    ensure!(
        servers.ok && servers.text.contains("virtlockd"),
        "the user cannot administer virtlockd: {}",
        servers.text
    );

    lab.step("It ends when nobody has needed it for two minutes, and the computer's was not asked");
    let command = host
        .read(&format!("/proc/{pid}/cmdline"))
        .context("virtlockd has ended")?;
    ensure!(
        command.contains("--timeout=120"),
        "virtlockd was started in another way: {command}"
    );
    ensure!(
        host.read("/run/virtlockd.pid").is_none(),
        "a virtlockd of the computer's was started"
    );

    lab.step("It is killed: the next guest starts another one");
    host.inject("the user's virtlockd gets SIGKILL");
    host.run(&["kill", "-KILL", &pid.to_string()])?;
    virsh(host, &["destroy", "second"])?;
    virsh(host, &["start", "first"])?;
    ensure!(lock_daemon(host)? != pid, "no other virtlockd was started");
    refused(host)
}

fn lock_daemon(host: &Host) -> Result<u32> {
    host.read(&format!("{DIR}/libvirt/virtlockd.pid"))
        .and_then(|text| text.trim().parse().ok())
        .context("the user has no virtlockd")
}
