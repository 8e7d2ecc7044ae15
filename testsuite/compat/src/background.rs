//! A daemon that puts itself into the background, as service managers of old start it.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::lab::Lab;
use crate::lab::failure::{Failure, While};
use crate::test::Test;

/// The tests of this group.
pub(crate) fn tests() -> Vec<Test> {
    vec![Test {
        name: "daemon/background",
        needs: &[],
        seconds: 3,
        run: background,
    }]
}

const PATIENCE: Duration = Duration::from_secs(30);

/// A process that nobody waits for, killed in the end.
struct Orphan(Pid);

impl Orphan {
    fn directory(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}", self.0))
    }

    fn lives(&self) -> bool {
        let stat = std::fs::read_to_string(self.directory().join("stat")).unwrap_or_default();
        let threads = std::fs::read_dir(self.directory().join("task")).map_or(0, Iterator::count);
        // A zombie waits for an init that may not collect, or for threads that have not ended.
        !stat.is_empty() && (threads > 1 || !stat.contains(") Z "))
    }

    fn lives_no_more(&self) -> bool {
        let since = Instant::now();
        while self.lives() && since.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(20));
        }
        !self.lives()
    }
}

impl Drop for Orphan {
    fn drop(&mut self) {
        if self.lives() {
            // It may end by itself in this moment.
            let _ = kill(self.0, Signal::SIGKILL);
        }
    }
}

fn background(lab: &mut Lab) -> Result<(), Failure> {
    let line = "daemon -w 0 -h 0 -l 0 -L -1 -S -1 -e host1";
    let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
    let said = lab.host(1).run_daemon(&words, PATIENCE)?;
    let ended = format!("{} {}", said.end, said.stdout);
    lab.same("the command", "0", ended.trim());
    let since = Instant::now();
    let file = lab.path("run1/sanlock.pid");
    let pid = loop {
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        match text.strip_suffix('\n').map(str::parse::<i32>) {
            Some(Ok(pid)) => break pid,
            _ if since.elapsed() > PATIENCE => return Err("no pid file".into()),
            _ => std::thread::sleep(Duration::from_millis(20)),
        }
    };
    let daemon = Orphan(Pid::from_raw(pid));
    lab.check("the pid file names a process", daemon.lives());
    let program = std::fs::read_link(daemon.directory().join("exe"))?;
    let same = program == lab.host(1).daemon.path;
    lab.check("it runs the daemon's program", same);
    let cwd = std::fs::read_link(daemon.directory().join("cwd"))?;
    lab.check("it works in /", cwd == Path::new("/"));
    let input = std::fs::read_link(daemon.directory().join("fd/0"))?;
    lab.check("it reads from nowhere", input == Path::new("/dev/null"));
    let stat = std::fs::read_to_string(daemon.directory().join("stat"))?;
    let session = stat
        .rsplit(") ")
        .next()
        .and_then(|rest| rest.split(' ').nth(3));
    lab.check(
        "it leads a session of its own",
        session == Some(pid.to_string().as_str()),
    );
    while !lab.host(1).socket().exists() {
        if since.elapsed() > PATIENCE {
            return Err("no socket".into());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let gets: Vec<String> = ["client", "status"].map(str::to_owned).to_vec();
    let said = lab.host(1).cli(&gets, PATIENCE)?;
    lab.check("it answers", said.stdout.starts_with("daemon host1\n"));
    kill(daemon.0, Signal::SIGTERM).during(|| "end the daemon".to_owned())?;
    lab.check("it ends when it is told to", daemon.lives_no_more());
    Ok(())
}
