//! Sets and gets each setting in the files that we ship with augtool, by libvirt's lenses where there are some, as
//! administrators and their tools do.

#![allow(clippy::unwrap_used, clippy::panic, unreachable_pub)]

#[path = "../../daemon/tests/common/harness.rs"]
mod harness;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use config::environment_file::{self, Program};
use config::{qemu_lockd_conf, qemu_sanlock_conf, sanlock_conf, virtlockd_conf};
use harness::{Outcome, skipped};

fn main() -> ExitCode {
    harness::run(&[
        ("qemu_sanlock_conf", qemu_sanlock),
        ("qemu_lockd_conf", qemu_lockd),
        ("virtlockd_conf", virtlockd),
        ("sanlock_conf", sanlock),
        ("wdmd_default", wdmd),
    ])
}

/// A file of ours where a lens looks for it, in a directory that stands for the root.
struct Installed {
    root: PathBuf,
    /// Below the root.
    path: &'static str,
    lens: &'static str,
}

impl Installed {
    /// # Errors
    /// What is missing.
    fn new(text: &str, path: &'static str, lens: &'static str) -> Result<Self, String> {
        let name = Path::new(path).file_name().unwrap();
        let root = Path::new(env!("CARGO_TARGET_TMPDIR"))
            .join("augeas")
            .join(name);
        let _ = std::fs::remove_dir_all(&root);
        let installed = Self { root, path, lens };
        let file = installed.file();
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, text).unwrap();
        match installed.run(&["print /augeas/load".to_owned()]) {
            Ok(_) => Ok(installed),
            Err(why) => Err(why),
        }
    }

    fn file(&self) -> PathBuf {
        self.root.join(self.path.trim_start_matches('/'))
    }

    fn text(&self) -> String {
        std::fs::read_to_string(self.file()).unwrap()
    }

    /// What augtool prints.
    ///
    /// # Errors
    /// If augtool or the lens is not there.
    fn run(&self, commands: &[String]) -> Result<String, String> {
        let output = Command::new("augtool")
            .arg("--root")
            .arg(&self.root)
            .args(["--noautoload", "--include", "/usr/share/augeas/lenses"])
            .args([
                "--transform",
                &format!("{}.lns incl {}", self.lens, self.path),
            ])
            .arg(commands.join("\n"))
            .output()
            .map_err(|error| format!("no augtool: {error}"))?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        if errors.contains("Can not find lens") || errors.contains("could not find") {
            return Err(format!("no lens {}", self.lens));
        }
        assert!(output.status.success(), "{commands:?}: {said}{errors}");
        Ok(said)
    }

    fn node(&self, key: &str) -> String {
        format!("/files{}/{key}", self.path)
    }

    /// The file is read as it is shipped, `key` is set to `value`, and only that changes.
    fn set_and_get(&self, key: &str, value: &str) {
        let before = self.text();
        let errors = self.run(&["print /augeas//error".to_owned()]).unwrap();
        assert_eq!(errors, "", "{} is not read by {}", self.path, self.lens);
        let node = self.node(key);
        self.run(&[format!("set {node} \"{value}\""), "save".to_owned()])
            .unwrap();
        let said = self.run(&[format!("get {node}")]).unwrap();
        assert_eq!(said.trim_end(), format!("{node} = {value}"));
        let after = self.text();
        let added: Vec<&str> = after
            .lines()
            .filter(|line| !before.lines().any(|old| old == *line))
            .collect();
        assert_eq!(added.len(), 1, "{key}: {added:?}");
        assert!(added[0].starts_with(key), "{added:?}");
        assert!(
            before
                .lines()
                .all(|old| after.lines().any(|line| line == old)),
            "{key}: a line is lost"
        );
    }
}

/// Sets all `settings`, which must be all of `keys`, and returns what the file is then.
fn all(
    text: &str,
    path: &'static str,
    lens: &'static str,
    keys: &[&str],
    settings: &[(&str, &str)],
) -> Result<(PathBuf, Vec<u8>), String> {
    let installed = Installed::new(text, path, lens)?;
    for key in keys {
        assert!(
            settings.iter().any(|(name, _)| name == key),
            "{key} is not set here"
        );
    }
    for (key, value) in settings {
        installed.set_and_get(key, value);
    }
    Ok((PathBuf::from(path), installed.text().into_bytes()))
}

