//! `qemu-lockd.conf`: how libvirt's lockd driver makes locks of disks.

use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use crate::libvirt_conf::{self, LoadError, Loaded, Others, Settings};

/// Where the file is, for guests that libvirt's QEMU driver runs for the system.
pub const PATH: &str = "/etc/libvirt/qemu-lockd.conf";

/// What the file sets, with libvirt's defaults for what it does not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QemuLockdConf {
    /// `auto_disk_leases`: a lock for each disk. Default true.
    pub auto_disk_leases: bool,
    /// `require_lease_for_disks`: no guest that writes to a disk of its own starts without a lock. By default true
    /// unless `auto_disk_leases` is.
    pub require_lease_for_disks: bool,
    /// `file_lockspace_dir`: disks are locked by a file here that is named by their path's SHA256 sum. Without it, the
    /// disk itself is locked.
    pub file_lockspace_dir: Option<PathBuf>,
    /// `lvm_lockspace_dir`: LVM volumes are locked by a file here that is named by their UUID.
    pub lvm_lockspace_dir: Option<PathBuf>,
    /// `scsi_lockspace_dir`: SCSI volumes are locked by a file here that is named by their serial number.
    pub scsi_lockspace_dir: Option<PathBuf>,
}

impl Default for QemuLockdConf {
    fn default() -> Self {
        Self {
            auto_disk_leases: true,
            require_lease_for_disks: false,
            file_lockspace_dir: None,
            lvm_lockspace_dir: None,
            scsi_lockspace_dir: None,
        }
    }
}

const DIRECTORIES: [&str; 3] = [
    "file_lockspace_dir",
    "lvm_lockspace_dir",
    "scsi_lockspace_dir",
];

/// The names of all settings.
pub const KEYS: &[&str] = &[
    "auto_disk_leases",
    "require_lease_for_disks",
    DIRECTORIES[0],
    DIRECTORIES[1],
    DIRECTORIES[2],
];

/// Reads the file at `path`; one that does not exist sets nothing.
///
/// # Errors
/// [`LoadError`] if libvirt's driver would not start on it.
pub fn load(path: &Path) -> Result<Loaded<QemuLockdConf>, LoadError> {
    libvirt_conf::load_if_there(path, parse)
}

/// Reads `text`, which is the content of `file`.
///
/// # Errors
/// [`LoadError::Refused`] if libvirt's driver would not start on it.
pub fn parse(file: &Path, text: &[u8]) -> Result<Loaded<QemuLockdConf>, LoadError> {
    let mut settings = Settings::read(file, text, KEYS, Others::Unknown)?;
    let auto_disk_leases = settings.switch("auto_disk_leases").unwrap_or(true);
    let require_lease_for_disks = settings.switch("require_lease_for_disks");
    let [file_lockspace_dir, lvm_lockspace_dir, scsi_lockspace_dir] =
        DIRECTORIES.map(|name| directory(&mut settings, name, auto_disk_leases));
    settings.finish(QemuLockdConf {
        auto_disk_leases,
        require_lease_for_disks: require_lease_for_disks.unwrap_or(!auto_disk_leases),
        file_lockspace_dir,
        lvm_lockspace_dir,
        scsi_lockspace_dir,
    })
}

fn directory(settings: &mut Settings<'_>, name: &str, is_used: bool) -> Option<PathBuf> {
    let path = settings.path(name)?;
    if !is_used {
        let message = "this has no effect: with `auto_disk_leases = 0` no locks are made of disks";
        settings.warn(name, message, "take one of the two settings away");
    } else if !path.as_os_str().as_bytes().starts_with(b"/") {
        let message =
            "a path that does not begin with / is not the same for libvirt and for the lock daemon";
        settings.warn(name, message, "write the whole path");
    }
    Some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Loaded<QemuLockdConf> {
        parse(Path::new("q"), text.as_bytes()).unwrap()
    }

    #[test]
    fn every_key() {
        let loaded = parsed(
            "auto_disk_leases = 1\nrequire_lease_for_disks = 1\nfile_lockspace_dir = \"/f\"\n\
             lvm_lockspace_dir = '/l'\nscsi_lockspace_dir = \"\"\"/s\"\"\"\n",
        );
        let conf = QemuLockdConf {
            auto_disk_leases: true,
            require_lease_for_disks: true,
            file_lockspace_dir: Some("/f".into()),
            lvm_lockspace_dir: Some("/l".into()),
            scsi_lockspace_dir: Some("/s".into()),
        };
        let wanted = Loaded {
            conf,
            diagnostics: vec![],
        };
        assert_eq!(loaded, wanted);
        assert_eq!(parsed("").conf, QemuLockdConf::default());
        assert!(parsed("auto_disk_leases = 0").conf.require_lease_for_disks);
    }

    #[test]
    fn the_file_as_shipped_shows_every_key() {
        let shipped = include_str!("../../../conf/qemu-lockd.conf");
        assert_eq!(parsed(shipped).conf, QemuLockdConf::default());
        let shown = crate::libvirt_conf::uncommented(shipped);
        for key in KEYS {
            assert!(shown.contains(&format!("{key} = ")), "{key}");
        }
        assert_eq!(parsed(&shown).diagnostics, []);
    }

    #[test]
    fn what_has_no_effect_is_told() {
        for text in [
            "auto_disk_leases = 0\nfile_lockspace_dir = \"/f\"",
            "lvm_lockspace_dir = \"volumes\"",
            "scsi_lockspace_dir = \"\"",
            "file_lockspace_dri = \"/f\"",
            "disk_lease_dir = \"/f\"",
        ] {
            assert_eq!(parsed(text).diagnostics.len(), 1, "{text:?}");
        }
    }
}
