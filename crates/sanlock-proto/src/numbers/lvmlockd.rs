//! Numbers of LVM's lock daemon, which begin at -210 too and reach users in LVM's messages ("Global lock
//! failed: error -210"). Known from lvm2's `lvmlockd-client.h`.

use super::{Reading, Retry, Source};

const fn reading(
    number: i32,
    symbol: &'static str,
    retry: Retry,
    meaning: &'static str,
    advice: &'static str,
) -> Reading {
    Reading {
        number,
        symbol,
        source: Source::Lvmlockd,
        meaning,
        advice,
        retry,
    }
}

use Retry::{AfterFixing, Later, Now};

#[rustfmt::skip]
pub(super) const READINGS: &[Reading] = &[
    reading(-210, "ENOLS", AfterFixing,
        "in a message of LVM: the volume group's lockspace has not been started",
        "vgchange --lockstart VG."),
    reading(-211, "ESTARTING", Later,
        "in a message of LVM: the volume group's lockspace is still being started",
        "Wait, or start it with vgchange --lockstart --lockopt wait."),
    reading(-212, "EARGS", AfterFixing,
        "in a message of LVM: the lock arguments of the volume group or volume are not valid",
        "Check them with vgs -o+locktype,lockargs and lvs -o+lockargs."),
    reading(-213, "EHOSTID", AfterFixing,
        "in a message of LVM: the host id is not valid",
        "Set host_id in lvmlocal.conf, 1 to 2000, another one on each host."),
    reading(-214, "EMANAGER", AfterFixing,
        "in a message of LVM: the lock manager does not run or could not be used",
        "Start sanlock and lvmlockd."),
    reading(-215, "EPREPARE", AfterFixing,
        "in a message of LVM: the lockspace could not be prepared",
        "Look in the log of lvmlockd (lvmlockctl --dump)."),
    reading(-216, "ELOCKD", AfterFixing,
        "in a message of LVM: lvmlockd failed",
        "Look in the log of lvmlockd (lvmlockctl --dump)."),
    reading(-217, "EVGKILLED", AfterFixing,
        "in a message of LVM: sanlock lost access to the volume group's leases",
        "Deactivate the volume group's volumes, then lvmlockctl --drop VG."),
    reading(-218, "ELOCKIO", Now,
        "in a message of LVM: i/o errors of the lease storage during the lock operation",
        "Check the volume group's lvmlock volume and the log of sanlock."),
    reading(-219, "EREMOVED", AfterFixing,
        "in a message of LVM: the volume group or its lock was removed",
        "Check that the volume group exists."),
    reading(-220, "EDEVOPEN", AfterFixing,
        "in a message of LVM: sanlock could not open the lvmlock volume",
        "Check that the devices of the volume group are there, and permissions."),
    reading(-221, "ELMERR", Now,
        "in a message of LVM: sanlock returned an error that lvmlockd does not tell apart",
        "Look in the log of sanlock (sanlock client log_dump) for the number behind it."),
];
