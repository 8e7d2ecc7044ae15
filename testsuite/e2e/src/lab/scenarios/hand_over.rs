//! virtlockd is replaced under many guests, and their locks are looked at all the time.

use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use fcntl::Kind;
use libvirt_rpc::Text;
use libvirt_rpc::blocking::{CallError, Client};
use libvirt_rpc::lock::{self, ResourceArgs};

use crate::lab::Lab;
use crate::lab::daemons::Daemon;
use crate::lab::guest::Guest;
use crate::lab::host::Host;
use crate::lab::leases::lease_name;
use crate::lab::lock_watch::{Watched, Watcher};
use crate::lab::scenario::{Manager, Scenario, Setup};

const TWO: Setup = Setup::new(Manager::Lockd, 2);

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "virtlockd-ten-guests",
        what: "virtlockd: C, ours, C, ours under ten guests; their locks are looked at and tried for each millisecond",
        setup: TWO,
        play: |lab| play(lab, 10),
    },
    Scenario {
        name: "virtlockd-fifty-guests",
        what: "the same under fifty guests",
        setup: Setup { slow: true, ..TWO },
        play: |lab| play(lab, 50),
    },
];

/// How long a hand-over may take on a computer that is busy with other things, too.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where a host's virtlockd listens.
const SOCKET: &str = "/run/libvirt/virtlockd-sock";

/// Where its locks are.
const LOCKS: &str = "/var/lib/libvirt/lockd/files";

/// Code that ends at once: `cli; hlt; jmp hlt`.
const HALT: [u8; 4] = [0xfa, 0xf4, 0xeb, 0xfd];

fn play(lab: &mut Lab, count: usize) -> Result<()> {
    let (host, other) = lab.pair();
    let installed = host.installed(Daemon::Virtlockd);
    lab.step("Guests start while the distribution's virtlockd runs");
    host.install(Daemon::Virtlockd, None)?;
    host.reexecute_virtlockd()?;
    let names: Vec<&str> = (1..=count).map(name).collect();
    let begin = Instant::now();
    for guest in &names {
        boots_to_halt(host, guest)?;
        host.define(&Guest::new(guest).image(guest))?;
        host.virsh(&["start", guest])?;
    }
    lab.teller
        .note(format!("{count} guests in {} s", begin.elapsed().as_secs()));
    for host in [host, other] {
        host.define(&Guest::new("second").image(names[0]))?;
    }

    let files = names.iter().map(|guest| {
        let lease = lease_name(host, Manager::Lockd, guest)?;
        Ok(PathBuf::from(LOCKS).join(lease))
    });
    let files = files.collect::<Result<Vec<PathBuf>>>()?;
    let seen: Vec<PathBuf> = files
        .iter()
        .map(|file| host.path(&file.display().to_string()))
        .collect();
    let virtlockd = holder(&seen[0])?;
    let looks = Watcher::looks(virtlockd, &seen)?;
    let tries = Watcher::tries(other, &files)?;
    let mut before = None;
    for program in [installed.as_deref(), None, installed.as_deref()] {
        let whose = |program: Option<_>| if program.is_some() { "ours" } else { "C" };
        let text = format!("{} to {}", whose(before), whose(program));
        lab.step(&format!("virtlockd is replaced: {text}"));
        if program != before {
            host.install(Daemon::Virtlockd, program)?;
        }
        before = program;
        let answered = hand_over(host, virtlockd)?;
        lab.teller
            .note(format!("{text} {} ms", answered.as_millis()));
        ensure!(
            host.runs_what_is_installed(Daemon::Virtlockd)?,
            "virtlockd did not execute what is installed"
        );
        all_run(host, &names)?;
        host.refused(&["start", "second"], lab.refusal_on_same_host())?;
        other.refused(&["start", "second"], lab.refusal_on_other_host())?;
    }
    for (watcher, what) in [(looks, "looked at"), (tries, "tried for")] {
        let watched = watcher.stop()?;
        held_all_the_time(&watched)?;
        lab.teller.note(format!(
            "{what} {} times (longest pause {} ms)",
            watched.times, watched.longest_pause_ms
        ));
    }

    lab.step("The guests' own connections were handed over, too");
    host.virsh(&["suspend", names[1]])?;
    lab.free(host, names[1])?;
    host.virsh(&["resume", names[1]])?;
    lab.holds(host, names[1], names[1])?;
    // Those who watched would have seen it.
    let watchers = [
        Watcher::looks(virtlockd, &seen[..1])?,
        Watcher::tries(other, &files[..1])?,
    ];
    host.kill_guest(names[0])?;
    lab.free(host, names[0])?;
    for watcher in watchers {
        let watched = watcher.stop()?;
        ensure!(
            !watched.found.is_empty(),
            "a lock was given up, and nobody saw it"
        );
    }
    other.virsh(&["start", "second"])?;
    lab.holds(other, "second", names[0])?;
    all_run(host, &names[1..])
}

