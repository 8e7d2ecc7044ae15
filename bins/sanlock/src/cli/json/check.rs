//! `direct check`.

use ondisk::LeaseKind;
use serde::Serialize;

use crate::cli::direct::check::{Checked, Finding};

/// `direct check --json`.
#[derive(Debug, Serialize)]
pub struct Check {
    /// Whether nothing is wrong.
    pub ok: bool,
    /// What was checked on each disk.
    pub disks: Vec<CheckedDisk>,
}

/// A lease on one disk.
#[derive(Debug, Serialize)]
pub struct CheckedDisk {
    /// `lockspace` or `resource`.
    pub kind: &'static str,
    /// The file or device.
    pub path: String,
    /// Bytes from its start.
    pub offset: u64,
    /// Bytes, if known.
    pub sector_size: Option<u32>,
    /// Bytes, if known.
    pub align_size: Option<u64>,
    /// What is wrong.
    pub faults: Vec<FoundFault>,
}

/// Something wrong in one sector.
#[derive(Debug, Serialize)]
pub struct FoundFault {
    /// Which sector of the lease.
    pub sector: u64,
    /// Bytes from the start of the disk.
    pub offset: u64,
    /// The host whose sector it is.
    pub host_id: Option<u64>,
    /// Which record of the sector.
    pub record: &'static str,
    /// What is wrong with which field.
    pub what: String,
}

impl Check {
    /// What came of a check.
    #[must_use]
    pub fn of(checked: &[Checked]) -> Check {
        Check {
            ok: checked.iter().all(|checked| checked.findings.is_empty()),
            disks: checked.iter().map(CheckedDisk::of).collect(),
        }
    }
}

impl CheckedDisk {
    fn of(checked: &Checked) -> CheckedDisk {
        CheckedDisk {
            kind: match checked.kind {
                LeaseKind::Delta => "lockspace",
                LeaseKind::Paxos => "resource",
            },
            path: checked.path.clone(),
            offset: checked.offset,
            sector_size: checked.geometry.map(|geometry| geometry.sector.as_u32()),
            align_size: checked
                .geometry
                .map(|geometry| geometry.align.bytes() as u64),
            faults: checked.findings.iter().map(FoundFault::of).collect(),
        }
    }
}

impl FoundFault {
    fn of(finding: &Finding) -> FoundFault {
        FoundFault {
            sector: finding.sector,
            offset: finding.offset,
            host_id: finding.host.map(|host| host.0),
            record: finding.record,
            what: finding.what.clone(),
        }
    }
}
