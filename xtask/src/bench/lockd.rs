//! The lock daemon, ours and libvirt's.
//!
//! Each runs with a `/run` of its own, as the paths of its sockets cannot be chosen. The floor is the same work by one
//! thread that does nothing else: it reads, opens and locks the file, and answers, and never asks who is ready.

mod daemon;
mod load;

use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::Session;
use super::figures::{Figure, Target, Unit, median};
use super::hosts::{Turn, take_turns};
use super::lane::milliseconds;
use super::measure::{memory, processor_time};
use daemon::{Program, Running, programs};
use load::{Lanes, Resource, connection};

/// How long one turn lasts.
const TURN: Duration = Duration::from_secs(1);
/// Locks that are held when the memory is looked at.
const HELD: usize = 1000;
/// How often each daemon is started.
const STARTS: usize = 15;

/// What one turn gave.
struct Sample {
    /// Per second.
    rate: f64,
    /// Milliseconds of the daemon's processor time for one cycle; nothing for the floor.
    processor: Option<f64>,
}

/// Everything about the lock daemon.
pub(super) fn measure(session: &Session) -> Result<Vec<Figure>> {
    let dir = session.dir.join("lockd");
    std::fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
    let programs = programs()?;
    let running = programs.iter().map(|program| program.start(&dir));
    let running = running.collect::<Result<Vec<_>>>()?;
    let mut figures = Vec::new();
    for (connections, autocreate, target) in [
        (1, false, Some(Target::RatioAtLeast(2.0))),
        (64, false, Some(Target::RatioAtLeast(2.0))),
        (1, true, None),
        (64, true, None),
    ] {
        let pair = cycles(session, &running, connections, autocreate)?;
        let [mut rate, processor] = pair;
        rate.target = target;
        figures.extend([rate, processor]);
    }
    figures.extend(memory_with_locks(session, &programs)?);
    drop(running);
    figures.push(start_to_ready(session, &programs)?);
    Ok(figures)
}

/// Acquired and released per second, and the daemon's processor time for each, on so many connections: images, or
/// resources of a lock space, whose files are made and removed.
fn cycles(
    session: &Session,
    running: &[Running],
    connections: usize,
    autocreate: bool,
) -> Result<[Figure; 2]> {
    let what = match autocreate {
        false => "images",
        true => "lock space",
    };
    let name = format!("virtlockd: {what}, {connections} connections");
    eprintln!(
        "  {name}: {} rounds of {} s",
        session.rounds,
        TURN.as_secs()
    );
    let dir = session.dir.join("lockd");
    let mut lanes = Vec::new();
    for (number, daemon) in running.iter().enumerate() {
        let resource = |lane| Resource::new(&dir, &format!("{number}.{lane}"), autocreate);
        let connect = || connection(&daemon.socket());
        lanes.push(Lanes::new(connections, connect, resource)?);
    }
    let resource = |lane| Resource::new(&dir, &format!("floor.{lane}"), autocreate);
    lanes.push(Lanes::bare(connections, resource)?);
    let samples = take_turns(running.len(), session.rounds, |turn| {
        let (index, pid) = match turn {
            Turn::Player(index) => (index, running.get(index).map(Running::pid)),
            Turn::Floor => (running.len(), None),
        };
        let lanes = lanes.get_mut(index).context("somebody has no turn")?;
        lanes.run(Duration::from_millis(100))?;
        let before = pid.map(processor_time).transpose()?;
        let (begin, cycles) = (Instant::now(), lanes.run(TURN)?);
        let rate = cycles as f64 / begin.elapsed().as_secs_f64();
        let after = pid.map(processor_time).transpose()?;
        let used = before
            .zip(after)
            .map(|(before, after)| after.saturating_sub(before));
        let processor = used.map(|used| milliseconds(used) / cycles.max(1) as f64);
        Ok(Sample { rate, processor })
    })?;
    let middle = |of: fn(&Sample) -> Option<f64>| -> Vec<f64> {
        let all = samples
            .iter()
            .map(|own| own.iter().filter_map(of).collect::<Vec<_>>());
        all.filter(|own| !own.is_empty())
            .map(|own| median(&own))
            .collect()
    };
    let mut rates = middle(|sample| Some(sample.rate));
    let floor = rates.pop();
    let processor = middle(|sample| sample.processor);
    Ok([
        Figure::new(&name, Unit::PerSecond, rates).floor(floor),
        Figure::new(
            &format!("{name}, processor time of each"),
            Unit::Milliseconds,
            processor,
        ),
    ])
}

/// A lock for each of many guests, each with its own connection.
fn memory_with_locks(session: &Session, programs: &[Program]) -> Result<Vec<Figure>> {
    let dir = session.dir.join("lockd");
    eprintln!("  {HELD} locks");
    let (mut resident, mut proportional) = (Vec::new(), Vec::new());
    for (number, program) in programs.iter().enumerate() {
        let running = program.start(&dir)?;
        let resource = |lane| Resource::new(&dir, &format!("held.{number}.{lane}"), false);
        let connect = || connection(&running.socket());
        let mut lanes = Lanes::new(HELD, connect, resource)?;
        lanes.acquire()?;
        let memory = memory(running.pid())?;
        resident.push(memory.resident);
        proportional.push(memory.proportional);
        lanes.release()?;
    }
    let name = |kind: &str| format!("virtlockd: memory with {HELD} locks ({kind})");
    Ok(vec![
        Figure::new(&name("RSS"), Unit::Mebibytes, resident).target(Target::RatioAtMost(0.5)),
        Figure::new(&name("PSS"), Unit::Mebibytes, proportional),
    ])
}

/// From the start of the program until the first call is answered.
fn start_to_ready(session: &Session, programs: &[Program]) -> Result<Figure> {
    eprintln!("  {STARTS} starts");
    let dir = session.dir.join("lockd");
    let mut times = vec![Vec::new(); programs.len()];
    for _ in 0..STARTS {
        for (program, times) in programs.iter().zip(&mut times) {
            times.push(milliseconds(program.start(&dir)?.ready_after()));
        }
    }
    let times = times.iter().map(|own| median(own)).collect();
    Ok(
        Figure::new("virtlockd: start to ready", Unit::Milliseconds, times)
            .target(Target::RatioAtMost(0.333)),
    )
}
