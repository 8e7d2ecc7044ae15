//! Telling the service manager how the daemon is (sd_notify(3)).

use std::ffi::OsStr;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// Sends datagrams to `$NOTIFY_SOCKET`; does nothing where there is none.
///
/// Nothing here waits or fails: a service manager that does not read must not hold up the daemon.
#[derive(Debug, Default)]
pub struct Notifier {
    socket: Option<(UnixDatagram, SocketAddr)>,
}

impl Notifier {
    /// Of this process's environment.
    #[must_use]
    pub fn from_environment() -> Self {
        std::env::var_os("NOTIFY_SOCKET")
            .and_then(|address| Self::to(&address))
            .unwrap_or_default()
    }

    fn to(address: &OsStr) -> Option<Self> {
        let address = match address.as_bytes() {
            [b'@', name @ ..] => SocketAddr::from_abstract_name(name).ok()?,
            [b'/', ..] => SocketAddr::from_pathname(address).ok()?,
            _ => return None,
        };
        let socket = UnixDatagram::unbound().ok()?;
        socket.set_nonblocking(true).ok()?;
        Some(Self {
            socket: Some((socket, address)),
        })
    }

    /// Whether somebody is told.
    #[must_use]
    pub fn is_listened_to(&self) -> bool {
        self.socket.is_some()
    }

    /// The daemon answers its clients.
    pub fn ready(&self) {
        self.send("READY=1");
    }

    /// The daemon is about to end.
    pub fn stopping(&self) {
        self.send("STOPPING=1");
    }

    /// One line for people, shown by `systemctl status`.
    pub fn status(&self, line: &str) {
        let line: String = line
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect();
        self.send(&format!("STATUS={line}"));
    }

    /// Starting or stopping may take this much longer from now on.
    pub fn extend_timeout(&self, time: Duration) {
        self.send(&format!("EXTEND_TIMEOUT_USEC={}", time.as_micros()));
    }

    fn send(&self, text: &str) {
        if let Some((socket, address)) = &self.socket {
            // Advice, and nobody to tell that it got lost.
            let _ = socket.send_to_addr(text.as_bytes(), address);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn received(socket: &UnixDatagram) -> String {
        let mut bytes = [0; 200];
        let length = socket.recv(&mut bytes).unwrap();
        String::from_utf8(bytes[..length].to_vec()).unwrap()
    }

    #[test]
    fn by_path_and_by_abstract_name() {
        let path = std::env::temp_dir().join(format!("notify-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let by_path = UnixDatagram::bind(&path).unwrap();
        let name = format!("leasehold-notify-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let by_name = UnixDatagram::bind_addr(&address).unwrap();
        for (socket, address) in [
            (by_path, path.clone().into_os_string()),
            (by_name, format!("@{name}").into()),
        ] {
            let notifier = Notifier::to(&address).unwrap();
            notifier.ready();
            assert_eq!(received(&socket), "READY=1");
            notifier.status("waiting for\n2 clients");
            assert_eq!(received(&socket), "STATUS=waiting for 2 clients");
            notifier.extend_timeout(Duration::from_secs(3));
            assert_eq!(received(&socket), "EXTEND_TIMEOUT_USEC=3000000");
            notifier.stopping();
            assert_eq!(received(&socket), "STOPPING=1");
        }
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn nobody_listens() {
        assert!(!Notifier::default().is_listened_to());
        Notifier::default().ready();
        assert!(Notifier::to(OsStr::new("vsock:2:1")).is_none());
        assert!(Notifier::to(OsStr::new("")).is_none());
        // A socket that is not there.
        Notifier::to(OsStr::new("/nonexistent")).unwrap().ready();
    }

    #[test]
    fn a_manager_that_does_not_read_holds_nothing_up() {
        let name = format!("leasehold-deaf-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let _deaf = UnixDatagram::bind_addr(&address).unwrap();
        let notifier = Notifier::to(OsStr::new(&format!("@{name}"))).unwrap();
        for _ in 0..10_000 {
            notifier.status("still here");
        }
    }
}
