//! `qemu-sanlock.conf`: how libvirt's sanlock driver makes leases of disks.

use std::num::NonZeroU32;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use crate::libvirt_conf::{self, LoadError, Loaded, Others, Settings};

/// Where the file is, for guests that libvirt's QEMU driver runs for the system.
pub const PATH: &str = "/etc/libvirt/qemu-sanlock.conf";

/// The lockspace of leases that libvirt makes, and the name of its file in [`QemuSanlockConf::disk_lease_dir`].
pub const LOCKSPACE: &str = "__LIBVIRT__DISKS__";

/// What the file sets, with libvirt's defaults for what it does not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QemuSanlockConf {
    /// `auto_disk_leases`: a lease for each disk, made by libvirt in [`LOCKSPACE`]. Default false.
    pub auto_disk_leases: bool,
    /// `disk_lease_dir`: where those leases and their lockspace are files.
    pub disk_lease_dir: PathBuf,
    /// `host_id`: this host's number in [`LOCKSPACE`], 1 to 2000. `None` where it is not set, or 0.
    pub host_id: Option<NonZeroU32>,
    /// `require_lease_for_disks`: no guest that writes to a disk of its own starts without a lease. By default true
    /// unless `auto_disk_leases` is.
    pub require_lease_for_disks: bool,
    /// `io_timeout`: seconds within which the storage of [`LOCKSPACE`] must answer; `None`, or 0 in the file, for the
    /// lease daemon's own.
    pub io_timeout: Option<NonZeroU32>,
    /// `user`: who owns the files that libvirt makes, so that the lease daemon can use them: a name, or a number,
    /// or a number after `+`.
    pub user: Option<String>,
    /// `group`: the same for the group.
    pub group: Option<String>,
}

impl Default for QemuSanlockConf {
    fn default() -> Self {
        Self {
            auto_disk_leases: false,
            disk_lease_dir: PathBuf::from("/var/lib/libvirt/sanlock"),
            host_id: None,
            require_lease_for_disks: true,
            io_timeout: None,
            user: None,
            group: None,
        }
    }
}

/// The names of all settings.
pub const KEYS: &[&str] = &[
    "auto_disk_leases",
    "disk_lease_dir",
    "host_id",
    "require_lease_for_disks",
    "io_timeout",
    "user",
    "group",
    FORMER,
];

/// Which libvirt's Augeas lens knows, and the driver not any more.
const FORMER: &str = "ignore_readonly_and_shared_disks";

/// The lease daemon's limits: host ids of a lockspace, and the bytes of a path without its NUL.
const MAX_HOST_ID: u32 = 2000;
const MAX_PATH: usize = 1023;
/// `/` and an MD5 sum in hexadecimal digits.
const NAME_IN_DIR: usize = 33;

/// Reads the file at `path`; one that does not exist sets nothing.
///
/// # Errors
/// [`LoadError`] if libvirt's driver would not start on it.
pub fn load(path: &Path) -> Result<Loaded<QemuSanlockConf>, LoadError> {
    libvirt_conf::load_if_there(path, parse)
}

/// Reads `text`, which is the content of `file`.
///
/// # Errors
/// [`LoadError::Refused`] if libvirt's driver would not start on it.
pub fn parse(file: &Path, text: &[u8]) -> Result<Loaded<QemuSanlockConf>, LoadError> {
    let mut settings = Settings::read(file, text, KEYS, Others::Unknown)?;
    let default = QemuSanlockConf::default();
    let auto_disk_leases = settings.switch("auto_disk_leases").unwrap_or(false);
    let conf = QemuSanlockConf {
        auto_disk_leases,
        disk_lease_dir: settings
            .path("disk_lease_dir")
            .unwrap_or(default.disk_lease_dir),
        host_id: settings.number("host_id").and_then(NonZeroU32::new),
        require_lease_for_disks: settings
            .switch("require_lease_for_disks")
            .unwrap_or(!auto_disk_leases),
        io_timeout: settings.number("io_timeout").and_then(NonZeroU32::new),
        user: settings.string("user"),
        group: settings.string("group"),
    };
    check(&conf, &mut settings);
    settings.finish(conf)
}

