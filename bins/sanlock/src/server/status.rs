//! The records of `status`, `host_status` and `renewal`. Other software reads their words and their
//! order, so both are the C program's.

use std::sync::atomic::Ordering;

use sanlock_proto::state::Attached;
use sanlock_proto::{Name, Resource, StateKind, StateRecord, flags};
use storage::block_queue::MaxSectors;

use crate::manager::Manager;
use crate::manager::clients::{Client, ClientId};
use crate::manager::lockspaces::{List, Listed};
use crate::manager::resources::{self, Stage};
use crate::manager::space::Space;
use crate::manager::spec::ResourceKey;
use crate::version;

use super::convert::{wire_disk, wire_lockspace, wire_name};

/// All records of `status`, up to and including one kind.
pub(crate) fn all(manager: &Manager, up_to: Option<StateKind>) -> Vec<StateRecord> {
    let mut records = vec![daemon(manager)];
    if up_to == Some(StateKind::Daemon) {
        return records;
    }
    manager.look(|clients, _| {
        records.extend(clients.iter().map(|(id, one)| client(id, one)));
    });
    if up_to == Some(StateKind::Client) {
        return records;
    }
    for list in [List::Spaces, List::Add, List::Rem] {
        records.extend(manager.lockspaces_in(list).iter().map(lockspace));
    }
    if up_to == Some(StateKind::Lockspace) {
        return records;
    }
    manager.look(|_, all| {
        for stage in [Stage::Held, Stage::Add] {
            for (key, one) in all.listed(stage) {
                // The newest holder stands first.
                for holder in one.holders.iter().rev() {
                    records.push(resource(key, one, Some(holder)));
                }
            }
        }
        for stage in [Stage::Rem, Stage::Orphan] {
            for (key, one) in all.listed(stage) {
                records.push(resource(key, one, None));
            }
        }
    });
    records
}

fn record(attached: Attached, text: String) -> StateRecord {
    StateRecord {
        text: text.into_bytes(),
        ..StateRecord::new(attached)
    }
}

fn daemon(manager: &Manager) -> StateRecord {
    let set = manager.settings();
    let helper = manager.host().helper_status();
    let (ignore, align, kib) = match set.max_sectors_kb {
        MaxSectors::Ignore => (1, 0, 0),
        MaxSectors::Align => (0, 1, 0),
        MaxSectors::Kib(kib) => (0, 0, kib),
    };
    let text = format!(
        "our_host_name={} use_watchdog={} high_priority={} mlock_level={} quiet_fail={} \
         debug_renew={} debug_hosts={} debug_clients={} debug_cmds={:#x} renewal_history_size={} gid={} uid={} \
         sh_retries={} max_sectors_kb_ignore={ignore} max_sectors_kb_align={align} \
         max_sectors_kb_num={kib} max_worker_threads={} num_worker_threads=0 use_hugepages=none \
         write_init_io_timeout={} use_aio={} \
         io_timeout={} watchdog_fire_timeout={} kill_grace_seconds={} helper_pid={} \
         helper_kill_fd={} helper_full_count={} helper_last_status={} monotime={} version_str={} \
         version_num={} version_hex={:08x} smproto_hex={:08x}",
        set.our_host_name,
        u8::from(set.use_watchdog),
        u8::from(set.high_priority),
        set.mlock_level,
        u8::from(set.quiet_fail),
        set.debug_renew,
        set.debug_hosts,
        u8::from(set.debug_clients),
        set.debug_cmds,
        set.renewal_history_size,
        set.gid,
        set.uid,
        set.sh_retries,
        set.max_worker_threads,
        set.write_init_io_timeout,
        u8::from(set.use_aio),
        set.io_timeout,
        set.watchdog_fire_timeout,
        set.kill_grace_seconds,
        helper.pid,
        helper.kill_fd,
        helper.full_count,
        helper.last_status,
        manager.host().monotime(),
        version::TEXT,
        version::TEXT,
        version::NUMBER,
        1,
    );
    let mut daemon = record(Attached::Nothing(StateKind::Daemon), text);
    daemon.name = wire_name(&set.our_host_name);
    daemon
}

fn client(id: ClientId, client: &Client) -> StateRecord {
    let pid = client.pid.map_or(-1, |pid| pid.0);
    let text = format!(
        "ci={} fd={} pid={pid} flags={:x} restricted={:x} cmd_active={} cmd_last={} pid_dead={} \
         kill_count={} kill_last={} suspend={} need_free=0",
        id.0,
        client.fd,
        client.flags,
        client.restricted,
        client.cmd_active,
        client.cmd_last,
        u8::from(client.pid_dead),
        client.kill_count,
        client.kill_last,
        u8::from(client.suspend),
    );
    let mut one = record(Attached::Nothing(StateKind::Client), text);
    one.data32 = pid as u32;
    one.name = Name::truncated(&client.owner_name);
    one
}

