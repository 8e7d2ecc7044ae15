//! The test scripts: what is run at each test, and how it went.

use super::time::Millis;

/// Most scripts there can be.
pub const MAX_SCRIPTS: usize = 8;

/// Most bytes of a script's name: the file system's limit.
pub const MAX_NAME: usize = 255;

/// `EINTR`, which the original takes as the result of a script that a signal ended.
const KILLED: i32 = 4;

/// How a script ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScriptEnd {
    /// With this exit status.
    Exited(i32),
    /// By this signal.
    Killed(i32),
}

/// A script and its record.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Script {
    /// Its file name.
    pub name: String,
    /// Its process while it runs, 0 until it is known.
    pub pid: i32,
    /// Whether it was asked to run and has not ended.
    pub running: bool,
    /// Whether it was told to be killed.
    pub killing: bool,
    /// When it was last started.
    pub start: Millis,
    /// 0 for success.
    pub last_result: i32,
    /// How often it was started.
    pub runs: u32,
    /// How often it ended with a failure.
    pub failures: u32,
    /// How often it ended with success.
    pub successes: u32,
    /// How often a signal ended it.
    pub kills: u32,
    /// How often it had not ended in time.
    pub overdue: u32,
}

impl Script {
    /// Takes down how it ended. True for success.
    pub(crate) fn ended(&mut self, end: ScriptEnd) -> bool {
        self.running = false;
        self.killing = false;
        self.pid = 0;
        match end {
            ScriptEnd::Exited(0) => {
                self.successes = self.successes.saturating_add(1);
                self.last_result = 0;
                true
            }
            ScriptEnd::Exited(status) => {
                self.failures = self.failures.saturating_add(1);
                self.last_result = status;
                false
            }
            ScriptEnd::Killed(_) => {
                self.kills = self.kills.saturating_add(1);
                self.last_result = KILLED;
                false
            }
        }
    }

    /// Whether it is to be run now. One that succeeded is not run again before the usual interval, though in
    /// trouble the tests follow each other faster.
    pub(crate) fn is_due(&self, now: Millis, interval: u32) -> bool {
        let rested = now >= self.start.plus_seconds(interval.saturating_sub(1));
        !self.running && (self.last_result != 0 || self.runs == 0 || rested)
    }
}

/// All scripts, each in a place of its own.
#[derive(Debug, Default)]
pub struct Scripts {
    places: [Option<Script>; MAX_SCRIPTS],
    /// The process that runs them is gone: none can be shown to be well.
    pub lost: bool,
}

impl Scripts {
    /// Adds one that is not known yet. `None` if it is, or if there is no place left.
    pub(crate) fn add(&mut self, name: &str) -> Option<usize> {
        if self.iter().any(|(_, script)| script.name == name) {
            return None;
        }
        let free = self.places.iter().position(Option::is_none)?;
        if let Some(place) = self.places.get_mut(free) {
            *place = Some(Script {
                name: name.to_owned(),
                ..Script::default()
            });
        }
        Some(free)
    }

    pub(crate) fn is_known(&self, name: &str) -> bool {
        self.iter().any(|(_, script)| script.name == name)
    }

    pub(crate) fn get_mut(&mut self, index: usize) -> Option<&mut Script> {
        self.places.get_mut(index)?.as_mut()
    }

    /// The script in a place.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<&Script> {
        self.places.get(index)?.as_ref()
    }

    pub(crate) fn remove(&mut self, index: usize) -> Option<Script> {
        self.places.get_mut(index)?.take()
    }

    /// All there are, in the order of their places.
    pub fn iter(&self) -> impl Iterator<Item = (usize, &Script)> {
        let numbered = self.places.iter().enumerate();
        numbered.filter_map(|(index, script)| Some((index, script.as_ref()?)))
    }

    /// Whether any is running.
    #[must_use]
    pub fn running(&self) -> bool {
        self.iter().any(|(_, script)| script.running)
    }
}
