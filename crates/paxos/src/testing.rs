//! A disk in memory and a host on tokio's clock, for the tests beside the code.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use ondisk::{
    Dblock, Generation, Geometry, HostId, IoTimeout, Leader, ModeBlock, Name, Timestamp,
    init_lockspace_area, init_resource_area, lockspace_commit_sector,
};
use storage::{Buffer, Disk, IoError, Pending};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::{
    Area, Context, DeltaArea, DeltaLease, Env, HostSeen, Liveness, Member, NoDeltaArea,
    ResourceLease, Timeouts,
};

pub(crate) const SMALL: Geometry = Geometry::ALL[0];
/// Where the resource of [`World`] stands, for every geometry.
pub(crate) const RESOURCE: u64 = 8 << 20;
pub(crate) const EIO: i32 = 5;

pub(crate) fn name(name: &str) -> Name {
    name.parse().unwrap()
}

pub(crate) fn member(host: u64, generation: u64) -> Member {
    Member {
        host: HostId(host),
        generation: Generation(generation),
    }
}

/// What goes wrong with one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It fails and does nothing.
    Error,
    /// It is done and fails.
    DoneButError,
    /// It is answered, and if it is a write done, when [`MemDisk::release_hung`] is called.
    Hang,
    /// It takes that long.
    Slow(Duration),
}

type Hook = Box<dyn FnOnce(&MemDisk) + Send>;

#[derive(Default)]
struct State {
    sectors: BTreeMap<u64, [u8; 512]>,
    /// Requests so far, and what they were.
    log: Vec<(char, u64, usize)>,
    faults: BTreeMap<usize, Fault>,
    hooks: BTreeMap<usize, Hook>,
}

/// A disk in memory. Requests are done at once, in the order in which they are waited for.
#[derive(Clone)]
pub(crate) struct MemDisk {
    path: PathBuf,
    state: Arc<Mutex<State>>,
    released: Arc<Notify>,
}

impl std::fmt::Debug for MemDisk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "MemDisk({})", self.path.display())
    }
}

impl MemDisk {
    pub(crate) fn new() -> Self {
        Self::at("/mem")
    }

    pub(crate) fn at(path: &str) -> Self {
        Self {
            path: path.into(),
            state: Arc::default(),
            released: Arc::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub(crate) fn area(&self, offset: u64) -> Area {
        Area::new(Arc::new(self.clone()), offset)
    }

    /// What stands on the disk now.
    pub(crate) fn peek(&self, offset: u64, len: usize) -> Vec<u8> {
        let state = self.state();
        let first = offset / 512;
        let mut bytes = vec![0; len];
        for (at, sector) in state
            .sectors
            .range(first..first + (len as u64).div_ceil(512))
        {
            let start = (at - first) as usize * 512;
            let end = len.min(start + 512);
            bytes[start..end].copy_from_slice(&sector[..end - start]);
        }
        bytes
    }

    /// Puts something on the disk at once.
    pub(crate) fn poke(&self, offset: u64, bytes: &[u8]) {
        let mut state = self.state();
        for (at, chunk) in (offset / 512..).zip(bytes.chunks(512)) {
            let mut sector = [0; 512];
            sector[..chunk.len()].copy_from_slice(chunk);
            state.sectors.insert(at, sector);
        }
    }

    pub(crate) fn poke_leader(&self, offset: u64, leader: &Leader) -> Leader {
        let (mut leader, mut sector) = (leader.clone(), [0; 512]);
        leader.encode(&mut sector);
        self.poke(offset, &sector);
        leader
    }

    pub(crate) fn poke_dblock(&self, offset: u64, dblock: Dblock) {
        let (mut dblock, mut sector) = (dblock, [0; 512]);
        dblock.encode(&mut sector);
        self.poke(offset, &sector);
    }

    pub(crate) fn leader(&self, offset: u64) -> Leader {
        Leader::decode(&self.peek(offset, 512)).unwrap().record
    }

    /// The request with this number from now on, from 0, goes wrong.
    pub(crate) fn fail(&self, number: usize, fault: Fault) {
        let mut state = self.state();
        let number = state.log.len() + number;
        state.faults.insert(number, fault);
    }

    /// Right before the request with this number from now on, from 0, something else happens.
    pub(crate) fn before(&self, number: usize, hook: impl FnOnce(&MemDisk) + Send + 'static) {
        let mut state = self.state();
        let number = state.log.len() + number;
        state.hooks.insert(number, Box::new(hook));
    }

    /// Lets the requests go on that hang.
    pub(crate) fn release_hung(&self) {
        self.released.notify_waiters();
    }

    /// The requests since this was last called, as in `R A, W 2`: the whole area read, its sector number
    /// 2 written. Reads of several sectors tell their number.
    pub(crate) fn requests(&self, offset: u64, geometry: Geometry) -> String {
        let sector = geometry.sector.bytes();
        let shown = self
            .state()
            .log
            .split_off(0)
            .into_iter()
            .map(|(kind, at, len)| {
                let number = at.checked_sub(offset).map_or("-".to_owned(), |within| {
                    (within / sector as u64).to_string()
                });
                match len {
                    _ if len == geometry.align.bytes() => format!("{kind} A"),
                    _ if len == sector => format!("{kind} {number}"),
                    _ => format!("{kind} {number}+{}", len / sector),
                }
            });
        shown.collect::<Vec<_>>().join(", ")
    }

    fn request<T: Send + 'static>(
        &self,
        kind: char,
        offset: u64,
        len: usize,
        action: impl FnOnce(&MemDisk) -> T + Send + 'static,
    ) -> Pending<T> {
        let (fault, hook) = {
            let mut state = self.state();
            let number = state.log.len();
            state.log.push((kind, offset, len));
            (state.faults.remove(&number), state.hooks.remove(&number))
        };
        if let Some(hook) = hook {
            hook(self);
        }
        let disk = self.clone();
        // Registered now: whoever releases right after the request was sent must not miss it.
        let released = Arc::clone(&self.released).notified_owned();
        let failed = move || {
            let action = format!("{kind} {len} bytes at {offset}");
            Err(IoError::Os { action, errno: EIO })
        };
        let request = async move {
            match fault {
                None => Ok(action(&disk)),
                Some(Fault::Error) => failed(),
                Some(Fault::DoneButError) => {
                    action(&disk);
                    failed()
                }
                Some(Fault::Hang) => {
                    released.await;
                    Ok(action(&disk))
                }
                Some(Fault::Slow(time)) => {
                    tokio::time::sleep(time).await;
                    Ok(action(&disk))
                }
            }
        };
        if fault == Some(Fault::Hang) {
            // It goes on whether anybody waits for it or not.
            let (send, receive) = tokio::sync::oneshot::channel();
            tokio::spawn(async move {
                let _ = send.send(request.await);
            });
            return Pending::new(async { receive.await.unwrap() });
        }
        Pending::new(request)
    }
}

impl Disk for MemDisk {
    fn path(&self) -> &Path {
        &self.path
    }

