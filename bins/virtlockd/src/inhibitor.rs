//! Asks logind to wait with a shutdown while locks are held, so that guests can be stopped in order.
//!
//! The same words as libvirtd uses for its guests. It is asked over the system bus, with everything in this one thread:
//! the connection is made here, as zbus would make it in a thread of its own, and it ends as soon as logind has
//! answered. What counts is the descriptor that logind sent. Where there is no bus or no logind, nothing happens.

use std::cell::Cell;
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::Duration;

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use tokio::net::UnixStream;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};
use tracing::debug;
use zbus::Address;
use zbus::address::transport::{Transport, UnixSocket};
use zbus::proxy::{CacheProperties, MethodFlags};

const TARGET: &str = "rpc.netdaemon";

/// How long bus and logind may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// When they are asked again that could not be asked.
const AGAIN: Duration = Duration::from_secs(60);

/// How long after the last release it is looked again whether nothing is held: a guest that is paused and resumed is not
/// worth a word to logind.
const QUIET: Duration = Duration::from_secs(1);

/// What, who, why and how.
const WORDS: (&str, &str, &str, &str) = (
    "shutdown",
    "Libvirt",
    "Virtual machines need to be saved",
    "delay",
);

/// Why a shutdown cannot be put off.
#[derive(Debug, thiserror::Error)]
enum NotInhibited {
    #[error("the system bus is not at a path")]
    Address,
    #[error("no system bus: {0}")]
    Connect(#[from] io::Error),
    #[error("logind: {0}")]
    Bus(#[from] zbus::Error),
    #[error("logind did not answer")]
    NoReply,
    #[error("no answer within {PATIENCE:?}")]
    Late(#[from] tokio::time::error::Elapsed),
}

/// Whether locks are held. That it changes costs next to nothing, as it may with each call.
#[derive(Debug, Default)]
pub(crate) struct Held {
    now: Cell<bool>,
    changed: Notify,
}

impl Held {
    /// Tells whether they are.
    pub(crate) fn set(&self, now: bool) {
        if self.now.replace(now) != now {
            self.changed.notify_one();
        }
    }

    /// Waits until they are, or are not. There is one that waits.
    async fn until(&self, wanted: bool) {
        while self.now.get() != wanted {
            self.changed.notified().await;
        }
    }
}

/// Sees to it as long as the daemon runs.
pub(crate) async fn run(held: Rc<Held>) {
    loop {
        held.until(true).await;
        let inhibited = async { timeout(PATIENCE, inhibit()).await? };
        match inhibited.await {
            Ok(_inhibitor) => {
                debug!(target: TARGET, "a shutdown waits until no lock is held");
                while held.now.get() {
                    held.until(false).await;
                    sleep(QUIET).await;
                }
            }
            Err(why) => {
                debug!(target: TARGET, "a shutdown will not wait for guests: {why}");
                tokio::select! {
                    () = held.until(false) => {}
                    () = sleep(AGAIN) => {}
                }
                // Never in quick succession.
                sleep(QUIET).await;
            }
        }
    }
}

/// Until it is closed, logind waits.
async fn inhibit() -> Result<OwnedFd, NotInhibited> {
    let address = Address::system()?;
    let Transport::Unix(unix) = address.transport() else {
        return Err(NotInhibited::Address);
    };
    let UnixSocket::File(path) = unix.path() else {
        return Err(NotInhibited::Address);
    };
    let stream = UnixStream::connect(path).await?;
    let builder = zbus::connection::Builder::unix_stream(stream);
    let connection = builder.build().await?;
    let logind: zbus::Proxy<'_> = zbus::proxy::Builder::new(&connection)
        .destination("org.freedesktop.login1")?
        .path("/org/freedesktop/login1")?
        .interface("org.freedesktop.login1.Manager")?
        .cache_properties(CacheProperties::No)
        .build()
        .await?;
    // One that does not run is not started for this.
    let flags = MethodFlags::NoAutoStart.into();
    let answer = logind
        .call_with_flags::<_, _, zbus::zvariant::OwnedFd>("Inhibit", flags, &WORDS)
        .await?;
    let inhibitor = OwnedFd::from(answer.ok_or(NotInhibited::NoReply)?);
    // zbus leaves it open for programs that are executed.
    fcntl(&inhibitor, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).map_err(io::Error::from)?;
    Ok(inhibitor)
}
