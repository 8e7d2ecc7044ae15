//! What is left of a run for people and for other programs.

mod junit;
mod logs;
mod page;
mod timeline;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::case::{Case, Played};

/// A scenario that was played, or not.
pub(crate) struct Outcome {
    pub(crate) case: Case,
    pub(crate) played: Played,
    pub(crate) took: Duration,
    /// Why it was not played.
    pub(crate) skipped: Option<String>,
    pub(crate) logs: Vec<Log>,
}

impl Outcome {
    pub(crate) fn skipped(case: Case, why: String) -> Outcome {
        Outcome {
            case,
            played: Played::default(),
            took: Duration::ZERO,
            skipped: Some(why),
            logs: Vec::new(),
        }
    }
}

/// A daemon's log.
pub(crate) struct Log {
    pub(crate) host: String,
    pub(crate) daemon: String,
    pub(crate) text: String,
}

/// The logs of a lab's hosts.
pub(crate) fn read_logs(dir: &Path) -> Vec<Log> {
    let mut logs = Vec::new();
    for host in ["alpha", "beta"] {
        for daemon in ["sanlock", "virtlockd", "libvirtd"] {
            let file = dir.join(host).join(format!("{daemon}.log"));
            if let Ok(bytes) = fs::read(file) {
                logs.push(Log {
                    host: host.to_owned(),
                    daemon: daemon.to_owned(),
                    text: String::from_utf8_lossy(&bytes).into_owned(),
                });
            }
        }
    }
    logs
}

/// Writes the report; where it begins.
pub(crate) fn write(dir: &Path, outcomes: &[Outcome]) -> Result<PathBuf> {
    fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
    let put = |name: &str, text: String| {
        let file = dir.join(name);
        fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
        Ok::<PathBuf, anyhow::Error>(file)
    };
    put("junit.xml", junit::text(outcomes))?;
    put("index.html", page::text(outcomes))
}

/// Text for XML and HTML.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\n' | '\t' => safe.push(character),
            // XML has no way to say them.
            control if control.is_control() => safe.push('\u{fffd}'),
            other => safe.push(other),
        }
    }
    safe
}
