//! Child processes that cannot outlive the test that started them.

use std::fs::File;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

use super::failure::{Failure, While};

/// What a program said and how it ended.
#[derive(Debug, Clone)]
pub(crate) struct Said {
    /// Standard output.
    pub(crate) stdout: String,
    /// Standard error.
    pub(crate) stderr: String,
    /// `0`, `1`, `signal 9` ...
    pub(crate) end: String,
}

/// How a process ended, in the words of the transcripts.
pub(crate) fn end_of(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => code.to_string(),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "unknown".to_owned(),
    }
}

/// A command that the kernel kills when the thread that starts it ends, however that comes about,
/// and that a daemon's `kill(0, ...)` cannot spread from: it leads a process group of its own.
pub(crate) fn tied(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command
        .args(["--pdeathsig", "KILL", "--"])
        .arg(program)
        .process_group(0);
    command
}

/// A child that is killed and collected when it goes out of scope.
#[derive(Debug)]
pub(crate) struct Guarded {
    child: Child,
    ended: Option<String>,
}

impl Guarded {
    /// Starts `command`.
    pub(crate) fn spawn(command: &mut Command) -> Result<Guarded, Failure> {
        let child = command
            .spawn()
            .during(|| format!("start {:?}", command.get_program()))?;
        Ok(Guarded { child, ended: None })
    }

    /// The process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The child, for its pipes.
    pub(crate) fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// How it ended, if it did.
    pub(crate) fn ended(&mut self) -> Option<String> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().ok().flatten().map(end_of);
        }
        self.ended.clone()
    }

    /// Waits for its end, for at most `patience`.
    pub(crate) fn wait(&mut self, patience: Duration) -> Option<String> {
        let since = Instant::now();
        let mut pause = Duration::from_millis(1);
        loop {
            if let Some(end) = self.ended() {
                return Some(end);
            }
            if since.elapsed() > patience {
                return None;
            }
            sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(25));
        }
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) -> Result<(), Failure> {
        let pid = i32::try_from(self.pid()).during(|| "process id".to_owned())?;
        kill(Pid::from_raw(pid), signal).during(|| format!("send {signal} to {pid}"))
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        // As long as it is not collected its number is its own: its group can be killed with it.
        if self.ended.is_none() {
            if let Ok(pid) = i32::try_from(self.pid()) {
                // No group is left of it, or it never led one.
                let _ = killpg(Pid::from_raw(pid), Signal::SIGKILL);
            }
        }
        if self.ended().is_none() {
            // It may have ended in between: nothing is left to do then.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// Runs `command` to its end, which must come within `patience`. Output goes through files in
/// `scratch`, so that a child left behind that holds the output open cannot block the test.
pub(crate) fn run(
    command: &mut Command,
    scratch: &Path,
    patience: Duration,
) -> Result<Said, Failure> {
    let (out, err) = (scratch.join("stdout"), scratch.join("stderr"));
    command
        .stdin(Stdio::null())
        .stdout(fresh(&out)?)
        .stderr(fresh(&err)?);
    let mut child = Guarded::spawn(command)?;
    let end = child
        .wait(patience)
        .ok_or_else(|| format!("no end after {} s: {command:?}", patience.as_secs()))?;
    Ok(Said {
        stdout: lossy(&out)?,
        stderr: lossy(&err)?,
        end,
    })
}

/// A new file in the place of the one of the command before, into which a helper that outlives its daemon by a
/// moment may still write.
fn fresh(path: &Path) -> Result<File, Failure> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(File::create_new(path)?),
    }
}

/// A file's text, whatever bytes are in it.
pub(crate) fn lossy(path: &Path) -> Result<String, Failure> {
    let bytes = std::fs::read(path).during(|| format!("read {}", path.display()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
