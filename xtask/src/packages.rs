//! The distribution's packages that the tests use.

use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use nix::fcntl::{Flock, FlockArg};

use crate::cleanup::{Action, Undo, later};
use crate::program::{Program, find};
use crate::style;

/// Who needs a package.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// `cargo xtask test`
    Test,
    /// `cargo xtask e2e`, and so `cargo xtask test` as well
    E2e,
}

/// Something that a package brings.
pub(crate) struct Need {
    purpose: Purpose,
    /// What it is for.
    why: &'static str,
    debian: &'static str,
    fedora: &'static str,
    present: fn() -> bool,
}

const NEEDS: &[Need] = &[
    Need {
        purpose: Purpose::Test,
        why: "the original lease daemon, which ours is compared with",
        debian: "sanlock",
        fedora: "sanlock",
        present: || Program::original().is_some(),
    },
    Need {
        purpose: Purpose::Test,
        why: "its client library's headers, for the C programs that test ours",
        debian: "libsanlock-dev",
        fedora: "sanlock-devel",
        present: || Path::new("/usr/include/sanlock.h").is_file(),
    },
    Need {
        purpose: Purpose::Test,
        why: "its Python module, for the Python programs that test ours",
        debian: "python3-sanlock",
        fedora: "python3-sanlock",
        present: || python(&["-c", "import sanlock"]),
    },
    Need {
        purpose: Purpose::Test,
        why: "unpacks upstream's sources, whose tests are run",
        debian: "dpkg-dev",
        fedora: "dpkg-dev",
        // Only apt-get brings them.
        present: || find("apt-get").is_none() || find("dpkg-source").is_some(),
    },
    Need {
        purpose: Purpose::Test,
        why: "makes the Python in which upstream's tests run",
        debian: "python3-venv",
        fedora: "python3-pip",
        present: || python(&["-c", "import venv, ensurepip"]),
    },
    Need {
        purpose: Purpose::Test,
        why: "with which upstream's tests make their disks",
        debian: "sudo udev",
        fedora: "sudo systemd-udev",
        present: || find("sudo").is_some() && find("udevadm").is_some(),
    },
    Need {
        purpose: Purpose::Test,
        why: "the original virtlockd, which ours is compared with",
        debian: "libvirt-daemon",
        fedora: "libvirt-daemon-lock",
        present: || find("virtlockd").is_some(),
    },
    Need {
        purpose: Purpose::Test,
        why: "administers virtlockd, the original and ours",
        debian: "libvirt-clients",
        fedora: "libvirt-client",
        present: || find("virt-admin").is_some(),
    },
    Need {
        purpose: Purpose::Test,
        why: "sets settings in the files that we ship, as administrators do",
        debian: "augeas-tools",
        fedora: "augeas",
        present: || find("augtool").is_some(),
    },
    Need {
        purpose: Purpose::Test,
        why: "libvirt's lock drivers and the tools beside them, which ours are compared with",
        debian: "libvirt-sanlock libsanlock-client1",
        fedora: "libvirt-lock-sanlock sanlock-lib",
        present: || libvirt("lock-driver/sanlock.so"),
    },
    Need {
        purpose: Purpose::Test,
        why: "strace, which answers for a security module that this host may not have",
        debian: "strace",
        fedora: "strace",
        present: || find("strace").is_some(),
    },
    Need {
        purpose: Purpose::Test,
        why: "a bus on which virtlockd asks logind to wait with a shutdown",
        debian: "dbus-daemon",
        fedora: "dbus-daemon",
        present: || find("dbus-daemon").is_some(),
    },
    Need {
        purpose: Purpose::Test,
        why: "runs the guests that libvirt_sanlock_helper stops",
        debian: "libvirt-daemon-driver-qemu qemu-system-x86",
        fedora: "libvirt-daemon-driver-qemu qemu-system-x86-core",
        present: || find("qemu-system-x86_64").is_some() && find("libvirtd").is_some(),
    },
    Need {
        purpose: Purpose::Test,
        why: "makes libvirt's socket ask for a password",
        debian: "sasl2-bin libsasl2-modules",
        fedora: "cyrus-sasl cyrus-sasl-scram cyrus-sasl-plain",
        present: || find("saslpasswd2").is_some(),
    },
    Need {
        purpose: Purpose::Test,
        why: "compiles those C programs",
        debian: "gcc libc6-dev",
        fedora: "gcc glibc-devel",
        present: || find("cc").is_some(),
    },
    Need {
        purpose: Purpose::Test,
        why: "compiles libFuzzer for the fuzz targets",
        debian: "g++",
        fedora: "gcc-c++",
        present: || find("c++").is_some(),
    },
    Need {
        purpose: Purpose::Test,
        why: "mounts the file system that hangs, fails and delays on command",
        debian: "fuse3",
        fedora: "fuse3",
        present: || find("fusermount3").is_some(),
    },
    Need {
        purpose: Purpose::E2e,
        why: "runs guests, and the machines that are really reset",
        debian: "qemu-system-x86",
        fedora: "qemu-system-x86-core",
        present: || find("qemu-system-x86_64").is_some(),
    },
    Need {
        purpose: Purpose::E2e,
        why: "libvirtd, which has the guests",
        debian: "libvirt-daemon",
        fedora: "libvirt-daemon",
        present: || find("libvirtd").is_some(),
    },
    Need {
        purpose: Purpose::E2e,
        why: "its driver for QEMU",
        debian: "libvirt-daemon-driver-qemu",
        fedora: "libvirt-daemon-driver-qemu",
        present: || libvirt("connection-driver/libvirt_driver_qemu.so"),
    },
    Need {
        purpose: Purpose::E2e,
        why: "its driver for sanlock, and the tools beside it",
        debian: "libvirt-sanlock",
        fedora: "libvirt-lock-sanlock",
        present: || libvirt("lock-driver/sanlock.so"),
    },
    Need {
        purpose: Purpose::E2e,
        why: "the original lease daemon",
        debian: "sanlock",
        fedora: "sanlock",
        present: || Program::original().is_some(),
    },
    Need {
        purpose: Purpose::E2e,
        why: "virsh and virt-admin",
        debian: "libvirt-clients",
        fedora: "libvirt-client",
        present: || find("virsh").is_some() && find("virt-admin").is_some(),
    },
    Need {
        purpose: Purpose::E2e,
        why: "makes libvirt's settings as its documentation says",
        debian: "augeas-tools",
        fedora: "augeas",
        present: || find("augtool").is_some(),
    },
    Need {
        purpose: Purpose::E2e,
        why: "joins hosts by a network",
        debian: "iproute2",
        fedora: "iproute",
        present: || find("ip").is_some(),
    },
    Need {
        purpose: Purpose::E2e,
        why: "mounts the storage that fails on command",
        debian: "fuse3",
        fedora: "fuse3",
        present: || find("fusermount3").is_some(),
    },
    Need {
        purpose: Purpose::E2e,
        why: "makes images that have room for snapshots",
        debian: "qemu-utils",
        fedora: "qemu-img",
        present: || find("qemu-img").is_some(),
    },
    Need {
        purpose: Purpose::E2e,
        why: "makes the clock of a lease daemon fast",
        debian: "faketime",
        fedora: "libfaketime",
        present: || find("faketime").is_some(),
    },
    Need {
        purpose: Purpose::E2e,
        why: "gives libvirtd a password to ask for",
        debian: "sasl2-bin libsasl2-modules",
        fedora: "cyrus-sasl cyrus-sasl-scram",
        present: || find("saslpasswd2").is_some(),
    },
];

