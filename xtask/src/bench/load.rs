//! Many clients at once, each with a lease of its own.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};

use super::Session;
use super::figures::{Figure, Target, Unit, median};
use super::hosts::{Turn, start_with, take_turns};
use super::lane::{DaemonLane, Lane, Shape, milliseconds};
use super::measure::processor_time;
use super::raw::RawLane;
use super::slow;
use super::space::{Space, at_once};

/// Seconds.
const IO_TIMEOUT: u32 = 2;
/// How long one turn lasts.
const TURN: Duration = Duration::from_secs(3);
/// What is added to each request where they take longer.
const DELAY: Duration = Duration::from_millis(5);

/// So many clients, so many times.
struct Load<'a> {
    clients: usize,
    rounds: usize,
    /// Where the lease file is.
    disk: &'a Path,
    /// What makes a daemon's requests take `DELAY` longer.
    slow: Option<&'a Path>,
}

/// 32 clients on the disk as it is.
pub(super) fn measure_disk(session: &Session) -> Result<Vec<Figure>> {
    let dir = session.dir.join("clients");
    let load = Load {
        clients: 32,
        rounds: session.rounds,
        disk: &dir,
        slow: None,
    };
    let (rate, processor) = throughput(session, &dir, &load)?;
    Ok(vec![
        rate.named("32 clients, acquired and released")
            .target(Target::RatioAtLeast(1.8)),
        processor
            .named("32 clients, processor time of each")
            .target(Target::RatioAtMost(0.5)),
    ])
}

/// 64 clients with requests that take longer.
pub(super) fn measure_slow_disk(session: &Session) -> Result<Vec<Figure>> {
    let dir = session.dir.join("slow");
    std::fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
    let memory = slow::memory()?;
    let library = slow::library(&dir, DELAY)?;
    let load = Load {
        clients: 64,
        rounds: session.rounds.min(3),
        disk: memory.as_ref().map_or(&dir, |(memory, _)| memory),
        slow: Some(&library),
    };
    let (rate, _) = throughput(session, &dir, &load)?;
    Ok(vec![
        rate.named("64 clients with 5 ms more for each request, acquired and released")
            .target(Target::RatioAtLeast(6.0)),
    ])
}

impl Figure {
    fn named(self, name: &str) -> Figure {
        Figure {
            name: name.to_owned(),
            ..self
        }
    }
}

/// Cycles per second and processor time per cycle.
fn throughput(session: &Session, run_dir: &Path, load: &Load) -> Result<(Figure, Figure)> {
    let Load {
        clients,
        rounds,
        disk,
        slow,
    } = *load;
    let players = start_with(&session.contestants, run_dir, &[], slow)?;
    let first = players.first().context("there is no daemon to measure")?;
    let space = Space::create(disk, clients, IO_TIMEOUT, &first.host.client())?;
    at_once(&players, |player| space.join(player, IO_TIMEOUT))?;
    let raw = disk.join("raw");
    let shape = |first| Shape {
        first,
        leases: 1,
        shared: false,
    };

    let mut lanes: Vec<Vec<Box<dyn Lane>>> = Vec::new();
    for player in &players {
        let client = player.host.client();
        let mut own: Vec<Box<dyn Lane>> = Vec::new();
        for index in 0..clients {
            own.push(Box::new(DaemonLane::new(&client, &space, shape(index))?));
        }
        lanes.push(own);
    }
    let mut own: Vec<Box<dyn Lane>> = Vec::new();
    for index in 0..clients {
        let lane = RawLane::new(&raw, index, false)?;
        let delay = slow.map_or(Duration::ZERO, |_| DELAY);
        own.push(Box::new(lane.slower_by(delay)));
    }
    lanes.push(own);

    eprintln!(
        "  {clients} clients: {rounds} rounds of {} s",
        TURN.as_secs()
    );
    let samples = take_turns(players.len(), rounds, |turn| {
        let (index, pid) = match turn {
            Turn::Player(index) => (index, players.get(index).map(|player| player.host.pid())),
            Turn::Floor => (players.len(), None),
        };
        let lanes = lanes.get_mut(index).context("somebody has no turn")?;
        run(lanes, Duration::from_millis(300))?;
        let before = pid.map(processor_time).transpose()?;
        let (cycles, elapsed) = run(lanes, TURN)?;
        let after = pid.map(processor_time).transpose()?;
        let used = before
            .zip(after)
            .map(|(before, after)| after.saturating_sub(before));
        Ok((
            cycles as f64 / elapsed.as_secs_f64(),
            used.map(|used| milliseconds(used) / cycles.max(1) as f64),
        ))
    })?;

    let mut rates: Vec<f64> = samples
        .iter()
        .map(|own| median(&own.iter().map(|(rate, _)| *rate).collect::<Vec<_>>()))
        .collect();
    let floor = rates.pop();
    let mut processor: Vec<f64> = samples
        .iter()
        .map(|own| median(&own.iter().filter_map(|(_, used)| *used).collect::<Vec<_>>()))
        .collect();
    processor.pop();
    Ok((
        Figure::new("", Unit::PerSecond, rates).floor(floor),
        Figure::new("", Unit::Milliseconds, processor),
    ))
}

/// Lets every lane cycle for that long; how many cycles there were, and how long it really took.
fn run(lanes: &mut [Box<dyn Lane>], duration: Duration) -> Result<(u64, Duration)> {
    let stop = AtomicBool::new(false);
    let begin = Instant::now();
    thread::scope(|scope| {
        let running: Vec<_> = lanes
            .iter_mut()
            .map(|lane| {
                let stop = &stop;
                scope.spawn(move || -> Result<u64> {
                    let mut cycles = 0;
                    while !stop.load(Ordering::Relaxed) {
                        lane.acquire()?;
                        lane.release()?;
                        cycles += 1;
                    }
                    Ok(cycles)
                })
            })
            .collect();
        thread::sleep(duration);
        stop.store(true, Ordering::Relaxed);
        let mut sum = 0;
        for thread in running {
            sum += thread
                .join()
                .map_err(|_| anyhow!("a thread ended early"))??;
        }
        Ok((sum, begin.elapsed()))
    })
}
