//! Which program is executed, and how.

use std::convert::Infallible;
use std::ffi::{CString, OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::unistd::{AccessFlags, access};

use crate::options::{self, Options};

/// A variable by which a virtlockd is asked, when it says its version, whether it is one of ours.
pub(crate) const ASKED: &str = "VIRTLOCKD_HAND_OVER";

/// What one of ours says then.
pub(crate) const UNBLOCKS: &str = "unblocks signals";

/// What the program that is executed does with signals that are blocked at its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Successor {
    /// Unblocks them when it can handle them.
    Unblocks,
    /// Leaves them blocked for ever, as the C daemon does.
    LeavesBlocked,
}

/// How long a program may take to say which version it is.
const PATIENCE: Duration = Duration::from_secs(5);

/// How this program was started, so that another one can be started in the same way.
#[derive(Debug, Clone)]
pub(crate) struct Invocation {
    program: OsString,
    options: Options,
}

impl Invocation {
    /// At the program's start, while relative paths still mean what they meant to whoever typed them.
    pub(crate) fn new(program: &OsStr, options: &Options) -> Self {
        let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.into());
        let mut options = options.clone();
        for path in [&mut options.config, &mut options.pid_file] {
            *path = path.as_deref().map(absolute);
        }
        // A name alone is looked for, as a shell does.
        let program = match has_slash(program) {
            true => absolute(Path::new(program)).into(),
            false => program.to_owned(),
        };
        Self { program, options }
    }

    /// Ends when idle for so long: what may have been changed since the start.
    pub(crate) fn set_timeout(&mut self, timeout: Duration) {
        let seconds = timeout.as_secs().min(u64::from(options::TIMEOUT_MAX));
        self.options.timeout = u32::try_from(seconds).unwrap_or(0);
    }

    /// The configuration that is asked for.
    pub(crate) fn config(&self) -> Option<&Path> {
        self.options.config.as_deref()
    }

    /// The file that is executed, found as execvp(3) finds it.
    ///
    /// # Errors
    /// A sentence.
    pub(crate) fn find(&self) -> Result<PathBuf, String> {
        let shown = Path::new(&self.program).display();
        if has_slash(&self.program) {
            return Ok(self.program.clone().into());
        }
        let path = std::env::var_os("PATH").unwrap_or_else(|| "/bin:/usr/bin".into());
        std::env::split_paths(&path)
            .map(|directory| directory.join(&self.program))
            .find(|file| file.is_file() && access(file, AccessFlags::X_OK).is_ok())
            .ok_or_else(|| format!("there is no {shown} in {}", Path::new(&path).display()))
    }

    /// Whether a file is a virtlockd that can run here: it is asked for its version, in another process. What is cut
    /// short, or lacks a library, would end only after it had taken this program's place, and the locks with it.
    ///
    /// # Errors
    /// A sentence.
    pub(crate) async fn check(file: &Path) -> Result<Successor, String> {
        let shown = file.display();
        let mut child = Command::new(file)
            .arg("-V")
            .env(ASKED, "1")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| format!("cannot run {shown}: {error}"))?;
        let since = Instant::now();
        let status = loop {
            match child.try_wait() {
                Ok(Some(status)) => break status,
                Ok(None) if since.elapsed() < PATIENCE => {}
                other => {
                    let _ = child.kill();
                    let _ = child.wait();
                    return Err(match other {
                        Err(error) => format!("cannot wait for {shown} -V: {error}"),
                        _ => format!("{shown} -V does not end"),
                    });
                }
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        };
        if !status.success() {
            return Err(format!("{shown} -V failed: {status}"));
        }
        // It has ended, so all that it said is in the pipe, whoever else may have that open.
        let mut said = [0; 8192];
        let count = child
            .stdout
            .take()
            .map_or(Ok(0), |pipe| nix::unistd::read(pipe, &mut said));
        let said = said.get(..count.unwrap_or(0)).unwrap_or_default();
        let said = String::from_utf8_lossy(said);
        if !said.contains("(libvirt)") {
            return Err(format!("{shown} is no virtlockd: -V does not say so"));
        }
        Ok(match said.lines().any(|line| line == UNBLOCKS) {
            true => Successor::Unblocks,
            false => Successor::LeavesBlocked,
        })
    }

    /// Executes a file in the place of this program. Unlike execvp(3), does not take what is no program for a shell's
    /// script.
    ///
    /// # Errors
    /// A sentence: it always fails if it returns.
    pub(crate) fn execute(&self, file: &Path) -> Result<Infallible, String> {
        let shown = file.display();
        let words = std::iter::once(self.program.clone()).chain(self.options.arguments());
        let word =
            |word: OsString| CString::new(word.into_vec()).map_err(|error| error.to_string());
        let words: Vec<CString> = words.map(word).collect::<Result<_, _>>()?;
        let path = word(file.as_os_str().to_owned())?;
        nix::unistd::execv(&path, &words)
            .map_err(|error| format!("cannot execute {shown}: {error}"))
    }
}

fn has_slash(program: &OsStr) -> bool {
    program.as_bytes().contains(&b'/')
}
