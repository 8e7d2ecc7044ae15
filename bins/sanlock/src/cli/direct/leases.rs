//! `direct acquire`, `release`, `acquire_id`, `release_id` and `renew_id`: for tests and emergencies.

use std::sync::Arc;

use ondisk::{Generation, Geometry, HostBitmap, HostId, Leader, LeaderFault, Name};
use paxos::delta::{Namesake, RenewalPolicy, Renewer};
use paxos::resource::release_leader;
use paxos::{
    AcquireOptions, Area, Cancel, DeltaArea, DeltaLease, Member, NoLiveness, ResourceLease,
    acquire_exclusive, undo,
};
use storage::Disk;

use super::fault::Fault;
use super::host::context;
use super::{INVALID, Run, path_of, syslog};
use crate::cli::text::Line;

impl Run<'_, '_> {
    pub(super) fn acquire(&mut self) -> i32 {
        syslog::record(&Line::new("acquire"));
        let outcome = self.acquire_resource();
        self.done("acquire", outcome)
    }

    fn acquire_resource(&self) -> Result<(), Fault> {
        let lease = self.resource_lease()?;
        let (host, max) = (HostId(self.options.host_id), lease.geometry.max_hosts());
        if host.0 > max {
            return Err(LeaderFault::NumHosts { found: max, host }.into());
        }
        let ctx = context(self.options);
        let (options, cancel) = (AcquireOptions::default(), Cancel::new());
        self.runtime.block_on(async {
            let us = self.member();
            match acquire_exclusive(&ctx, &lease, us, &NoLiveness, &options, &cancel).await {
                Ok(_) => Ok(()),
                Err(failed) => {
                    let fault = Fault::new(failed.code(), &failed.error);
                    if let Some(mut what) = failed.undo {
                        // Nobody is there to try again later; the first failure is the one to tell.
                        let _ = undo(&ctx, &mut what).await;
                    }
                    Err(fault)
                }
            }
        })
    }

    pub(super) fn release(&mut self) -> i32 {
        syslog::record(&Line::new("release"));
        let outcome = self.release_resource();
        if let Ok(false) = outcome {
            self.console.hint(
                "sanlock: release: nothing was written: the host of -i and -g has not written the leader",
            );
        }
        self.done("release", outcome.map(|_| ()))
    }

    /// Frees the leader if the host of `-i` and `-g` owns it. The original does not look at the two
    /// options, acts as host 0, and so releases nothing.
    fn release_resource(&self) -> Result<bool, Fault> {
        if let Some(resource) = self.options.resources.first() {
            // What is wrong with the leader says more than that it does not tell the sizes.
            self.resource_leader(resource).outcome?;
        }
        let lease = self.resource_lease()?;
        let ctx = context(self.options);
        let released = release_leader(&ctx, &lease, self.member(), None, None);
        Ok(self.runtime.block_on(released)?.is_some())
    }

    fn member(&self) -> Member {
        let generation = Generation(self.options.generation);
        Member {
            host: HostId(self.options.host_id),
            generation,
        }
    }

    fn resource_lease(&self) -> Result<ResourceLease, Fault> {
        let Some(resource) = self.options.resources.first() else {
            return Err(Fault::new(INVALID, "-r RESOURCE is needed"));
        };
        let mut areas = Vec::new();
        let mut last = Fault::new(-1, "the resource has no disk");
        for disk in &resource.disks {
            let path = path_of(&disk.path)?;
            areas.push(match self.open(path) {
                Ok(opened) => Area::new(opened, disk.offset),
                Err(error) => {
                    last = Fault::from(error.clone());
                    Area::unopened(path, disk.offset, error)
                }
            });
        }
        let geometry = match areas.first() {
            Some(area) => self.sizes(&area.disk, area.offset).map_err(|fault| {
                // What keeps the disk from being opened says more.
                if fault.code == last.code {
                    last.clone()
                } else {
                    fault
                }
            })?,
            None => return Err(last),
        };
        Ok(ResourceLease {
            space: Name::from_raw(*resource.lockspace.raw()),
            name: Name::from_raw(*resource.name.raw()),
            areas,
            geometry,
        })
    }

    pub(super) fn acquire_id(&mut self) -> i32 {
        syslog::record(&Line::new("acquire_id"));
        let outcome = self.acquire_delta();
        self.done("acquire_id", outcome)
    }

    fn acquire_delta(&self) -> Result<(), Fault> {
        let lease = self.delta_lease()?;
        let name = self
            .options
            .host_name
            .as_ref()
            .or(self.options.configured.host_name.as_ref());
        let name = daemon::HostName::choose(name.map(Vec::as_slice));
        let name = name.as_bytes();
        let name = Name::from_bytes(name.get(..Name::LEN).unwrap_or(name)).unwrap_or_default();
        let ctx = context(self.options);
        self.runtime
            .block_on(lease.acquire(&ctx, &name, Namesake::Gone, &Cancel::new()))?;
        Ok(())
    }

    pub(super) fn release_id(&mut self) -> i32 {
        syslog::record(&Line::new("release_id"));
        let outcome = self.release_delta();
        self.done("release_id", outcome)
    }

    fn release_delta(&self) -> Result<(), Fault> {
        let (lease, leader) = self.read_delta()?;
        let ctx = context(self.options);
        self.runtime.block_on(lease.release(&ctx, &leader))?;
        Ok(())
    }

    pub(super) fn renew_id(&mut self) -> i32 {
        syslog::record(&Line::new("renew_id"));
        let outcome = self.renew_delta();
        // The original's spelling.
        self.done("rewew_id", outcome)
    }

    fn renew_delta(&self) -> Result<(), Fault> {
        let (lease, leader) = self.read_delta()?;
        let ctx = context(self.options);
        let policy = RenewalPolicy {
            read_extend: self.io_timeout(),
        };
        let mut renewer = Renewer::of_owner(lease, leader, policy);
        self.runtime
            .block_on(renewer.renew(&ctx, &HostBitmap::EMPTY, None))
            .result?;
        Ok(())
    }

    fn read_delta(&self) -> Result<(DeltaLease, Leader), Fault> {
        let lease = self.delta_lease()?;
        let ctx = context(self.options);
        let leader = self.runtime.block_on(lease.read(&ctx))?;
        if leader.owner_id == HostId(0) {
            return Err(Fault::new(
                INVALID,
                format!("host id {} was never acquired", lease.host),
            ));
        }
        Ok((lease, leader))
    }

    fn delta_lease(&self) -> Result<DeltaLease, Fault> {
        let lockspace = &self.options.lockspace;
        path_of(&lockspace.disk.path)?;
        let host = self.host_id()?;
        let disk: Arc<dyn Disk> = self.open_lockspace()?;
        let geometry: Geometry = self.sizes(&disk, lockspace.disk.offset)?;
        let area = DeltaArea {
            area: Area::new(disk, lockspace.disk.offset),
            geometry,
        };
        Ok(DeltaLease::new(
            area,
            Name::from_raw(*lockspace.name.raw()),
            host,
        ))
    }
}
