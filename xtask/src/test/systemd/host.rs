//! A systemd of our own: the first process of its namespaces, with our programs and units over what is installed here.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::cleanup::{Action, Undo, later};
use crate::workspace;

/// Longer than anything takes on a computer that is busy with other things.
const PATIENCE: Duration = Duration::from_secs(60);

const BOOT: &str = include_str!("boot.sh");

/// The name of its control group.
const GROUP: &str = "leasehold-units";

/// Runs a script in namespaces. In its own group before they are made, so that this is all that systemd sees.
const ENTER: &str = r#"echo $$ > "$0/cgroup.procs" || exit; exec unshare --mount --pid --fork --kill-child --ipc --uts --net \
    --cgroup --propagation private sh "$@""#;

/// The running host; it ends when dropped.
pub(super) struct Host {
    child: Child,
    /// systemd's, as this computer sees it.
    first: u32,
    shared: PathBuf,
    group: PathBuf,
    _ends: Undo,
    _removed: Undo,
}

impl Host {
    /// Starts one with these programs.
    pub(super) fn start(programs: &[PathBuf]) -> Result<Host> {
        // Not where there may be no direct I/O, as in /tmp.
        let dir = workspace::target().join(format!("{GROUP}-{}", std::process::id()));
        fs::create_dir(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
        let removed = later(Action::RemoveDir(dir.clone()));
        let (root, shared) = (dir.join("root"), dir.join("shared"));
        fs::create_dir(&root)?;
        furnish(&shared, programs)?;
        let group = control_group()?;
        let script = dir.join("boot.sh");
        fs::write(&script, BOOT)?;
        let log = File::create(dir.join("log"))?;
        let mut child = guard::command(Path::new("/bin/sh"))
            .args(["-c", ENTER])
            .arg(&group)
            .args([&script, &root, &shared])
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("cannot start a systemd")?;
        let ends = later(Action::KillGroup(child.id()));
        let begin = Instant::now();
        let first = loop {
            let ended = child.try_wait()?;
            if ended.is_some() || begin.elapsed() > PATIENCE {
                let said = fs::read_to_string(dir.join("log")).unwrap_or_default();
                bail!("systemd does not start: {}", said.trim());
            }
            if let Some(first) = first_process(child.id()) {
                break first;
            }
            std::thread::sleep(Duration::from_millis(50));
        };
        let host = Host {
            child,
            first,
            shared,
            group,
            _ends: ends,
            _removed: removed,
        };
        host.until("systemd has started", || {
            host.systemctl(&["is-active", "basic.target"]).is_ok()
        })?;
        Ok(host)
    }

    /// A directory that is `/shared` in the host.
    pub(super) fn shared(&self) -> &Path {
        &self.shared
    }

    /// Runs a command in the host, which must succeed; what it said.
    pub(super) fn run(&self, command: &[&str]) -> Result<String> {
        let output = self.output(command)?;
        let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        ensure!(
            output.status.success(),
            "`{}` ended with {}: {} {}",
            command.join(" "),
            output.status,
            said(&output.stdout),
            said(&output.stderr)
        );
        Ok(said(&output.stdout))
    }

    fn output(&self, command: &[&str]) -> Result<Output> {
        let mut enter = Command::new("nsenter");
        enter
            .args(["--target", &self.first.to_string()])
            .args([
                "--mount", "--pid", "--ipc", "--uts", "--net", "--root", "--wd",
            ])
            .args(["timeout", "60"])
            .args(command);
        enter
            .stdin(Stdio::null())
            .output()
            .context("cannot run nsenter")
    }

    pub(super) fn systemctl(&self, arguments: &[&str]) -> Result<String> {
        self.run(&[&["systemctl", "--no-pager"], arguments].concat())
    }

    /// A property of a unit.
    pub(super) fn property(&self, unit: &str, name: &str) -> Result<String> {
        self.systemctl(&["show", "--value", "-p", name, unit])
    }

    /// Waits until something is so.
    pub(super) fn until(&self, what: &str, is_so: impl Fn() -> bool) -> Result<()> {
        let begin = Instant::now();
        while !is_so() {
            ensure!(
                begin.elapsed() < PATIENCE,
                "not within {} s: {what}",
                PATIENCE.as_secs()
            );
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }

    /// Whether any process has the watchdog's device open.
    pub(super) fn device_is_open(&self) -> Result<bool> {
        let status = Command::new("flock")
            .arg("--nonblock")
            .arg(self.shared.join("watchdog0"))
            .arg("true")
            .status()
            .context("cannot run flock")?;
        Ok(!status.success())
    }

    /// What was done to the watchdog's device, without the times.
    pub(super) fn device(&self) -> Vec<String> {
        let log = fs::read_to_string(self.shared.join("watchdog.log")).unwrap_or_default();
        log.lines()
            .filter_map(|line| line.split(' ').nth(1))
            .map(str::to_owned)
            .collect()
    }

    /// Whether systemd has ended, and with it the host.
    pub(super) fn has_ended(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_some())
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // The kernel ends all others with the first.
        let _ = self.child.kill();
        let _ = self.child.wait();
        remove_group(&self.group);
    }
}

/// What both sides see.
fn furnish(shared: &Path, programs: &[PathBuf]) -> Result<()> {
    for dir in ["", "units", "programs"] {
        let dir = shared.join(dir);
        fs::create_dir(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
    }
    for program in programs {
        let name = program.file_name().context("a program without a name")?;
        fs::copy(program, shared.join("programs").join(name))?;
    }
    for unit in super::units()? {
        let name = unit.file_name().context("a unit without a name")?;
        fs::copy(&unit, shared.join("units").join(name))?;
    }
    fs::write(shared.join("watchdog0"), "")?;
    fs::write(
        shared.join("machine-id"),
        format!("{:032x}\n", std::process::id()),
    )?;
    workspace::compile_library(
        "bins/wdmd/tests/c/watchdog.c",
        &shared.join("device.so"),
        &["-ldl"],
    )
}

/// An empty control group below the one in which we are.
fn control_group() -> Result<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts")?;
    let hierarchy = mounts.lines().find_map(|line| {
        let mut fields = line.split(' ');
        let (_, place, kind) = (fields.next()?, fields.next()?, fields.next()?);
        (kind == "cgroup2").then(|| place.to_owned())
    });
    let hierarchy = hierarchy.context("no control groups of the second version are mounted")?;
    let ours = fs::read_to_string("/proc/self/cgroup")?;
    let ours = ours.lines().find_map(|line| line.strip_prefix("0::/"));
    let group = Path::new(&hierarchy)
        .join(ours.unwrap_or_default())
        .join(format!("{GROUP}-{}", std::process::id()));
    remove_group(&group);
    fs::create_dir(&group).with_context(|| format!("cannot create {}", group.display()))?;
    Ok(group)
}

/// Why no host can be made here, if it is not allowed, as in a container that has no rights of its own.
pub(super) fn forbidden() -> Option<String> {
    let refused = |error: &anyhow::Error| {
        error.downcast_ref::<io::Error>().is_some_and(|error| {
            matches!(
                error.kind(),
                io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem
            )
        })
    };
    let group = match control_group() {
        Ok(group) => group,
        // Other mistakes are those of the step.
        Err(error) => return refused(&error).then(|| format!("{error:#}")),
    };
    let entered = Command::new("/bin/sh")
        .args(["-c", ENTER])
        .arg(&group)
        .arg("/dev/null")
        .stdin(Stdio::null())
        .output();
    remove_group(&group);
    let output = entered.ok().filter(|output| !output.status.success())?;
    let said = String::from_utf8_lossy(&output.stderr);
    ["not permitted", "denied", "Read-only"]
        .iter()
        .any(|word| said.contains(word))
        .then(|| {
            format!(
                "no namespaces with a control group may be made: {}",
                said.trim()
            )
        })
}

/// With those in it, once all processes have left.
fn remove_group(group: &Path) {
    for entry in fs::read_dir(group).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            remove_group(&entry.path());
        }
    }
    for _ in 0..50 {
        if !group.is_dir() || fs::remove_dir(group).is_ok() {
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The only child of unshare.
fn first_process(unshare: u32) -> Option<u32> {
    let children = format!("/proc/{unshare}/task/{unshare}/children");
    let first: u32 = fs::read_to_string(children).ok()?.trim().parse().ok()?;
    let name = fs::read_to_string(format!("/proc/{first}/comm")).ok()?;
    (name.trim_end() == "systemd").then_some(first)
}
