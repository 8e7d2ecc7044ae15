//! The lab of one scenario: its hosts, what they share, and what scenarios ask of it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use ondisk::HostId;

use super::devices::LoopDevice;
use super::host::{Host, Plan};
use super::leases::lease_name;
use super::renewals::Renewals;
use super::scenario::{Manager, Scenario, Setup, Storage};
use super::story::{Kind, Teller};
use super::{mounts, network};
use crate::programs::{Build, Ours};

/// Programs of ours that take the place of the distribution's, and where those are.
const REPLACED: &[(&str, &str)] = &[
    ("sanlock", "/usr/sbin/sanlock"),
    ("wdmd", "/usr/sbin/wdmd"),
    ("virtlockd", "/usr/sbin/virtlockd"),
    (
        "libvirt_sanlock_helper",
        "/usr/lib/libvirt/libvirt_sanlock_helper",
    ),
    ("virt-sanlock-cleanup", "/usr/sbin/virt-sanlock-cleanup"),
];

/// The distribution's programs without which there is no lab.
const NEEDED: &[&str] = &[
    "augtool",
    "ip",
    "libvirtd",
    "nsenter",
    "qemu-img",
    "qemu-system-x86_64",
    "sanlock",
    "setpriv",
    "virsh",
    "virt-admin",
    "virt-sanlock-cleanup",
    "virtlockd",
];

/// Files of packages that bring no program by which they could be told.
const NEEDED_FILES: &[(&str, &str)] = &[
    ("libvirt's sanlock driver", "lock-driver/sanlock.so"),
    (
        "libvirt's QEMU driver",
        "connection-driver/libvirt_driver_qemu.so",
    ),
];

/// Where the programs are that libvirt asks about volumes.
const ASKED: &[&str] = &["/usr/sbin", "/usr/lib/udev"];

/// How soon a lease that was given back must be free: the daemon writes that by itself, on a busy computer.
const RELEASE_LIMIT: Duration = Duration::from_secs(30);

/// Programs of ours that are not there.
pub(crate) fn not_built(ours: &Ours) -> Vec<&'static str> {
    REPLACED
        .iter()
        .map(|(name, _)| *name)
        .filter(|name| ours.program(name).is_none())
        .collect()
}

/// What this computer lacks for a scenario.
pub(crate) fn missing(scenario: &Scenario, builds: [Build; 2], ours: &Ours) -> Option<String> {
    if !nix::unistd::geteuid().is_root() {
        return Some("only root can make namespaces, mounts and loop devices".to_owned());
    }
    let dirs = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"];
    let here = |name: &str| dirs.iter().any(|dir| Path::new(dir).join(name).is_file());
    let mut needed = NEEDED.iter().chain(scenario.setup.needs);
    if let Some(name) = needed.find(|name| !here(name)) {
        return Some(format!("{name} is not installed"));
    }
    let library = |file: &str| {
        ["/usr/lib/x86_64-linux-gnu/libvirt", "/usr/lib64/libvirt"]
            .iter()
            .any(|dir| Path::new(dir).join(file).is_file())
    };
    if let Some((what, _)) = NEEDED_FILES.iter().find(|(_, file)| !library(file)) {
        return Some(format!("{what} is not installed"));
    }
    let own = match scenario.setup.storage {
        Storage::Faulty => Some("faultfs"),
        Storage::Directory => None,
    };
    let daemons = builds
        .contains(&Build::Ours)
        .then_some(["sanlock", "virtlockd"]);
    own.into_iter()
        .chain(daemons.into_iter().flatten())
        .find(|name| ours.program(name).is_none())
        .map(|name| format!("{name} was not built"))
}

/// A lab in which a scenario is played.
pub(crate) struct Lab {
    pub(super) setup: Setup,
    pub(super) hosts: Vec<Host>,
    pub(super) teller: Teller,
    shared: PathBuf,
    device: Option<LoopDevice>,
}

