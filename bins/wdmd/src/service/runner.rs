//! The runner: the process that looks for test scripts and runs them. Reading a directory and starting a program
//! can wait for a disk; the daemon does not wait for it, and a script whose start or end is not heard of in time
//! counts as failed.

use std::collections::BTreeMap;
use std::fs;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use daemon::Subprocess;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::socket::{MsgFlags, recv, send};

use crate::watchdog::{Event, MAX_NAME, ScriptEnd};

/// Longest message: a word, a place and a name.
const LONGEST: usize = MAX_NAME + 16;

/// First bytes of what the runner is told and tells.
mod word {
    pub(super) const SCAN: u8 = b'S';
    pub(super) const RUN: u8 = b'R';
    pub(super) const KILL: u8 = b'K';

    pub(super) const FOUND: u8 = b'F';
    pub(super) const SCANNED: u8 = b'N';
    pub(super) const STARTED: u8 = b'P';
    pub(super) const REFUSED: u8 = b'X';
    pub(super) const EXITED: u8 = b'E';
    pub(super) const KILLED: u8 = b'T';
}

/// The daemon's end.
#[derive(Debug)]
pub(super) struct Runner(Subprocess);

/// What the runner said.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Report {
    Event(Event),
    /// All scripts that there are have been told.
    Scanned,
}

impl Runner {
    pub(super) fn start(directory: &Path) -> Result<Self, daemon::Error> {
        let directory = directory.to_owned();
        let process = Subprocess::start("wdmd-runner", move |socket| work(&socket, &directory))?;
        Ok(Self(process))
    }

    /// False if the runner is gone or does not listen.
    pub(super) fn scan(&self) -> bool {
        self.0.send(&[word::SCAN]).is_ok()
    }

    pub(super) fn run(&self, index: usize, name: &str) -> bool {
        let Ok(place) = u8::try_from(index) else {
            return false;
        };
        let mut message = [0; LONGEST];
        let parts = [word::RUN, place].into_iter().chain(name.bytes());
        let mut length = 0_usize;
        for (to, from) in message.iter_mut().zip(parts) {
            *to = from;
            length = length.saturating_add(1);
        }
        let message = message.get(..length).unwrap_or_default();
        self.0.send(message).is_ok()
    }

    pub(super) fn kill(&self, index: usize) -> bool {
        u8::try_from(index).is_ok_and(|place| self.0.send(&[word::KILL, place]).is_ok())
    }

    /// What it says, `None` if there is nothing, an error if it is gone. With `wait` it is waited for.
    pub(super) fn report(&self, wait: bool) -> Result<Option<Report>, ()> {
        let mut buffer = [0; LONGEST];
        let length = match self.0.receive(&mut buffer, wait) {
            Ok(0) => return Err(()),
            Ok(length) => length,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return Ok(None),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => return Ok(None),
            Err(_) => return Err(()),
        };
        Ok(decode(buffer.get(..length).unwrap_or_default()))
    }
}

impl AsFd for Runner {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn decode(message: &[u8]) -> Option<Report> {
    let (word, rest) = message.split_first()?;
    if *word == word::SCANNED {
        return Some(Report::Scanned);
    }
    if *word == word::FOUND {
        let name = String::from_utf8_lossy(rest).into_owned();
        return Some(Report::Event(Event::ScriptFound(name)));
    }
    let (place, number) = rest.split_first()?;
    let index = usize::from(*place);
    let number = i32::from_le_bytes(number.try_into().ok()?);
    Some(Report::Event(match *word {
        word::STARTED => Event::ScriptStarted { index, pid: number },
        word::REFUSED => Event::ScriptRefused {
            index,
            result: number,
        },
        word::EXITED => Event::ScriptEnded {
            index,
            end: ScriptEnd::Exited(number),
        },
        word::KILLED => Event::ScriptEnded {
            index,
            end: ScriptEnd::Killed(number),
        },
        _ => return None,
    }))
}

/// The runner itself.
struct Work<'a> {
    socket: &'a OwnedFd,
    directory: &'a Path,
    children: BTreeMap<u8, Child>,
}

