//! Lease files and the lockspaces in them.

use std::path::{Path, PathBuf};
use std::thread;

use anyhow::{Context, Result, anyhow};
use sanlock_proto::flags::{
    AddFlags, InqFlags, LockspaceFlags, RemFlags, ResourceFlags, WriteFlags,
};
use sanlock_proto::{Client, Disk, DiskPath, Lockspace, Name, Resource};

use super::hosts::Player;

/// Bytes from one lease to the next, and of a lockspace.
pub(super) const AREA: u64 = 1 << 20;

/// A lockspace in a file, leases behind it.
pub(super) struct Space {
    pub(super) file: PathBuf,
    name: Name,
    offset: u64,
}

fn name(text: &str) -> Name {
    Name::truncated(text.as_bytes())
}

impl Space {
    fn disk(&self, offset: u64) -> Result<Disk> {
        let bytes = self.file.as_os_str().as_encoded_bytes();
        let path = DiskPath::from_bytes(bytes).context("the path of the lease file is too long")?;
        Ok(Disk { path, offset })
    }

    fn lockspace(&self, host_id: u64) -> Result<Lockspace> {
        let (name, flags) = (self.name, LockspaceFlags::NONE);
        Ok(Lockspace {
            name,
            host_id,
            flags,
            disk: self.disk(self.offset)?,
        })
    }

    /// The lease with this index.
    pub(super) fn resource(&self, index: usize, shared: bool) -> Result<Resource> {
        let place = u64::try_from(index).unwrap_or(0) + 1;
        Ok(Resource {
            lockspace: self.name,
            name: name(&format!("lease{index}")),
            flags: if shared {
                ResourceFlags::SHARED
            } else {
                ResourceFlags::NONE
            },
            disks: vec![self.disk(self.offset + place * AREA)?],
            ..Resource::default()
        })
    }

    /// Creates a file with one lockspace and so many leases, written in full.
    pub(super) fn create(
        dir: &Path,
        leases: usize,
        io_timeout: u32,
        client: &Client,
    ) -> Result<Space> {
        let file = dir.join("leases");
        std::fs::File::create(&file).context("cannot create the lease file")?;
        let space = Space {
            file,
            name: name("bench"),
            offset: 0,
        };
        space.format(io_timeout, client)?;
        for index in 0..leases {
            client
                .write_resource(&space.resource(index, false)?, 0, 0, WriteFlags::NONE)
                .context("cannot format a lease")?;
        }
        Ok(space)
    }

    /// Creates a file with so many lockspaces and no leases.
    pub(super) fn create_many(
        dir: &Path,
        count: u64,
        io_timeout: u32,
        client: &Client,
    ) -> Result<Vec<Space>> {
        let file = dir.join("lockspaces");
        std::fs::File::create(&file).context("cannot create the file of lockspaces")?;
        let mut spaces = Vec::new();
        for index in 0..count {
            let space = Space {
                file: file.clone(),
                name: name(&format!("bench{index}")),
                offset: index * AREA,
            };
            space.format(io_timeout, client)?;
            spaces.push(space);
        }
        Ok(spaces)
    }

    fn format(&self, io_timeout: u32, client: &Client) -> Result<()> {
        client
            .write_lockspace(&self.lockspace(0)?, 0, WriteFlags::NONE, io_timeout)
            .context("cannot format a lockspace")?;
        Ok(())
    }

    /// Joins and waits for it.
    pub(super) fn join(&self, player: &Player, io_timeout: u32) -> Result<()> {
        player
            .host
            .client()
            .add_lockspace(&self.lockspace(player.host_id)?, AddFlags::NONE, io_timeout)
            .with_context(|| format!("{} cannot join a lockspace", player.label))?;
        Ok(())
    }

    /// Begins to join.
    pub(super) fn begin_to_join(&self, player: &Player, io_timeout: u32) -> Result<()> {
        player
            .host
            .client()
            .add_lockspace(
                &self.lockspace(player.host_id)?,
                AddFlags::ASYNC,
                io_timeout,
            )
            .with_context(|| format!("{} cannot join a lockspace", player.label))?;
        Ok(())
    }

    /// Waits for the end of a join.
    pub(super) fn wait_until_joined(&self, player: &Player) -> Result<()> {
        player
            .host
            .client()
            .inq_lockspace(&self.lockspace(player.host_id)?, InqFlags::WAIT)
            .with_context(|| format!("{} did not join a lockspace", player.label))?;
        Ok(())
    }

    /// Leaves and waits for it.
    pub(super) fn leave(&self, player: &Player) -> Result<()> {
        player
            .host
            .client()
            .rem_lockspace(&self.lockspace(player.host_id)?, RemFlags::NONE)
            .with_context(|| format!("{} cannot leave a lockspace", player.label))?;
        Ok(())
    }
}

/// Does something for each item at the same time, and waits for all.
pub(super) fn at_once<T: Sync>(items: &[T], work: impl Fn(&T) -> Result<()> + Sync) -> Result<()> {
    thread::scope(|scope| {
        let running: Vec<_> = items
            .iter()
            .map(|item| scope.spawn(|| work(item)))
            .collect();
        running
            .into_iter()
            .try_for_each(|thread| thread.join().map_err(|_| anyhow!("a thread ended early"))?)
    })
}