impl Lab {
    /// Boots the hosts, makes libvirt's settings and starts the services.
    pub(super) fn open(
        setup: Setup,
        builds: [Build; 2],
        ours: &Ours,
        dir: &Path,
        teller: &Teller,
    ) -> Result<Lab> {
        // Ends with the namespace.
        let memory = dir.join("memory");
        mounts::tmpfs(&memory, "0755")?;
        let shared = dir.join("shared");
        fs::create_dir_all(&shared)?;
        let device = setup
            .device_sector
            .map(|sector| LoopDevice::new(&shared, sector))
            .transpose()?;
        let mut lab = Lab {
            setup,
            hosts: Vec::new(),
            teller: teller.clone(),
            shared,
            device,
        };
        let names = ["alpha", "beta"];
        for ((number, name), build) in (1..=setup.hosts).zip(names).zip(builds) {
            let plan = Plan {
                name,
                number,
                manager: setup.manager,
                dir: memory.join(name),
                log: dir.join(name),
                binds: binds(&setup, build, ours, &lab.shared, &memory)?,
                devices: lab
                    .device
                    .iter()
                    .map(|device| device.path.clone())
                    .collect(),
                writable: if setup.volumes { ASKED } else { &[] },
            };
            lab.hosts.push(Host::boot(plan, teller)?);
        }
        if let [one, other] = lab.hosts.as_slice() {
            network::join(one, other)?;
        }
        for host in &lab.hosts {
            host.configure(&setup)?;
            if setup.storage == Storage::Faulty {
                host.start_faultfs(ours)?;
            }
            host.start_services(&setup)?;
        }
        Ok(lab)
    }

    /// The first host, or the only one.
    pub(crate) fn host(&self) -> &Host {
        &self.hosts[0]
    }

    /// Both hosts.
    pub(crate) fn pair(&self) -> (&Host, &Host) {
        (&self.hosts[0], &self.hosts[1])
    }

    /// A heading.
    pub(crate) fn step(&self, text: &str) {
        self.teller.tell(Kind::Step, None, text);
    }

    /// A moment worth a mark of its own in the time line.
    pub(crate) fn moment(&self, what: &str, when: Instant) {
        let at = self.teller.at(when);
        self.teller.tell_at(at, Kind::Seen, None, what);
    }

    /// The device that the hosts share.
    pub(crate) fn device(&self) -> Result<String> {
        let device = self.device.as_ref().context("this lab has no device")?;
        Ok(device.path.display().to_string())
    }

    /// Watches a host's renewals.
    pub(crate) fn renewals(&self, host: HostId) -> Renewals {
        Renewals::of(&self.shared, host)
    }

    /// A scenario that must fail, because something is wrong in this lab.
    pub(crate) fn must_find(
        &mut self,
        play: fn(&mut Lab) -> Result<()>,
        fault: &str,
    ) -> Result<()> {
        let Err(found) = play(self) else {
            bail!("nobody found what is wrong here");
        };
        let found = format!("{found:#}");
        ensure!(
            found.contains(fault),
            "something else was found than \"{fault}\": {found}"
        );
        self.teller
            .tell(Kind::Seen, None, format!("found: {found}"));
        Ok(())
    }

