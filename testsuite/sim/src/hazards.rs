//! The mistakes that can be switched on, by name: those of the algorithms, of the lease daemon and of wdmd.

use std::collections::BTreeSet;

use paxos::Hazard;
use sanlock::manager::DaemonHazard;
use wdmd::watchdog::Hazard as WdmdHazard;

use crate::theme::Theme;

/// The mistakes that are switched on: none by default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hazards {
    /// Those of the lease daemon and of its algorithms.
    pub sanlock: sanlock::manager::Hazards,
    /// Those of wdmd.
    pub wdmd: BTreeSet<WdmdHazard>,
}

/// Mistakes that nothing can come of alone, as each hides the other, and which are looked for together.
///
/// * A larger version in somebody's dblock and a leader that has changed tell a ballot the same.
/// * What we accepted in an earlier ballot stands in the dblock of who proposed it as well, unless that one
///   wipes it.
const TOGETHER: [&[Hazard]; 2] = [
    &[Hazard::IgnoreLargerLver, Hazard::IgnoreLeaderInBallot],
    &[
        Hazard::ForgetOwnProposal,
        Hazard::WipeOnRetract,
        Hazard::IgnoreLeaderInBallot,
    ],
];

/// Mistakes that show when something goes wrong just at the right moment, and seldom otherwise: they are looked for in
/// the seeds that are about that, of the same thousands as all others.
const MOMENTARY: [Hazard; 6] = [
    Hazard::OwnIoTimeoutFallback,
    Hazard::SilenceFromBeforeRead,
    Hazard::RenewBlindly,
    Hazard::AcquireAfterExpiry,
    Hazard::RenewedUnseen,
    Hazard::FreedUnread,
];

/// Those of them that show too seldom to be counted on: `--hazard NAME` looks for one.
///
/// * The first takes a host that renews for the last time while one that has just joined, and has not seen it yet,
///   reads its host id's lease.
/// * The second takes two attempts to release a lease on several disks, and two writes that hang together.
/// * The last takes an acquire that fails after one that had failed, and a host that writes down the first one's
///   proposal; the explorer of `paxos` finds it.
const SELDOM: [Hazard; 3] = [
    Hazard::SilenceFromBeforeRead,
    Hazard::FreedUnread,
    Hazard::FirstLookForgetsUs,
];

/// The names of all that are to be found: of one mistake, or of several with a `+` between them.
#[must_use]
pub fn names() -> Vec<String> {
    let alone = Hazard::ALL
        .iter()
        .filter(|hazard| !SELDOM.contains(hazard))
        .filter(|hazard| !TOGETHER.iter().any(|together| together.contains(hazard)))
        .map(|hazard| format!("{hazard:?}"));
    let together = TOGETHER.iter().map(|together| {
        let names: Vec<_> = together
            .iter()
            .map(|hazard| format!("{hazard:?}"))
            .collect();
        names.join("+")
    });
    let daemon = DaemonHazard::ALL.iter().map(|hazard| format!("{hazard:?}"));
    let wdmd = WdmdHazard::ALL.iter().map(|hazard| format!("{hazard:?}"));
    alone.chain(together).chain(daemon).chain(wdmd).collect()
}

impl Hazards {
    /// What the seeds are about in which these mistakes are looked for; `None` for all seeds.
    #[must_use]
    pub fn theme(&self) -> Option<Theme> {
        if MOMENTARY.iter().any(|one| self.sanlock.leases.has(*one)) {
            return Some(Theme::Moments);
        }
        let keeper = self.wdmd.contains(&WdmdHazard::NoKeeper);
        keeper.then_some(Theme::Watched)
    }
}

/// Those of these names, switched on, if there are such.
#[must_use]
pub fn by_name(names: &str) -> Option<Hazards> {
    let mut hazards = Hazards::default();
    let mut leases = Vec::new();
    for name in names.split('+') {
        let lease = Hazard::ALL
            .into_iter()
            .find(|one| format!("{one:?}") == name);
        let daemon = DaemonHazard::ALL
            .into_iter()
            .find(|one| format!("{one:?}") == name);
        let wdmd = WdmdHazard::ALL
            .into_iter()
            .find(|one| format!("{one:?}") == name);
        if lease.is_none() && daemon.is_none() && wdmd.is_none() {
            return None;
        }
        leases.extend(lease);
        hazards.sanlock.daemon.extend(daemon);
        hazards.wdmd.extend(wdmd);
    }
    hazards.sanlock.leases = leases.into_iter().collect();
    Some(hazards)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_a_name_of_its_own() {
        let names = names();
        assert!(names.iter().all(|name| by_name(name).is_some()));
        let different: std::collections::BTreeSet<_> = names.iter().collect();
        assert_eq!(different.len(), names.len());
        assert_eq!(by_name("None"), None);
    }
}