/// Whether libvirt has this module, in whichever directory of libraries.
fn libvirt(file: &str) -> bool {
    let of_architecture = std::fs::read_dir("/usr/lib")
        .into_iter()
        .flatten()
        .flatten();
    Path::new("/usr/lib64/libvirt").join(file).is_file()
        || of_architecture
            .map(|entry| entry.path().join("libvirt").join(file))
            .any(|path| path.is_file())
}

fn python(arguments: &[&str]) -> bool {
    let quiet = Command::new("/usr/bin/python3")
        .args(arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    quiet.is_ok_and(|status| status.success())
}

/// `cargo xtask install-deps`
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Only say what is missing
    #[arg(long)]
    dry_run: bool,
}

/// Installs what is missing, or says why that cannot be done.
pub(crate) fn run(options: &Options) -> Result<()> {
    let missing = missing(&[Purpose::Test, Purpose::E2e]);
    if missing.is_empty() {
        println!("Nothing is missing.");
        return Ok(());
    }
    if options.dry_run {
        name(&missing, Manager::here().unwrap_or(Manager::Apt));
        return Ok(());
    }
    install(&[Purpose::Test, Purpose::E2e])
}

/// What is not there.
pub(crate) fn missing(purposes: &[Purpose]) -> Vec<&'static Need> {
    NEEDS
        .iter()
        .filter(|need| purposes.contains(&need.purpose) && !(need.present)())
        .collect()
}

