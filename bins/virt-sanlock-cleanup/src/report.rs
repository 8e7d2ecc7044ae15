//! What is said: a line for each file as the original has it, a bar where a person watches, or JSON.

use std::collections::BTreeMap;
use std::ffi::CStr;
use std::io::{IsTerminal as _, Write as _, stderr, stdout};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use config::qemu_sanlock_conf::LOCKSPACE;
use serde::Serialize;

use crate::options::Options;
use crate::removal::{Fate, Kept};

/// How often the bar is drawn.
const REDRAW: Duration = Duration::from_millis(100);
/// Its width.
const BAR: usize = 40;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    Quiet,
    Lines,
    Bar,
    Json,
}

/// What is said of one file.
#[derive(Debug, Serialize)]
struct Entry {
    path: String,
    result: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// How many files had which fate.
#[derive(Debug, Default, Serialize)]
struct Counts {
    files: usize,
    removed: usize,
    in_use: usize,
    gone: usize,
    not_leases: usize,
    failed: usize,
}

#[derive(Debug, Serialize)]
struct Document<'a> {
    lockspace: &'static str,
    directory: String,
    dry_run: bool,
    #[serde(flatten)]
    counts: &'a Counts,
    leases: Vec<&'a Entry>,
}

/// Collects what became of the files, in whatever order they come, and tells it in the order of their names.
#[derive(Debug)]
pub(crate) struct Report {
    style: Style,
    dry_run: bool,
    directory: PathBuf,
    total: usize,
    counts: Counts,
    /// What has come before its turn; all of it for JSON.
    waiting: BTreeMap<usize, Entry>,
    next: usize,
    /// The first failure, which is told once.
    trouble: Option<String>,
    drawn: Option<Instant>,
}

impl Report {
    pub(crate) fn new(options: &Options, directory: &Path, total: usize) -> Self {
        let style = if options.json {
            Style::Json
        } else if options.quiet {
            Style::Quiet
        } else if !options.verbose && stdout().is_terminal() && stderr().is_terminal() {
            Style::Bar
        } else {
            Style::Lines
        };
        Self {
            style,
            dry_run: options.dry_run,
            directory: directory.to_owned(),
            total,
            counts: Counts::default(),
            waiting: BTreeMap::new(),
            next: 0,
            trouble: None,
            drawn: None,
        }
    }

    /// Takes what became of the file that is `at` that place in the order.
    pub(crate) fn add(&mut self, at: usize, name: &CStr, fate: Fate) {
        self.counts.files += 1;
        let name = String::from_utf8_lossy(name.to_bytes());
        let path = self.directory.join(&*name);
        let path = printable(&path.display().to_string());
        let (result, reason) = match &fate {
            Fate::Removed => ("removed", None),
            Fate::WouldGo => ("would be removed", None),
            Fate::Kept(why) => ("kept", Some(why.to_string())),
        };
        match fate {
            Fate::Removed | Fate::WouldGo => self.counts.removed += 1,
            Fate::Kept(Kept::InUse(_) | Kept::InUseBy(_)) => self.counts.in_use += 1,
            Fate::Kept(Kept::Replaced) => self.counts.gone += 1,
            Fate::Kept(Kept::NotALease(why)) if !why.is_failure() => self.counts.not_leases += 1,
            Fate::Kept(why) => {
                self.counts.failed += 1;
                let of_all = matches!(why, Kept::NoDaemon(_) | Kept::NotJoined);
                let told = || {
                    Some(if of_all {
                        why.to_string()
                    } else {
                        format!("{path}: {why}")
                    })
                };
                self.trouble = self.trouble.take().or_else(told);
            }
        }
        let entry = Entry {
            path,
            result,
            reason,
        };
        self.waiting.insert(at, entry);
        match self.style {
            Style::Lines => self.print_lines(),
            Style::Bar => {
                self.waiting.clear();
                self.draw_bar();
            }
            Style::Quiet => self.waiting.clear(),
            Style::Json => {}
        }
    }

    fn print_lines(&mut self) {
        let mut out = stdout().lock();
        while let Some(entry) = self.waiting.remove(&self.next) {
            self.next += 1;
            let passed = match (entry.result, self.dry_run) {
                ("kept", _) => "FAIL",
                (_, true) => "would PASS",
                (_, false) => "PASS",
            };
            let name = entry.path.rsplit('/').next().unwrap_or_default();
            let path = &entry.path;
            // Who closed the pipe does not want to know; the work goes on.
            let _ = writeln!(out, "Cleanup: {LOCKSPACE}:{name}:{path}:0 {passed}");
        }
    }

    fn draw_bar(&mut self) {
        let done = self.counts.files;
        let due = self.drawn.is_none_or(|drawn| drawn.elapsed() >= REDRAW);
        if !due && done < self.total {
            return;
        }
        self.drawn = Some(Instant::now());
        let filled = (BAR * done).checked_div(self.total).unwrap_or(BAR);
        let bar: String = (0..BAR)
            .map(|at| if at < filled { '#' } else { '.' })
            .collect();
        let total = self.total;
        let _ = write!(stderr(), "\r[{bar}] {done}/{total}");
    }

    /// Says what there is to say at the end.
    pub(crate) fn finish(self) -> Result<(), String> {
        if self.style == Style::Json {
            return self.print_json();
        }
        if self.style == Style::Bar && self.drawn.is_some() {
            say(format_args!(""));
        }
        if self.style != Style::Quiet {
            say(format_args!("{}", self.summary()));
        }
        if let Some(trouble) = &self.trouble {
            say(format_args!("virt-sanlock-cleanup: {trouble}"));
        }
        Ok(())
    }

    fn summary(&self) -> String {
        let Counts {
            files,
            removed,
            in_use,
            gone,
            not_leases,
            failed,
        } = self.counts;
        let verb = if self.dry_run {
            "to be removed"
        } else {
            "removed"
        };
        let mut text = format!("{removed} of {files} leases {verb}, {in_use} in use");
        for (count, what) in [
            (gone, "removed or replaced by others meanwhile"),
            (not_leases, "no leases"),
            (failed, "left because of failures"),
        ] {
            if count > 0 {
                text.push_str(&format!(", {count} {what}"));
            }
        }
        text
    }

    fn print_json(&self) -> Result<(), String> {
        let document = Document {
            lockspace: LOCKSPACE,
            directory: self.directory.display().to_string(),
            dry_run: self.dry_run,
            counts: &self.counts,
            leases: self.waiting.values().collect(),
        };
        let mut out = stdout().lock();
        serde_json::to_writer_pretty(&mut out, &document)
            .map_err(|error| error.to_string())
            .and_then(|()| writeln!(out).map_err(|error| error.to_string()))
            .map_err(|error| format!("cannot write the result: {error}"))
    }
}

/// A line to standard error, or nothing if nobody reads it: the work goes on.
pub(crate) fn say(line: std::fmt::Arguments<'_>) {
    let _ = writeln!(stderr().lock(), "{line}");
}

/// On one line, and without orders to a terminal.
fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '?' } else { c })
        .collect()
}
