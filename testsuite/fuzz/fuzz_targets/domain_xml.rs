//! The XML of a domain: no document makes it fall, and each disk has at most one lease and one lock.
#![no_main]

use std::ffi::OsString;
use std::path::Path;

use config::qemu_lockd_conf::QemuLockdConf;
use config::qemu_sanlock_conf::QemuSanlockConf;
use domain_xml::{Domain, Host, Volume, lockd, sanlock};
use libfuzzer_sys::fuzz_target;

/// Every volume is one.
struct AllVolumes;

impl Host for AllVolumes {
    fn lvm_uuid(&self, _path: &str) -> std::io::Result<Option<OsString>> {
        Ok(None)
    }

    fn scsi_id(&self, path: &str) -> std::io::Result<Option<OsString>> {
        Ok(Some(path.into()))
    }

    fn volume(&self, _pool: &str, volume: &str) -> Option<Volume> {
        Some(Volume::Local(volume.to_owned()))
    }
}

fuzz_target!(|text: &[u8]| {
    let domain = match Domain::parse(Path::new("d"), text) {
        Ok(domain) => domain,
        Err(wrong) => {
            assert!(wrong.line > 0 && wrong.column > 0 && !wrong.to_string().is_empty());
            return;
        }
    };
    let most = domain.disks.len() + domain.leases.len();
    let conf = QemuSanlockConf {
        auto_disk_leases: true,
        ..QemuSanlockConf::default()
    };
    for conf in [conf, QemuSanlockConf::default()] {
        if let Ok(leases) = sanlock::leases(&domain, &conf, &AllVolumes) {
            assert!(leases.len() <= most.min(8));
            assert!(
                leases
                    .iter()
                    .all(|lease| lease.name.len() < 48 && lease.lockspace.len() < 48)
            );
        }
    }
    let conf = QemuLockdConf {
        file_lockspace_dir: Some("/files".into()),
        scsi_lockspace_dir: Some("/scsi".into()),
        ..QemuLockdConf::default()
    };
    for conf in [conf, QemuLockdConf::default()] {
        if let Ok(locks) = lockd::locks(&domain, &conf, &AllVolumes) {
            assert!(locks.len() <= most);
        }
    }
});