#[derive(Clone, Copy)]
enum Manager {
    Apt,
    Dnf,
}

impl Manager {
    fn here() -> Option<Manager> {
        let apt = find("apt-get").map(|_| Manager::Apt);
        apt.or_else(|| find("dnf").map(|_| Manager::Dnf))
    }

    fn package(self, need: &Need) -> &'static str {
        match self {
            Manager::Apt => need.debian,
            Manager::Dnf => need.fedora,
        }
    }
}

fn name(missing: &[&Need], manager: Manager) {
    let mut named = Vec::new();
    for need in missing {
        // Both purposes may have the same need.
        if named.contains(&manager.package(need)) {
            continue;
        }
        named.push(manager.package(need));
        println!("  {:<16} {}", manager.package(need), style::quiet(need.why));
    }
}

/// Installs what is missing, after saying what and why.
pub(crate) fn install(purposes: &[Purpose]) -> Result<()> {
    let there = missing(purposes);
    if there.is_empty() {
        return Ok(());
    }
    let Some(manager) = Manager::here() else {
        bail!("there is neither apt-get nor dnf here to install what is missing");
    };
    if !nix::unistd::geteuid().is_root() {
        name(&there, manager);
        bail!("only root may install these packages");
    }
    let _alone = one_at_a_time()?;
    // Another run may have brought it meanwhile.
    let missing = missing(purposes);
    if missing.is_empty() {
        return Ok(());
    }
    println!("Installing what the tests use and this machine lacks (--no-install to go without):");
    name(&missing, manager);
    let mut packages: Vec<&str> = missing
        .iter()
        .flat_map(|need| manager.package(need).split(' '))
        .collect();
    packages.sort_unstable();
    packages.dedup();
    let _policy = keep_services_stopped();
    match manager {
        Manager::Apt => {
            apt(&["update"])?;
            // Of what is recommended nothing is used.
            apt(&[
                &["install", "--yes", "--no-install-recommends"],
                packages.as_slice(),
            ]
            .concat())
        }
        Manager::Dnf => call(
            "dnf",
            &[&["install", "--assumeyes"], packages.as_slice()].concat(),
        ),
    }
}

/// Two runs that begin together must not take each other's package manager, nor its policy, away.
fn one_at_a_time() -> Result<Flock<File>> {
    let path = Path::new("/run/leasehold-install.lock");
    let file = File::create(path).with_context(|| format!("cannot create {}", path.display()))?;
    Flock::lock(file, FlockArg::LockExclusive)
        .map_err(|(_, error)| error)
        .with_context(|| format!("cannot lock {}", path.display()))
}

fn apt(arguments: &[&str]) -> Result<()> {
    call(
        "apt-get",
        &[
            // Another one's installation is waited for.
            &[
                "-qq",
                "-o",
                "Dpkg::Use-Pty=0",
                "-o",
                "DPkg::Lock::Timeout=300",
            ],
            arguments,
        ]
        .concat(),
    )
}

fn call(program: &str, arguments: &[&str]) -> Result<()> {
    let status = Command::new(program)
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(Stdio::null())
        .status()
        .with_context(|| format!("cannot run {program}"))?;
    if !status.success() {
        bail!("{program} {} failed", arguments.join(" "));
    }
    Ok(())
}

/// Debian starts what it installs, and among that is a watchdog daemon: not on a machine that only runs
/// tests. An administrator's own policy is left alone.
fn keep_services_stopped() -> Option<Undo> {
    let policy = Path::new("/usr/sbin/policy-rc.d");
    if policy.exists() || find("dpkg").is_none() {
        return None;
    }
    std::fs::write(policy, "#!/bin/sh\nexit 101\n").ok()?;
    let undo = later(Action::RemoveFile(policy.to_owned()));
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(policy, std::fs::Permissions::from_mode(0o755)).ok()?;
    Some(undo)
}
