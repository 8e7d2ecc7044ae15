//! The sockets: who may connect, and what becomes of each connection.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::rc::Rc;
use std::time::Duration;

use daemon::Process;
use fcntl::{LockTable, OwnerPid};
use libvirt_rpc::server::{Call, Incoming, Served};
use libvirt_rpc::{Packet, Program, admin};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Notify;
use tracing::{error, info, warn};

use crate::admin_program;
use crate::clients::{Clients, Peer};
use crate::connection::{self, Connection};
use crate::holders;
use crate::inhibitor::Held;
use crate::lock_program::{self, Locks};
use crate::logging::Log;
use crate::owner;
use crate::reexec::state::EndingOwner;

const TARGET: &str = "rpc.netserver";

/// How long to wait before accepting again when there are no descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// Which program a socket is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Service {
    /// The lock program.
    Lock,
    /// The admin program.
    Admin,
}

impl Service {
    /// What a packet for that program meets.
    fn served(self, asked: Program) -> Served {
        match self {
            Self::Lock => lock_program::SERVED,
            Self::Admin if asked == holders::SERVED.program => holders::SERVED,
            Self::Admin => admin_program::SERVED,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Lock => "virtlockd",
            Self::Admin => "admin",
        }
    }
}

/// What connections come in by.
pub(crate) struct Listener {
    pub(crate) service: Service,
    pub(crate) socket: UnixListener,
    /// Whether the C daemon is to remove its name at its end: not if a service manager made it.
    pub(crate) unlink: bool,
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// What all connections share.
pub(crate) struct Server {
    pub(crate) locks: RefCell<Locks>,
    clients: [Clients; 2],
    log: Log,
    /// After how long without clients and locks the daemon ends; zero for never.
    timeout: Cell<Duration>,
    /// Whom the daemon serves: itself, which is root or the one user.
    uid: u32,
    /// Connections, and ends of owners that take their time.
    busy: Cell<usize>,
    listeners: RefCell<Vec<Rc<Listener>>>,
    connections: RefCell<BTreeMap<(Service, u64), Rc<Connection>>>,
    /// Processes that are being ended, with their locks held until then.
    ending: RefCell<Vec<EndingOwner>>,
    /// Somebody came or went.
    changed: Notify,
    /// Whether all connections are to end.
    is_ending: Cell<bool>,
    held: Rc<Held>,
}

impl Server {
    /// Without connections, of which the lock and the admin service may have so many.
    pub(crate) fn new(most: [u32; 2], log: Log, timeout: Duration) -> Rc<Self> {
        Rc::new(Self {
            locks: RefCell::default(),
            clients: most.map(Clients::new),
            log,
            timeout: Cell::new(timeout),
            uid: nix::unistd::geteuid().as_raw(),
            busy: Cell::new(0),
            listeners: RefCell::default(),
            connections: RefCell::default(),
            ending: RefCell::default(),
            changed: Notify::new(),
            is_ending: Cell::new(false),
            held: Rc::default(),
        })
    }

    /// Accepts connections from now on.
    pub(crate) fn listen(self: &Rc<Self>, listener: Listener) {
        let listener = Rc::new(listener);
        self.listeners.borrow_mut().push(Rc::clone(&listener));
        tokio::task::spawn_local(Rc::clone(self).accept(listener));
    }

