//! Labs that are ended with SIGKILL in the middle: nothing of them may remain but files, which the next run removes.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::counts::Counts;
use super::{Context, Outcome};
use crate::cleanup::{Action, later, temporary_dir};
use crate::style;

/// Which of the lab's programs is killed. The others learn of it from the kernel.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Victim {
    Xtask,
    E2e,
}

/// Scenarios with all that a lab can leave behind: hosts, guests, a network, and either a loop device or a file
/// system in user space.
const CASES: &[(Victim, &str)] = &[
    (Victim::Xtask, "explicit-lease"),
    (Victim::E2e, "lock-failure-pause"),
];

/// How long a guest may take to run: on a busy computer, and the programs may have to be built before.
const START: Duration = Duration::from_secs(900);

/// How long the kernel may take to end everything.
const END: Duration = Duration::from_secs(90);

const ASK_EVERY: Duration = Duration::from_millis(100);

pub(crate) fn run(_: &Context) -> Result<Outcome> {
    let (dir, _remove) = temporary_dir(&std::env::temp_dir(), "leasehold-killed", false)?;
    let mut counts = Counts::default();
    for (victim, scenario) in CASES {
        let name = match victim {
            Victim::Xtask => "cargo xtask e2e",
            Victim::E2e => "the program that plays it",
        };
        println!("playing {scenario} until a guest runs, then killing {name}");
        match play(&dir, *victim, scenario) {
            Ok(Played::Killed) => {
                println!("{} nothing remains", style::good("✓"));
                counts.add(Counts::success());
            }
            Ok(Played::Skipped(why)) => return Ok(Outcome::Skipped(why)),
            Err(error) => {
                println!("{} {error:#}", style::bad("✗"));
                counts.add(Counts::failure());
            }
        }
    }
    Ok(Outcome::Ran(counts))
}

enum Played {
    Killed,
    Skipped(String),
}

fn play(dir: &Path, victim: Victim, scenario: &str) -> Result<Played> {
    let output = dir.join("output");
    let log = File::create(&output).context("cannot create a file for the output")?;
    let before = scratch_dirs(dir)?;
    let mut lab = Command::new("/proc/self/exe")
        .args(["e2e", "--no-install", "--kind", "namespaces"])
        .args(["--programs", "original", "--only", scenario, "--report"])
        .arg(dir.join("report"))
        // All its files are in here, so that nobody else's run is looked at.
        .env("TMPDIR", dir)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .process_group(0)
        .spawn()
        .context("cannot start the scenario")?;
    let _end = later(Action::KillGroup(lab.id()));
    let Some(processes) = until_guest_runs(&mut lab)? else {
        let said = fs::read_to_string(&output).unwrap_or_default();
        return match said.lines().find_map(|line| line.strip_prefix("skipped ")) {
            Some(why) => Ok(Played::Skipped(why.to_owned())),
            None => bail!("the scenario ended before a guest ran: {said}"),
        };
    };
    let left = before.iter().find(|dir| dir.exists());
    let target = match victim {
        Victim::Xtask => lab.id(),
        Victim::E2e => {
            let mut own = processes.iter().filter(|one| one.parent == lab.id());
            own.next().context("nobody plays the scenario")?.id
        }
    };
    let all = Everything::of(&processes, dir);
    ensure!(
        !all.namespaces.is_empty() && !all.remains().is_empty(),
        "nothing was found of a lab that runs: this test would find nothing afterwards either"
    );
    kill(Pid::from_raw(i32::try_from(target)?), Signal::SIGKILL).context("cannot kill it")?;
    lab.wait().context("cannot wait for its end")?;
    let end = Instant::now() + END;
    loop {
        let remains = all.remains();
        if remains.is_empty() {
            break;
        }
        ensure!(
            Instant::now() < end,
            "{} s later there still is: {}",
            END.as_secs(),
            remains.join("; ")
        );
        sleep(ASK_EVERY);
    }
    if let Some(left) = left {
        bail!(
            "files of a run that was killed before were not removed: {}",
            left.display()
        );
    }
    Ok(Played::Killed)
}

/// The directories of runs.
fn scratch_dirs(dir: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(dir).context("cannot list a directory of our own")?;
    let paths = entries.flatten().map(|entry| entry.path());
    Ok(paths
        .filter(|path| path.to_string_lossy().contains("leasehold-e2e."))
        .collect())
}

