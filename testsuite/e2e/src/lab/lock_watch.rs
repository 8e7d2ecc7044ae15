//! Somebody who looks at virtlockd's locks all the time, and somebody who tries to get them.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use fcntl::Kind;
use fcntl::record_lock::{self, NotLocked};
use serde::{Deserialize, Serialize};

use super::host::Host;

/// How often all locks are looked at, or tried for.
const EVERY: Duration = Duration::from_millis(1);

/// What of that which must not be is told.
const TOLD: usize = 10;

/// `e2e watch-locks`
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Only looks whether this process has all the locks; without it, they are tried for
    #[arg(long)]
    holder: Option<i32>,
    files: Vec<PathBuf>,
}

/// What came of it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Watched {
    /// How often each lock was looked at, or tried for.
    pub(crate) times: u64,
    /// The longest time in which that was not done: this process, too, may have to wait for a processor.
    pub(crate) longest_pause_ms: u64,
    /// What must not be, if locks are held all the time.
    pub(crate) found: Vec<String>,
}

/// A process that does it.
pub(crate) struct Watcher(Child);

impl Watcher {
    /// Asks the kernel all the time whether this process, as the lab numbers it, has the locks.
    pub(crate) fn looks(holder: i32, files: &[PathBuf]) -> Result<Watcher> {
        let mut command = guard::command(Path::new("/proc/self/exe"));
        command.arg("watch-locks");
        command.arg("--holder").arg(holder.to_string());
        Watcher::start(command, files)
    }

    /// Tries on a host all the time to get them.
    pub(crate) fn tries(host: &Host, files: &[PathBuf]) -> Result<Watcher> {
        let this = std::env::current_exe().context("cannot find this program")?;
        let this = this.to_str().context("this program has an odd name")?;
        let mut command = host.command(this);
        command.arg("watch-locks");
        Watcher::start(command, files)
    }

    fn start(mut command: Command, files: &[PathBuf]) -> Result<Watcher> {
        let mut child = command
            .args(files)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot watch locks")?;
        let mut line = String::new();
        let output = child.stdout.take().context("no pipe")?;
        let mut output = BufReader::new(output);
        output.read_line(&mut line)?;
        ensure!(line == "ready\n", "nobody watches the locks");
        child.stdout = Some(output.into_inner());
        Ok(Watcher(child))
    }

    /// Stops it.
    pub(crate) fn stop(self) -> Result<Watched> {
        let output = self.0.wait_with_output()?;
        ensure!(
            output.status.success(),
            "the watch of the locks ended: {}",
            output.status
        );
        serde_json::from_slice(&output.stdout).context("the watch of the locks says nothing")
    }
}

/// Is the watcher until its standard input ends.
pub(crate) fn run(options: &Options) -> Result<()> {
    let files = options.files.iter().map(|path| {
        let file = OpenOptions::new().read(true).write(true).open(path);
        let file = file.with_context(|| format!("cannot open {}", path.display()))?;
        Ok((path.as_path(), file))
    });
    let files = files.collect::<Result<Vec<(&Path, File)>>>()?;
    println!("ready");
    static STOP: AtomicBool = AtomicBool::new(false);
    std::thread::spawn(|| {
        let _ = io::stdin().read(&mut [0]);
        STOP.store(true, Ordering::Relaxed);
    });
    let mut watched = Watched {
        times: 0,
        longest_pause_ms: 0,
        found: Vec::new(),
    };
    let (mut before, mut longest) = (Instant::now(), Duration::ZERO);
    while !STOP.load(Ordering::Relaxed) {
        let since = Instant::now();
        longest = longest.max(since - before);
        before = since;
        for (path, file) in &files {
            let name = path.display();
            let wrong = match options.holder {
                Some(holder) => match record_lock::holder(file, Kind::Exclusive) {
                    Some(found) if found == holder => None,
                    Some(found) => Some(format!("{name} was held by process {found}")),
                    None => Some(format!("{name} was free")),
                },
                None => match record_lock::take(file, Kind::Exclusive) {
                    Err(NotLocked::Held) => None,
                    Err(failed) => Some(format!("{name}: {failed}")),
                    Ok(()) => Some(format!("{name} was to be had")),
                },
            };
            watched.found.extend(wrong);
        }
        watched.found.truncate(TOLD);
        watched.times += 1;
        std::thread::sleep(EVERY.saturating_sub(since.elapsed()));
    }
    watched.longest_pause_ms = u64::try_from(longest.as_millis()).unwrap_or(u64::MAX);
    println!("{}", serde_json::to_string(&watched)?);
    Ok(())
}
