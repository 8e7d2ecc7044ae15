//! Many lockspaces: joining, leaving, and doing nothing.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::Session;
use super::figures::{Figure, Target, Unit, median};
use super::hosts::{Player, start, start_with};
use super::lane::milliseconds;
use super::measure::{memory, processor_time};
use super::space::{Space, at_once};

/// Lockspaces that are joined at once.
const JOINED: u64 = 40;
/// Lockspaces that are left one by one.
const LEFT_SINGLY: usize = 5;
/// Seconds: short, as all waiting in a join is a multiple of it.
const SHORT_IO_TIMEOUT: u32 = 1;

/// Lockspaces that are idle.
const IDLE: u64 = 50;
/// Seconds: the default.
const IO_TIMEOUT: u32 = 10;
/// One renewal of each lockspace.
const IDLE_TIME: Duration = Duration::from_secs(20);

/// Joining and leaving.
pub(super) fn measure_joining(session: &Session) -> Result<Vec<Figure>> {
    let dir = session.dir.join("joining");
    let players = start(&session.contestants, &dir)?;
    let first = players.first().context("there is no daemon to measure")?;
    let spaces = Space::create_many(&dir, JOINED, SHORT_IO_TIMEOUT, &first.host.client())?;
    let (single, rest) = spaces.split_at(LEFT_SINGLY.min(spaces.len()));
    // A round takes the original 40 s, and nothing about it is noisy.
    let rounds = session.rounds.div_ceil(5);
    let (mut joined, mut left, mut all_left) = (Vec::new(), Vec::new(), Vec::new());
    for player in &players {
        eprintln!("  {JOINED} lockspaces, {}, rounds: {rounds}", player.label);
        let (mut join_times, mut leave_times, mut rest_times) =
            (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..rounds {
            join_times.push(seconds(|| {
                at_once(&spaces, |space| space.join(player, SHORT_IO_TIMEOUT))
            })?);
            for space in single {
                leave_times.push(1000.0 * seconds(|| space.leave(player))?);
            }
            rest_times.push(1000.0 * seconds(|| at_once(rest, |space| space.leave(player)))?);
        }
        joined.push(median(&join_times));
        left.push(median(&leave_times));
        all_left.push(median(&rest_times));
    }
    // What the algorithm itself waits for.
    let waiting = f64::from(2 * SHORT_IO_TIMEOUT);
    Ok(vec![
        Figure::new(
            "40 lockspaces joined at once (io timeout 1 s)",
            Unit::Seconds,
            joined,
        )
        .floor(Some(waiting))
        .target(Target::AtMost(waiting + 0.5)),
        Figure::new("one lockspace left", Unit::Milliseconds, left).target(Target::AtMost(300.0)),
        Figure::new("35 lockspaces left at once", Unit::Milliseconds, all_left)
            .target(Target::RatioAtMost(0.2)),
    ])
}

fn seconds(work: impl FnOnce() -> Result<()>) -> Result<f64> {
    let begin = Instant::now();
    work()?;
    Ok(begin.elapsed().as_secs_f64())
}

/// Doing nothing but renew. With a worker thread for each lockspace, as vdsm sets it: the original cannot join
/// more at once than it has.
pub(super) fn measure_idling(session: &Session) -> Result<Vec<Figure>> {
    let dir = session.dir.join("idle");
    let workers = IDLE.to_string();
    let players = start_with(&session.contestants, &dir, &["-t", &workers], None)?;
    let first = players.first().context("there is no daemon to measure")?;
    let spaces = Space::create_many(&dir, IDLE, IO_TIMEOUT, &first.host.client())?;
    eprintln!(
        "  {IDLE} lockspaces are joined, which takes 2 io timeouts: {} s",
        2 * IO_TIMEOUT
    );
    at_once(&players, |player| join_all(player, &spaces))?;
    // The first renewals and what is only done once are over.
    thread::sleep(Duration::from_secs(2));
    eprintln!("  idle for {} s", IDLE_TIME.as_secs());
    let before = players
        .iter()
        .map(|player| processor_time(player.host.pid()));
    let before = before.collect::<Result<Vec<_>>>()?;
    thread::sleep(IDLE_TIME);
    let (mut used, mut resident, mut proportional) = (Vec::new(), Vec::new(), Vec::new());
    for (player, before) in players.iter().zip(before) {
        let pid = player.host.pid();
        used.push(milliseconds(processor_time(pid)?.saturating_sub(before)));
        let memory = memory(pid)?;
        resident.push(memory.resident);
        proportional.push(memory.proportional);
    }
    Ok(vec![
        Figure::new(
            "50 idle lockspaces, processor time of 20 s",
            Unit::Milliseconds,
            used,
        )
        .target(Target::RatioAtMost(1.0)),
        Figure::new(
            "50 idle lockspaces, memory (RSS)",
            Unit::Mebibytes,
            resident,
        )
        .target(Target::RatioAtMost(1.0)),
        Figure::new(
            "50 idle lockspaces, memory (PSS)",
            Unit::Mebibytes,
            proportional,
        )
        .target(Target::RatioAtMost(1.0)),
    ])
}

/// Begins to join all, then waits for all.
fn join_all(player: &Player, spaces: &[Space]) -> Result<()> {
    for space in spaces {
        space.begin_to_join(player, IO_TIMEOUT)?;
    }
    spaces
        .iter()
        .try_for_each(|space| space.wait_until_joined(player))
}
