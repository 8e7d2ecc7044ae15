//! libvirt on a host: its settings, made with augtool as its documentation says, and its guests.

use std::io::Write;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use super::daemons::Daemon;
use super::guest::Guest;
use super::host::Host;
use super::scenario::{Manager, Setup};
use super::story::Kind;

const URI: &str = "qemu:///system";

/// SASL's users.
const PASSWORDS: &str = "/etc/libvirt/passwd.db";

/// Where clients of libvirt look for a password.
pub(crate) const CREDENTIALS: &str = "[credentials-lab]\nauthname=fred\npassword=secret\n\
                           [auth-libvirt-default]\ncredentials=lab\n";

/// What a test host needs, whatever the lock manager: guests run as root, without what only a service manager
/// can give, and libvirtd listens for migrations in the lab's own network.
const LAB_SETTINGS: &[(&str, &str)] = &[
    ("qemu.conf/user", "root"),
    ("qemu.conf/group", "root"),
    ("qemu.conf/security_driver", "none"),
    ("qemu.conf/namespaces", ""),
    ("qemu.conf/cgroup_controllers", ""),
    ("qemu.conf/stdio_handler", "file"),
    ("libvirtd.conf/listen_tls", "0"),
    ("libvirtd.conf/listen_tcp", "1"),
    ("libvirtd.conf/auth_tcp", "none"),
];

impl Host {
    /// Makes the settings; the daemons read them when they are started.
    pub(super) fn configure(&self, setup: &Setup) -> Result<()> {
        let mut settings: Vec<(&str, String)> = LAB_SETTINGS
            .iter()
            .map(|&(key, value)| (key, value.to_owned()))
            .collect();
        let number = self.plan.number;
        // Else two hosts on one computer would be one host.
        let uuid = format!("00000000-0000-4000-8000-{number:012}");
        settings.push(("libvirtd.conf/host_uuid", uuid));
        match setup.manager {
            Manager::None => {}
            Manager::Sanlock => {
                let number = setup.host_ids.unwrap_or([1, 2])[usize::from(number - 1)];
                settings.extend([
                    ("qemu.conf/lock_manager", "sanlock".to_owned()),
                    ("qemu-sanlock.conf/host_id", number.to_string()),
                    (
                        "qemu-sanlock.conf/auto_disk_leases",
                        u8::from(setup.auto_leases).to_string(),
                    ),
                    (
                        "qemu-sanlock.conf/disk_lease_dir",
                        "/var/lib/libvirt/sanlock".to_owned(),
                    ),
                    ("qemu-sanlock.conf/io_timeout", "1".to_owned()),
                    ("qemu-sanlock.conf/user", "root".to_owned()),
                    ("qemu-sanlock.conf/group", "root".to_owned()),
                ]);
                if setup.require_leases {
                    settings.push(("qemu-sanlock.conf/require_lease_for_disks", "1".to_owned()));
                }
            }
            Manager::Lockd => {
                settings.push(("qemu.conf/lock_manager", "lockd".to_owned()));
                if setup.lockspace {
                    let dir = "/var/lib/libvirt/lockd/files".to_owned();
                    settings.push(("qemu-lockd.conf/file_lockspace_dir", dir));
                }
                if setup.volumes {
                    let dir = |kind: &str| format!("/var/lib/libvirt/lockd/{kind}");
                    settings.push(("qemu-lockd.conf/lvm_lockspace_dir", dir("lvm")));
                    settings.push(("qemu-lockd.conf/scsi_lockspace_dir", dir("scsi")));
                }
            }
        }
        if setup.passwords {
            settings.push(("libvirtd.conf/auth_unix_rw", "sasl".to_owned()));
            self.set_password()?;
        }
        self.augtool(&settings)
    }

    /// A user of libvirt's, and root's programs know the password.
    fn set_password(&self) -> Result<()> {
        let sasl = format!("mech_list: SCRAM-SHA-256\nsasldb_path: {PASSWORDS}\n");
        self.run(&["mkdir", "-p", "/etc/sasl2"])?;
        self.write("/etc/sasl2/libvirt.conf", &sasl)?;
        let script = format!("echo secret | saslpasswd2 -p -c -a libvirt -f {PASSWORDS} fred");
        self.run(&["sh", "-c", &script])?;
        self.write("/etc/libvirt/auth.conf", CREDENTIALS)
    }

    fn augtool(&self, settings: &[(&str, String)]) -> Result<()> {
        let mut script = String::new();
        for (key, value) in settings {
            script.push_str(&format!("set /files/etc/libvirt/{key} \"{value}\"\n"));
        }
        let mut child = self
            .command("augtool")
            .arg("--autosave")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot run augtool")?;
        let mut input = child.stdin.take().context("no pipe")?;
        input.write_all(script.as_bytes())?;
        drop(input);
        let output = child.wait_with_output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        // It ends with 0 even if a file could not be saved.
        let saved = output.status.success() && text.contains("Saved");
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(saved, "augtool made no settings: {text}{errors}");
        self.teller.tell(
            Kind::Command,
            Some(self.name()),
            format!("augtool: {script}"),
        );
        Ok(())
    }

