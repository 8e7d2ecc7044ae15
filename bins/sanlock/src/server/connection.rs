//! One client's connection: its requests in, their answers out.

use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;
use std::time::Duration;

use sanlock_proto::command::Afterwards;
use sanlock_proto::decoder::Cut;
use sanlock_proto::header::{Header, HeaderFault, MAGIC};
use sanlock_proto::request::Target;
use sanlock_proto::{Command, Decoder, EventCallback, HostEvent, Incoming, Reply, Request};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tracing::{debug, error};

use crate::host::Pid;
use crate::manager::clients::ClientId;
use crate::manager::{Manager, ReceivedEvent, errno};

use super::Server;
use super::dispatch::{Answer, Dispatcher};

/// Bytes read at once: room for a request for three leases. All of it is cleared for each read.
const READ_SIZE: usize = 4 * 1024;

/// How long the announced rest of a refused request is waited for.
const DISCARD_WAIT: Duration = Duration::from_millis(20);

/// `SANLK_RESTRICT_ALL`: the connection gave up all commands.
const RESTRICT_ALL: u32 = 0x1;

/// Not permitted.
const EPERM: i32 = -1;
/// Not supported.
const EOPNOTSUPP: i32 = -95;

/// What a client sends to end its registration for events.
const END_EVENTS: u32 = 1;

/// What becomes of the connection after a request.
enum Next {
    GoOn,
    Close,
    Events(mpsc::Receiver<ReceivedEvent>),
}

pub(super) struct Connection {
    dispatcher: Dispatcher,
    manager: Arc<Manager>,
    id: ClientId,
    stream: UnixStream,
}

impl Connection {
    /// Takes a connection in. Those who come later find it among the clients.
    pub(super) fn take_in(server: Arc<Server>, stream: UnixStream) -> Self {
        let manager = Arc::clone(&server.manager);
        let id = manager.client_connected(stream.as_raw_fd(), "");
        let peer = stream.peer_cred().ok().and_then(|peer| peer.pid()).map(Pid);
        manager.update_client(id, |client| client.peer = peer);
        let dispatcher = Dispatcher::new(server, id, peer);
        Self {
            dispatcher,
            manager,
            id,
            stream,
        }
    }

    /// Serves it until it ends.
    pub(super) async fn serve(mut self) {
        self.run().await;
        self.manager.client_gone(self.id);
    }

    async fn run(&mut self) {
        let mut decoder = Decoder::new();
        loop {
            while let Some(incoming) = decoder.next_incoming() {
                // Apart, for most connections wait most of the time, and need little memory then.
                match Box::pin(self.handle(incoming)).await {
                    Ok(Next::GoOn) => {}
                    Ok(Next::Close) | Err(_) => return,
                    Ok(Next::Events(events)) => {
                        return self.deliver(events, decoder.pending()).await;
                    }
                }
            }
            let read = if decoder.discarding() == 0 {
                self.read(&mut decoder).await
            } else {
                match tokio::time::timeout(DISCARD_WAIT, self.read(&mut decoder)).await {
                    Ok(read) => read,
                    Err(_) => {
                        decoder.stop_discarding();
                        continue;
                    }
                }
            };
            match read {
                Ok(0) => {
                    if let Some(Cut::InBody(header)) = decoder.cut() {
                        // The other direction may still be open.
                        if let Some(command) = Command::from_number(header.command) {
                            let reply = Reply::failure(command, errno::NOTCONN);
                            let _ = self.send(&header, &reply).await;
                        }
                    }
                    return;
                }
                Ok(_) => {}
                Err(failed) => {
                    debug!("client {}: connection failed: {failed}", self.id.0);
                    return;
                }
            }
        }
    }

    /// Reads what has come. Zero at the end.
    async fn read(&self, decoder: &mut Decoder) -> std::io::Result<usize> {
        loop {
            self.stream.readable().await?;
            match self.read_now(decoder) {
                Err(failed) if failed.kind() == std::io::ErrorKind::WouldBlock => {}
                done => return done,
            }
        }
    }

    fn read_now(&self, decoder: &mut Decoder) -> std::io::Result<usize> {
        let mut buffer = [0; READ_SIZE];
        let count = self.stream.try_read(&mut buffer)?;
        decoder.push(buffer.get(..count).unwrap_or_default());
        Ok(count)
    }