fn check(conf: &QemuSanlockConf, settings: &mut Settings<'_>) {
    const HOST_ID: &str =
        "give each host that can reach the leases a number of its own: `host_id = 1`";
    if conf.auto_disk_leases && conf.host_id.is_none() {
        let at = if settings.has("host_id") {
            "host_id"
        } else {
            "auto_disk_leases"
        };
        settings.refuse(at, "automatic leases need the number of this host", HOST_ID);
    }
    if conf.host_id.is_some_and(|id| id.get() > MAX_HOST_ID) {
        let message = format!("the lease daemon takes host ids from 1 to {MAX_HOST_ID}");
        settings.warn("host_id", &message, HOST_ID);
    }
    let dir = conf.disk_lease_dir.as_os_str().as_bytes();
    if dir.len() + NAME_IN_DIR > MAX_PATH {
        let message = format!(
            "paths of leases have at most {MAX_PATH} bytes, and this leaves no room for their names"
        );
        settings.warn("disk_lease_dir", &message, "choose a shorter path");
    } else if !dir.starts_with(b"/") {
        let message = "a path that does not begin with / is not the same for libvirt and for the lease daemon";
        settings.warn("disk_lease_dir", message, "write the whole path");
    }
    if settings.has(FORMER) {
        let message = "libvirt does not know this setting any more: read-only disks have no lease, shareable ones a shared one";
        settings.warn(FORMER, message, "take it away");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Loaded<QemuSanlockConf> {
        parse(Path::new("q"), text.as_bytes()).unwrap()
    }

    #[test]
    fn every_key() {
        let loaded = parsed(
            "auto_disk_leases = 1\ndisk_lease_dir = \"/leases\"\nhost_id = 7\nrequire_lease_for_disks = 1\n\
             io_timeout = 20\nuser = '+104'\ngroup = \"sanlock\"\n",
        );
        let wanted = QemuSanlockConf {
            auto_disk_leases: true,
            disk_lease_dir: "/leases".into(),
            host_id: NonZeroU32::new(7),
            require_lease_for_disks: true,
            io_timeout: NonZeroU32::new(20),
            user: Some("+104".to_owned()),
            group: Some("sanlock".to_owned()),
        };
        assert_eq!(
            loaded,
            Loaded {
                conf: wanted,
                diagnostics: vec![]
            }
        );
        assert_eq!(parsed("").conf, QemuSanlockConf::default());
    }

    #[test]
    fn a_lease_is_required_where_none_is_made() {
        assert!(parsed("").conf.require_lease_for_disks);
        assert!(parsed("auto_disk_leases = 0").conf.require_lease_for_disks);
        let automatic = "auto_disk_leases = 1\nhost_id = 1\n";
        assert!(!parsed(automatic).conf.require_lease_for_disks);
        let both = format!("{automatic}require_lease_for_disks = 1");
        assert!(parsed(&both).conf.require_lease_for_disks);
    }

    #[test]
    fn what_libvirt_does_not_start_on_is_refused() {
        for (text, place, message) in [
            (
                "auto_disk_leases = 1",
                (1, 20),
                "automatic leases need the number of this host",
            ),
            (
                "auto_disk_leases = 1\nhost_id = 0",
                (2, 11),
                "automatic leases need the number of this host",
            ),
            (
                "auto_disk_leases = 2",
                (1, 20),
                "`auto_disk_leases` is 0 (no) or 1 (yes), not 2",
            ),
            (
                "auto_disk_leases = \"1\"",
                (1, 20),
                "`auto_disk_leases` is 0 (no) or 1 (yes), not a string",
            ),
            (
                "disk_lease_dir = 1",
                (1, 18),
                "`disk_lease_dir` is a string in quotes, not 1",
            ),
            (
                "host_id = -1",
                (1, 11),
                "`host_id` is a number from 0 to 4294967295, not -1",
            ),
            ("disk_lease_dir = /leases", (1, 18), "expecting a value"),
        ] {
            let Err(LoadError::Refused(found)) = parse(Path::new("q"), text.as_bytes()) else {
                panic!("{text:?}");
            };
            assert_eq!((found[0].line, found[0].column), place, "{text:?}");
            assert_eq!(found[0].message, message, "{text:?}");
        }
    }

    #[test]
    fn what_has_no_effect_is_told() {
        for text in [
            "host_ids = 1",
            "host_id = 2001",
            "host_id = 1\nhost_id = 2",
            "disk_lease_dir = \"leases\"",
            "ignore_readonly_and_shared_disks = 1",
        ] {
            assert_eq!(parsed(text).diagnostics.len(), 1, "{text:?}");
        }
        let long = format!("disk_lease_dir = \"/{}\"", "x".repeat(990));
        assert_eq!(parsed(&long).diagnostics.len(), 1);
        let shorter = format!("disk_lease_dir = \"/{}\"", "x".repeat(989));
        assert_eq!(parsed(&shorter).diagnostics, []);
    }

    #[test]
    fn the_file_as_shipped_shows_every_key_with_its_default() {
        let shipped = include_str!("../../../conf/qemu-sanlock.conf");
        assert_eq!(parsed(shipped).conf, QemuSanlockConf::default());
        let shown = crate::libvirt_conf::uncommented(shipped);
        for key in KEYS.iter().filter(|key| **key != FORMER) {
            assert!(shown.contains(&format!("{key} = ")), "{key}");
        }
        let loaded = parsed(&shown);
        assert_eq!(loaded.diagnostics, []);
        let default = QemuSanlockConf::default();
        assert_eq!(loaded.conf.disk_lease_dir, default.disk_lease_dir);
        assert_eq!(loaded.conf.io_timeout, default.io_timeout);
        assert!(loaded.conf.auto_disk_leases && loaded.conf.host_id.is_some());
    }

    #[test]
    fn a_file_that_is_not_there_sets_nothing() {
        let loaded = load(Path::new("/nonexistent/qemu-sanlock.conf")).unwrap();
        assert_eq!(loaded.conf, QemuSanlockConf::default());
        assert!(matches!(load(Path::new("/")), Err(LoadError::Read { .. })));
        assert!(matches!(
            load(Path::new("/dev/zero")),
            Err(LoadError::TooLong { .. })
        ));
    }
}