    /// Starts the lock manager's daemon and libvirtd.
    pub(crate) fn start_services(&self, setup: &Setup) -> Result<()> {
        match (setup.manager, setup.activated) {
            (Manager::Sanlock, _) => self.start_daemon(Daemon::Sanlock)?,
            (Manager::Lockd, None) => self.start_daemon(Daemon::Virtlockd)?,
            (Manager::Lockd, Some(timeout)) => self.activate_virtlockd(timeout)?,
            (Manager::None, _) => {}
        }
        self.start_daemon(Daemon::Libvirtd)
    }

    /// `virsh WORDS`, whatever comes of it.
    pub(crate) fn try_virsh(&self, words: &[&str]) -> Result<super::host::Said> {
        let all: Vec<&str> = ["virsh", "--connect", URI]
            .iter()
            .chain(words)
            .copied()
            .collect();
        let said = self.quietly(&all)?;
        let result = match (said.ok, said.text.as_str()) {
            (true, "") => String::new(),
            (true, text) => format!(": {text}"),
            (false, text) => format!(": refused: {text}"),
        };
        let line = format!("virsh {}{result}", words.join(" "));
        self.teller.tell(Kind::Command, Some(self.name()), line);
        Ok(said)
    }

    /// `virsh WORDS`, which must succeed.
    pub(crate) fn virsh(&self, words: &[&str]) -> Result<String> {
        let said = self.try_virsh(words)?;
        ensure!(
            said.ok,
            "`virsh {}` failed on {}: {}",
            words.join(" "),
            self.name(),
            said.text
        );
        Ok(said.text)
    }

    /// `virsh WORDS`, which must be refused with one of these reasons.
    pub(crate) fn refused(&self, words: &[&str], reasons: &[&str]) -> Result<()> {
        let said = self.try_virsh(words)?;
        ensure!(
            !said.ok,
            "`virsh {}` succeeded on {}, and must be refused",
            words.join(" "),
            self.name()
        );
        let known = reasons.iter().any(|reason| said.text.contains(reason));
        ensure!(
            known,
            "`virsh {}` on {} was refused, but not for the reason \"{}\": {}",
            words.join(" "),
            self.name(),
            reasons.join("\" or \""),
            said.text
        );
        Ok(())
    }

    /// Makes a guest known, and its disks' images where there are none.
    pub(crate) fn define(&self, guest: &Guest) -> Result<()> {
        for disk in guest.disks.iter().filter(|disk| !disk.is_device()) {
            let said = match disk.format {
                "raw" => self.quietly(&["truncate", "--size=1M", &disk.source])?,
                format => self.quietly(&[
                    "sh",
                    "-c",
                    "test -e $1 || qemu-img create -q -f $2 $1 1M",
                    "sh",
                    &disk.source,
                    format,
                ])?,
            };
            ensure!(said.ok, "cannot make an image: {}", said.text);
        }
        let file = format!("/run/lab/{}.xml", guest.name);
        self.write(&file, &guest.xml())?;
        self.virsh(&["define", &file]).map(drop)
    }

    /// What libvirt says of a guest: `running`, `paused`, `shut off`.
    pub(crate) fn state(&self, guest: &str) -> Result<String> {
        let said = self.quietly(&["virsh", "--connect", URI, "domstate", guest])?;
        if !said.ok {
            bail!("no state of {guest} on {}: {}", self.name(), said.text);
        }
        Ok(said.text)
    }

    /// A guest must be in this state.
    pub(crate) fn expect_state(&self, guest: &str, wanted: &str) -> Result<()> {
        let state = self.state(guest)?;
        ensure!(
            state == wanted,
            "{guest} on {} is {state}, and should be {wanted}",
            self.name()
        );
        Ok(())
    }

    /// Waits until a guest is in this state.
    pub(crate) fn until_state(&self, guest: &str, wanted: &str, limit: Duration) -> Result<()> {
        self.until(&format!("{guest} is {wanted}"), limit, |host| {
            Ok(host.state(guest)? == wanted)
        })
        .map(drop)
    }

    /// The process id of a guest's QEMU, on the host.
    pub(crate) fn guest_pid(&self, guest: &str) -> Result<u32> {
        self.read(&format!("/run/libvirt/qemu/{guest}.pid"))
            .and_then(|text| text.trim().parse().ok())
            .with_context(|| format!("{guest} has no process on {}", self.name()))
    }

    /// Kills a guest's QEMU, by surprise.
    pub(crate) fn kill_guest(&self, guest: &str) -> Result<()> {
        let pid = self.guest_pid(guest)?;
        self.inject(format!("QEMU of {guest} gets SIGKILL"));
        let said = self.signal(pid, "KILL")?;
        ensure!(said.ok, "cannot kill {guest}: {}", said.text);
        self.until(
            &format!("{guest}'s QEMU is gone"),
            Duration::from_secs(60),
            |host| Ok(!host.is_alive(pid)),
        )
        .map(drop)
    }
}
