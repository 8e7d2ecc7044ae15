//! One scenario with the programs that it is played with, whichever kind of host it is for.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use clap::ValueEnum;

use crate::image::Image;
use crate::lab::{self, Story};
use crate::machine;
use crate::programs::{Build, Cast, Ours, Programs};
use crate::resets::{self, Report};

/// The kinds of hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// Hosts of namespaces, with libvirtd and guests
    Namespaces,
    /// Hosts that are machines, and are really reset
    Machines,
}

/// A scenario of either kind.
#[derive(Clone, Copy)]
pub(crate) enum Scenario {
    Lab(&'static lab::Scenario),
    Reset(&'static resets::Scenario),
}

/// All scenarios, the quick ones first.
pub(crate) fn all() -> Vec<Scenario> {
    let labs = lab::SCENARIOS.iter().flat_map(|group| group.iter());
    labs.map(Scenario::Lab)
        .chain(resets::SCENARIOS.iter().map(Scenario::Reset))
        .collect()
}

impl Scenario {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Scenario::Lab(scenario) => scenario.name,
            Scenario::Reset(scenario) => scenario.name,
        }
    }

    pub(crate) fn what(self) -> &'static str {
        match self {
            Scenario::Lab(scenario) => scenario.what,
            Scenario::Reset(scenario) => scenario.what,
        }
    }

    pub(crate) fn kind(self) -> Kind {
        match self {
            Scenario::Lab(_) => Kind::Namespaces,
            Scenario::Reset(_) => Kind::Machines,
        }
    }

    /// Whether it is played only when asked for.
    pub(crate) fn is_slow(self) -> bool {
        match self {
            Scenario::Lab(scenario) => scenario.setup.slow,
            Scenario::Reset(scenario) => scenario.slow,
        }
    }

    /// The programs with which it is played.
    pub(crate) fn parts(self, programs: Programs) -> Vec<Part> {
        match self {
            Scenario::Reset(scenario) => programs
                .casts()
                .into_iter()
                .map(|cast| Part::Reset(scenario, cast))
                .collect(),
            Scenario::Lab(scenario) => lab_builds(scenario, programs)
                .into_iter()
                .map(|builds| Part::Lab(scenario, builds))
                .collect(),
        }
    }
}

/// The distribution's programs are `Build::Original38` here.
fn lab_builds(scenario: &lab::Scenario, programs: Programs) -> Vec<[Build; 2]> {
    let (original, ours) = (Build::Original38, Build::Ours);
    match programs {
        Programs::Original => vec![[original; 2]],
        Programs::Ours => vec![[ours; 2]],
        Programs::Mixed if scenario.setup.hosts == 2 => {
            vec![[original, ours], [ours, original]]
        }
        Programs::Mixed | Programs::Original38 => Vec::new(),
    }
}

/// A scenario with its programs.
#[derive(Clone, Copy)]
pub(crate) enum Part {
    Lab(&'static lab::Scenario, [Build; 2]),
    Reset(&'static resets::Scenario, Cast),
}

/// The same, with the name of its directory.
#[derive(Clone)]
pub(crate) struct Case {
    pub(crate) part: Part,
    pub(crate) label: String,
}

/// What became of it.
#[derive(Default)]
pub(crate) struct Played {
    pub(crate) faults: Vec<String>,
    /// What is worth telling on its line.
    pub(crate) line: String,
    pub(crate) story: Option<Story>,
}

impl Case {
    pub(crate) fn name(&self) -> &'static str {
        match self.part {
            Part::Lab(scenario, _) => scenario.name,
            Part::Reset(scenario, _) => scenario.name,
        }
    }

    pub(crate) fn what(&self) -> &'static str {
        match self.part {
            Part::Lab(scenario, _) => scenario.what,
            Part::Reset(scenario, _) => scenario.what,
        }
    }

