//! The log: one datagram to syslog's socket, which journald listens on too, and never a wait for it.

use std::os::unix::net::UnixDatagram;

const SOCKET: &str = "/dev/log";
const NAME: &str = "libvirt_sanlock_helper";

/// syslog's number of the facility `daemon`, with room for a severity.
const FACILITY: u8 = 3 << 3;
const ERROR: u8 = 3;
const NOTICE: u8 = 5;

/// Something that went as it should.
pub(crate) fn notice(text: &str) {
    send(NOTICE, text);
}

/// Something that did not.
pub(crate) fn error(text: &str) {
    send(ERROR, text);
}

/// Without a log there is nobody to tell.
fn send(severity: u8, text: &str) {
    let _ = UnixDatagram::unbound().and_then(|socket| {
        socket.set_nonblocking(true)?;
        socket.send_to(&datagram(severity, text), SOCKET)
    });
}

fn datagram(severity: u8, text: &str) -> Vec<u8> {
    // One line, whatever a URI or a server's message has in it.
    let line: String = text
        .chars()
        .map(|c| if c.is_control() { '?' } else { c })
        .take(2000)
        .collect();
    let (priority, pid) = (FACILITY | severity, std::process::id());
    format!("<{priority}>{NAME}[{pid}]: {line}").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line() {
        let sent = String::from_utf8(datagram(ERROR, "a\nb\u{1b}[1mé")).unwrap();
        let pid = std::process::id();
        assert_eq!(sent, format!("<27>{NAME}[{pid}]: a?b?[1mé"));
        assert!(datagram(NOTICE, &"x".repeat(9999)).len() < 2100);
    }
}
