//! The connections to the daemon, and the leases that registered ones hold.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use ondisk::Lver;

use crate::host::{KillPath, Pid};

use super::spec::{Area, ResourceKey};

/// A connection's number: the lowest that was free when it came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ClientId(pub usize);

/// A lease that a client holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// The number that status shows.
    pub id: u32,
    /// Which resource.
    pub key: ResourceKey,
    /// The lease's areas, as the client named them.
    pub areas: Vec<Area>,
    /// Held shared.
    pub shared: bool,
    /// Kept, as an orphan, when the client dies.
    pub persistent: bool,
    /// The lease's version, zero for a shared one.
    pub lver: Lver,
    /// The lockspace's number at the time.
    pub space_id: u32,
    /// The lockspace failed or was removed: the lease on disk is left alone.
    pub space_dead: bool,
}

/// One connection.
#[derive(Debug, Clone, Default)]
pub struct Client {
    /// Its descriptor, for status.
    pub fd: i32,
    /// The process at the other end, registered or not.
    pub peer: Option<Pid>,
    /// The connection itself, of one that registered.
    pub connection: Option<Arc<OwnedFd>>,
    /// The process that registered.
    pub pid: Option<Pid>,
    /// The name shown in status.
    pub owner_name: Vec<u8>,
    /// `SANLK_RESTRICT_*`.
    pub restricted: u32,
    /// `KILLPATH_PID`, `RUNPATH_SENT`.
    pub flags: u32,
    /// The command that works on this client's leases now; zero for none.
    pub cmd_active: u32,
    /// The last command that came in.
    pub cmd_last: u32,
    /// The connection is gone, and an active command will clean up.
    pub pid_dead: bool,
    /// The connection itself is waiting for a command's end.
    pub suspend: bool,
    /// How often the process was told to stop.
    pub kill_count: u32,
    /// When it was last told so, in seconds of the monotonic clock.
    pub kill_last: u64,
    /// What to run instead of killing it.
    pub kill_path: KillPath,
    /// The leases it holds; a freed place is used again first, which is the order that inquire shows.
    pub tokens: Vec<Option<Token>>,
}

impl Client {
    /// Flag: the kill path program gets the process id as last argument.
    pub const KILLPATH_PID: u32 = 0x1;
    /// Flag: the kill path program was started.
    pub const RUNPATH_SENT: u32 = 0x2;

    /// Whether the other end has closed the connection, be it that nobody has worked on that yet.
    pub fn has_hung_up(&self) -> bool {
        let Some(connection) = &self.connection else {
            return false;
        };
        // Told whether asked for or not.
        let end = PollFlags::POLLHUP | PollFlags::POLLERR;
        let mut polled = [PollFd::new(connection.as_fd(), PollFlags::empty())];
        poll(&mut polled, PollTimeout::ZERO).is_ok()
            && polled
                .iter()
                .filter_map(PollFd::revents)
                .any(|found| found.intersects(end))
    }

    /// The leases it holds.
    pub fn held(&self) -> impl Iterator<Item = &Token> {
        self.tokens.iter().flatten()
    }

    /// Gives it a lease.
    pub fn add(&mut self, token: Token) {
        match self.tokens.iter_mut().find(|slot| slot.is_none()) {
            Some(slot) => *slot = Some(token),
            None => self.tokens.push(Some(token)),
        }
    }

    /// Takes a lease from it.
    pub fn take(&mut self, key: &ResourceKey) -> Option<Token> {
        self.tokens
            .iter_mut()
            .find(|slot| slot.as_ref().is_some_and(|token| token.key == *key))
            .and_then(Option::take)
    }

    /// The lease it holds on a resource.
    pub fn find_mut(&mut self, key: &ResourceKey) -> Option<&mut Token> {
        self.tokens
            .iter_mut()
            .flatten()
            .find(|token| token.key == *key)
    }

    /// Takes all leases from it.
    pub fn take_all(&mut self) -> Vec<Token> {
        std::mem::take(&mut self.tokens)
            .into_iter()
            .flatten()
            .collect()
    }

    /// Whether it holds a lease in this lockspace.
    pub fn uses(&self, space: &ondisk::Name) -> bool {
        self.held().any(|token| token.key.space == *space)
    }

    /// Forgets that it was being killed, once nothing that it holds is at stake.
    pub fn clear_kill_state(&mut self) {
        self.kill_count = 0;
        self.kill_last = 0;
        self.flags &= !Self::RUNPATH_SENT;
    }
}

/// All connections, by number.
#[derive(Debug, Default)]
pub struct Clients {
    slots: Vec<Option<Client>>,
}

impl Clients {
    /// Takes in a connection.
    pub fn add(&mut self, client: Client) -> ClientId {
        match self.slots.iter().position(Option::is_none) {
            Some(free) => {
                if let Some(slot) = self.slots.get_mut(free) {
                    *slot = Some(client);
                }
                ClientId(free)
            }
            None => {
                self.slots.push(Some(client));
                ClientId(self.slots.len() - 1)
            }
        }
    }

    /// A connection.
    pub fn get(&self, id: ClientId) -> Option<&Client> {
        self.slots.get(id.0).and_then(Option::as_ref)
    }

    /// A connection, to change it.
    pub fn get_mut(&mut self, id: ClientId) -> Option<&mut Client> {
        self.slots.get_mut(id.0).and_then(Option::as_mut)
    }

    /// Forgets a connection.
    pub fn remove(&mut self, id: ClientId) -> Option<Client> {
        self.slots.get_mut(id.0).and_then(Option::take)
    }

    /// The first connection that a process registered.
    pub fn by_pid(&self, pid: Pid) -> Option<ClientId> {
        self.iter()
            .find(|(_, client)| client.pid == Some(pid))
            .map(|(id, _)| id)
    }

    /// Whether a process that did not register has a connection that has said nothing yet.
    pub fn may_yet_register(&self, pid: Pid) -> bool {
        let silent = |client: &Client| client.peer == Some(pid) && client.cmd_last == 0;
        self.by_pid(pid).is_none() && self.iter().any(|(_, client)| silent(client))
    }

    /// All connections, by number.
    pub fn iter(&self) -> impl Iterator<Item = (ClientId, &Client)> {
        self.slots
            .iter()
            .enumerate()
            .filter_map(|(id, slot)| slot.as_ref().map(|client| (ClientId(id), client)))
    }

    /// All connections, by number, to change them.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (ClientId, &mut Client)> {
        self.slots
            .iter_mut()
            .enumerate()
            .filter_map(|(id, slot)| slot.as_mut().map(|client| (ClientId(id), client)))
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.slots.iter().flatten().count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(name: &str) -> Token {
        Token {
            id: 1,
            key: ResourceKey {
                space: "ls".parse().expect("short"),
                name: name.parse().expect("short"),
            },
            areas: Vec::new(),
            shared: false,
            persistent: false,
            lver: Lver(1),
            space_id: 1,
            space_dead: false,
        }
    }

    #[test]
    fn the_lowest_free_number_and_place_are_used_again() {
        let mut clients = Clients::default();
        let ids: Vec<_> = (0..3).map(|_| clients.add(Client::default())).collect();
        clients.remove(ids[1]);
        assert_eq!(clients.add(Client::default()), ClientId(1));
        let mut client = Client::default();
        for name in ["a", "b", "c"] {
            client.add(token(name));
        }
        assert!(client.take(&token("b").key).is_some());
        client.add(token("d"));
        let names: Vec<_> = client.held().map(|t| t.key.name.to_string()).collect();
        assert_eq!(names, ["a", "d", "c"]);
    }
}
