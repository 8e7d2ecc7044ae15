//! The sockets: who may connect, and what becomes of each connection.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::time::Duration;

use daemon::Process;
use fcntl::OwnerPid;
use libvirt_rpc::io::{PacketReader, write_packet};
use libvirt_rpc::server::{Call, Incoming, Served};
use libvirt_rpc::{Packet, Program, admin};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Notify, watch};
use tracing::{error, info, warn};

use crate::admin_program;
use crate::clients::{Clients, Peer};
use crate::holders;
use crate::lock_program::{self, Locks, Session};
use crate::logging::Log;
use crate::owner;

const TARGET: &str = "rpc.netserver";

/// How long to wait before accepting again when there are no descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// Which program a socket is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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

/// What all connections share.
pub(crate) struct Server {
    locks: RefCell<Locks>,
    clients: [Clients; 2],
    log: Log,
    /// After how long without clients and locks the daemon ends; zero for never.
    timeout: Cell<Duration>,
    /// Whom the daemon serves: itself, which is root or the one user.
    uid: u32,
    connections: Cell<usize>,
    /// Somebody came or went.
    changed: Notify,
    stop: watch::Sender<bool>,
}

impl Server {
    /// Without connections, of which the lock and the admin service may have so many.
    pub(crate) fn new(most: [u32; 2], log: Log, timeout: Duration) -> Rc<Self> {
        let (stop, _) = watch::channel(false);
        Rc::new(Self {
            locks: RefCell::default(),
            clients: most.map(Clients::new),
            log,
            timeout: Cell::new(timeout),
            uid: nix::unistd::geteuid().as_raw(),
            connections: Cell::new(0),
            changed: Notify::new(),
            stop,
        })
    }

    /// Accepts connections for ever, as many at a time as there may be; the others wait.
    pub(crate) async fn accept(self: Rc<Self>, listener: UnixListener, service: Service) {
        let clients = self.clients(service);
        let mut has_warned = false;
        loop {
            match clients.when_there_is_room(|| listener.accept()).await {
                Ok((stream, _)) => {
                    let (open, most) = (clients.opened(), clients.limits().most);
                    let is_near = open >= most - most / 5;
                    if is_near && !has_warned {
                        let name = service.name();
                        warn!(target: TARGET, "{open} of {most} clients of {name} are connected: each guest needs one, and more than max_clients have to wait");
                    }
                    has_warned = is_near;
                    let server = Rc::clone(&self);
                    tokio::task::spawn_local(async move {
                        server.connection(stream, service).await;
                        server.clients(service).closed();
                    });
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
        self.stop.send_replace(true);
        while self.connections.get() > 0 {
            self.changed.notified().await;
        }
    }

    /// Returns after the time-out without connections and locks.
    pub(crate) async fn idle(&self) {
        loop {
            let limit = self.timeout.get();
            let is_idle = !limit.is_zero()
                && self.connections.get() == 0
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

    fn clients(&self, service: Service) -> &Clients {
        let [lock, admin] = &self.clients;
        match service {
            Service::Lock => lock,
            Service::Admin => admin,
        }
    }

    fn count(&self, change: isize) {
        self.connections
            .set(self.connections.get().saturating_add_signed(change));
        // Both who waits for the end and who waits for idleness.
        self.changed.notify_one();
    }

    async fn connection(&self, stream: UnixStream, service: Service) {
        self.count(1);
        match stream.peer_cred() {
            Ok(peer) if peer.uid() == self.uid => {
                let peer = Peer::new(&peer);
                let id = self.clients(service).add(peer.clone());
                self.serve(stream, service, peer, id).await;
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
        self.count(-1);
    }

    async fn serve(&self, mut stream: UnixStream, service: Service, peer: Peer, id: u64) {
        let pid = OwnerPid(peer.pid);
        let mut client = Client {
            pid,
            session: Session::default(),
            process: None,
        };
        let mut stop = self.stop.subscribe();
        tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => {}
            () = peer.close.notified() => {}
            ended = self.talk(&mut stream, service, &mut client) => {
                if let Err(failed) = ended {
                    info!(target: TARGET, "client {pid}: {failed}");
                }
            }
        }
        drop(stream);
        self.clients(service).remove(id);
        if client.session.owner() == Some(pid) {
            self.owner_left(pid, client.process).await;
        }
    }

    async fn talk(
        &self,
        stream: &mut UnixStream,
        service: Service,
        client: &mut Client,
    ) -> io::Result<()> {
        let mut reader = PacketReader::default();
        while let Some(packet) = reader.next_packet(stream).await? {
            let served = service.served(packet.header.program);
            let answer = match served.receive(packet) {
                Incoming::Nothing => continue,
                Incoming::Answer(answer) => answer,
                Incoming::Call(call) => match service {
                    Service::Lock => self.lock_call(client, &call),
                    Service::Admin if served.program == holders::SERVED.program => {
                        self.locks.borrow().list(&call)
                    }
                    Service::Admin => self.admin().call(&call),
                },
            };
            write_packet(stream, &answer).await?;
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

    fn lock_call(&self, client: &mut Client, call: &Call) -> Packet {
        let answer = self.locks.borrow_mut().call(&mut client.session, call);
        if client.process.is_none() && client.session.owner() == Some(client.pid) {
            // Now, while it is certainly there, so that no other that gets its pid later is taken for it.
            client.process = Process::open(client.pid.0).ok();
        }
        answer
    }

    /// The process that locks belong to has closed its connection: it has ended, or must.
    async fn owner_left(&self, pid: OwnerPid, process: Option<Process>) {
        if self.locks.borrow().table.held_by(pid) == 0 {
            return;
        }
        // Never init, and nobody at all where there is no pid.
        if let Some(process) = process.filter(|_| pid.0 > 1) {
            owner::end(&process).await;
        }
        let released = self.locks.borrow_mut().release_all(pid);
        info!(target: "locking.lock_daemon", "process {pid} is gone: {released} resources released");
    }
}

/// The other end of a connection.
struct Client {
    pid: OwnerPid,
    session: Session,
    /// Its process, once it has registered as the owner itself.
    process: Option<Process>,
}
