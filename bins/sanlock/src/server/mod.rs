//! The daemon's socket, and the daemon around it.

mod connection;
mod convert;
mod dispatch;
mod inquiries;
mod start;
mod status;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use daemon::Identity;
use daemon::log::LogRing;
use tokio::net::UnixListener;
use tracing::error;

use crate::manager::Manager;

use connection::Connection;

pub use start::run;

/// How long to wait before accepting again when there are no descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The socket's mode: owner and group may use it.
const SOCKET_MODE: u32 = 0o660;

/// What all connections share.
pub(crate) struct Server {
    pub(crate) manager: Arc<Manager>,
    pub(crate) log: LogRing,
    /// Connections that wait for the daemon's end.
    pub(crate) waiting_for_end: AtomicUsize,
}

/// Someone who is to be told of the daemon's end; it is waited for as long as this exists.
pub(crate) struct Farewell(Arc<Server>);

impl Farewell {
    /// To be had before the end is asked for, which may come at once.
    pub(crate) fn expected(server: &Arc<Server>) -> Self {
        server.waiting_for_end.fetch_add(1, Ordering::AcqRel);
        Self(Arc::clone(server))
    }
}

impl Drop for Farewell {
    fn drop(&mut self) {
        self.0.waiting_for_end.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Server {
    /// Accepts connections for ever.
    async fn accept(self: Arc<Self>, listener: UnixListener) {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => {
                    let connection = Connection::take_in(Arc::clone(&self), stream);
                    tokio::spawn(connection.serve());
                }
                Err(failed) => {
                    error!("a connection could not be accepted: {failed}");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// Waits, but not for long, until those who wait for the daemon's end were told.
    async fn say_farewell(&self) {
        for _ in 0..100 {
            if self.waiting_for_end.load(Ordering::Acquire) == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// Makes the socket, in place of one that an earlier daemon left.
fn bind(path: &Path, identity: &Identity, privileged: bool) -> std::io::Result<UnixListener> {
    match std::fs::remove_file(path) {
        Err(failed) if failed.kind() != std::io::ErrorKind::NotFound => return Err(failed),
        _ => {}
    }
    // Nobody else may connect in the moment before the mode is set.
    let before = nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o177));
    let bound = UnixListener::bind(path);
    nix::sys::stat::umask(before);
    let listener = bound?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(SOCKET_MODE))?;
    if privileged {
        nix::unistd::chown(path, Some(identity.uid), Some(identity.gid))?;
    }
    Ok(listener)
}
