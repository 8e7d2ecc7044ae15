//! A daemon of the host, and its clients.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use wdmd_proto::{Client, Message, Request, SOCKET};

use super::host::Host;

/// Longer than anything takes on a computer that is busy with other things.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until something is so.
pub fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(
            began.elapsed() < PATIENCE,
            "not within {PATIENCE:?}: {what}"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Seconds of the monotonic clock.
pub fn monotime() -> u64 {
    ::daemon::Clock::monotonic_seconds()
}

/// A daemon in the foreground. It is killed when this is dropped.
pub struct Daemon {
    child: Child,
    said: Arc<Mutex<Vec<String>>>,
}

impl Daemon {
    /// Starts it with `-D`, and waits until it listens.
    pub fn start(host: &Host, arguments: &[&str]) -> Self {
        let mut daemon = Self::launch(host, arguments);
        until("the daemon listens", || {
            assert_eq!(
                daemon.child.try_wait().unwrap(),
                None,
                "{:?}",
                daemon.said()
            );
            Client::connect(SOCKET, PATIENCE).is_ok()
        });
        daemon
    }

    /// Starts it with `-D`.
    pub fn launch(host: &Host, arguments: &[&str]) -> Self {
        let mut command = host.command(&["-D"]);
        let mut child = command
            .args(arguments)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = child.stderr.take().unwrap();
        let said: Arc<Mutex<Vec<String>>> = Arc::default();
        let lines = Arc::clone(&said);
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                lines.lock().unwrap().push(line);
            }
        });
        Self { child, said }
    }

    pub fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap()
    }

    /// What it has logged.
    pub fn said(&self) -> Vec<String> {
        self.said.lock().unwrap().clone()
    }

    /// How often it has logged a line with this in it.
    pub fn times_said(&self, what: &str) -> usize {
        self.said()
            .iter()
            .filter(|line| line.contains(what))
            .count()
    }

    pub fn until_said(&self, what: &str) {
        until(what, || self.times_said(what) > 0);
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid()), signal).unwrap();
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    pub fn ended(&mut self) -> ExitStatus {
        let mut status = None;
        until("the daemon ends", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap()
    }

    /// A number that the kernel has of it; of memory in KiB.
    pub fn number(&self, key: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix(key))
            .unwrap();
        line.split_whitespace().next().unwrap().parse().unwrap()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        end_keepers();
    }
}

/// The processes of this host that have the device open for a daemon.
pub fn keepers() -> Vec<Pid> {
    let host = fs::read_link("/proc/self/ns/mnt").unwrap();
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let pid = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok());
        let name = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
        let is_here = fs::read_link(entry.path().join("ns/mnt")).is_ok_and(|its| its == host);
        if let (Some(pid), "wdmd-keeper", true) = (pid, name.trim_end(), is_here) {
            found.push(Pid::from_raw(pid));
        }
    }
    found
}

/// Kills them.
pub fn end_keepers() {
    for keeper in keepers() {
        // It may have ended.
        let _ = kill(keeper, Signal::SIGKILL);
    }
}

/// A connection to the daemon.
pub fn connect() -> Client {
    Client::connect(SOCKET, PATIENCE).unwrap()
}

/// A client with a name, which has the device open with this fire timeout, as the lease daemon is one.
pub fn watched(name: &str, fire_timeout: u32) -> Client {
    let mut client = connect();
    client.register(name).unwrap();
    client.open_watchdog(fire_timeout).unwrap();
    client.refcount_set().unwrap();
    // It is read when this is answered.
    client.status().unwrap();
    client
}

/// It is well for so many seconds from now on; returns until when.
pub fn well_for(client: &mut Client, seconds: u64) -> u64 {
    let now = monotime();
    client.test_live(now, now + seconds).unwrap();
    // It is read when this is answered.
    client.status().unwrap();
    now + seconds
}

/// It needs nothing any more.
pub fn let_go(client: &mut Client) {
    client.test_live(0, 0).unwrap();
    client.refcount_clear().unwrap();
    client.status().unwrap();
}

/// What `wdmd -d` gets.
pub fn dump() -> String {
    String::from_utf8(connect().dump_debug().unwrap()).unwrap()
}

/// The dump's line about the client or script of this name.
pub fn line_of(name: &str) -> String {
    let text = dump();
    let line = text
        .lines()
        .find(|line| line.contains(&format!(" name {name} ")));
    line.unwrap_or_else(|| panic!("no {name} in {text}"))
        .to_owned()
}

/// The bytes of a request.
pub fn bytes(request: &Request) -> [u8; Message::LEN] {
    request.message().encode()
}
