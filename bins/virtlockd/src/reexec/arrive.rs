//! Taking over.

use std::fs::OpenOptions;
use std::io::{self, Read as _};
use std::os::fd::{OwnedFd, RawFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::rc::Rc;

use daemon::{Inherited, Process};
use fcntl::{LockTable, Restored};
use nix::libc;
use tokio::net::{UnixListener, UnixStream};
use tracing::{error, info, warn};

use super::TARGET;
use super::state::{ClientState, OwnerState, Purpose, STATE_MAX, ServerState, State};
use crate::clients::Limits;
use crate::connection::{self, Connection};
use crate::lock_program::Session;
use crate::server::{Listener, Server, Service};

/// What the program that ran before in this process has left.
pub(crate) enum Left {
    /// Nothing: this is a start. The sentence is about a file that is there nevertheless.
    Nothing(Option<String>),
    /// All that this says.
    State(Box<State>),
    /// Locks, and nothing that says what they are: they must stay.
    Locks(String),
}

/// Looks for what was left.
///
/// The state names the process by its pid alone, which another process may have had before; so it only counts if what
/// it names is there. And if there is something that must not be lost, no mistake in the state lets it be lost.
pub(crate) fn look(path: &Path, inherited: &io::Result<Inherited>) -> Left {
    let inherited = match inherited {
        Ok(inherited) => inherited,
        Err(error) if path.exists() => {
            return Left::Locks(format!("cannot see which descriptors are open: {error}"));
        }
        Err(_) => return Left::Nothing(None),
    };
    let shown = path.display();
    let wrong = match read(path) {
        Ok(None) if !inherited.holds_locks() => return Left::Nothing(None),
        Ok(None) => format!("there is no state file {shown}"),
        Ok(Some(state)) => match belongs(&state, inherited) {
            Ok(()) => return Left::State(Box::new(state)),
            Err(why) => format!("state file {shown}: {why}"),
        },
        Err(why) => format!("state file {shown}: {why}"),
    };
    match inherited.holds_locks() {
        true => Left::Locks(wrong),
        false => Left::Nothing(Some(wrong)),
    }
}

fn read(path: &Path) -> Result<Option<State>, String> {
    let mut options = OpenOptions::new();
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    let file = match options.read(true).custom_flags(flags).open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(|error| error.to_string())?,
    };
    let found = file.metadata().map_err(|error| error.to_string())?;
    if !found.is_file() || found.uid() != nix::unistd::geteuid().as_raw() {
        return Err("it is not a file of this daemon's user".to_owned());
    }
    let mut text = Vec::new();
    let limit = u64::try_from(STATE_MAX).unwrap_or(u64::MAX);
    let read = file.take(limit + 1).read_to_end(&mut text);
    match read.map_err(|error| error.to_string())? {
        length if length > STATE_MAX => Err(format!("it has more than {STATE_MAX} bytes")),
        _ => State::parse(&text).map(Some),
    }
}

/// Whether a state is of this process, and all that it names is there.
fn belongs(state: &State, inherited: &Inherited) -> Result<(), String> {
    let pid = std::process::id().to_string();
    if state.magic != pid {
        let magic = &state.magic;
        return Err(format!("it is for process {magic}, not for {pid}"));
    }
    for (purpose, fd) in state.descriptors() {
        if !inherited.has(fd) {
            return Err(format!("descriptor {fd} is not open"));
        }
        let is_listening = || inherited.is_listening(fd);
        let is_right = match purpose {
            // Even a file that the system knows nothing of any more is one.
            Purpose::Lock => is_listening().is_err(),
            Purpose::Client => matches!(is_listening(), Ok(false)),
            Purpose::Listener => matches!(is_listening(), Ok(true)),
        };
        if !is_right {
            return Err(format!("descriptor {fd} is something else"));
        }
    }
    Ok(())
}

