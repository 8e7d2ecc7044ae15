//! Who is connected to a server, and who may be.

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
    /// What a security module of the kernel calls it, if there is one.
    pub(crate) context: Option<Rc<[u8]>>,
    /// Asks for the end of the connection.
    pub(crate) close: Rc<Notify>,
}

impl Peer {
    /// That has connected now.
    pub(crate) fn new(credentials: &UCred, context: Option<Vec<u8>>) -> Self {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Self {
            since: i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
            uid: credentials.uid(),
            gid: credentials.gid(),
            pid: credentials.pid().filter(|pid| *pid > 0).unwrap_or(-1),
            context: context.map(Rc::from),
            close: Rc::default(),
        }
    }
}

/// The clients of one server by their numbers, which begin with 1 and are never used twice, and how many there may be.
#[derive(Debug)]
pub(crate) struct Clients {
    limits: Cell<Limits>,
    /// Connections that were accepted and have not ended.
    open: Cell<u32>,
    /// There may be room for one more.
    room: Notify,
    /// How many threads there were to be for urgent work, if this daemon had threads: only kept and shown.
    pub(crate) priority_workers: Cell<u32>,
    last: Cell<u64>,
    connected: RefCell<BTreeMap<u64, Peer>>,
}

/// The highest number that another program is believed, so that there is always a next one.
const LAST: u64 = u64::MAX >> 1;

/// How many clients there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Altogether.
    pub(crate) most: u32,
    /// Of those that have not said who they are. The kernel says it of each, so there are none: only kept and shown.
    pub(crate) most_unknown: u32,
}

impl Clients {
    /// None yet.
    pub(crate) fn new(most: u32) -> Self {
        let limits = Limits {
            most,
            most_unknown: most,
        };
        Self {
            limits: Cell::new(limits),
            open: Cell::default(),
            room: Notify::new(),
            priority_workers: Cell::default(),
            last: Cell::default(),
            connected: RefCell::default(),
        }
    }

    /// How many there may be.
    pub(crate) fn limits(&self) -> Limits {
        self.limits.get()
    }

    /// Those who are there stay, however many they are.
    pub(crate) fn set_limits(&self, limits: Limits) {
        self.limits.set(limits);
        self.room.notify_one();
    }

    /// Waits until one more may be accepted, and then for what `accept` waits for.
    pub(crate) async fn when_there_is_room<T>(&self, mut accept: impl AsyncFnMut() -> T) -> T {
        loop {
            let has_room = self.open.get() < self.limits.get().most;
            tokio::select! {
                biased;
                () = self.room.notified() => {}
                accepted = accept(), if has_room => return accepted,
            }
        }
    }

    /// Counts a connection, from when it is accepted until [`Clients::closed`].
    pub(crate) fn opened(&self) {
        self.open.set(self.open.get() + 1);
    }

    /// How many connections are open.
    pub(crate) fn open(&self) -> u32 {
        self.open.get()
    }

    /// Makes room for another.
    pub(crate) fn closed(&self) {
        self.open.set(self.open.get().saturating_sub(1));
        self.room.notify_one();
    }

    /// Puts one on the list and returns its number.
    pub(crate) fn add(&self, peer: Peer) -> u64 {
        let id = self.last.get() + 1;
        self.last.set(id);
        self.connected.borrow_mut().insert(id, peer);
        id
    }

    /// Puts one on the list that another program has numbered, or numbers it.
    pub(crate) fn add_again(&self, id: Option<u64>, peer: Peer) -> u64 {
        let can_be = |id: &u64| *id <= LAST && !self.connected.borrow().contains_key(id);
        let Some(id) = id.filter(can_be) else {
            return self.add(peer);
        };
        self.last.set(self.last.get().max(id));
        self.connected.borrow_mut().insert(id, peer);
        id
    }

    /// The number of the next one.
    pub(crate) fn next_id(&self) -> u64 {
        self.last.get() + 1
    }

    /// Numbers begin here, or later.
    pub(crate) fn set_next_id(&self, id: u64) {
        let last = id.saturating_sub(1).min(LAST);
        self.last.set(self.last.get().max(last));
    }

    /// Takes one off it.
    pub(crate) fn remove(&self, id: u64) {
        self.connected.borrow_mut().remove(&id);
    }

    /// How many are on it.
    pub(crate) fn count(&self) -> u32 {
        u32::try_from(self.connected.borrow().len()).unwrap_or(u32::MAX)
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
