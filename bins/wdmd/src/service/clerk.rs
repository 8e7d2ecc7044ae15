//! The clerk: the process that writes logs, and last words before a reset.
//!
//! Whoever writes to the system's log waits when its reader does, and reading what the kernel says of a process
//! can wait too. The clerk may; the daemon does not wait for it, and counts what it could not hand over.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::fd::{AsRawFd, OwnedFd};

use daemon::{Clock, ProcessState, Subprocess};
use nix::sys::socket::{MsgFlags, recv};
use nix::syslog::{Facility, LogFlags, Priority, Severity, openlog, syslog};

use crate::watchdog::Level;

/// Longest message; longer lines are cut.
const LONGEST: usize = 1024;

/// Processes in the state that no signal ends which are named.
const STUCK_NAMED: usize = 4;

/// First bytes of what the clerk is told.
mod word {
    /// An error, the text follows.
    pub(super) const ERROR: u8 = b'E';
    /// Of interest with -D alone, the text follows.
    pub(super) const DEBUG: u8 = b'D';
    /// Last words: a pid and the text.
    pub(super) const LAST_WORDS: u8 = b'W';
    /// The device is armed, the timeout follows.
    pub(super) const ARMED: u8 = b'A';
    /// It is not any more.
    pub(super) const DISARMED: u8 = b'a';
}

/// The daemon's end.
#[derive(Debug)]
pub(super) struct Clerk {
    process: Subprocess,
    /// Lines that it had no time for.
    dropped: u32,
    /// Where a message is put together.
    message: String,
}

impl Clerk {
    /// Starts it. With `debug` everything also goes to the standard error.
    pub(super) fn start(debug: bool) -> Result<Self, daemon::Error> {
        let process = Subprocess::start("wdmd-clerk", |socket| work(&socket, debug))?;
        Ok(Self {
            process,
            dropped: 0,
            message: String::with_capacity(LONGEST),
        })
    }

    /// A line for the log.
    pub(super) fn log(&mut self, level: Level, line: std::fmt::Arguments<'_>) {
        let word = match level {
            Level::Error => word::ERROR,
            Level::Debug => word::DEBUG,
        };
        self.send(word, line);
    }

    /// What is known before the host is reset; the clerk adds how this process is, and which ones no signal ends.
    pub(super) fn last_words(&mut self, pid: i32, line: std::fmt::Arguments<'_>) {
        self.send(word::LAST_WORDS, format_args!("{pid} {line}"));
    }

    /// The device is armed with this timeout: if the daemon disappears, the clerk says what that means.
    pub(super) fn armed(&mut self, fire_timeout: u32) {
        self.send(word::ARMED, format_args!("{fire_timeout}"));
    }

    /// The device is not armed.
    pub(super) fn disarmed(&mut self) {
        self.send(word::DISARMED, format_args!(""));
    }

    fn send(&mut self, word: u8, line: std::fmt::Arguments<'_>) {
        use std::fmt::Write as _;
        if self.dropped > 0 {
            self.message.clear();
            let dropped = self.dropped;
            let first = char::from(word::ERROR);
            let _ = write!(self.message, "{first}dropped {dropped} lines of the log");
            if self.process.send(self.message.as_bytes()).is_ok() {
                self.dropped = 0;
            }
        }
        self.message.clear();
        self.message.push(char::from(word));
        let mut room = Room(&mut self.message);
        let _ = room.write_fmt(line);
        if self.process.send(self.message.as_bytes()).is_err() {
            self.dropped = self.dropped.saturating_add(1);
        }
    }
}

/// Takes what fits without asking for memory.
struct Room<'a>(&'a mut String);

impl std::fmt::Write for Room<'_> {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        for c in text.chars() {
            if self.0.len() + c.len_utf8() > LONGEST {
                break;
            }
            self.0.push(c);
        }
        Ok(())
    }
}

fn work(socket: &OwnedFd, debug: bool) {
    let _ = openlog(
        Some(c"wdmd"),
        LogFlags::LOG_CONS | LogFlags::LOG_PID,
        Facility::LOG_DAEMON,
    );
    let mut armed = None;
    let mut buffer = [0; LONGEST + 1];
    loop {
        let length = match recv(socket.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
            Ok(0) => break,
            Ok(length) => length,
            Err(nix::errno::Errno::EINTR) => continue,
            Err(_) => break,
        };
        let Some((word, text)) = buffer.get(..length).and_then(<[u8]>::split_first) else {
            continue;
        };
        let text = String::from_utf8_lossy(text);
        match *word {
            word::ERROR => write_line(Severity::LOG_ERR, &text, debug),
            word::DEBUG if debug => to_standard_error(&text),
            word::LAST_WORDS => last_words(&text, debug),
            word::ARMED => armed = Some(text.into_owned()),
            word::DISARMED => armed = None,
            _ => {}
        }
    }
    if let Some(timeout) = armed {
        let line = format!(
            "wdmd is gone without having disarmed its watchdog (was it killed?): this host is reset within \
             {timeout} seconds"
        );
        write_line(Severity::LOG_CRIT, &line, debug);
        to_kernel_log(&line);
    }
}

fn write_line(severity: Severity, line: &str, debug: bool) {
    if debug {
        to_standard_error(line);
    }
    let _ = syslog(Priority::new(severity, Facility::LOG_DAEMON), line);
}

fn to_standard_error(line: &str) {
    let (seconds, date) = Clock::local_time();
    let _ = writeln!(std::io::stderr(), "{seconds} {date}  {line}");
}

/// The kernel's log survives where it is kept across resets (pstore, a serial console).
fn to_kernel_log(line: &str) {
    if let Ok(mut log) = OpenOptions::new().write(true).open("/dev/kmsg") {
        let _ = log.write_all(format!("<2>wdmd: {line}\n").as_bytes());
    }
}

fn last_words(text: &str, debug: bool) {
    let (pid, line) = text.split_once(' ').unwrap_or(("0", text));
    let pid = pid.parse().unwrap_or(0);
    let mut said = line.to_owned();
    let mut add = |part: &str| {
        said.push_str("; ");
        said.push_str(part);
    };
    if pid > 0 {
        match ProcessState::read(pid) {
            Ok(state) => add(&state.to_string()),
            Err(_) => add(&format!("process {pid} has ended")),
        }
    }
    for state in stuck()
        .into_iter()
        .filter(|state| state.pid != pid)
        .take(STUCK_NAMED)
    {
        add(&format!("no signal ends {state}"));
    }
    write_line(Severity::LOG_CRIT, &said, debug);
    to_kernel_log(&said);
}

/// Processes that wait where not even SIGKILL reaches them.
fn stuck() -> Vec<ProcessState> {
    let Ok(processes) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    processes
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(|pid| ProcessState::read(pid).ok())
        .filter(ProcessState::is_uninterruptible)
        .collect()
}
