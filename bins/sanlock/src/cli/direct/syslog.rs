//! A record in the system log of everything that was changed on storage past the daemon.

use std::os::unix::net::UnixDatagram;

use crate::cli::text::Line;

/// Where the system log takes messages.
const SOCKET: &str = "/dev/log";

/// `LOG_DAEMON | LOG_WARNING`.
const PRIORITY: u32 = 3 << 3 | 4;

/// Sends a line as `sanlock-direct`. Where there is no system log, nobody is told.
pub(super) fn record(line: &Line) {
    let start = format!("<{PRIORITY}>sanlock-direct[{}]: ", std::process::id());
    let message = Line::new(start).raw(line.as_bytes());
    let _ = UnixDatagram::unbound().and_then(|socket| {
        socket.set_nonblocking(true)?;
        socket.send_to(message.as_bytes(), SOCKET)
    });
}
