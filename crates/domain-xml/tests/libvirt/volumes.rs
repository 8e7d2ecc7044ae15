//! Block devices that are LVM or SCSI volumes, by programs that stand in for those that know.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use crate::harness::{Outcome, skipped};
use crate::oracle::{Answer, Driver, ask, directory, ours, status_file};

/// Answers as lvs and scsi_id do, by the path's last letter.
const LVS: &str = r#"#!/bin/sh
for path; do :; done
case "$*" in "--noheadings --unbuffered --nosuffix --options uuid "*) ;; *) exit 3 ;; esac
case $path in
*u) echo "  06UgP5-2rhb-w3Bo-3mdR-WeoL-pytO-SAa2ky" ;;
*b) echo "  " ;;
*m) printf '  first  \nsecond\n' ;;
*p) printf ' half'; exit 5 ;;
*) echo "Volume not found" >&2; exit 5 ;;
esac
"#;
const SCSI_ID: &str = r#"#!/bin/sh
for path; do :; done
case "$*" in "--replace-whitespace --whitelisted --device "*) ;; *) exit 3 ;; esac
case $path in
*s) echo "36001405b1c1d2e3f" ;;
*t) printf ' spaced\n\n' ;;
*) exit 1 ;;
esac
"#;

pub fn all() -> Outcome {
    if let Err(why) = ask(Driver::Lockd, b"", &[]) {
        return skipped(why);
    }
    let dir = directory("volumes");
    if let Err(why) = stand_in(&dir) {
        return skipped(why);
    }
    let disks: String = ["/dev/u", "/dev/b", "/dev/m", "/dev/p", "/dev/s", "/dev/t", "/dev/none", "/devices/u", "/images/u"]
        .iter()
        .zip('a'..)
        .map(|(path, letter)| {
            format!("<disk type='block'><source dev='{path}'/><target dev='vd{letter}' bus='virtio'/></disk>")
        })
        .collect();
    let domain = dir.join("domain.xml");
    status_file(
        &domain,
        &format!(
            "<domain type='qemu' id='1'><name>g</name><uuid>c7a5fdbd-edaf-9455-926a-d65c16db1809</uuid>\
             <memory>1024</memory><vcpu>1</vcpu><os><type arch='x86_64'>hvm</type></os>\
             <devices>{disks}</devices></domain>"
        ),
    );
    for (conf, wanted) in [
        (
            "lvm_lockspace_dir = \"/lvm\"\n",
            "lock /lvm\t06UgP5-2rhb-w3Bo-3mdR-WeoL-pytO-SAa2ky\t2",
        ),
        (
            "scsi_lockspace_dir = \"/scsi\"\n",
            "lock /scsi\t36001405b1c1d2e3f\t2",
        ),
        (
            "lvm_lockspace_dir = \"/lvm\"\nscsi_lockspace_dir = \"/scsi\"\nfile_lockspace_dir = \"/file\"\n",
            "lock /lvm\tfirst  \t2",
        ),
    ] {
        let session = ask(
            Driver::Lockd,
            conf.as_bytes(),
            std::slice::from_ref(&domain),
        )
        .unwrap();
        let [(theirs, why)] = session.answers.as_slice() else {
            panic!("{} answers", session.answers.len());
        };
        let Answer::Started(locks) = theirs else {
            panic!("{why}");
        };
        assert!(locks.iter().any(|lock| lock == wanted), "{locks:?}");
        let (ours, our_why) = ours(Driver::Lockd, conf.as_bytes(), &domain);
        assert_eq!(ours, *theirs, "{conf}: {our_why}");
    }
    Outcome::Passed
}

/// Puts them where libvirt looks for them, for this process alone.
fn stand_in(dir: &Path) -> Result<(), String> {
    use nix::mount::{MsFlags, mount};
    use nix::sched::{CloneFlags, unshare};

    unshare(CloneFlags::CLONE_NEWNS)
        .map_err(|error| format!("no right to make a mount namespace: {error}"))?;
    let none = None::<&str>;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)
        .map_err(|error| error.to_string())?;
    for (place, name, script) in [
        ("/usr/sbin", "lvs", LVS),
        ("/usr/lib/udev", "scsi_id", SCSI_ID),
    ] {
        let upper = dir.join(name);
        let work = dir.join(format!("{name}-work"));
        for dir in [&upper, &work] {
            std::fs::create_dir_all(dir).map_err(|error| error.to_string())?;
        }
        let program = upper.join(name);
        std::fs::write(&program, script).map_err(|error| error.to_string())?;
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755))
            .map_err(|error| error.to_string())?;
        let options = format!(
            "lowerdir={place},upperdir={},workdir={}",
            upper.display(),
            work.display()
        );
        mount(
            Some("overlay"),
            place,
            Some("overlay"),
            MsFlags::empty(),
            Some(options.as_str()),
        )
        .map_err(|error| format!("no overlay on {place}: {error}"))?;
    }
    match Command::new("/sbin/lvs").output() {
        Ok(output) if output.status.code() == Some(3) => Ok(()),
        other => Err(format!("/sbin is not /usr/sbin here: {other:?}")),
    }
}