/// Guests' names live as long as the lab.
fn name(number: usize) -> &'static str {
    format!("guest-{number:02}").leak()
}

/// Makes an image whose guest does nothing, so that fifty of them leave the computer something.
fn boots_to_halt(host: &Host, image: &str) -> Result<()> {
    let mut sector = [0; 512];
    sector[..HALT.len()].copy_from_slice(&HALT);
    sector[510..].copy_from_slice(&[0x55, 0xaa]);
    let path = crate::lab::guest::Disk::image(image, "sda").source;
    std::fs::write(host.path(&path), sector).with_context(|| format!("cannot write {path}"))
}

/// The process that holds a lock, as this one numbers it.
fn holder(file: &PathBuf) -> Result<i32> {
    let open = std::fs::File::open(file);
    let open = open.with_context(|| format!("cannot open {}", file.display()))?;
    let found = fcntl::record_lock::holder(open, Kind::Exclusive);
    found.with_context(|| format!("nobody holds {}", file.display()))
}

/// Sends the signal, and says after how long the next program answers a client.
fn hand_over(host: &Host, virtlockd: i32) -> Result<Duration> {
    // The process stays the same one; what the kernel told its program is another thing each time.
    let told = || std::fs::read(format!("/proc/{virtlockd}/auxv")).context("virtlockd ended");
    let before = told()?;
    host.inject("virtlockd gets SIGUSR1");
    let since = Instant::now();
    let pid = nix::unistd::Pid::from_raw(virtlockd);
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGUSR1)
        .context("cannot signal virtlockd")?;
    while told()? == before {
        ensure!(
            since.elapsed() < PATIENCE,
            "virtlockd does not execute anything"
        );
        std::thread::sleep(Duration::from_millis(1));
    }
    // Not before: the C daemon ends if it has to hand over somebody who has not registered.
    ask(host)?;
    Ok(since.elapsed())
}

/// Registers, and releases what is not held.
fn ask(host: &Host) -> Result<()> {
    let stream =
        UnixStream::connect(host.path(SOCKET)).context("virtlockd's socket is not there")?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut client = Client::new(stream, lock::PROGRAM, lock::VERSION);
    let owner = lock::Owner {
        uuid: [7; 16],
        name: Text::cut("nobody"),
        id: 1,
        // No process has this number.
        pid: 0x7fff_fffe,
    };
    let () = client.call(lock::REGISTER, &lock::RegisterArgs { owner, flags: 0 })?;
    let nothing = ResourceArgs {
        path: Text::cut(""),
        name: Text::cut("/nothing"),
        flags: 0,
    };
    match client.call::<()>(lock::RELEASE_RESOURCE, &nothing) {
        Err(CallError::Refused(why)) if why.to_string().contains("is not locked") => Ok(()),
        other => bail!("virtlockd answers {other:?}"),
    }
}

fn all_run(host: &Host, names: &[&str]) -> Result<()> {
    let list = host.virsh(&["list", "--name", "--state-running"])?;
    let missing: Vec<&str> = names
        .iter()
        .copied()
        .filter(|name| !list.lines().any(|line| line.trim() == *name))
        .collect();
    ensure!(missing.is_empty(), "{} ended", missing.join(", "));
    Ok(())
}

fn held_all_the_time(watched: &Watched) -> Result<()> {
    ensure!(watched.times > 0, "nobody looked at the locks");
    ensure!(
        watched.found.is_empty(),
        "locks were not held all the time: {}",
        watched.found.join("; ")
    );
    Ok(())
}