/// Goes on with all that is in a state: locks first, as they are what must not be lost.
///
/// # Errors
/// A sentence. The locks are held by the server then, or still inherited; neither may be dropped.
pub(crate) fn take_over(
    server: &Rc<Server>,
    state: State,
    inherited: &mut Inherited,
) -> Result<(), String> {
    let mut spaces = vec![state.default_space];
    spaces.extend(state.spaces);
    let restored = LockTable::from_state(&spaces, &mut |fd| inherited.take(fd));
    let Restored { table, lost } = restored.map_err(|error| error.to_string())?;
    let count = table.resources().count();
    server.take_locks(table);
    for problem in lost {
        error!(target: TARGET, "{problem}: somebody else may start a guest on the same disk");
    }
    let servers = state.daemon.servers;
    let mut clients = servers.virtlockd.clients.len();
    take_server(server, Service::Lock, servers.virtlockd, inherited, Some)?;
    if let Some(admin) = servers.admin {
        clients += admin.clients.len();
        take_server(server, Service::Admin, admin, inherited, |_| None)?;
    }
    for owner in state.ending {
        server.end_owner(owner);
    }
    info!(target: TARGET, "took over {count} locks and {clients} clients");
    Ok(())
}

fn take_server<P>(
    server: &Rc<Server>,
    service: Service,
    state: ServerState<P>,
    inherited: &mut Inherited,
    owner: impl Fn(P) -> Option<OwnerState>,
) -> Result<(), String> {
    let clients = server.clients(service);
    clients.set_limits(Limits {
        most: state.max_clients,
        most_unknown: state.max_anonymous_clients.unwrap_or(state.max_clients),
    });
    clients.priority_workers.set(state.priority_workers);
    clients.set_next_id(state.next_client_id);
    for client in state.clients {
        take_client(server, service, client, inherited, &owner)?;
    }
    for sock in state.services.into_iter().flat_map(|known| known.socks) {
        let socket = take(inherited, sock.fd)?;
        let socket = listener(socket).map_err(failed("listen on", sock.fd))?;
        server.listen(Listener {
            service,
            socket,
            unlink: sock.unlink,
        });
    }
    Ok(())
}

fn take_client<P>(
    server: &Rc<Server>,
    service: Service,
    state: ClientState<P>,
    inherited: &mut Inherited,
    owner: impl Fn(P) -> Option<OwnerState>,
) -> Result<(), String> {
    let fd = state.sock.fd;
    let stream = std::os::unix::net::UnixStream::from(take(inherited, fd)?);
    let stream = stream
        .set_nonblocking(true)
        .and_then(|()| UnixStream::from_std(stream))
        .map_err(failed("read from", fd))?;
    let Some(mut peer) = server.identify(&stream) else {
        return Ok(());
    };
    peer.since = state.conn_time.unwrap_or(0);
    let stream = connection::peer_stream(stream).map_err(failed("read from", fd))?;
    let id = server.clients(service).add_again(state.id, peer.clone());
    let connection = Connection::new(service, id, peer, stream);
    let session = owner(state.private).map(|owner| Session::restore(&owner));
    let session = session.unwrap_or_default();
    server.locks.borrow_mut().introduce(&session);
    connection.restore(session, &state.received, state.unsent);
    if connection.is_owner() {
        let pid = connection.peer.pid;
        let process = match state.process_start {
            Some(start) => Process::open_started_at(pid, start),
            None => Process::open(pid),
        };
        if let Err(why) = &process {
            warn!(target: TARGET, "owner of locks: {why}");
        }
        connection.process.replace(process.ok());
    }
    server.serve(connection);
    Ok(())
}

fn take(inherited: &mut Inherited, fd: RawFd) -> Result<OwnedFd, String> {
    inherited.take(fd).map_err(failed("take", fd))
}

fn failed<E: std::fmt::Display>(action: &str, fd: RawFd) -> impl FnOnce(E) -> String {
    move |error| format!("cannot {action} socket {fd}: {error}")
}

/// A socket that another program has bound.
pub(crate) fn listener(socket: OwnedFd) -> io::Result<UnixListener> {
    let listener = std::os::unix::net::UnixListener::from(socket);
    listener.set_nonblocking(true)?;
    UnixListener::from_std(listener)
}
