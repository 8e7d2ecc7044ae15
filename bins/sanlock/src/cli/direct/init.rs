//! `direct init`.

use std::time::Duration;

use ondisk::{AlignSize, Geometry, IoTimeout, Name, SectorSize};
use paxos::resource::{self, InitKind};
use paxos::{Area, DeltaArea, ResourceLease, delta};
use sanlock_proto::flags::Sizes;
use sanlock_proto::text;
use storage::Disk;

use super::fault::Fault;
use super::host::context;
use super::leaders::lockspace_line;
use super::{INVALID, NO_DEVICE, Run, path_of, syslog};
use crate::cli::text::Line;

impl Run<'_, '_> {
    pub(super) fn init(&mut self) -> i32 {
        let outcome = if self.options.is_about_lockspace() {
            self.init_lockspace()
        } else {
            self.init_resource()
        };
        self.done("init", outcome)
    }

    fn init_lockspace(&self) -> Result<(), Fault> {
        let lockspace = self.options.sized_lockspace();
        let line = lockspace_line("init lockspace ", &lockspace);
        syslog::record(&line.show(format_args!(" {:#x}", lockspace.flags.bits())));
        let sizes = whole_pair(lockspace.flags.sizes())?;
        let disk = self.open_lockspace()?;
        let geometry = geometry_on(&*disk, sizes)?;
        let area = DeltaArea {
            area: Area::new(disk, lockspace.disk.offset),
            geometry,
        };
        let space = Name::from_raw(*lockspace.name.raw());
        let io_timeout = IoTimeout(self.options.io_timeout);
        let ctx = context(self.options);
        let made = delta::init(&ctx, &area, &space, io_timeout, self.init_timeout());
        Ok(self.runtime.block_on(made)?)
    }

    fn init_resource(&self) -> Result<(), Fault> {
        let Some(resource) = self.options.sized_resource() else {
            let message = "-s LOCKSPACE with a path, or -r RESOURCE, is needed";
            return Err(Fault::new(INVALID, message));
        };
        let line = text::format_resource(&resource).map_err(|e| Fault::new(e.code(), e))?;
        syslog::record(&Line::new("init resource ").raw(&line));
        if resource
            .disks
            .first()
            .is_none_or(|disk| disk.path.is_empty())
        {
            return Err(Fault::new(NO_DEVICE, "the resource has no path"));
        }
        let sizes = whole_pair(resource.flags.sizes())?;
        let mut areas = Vec::new();
        for disk in &resource.disks {
            let opened = self.open(path_of(&disk.path)?)?;
            areas.push(Area::new(opened, disk.offset));
        }
        let Some(first) = areas.first() else {
            return Err(Fault::new(NO_DEVICE, "the resource has no disk"));
        };
        let lease = ResourceLease {
            space: Name::from_raw(*resource.lockspace.raw()),
            name: Name::from_raw(*resource.name.raw()),
            geometry: geometry_on(&*first.disk, sizes)?,
            areas,
        };
        let kind = if self.options.clear {
            InitKind::Cleared
        } else {
            InitKind::Free
        };
        // Not a negative number, which the original takes for an enormous one: it stands for all.
        let hosts = u64::try_from(self.options.num_hosts).unwrap_or(0);
        let ctx = context(self.options);
        let made = resource::init(&ctx, &lease, kind, hosts, self.init_timeout());
        Ok(self.runtime.block_on(made)?)
    }

    /// The time for writing a whole area.
    pub(super) fn init_timeout(&self) -> Duration {
        match self.options.configured.write_init_io_timeout {
            0 => self.io_timeout(),
            seconds => Duration::from_secs(seconds.into()),
        }
    }
}

/// -1: the original's answer to one size without the other.
const HALF_SIZES: i32 = -1;

/// Both sizes, or none of them.
pub(super) fn whole_pair(sizes: Sizes) -> Result<Option<Geometry>, Fault> {
    match (sizes.sector, sizes.align) {
        (None, None) => Ok(None),
        (Some(sector), Some(align)) => SectorSize::from_bytes(sector)
            .zip(AlignSize::from_bytes(align))
            .and_then(|(sector, align)| Geometry::new(sector, align))
            .map(Some)
            .ok_or_else(|| Fault::new(HALF_SIZES, "-Z and -A do not go together")),
        _ => Err(Fault::new(HALF_SIZES, "give both -Z and -A, or neither")),
    }
}

/// The sizes given, or else what the disk's sector size stands for.
pub(super) fn geometry_on(disk: &dyn Disk, sizes: Option<Geometry>) -> Result<Geometry, Fault> {
    sizes
        .or_else(|| {
            let sector = SectorSize::from_bytes(disk.device_sector_size())?;
            Some(Geometry::for_sector_size_alone(sector))
        })
        .ok_or_else(|| {
            let (path, bytes) = (disk.path().display(), disk.device_sector_size());
            Fault::new(
                INVALID,
                format!("{path} has sectors of {bytes} bytes; give -Z and -A"),
            )
        })
}
