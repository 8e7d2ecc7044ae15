//! Who is connected to a server.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::net::unix::UCred;
use tokio::sync::Notify;

/// The other end of a connection.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    /// When it connected, in seconds since 1970.
    pub(crate) since: i64,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// -1 where it cannot be seen, in another pid namespace.
    pub(crate) pid: i32,
    /// Asks for the end of the connection.
    pub(crate) close: Rc<Notify>,
}

impl Peer {
    /// That has connected now.
    pub(crate) fn new(credentials: &UCred) -> Self {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Self {
            since: i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
            uid: credentials.uid(),
            gid: credentials.gid(),
            pid: credentials.pid().filter(|pid| *pid > 0).unwrap_or(-1),
            close: Rc::default(),
        }
    }
}

/// The clients of one server by their numbers, which begin with 1 and are never used twice.
#[derive(Debug)]
pub(crate) struct Clients {
    /// How many there may be.
    pub(crate) most: u32,
    last: Cell<u64>,
    connected: RefCell<BTreeMap<u64, Peer>>,
}

impl Clients {
    /// None yet.
    pub(crate) fn new(most: u32) -> Self {
        Self {
            most,
            last: Cell::default(),
            connected: RefCell::default(),
        }
    }

    /// Puts one on the list and returns its number.
    pub(crate) fn add(&self, peer: Peer) -> u64 {
        let id = self.last.get() + 1;
        self.last.set(id);
        self.connected.borrow_mut().insert(id, peer);
        id
    }

    /// Takes one off it.
    pub(crate) fn remove(&self, id: u64) {
        self.connected.borrow_mut().remove(&id);
    }

    /// All of them.
    pub(crate) fn all(&self) -> Vec<(u64, Peer)> {
        let connected = self.connected.borrow();
        connected
            .iter()
            .map(|(id, peer)| (*id, peer.clone()))
            .collect()
    }

    /// One of them.
    pub(crate) fn get(&self, id: u64) -> Option<Peer> {
        self.connected.borrow().get(&id).cloned()
    }
}
