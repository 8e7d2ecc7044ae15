//! The first process of a host: makes the host's files, then waits for the ends of processes.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::errno::Errno;
use nix::sys::wait::wait;

use super::{enclosure, mounts};

/// What it prints when the host is up.
pub(super) const READY: &str = "ready";

/// What a host sees of the computer's devices: nothing that could start a virtual machine in hardware, and no
/// watchdog.
const DEVICES: &[&str] = &["null", "zero", "full", "random", "urandom", "tty", "fuse"];

/// Debian's libvirt runs guests as this user, even if it is told another one.
const PASSWD: &str = "libvirt-qemu:x:64055:64055::/var/lib/libvirt:/usr/sbin/nologin\n";
const GROUPS: &[&str] = &["libvirt-qemu:x:64055:\n", "kvm:x:64056:\n"];

/// `e2e host`
#[derive(clap::Args)]
pub(crate) struct Options {
    /// The host's name
    name: String,
    /// Its number
    number: u8,
    /// Where its files are; they outlive it
    dir: PathBuf,
    /// Where its logs go
    log: PathBuf,
    /// What it shares with others or has in another's place, as FROM:AT
    #[arg(long)]
    bind: Vec<String>,
    /// More devices of the computer
    #[arg(long)]
    device: Vec<PathBuf>,
    /// Directories in which it may change what it sees
    #[arg(long)]
    writable: Vec<PathBuf>,
}

/// Is the host until it is killed.
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    if !enclosure::is_inside() {
        return enclosure::enter_again();
    }
    enclosure::settle()?;
    files(options)?;
    devices(options)?;
    // After /var and /etc.
    for bind in &options.bind {
        let (from, at) = bind.split_once(':').context("--bind wants FROM:AT")?;
        mounts::bind(Path::new(from), Path::new(at))?;
    }
    nix::unistd::sethostname(&options.name).context("cannot set the host's name")?;
    let status = Command::new("ip")
        .args(["link", "set", "lo", "up"])
        .status()
        .context("cannot run ip")?;
    ensure!(status.success(), "cannot bring the loopback interface up");
    println!("{READY}");
    io::stdout().flush()?;
    loop {
        if wait() == Err(Errno::ECHILD) {
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// `/etc`, `/var` and `/run`: the computer's, without its guests and settings of libvirt and sanlock.
fn files(options: &Options) -> Result<()> {
    for (place, layers) in [("/etc", "etc"), ("/var", "var")] {
        mounts::overlay(Path::new(place), &options.dir.join(layers))?;
    }
    for (place, number) in options.writable.iter().zip(0_u8..) {
        mounts::overlay(place, &options.dir.join(format!("writable-{number}")))?;
    }
    mounts::tmpfs(Path::new("/run"), "0755")?;
    for place in [
        "/etc/libvirt",
        "/etc/sanlock",
        "/var/lib/libvirt",
        "/var/cache/libvirt",
    ] {
        let own = options.dir.join(place.replace('/', "_"));
        fs::create_dir_all(&own)?;
        mounts::bind(&own, Path::new(place))?;
    }
    mounts::bind(&options.log, Path::new("/var/log/libvirt"))?;
    for dir in [
        "/run/sanlock",
        "/run/lab",
        "/run/lock",
        "/var/lib/libvirt/images",
        "/var/lib/libvirt/sanlock",
    ] {
        fs::create_dir_all(dir).with_context(|| format!("cannot create {dir}"))?;
    }
    fs::write("/run/lab/emulator", EMULATOR)?;
    fs::set_permissions("/run/lab/emulator", fs::Permissions::from_mode(0o755))?;
    identity(options).context("cannot give the host an identity")
}

/// QEMU locks images by itself, and would refuse a second guest before a lock manager is asked.
const EMULATOR: &str = r#"#!/bin/sh
for argument; do
    shift
    case $argument in
    '{"driver":"file",'* | '{"driver":"host_device",'*)
        argument="{\"locking\":\"off\",${argument#?}"
        ;;
    esac
    set -- "$@" "$argument"
done
exec /usr/bin/qemu-system-x86_64 "$@"
"#;

fn identity(options: &Options) -> io::Result<()> {
    let number = options.number;
    // What is there may be a link to somewhere.
    let _ = fs::remove_file("/etc/machine-id");
    fs::write("/etc/machine-id", format!("{number:032x}\n"))?;
    let _ = fs::remove_file("/etc/hosts");
    fs::write("/etc/hosts", super::host::HOSTS_FILE)?;
    add("/etc/passwd", PASSWD)?;
    for group in GROUPS {
        add("/etc/group", group)?;
    }
    Ok(())
}

/// Adds an account, if there is none of this name.
fn add(file: &str, line: &str) -> io::Result<()> {
    let there = fs::read_to_string(file)?;
    let name = line.split(':').next().unwrap_or_default();
    if there
        .lines()
        .any(|known| known.split(':').next() == Some(name))
    {
        return Ok(());
    }
    OpenOptions::new()
        .append(true)
        .open(file)?
        .write_all(line.as_bytes())
}

fn devices(options: &Options) -> Result<()> {
    let new = options.dir.join("dev");
    mounts::tmpfs(&new, "0755")?;
    let names = DEVICES.iter().map(|name| Path::new("/dev").join(name));
    for device in names.chain(options.device.iter().cloned()) {
        let name = device.file_name().context("a device without a name")?;
        if device.exists() {
            mounts::bind(&device, &new.join(name))?;
        }
    }
    mounts::devpts(&new.join("pts"))?;
    mounts::tmpfs(&new.join("shm"), "1777")?;
    let links = [
        ("pts/ptmx", "ptmx"),
        ("/proc/self/fd", "fd"),
        ("/proc/self/fd/0", "stdin"),
        ("/proc/self/fd/1", "stdout"),
        ("/proc/self/fd/2", "stderr"),
    ];
    for (to, name) in links {
        symlink(to, new.join(name)).with_context(|| format!("cannot create /dev/{name}"))?;
    }
    mounts::move_over(&new, Path::new("/dev"))
}
