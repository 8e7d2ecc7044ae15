//! Real resets: two machines share a disk, one loses its leases and is reset, the other takes over.

mod disk;
mod host;
mod pair;
mod report;
mod scenario;
mod times;

use std::path::Path;

use anyhow::{Context, Result};

use crate::image::Image;
use crate::machine::OutOfTime;
use crate::programs::Cast;
use pair::Pair;
pub(crate) use report::Report;
pub(crate) use scenario::{SCENARIOS, Scenario};
pub(crate) use times::Times;

/// How often a scenario is played of which nothing could be measured.
const ATTEMPTS: u32 = 3;

/// Plays a scenario; the machines' files are in the directory. When the computer is too busy to give the machines their
/// time, it is played anew.
pub(crate) fn play(scenario: &Scenario, cast: Cast, image: &Image, dir: &Path) -> Result<Report> {
    let times = cast.possible(scenario.times);
    let once = |dir: &Path| {
        let pair = Pair::start(cast, times, scenario.watchdog, image, dir)?;
        (scenario.play)(&pair)
    };
    let mut played = once(dir);
    for attempt in 2..=ATTEMPTS {
        match &played {
            Err(error) if error.is::<OutOfTime>() => {
                println!("playing {} again: {error:#}", scenario.name);
            }
            _ => break,
        }
        let dir = dir.join(format!("attempt-{attempt}"));
        std::fs::create_dir(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
        played = once(&dir);
    }
    played
}