/// All processes of the lab when a guest runs in it; `None` if it ended before.
fn until_guest_runs(lab: &mut Child) -> Result<Option<Vec<Process>>> {
    let end = Instant::now() + START;
    while lab
        .try_wait()
        .context("cannot wait for the scenario")?
        .is_none()
    {
        let processes = below(lab.id());
        // libvirt also runs QEMU without a guest, to learn what it can.
        let guest = |one: &Process| {
            let words = fs::read(format!("/proc/{}/cmdline", one.id)).unwrap_or_default();
            let words = String::from_utf8_lossy(&words).into_owned();
            words.contains("qemu-system") && words.contains("guest=")
        };
        if processes.iter().any(guest) {
            return Ok(Some(processes));
        }
        ensure!(
            Instant::now() < end,
            "no guest runs after {} s",
            START.as_secs()
        );
        sleep(ASK_EVERY);
    }
    Ok(None)
}

/// A process; its number alone may be another one's later.
#[derive(Clone)]
struct Process {
    id: u32,
    parent: u32,
    started: u64,
}

impl Process {
    fn read(id: u32) -> Option<Process> {
        let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
        // The name in brackets may contain anything.
        let words: Vec<&str> = stat.rsplit_once(") ")?.1.split(' ').collect();
        // It has ended; in a container, perhaps nobody ever asks how.
        if matches!(*words.first()?, "Z" | "X") {
            return None;
        }
        Some(Process {
            id,
            parent: words.get(1)?.parse().ok()?,
            started: words.get(19)?.parse().ok()?,
        })
    }

    fn all() -> Vec<Process> {
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        entries
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .filter_map(Process::read)
            .collect()
    }

    /// Its parent may be another one meanwhile.
    fn is(&self, other: &Process) -> bool {
        (self.id, self.started) == (other.id, other.started)
    }

    /// The namespace that it is in with all its processes to come.
    fn namespace(&self) -> Option<PathBuf> {
        fs::read_link(self.namespace_file()).ok()
    }

    fn namespace_file(&self) -> String {
        format!("/proc/{}/ns/pid", self.id)
    }
}

/// A process and all below it.
fn below(top: u32) -> Vec<Process> {
    let all = Process::all();
    let mut found: Vec<Process> = all.iter().filter(|one| one.id == top).cloned().collect();
    let mut next = 0;
    while let Some(parent) = found.get(next).map(|one| one.id) {
        found.extend(all.iter().filter(|one| one.parent == parent).cloned());
        next += 1;
    }
    found
}

/// All by which a lab could be told.
struct Everything<'a> {
    processes: &'a [Process],
    /// While they are open, no other lab's namespaces get their numbers.
    namespaces: BTreeMap<PathBuf, File>,
    dir: &'a Path,
}

impl<'a> Everything<'a> {
    fn of(processes: &'a [Process], dir: &'a Path) -> Everything<'a> {
        let ours = fs::read_link("/proc/self/ns/pid").ok();
        let mut namespaces = BTreeMap::new();
        for process in processes {
            // Some end while we look.
            let (name, file) = (process.namespace(), File::open(process.namespace_file()));
            if let (Some(name), Ok(file)) = (name, file) {
                if Some(&name) != ours.as_ref() {
                    namespaces.insert(name, file);
                }
            }
        }
        Everything {
            processes,
            namespaces,
            dir,
        }
    }

    /// What of it is there.
    fn remains(&self) -> Vec<String> {
        let mut found = Vec::new();
        let dir = self.dir.display().to_string();
        for process in Process::all() {
            let id = process.id;
            // Also those that were started after we looked.
            let namespace = process.namespace();
            let inside = namespace.is_some_and(|name| self.namespaces.contains_key(&name));
            if inside || self.processes.iter().any(|one| one.is(&process)) {
                let name = fs::read_to_string(format!("/proc/{id}/comm")).unwrap_or_default();
                found.push(format!("process {id} ({})", name.trim()));
            }
            let mounts = fs::read_to_string(format!("/proc/{id}/mountinfo")).unwrap_or_default();
            if let Some(mount) = mounts.lines().find(|line| line.contains(&dir)) {
                found.push(format!("a mount that process {id} sees: {mount}"));
            }
        }
        for device in fs::read_dir("/sys/block").into_iter().flatten().flatten() {
            let file = fs::read_to_string(device.path().join("loop/backing_file"));
            if file.is_ok_and(|file| file.contains(&dir)) {
                found.push(device.file_name().to_string_lossy().into_owned());
            }
        }
        found
    }
}