fn qemu_sanlock() -> Outcome {
    let written = all(
        include_str!("../../../conf/qemu-sanlock.conf"),
        qemu_sanlock_conf::PATH,
        "Libvirt_sanlock",
        qemu_sanlock_conf::KEYS,
        &[
            ("auto_disk_leases", "1"),
            ("disk_lease_dir", "/leases of \u{e4}ll"),
            ("host_id", "7"),
            ("require_lease_for_disks", "0"),
            ("io_timeout", "20"),
            ("user", "sanlock"),
            ("group", "+104"),
            ("ignore_readonly_and_shared_disks", "1"),
        ],
    );
    let (path, text) = match written {
        Ok(written) => written,
        Err(why) => return skipped(why),
    };
    let conf = qemu_sanlock_conf::parse(&path, &text).unwrap().conf;
    assert!(conf.auto_disk_leases && !conf.require_lease_for_disks);
    assert_eq!(conf.disk_lease_dir, Path::new("/leases of \u{e4}ll"));
    assert_eq!(
        (conf.host_id.unwrap().get(), conf.io_timeout.unwrap().get()),
        (7, 20)
    );
    assert_eq!(
        (conf.user.as_deref(), conf.group.as_deref()),
        (Some("sanlock"), Some("+104"))
    );
    Outcome::Passed
}

fn qemu_lockd() -> Outcome {
    let written = all(
        include_str!("../../../conf/qemu-lockd.conf"),
        qemu_lockd_conf::PATH,
        "Libvirt_lockd",
        qemu_lockd_conf::KEYS,
        &[
            ("auto_disk_leases", "1"),
            ("require_lease_for_disks", "1"),
            ("file_lockspace_dir", "/files"),
            ("lvm_lockspace_dir", "/volumes"),
            ("scsi_lockspace_dir", "/scsi"),
        ],
    );
    let (path, text) = match written {
        Ok(written) => written,
        Err(why) => return skipped(why),
    };
    let conf = qemu_lockd_conf::parse(&path, &text).unwrap().conf;
    assert!(conf.auto_disk_leases && conf.require_lease_for_disks);
    let dirs = [
        conf.file_lockspace_dir,
        conf.lvm_lockspace_dir,
        conf.scsi_lockspace_dir,
    ];
    assert_eq!(
        dirs.map(Option::unwrap),
        ["/files", "/volumes", "/scsi"].map(PathBuf::from)
    );
    Outcome::Passed
}

fn virtlockd() -> Outcome {
    let written = all(
        include_str!("../../../conf/virtlockd.conf"),
        "/etc/libvirt/virtlockd.conf",
        "Virtlockd",
        virtlockd_conf::KEYS,
        &[
            ("log_level", "2"),
            ("log_filters", "1:locking 4:rpc"),
            ("log_outputs", "3:syslog:virtlockd"),
            ("max_clients", "77"),
            ("admin_max_clients", "8"),
        ],
    );
    let (path, text) = match written {
        Ok(written) => written,
        Err(why) => return skipped(why),
    };
    let conf = virtlockd_conf::parse(&path, &text).unwrap().conf;
    assert_eq!(
        (conf.log_level, conf.max_clients, conf.admin_max_clients),
        (2, 77, 8)
    );
    assert_eq!(conf.log_filters.as_deref(), Some("1:locking 4:rpc"));
    assert_eq!(conf.log_outputs.as_deref(), Some("3:syslog:virtlockd"));
    Outcome::Passed
}

/// Nobody has a lens for it; that for files of this kind reads it.
fn sanlock() -> Outcome {
    let text = include_str!("../../../conf/sanlock.conf");
    let settings: Vec<(&str, &str)> = text
        .lines()
        .filter_map(|line| line.strip_prefix('#')?.split_once(" = "))
        .filter(|(key, _)| !key.contains(' '))
        // It may be there more than once.
        .filter(|(key, _)| *key != "debug_cmd")
        .collect();
    assert!(settings.len() > 20, "{settings:?}");
    let written = all(text, sanlock_conf::PATH, "Simplevars", &[], &settings);
    let (path, text) = match written {
        Ok(written) => written,
        Err(why) => return skipped(why),
    };
    let loaded = sanlock_conf::parse(&path, &text);
    assert_eq!(loaded.diagnostics, []);
    assert_eq!(loaded.conf.io_timeout, Some(10));
    assert_eq!(
        loaded.conf.our_host_name.as_deref(),
        Some(&b"host1.example.com"[..])
    );
    Outcome::Passed
}

fn wdmd() -> Outcome {
    let text = include_str!("../../../conf/wdmd.default");
    let installed = match Installed::new(text, "/etc/default/wdmd", "Shellvars") {
        Ok(installed) => installed,
        Err(why) => return skipped(why),
    };
    let node = installed.node("wdmd_opts");
    let set = format!("set {node} \"'-w /dev/watchdog1 -H 1'\"");
    installed.run(&[set, "save".to_owned()]).unwrap();
    let loaded = environment_file::parse(
        &installed.file(),
        installed.text().as_bytes(),
        Program::Wdmd,
    )
    .unwrap();
    assert_eq!(loaded.diagnostics, []);
    assert_eq!(loaded.conf.words, ["-w", "/dev/watchdog1", "-H", "1"]);
    Outcome::Passed
}
