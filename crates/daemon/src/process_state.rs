//! What the kernel says of another process.

use std::fmt;
use std::fs;
use std::io;

/// A process's name, state and what it waits for, from `/proc/PID/stat` and `/proc/PID/wchan`.
///
/// Names the process that cannot be killed, before the watchdog resets the host because of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessState {
    /// The pid.
    pub pid: i32,
    /// The name of its main thread, at most 15 bytes, printable.
    pub name: String,
    /// Of its main thread: `R` running, `S` sleeping, `D` waiting for a device, `Z` ended, ...
    pub state: char,
    /// How many threads it has. One that has ended may still be counted.
    pub threads: u32,
    /// When it started, in clock ticks since the start of the host. With the pid it names a process
    /// for good.
    pub start_time: u64,
    /// The function of the kernel in which it waits, where the kernel tells.
    pub wait_channel: Option<String>,
}

impl ProcessState {
    /// Reads what `/proc` says now.
    ///
    /// # Errors
    /// `NotFound` if there is no such process, `InvalidData` if `/proc` is not understood.
    pub fn read(pid: i32) -> io::Result<Self> {
        let stat = fs::read(format!("/proc/{pid}/stat"))?;
        let mut state = Self::parse(pid, &stat)
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "unknown /proc/PID/stat"))?;
        state.wait_channel = fs::read_to_string(format!("/proc/{pid}/wchan"))
            .ok()
            .filter(|name| !name.is_empty() && name != "0");
        Ok(state)
    }

    /// Whether it waits where no signal, not even `SIGKILL`, reaches it.
    #[must_use]
    pub fn is_uninterruptible(&self) -> bool {
        self.state == 'D'
    }

    /// Whether it has ended and only waits for its parent to take notice. While another thread than the main one goes
    /// on it has not: its files are open and its sockets listen.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        matches!(self.state, 'Z' | 'X') && self.threads <= 1
    }

    /// What stands in `/proc/PID/stat`; `None` if that is not understood.
    #[must_use]
    pub fn parse(pid: i32, stat: &[u8]) -> Option<Self> {
        // The name may hold anything, so it ends at the last parenthesis.
        let open = stat.iter().position(|&byte| byte == b'(')?;
        let close = stat.iter().rposition(|&byte| byte == b')')?;
        let name = stat.get(open.checked_add(1)?..close)?;
        let rest = std::str::from_utf8(stat.get(close.checked_add(1)?..)?).ok()?;
        let mut fields = rest.split_ascii_whitespace();
        let state = fields.next()?.chars().next()?;
        // Fields 20 and 22 of the file; the state is field 3.
        let threads = fields.nth(16)?.parse().ok()?;
        let start_time = fields.nth(1)?.parse().ok()?;
        Some(Self {
            pid,
            name: String::from_utf8_lossy(name)
                .chars()
                .map(|c| if c.is_control() { '?' } else { c })
                .collect(),
            state,
            threads,
            start_time,
            wait_channel: None,
        })
    }
}

impl fmt::Display for ProcessState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "process {} ({}) in state {}",
            self.pid, self.name, self.state
        )?;
        match &self.wait_channel {
            Some(channel) => write!(f, " waiting in {channel}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn this_process_runs() {
        let pid = i32::try_from(std::process::id()).unwrap();
        let state = ProcessState::read(pid).unwrap();
        assert!(!state.has_ended());
        assert!(state.start_time > 0);
        assert!(state.to_string().starts_with(&format!("process {pid} (")));
    }

    #[test]
    fn a_name_may_hold_anything() {
        let stat = b"7 (a) b (c\n) D 1 7 7 0 -1 4194304 1 0 0 0 0 0 0 0 20 0 1 0 4711 2 3\n";
        let state = ProcessState::parse(7, stat).unwrap();
        assert_eq!((state.name.as_str(), state.state), ("a) b (c?", 'D'));
        assert_eq!(state.start_time, 4711);
        assert!(state.is_uninterruptible());
        assert_eq!(state.to_string(), "process 7 (a) b (c?) in state D");
    }

    #[test]
    fn a_process_has_ended_with_its_last_thread() {
        let ended = |state: &str, threads: u8| {
            let stat = format!(
                "7 (a) Z b) {state} 1 7 7 0 -1 4228108 0 0 0 0 0 0 0 0 20 0 {threads} 0 99 0"
            );
            ProcessState::parse(7, stat.as_bytes()).unwrap().has_ended()
        };
        assert!(!ended("S", 1));
        assert!(!ended("Z", 2));
        assert!(ended("Z", 1));
        assert!(ended("Z", 0));
    }

    #[test]
    fn no_such_process_is_not_found() {
        let error = ProcessState::read(i32::MAX).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(stat in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = ProcessState::parse(1, &stat);
        }
    }
}
