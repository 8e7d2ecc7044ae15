//! Where the lockspace and the resources of a run stand on the simulated disks.

use std::path::{Path, PathBuf};

use ondisk::{
    Dblock, Generation, Geometry, HostId, IoTimeout, Leader, Lver, Name, Timestamp,
    init_lockspace_area, init_resource_area, lockspace_commit_sector,
};
use sanlock::manager::spec::{Area, ResourceKey};
use storage::sim::SimStorage;

/// A resource's place.
#[derive(Debug, Clone)]
pub struct Resource {
    /// Its lockspace and name.
    pub key: ResourceKey,
    /// One area, or one on each of several disks.
    pub areas: Vec<Area>,
    /// The hosts that take part in its ballots.
    pub num_hosts: u64,
    /// It has yet to be made: where it shall stand are the remains of an earlier one.
    pub unmade: bool,
}

/// All leases of a run.
#[derive(Debug, Clone)]
pub struct Layout {
    /// Sizes of all of them.
    pub geometry: Geometry,
    /// The disks are block devices with sectors of this size, not regular files.
    pub device: bool,
    /// The lockspace's name.
    pub space: Name,
    /// The lockspace's place.
    pub lockspace: Area,
    /// The resources.
    pub resources: Vec<Resource>,
}

/// What a piece of a disk belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The lockspace, so many bytes from its start.
    Lockspace(u64),
    /// A resource, on one of its disks, so many bytes from its start.
    Resource(usize, usize, u64),
}

fn name(text: &str) -> Name {
    text.parse().unwrap_or_default()
}

impl Layout {
    /// A lockspace with `resources` resources, the last one unmade if `unmade`. `apart` puts the lockspace
    /// on a disk of its own, `copies` the first resource on three others.
    #[must_use]
    pub fn new(
        (geometry, device): (Geometry, bool),
        resources: usize,
        num_hosts: u64,
        unmade: bool,
        apart: bool,
        copies: bool,
    ) -> Self {
        let align = geometry.align.bytes() as u64;
        let common = PathBuf::from("/leases");
        let lockspace_path = if apart {
            PathBuf::from("/lockspace")
        } else {
            common.clone()
        };
        let space = name("space");
        let resources = (0..resources).map(|number| {
            let areas = if number == 0 && copies {
                (1..=3)
                    .map(|disk| Area {
                        path: format!("/disk{disk}").into(),
                        offset: 0,
                    })
                    .collect()
            } else {
                vec![Area {
                    path: common.clone(),
                    offset: (number as u64 + 1) * align,
                }]
            };
            Resource {
                key: ResourceKey {
                    space,
                    name: name(&format!("resource{number}")),
                },
                areas,
                num_hosts,
                unmade: unmade && number + 1 == resources,
            }
        });
        Self {
            geometry,
            device,
            space,
            lockspace: Area {
                path: lockspace_path,
                offset: 0,
            },
            resources: resources.collect(),
        }
    }

    /// All disks.
    #[must_use]
    pub fn paths(&self) -> Vec<PathBuf> {
        let areas = self.resources.iter().flat_map(|resource| &resource.areas);
        let mut paths: Vec<_> = areas
            .chain([&self.lockspace])
            .map(|area| area.path.clone())
            .collect();
        paths.sort();
        paths.dedup();
        paths
    }

    /// What stands at byte `offset` of a disk.
    #[must_use]
    pub fn place(&self, path: &Path, offset: u64) -> Option<Place> {
        let align = self.geometry.align.bytes() as u64;
        let within = |area: &Area| {
            let at = offset.checked_sub(area.offset).filter(|at| *at < align)?;
            (area.path == path).then_some(at)
        };
        if let Some(at) = within(&self.lockspace) {
            return Some(Place::Lockspace(at));
        }
        self.resources
            .iter()
            .enumerate()
            .find_map(|(number, resource)| {
                resource.areas.iter().enumerate().find_map(|(disk, area)| {
                    within(area).map(|at| Place::Resource(number, disk, at))
                })
            })
    }

    /// The host whose sector stands at byte `at` of a resource, if it is one.
    #[must_use]
    pub fn sector_of(&self, at: u64) -> Option<HostId> {
        let sector = at / self.geometry.sector.bytes() as u64;
        sector
            .checked_sub(1)
            .map(HostId)
            .filter(|host| self.geometry.has_host(*host))
    }

    /// Puts everything on the disks as it is before the first host comes.
    pub fn format(&self, storage: &SimStorage) {
        let align = self.geometry.align.bytes();
        for path in self.paths() {
            let areas = self.resources.iter().flat_map(|resource| &resource.areas);
            let end = areas
                .chain([&self.lockspace])
                .filter(|area| area.path == path)
                .map(|area| usize::try_from(area.offset).unwrap_or(0) + align)
                .max();
            let end = end.unwrap_or(0);
            if self.device {
                storage.create_device(&path, end, self.geometry.sector.as_u32());
            } else {
                storage.create_file(&path, end);
            }
        }
        let mut area = vec![0; align];
        let io_timeout = IoTimeout(10);
        let geometry = self.geometry;
        let written =
            init_lockspace_area(geometry, &self.space, io_timeout, &mut area).and_then(|()| {
                let first = &mut area[..geometry.sector.bytes()];
                lockspace_commit_sector(geometry, &self.space, io_timeout, first)
            });
        debug_assert!(written.is_ok());
        storage.write_raw(&self.lockspace.path, 0, &area);
        for resource in &self.resources {
            let cleared = resource.unmade.then_some(Timestamp(1));
            let ResourceKey { space, name } = resource.key;
            let written = init_resource_area(
                geometry,
                &space,
                &name,
                resource.num_hosts,
                cleared,
                &mut area,
            );
            debug_assert!(written.is_ok());
            if resource.unmade {
                self.leave_remains(&mut area);
            }
            for place in &resource.areas {
                storage.write_raw(
                    &place.path,
                    usize::try_from(place.offset).unwrap_or(0),
                    &area,
                );
            }
        }
    }

    /// What hosts left in the dblocks of an earlier resource at the same place.
    fn leave_remains(&self, area: &mut [u8]) {
        for host in 1..4 {
            let mut dblock = Dblock {
                mbal: 2000 * host + host,
                bal: 2000 * host + host,
                inp: HostId(host),
                inp2: Generation(1),
                inp3: Timestamp(77),
                lver: Lver(host),
                ..Dblock::default()
            };
            let at = self.geometry.dblock_offset(HostId(host)).unwrap_or(0);
            dblock.encode(&mut area[usize::try_from(at).unwrap_or(0)..]);
        }
        debug_assert!(Leader::decode(area).is_ok());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_byte_has_one_place() {
        let layout = Layout::new((Geometry::ALL[0], false), 3, 8, true, false, true);
        assert_eq!(layout.paths().len(), 4);
        let place = |path: &str, offset| layout.place(Path::new(path), offset);
        assert_eq!(place("/leases", 512), Some(Place::Lockspace(512)));
        assert_eq!(place("/leases", 3 << 20), Some(Place::Resource(2, 0, 0)));
        assert_eq!(place("/leases", 1 << 20), None);
        assert_eq!(place("/disk2", 1024), Some(Place::Resource(0, 1, 1024)));
        assert_eq!(layout.sector_of(1024), Some(HostId(1)));
        assert_eq!(layout.sector_of(0), None);
    }
}
