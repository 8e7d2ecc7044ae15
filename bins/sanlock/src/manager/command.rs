//! Connections that come and go, and the one command at a time that works on a client's leases.

use std::sync::Arc;
use std::time::Duration;

use tracing::{debug, error};

use crate::host::{KillPath, Pid};

use super::clients::{Client, ClientId, Token};
use super::{Code, Manager, errno};

/// How long a registration may take from the connection on.
const REGISTERING: Duration = Duration::from_millis(200);

/// A command's hold on a client: until `Manager::end_command` no other command works on the
/// client's leases, and the client's death is put off.
#[derive(Debug, Clone)]
pub struct Target {
    /// The client whose leases the command works on.
    pub client: ClientId,
    /// Its process.
    pub pid: Pid,
    /// Its `SANLK_RESTRICT_*` flags.
    pub restricted: u32,
    /// What to run instead of killing it.
    pub kill_path: KillPath,
    /// Whether that program wants the process id.
    pub kill_path_pid: bool,
}

impl Manager {
    /// Takes in a connection.
    pub fn client_connected(&self, fd: i32, owner_name: &str) -> ClientId {
        let client = Client {
            fd,
            owner_name: owner_name.as_bytes().to_vec(),
            ..Client::default()
        };
        self.state().clients.add(client)
    }

    /// Changes something about a connection.
    pub fn update_client(&self, id: ClientId, update: impl FnOnce(&mut Client)) {
        if let Some(client) = self.state().clients.get_mut(id) {
            update(client);
        }
    }

    /// A connection's `SANLK_RESTRICT_*` flags.
    pub fn client_restrictions(&self, id: ClientId) -> u32 {
        self.state()
            .clients
            .get(id)
            .map_or(0, |client| client.restricted)
    }

    /// Registers the process at the other end of a connection as one that may hold leases.
    ///
    /// A process that registers again on the same connection keeps the leases that it holds; the C
    /// program forgets them, and they stay on disk.
    pub fn register(&self, id: ClientId, pid: Pid) {
        self.update_client(id, |client| {
            client.pid = Some(pid);
            client.owner_name = pid.to_string().into_bytes();
            client.cmd_last = sanlock_proto::Command::Register.number();
        });
        self.clients_changed.notify_waiters();
    }

    /// Waits for a registration that may be under way. As it is not answered, others may ask for the process
    /// before its own connection has been read.
    pub async fn registration_settled(&self, pid: Pid) {
        let mut patience = None;
        loop {
            let changed = self.clients_changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if !self.state().clients.may_yet_register(pid) {
                return;
            }
            let patience = patience.get_or_insert_with(|| self.host.sleep(REGISTERING));
            tokio::select! {
                biased;
                () = changed => {}
                () = patience => return,
            }
        }
    }

    /// Takes note that a connection ended: its leases are given back, in the background, or by the
    /// command that works on them now.
    pub fn client_gone(self: &Arc<Self>, id: ClientId) {
        let tokens = {
            let mut state = self.state();
            let Some(client) = state.clients.get_mut(id) else {
                return;
            };
            if client.kill_count != 0 {
                if let Some(pid) = client.pid {
                    error!("process {pid} is dead after {} attempts", client.kill_count);
                }
            }
            if client.cmd_active != 0 {
                debug!(
                    "client {} is gone while command {} works for it",
                    id.0, client.cmd_active
                );
                client.pid = None;
                client.pid_dead = true;
                client.connection = None;
                return;
            }
            let tokens = client.take_all();
            state.clients.remove(id);
            tokens
        };
        self.release_in_background(&tokens);
        self.clients_changed.notify_waiters();
    }

    /// Begins a command on the leases of the client with this process id, or of the connection's own
    /// process where none is given.
    ///
    /// # Errors
    /// -3 no such client; -16 it did not register, is dying, is being stopped, or another command
    /// works on it.
    pub fn begin_command(
        &self,
        from: ClientId,
        target: Option<Pid>,
        command: u32,
    ) -> Result<Target, Code> {
        let mut state = self.state();
        let id = match target {
            None => from,
            Some(pid) => state.clients.by_pid(pid).ok_or(errno::SRCH)?,
        };
        let client = state.clients.get_mut(id).ok_or(errno::BUSY)?;
        let pid = client.pid.ok_or(errno::BUSY)?;
        let acquire = sanlock_proto::Command::Acquire.number();
        // A process that is being stopped may still be asked for its leases, and give them back.
        if client.pid_dead || (client.kill_count != 0 && command == acquire) {
            error!("command {command} for process {pid} is refused: it is being stopped");
            return Err(errno::BUSY);
        }
        if client.cmd_active != 0 {
            if !(self.settings.quiet_fail && client.cmd_active == acquire) {
                error!(
                    "command {command} for process {pid} is refused: command {} works on it",
                    client.cmd_active
                );
            }
            return Err(errno::BUSY);
        }
        client.cmd_active = command;
        Ok(Target {
            client: id,
            pid,
            restricted: client.restricted,
            kill_path: client.kill_path.clone(),
            kill_path_pid: client.flags & Client::KILLPATH_PID != 0,
        })
    }

    /// Ends a command; `keep` are leases to give to the client. Returns what it did not get because
    /// it died: these leases are given back like the ones that it held.
    pub(super) fn end_command(self: &Arc<Self>, target: &Target, keep: Vec<Token>) -> bool {
        let mut orphaned = Vec::new();
        let mut dead = false;
        {
            let mut state = self.state();
            if let Some(client) = state.clients.get_mut(target.client) {
                client.cmd_active = 0;
                if client.pid_dead {
                    dead = true;
                    orphaned = client.take_all();
                    state.clients.remove(target.client);
                } else {
                    for token in keep.iter().cloned() {
                        client.add(token);
                    }
                }
            }
        }
        if dead {
            orphaned.extend(keep);
            self.release_in_background(&orphaned);
        }
        self.clients_changed.notify_waiters();
        !dead
    }

    /// Ends a command that was not carried out.
    pub fn abandon_command(self: &Arc<Self>, target: &Target) {
        self.end_command(target, Vec::new());
    }

    /// Sets a client's kill path.
    pub fn set_kill_path(self: &Arc<Self>, target: &Target, kill_path: KillPath, with_pid: bool) {
        self.update_client(target.client, |client| {
            client.kill_path = kill_path;
            if with_pid {
                client.flags |= Client::KILLPATH_PID;
            }
        });
        self.end_command(target, Vec::new());
    }
}