    /// Whose programs they are.
    pub(crate) fn cast(&self) -> String {
        let whose = |build| match build {
            Build::Ours => "ours",
            Build::Original38 | Build::Original39 => "C",
        };
        match self.part {
            Part::Lab(scenario, [one, other]) if scenario.setup.hosts == 2 && one != other => {
                format!("{} + {}", whose(one), whose(other))
            }
            Part::Lab(_, [one, _]) => whose(one).to_owned(),
            Part::Reset(_, cast) => cast.name(),
        }
    }

    pub(crate) fn title(&self) -> String {
        format!("{:<24} {}", self.name(), self.cast())
    }

    /// What this computer lacks for it.
    pub(crate) fn impossible(&self, ours: &Ours) -> Option<String> {
        match self.part {
            Part::Lab(scenario, builds) => lab::missing(scenario, builds, ours),
            Part::Reset(_, cast) => machines_missing().or_else(|| ours.missing(cast)),
        }
    }

    /// Plays it; its files are in the directory.
    pub(crate) fn play(&self, image: Option<&Image>, ours: &Path, dir: &Path) -> Played {
        let played = fs::create_dir(dir)
            .context("cannot create a directory")
            .and_then(|()| match self.part {
                Part::Lab(scenario, builds) => {
                    let story = lab::play(scenario, builds, ours, dir)?;
                    Ok(Played::from_story(story))
                }
                Part::Reset(scenario, cast) => {
                    let image = image.context("there is nothing that machines could boot")?;
                    Ok(Played::from_report(&resets::play(
                        scenario, cast, image, dir,
                    )?))
                }
            });
        played.unwrap_or_else(|error: anyhow::Error| Played {
            faults: vec![format!("{error:#}")],
            ..Played::default()
        })
    }
}

impl Played {
    fn from_story(story: Story) -> Played {
        Played {
            faults: story.fault.iter().cloned().collect(),
            line: story.notes.join(", "),
            story: Some(story),
        }
    }

    fn from_report(report: &Report) -> Played {
        Played {
            faults: report.faults().to_vec(),
            line: report.to_string(),
            story: None,
        }
    }
}

fn machines_missing() -> Option<String> {
    let here = |name: &str| {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).any(|dir| dir.join(name).is_file())
    };
    let needed = [machine::QEMU, "apt-get", "dpkg-deb", "ldd"];
    let lacking = needed.iter().find(|name| !here(name));
    lacking.map(|name| format!("{name} is not installed"))
}

/// Programs of ours in whose place labs use the distribution's.
pub(crate) fn others_in_place(cases: &[Case], ours: &Ours) -> Option<String> {
    let used = cases
        .iter()
        .any(|case| matches!(case.part, Part::Lab(_, builds) if builds.contains(&Build::Ours)));
    let missing = lab::not_built(ours);
    (used && !missing.is_empty()).then(|| missing.join(", "))
}

/// What machines boot needs the programs of all of these.
pub(crate) fn builds(cases: &[Case]) -> Vec<Build> {
    let mut builds: Vec<Build> = cases
        .iter()
        .filter_map(|case| match case.part {
            Part::Reset(_, cast) => Some(cast.builds()),
            Part::Lab(..) => None,
        })
        .flatten()
        .collect();
    builds.sort_unstable();
    builds.dedup();
    builds
}

/// Copies what the hosts wrote, in place of what an earlier run left there.
pub(crate) fn keep_logs(dir: &Path, to: &Path) -> Result<()> {
    if to.is_dir() {
        fs::remove_dir_all(to).with_context(|| format!("cannot empty {}", to.display()))?;
    }
    copy_logs(dir, to)
}

fn copy_logs(dir: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).with_context(|| format!("cannot create {}", to.display()))?;
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let Some(name) = path.file_name() else {
            continue;
        };
        // What hosts share is no log.
        if path.is_dir() && name != "shared" && name != "memory" {
            copy_logs(&path, &to.join(name))?;
        } else if path.is_file() {
            fs::copy(&path, to.join(name))?;
        }
    }
    Ok(())
}