    fn device_sector_size(&self) -> u32 {
        512
    }

    fn read(&self, offset: u64, len: usize) -> Pending<Buffer> {
        self.request('R', offset, len, move |disk| {
            Buffer::copy_of(&disk.peek(offset, len))
        })
    }

    fn write(&self, offset: u64, data: Buffer) -> Pending<()> {
        self.request('W', offset, data.len(), move |disk| {
            disk.poke(offset, &data)
        })
    }
}

/// A host whose clock starts at 1000 when tokio's test begins.
#[derive(Debug)]
struct TestEnv {
    start: Instant,
    first: u64,
}

impl Env for TestEnv {
    fn monotime(&self) -> Timestamp {
        Timestamp(self.first + self.start.elapsed().as_secs())
    }

    fn random_below(&self, bound: u64) -> u64 {
        bound / 2
    }
}

/// A host with this io timeout.
pub(crate) fn context(io_timeout: u32) -> Context {
    context_from(io_timeout, 1000)
}

/// A host with this io timeout whose clock shows this now.
pub(crate) fn context_from(io_timeout: u32, first: u64) -> Context {
    let env = Arc::new(TestEnv {
        start: Instant::now(),
        first,
    });
    Context::new(
        env,
        Timeouts {
            io: IoTimeout(io_timeout),
            ..Timeouts::default()
        },
    )
}

/// A lockspace and a resource on one disk, and what a daemon would know of the hosts.
pub(crate) struct World {
    pub(crate) disk: MemDisk,
    pub(crate) geometry: Geometry,
    pub(crate) seen: Mutex<BTreeMap<HostId, HostSeen>>,
    pub(crate) ours: AtomicBool,
    pub(crate) joined: AtomicBool,
}

impl World {
    pub(crate) fn new(geometry: Geometry) -> Self {
        let disk = MemDisk::new();
        let mut area = vec![0; geometry.align.bytes()];
        let (space, io_timeout) = (name("space"), IoTimeout(10));
        init_lockspace_area(geometry, &space, io_timeout, &mut area).unwrap();
        disk.poke(0, &area);
        let mut first = vec![0; geometry.sector.bytes()];
        lockspace_commit_sector(geometry, &space, io_timeout, &mut first).unwrap();
        disk.poke(0, &first);
        init_resource_area(geometry, &space, &name("res"), 0, None, &mut area).unwrap();
        disk.poke(RESOURCE, &area);
        Self {
            disk,
            geometry,
            seen: Mutex::default(),
            ours: AtomicBool::new(true),
            joined: AtomicBool::new(true),
        }
    }