    /// Accepts connections for ever, as many at a time as there may be; the others wait.
    async fn accept(self: Rc<Self>, listener: Rc<Listener>) {
        let service = listener.service;
        let clients = self.clients(service);
        let mut has_warned = false;
        loop {
            match clients
                .when_there_is_room(|| listener.socket.accept())
                .await
            {
                Ok((stream, _)) => {
                    let Some(peer) = self.identify(&stream) else {
                        continue;
                    };
                    let stream = match connection::peer_stream(stream) {
                        Ok(stream) => stream,
                        Err(failed) => {
                            error!(target: TARGET, "a client cannot be heard: {failed}");
                            continue;
                        }
                    };
                    let id = clients.add(peer.clone());
                    self.serve(Connection::new(service, id, peer, stream));
                    let (open, most) = (clients.open(), clients.limits().most);
                    let is_near = open >= most - most / 5;
                    if is_near && !has_warned {
                        let name = service.name();
                        warn!(target: TARGET, "{open} of {most} clients of {name} are connected: each guest needs one, and more than max_clients have to wait");
                    }
                    has_warned = is_near;
                }
                Err(failed) => {
                    error!(target: TARGET, "a client could not be accepted: {failed}");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// Ends all connections and, if they held locks, their owners, however long that takes.
    pub(crate) async fn end(&self) {
        self.is_ending.set(true);
        for connection in self.connections.borrow().values() {
            connection.peer.close.notify_one();
        }
        while self.busy.get() > 0 {
            self.changed.notified().await;
        }
    }

    /// Returns after the time-out without connections and locks.
    pub(crate) async fn idle(&self) {
        loop {
            let limit = self.timeout.get();
            let is_idle = !limit.is_zero()
                && self.busy.get() == 0
                && self.locks.borrow().table.resources().next().is_none();
            if !is_idle {
                self.changed.notified().await;
                continue;
            }
            tokio::select! {
                biased;
                () = self.changed.notified() => {}
                () = tokio::time::sleep(limit) => return,
            }
        }
    }

    /// What connections come in by.
    pub(crate) fn listeners(&self) -> Vec<Rc<Listener>> {
        self.listeners.borrow().clone()
    }

    /// Those of one service, by their numbers.
    pub(crate) fn connections(&self, service: Service) -> Vec<Rc<Connection>> {
        let connections = self.connections.borrow();
        let of_service = connections.range((service, 0)..=(service, u64::MAX));
        of_service
            .map(|(_, connection)| Rc::clone(connection))
            .collect()
    }

    /// Processes that are being ended.
    pub(crate) fn ending(&self) -> Vec<EndingOwner> {
        self.ending.borrow().clone()
    }

    /// After how long without clients and locks the daemon ends; zero for never.
    pub(crate) fn timeout(&self) -> Duration {
        self.timeout.get()
    }

    /// Puts the locks of another program in the place of none.
    pub(crate) fn take_locks(&self, table: LockTable) {
        self.locks.replace(Locks::left(table));
        self.see_what_is_held();
    }

    /// Tells whether locks are held.
    pub(crate) fn held(&self) -> Rc<Held> {
        Rc::clone(&self.held)
    }

    fn see_what_is_held(&self) {
        let is_held = self.locks.borrow().table.resources().next().is_some();
        self.held.set(is_held);
    }

    /// The clients of a service.
    pub(crate) fn clients(&self, service: Service) -> &Clients {
        let [lock, admin] = &self.clients;
        match service {
            Service::Lock => lock,
            Service::Admin => admin,
        }
    }

    fn count(&self, change: isize) {
        self.busy.set(self.busy.get().saturating_add_signed(change));
        // Both who waits for the end and who waits for idleness.
        self.changed.notify_one();
    }

    /// Who is at the other end, if it is somebody whom the daemon serves.
    pub(crate) fn identify(&self, stream: &UnixStream) -> Option<Peer> {
        match stream.peer_cred() {
            Ok(peer) if peer.uid() == self.uid => {
                let context = daemon::peer_context(stream).unwrap_or_else(|failed| {
                    warn!(target: TARGET, "Unable to query peer security context: {failed}");
                    None
                });
                return Some(Peer::new(&peer, context));
            }
            Ok(peer) => {
                let pid = peer.pid().unwrap_or(-1);
                let uid = peer.uid();
                error!(target: TARGET, "Disallowing client {pid} with uid {uid}");
            }
            Err(failed) => {
                error!(target: TARGET, "Failed to get client socket identity: {failed}");
            }
        }
        None
    }

    /// Answers a client, which is on the list of clients, until one of the two has enough.
    pub(crate) fn serve(self: &Rc<Self>, connection: Connection) {
        let connection = Rc::new(connection);
        if self.is_ending.get() {
            connection.peer.close.notify_one();
        }
        let key = (connection.service, connection.id);
        // Before anything is waited for, so that it is handed over whenever that is.
        self.connections
            .borrow_mut()
            .insert(key, Rc::clone(&connection));
        self.clients(connection.service).opened();
        self.count(1);
        let server = Rc::clone(self);
        tokio::task::spawn_local(async move {
            server.until_closed(connection).await;
            server.clients(key.0).closed();
            server.count(-1);
        });
    }

    async fn until_closed(&self, connection: Rc<Connection>) {
        let pid = connection.pid();
        tokio::select! {
            biased;
            () = connection.peer.close.notified() => {}
            ended = self.talk(&connection) => {
                if let Err(failed) = ended {
                    info!(target: TARGET, "client {pid}: {failed}");
                }
            }
        }
        let key = (connection.service, connection.id);
        self.connections.borrow_mut().remove(&key);
        self.clients(connection.service).remove(connection.id);
        let process = connection.process.take();
        let is_owner = connection.is_owner();
        drop(connection);
        if is_owner {
            self.owner_left(pid, process).await;
        }
    }

    async fn talk(&self, connection: &Connection) -> io::Result<()> {
        let service = connection.service;
        connection.flush().await?;
        while let Some(packet) = connection.next_packet().await? {
            let served = service.served(packet.header.program);
            let answer = match served.receive(packet) {
                Incoming::Nothing => continue,
                Incoming::Answer(answer) => answer,
                Incoming::Call(call) => match service {
                    Service::Lock => self.lock_call(connection, &call),
                    Service::Admin if served.program == holders::SERVED.program => {
                        self.locks.borrow().list(&call)
                    }
                    Service::Admin => self.admin().call(&call),
                },
            };
            connection.send(&answer).await?;
            let closing = (admin::PROGRAM, admin::CONNECT_CLOSE);
            if service == Service::Admin
                && (answer.header.program, answer.header.procedure) == closing
            {
                break;
            }
        }
        Ok(())
    }

    fn admin(&self) -> admin_program::Daemon<'_> {
        let [lock, admin] = &self.clients;
        admin_program::Daemon {
            servers: [(Service::Admin.name(), admin), (Service::Lock.name(), lock)],
            log: &self.log,
            timeout: &self.timeout,
        }
    }

    fn lock_call(&self, connection: &Connection, call: &Call) -> Packet {
        let mut session = connection.session.borrow_mut();
        let answer = self.locks.borrow_mut().call(&mut session, call);
        drop(session);
        connection.watch_owner();
        self.see_what_is_held();
        answer
    }

    /// Goes on with the end of a process that lost its connection to another program.
    pub(crate) fn end_owner(self: &Rc<Self>, owner: EndingOwner) {
        let process = match owner.start {
            Some(start) => Process::open_started_at(owner.pid, start),
            None => Process::open(owner.pid),
        };
        self.count(1);
        let server = Rc::clone(self);
        tokio::task::spawn_local(async move {
            server.owner_left(OwnerPid(owner.pid), process.ok()).await;
            server.count(-1);
        });
    }

    /// The process that locks belong to has closed its connection: it has ended, or must.
    async fn owner_left(&self, pid: OwnerPid, process: Option<Process>) {
        if self.locks.borrow().table.held_by(pid) == 0 {
            return;
        }
        let owner = EndingOwner {
            pid: pid.0,
            start: process.as_ref().and_then(Process::start_time),
        };
        self.ending.borrow_mut().push(owner);
        // Never init, and nobody at all where there is no pid.
        if let Some(process) = process.filter(|_| pid.0 > 1) {
            owner::end(&process).await;
        }
        let released = self.locks.borrow_mut().release_all(pid);
        let mut ending = self.ending.borrow_mut();
        if let Some(at) = ending.iter().position(|known| *known == owner) {
            ending.swap_remove(at);
        }
        drop(ending);
        self.see_what_is_held();
        info!(target: "locking.lock_daemon", "process {pid} is gone: {released} resources released");
    }
}
