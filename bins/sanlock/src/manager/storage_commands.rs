//! Reading and writing leases for clients, outside any lockspace.

use ondisk::{
    AlignSize, Generation, Geometry, HostId, IoTimeout, Lver, Name, SectorSize, Timestamp,
};
use paxos::delta::{self, DeltaArea};
use paxos::resource::{self, InitKind, ResourceLease};
use sanlock_proto::flags::{LockspaceFlags, ResourceFlags, Sizes};
use tracing::{error, info};

use super::spec::{Area, LockspaceSpec, ResourceKey, ResourceSpec};
use super::{Code, Manager, errno};

/// What a lockspace's lease says about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockspaceFacts {
    /// Its name.
    pub name: Name,
    /// The host id whose lease was read.
    pub host_id: HostId,
    /// Its sizes, as `SANLK_LSF_*` flags.
    pub flags: u32,
    /// The I/O timeout in that host's lease.
    pub io_timeout: IoTimeout,
}

/// What a resource's lease says about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResourceFacts {
    /// Its lockspace and name.
    pub key: ResourceKey,
    /// The lease's version.
    pub lver: Lver,
    /// The client's flags, with the lease's sizes.
    pub flags: u32,
}

/// Who holds a lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnersFacts {
    /// The lease's version.
    pub lver: Lver,
    /// Whether any host holds it shared.
    pub shared: bool,
    /// The hosts.
    pub hosts: Vec<OwnerFacts>,
}

/// A host that holds a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OwnerFacts {
    /// Its host id.
    pub host_id: HostId,
    /// Its generation.
    pub generation: Generation,
    /// When it took the lease, by its own clock; zero for a shared one.
    pub timestamp: Timestamp,
}

/// The sizes that flags ask for, or those that follow from the device where they ask for none.
///
/// # Errors
/// -1 for flags that do not go together.
pub(super) fn geometry_of(sizes: Sizes, area: &paxos::Area) -> Result<Geometry, Code> {
    match wanted_sizes(sizes)? {
        Some(geometry) => Ok(geometry),
        None => SectorSize::from_bytes(area.disk.device_sector_size())
            .map(Geometry::for_sector_size_alone)
            .ok_or(errno::INVAL),
    }
}

fn wanted_sizes(sizes: Sizes) -> Result<Option<Geometry>, Code> {
    let sector = sizes.sector.and_then(SectorSize::from_bytes);
    let align = sizes.align.and_then(AlignSize::from_bytes);
    match (sector, align) {
        (None, None) => Ok(None),
        (Some(sector), Some(align)) => Geometry::new(sector, align).map(Some).ok_or_else(|| {
            error!("{sizes:?}: these sector and align sizes do not go together");
            errno::PERM
        }),
        _ => {
            error!("{sizes:?}: the flags for sector and align sizes must both be set");
            Err(errno::PERM)
        }
    }
}

impl Manager {
    /// The size and alignment of leases on a path: 1 MiB where sectors have 512 bytes, 8 MiB where they
    /// have 4096; -19 where it cannot be opened.
    pub async fn align(&self, area: &Area) -> Code {
        if area.path.as_os_str().is_empty() {
            return errno::NODEV;
        }
        let storage = self.host.storage();
        let io_timeout = self.default_context().timeouts.io;
        let Ok(opened) = self.open_area(&storage, area, io_timeout).await else {
            return errno::NODEV;
        };
        SectorSize::from_bytes(opened.disk.device_sector_size()).map_or(errno::INVAL, |sector| {
            let align = Geometry::for_sector_size_alone(sector).align.bytes();
            Code::try_from(align).unwrap_or(errno::INVAL)
        })
    }

    /// Makes a lockspace that nobody has joined. Zero, or the number that says why not.
    pub async fn write_lockspace(&self, spec: &LockspaceSpec, io_timeout: u32) -> Code {
        let context = self.default_context();
        if spec.area.path.as_os_str().is_empty() {
            return errno::NODEV;
        }
        let storage = self.host.storage();
        let Ok(area) = self
            .open_area(&storage, &spec.area, context.timeouts.io)
            .await
        else {
            return errno::NODEV;
        };
        let geometry = match geometry_of(LockspaceFlags::from_bits(spec.flags).sizes(), &area) {
            Ok(geometry) => geometry,
            Err(code) => return code,
        };
        let io_timeout = match io_timeout {
            0 => context.timeouts.io,
            seconds => IoTimeout(seconds),
        };
        let timeout = self.init_timeout();
        info!("write lockspace {spec}");
        match delta::init(
            &context,
            &DeltaArea { area, geometry },
            &spec.name,
            io_timeout,
            timeout,
        )
        .await
        {
            Ok(()) => 0,
            Err(failed) => {
                error!("lockspace {spec} could not be written: {failed}");
                failed.code()
            }
        }
    }

    /// Makes a lease that nobody holds, or the mark of a removed one. Zero, or the number that says why
    /// not.
    pub async fn write_resource(&self, spec: &ResourceSpec, num_hosts: u32, clear: bool) -> Code {
        let context = self.default_context();
        let areas = match self.open_areas(&spec.areas, context.timeouts.io).await {
            Ok(areas) => areas,
            Err(failed) => return failed.code(),
        };
        let Some(first) = areas.first() else {
            return errno::RANGE;
        };
        let geometry = match geometry_of(ResourceFlags::from_bits(spec.flags).sizes(), first) {
            Ok(geometry) => geometry,
            Err(code) => return code,
        };
        let lease = ResourceLease {
            space: spec.key.space,
            name: spec.key.name,
            areas,
            geometry,
        };
        let kind = if clear {
            InitKind::Cleared
        } else {
            InitKind::Free
        };
        // As the C program, that reads it as a signed number: what is negative stands for all hosts.
        let num_hosts = u64::try_from(num_hosts as i32).unwrap_or(0);
        match resource::init(&context, &lease, kind, num_hosts, self.init_timeout()).await {
            Ok(()) => 0,
            Err(failed) => {
                error!("{} could not be written: {failed}", spec.key);
                failed.code()
            }
        }
    }