    pub(crate) fn lease(&self) -> ResourceLease {
        ResourceLease {
            space: name("space"),
            name: name("res"),
            areas: vec![self.disk.area(RESOURCE)],
            geometry: self.geometry,
        }
    }

    pub(crate) fn deltas(&self) -> DeltaArea {
        DeltaArea {
            area: self.disk.area(0),
            geometry: self.geometry,
        }
    }

    pub(crate) fn delta(&self, host: u64) -> DeltaLease {
        DeltaLease::new(self.deltas(), name("space"), HostId(host))
    }

    pub(crate) fn delta_offset(&self, host: u64) -> u64 {
        self.geometry.delta_offset(HostId(host)).unwrap()
    }

    /// A host renews its id.
    pub(crate) fn renew(&self, host: u64, generation: u64, timestamp: u64, io_timeout: u16) {
        let offset = self.delta_offset(host);
        let leader = Leader {
            owner_id: HostId(host),
            owner_generation: Generation(generation),
            timestamp: Timestamp(timestamp),
            io_timeout,
            resource_name: name(&format!("host{host}")),
            ..self.disk.leader(offset)
        };
        self.disk.poke_leader(offset, &leader);
    }

    /// Our scans have seen a host as [`World::renew`] left it: changed at `live`, looked at at `check`.
    pub(crate) fn scanned(&self, host: u64, live: u64, check: u64) {
        let leader = self.disk.leader(self.delta_offset(host));
        let seen = HostSeen {
            first_check: Some(Timestamp(live)),
            last_check: Some(Timestamp(check)),
            last_live: Some(Timestamp(live)),
            owner_id: leader.owner_id,
            generation: leader.owner_generation,
            timestamp: leader.timestamp,
            io_timeout: crate::liveness::io_timeout_of(&leader),
        };
        self.seen.lock().unwrap().insert(HostId(host), seen);
    }

    pub(crate) fn leader(&self) -> Leader {
        self.disk.leader(RESOURCE)
    }

    /// Changes the resource's leader.
    pub(crate) fn set_leader(&self, change: impl FnOnce(&mut Leader)) -> Leader {
        let mut leader = self.leader();
        change(&mut leader);
        self.disk.poke_leader(RESOURCE, &leader)
    }

    /// Makes a host the owner, by its own hand.
    pub(crate) fn set_owner(&self, host: u64, generation: u64, lver: u64) -> Leader {
        self.set_leader(|leader| {
            leader.owner_id = HostId(host);
            leader.owner_generation = Generation(generation);
            leader.lver = ondisk::Lver(lver);
            leader.timestamp = Timestamp(77);
            leader.write_id = HostId(host);
            leader.write_generation = Generation(generation);
            leader.write_timestamp = Timestamp(77);
        })
    }

    pub(crate) fn host_offset(&self, host: u64) -> u64 {
        RESOURCE + self.geometry.dblock_offset(HostId(host)).unwrap()
    }

    pub(crate) fn dblock(&self, host: u64) -> Dblock {
        Dblock::decode(&self.disk.peek(self.host_offset(host), 512))
            .unwrap()
            .record
    }

    pub(crate) fn mode(&self, host: u64) -> ModeBlock {
        ModeBlock::decode(&self.disk.peek(self.host_offset(host), 512)).unwrap()
    }

    pub(crate) fn set_dblock(&self, host: u64, dblock: Dblock) {
        self.disk.poke_dblock(self.host_offset(host), dblock);
    }

    pub(crate) fn set_shared(&self, host: u64, generation: u64) {
        let mut sector = self.disk.peek(self.host_offset(host), 512);
        ModeBlock::shared(Generation(generation)).encode(&mut sector);
        self.disk.poke(self.host_offset(host), &sector);
    }

    /// Damages a host's dblock.
    pub(crate) fn damage(&self, host: u64) {
        let mut sector = self.disk.peek(self.host_offset(host), 512);
        sector[3] ^= 1;
        self.disk.poke(self.host_offset(host), &sector);
    }

    /// The requests on the resource, see [`MemDisk::requests`].
    pub(crate) fn requests(&self) -> String {
        self.disk.requests(RESOURCE, self.geometry)
    }
}

impl Liveness for World {
    fn host_status(&self, host: HostId) -> Option<HostSeen> {
        self.seen.lock().unwrap().get(&host).copied()
    }

    fn delta_area(&self, _space: &Name) -> Result<DeltaArea, NoDeltaArea> {
        if self.joined.load(Ordering::Relaxed) {
            Ok(self.deltas())
        } else {
            Err(NoDeltaArea::NotJoined)
        }
    }

    fn host_id_is_ours(&self) -> bool {
        self.ours.load(Ordering::Relaxed)
    }
}
