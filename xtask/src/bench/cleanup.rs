//! The removal of leases that nobody holds: the original's script and our program, each with each lease daemon.
//!
//! Both get the same number of files, made by the daemon in full as libvirt has them made, one in fifty of them held.
//! Afterwards the held ones are looked for, and for the others: a program that is fast and wrong is told as such.
//!
//! Each removal is an acquire, which reads the beginning of a free lease and then twice the whole lease, and writes three
//! sectors, and then the end of the file. Just this with just these files is the floor: no program that takes each
//! lease before it removes it is faster.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use sanlock_proto::client::Registered;
use sanlock_proto::flags::{AcquireFlags, AddFlags, WriteFlags};
use sanlock_proto::{Client, Disk, DiskPath, Lockspace, Name, Resource};

use super::Session;
use super::figures::{Figure, Target, Unit};
use super::hosts::{Player, start};
use super::lane::Lane as _;
use super::raw::RawLane;
use super::space::at_once;
use crate::program::{Program, find};
use crate::workspace::build_release;

const LOCKSPACE: &str = "__LIBVIRT__DISKS__";
/// One in so many leases is held.
const ONE_HELD_IN: usize = 50;
/// Seconds.
const IO_TIMEOUT: u32 = 1;
/// Connections that make the files.
const MAKERS: usize = 8;

/// Threads that do just that; more are no faster.
const BARE_REMOVERS: usize = 8;

/// How fast the whole is to be: our program on our daemon, beside the script on the original.
const WANTED: f64 = 0.05;

/// Who removes.
#[derive(Clone, Copy)]
enum Remover<'a> {
    Ours(&'a Path),
    Script(&'a Path),
}

pub(super) fn measure(session: &Session) -> Result<Vec<Figure>> {
    let ours = build_release("virt-sanlock-cleanup")?;
    let script = script().context("the original script is not installed")?;
    let dir = session.dir.join("cleanup");
    let players = start(&session.contestants, &dir)?;
    let count = session.cleanup_files;
    let (mut taken, mut floor) = (Vec::new(), None);
    for player in &players {
        let leases = Leases::new(&dir, player)?;
        let program = contestant(session, player)?;
        if floor.is_none() {
            let held = leases.make(count)?;
            floor = Some(leases.remove_bare(count)?);
            drop(held);
        }
        let mut times = Vec::new();
        for remover in [Remover::Ours(&ours), Remover::Script(&script)] {
            let held = leases.make(count)?;
            let seconds = leases.time(remover, program)?;
            eprintln!("  {seconds:.2} s");
            times.push(seconds);
            leases.check(count)?;
            drop(held);
        }
        taken.push(times);
    }
    figures(count, &taken, floor)
}

fn figures(count: usize, taken: &[Vec<f64>], floor: Option<f64>) -> Result<Vec<Figure>> {
    let what = format!("cleanup of {count} leases, {} held", held_of(count));
    let name = |daemon: &str| format!("{what}: program and script with {daemon} daemon");
    let (with_ours, with_original) = match taken {
        [ours, original] => (ours, original),
        [ours] => {
            let alone = Figure::new(&name("our"), Unit::Seconds, ours.clone());
            return Ok(vec![alone.floor(floor)]);
        }
        _ => bail!("there is no daemon to measure"),
    };
    let (Some(all_ours), Some(all_original)) = (with_ours.first(), with_original.get(1)) else {
        bail!("nothing was measured");
    };
    let both = vec![*all_ours, *all_original];
    Ok(vec![
        Figure::new(
            &format!("{what}: our program and daemon, the original's"),
            Unit::Seconds,
            both,
        )
        .floor(floor)
        .target(Target::RatioAtMost(WANTED)),
        Figure::new(&name("our"), Unit::Seconds, with_ours.clone()).floor(floor),
        Figure::new(&name("the original"), Unit::Seconds, with_original.clone()).floor(floor),
    ])
}

/// The script, not what of ours may have been installed under its name.
fn script() -> Option<PathBuf> {
    let found = find("virt-sanlock-cleanup")?;
    let text = std::fs::read(&found).ok()?;
    text.starts_with(b"#!").then_some(found)
}

fn contestant<'a>(session: &'a Session, player: &Player) -> Result<&'a Program> {
    session
        .contestants
        .iter()
        .find(|one| one.label == player.label)
        .map(|one| &one.program)
        .context("a daemon of nobody")
}

fn held_of(count: usize) -> usize {
    count.div_ceil(ONE_HELD_IN)
}

fn file_name(index: usize) -> String {
    format!("{index:032x}")
}

/// A daemon's directory of leases.
struct Leases<'a> {
    dir: PathBuf,
    player: &'a Player,
}

