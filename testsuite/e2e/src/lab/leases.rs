//! Who holds which lease, as the daemons and the kernel say.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::host::Host;
use super::scenario::Manager;

/// How often a host is asked who holds what; times of the time line are known this well.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// What a lease of `sanlock client status` is called: `r SPACE:NAME:DISK:OFFSET:...`.
fn resource_name(line: &str) -> Option<(&str, u32)> {
    let line = line.strip_prefix("r ")?;
    let (lease, pid) = line.rsplit_once(" p ")?;
    Some((lease.split(':').nth(1)?, pid.trim().parse().ok()?))
}

/// `p PID NAME` of the same.
fn client_name(line: &str) -> Option<(u32, &str)> {
    let (pid, name) = line.strip_prefix("p ")?.split_once(' ')?;
    Some((pid.parse().ok()?, name.trim()))
}

/// Pairs of holder and lease, from `sanlock client status`.
fn sanlock_holdings(status: &str) -> Vec<(String, String)> {
    let names: BTreeMap<u32, &str> = status.lines().filter_map(client_name).collect();
    let mut held: Vec<(String, String)> = status
        .lines()
        .filter_map(resource_name)
        .map(|(lease, pid)| {
            let holder = names.get(&pid).copied().unwrap_or("?");
            (holder.to_owned(), lease.to_owned())
        })
        .collect();
    held.sort();
    held
}

impl Host {
    /// Writes down who holds what, as long as the host is up. What cannot be known does not change.
    pub(super) fn watch(&self) {
        let host = self.clone();
        std::thread::spawn(move || {
            while host.up.load(Ordering::Relaxed) {
                // A daemon that does not answer tells nothing.
                let _ = host.holdings(host.plan.manager);
                std::thread::sleep(LOOK_EVERY);
            }
        });
    }

    /// Pairs of holder and lease, which the story gets to know too. virtlockd holds for all guests.
    pub(super) fn holdings(&self, manager: Manager) -> Result<Vec<(String, String)>> {
        let held = match manager {
            Manager::None => Vec::new(),
            Manager::Sanlock => {
                let said = self.quietly(&["sanlock", "client", "status"])?;
                ensure!(
                    said.ok,
                    "no status of sanlock on {}: {}",
                    self.name(),
                    said.text
                );
                sanlock_holdings(&said.text)
            }
            Manager::Lockd => self.kernel_locks()?,
        };
        if self.up.load(Ordering::Relaxed) {
            self.teller.holdings(self.name(), &held);
        }
        Ok(held)
    }

    /// The locks of this host's virtlockd, by the kernel's list.
    fn kernel_locks(&self) -> Result<Vec<(String, String)>> {
        let Some(table) = self.read("/proc/locks") else {
            return Ok(Vec::new());
        };
        let pid = self.pid_of(super::daemons::Daemon::Virtlockd)?;
        let mut held = Vec::new();
        for (file, name) in self.lockd_files(pid)? {
            let locked = table
                .lines()
                .filter_map(kernel_lock)
                .any(|lock| lock == (pid, file));
            if locked {
                held.push(("virtlockd".to_owned(), name));
            }
        }
        held.sort();
        Ok(held)
    }

    /// The lease files and the images, by inode, as virtlockd sees them.
    fn lockd_files(&self, pid: u32) -> Result<Vec<(u64, String)>> {
        let mut files = Vec::new();
        for dir in ["lockd/files", "lockd/lvm", "lockd/scsi", "images"] {
            let dir = format!("/proc/{pid}/root/var/lib/libvirt/{dir}");
            let Ok(entries) = fs::read_dir(self.path(&dir)) else {
                continue;
            };
            for entry in entries.flatten() {
                if let Ok(about) = entry.metadata() {
                    let name = entry.file_name().to_string_lossy().into_owned();
                    files.push((about.ino(), name));
                }
            }
        }
        Ok(files)
    }
}

/// Process and inode of `1: POSIX  ADVISORY  WRITE 123 fe:00:4711 0 0`.
fn kernel_lock(line: &str) -> Option<(u32, u64)> {
    let mut words = line.split_whitespace().skip(1);
    (words.next()? == "POSIX").then_some(())?;
    let mut words = words.skip(2);
    let pid = words.next()?.parse().ok()?;
    let inode = words.next()?.rsplit(':').next()?.parse().ok()?;
    Some((pid, inode))
}

/// What libvirt calls the lease of an image.
pub(super) fn lease_name(host: &Host, manager: Manager, image: &str) -> Result<String> {
    let tool = match manager {
        Manager::Lockd => "sha256sum",
        Manager::Sanlock | Manager::None => "md5sum",
    };
    let path = super::guest::Disk::image(image, "sda").source;
    let script = format!("printf %s '{path}' | {tool}");
    let said = host.quietly(&["sh", "-c", &script])?;
    let sum = said.text.split_whitespace().next();
    Ok(sum.context("no checksum")?.to_owned())
}
