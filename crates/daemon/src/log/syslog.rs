//! The classic syslog socket.

use std::io::{self, Write as _};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::time::Duration;

use super::line::{Line, broken_down};
use super::target::Sink;
use crate::Clock;

/// syslog's number of the facility `daemon`.
const FACILITY: u8 = 3;

/// How often a line is tried on a full socket, and the pause between.
const TRIES: u32 = 10;
const PAUSE: Duration = Duration::from_millis(100);

/// Writes datagrams to syslog's socket, and connects again whenever syslog was restarted.
pub(super) struct Syslog {
    name: &'static str,
    path: PathBuf,
    whole_lines: bool,
    socket: Option<UnixDatagram>,
}

impl Syslog {
    pub(super) fn new(name: &'static str, path: PathBuf, whole_lines: bool) -> Self {
        Self {
            name,
            path,
            whole_lines,
            socket: None,
        }
    }

    fn datagram(&self, line: &Line) -> Vec<u8> {
        let time = broken_down(Clock::realtime_seconds(), false);
        let month = usize::try_from(time.tm_mon)
            .ok()
            .and_then(|month| MONTHS.get(month))
            .unwrap_or(&"Jan");
        let mut datagram = Vec::with_capacity(600);
        // A vector takes all that is written to it.
        let _ = write!(
            datagram,
            "<{}>{month} {:2} {:02}:{:02}:{:02} {}[{}]: ",
            FACILITY * 8 + line.priority.number(),
            time.tm_mday,
            time.tm_hour,
            time.tm_min,
            time.tm_sec,
            self.name,
            std::process::id()
        );
        datagram.extend_from_slice(line.text(self.whole_lines));
        datagram
    }

    fn try_send(&mut self, datagram: &[u8]) -> io::Result<()> {
        let socket = match self.socket.take() {
            Some(socket) => socket,
            None => {
                let socket = UnixDatagram::unbound()?;
                socket.set_nonblocking(true)?;
                socket.connect(&self.path)?;
                socket
            }
        };
        let sent = socket.send(datagram);
        // A full socket is a good one; any other error means that its other end is gone.
        let keep = match &sent {
            Ok(_) => true,
            Err(error) => error.kind() == io::ErrorKind::WouldBlock,
        };
        if keep {
            self.socket = Some(socket);
        }
        sent.map(|_| ())
    }
}

impl Sink for Syslog {
    fn write(&mut self, line: &Line) -> bool {
        let datagram = self.datagram(line);
        let mut reconnected = false;
        for _ in 0..TRIES {
            match self.try_send(&datagram) {
                Ok(()) => return true,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    std::thread::sleep(PAUSE);
                }
                Err(_) if reconnected => return false,
                Err(_) => reconnected = true,
            }
        }
        false
    }
}

const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];
