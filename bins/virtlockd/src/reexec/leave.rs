//! Handing over.

use std::convert::Infallible;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use daemon::Process;
use daemon::signals::{Blocked, Ignored};
use fcntl::SpaceState;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use tracing::{info, warn};

use super::invocation::{Invocation, Successor};
use super::state::{
    ClientState, DaemonState, Nobody, OwnerState, ServerState, Servers, ServiceState, SocketState,
    State,
};
use super::{MUTED, TARGET};
use crate::connection::Connection;
use crate::server::{Server, Service};

/// How long messages that are halfway may take, which the C daemon would lose.
const MESSAGES: Duration = Duration::from_millis(500);

/// How long owners may take that are being ended, of which the C daemon would never hear.
const OWNERS: Duration = Duration::from_secs(5);

/// Puts another program in the place of this one, with all that the server has.
///
/// Everybody is served while this waits, and nothing is waited for between the state's being written and the
/// execution: what is written is so.
///
/// # Errors
/// A sentence about why not: then nothing has changed.
pub(crate) async fn leave(
    server: &Server,
    invocation: &Invocation,
    state_file: &Path,
) -> Result<Infallible, String> {
    let mut invocation = invocation.clone();
    invocation.set_timeout(server.timeout());
    let file = invocation.find()?;
    // From here on a request to end is the successor's business. One that came before is heard while this one settles,
    // which ends it.
    let blocked = match Invocation::check(&file).await? {
        Successor::Unblocks => Some(Blocked::begin(&MUTED).map_err(|failed| failed.to_string())?),
        Successor::LeavesBlocked => None,
    };
    settle(server).await;
    let text = hand_over(server).and_then(|state| state.text());
    let failed = match text.and_then(|text| write(state_file, &text)) {
        Ok(()) => {
            info!(target: TARGET, "handing over to {}", file.display());
            // Until the next program has handlers, or this one again: then what comes meanwhile is lost.
            let signals: &[_] = if blocked.is_some() { &[] } else { &MUTED };
            match Ignored::begin(signals) {
                Ok(_ignored) => invocation.execute(&file),
                Err(failed) => Err(failed.to_string()),
            }
        }
        Err(why) => Err(why),
    };
    let _ = std::fs::remove_file(state_file);
    take_back(server);
    failed
}

/// Waits for what would be lost on the C daemon, but not for long; and at least once, so that all signals that have come are
/// heard.
async fn settle(server: &Server) {
    let since = Instant::now();
    loop {
        tokio::time::sleep(Duration::from_millis(1)).await;
        let all = [Service::Lock, Service::Admin].map(|service| server.connections(service));
        let halfway = all.iter().flatten().filter(|client| !client.is_settled());
        let (halfway, ending) = (halfway.count(), server.ending());
        let waits = (halfway > 0 && since.elapsed() < MESSAGES)
            || (!ending.is_empty() && since.elapsed() < OWNERS);
        if !waits {
            if halfway > 0 {
                warn!(target: TARGET, "{halfway} clients have sent or taken only a part of a message; the C virtlockd would lose it");
            }
            for owner in ending {
                warn!(target: TARGET, "process {} does not end; its locks stay, and the C virtlockd would never release them", owner.pid);
            }
            return;
        }
    }
}

/// All that the next program needs, with its descriptors open for it.
fn hand_over(server: &Server) -> Result<State, String> {
    let spaces = server.locks.borrow().table.hand_over();
    let mut spaces = spaces.map_err(|error| error.to_string())?.into_iter();
    let nothing = SpaceState {
        directory: None,
        resources: Vec::new(),
    };
    let default_space = spaces.next().unwrap_or(nothing);
    for socket in sockets(server).iter() {
        set_inherited(socket.as_fd(), true)?;
    }
    let servers = Servers {
        admin: Some(server_state(server, Service::Admin, |_| Nobody {})),
        virtlockd: server_state(server, Service::Lock, |client| -> OwnerState {
            client.session.borrow().state()
        }),
    };
    Ok(State {
        daemon: DaemonState { servers },
        default_space,
        spaces: spaces.collect(),
        magic: std::process::id().to_string(),
        ending: server.ending(),
    })
}

fn server_state<P>(
    server: &Server,
    service: Service,
    private: impl Fn(&Connection) -> P,
) -> ServerState<P> {
    let clients = server.clients(service);
    let limits = clients.limits();
    let listeners = server.listeners();
    let listeners = listeners.iter().filter(|known| known.service == service);
    let services = listeners.map(|listener| ServiceState {
        auth: 0,
        readonly: false,
        nrequests_client_max: 1,
        socks: vec![SocketState::listening(
            listener.socket.as_raw_fd(),
            listener.unlink,
        )],
    });
    let connections = server.connections(service);
    let states = connections.iter().map(|client| {
        let (received, unsent) = client.halves();
        let process = client.process.borrow();
        ClientState {
            id: Some(client.id),
            auth: 0,
            auth_pending: false,
            readonly: false,
            nrequests_max: 1,
            conn_time: Some(client.peer.since),
            sock: SocketState::connected(client.stream.as_raw_fd()),
            private: private(client),
            received,
            unsent,
            process_start: process.as_ref().and_then(Process::start_time),
        }
    });
    ServerState {
        min_workers: 0,
        max_workers: 0,
        priority_workers: clients.priority_workers.get(),
        max_clients: limits.most,
        // The C daemon does not read more than that.
        max_anonymous_clients: Some(limits.most_unknown.min(limits.most)),
        keepalive_interval: u32::MAX,
        keepalive_count: 0,
        next_client_id: clients.next_id(),
        services: services.collect(),
        clients: states.collect(),
    }
}

fn sockets(server: &Server) -> Vec<std::rc::Rc<dyn AsFd>> {
    let all = [Service::Lock, Service::Admin].map(|service| server.connections(service));
    let mut sockets: Vec<std::rc::Rc<dyn AsFd>> = Vec::new();
    for connection in all.into_iter().flatten() {
        sockets.push(connection);
    }
    for listener in server.listeners() {
        sockets.push(listener);
    }
    sockets
}

fn set_inherited(descriptor: BorrowedFd<'_>, inherited: bool) -> Result<(), String> {
    let flag = match inherited {
        true => FdFlag::empty(),
        false => FdFlag::FD_CLOEXEC,
    };
    match fcntl(descriptor, FcntlArg::F_SETFD(flag)) {
        Ok(_) => Ok(()),
        Err(error) => Err(format!("cannot keep a socket open: {error}")),
    }
}

/// Only this daemon's user reads it, and nobody else's file is written to.
fn write(path: &Path, text: &[u8]) -> Result<(), String> {
    let _ = std::fs::remove_file(path);
    let mut options = OpenOptions::new();
    let opened = options.write(true).create_new(true).mode(0o600).open(path);
    opened
        .and_then(|mut file| file.write_all(text))
        .map_err(|error| format!("Unable to save state file {}: {error}", path.display()))
}

/// This program goes on: what it starts inherits nothing.
fn take_back(server: &Server) {
    let mut failed = server
        .locks
        .borrow()
        .table
        .take_back()
        .err()
        .map(|error| error.to_string());
    for socket in sockets(server).iter() {
        failed = set_inherited(socket.as_fd(), false).err().or(failed);
    }
    if let Some(why) = failed {
        warn!(target: TARGET, "{why}");
    }
}
