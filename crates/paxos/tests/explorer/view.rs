//! What a host sees of the world.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use ondisk::{HostId, IoTimeout, Name, Timestamp};
use paxos::{Area, DeltaArea, Env, HostSeen, Liveness, NoDeltaArea, ResourceLease};
use storage::{BoxFuture, Buffer, Disk, IoError, Pending};

use crate::event::What;
use crate::sectors::{AREA, GEOMETRY, resource, space};
use crate::world::{START, World};

impl World {
    pub(crate) fn lease(&self, host: usize) -> ResourceLease {
        let disk = Arc::new(HostDisk {
            world: self.clone(),
            host,
            path: "/world".into(),
        });
        ResourceLease {
            space: space(),
            name: resource(),
            areas: vec![Area::new(disk, AREA)],
            geometry: GEOMETRY,
        }
    }

    pub(crate) fn env(&self, host: usize) -> Arc<HostEnv> {
        Arc::new(HostEnv {
            world: self.clone(),
            host,
        })
    }

    /// Holds the lease for as long as the schedule says.
    pub(crate) async fn hold(&self, host: usize) {
        let _ = self.request(host, What::Hold).await;
    }
}

/// Resolves once the request has been answered.
pub(crate) struct Answer {
    world: World,
    id: usize,
}

impl Answer {
    pub(crate) fn to(world: World, id: usize) -> Self {
        Self { world, id }
    }
}

impl Future for Answer {
    type Output = Result<Option<Buffer>, IoError>;

    fn poll(self: Pin<&mut Self>, _: &mut TaskContext<'_>) -> Poll<Self::Output> {
        let mut state = self.world.state();
        let Some(request) = state.requests.get_mut(&self.id) else {
            return Poll::Pending;
        };
        match request.answer.take() {
            None => Poll::Pending,
            Some(answer) => {
                state.requests.remove(&self.id);
                Poll::Ready(answer)
            }
        }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        let mut state = self.world.state();
        let id = self.id;
        let Some(request) = state.requests.get_mut(&id) else {
            return;
        };
        let under_way = request.is_write() && request.answer.is_none();
        if under_way {
            request.late = true;
        } else {
            state.requests.remove(&id);
        }
    }
}

#[derive(Clone)]
pub(crate) struct HostEnv {
    world: World,
    host: usize,
}

impl std::fmt::Debug for HostEnv {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "host {}", self.host)
    }
}

impl Env for HostEnv {
    fn monotime(&self) -> Timestamp {
        self.world.state().now()
    }

    fn random_below(&self, _bound: u64) -> u64 {
        self.world.state().backs_off(self.host);
        0
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<()> {
        let answer = self.world.request(self.host, What::Sleep(duration));
        Box::pin(async {
            let _ = answer.await;
        })
    }
}

impl Liveness for HostEnv {
    fn host_status(&self, host: HostId) -> Option<HostSeen> {
        let state = self.world.state();
        let other = host.0 as usize - 1;
        let is_dead = state.is_dead(other);
        Some(HostSeen {
            first_check: Some(START),
            last_check: Some(state.now()),
            last_live: Some(if is_dead { START } else { state.now() }),
            owner_id: host,
            generation: state.member(other).generation,
            timestamp: START,
            io_timeout: Some(IoTimeout(10)),
        })
    }

    fn delta_area(&self, _space: &Name) -> Result<DeltaArea, NoDeltaArea> {
        let path = "/world".into();
        let disk = HostDisk {
            world: self.world.clone(),
            host: self.host,
            path,
        };
        Ok(DeltaArea {
            area: Area::new(Arc::new(disk), 0),
            geometry: GEOMETRY,
        })
    }

    fn host_id_is_ours(&self) -> bool {
        true
    }
}

struct HostDisk {
    world: World,
    host: usize,
    path: PathBuf,
}

impl std::fmt::Debug for HostDisk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "disk of host {}", self.host)
    }
}

impl Disk for HostDisk {
    fn path(&self) -> &Path {
        &self.path
    }

    fn device_sector_size(&self) -> u32 {
        512
    }

    fn read(&self, offset: u64, len: usize) -> Pending<Buffer> {
        let answer = self.world.request(
            self.host,
            What::Read {
                offset,
                len,
                half: None,
            },
        );
        Pending::new(async move { Ok(answer.await?.unwrap()) })
    }

    fn write(&self, offset: u64, data: Buffer) -> Pending<()> {
        let data = data.to_vec();
        let answer = self.world.request(self.host, What::Write { offset, data });
        Pending::new(async move { answer.await.map(|_| ()) })
    }
}