    /// How long the writing of a whole new area may take: longer than the algorithms' requests.
    pub(super) fn init_timeout(&self) -> std::time::Duration {
        let seconds = match self.settings().write_init_io_timeout {
            0 => self.settings().io_timeout,
            seconds => seconds,
        };
        std::time::Duration::from_secs(u64::from(seconds))
    }

    /// Reads what one host's lease says about a lockspace.
    ///
    /// # Errors
    /// -19 it cannot be opened, and what the lease says.
    pub async fn read_lockspace(&self, spec: &LockspaceSpec) -> Result<LockspaceFacts, Code> {
        let context = self.default_context();
        if spec.area.path.as_os_str().is_empty() {
            return Err(errno::NODEV);
        }
        let storage = self.host.storage();
        let area = self
            .open_area(&storage, &spec.area, context.timeouts.io)
            .await
            .map_err(|_| errno::NODEV)?;
        let host = if spec.host_id == HostId(0) {
            HostId(1)
        } else {
            spec.host_id
        };
        let sizes = LockspaceFlags::from_bits(spec.flags).sizes();
        let sector = match sizes.sector.and_then(SectorSize::from_bytes) {
            Some(sector) => sector,
            // The first host's lease tells.
            None => {
                delta::probe(&context, &area, &spec.name, HostId(1))
                    .await
                    .map_err(|failed| match failed {
                        paxos::Error::SectorSize { .. } => errno::INVAL,
                        other => other.code(),
                    })?
                    .geometry
                    .sector
            }
        };
        let name = (!spec.name.is_empty()).then_some(&spec.name);
        let found = delta::read_lockspace(&context, &area, sector, name, host)
            .await
            .map_err(|failed| failed.code())?;
        Ok(LockspaceFacts {
            name: found.space,
            host_id: host,
            flags: with_sizes(spec.flags, found.geometry),
            io_timeout: found.io_timeout,
        })
    }

    /// Reads what a lease says about its resource.
    ///
    /// # Errors
    /// -2 and others when it cannot be opened, and what the lease says.
    pub async fn read_resource(&self, spec: &ResourceSpec) -> Result<ResourceFacts, Code> {
        let context = self.default_context();
        let areas = self
            .areas_of_lease(&spec.areas, context.timeouts.io)
            .await
            .map_err(|failed| failed.code())?;
        let area = areas.first().ok_or(errno::RANGE)?;
        let space = (!spec.key.space.is_empty()).then_some(&spec.key.space);
        let name = (!spec.key.name.is_empty()).then_some(&spec.key.name);
        let geometry = wanted_sizes(ResourceFlags::from_bits(spec.flags).sizes())
            .ok()
            .flatten();
        let found = resource::read_resource(&context, area, geometry, space, name)
            .await
            .map_err(|failed| failed.code())?;
        // The client's own may be wrong.
        let flags = match found.geometry {
            Some(geometry) => with_sizes(spec.flags, geometry),
            None => spec.flags,
        };
        Ok(ResourceFacts {
            key: ResourceKey {
                space: found.space,
                name: found.name,
            },
            lver: found.lver,
            flags,
        })
    }

    /// Reads who holds a lease.
    ///
    /// # Errors
    /// -2 and others when it cannot be opened, -22 other sizes than the client says, and what the lease
    /// says.
    pub async fn read_owners(&self, spec: &ResourceSpec) -> Result<OwnersFacts, Code> {
        let context = self.default_context();
        let areas = self
            .areas_of_lease(&spec.areas, context.timeouts.io)
            .await
            .map_err(|failed| failed.code())?;
        let lease = ResourceLease {
            space: spec.key.space,
            name: spec.key.name,
            areas,
            geometry: Geometry::for_sector_size_alone(SectorSize::B512),
        };
        let found = resource::read_owners(&context, &lease, None)
            .await
            .map_err(|failed| failed.code())?;
        let wanted = ResourceFlags::from_bits(spec.flags).sizes();
        let is = |wanted: Option<u32>, found: usize| {
            wanted.is_none_or(|wanted| usize::try_from(wanted) == Ok(found))
        };
        if !is(wanted.sector, found.geometry.sector.bytes())
            || !is(wanted.align, found.geometry.align.bytes())
        {
            error!(
                "{} has other sizes than {wanted:?}: {:?}",
                spec.key, found.geometry
            );
            return Err(errno::INVAL);
        }
        let hosts = found
            .hosts
            .iter()
            .map(|owner| OwnerFacts {
                host_id: owner.host,
                generation: owner.generation,
                timestamp: owner.timestamp,
            })
            .collect();
        Ok(OwnersFacts {
            lver: found.lver,
            shared: found.shared,
            hosts,
        })
    }
}

/// Flags with these sizes and no others; lockspaces and resources have the same bits for them.
fn with_sizes(flags: u32, geometry: Geometry) -> u32 {
    const ALL_SIZES: u32 = 0x3f0;
    let sector = match geometry.sector {
        SectorSize::B512 => 0x100,
        SectorSize::B4096 => 0x200,
    };
    (flags & !ALL_SIZES) | sector | geometry.align.leader_flag()
}
