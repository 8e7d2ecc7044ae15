//! Which programs run on which host.

use std::path::{Path, PathBuf};

use clap::ValueEnum;

use crate::resets::Times;

/// Programs that were built together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Build {
    /// The original, 3.8.5: opens its watchdog at its start, and that fires after a minute. Also what the
    /// distribution has installed, for hosts of namespaces.
    Original38,
    /// The original, 3.9.5: opens its watchdog when a client says after how long it is to fire.
    Original39,
    /// This project's.
    Ours,
}

impl Build {
    /// The directory that is its root on a machine.
    pub(crate) fn root(self) -> &'static str {
        match self {
            Build::Original38 => "/set/original-3.8",
            Build::Original39 => "/set/original",
            Build::Ours => "/set/ours",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Build::Original38 => "C 3.8",
            Build::Original39 => "C",
            Build::Ours => "ours",
        }
    }
}

/// A host's two daemons.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Daemons {
    pub(crate) sanlock: Build,
    pub(crate) wdmd: Build,
}

impl Daemons {
    const fn of(build: Build) -> Daemons {
        Daemons {
            sanlock: build,
            wdmd: build,
        }
    }

    fn name(self) -> String {
        format!("{}/{}", self.sanlock.name(), self.wdmd.name())
    }
}

/// The daemons of the host that fails and of the host that takes over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cast {
    pub(crate) victim: Daemons,
    pub(crate) rescuer: Daemons,
}

impl Cast {
    const fn of(victim: Daemons, rescuer: Daemons) -> Cast {
        Cast { victim, rescuer }
    }

    /// The lease daemon and the watchdog daemon of both, for people.
    pub(crate) fn name(self) -> String {
        if self.victim == self.rescuer {
            self.victim.name()
        } else {
            format!("{} > {}", self.victim.name(), self.rescuer.name())
        }
    }

    /// These times, as far as the programs can be set to them: the older ones fire after a minute.
    pub(crate) fn possible(self, times: Times) -> Times {
        if self.builds().contains(&Build::Original38) {
            Times { fire: 60, ..times }
        } else {
            times
        }
    }

    /// All builds that it needs.
    pub(crate) fn builds(self) -> Vec<Build> {
        let mut builds = vec![
            self.victim.sanlock,
            self.victim.wdmd,
            self.rescuer.sanlock,
            self.rescuer.wdmd,
        ];
        builds.sort_unstable();
        builds.dedup();
        builds
    }
}

/// What `--programs` may say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Programs {
    /// The C programs, 3.9.5
    Original,
    /// The C programs, 3.8.5: each reset takes more than a minute
    #[value(name = "original-3.8")]
    Original38,
    /// This project's
    Ours,
    /// Hosts with ours and with the C programs, and our lease daemon on the C watchdog daemon
    Mixed,
}

impl Programs {
    /// The casts with which each scenario is played.
    pub(crate) fn casts(self) -> Vec<Cast> {
        let original = Daemons::of(Build::Original39);
        let ours = Daemons::of(Build::Ours);
        match self {
            Programs::Original => vec![Cast::of(original, original)],
            Programs::Original38 => {
                let old = Daemons::of(Build::Original38);
                vec![Cast::of(old, old)]
            }
            Programs::Ours => vec![Cast::of(ours, ours)],
            Programs::Mixed => {
                let ours_on_c = Daemons {
                    sanlock: Build::Ours,
                    wdmd: Build::Original39,
                };
                let c_on_ours = Daemons {
                    sanlock: Build::Original39,
                    wdmd: Build::Ours,
                };
                vec![
                    Cast::of(ours_on_c, original),
                    Cast::of(original, ours_on_c),
                    Cast::of(c_on_ours, ours_on_c),
                ]
            }
        }
    }
}

/// Where this project's programs are.
#[derive(Clone, Debug)]
pub(crate) struct Ours {
    dir: PathBuf,
}

impl Ours {
    pub(crate) fn new(dir: &Path) -> Ours {
        Ours {
            dir: dir.to_owned(),
        }
    }

    /// A program, if it has been built.
    pub(crate) fn program(&self, name: &str) -> Option<PathBuf> {
        Some(self.dir.join(name)).filter(|file| file.is_file())
    }

    /// What is missing for this cast, in words.
    pub(crate) fn missing(&self, cast: Cast) -> Option<String> {
        let hosts = [cast.victim, cast.rescuer];
        let lacks = |name, used: bool| (used && self.program(name).is_none()).then_some(name);
        let sanlock = hosts.iter().any(|host| host.sanlock == Build::Ours);
        let wdmd = hosts.iter().any(|host| host.wdmd == Build::Ours);
        let missing: Vec<&str> = [lacks("sanlock", sanlock), lacks("wdmd", wdmd)]
            .into_iter()
            .flatten()
            .collect();
        (!missing.is_empty())
            .then(|| format!("{} has no {}", self.dir.display(), missing.join(" and no ")))
    }
}