impl<'a> Leases<'a> {
    /// Makes the directory and joins its lockspace.
    fn new(parent: &Path, player: &'a Player) -> Result<Self> {
        let dir = parent.join(format!("leases-{}", player.label));
        std::fs::create_dir(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
        let leases = Self { dir, player };
        let file = leases.dir.join(LOCKSPACE);
        std::fs::File::create(&file).context("cannot create the lockspace's file")?;
        let client = leases.client();
        let lockspace = Lockspace {
            host_id: player.host_id,
            disk: disk(&file)?,
            ..Lockspace::named(Name::truncated(LOCKSPACE.as_bytes()))
        };
        client
            .write_lockspace(&lockspace, 0, WriteFlags::NONE, IO_TIMEOUT)
            .context("cannot format the lockspace")?;
        client
            .add_lockspace(&lockspace, AddFlags::NONE, IO_TIMEOUT)
            .context("cannot join the lockspace")?;
        Ok(leases)
    }

    fn client(&self) -> Client {
        self.player.host.client()
    }

    fn resource(&self, index: usize) -> Result<Resource> {
        let name = file_name(index);
        Ok(Resource {
            lockspace: Name::truncated(LOCKSPACE.as_bytes()),
            name: Name::truncated(name.as_bytes()),
            disks: vec![disk(&self.dir.join(name))?],
            ..Resource::default()
        })
    }

    /// Makes so many leases where there is none yet, and takes some, which are held as long as the connections live.
    fn make(&self, count: usize) -> Result<Vec<Registered>> {
        eprintln!("  {count} leases are made, {} daemon", self.player.label);
        let next = AtomicUsize::new(0);
        at_once(&[(); MAKERS], |()| {
            let client = self.client();
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                if index >= count {
                    return Ok(());
                }
                let resource = self.resource(index)?;
                let file = self.dir.join(file_name(index));
                if file.exists() {
                    continue;
                }
                std::fs::File::create(file).context("cannot create a lease file")?;
                client
                    .write_resource(&resource, 0, 0, WriteFlags::NONE)
                    .context("cannot format a lease")?;
            }
        })?;
        let mut held = Vec::new();
        for index in held_indices(count) {
            let mut connection = self.client().register().context("cannot register")?;
            connection
                .acquire(AcquireFlags::NONE, &[self.resource(index)?], None)
                .context("cannot acquire a lease")?;
            held.push(connection);
        }
        Ok(held)
    }

    /// Seconds that it takes with no daemon, and without what makes it safe: the input and output of each acquire, and
    /// the end of the file.
    fn remove_bare(&self, count: usize) -> Result<f64> {
        // Where each thread begins; made here, so that it takes none of the time.
        let none = self.dir.with_file_name("no-lease");
        RawLane::new(&none, 0, false)?;
        let next = AtomicUsize::new(0);
        let begin = Instant::now();
        at_once(&[(); BARE_REMOVERS], |()| {
            let mut lane = RawLane::new(&none, 0, false)?;
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                if index >= count {
                    return Ok(());
                }
                if index % ONE_HELD_IN != 0 {
                    let path = self.dir.join(file_name(index));
                    lane.move_to(&path)?;
                    lane.acquire()?;
                    std::fs::remove_file(&path).context("cannot remove a lease file")?;
                }
            }
        })?;
        let seconds = begin.elapsed().as_secs_f64();
        eprintln!("  {seconds:.2} s for bare input and output");
        Ok(seconds)
    }

    /// Seconds that the removal takes.
    fn time(&self, remover: Remover<'_>, program: &Program) -> Result<f64> {
        let socket_dir = self.player.host.run_dir();
        let mut command = match remover {
            Remover::Ours(path) => {
                let mut command = guard::command(path);
                command.arg("--directory").arg(&self.dir);
                command.args(["--config", "/nonexistent"]);
                command
            }
            Remover::Script(path) => {
                let mut command = guard::command(path);
                command.env("PATH", self.tools(program)?);
                command
            }
        };
        command
            .env("SANLOCK_RUN_DIR", socket_dir)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let label = self.player.label;
        match remover {
            Remover::Ours(_) => eprintln!("  our program, {label} daemon"),
            Remover::Script(_) => eprintln!("  the script, {label} daemon"),
        }
        let begin = Instant::now();
        let status = command.status().context("cannot run what removes")?;
        let seconds = begin.elapsed().as_secs_f64();
        ensure!(status.success(), "what removes leases ended with {status}");
        Ok(seconds)
    }

    /// A PATH in which `sanlock` is the daemon's own, and `augtool`, of which the script asks where the leases are, an
    /// answer at once.
    fn tools(&self, program: &Program) -> Result<String> {
        let dir = self
            .dir
            .with_file_name(format!("tools-{}", self.player.label));
        if !dir.exists() {
            std::fs::create_dir(&dir).context("cannot create a directory of tools")?;
            std::os::unix::fs::symlink(&program.path, dir.join("sanlock"))
                .context("cannot make a link")?;
            let augtool = dir.join("augtool");
            let answer = format!("#!/bin/sh\necho '/files/x = {}'\n", self.dir.display());
            std::fs::write(&augtool, answer).context("cannot write augtool")?;
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
            std::fs::set_permissions(&augtool, mode).context("cannot write augtool")?;
        }
        Ok(format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", dir.display()))
    }

    /// The held leases are there; how many others are is told, as a slow disk makes some requests fail.
    fn check(&self, count: usize) -> Result<()> {
        let mut found: Vec<String> = std::fs::read_dir(&self.dir)
            .context("cannot list the leases")?
            .flatten()
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .filter(|name| name != LOCKSPACE)
            .collect();
        found.sort();
        let gone = held_indices(count)
            .map(file_name)
            .filter(|name| found.binary_search(name).is_err())
            .count();
        ensure!(gone == 0, "{gone} leases were removed that are held");
        match found.len().saturating_sub(held_of(count)) {
            0 => {}
            left => eprintln!("  {left} leases that nobody holds were left"),
        }
        Ok(())
    }
}

fn held_indices(count: usize) -> impl Iterator<Item = usize> {
    (0..count).step_by(ONE_HELD_IN)
}

fn disk(path: &Path) -> Result<Disk> {
    let bytes = path.as_os_str().as_encoded_bytes();
    let path = DiskPath::from_bytes(bytes).context("the path of a lease is too long")?;
    Ok(Disk { path, offset: 0 })
}