fn work(socket: &OwnedFd, directory: &Path) {
    let children = SigSet::from(Signal::SIGCHLD);
    let Ok(()) = children.thread_block() else {
        return;
    };
    let Ok(signals) =
        SignalFd::with_flags(&children, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)
    else {
        return;
    };
    let mut work = Work {
        socket,
        directory,
        children: BTreeMap::new(),
    };
    loop {
        let mut descriptors = [
            PollFd::new(socket.as_fd(), PollFlags::POLLIN),
            PollFd::new(signals.as_fd(), PollFlags::POLLIN),
        ];
        match poll(&mut descriptors, PollTimeout::NONE) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(_) => return,
        }
        let [orders, _] = descriptors;
        while let Ok(Some(_)) = signals.read_signal() {}
        work.reap();
        let ready = orders.revents().unwrap_or(PollFlags::empty());
        if !ready.is_empty() && !work.take_order() {
            return;
        }
    }
}

impl Work<'_> {
    /// False if the daemon is gone.
    fn take_order(&mut self) -> bool {
        let mut buffer = [0; LONGEST];
        let length = match recv(self.socket.as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT) {
            Ok(0) => return false,
            Ok(length) => length,
            Err(nix::errno::Errno::EAGAIN | nix::errno::Errno::EINTR) => return true,
            Err(_) => return false,
        };
        match buffer.get(..length).unwrap_or_default() {
            [word::SCAN] => self.scan(),
            [word::RUN, place, name @ ..] => self.run(*place, &String::from_utf8_lossy(name)),
            [word::KILL, place] => {
                if let Some(child) = self.children.get_mut(place) {
                    let _ = child.kill();
                }
            }
            _ => {}
        }
        true
    }

    fn scan(&mut self) {
        let mut names: Vec<_> = fs::read_dir(self.directory)
            .into_iter()
            .flatten()
            .filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned()))
            .filter(|name| !name.starts_with('.'))
            .filter(|name| check(&self.directory.join(name)).is_ok())
            .collect();
        names.sort();
        for name in names {
            let mut message = vec![word::FOUND];
            message.extend_from_slice(name.as_bytes());
            self.tell(&message);
        }
        self.tell(&[word::SCANNED]);
    }

    fn run(&mut self, place: u8, name: &str) {
        let path: PathBuf = self.directory.join(name);
        let started = check(&path).and_then(|()| {
            Command::new(&path)
                .stdin(Stdio::null())
                .spawn()
                .map_err(|error| -crate::device::errno(&error))
        });
        match started {
            Ok(child) => {
                let pid = i32::try_from(child.id()).unwrap_or(0);
                self.children.insert(place, child);
                self.number(word::STARTED, place, pid);
            }
            Err(result) => self.number(word::REFUSED, place, result),
        }
    }

    fn reap(&mut self) {
        let mut ended = Vec::new();
        for (place, child) in &mut self.children {
            if let Ok(Some(status)) = child.try_wait() {
                ended.push((*place, status));
            }
        }
        for (place, status) in ended {
            self.children.remove(&place);
            match status.code() {
                Some(code) => self.number(word::EXITED, place, code),
                None => self.number(word::KILLED, place, status.signal().unwrap_or(0)),
            }
        }
    }

    fn number(&self, word: u8, place: u8, number: i32) {
        let [a, b, c, d] = number.to_le_bytes();
        self.tell(&[word, place, a, b, c, d]);
    }

    /// The daemon reads what it is told before long, or is gone.
    fn tell(&self, message: &[u8]) {
        let _ = send(self.socket.as_raw_fd(), message, MsgFlags::MSG_NOSIGNAL);
    }
}

/// Whether a file is one that may be run; else the number that the original has for it.
fn check(path: &Path) -> Result<(), i32> {
    let found = fs::metadata(path).map_err(|error| -crate::device::errno(&error))?;
    let runnable = found.is_file() && found.permissions().mode() & 0o100 != 0;
    if runnable { Ok(()) } else { Err(-1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_are_understood() {
        let pid = [word::STARTED, 3, 1, 1, 0, 0];
        let started = Event::ScriptStarted { index: 3, pid: 257 };
        assert_eq!(decode(&pid), Some(Report::Event(started)));
        assert_eq!(decode(&[word::SCANNED]), Some(Report::Scanned));
        for nonsense in [&[][..], &[0], &[word::EXITED], &[word::EXITED, 1, 0, 0]] {
            assert_eq!(decode(nonsense), None);
        }
    }
}
