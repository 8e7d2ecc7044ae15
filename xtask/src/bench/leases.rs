//! One client: how long leases take, and how much processor time.

use anyhow::{Context, Result};

use super::Session;
use super::figures::{Figure, Target, Unit, median, percentile};
use super::hosts::{Player, Turn, start, take_turns};
use super::lane::{DaemonLane, Lane, Shape, Times, cycles, milliseconds};
use super::measure::processor_time;
use super::raw::{RawLane, RawLanes};
use super::space::{Space, at_once};

/// Seconds; renewals come every 20 s and hardly disturb.
const IO_TIMEOUT: u32 = 2;

/// How one kind of lease is measured.
struct Plan {
    shape: Shape,
    warm_up: usize,
    cycles: usize,
}

/// What one turn gave.
struct Sample {
    times: Times,
    /// Milliseconds of the daemon's processor time for one cycle; nothing for the floor.
    processor: Option<f64>,
}

/// Everything about single clients.
pub(super) fn measure(session: &Session) -> Result<Vec<Figure>> {
    let dir = session.dir.join("single");
    let players = start(&session.contestants, &dir)?;
    let first = players.first().context("there is no daemon to measure")?;
    let space = Space::create(&dir, 8, IO_TIMEOUT, &first.host.client())?;
    at_once(&players, |player| space.join(player, IO_TIMEOUT))?;

    let plan = |leases, shared, cycles| Plan {
        shape: Shape {
            first: 0,
            leases,
            shared,
        },
        warm_up: 5,
        cycles,
    };
    let exclusive = turns(session, &players, &space, &plan(1, false, 100), "exclusive")?;
    let shared = turns(session, &players, &space, &plan(1, true, 50), "shared")?;
    let eight = turns(
        session,
        &players,
        &space,
        &plan(8, false, 20),
        "eight at once",
    )?;

    let ms = Unit::Milliseconds;
    Ok(vec![
        figure("exclusive acquire, p50", ms, &exclusive, acquire_median)
            .target(Target::RatioAtMost(0.6)),
        pooled("exclusive acquire, p99", &exclusive, 0.99).target(Target::RatioAtMost(0.8)),
        figure("exclusive release, p50", ms, &exclusive, release_median)
            .target(Target::RatioAtMost(1.0)),
        processor("processor time of acquire and release", &exclusive)
            .target(Target::RatioAtMost(0.4)),
        figure("shared acquire, p50", ms, &shared, acquire_median).target(Target::RatioAtMost(0.6)),
        figure("shared release, p50", ms, &shared, release_median).target(Target::RatioAtMost(1.0)),
        figure(
            "eight leases in one request, acquire, p50",
            ms,
            &eight,
            acquire_median,
        )
        .target(Target::RatioAtMost(0.4)),
        figure(
            "eight leases in one request, release, p50",
            ms,
            &eight,
            release_median,
        )
        .target(Target::RatioAtMost(1.0)),
    ])
}

fn turns(
    session: &Session,
    players: &[Player],
    space: &Space,
    plan: &Plan,
    what: &str,
) -> Result<Vec<Vec<Sample>>> {
    eprintln!("  {what}: {} rounds of {}", session.rounds, plan.cycles);
    let mut lanes: Vec<Box<dyn Lane>> = Vec::new();
    for player in players {
        lanes.push(Box::new(DaemonLane::new(
            &player.host.client(),
            space,
            plan.shape,
        )?));
    }
    let raw = session.dir.join("single").join("raw");
    let raw_lanes =
        (0..plan.shape.leases).map(|index| RawLane::new(&raw, index, plan.shape.shared));
    let mut raw_lanes = raw_lanes.collect::<Result<Vec<_>>>()?;
    let floor: Box<dyn Lane> = match (raw_lanes.pop(), raw_lanes.is_empty()) {
        (Some(only), true) => Box::new(only),
        (last, _) => {
            raw_lanes.extend(last);
            Box::new(RawLanes(raw_lanes))
        }
    };
    lanes.push(floor);
    take_turns(players.len(), session.rounds, |turn| {
        let (index, pid) = match turn {
            Turn::Player(index) => (index, players.get(index).map(|player| player.host.pid())),
            Turn::Floor => (players.len(), None),
        };
        let lane = lanes.get_mut(index).context("somebody has no turn")?;
        cycles(lane.as_mut(), plan.warm_up)?;
        let before = pid.map(processor_time).transpose()?;
        let times = cycles(lane.as_mut(), plan.cycles)?;
        let processor = match (before, pid.map(processor_time).transpose()?) {
            (Some(before), Some(after)) => {
                Some(milliseconds(after.saturating_sub(before)) / plan.cycles as f64)
            }
            _ => None,
        };
        Ok(Sample { times, processor })
    })
}

fn acquire_median(sample: &Sample) -> f64 {
    median(&sample.times.acquire)
}

fn release_median(sample: &Sample) -> f64 {
    median(&sample.times.release)
}

/// The median over the rounds, the floor's beside it.
fn figure(name: &str, unit: Unit, samples: &[Vec<Sample>], of: fn(&Sample) -> f64) -> Figure {
    let mut values: Vec<f64> = samples
        .iter()
        .map(|own| median(&own.iter().map(of).collect::<Vec<_>>()))
        .collect();
    let floor = values.pop();
    Figure::new(name, unit, values).floor(floor)
}

/// A percentile over all rounds together: one round has too few cycles for it.
fn pooled(name: &str, samples: &[Vec<Sample>], share: f64) -> Figure {
    let mut values: Vec<f64> = samples
        .iter()
        .map(|own| {
            let all: Vec<f64> = own
                .iter()
                .flat_map(|sample| sample.times.acquire.iter().copied())
                .collect();
            percentile(&all, share)
        })
        .collect();
    let floor = values.pop();
    Figure::new(name, Unit::Milliseconds, values).floor(floor)
}

fn processor(name: &str, samples: &[Vec<Sample>]) -> Figure {
    let mut values: Vec<f64> = samples
        .iter()
        .map(|own| {
            median(
                &own.iter()
                    .filter_map(|sample| sample.processor)
                    .collect::<Vec<_>>(),
            )
        })
        .collect();
    values.pop();
    Figure::new(name, Unit::Milliseconds, values)
}