    /// What libvirt says when another guest of the same host has the lease.
    pub(crate) fn refusal_on_same_host(&self) -> &'static [&'static str] {
        match self.setup.manager {
            Manager::Sanlock => &["Failed to acquire lock: File exists"],
            Manager::Lockd => &["is locked"],
            Manager::None => &[],
        }
    }

    /// What libvirt says when a guest of another host has the lease.
    pub(crate) fn refusal_on_other_host(&self) -> &'static [&'static str] {
        match self.setup.manager {
            Manager::Sanlock => &["Lease is held by another host"],
            Manager::Lockd => &["is locked"],
            Manager::None => &[],
        }
    }

    /// What it says when guests of the same host share the lease that another one wants alone.
    pub(crate) fn refusal_while_shared_here(&self) -> &'static [&'static str] {
        match self.setup.manager {
            Manager::Sanlock => &["Failed to acquire lock: File exists"],
            Manager::Lockd => &["is locked"],
            Manager::None => &[],
        }
    }

    /// The same when only guests of another host do.
    pub(crate) fn refusal_while_shared_there(&self) -> &'static [&'static str] {
        match self.setup.manager {
            Manager::Sanlock => &["Failed to acquire lock: Resource temporarily unavailable"],
            Manager::Lockd => &["is locked"],
            Manager::None => &[],
        }
    }

    fn lease(&self, host: &Host, image: &str) -> Result<String> {
        if self.setup.manager == Manager::Lockd && !self.setup.lockspace {
            return Ok(format!("{image}.img"));
        }
        lease_name(host, self.setup.manager, image)
    }

    /// An image's lease must be held for this guest, and for nobody else on this host. virtlockd does not tell
    /// for whom it holds.
    pub(crate) fn holds(&self, host: &Host, guest: &str, image: &str) -> Result<()> {
        self.holders(host, &[guest], image)
    }

    /// The same for several guests that share it.
    pub(crate) fn holders(&self, host: &Host, guests: &[&str], image: &str) -> Result<()> {
        let lease = self.lease(host, image)?;
        self.held_by(host, guests, image, &lease)
    }

    /// A lease that a guest's description names must be held for it.
    pub(crate) fn lease_held(&self, host: &Host, guest: &str, lease: &str) -> Result<()> {
        self.held_by(host, &[guest], lease, lease)
    }

    fn held_by(&self, host: &Host, guests: &[&str], image: &str, lease: &str) -> Result<()> {
        let held = host.holdings(self.setup.manager)?;
        let mut holders: Vec<&str> = held
            .iter()
            .filter(|(_, name)| name == lease)
            .map(|(holder, _)| holder.as_str())
            .collect();
        holders.sort_unstable();
        let wanted = match self.setup.manager {
            Manager::Lockd => &["virtlockd"],
            Manager::Sanlock | Manager::None => guests,
        };
        ensure!(
            holders == wanted,
            "the lease of {image} on {} is held by [{}], and should be by [{}]",
            host.name(),
            holders.join(", "),
            wanted.join(", ")
        );
        Ok(())
    }

    /// Soon nobody of this host may hold the image's lease.
    pub(crate) fn free(&self, host: &Host, image: &str) -> Result<()> {
        let lease = self.lease(host, image)?;
        self.until_free(host, image, &lease)
    }

    /// The same of a lease that guests' descriptions name.
    pub(crate) fn lease_free(&self, host: &Host, lease: &str) -> Result<()> {
        self.until_free(host, lease, lease)
    }

    fn until_free(&self, host: &Host, image: &str, lease: &str) -> Result<()> {
        let manager = self.setup.manager;
        let what = format!("the lease of {image} is free");
        host.until(&what, RELEASE_LIMIT, |host| {
            let held = host.holdings(manager)?;
            Ok(held.iter().all(|(_, name)| name != lease))
        })
        .map(drop)
    }

    /// Whether sanlock's lease of an image has a file.
    pub(crate) fn has_lease_file(&self, host: &Host, image: &str) -> Result<bool> {
        let lease = self.lease(host, image)?;
        Ok(self.shared.join("leases").join(lease).exists())
    }
}

/// What a host sees in place of what the computer has.
fn binds(
    setup: &Setup,
    build: Build,
    ours: &Ours,
    shared: &Path,
    memory: &Path,
) -> Result<Vec<(PathBuf, PathBuf)>> {
    let leases = match setup.storage {
        Storage::Directory => "/var/lib/libvirt/sanlock",
        Storage::Faulty => "/var/lib/libvirt/below",
    };
    let mut binds = Vec::new();
    for (name, place) in [
        ("images", "/var/lib/libvirt/images"),
        ("leases", leases),
        ("lockd", "/var/lib/libvirt/lockd"),
    ] {
        let from = shared.join(name);
        fs::create_dir_all(&from)?;
        binds.push((from, PathBuf::from(place)));
    }
    if build == Build::Ours {
        for (name, place) in REPLACED {
            if let Some(program) = ours.program(name) {
                binds.push((program, PathBuf::from(place)));
            }
        }
    }
    if let Some(broken) = setup.broken {
        let place = REPLACED.iter().find(|(name, _)| *name == broken.program);
        let (name, place) = place.context("no such program to break")?;
        // The good one, for a broken one that is nearly as good.
        let good = Some(build)
            .filter(|build| *build == Build::Ours)
            .and_then(|_| ours.program(name))
            .unwrap_or_else(|| PathBuf::from(place));
        binds.push((good, PathBuf::from("/run/lab/good").join(name)));
        let file = memory.join("broken");
        fs::write(&file, broken.script)?;
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755))?;
        binds.push((file, PathBuf::from(place)));
    }
    Ok(binds)
}
