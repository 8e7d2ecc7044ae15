//! What takes and gives back leases again and again.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use sanlock_proto::client::Registered;
use sanlock_proto::flags::{AcquireFlags, ReleaseFlags};
use sanlock_proto::request::Release;
use sanlock_proto::{Client, Resource, ResourceHead};

use super::space::Space;

/// Which leases, and how.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    /// The first lease's index.
    pub(super) first: usize,
    /// How many in one request.
    pub(super) leases: usize,
    pub(super) shared: bool,
}

/// Something that can acquire and release.
pub(super) trait Lane: Send {
    fn acquire(&mut self) -> Result<()>;
    fn release(&mut self) -> Result<()>;
}

/// A registered client of a daemon.
pub(super) struct DaemonLane {
    connection: Registered,
    resources: Vec<Resource>,
    heads: Vec<ResourceHead>,
}

impl DaemonLane {
    pub(super) fn new(client: &Client, space: &Space, shape: Shape) -> Result<DaemonLane> {
        let connection = client.register().context("cannot register")?;
        let indices = shape.first..shape.first + shape.leases;
        let resources: Vec<Resource> = indices
            .map(|index| space.resource(index, shape.shared))
            .collect::<Result<_>>()?;
        let heads = resources.iter().map(Resource::head).collect();
        Ok(DaemonLane {
            connection,
            resources,
            heads,
        })
    }
}

impl Lane for DaemonLane {
    fn acquire(&mut self) -> Result<()> {
        self.connection
            .acquire(AcquireFlags::NONE, &self.resources, None)
            .context("cannot acquire")?;
        Ok(())
    }

    fn release(&mut self) -> Result<()> {
        let what = Release::Resources(self.heads.clone());
        self.connection
            .release(ReleaseFlags::NONE, what)
            .context("cannot release")?;
        Ok(())
    }
}

/// How long each of many cycles took, in milliseconds.
#[derive(Clone, Debug, Default)]
pub(super) struct Times {
    pub(super) acquire: Vec<f64>,
    pub(super) release: Vec<f64>,
}

/// Acquires and releases so many times.
pub(super) fn cycles(lane: &mut dyn Lane, count: usize) -> Result<Times> {
    let mut times = Times::default();
    for _ in 0..count {
        let begin = Instant::now();
        lane.acquire()?;
        times.acquire.push(milliseconds(begin.elapsed()));
        let begin = Instant::now();
        lane.release()?;
        times.release.push(milliseconds(begin.elapsed()));
    }
    Ok(times)
}

pub(super) fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}
