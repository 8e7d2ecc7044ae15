//! Playing a scenario in a process of its own, with which all of its lab ends.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};

use anyhow::{Context, Result};
use clap::ValueEnum;

use super::scenario::Scenario;
use super::stage::Lab;
use super::story::{Kind, Story, Teller};
use super::{enclosure, scenarios};
use crate::programs::{Build, Ours};

/// Where the lab leaves its story.
const STORY: &str = "story.json";

/// `e2e lab`
#[derive(clap::Args)]
pub(crate) struct Options {
    scenario: String,
    /// The programs of the first host
    one: Build,
    /// Those of the second
    other: Build,
    ours: PathBuf,
    /// The lab's directory
    dir: PathBuf,
}

/// Plays a scenario; its files and logs are in the directory.
pub(crate) fn play(
    scenario: &Scenario,
    builds: [Build; 2],
    ours: &Path,
    dir: &Path,
) -> Result<Story> {
    let mut command = guard::command(Path::new("/proc/self/exe"));
    command.arg("lab").arg(scenario.name);
    for build in builds {
        let value = build
            .to_possible_value()
            .context("programs without a name")?;
        command.arg(value.get_name());
    }
    let output = command
        .arg(ours)
        .arg(dir)
        .stdin(Stdio::null())
        .output()
        .context("cannot start a lab")?;
    let said = String::from_utf8_lossy(&output.stderr);
    let text = fs::read_to_string(dir.join(STORY))
        .with_context(|| format!("the lab ended ({}) without a story: {said}", output.status))?;
    serde_json::from_str(&text).context("the lab's story cannot be read")
}

/// Is the lab.
pub(crate) fn inside(options: &Options) -> Result<ExitCode> {
    if !enclosure::is_inside() {
        return enclosure::enter_again();
    }
    enclosure::settle()?;
    let scenario = scenarios::find(&options.scenario).context("no such scenario")?;
    let teller = Teller::new();
    let ours = Ours::new(&options.ours);
    let builds = [options.one, options.other];
    let played = Lab::open(scenario.setup, builds, &ours, &options.dir, &teller)
        .context("cannot set the lab up")
        .and_then(|mut lab| (scenario.play)(&mut lab));
    if let Err(error) = &played {
        teller.tell(Kind::Seen, None, format!("failed: {error:#}"));
    }
    let mut story = teller.finish();
    story.fault = played.err().map(|error| format!("{error:#}"));
    let text = serde_json::to_string(&story).context("cannot write the story")?;
    let mut file = fs::File::create(options.dir.join(STORY)).context("cannot write the story")?;
    file.write_all(text.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}