fn lockspace(listed: &Listed) -> StateRecord {
    let space = &listed.space;
    let lease = &space.lease;
    let geometry = space.geometry.get();
    let text = format!(
        "list={} space_id={} io_timeout={} sector_size={} align_size={} host_generation={} \
         renew_fail={} space_dead={} killing_pids={} used_retries={} external_used={} \
         used_by_orphans={} renewal_read_extend_sec={} set_max_sectors_kb={} corrupt_result={} \
         acquire_last_result={} renewal_last_result={} acquire_last_attempt={} \
         acquire_last_success={} renewal_last_attempt={} renewal_last_success={}",
        listed.list.as_str(),
        space.id,
        space.io_timeout,
        geometry.map_or(0, |geometry| geometry.sector.bytes()),
        geometry.map_or(0, |geometry| geometry.align.bytes()),
        space.facts.get().map_or(0, |facts| facts.generation.0),
        u8::from(listed.renew_fail),
        u8::from(listed.space_dead),
        listed.killing_pids,
        listed.used_retries,
        u8::from(listed.external_used),
        u8::from(listed.used_by_orphans),
        space.read_extend.as_secs(),
        space.set_max_sectors_kb.load(Ordering::Relaxed),
        lease.corrupt_result.load(Ordering::Relaxed),
        lease.acquire_result.load(Ordering::Relaxed),
        lease.renewal_result.load(Ordering::Relaxed),
        lease.acquire_attempt.load(Ordering::Relaxed),
        lease.acquire_success.load(Ordering::Relaxed),
        lease.renewal_attempt.load(Ordering::Relaxed),
        lease.renewal_success.load(Ordering::Relaxed),
    );
    let mut wire = wire_lockspace(&space.spec);
    wire.flags = flags::LockspaceFlags::NONE;
    let mut one = record(Attached::Lockspace(wire), text);
    one.data64 = space.spec.host_id.0;
    one.name = wire_name(&space.spec.name);
    one
}

fn resource(
    key: &ResourceKey,
    one: &resources::Resource,
    holder: Option<&resources::Holder>,
) -> StateRecord {
    let pid = holder
        .map(|holder| holder.pid)
        .or(one.pid)
        .map_or(0, |pid| pid.0);
    let text = format!(
        "list={} flags={:x} sector_size={} align_size={} lver={} reused={} res_id={} token_id={} ci={}",
        one.stage.as_str(),
        one.flags(),
        one.geometry.map_or(0, |geometry| geometry.sector.bytes()),
        one.geometry.map_or(0, |geometry| geometry.align.bytes()),
        one.lver,
        one.reused,
        one.id,
        holder.map_or(0, |holder| holder.token),
        holder.map_or(0, |holder| holder.client.0),
    );
    let wire = Resource {
        lockspace: wire_name(&key.space),
        name: wire_name(&key.name),
        flags: if one.shared {
            flags::ResourceFlags::SHARED
        } else {
            flags::ResourceFlags::NONE
        },
        disks: one.areas.iter().map(wire_disk).collect(),
        ..Resource::default()
    };
    let mut record = record(Attached::Resource(wire), text);
    record.data32 = pid as u32;
    record.data64 = one.lver.0;
    record.name = wire_name(&key.name);
    record
}

/// The records of `host_status`: every host that was ever seen.
pub(crate) fn hosts(space: &Space) -> Vec<StateRecord> {
    let hosts = crate::manager::locked(&space.hosts);
    hosts
        .hosts()
        .filter(|(_, host)| host.seen.last_live.is_some() || host.seen.owner_id.0 != 0)
        .map(|(id, host)| {
            let seen = host.seen;
            let second = |time: Option<ondisk::Timestamp>| time.map_or(0, |time| time.0);
            let text = format!(
                "last_check={} last_live={} last_req={} owner_id={} owner_generation={} \
                 timestamp={} io_timeout={} owner_name={}",
                second(seen.last_check),
                second(seen.last_live),
                host.last_req,
                seen.owner_id,
                seen.generation,
                seen.timestamp,
                seen.io_timeout.map_or(0, |seconds| seconds.0),
                host.name,
            );
            let mut host = record(Attached::Nothing(StateKind::Host), text);
            host.data32 = u32::try_from(id.0).unwrap_or(u32::MAX);
            host.data64 = seen.timestamp.0;
            host
        })
        .collect()
}

/// The records of `renewal`: the lockspace's last renewals, the oldest first.
pub(crate) fn renewals(space: &Space) -> Vec<StateRecord> {
    space
        .renewals()
        .iter()
        .map(|renewal| {
            let text = format!(
                "timestamp={} read_ms={} write_ms={} next_timeouts={} next_errors={}",
                renewal.timestamp,
                renewal.read_ms,
                renewal.write_ms,
                renewal.next_timeouts,
                renewal.next_errors,
            );
            let mut one = record(Attached::Nothing(StateKind::Renewal), text);
            one.data64 = renewal.timestamp;
            one
        })
        .collect()
}
