//! What lands on the simulated disks, decoded and shown to the checker.

use std::time::Duration;

use ondisk::{Dblock, IoTimeout, Leader, LeaseKind, ModeBlock};
use storage::sim::{Landed, Reads};

use crate::checker::LeaderOnDisk;
use crate::layout::Place;
use crate::machine::{Machine, RENEWALS};
use crate::trace::{Event, Landing};
use crate::world::World;

/// Takes in a write that landed.
pub(crate) fn landed(world: &World, landed: &Landed<'_>) {
    let layout = &world.scenario.layout;
    let host = landed.host.0 % RENEWALS;
    let note = |what| world.event_at(world.time_of(landed.at), host, Event::Landed(what));
    match layout.place(landed.path, landed.offset) {
        Some(Place::Lockspace(_)) => {
            let Some((leader, _)) = leader(landed.data, LeaseKind::Delta) else {
                return;
            };
            let (host_id, generation) = (leader.owner_id.0, leader.owner_generation.0);
            note(Landing::HostId(host_id, generation, leader.timestamp.0));
            let fire = Duration::from_secs(u64::from(world.scenario.fire_timeout));
            let dead_after = IoTimeout::from_disk(leader.io_timeout).host_dead(fire);
            let (timestamp, at) = (leader.timestamp.0, landed.at);
            world.check(|checker| {
                checker.host_id_written(host, host_id, generation, timestamp, at, dead_after);
            });
        }
        Some(Place::Resource(resource, disk, at)) => {
            let sector = layout.geometry.sector.bytes();
            if landed.data.len() > sector {
                note(Landing::Area(resource, landed.data.len()));
                world.check(|checker| checker.area_written(host, resource));
            }
            if at == 0 {
                leader_landed(world, landed, resource, disk, &note);
            } else if landed.data.len() <= sector && at % sector as u64 == 0 {
                // All records stand in the first bytes of a sector, which is atomic in any case.
                sector_landed(world, landed, (resource, at), &note);
            }
        }
        None => {}
    }
}

/// Takes in a read that is sent.
pub(crate) fn reads(world: &World, read: &Reads<'_>) {
    let layout = &world.scenario.layout;
    let sector = layout.geometry.sector.bytes();
    let Some(Place::Lockspace(at)) = layout.place(read.path, read.offset) else {
        return;
    };
    // All are looked at by reading the whole area.
    if read.len > sector {
        return;
    }
    let host = read.host.0 % RENEWALS;
    let host_id = at / sector as u64 + 1;
    let its_own = world
        .check(|checker| checker.member(host))
        .map(|member| member.host_id);
    if its_own.is_some_and(|own| own != host_id) {
        world.event(host, Event::LooksAt(host_id));
    }
}

/// Writes another host's name into the lease of the host's id, as no host of the run does; false if it has none.
///
/// Everything else stays as it is, so that others neither take the host to be gone nor see it renewed.
pub(crate) fn write_over(machine: &Machine) -> bool {
    let (world, layout) = (&machine.world, &machine.world.scenario.layout);
    let member = world.check(|checker| checker.member(machine.number));
    let place = member.and_then(|member| {
        let sector = layout.geometry.sector.bytes();
        let number = usize::try_from(member.host_id).ok()?.checked_sub(1)?;
        Some((member, number.checked_mul(sector)?, sector))
    });
    let Some((member, at, len)) = place else {
        return false;
    };
    let mut sector = world.storage.read_raw(&layout.lockspace.path, at, len);
    let Some((mut leader, (host_id, generation))) = leader(&sector, LeaseKind::Delta) else {
        return false;
    };
    let its_own = (host_id, generation) == (member.host_id, member.generation);
    if !its_own || leader.timestamp.is_free() {
        return false;
    }
    leader.resource_name = "stranger".parse().unwrap_or_default();
    leader.encode(&mut sector);
    world.storage.write_raw(&layout.lockspace.path, at, &sector);
    world.check(|checker| checker.host_id_taken(member));
    true
}

fn leader_landed(
    world: &World,
    landed: &Landed<'_>,
    resource: usize,
    disk: usize,
    note: &impl Fn(Landing),
) {
    let Some((leader, owner)) = leader(landed.data, LeaseKind::Paxos) else {
        return;
    };
    let (lver, free) = (leader.lver.0, leader.timestamp.is_free());
    note(Landing::Leader {
        resource,
        disk,
        lver,
        owner,
        free,
        writer: leader.write_id.0,
    });
    let host = landed.host.0 % RENEWALS;
    let alone = landed.data.len() <= world.scenario.layout.geometry.sector.bytes();
    world.check(|checker| {
        if lver == 0 && free && alone {
            checker.made(resource);
        }
        let disks = world.scenario.layout.resources[resource].areas.len();
        let leader = LeaderOnDisk {
            lver,
            owner,
            free,
            writer: leader.write_id.0,
        };
        if !free && disks == 1 {
            checker.owner_made(host, resource, landed.sent_at);
        }
        checker.leader_written(host, resource, (disk, disks), leader);
    });
}

fn sector_landed(
    world: &World,
    landed: &Landed<'_>,
    (resource, at): (usize, u64),
    note: &impl Fn(Landing),
) {
    let layout = &world.scenario.layout;
    if at == layout.geometry.request_offset() {
        return note(Landing::Request(resource));
    }
    let by = landed.host.0 % RENEWALS;
    if at == layout.geometry.lvb_offset() {
        let value = landed
            .data
            .first_chunk()
            .map_or(0, |bytes| u64::from_le_bytes(*bytes));
        note(Landing::Value(resource, value));
        return world.check(|checker| checker.value_written(by, resource, value));
    }
    let (Some(host), Ok(dblock), Ok(mode)) = (
        layout.sector_of(at),
        Dblock::decode(landed.data),
        ModeBlock::decode(landed.data),
    ) else {
        return;
    };
    let dblock = dblock.record;
    let shared = if mode.is_shared() {
        mode.generation.0
    } else {
        0
    };
    note(Landing::Dblock {
        resource,
        host: host.0,
        mbal: dblock.mbal,
        bal: dblock.bal,
        value: (dblock.inp.0, dblock.inp2.0),
        lver: dblock.lver.0,
        released: dblock.is_released(),
        shared,
    });
    world.check(|checker| {
        checker.sector_written(
            by,
            resource,
            host.0,
            dblock.mbal,
            dblock.lver.0,
            dblock.is_released(),
            shared != 0,
        );
    });
}

/// The leader at the start of `data` with its owner, if it is of this kind.
fn leader(data: &[u8], kind: LeaseKind) -> Option<(Leader, (u64, u64))> {
    let leader = Leader::decode(data).ok()?.record;
    let owner = (leader.owner_id.0, leader.owner_generation.0);
    (leader.magic == kind.magic()).then_some((leader, owner))
}