    async fn handle(&mut self, incoming: Incoming) -> std::io::Result<Next> {
        let restricted = self.manager.client_restrictions(self.id) & RESTRICT_ALL != 0;
        match incoming {
            Incoming::NotARequest { header, fault } => self.refuse(&header, fault).await,
            Incoming::Request { header, .. } if restricted => self.forbid(&header).await,
            Incoming::Rejected(rejection) if restricted => self.forbid(&rejection.header).await,
            Incoming::Rejected(rejection) => {
                self.note(&rejection.header);
                let reply = match self.missing_target(&rejection.header, rejection.command) {
                    Some(code) => Reply::failure(rejection.command, code),
                    None => rejection.reply(),
                };
                debug!(
                    "client {}: {} refused: {}",
                    self.id.0,
                    rejection.command,
                    sanlock_proto::describe(reply.result())
                );
                self.send(&rejection.header, &reply).await?;
                Ok(Next::GoOn)
            }
            Incoming::Request { header, request } => self.answer(&header, request).await,
        }
    }

    fn note(&self, header: &Header) {
        self.manager
            .update_client(self.id, |client| client.cmd_last = header.command);
    }

    fn missing_target(&self, header: &Header, command: Command) -> Option<i32> {
        if !command.has_target() {
            return None;
        }
        let target = match header.data2 as i32 {
            -1 => None,
            pid => Some(Pid(pid)),
        };
        match self.manager.begin_command(self.id, target, header.command) {
            Err(code) => Some(code),
            Ok(target) => {
                self.manager.abandon_command(&target);
                None
            }
        }
    }

    async fn answer(&mut self, header: &Header, request: Request) -> std::io::Result<Next> {
        let command = request.command();
        if command != Command::Register {
            self.note(header);
        }
        if let Some(Target::Pid(pid)) = request.target() {
            self.manager.registration_settled(Pid(pid)).await;
        }
        if command == Command::Register {
            // Without it, its end is just seen a little later.
            let connection = self.stream.as_fd().try_clone_to_owned().ok();
            self.manager.update_client(self.id, |client| {
                client.connection = connection.map(Arc::new)
            });
        }
        let answer = self.dispatcher.answer(header, request).await;
        match answer {
            Answer::None => {}
            Answer::Reply(reply) => {
                let message = reply.encode(header);
                // It may be large, and the client slow to read it.
                drop(reply);
                self.stream.write_all(&message).await?;
            }
            Answer::Events(events) => {
                self.send(header, &Reply::Result(0)).await?;
                return Ok(Next::Events(events));
            }
            Answer::AtTheEnd(farewell) => {
                self.manager.until_ended().await;
                let sent = self.send(header, &Reply::ShutdownDone).await;
                drop(farewell);
                return sent.map(|()| Next::Close);
            }
        }
        Ok(match command.afterwards() {
            Afterwards::StaysOpen => Next::GoOn,
            Afterwards::Closes | Afterwards::DeliversEvents => Next::Close,
        })
    }

    /// Answers what is no request but may come from a newer client; the C program is silent.
    async fn refuse(&mut self, header: &Header, fault: HeaderFault) -> std::io::Result<Next> {
        error!("client {}: {fault}", self.id.0);
        if header.magic == MAGIC {
            self.send(header, &Reply::Result(EOPNOTSUPP)).await?;
        }
        Ok(Next::GoOn)
    }

    async fn forbid(&mut self, header: &Header) -> std::io::Result<Next> {
        error!(
            "client {}: command {} refused: the connection gave up all commands by restrict",
            self.id.0, header.command
        );
        if let Some(command) = Command::from_number(header.command) {
            if command.is_answered() {
                self.send(header, &Reply::failure(command, EPERM)).await?;
            }
        }
        Ok(Next::GoOn)
    }

    async fn send(&mut self, header: &Header, reply: &Reply) -> std::io::Result<()> {
        self.stream.write_all(&reply.encode(header)).await
    }

    /// Passes events on until either side ends it. `said` is what the client sent behind its registration.
    async fn deliver(&mut self, mut events: mpsc::Receiver<ReceivedEvent>, said: &[u8]) {
        let mut said = said.to_vec();
        loop {
            while let Some(&word) = said.first_chunk() {
                if u32::from_ne_bytes(word) == END_EVENTS {
                    return;
                }
                said.drain(..word.len());
            }
            tokio::select! {
                biased;
                read = self.stream.read_buf(&mut said) => {
                    if !matches!(read, Ok(1..)) {
                        return;
                    }
                }
                event = events.recv() => {
                    let Some(event) = event else { return };
                    let mut message = Vec::new();
                    callback(&event).encode(&mut message);
                    if self.stream.write_all(&message).await.is_err() {
                        return;
                    }
                }
            }
        }
    }
}

fn callback(received: &ReceivedEvent) -> EventCallback {
    EventCallback {
        event: HostEvent {
            host_id: received.event.host_id.0,
            generation: received.event.generation.0,
            event: received.event.event,
            data: received.event.data,
        },
        from_host_id: received.from_host.0,
        from_generation: received.from_generation.0,
    }
}
