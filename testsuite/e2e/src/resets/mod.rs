//! Real resets: two machines share a disk, one loses its leases and is reset, the other takes over.

mod disk;
mod host;
mod pair;
mod report;
mod scenario;
mod times;

use std::path::Path;

use anyhow::Result;

use crate::image::Image;
use crate::programs::Cast;
use pair::Pair;
pub(crate) use report::Report;
pub(crate) use scenario::{SCENARIOS, Scenario};
pub(crate) use times::Times;

/// Plays a scenario; the machines' files are in the directory.
pub(crate) fn play(scenario: &Scenario, cast: Cast, image: &Image, dir: &Path) -> Result<Report> {
    let times = cast.possible(scenario.times);
    let pair = Pair::start(cast, times, image, dir)?;
    (scenario.play)(&pair)
}
