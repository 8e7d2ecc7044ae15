//! The demo's props and how they are shown.

use std::path::PathBuf;
use std::time::Duration;

use super::{IO_TIMEOUT, ORIGINAL_FIRE_TIMEOUT};
use crate::host::Host;
use crate::style;

/// Where it plays.
pub(crate) struct Stage {
    /// Directory of everything.
    pub(crate) dir: PathBuf,
    /// Seconds that the daemons count on for a watchdog.
    pub(crate) fire_timeout: u32,
}

impl Stage {
    pub(crate) fn new(dir: PathBuf, fire_timeout: u32) -> Stage {
        Stage { dir, fire_timeout }
    }

    /// Whether the original plays.
    pub(crate) fn original(&self) -> bool {
        self.fire_timeout == ORIGINAL_FIRE_TIMEOUT
    }

    /// The lease file.
    pub(crate) fn disk(&self) -> PathBuf {
        self.dir.join("disk")
    }

    /// A host's place in the lockspace, as the command line takes it; 0 for all of it.
    pub(crate) fn lockspace(&self, host_id: u32) -> String {
        format!("DEMO:{host_id}:{}:0", self.disk().display())
    }

    /// The lease, as the command line takes it.
    pub(crate) fn resource(&self) -> String {
        format!("DEMO:image:{}:1048576", self.disk().display())
    }

    /// Written by a host's guest when it runs.
    pub(crate) fn started(&self, host: &str) -> PathBuf {
        self.dir.join(format!("guest-on-{host}"))
    }

    /// How long after its last renewal a host is dead for everyone.
    pub(crate) fn host_dead(&self) -> Duration {
        Duration::from_secs(u64::from(8 * IO_TIMEOUT + self.fire_timeout))
    }

    /// How long it takes at most until another host knows that: it may have seen the last renewal only with
    /// its own next one, and looks once a second at whole seconds.
    pub(crate) fn known_dead(&self) -> Duration {
        self.host_dead() + Duration::from_secs(u64::from(2 * IO_TIMEOUT + 2))
    }
}

/// One step, in one sentence.
pub(crate) fn narrate(number: u32, sentence: &str) {
    println!(
        "{} {}",
        style::notable(format!("[{number}/7]")),
        style::heading(sentence)
    );
}

/// A command as a person would type it on that host.
pub(crate) fn show_command(host: &Host, arguments: &[&str]) {
    println!(
        "      {} sanlock {}",
        prompt(&host.name),
        arguments.join(" ")
    );
}

/// What a command said; the lines with this text in them matter.
pub(crate) fn show_output(text: &str, matters: &str) {
    for line in text.lines() {
        let line = if line.contains(matters) {
            style::bad(line)
        } else {
            style::quiet(line)
        };
        println!("        {line}");
    }
}

fn prompt(host: &str) -> String {
    let prompt = format!("{host}#");
    if host == "host-a" {
        style::first(prompt)
    } else {
        style::second(prompt)
    }
}
