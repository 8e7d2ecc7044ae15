//! Disks that are volumes, which virtlockd locks by the names that LVM and SCSI have for them.
//!
//! libvirt and virtlockd are the real ones. What is asked for the names stands in for `lvs` and `scsi_id`, as neither LVM
//! nor SCSI has anything to say of a loop device.

use anyhow::Result;

use crate::lab::Lab;
use crate::lab::guest::{Disk, Guest};
use crate::lab::host::Host;
use crate::lab::scenario::{Manager, Scenario, Setup};

pub(super) const SCENARIOS: &[Scenario] = &[Scenario {
    name: "volumes-lockd",
    what: "a guest on an LVM volume, and one on a SCSI disk, is refused on the other host, by the volume's own name",
    setup: Setup {
        device_sector: Some(512),
        volumes: true,
        ..Setup::new(Manager::Lockd, 2)
    },
    play,
}];

const LVS: &str = "/usr/sbin/lvs";
const SCSI_ID: &str = "/usr/lib/udev/scsi_id";

/// What the two say of the device.
const UUID: &str = "06UgP5-2rhb-w3Bo-3mdR-WeoL-pytO-SAa2ky";
const SERIAL: &str = "36001405b1c1d2e3f";

fn play(lab: &mut Lab) -> Result<()> {
    let device = lab.device()?;
    lab.step("The device is a logical volume");
    install(lab, LVS, &answers(&["lvs", &device, &format!("  {UUID}")]))?;
    install(lab, SCSI_ID, "#!/bin/sh\nexit 1\n")?;
    goes_by(lab, &device, UUID)?;

    lab.step("The device is a SCSI disk, and no logical volume");
    install(lab, LVS, "#!/bin/sh\nexit 5\n")?;
    install(lab, SCSI_ID, &answers(&["scsi_id", &device, SERIAL]))?;
    goes_by(lab, &device, SERIAL)
}

/// A program that knows this device and no other.
fn answers(words: &[&str; 3]) -> String {
    let [name, device, answer] = words;
    format!(
        "#!/bin/sh\nfor path; do :; done\n\
         [ \"$path\" = {device} ] || {{ echo \"{name}: $path: unknown\" >&2; exit 5; }}\n\
         echo '{answer}'\n"
    )
}

fn install(lab: &Lab, place: &str, script: &str) -> Result<()> {
    let (one, other) = lab.pair();
    for host in [one, other] {
        // It may be a link to a program with many names.
        host.run(&["rm", "-f", place])?;
        host.write(place, script)?;
        host.run(&["chmod", "755", place])?;
    }
    Ok(())
}

fn goes_by(lab: &Lab, device: &str, name: &str) -> Result<()> {
    let (one, other) = lab.pair();
    let guest = |name| Guest::new(name).disk(Disk::device(device, "sda"));
    let names = ["guest", "second"];
    let define = |host: &Host| names.iter().try_for_each(|name| host.define(&guest(name)));
    define(one)?;
    define(other)?;
    one.virsh(&["start", "guest"])?;
    lab.lease_held(one, "guest", name)?;
    one.refused(&["start", "second"], lab.refusal_on_same_host())?;
    other.refused(&["start", "guest"], lab.refusal_on_other_host())?;
    one.expect_state("guest", "running")?;
    lab.lease_held(one, "guest", name)?;

    one.virsh(&["destroy", "guest"])?;
    lab.lease_free(one, name)?;
    other.virsh(&["start", "guest"])?;
    lab.lease_held(other, "guest", name)?;
    one.refused(&["start", "guest"], lab.refusal_on_other_host())?;
    other.virsh(&["destroy", "guest"])?;
    lab.lease_free(other, name)
}
