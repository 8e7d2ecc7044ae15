//! Who is watched: each connection, and what it said of itself.

use wdmd_proto::Name;

use super::time::{Millis, Now, Suspended};

/// A place in the table of clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Slot(pub usize);

impl Slot {
    /// The number in logs and dumps: the original's table begins with its signals and its listener.
    #[must_use]
    pub const fn number(self) -> usize {
        self.0 + 2
    }
}

/// Most clients at a time; others wait until one leaves. The table is locked in memory from the start, so it is not
/// larger than anybody needs: a lease daemon has one client per lockspace.
pub const MAX_CLIENTS: usize = 800;

/// A connection, or what is left of one that ended while it was watched.
#[derive(Debug, Clone)]
pub struct Client {
    /// What it calls itself.
    pub name: Name,
    /// Its process, from the socket.
    pub pid: i32,
    /// Whether it has said who it is.
    pub registered: bool,
    /// Its descriptor, for the dump; -1 once it is closed.
    pub descriptor: i32,
    /// Its connection ended while an expiry was set: nobody can renew it any more.
    pub dead: bool,
    /// It does not want the daemon to end.
    pub refcount: bool,
    /// When it was last well, in seconds of the monotonic clock, as it says.
    pub renewal: u64,
    /// Until when it is well, in seconds of the monotonic clock; 0 for no limit.
    pub expire: u64,
    /// How long the host had been suspended when it said so, or less.
    said: Suspended,
    /// The device could not be opened for it, and it has no other way to be told than by a status.
    pub unprotected: bool,
}

impl Client {
    fn new(pid: i32, descriptor: i32) -> Self {
        Self {
            name: Name::default(),
            pid,
            registered: false,
            descriptor,
            dead: false,
            refcount: false,
            renewal: 0,
            expire: 0,
            said: Suspended(0),
            unprotected: false,
        }
    }

    /// It was well, and will be until then, as it said when the host had been suspended for so long.
    pub(crate) fn renew(&mut self, renewal: u64, expire: u64, said: Suspended) {
        self.renewal = renewal;
        self.expire = expire;
        self.said = said;
    }

    /// Whether the daemon may not end because of it.
    #[must_use]
    pub const fn needs_the_daemon(&self) -> bool {
        self.refcount || self.expire != 0
    }

    /// When its time is up, if it is watched. Time for which the host was suspended is time that other hosts
    /// have counted.
    #[must_use]
    pub fn expires(&self, now: Now) -> Option<Millis> {
        if self.expire == 0 {
            return None;
        }
        let expires = Millis::from_seconds(self.expire);
        let lost = now.suspended_since(self.said);
        Some(Millis(expires.0.saturating_sub(lost)))
    }
}

/// The table of clients. It never asks for memory once it is made.
#[derive(Debug)]
pub struct Clients {
    slots: Vec<Option<Client>>,
}

impl Clients {
    pub(crate) fn new() -> Self {
        Self {
            slots: Vec::with_capacity(MAX_CLIENTS),
        }
    }

    /// Where the next one goes; `None` if the table is full.
    #[must_use]
    pub fn free(&self) -> Option<Slot> {
        let gap = self.slots.iter().position(Option::is_none);
        let place = gap.unwrap_or(self.slots.len());
        (place < MAX_CLIENTS).then_some(Slot(place))
    }

    pub(crate) fn add(&mut self, slot: Slot, pid: i32, descriptor: i32) {
        if slot.0 == self.slots.len() && slot.0 < MAX_CLIENTS {
            self.slots.push(None);
        }
        if let Some(place) = self.slots.get_mut(slot.0) {
            *place = Some(Client::new(pid, descriptor));
        }
    }

    pub(crate) fn remove(&mut self, slot: Slot) {
        if let Some(place) = self.slots.get_mut(slot.0) {
            *place = None;
        }
    }

    /// The device is open, for all.
    pub(crate) fn are_protected(&mut self) {
        for client in self.slots.iter_mut().flatten() {
            client.unprotected = false;
        }
    }

    /// The client in a place.
    #[must_use]
    pub fn get(&self, slot: Slot) -> Option<&Client> {
        self.slots.get(slot.0)?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, slot: Slot) -> Option<&mut Client> {
        self.slots.get_mut(slot.0)?.as_mut()
    }

    /// All there are, in the order of their places.
    pub fn iter(&self) -> impl Iterator<Item = (Slot, &Client)> {
        let numbered = self.slots.iter().enumerate();
        numbered.filter_map(|(place, client)| Some((Slot(place), client.as_ref()?)))
    }

    /// Whether there is any, dead ones included.
    #[must_use]
    pub fn any(&self) -> bool {
        self.iter().next().is_some()
    }

    /// How many the daemon must not end for.
    #[must_use]
    pub fn needing(&self) -> usize {
        let needing = self.iter().filter(|(_, client)| client.needs_the_daemon());
        needing.count()
    }

    /// When the first one's time is up.
    #[must_use]
    pub fn first_expiry(&self, now: Now) -> Option<Millis> {
        self.iter()
            .filter_map(|(_, client)| client.expires(now))
            .min()
    }
}
