//! What the hosts believe to hold, and what must never be.

use std::collections::BTreeMap;

use ondisk::Lver;
use paxos::{Member, Mode};

/// What a host believes to hold.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Hold {
    pub(crate) mode: HoldMode,
    pub(crate) lver: Lver,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum HoldMode {
    Exclusive,
    Shared,
}

impl From<Mode> for HoldMode {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Exclusive => Self::Exclusive,
            Mode::Shared => Self::Shared,
        }
    }
}

pub(crate) struct Claims {
    holds: Vec<Option<Hold>>,
    granted: BTreeMap<Lver, Member>,
    violation: Option<String>,
}

impl Claims {
    pub(crate) fn of_nobody(hosts: usize) -> Self {
        Self {
            holds: vec![None; hosts],
            granted: BTreeMap::new(),
            violation: None,
        }
    }

    pub(crate) fn hold_of(&self, host: usize) -> Option<Hold> {
        self.holds[host]
    }

    /// A host believes from now on that it holds the lease.
    pub(crate) fn acquired(&mut self, host: usize, hold: Hold) {
        for (other, theirs) in self.holds.clone().into_iter().enumerate() {
            let Some(theirs) = theirs.filter(|_| other != host) else {
                continue;
            };
            if (hold.mode, theirs.mode) != (HoldMode::Shared, HoldMode::Shared) {
                self.violate(format!(
                    "host {host} has {hold:?} while host {other} has {theirs:?}"
                ));
            }
        }
        self.holds[host] = Some(hold);
    }

    /// A host was made the owner of a version.
    pub(crate) fn granted(&mut self, us: Member, lver: Lver) {
        if let Some(before) = self.granted.insert(lver, us) {
            self.violate(format!(
                "version {lver} was acquired by {before:?} and then by {us:?}"
            ));
        }
    }

    /// A host knows from now on that it does not hold the lease, or is gone.
    pub(crate) fn released(&mut self, host: usize) {
        self.holds[host] = None;
    }

    pub(crate) fn violate(&mut self, what: String) {
        self.violation.get_or_insert(what);
    }

    /// The first thing that must not have been.
    pub(crate) fn violation(&self) -> Option<&String> {
        self.violation.as_ref()
    }
}

impl std::hash::Hash for Claims {
    fn hash<H: std::hash::Hasher>(&self, hasher: &mut H) {
        self.holds.hash(hasher);
        for (lver, member) in &self.granted {
            (lver, member.host, member.generation).hash(hasher);
        }
    }
}
