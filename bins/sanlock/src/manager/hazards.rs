//! Mistakes that can be switched on, so that the simulation can prove that it would find them.

use std::collections::BTreeSet;

/// A known mistake in the daemon: what a rewrite would most easily get wrong, or what the C program does.
///
/// Not here, as nothing can come of it alone: tying the watchdog by the first renewal, for that follows at
/// once; and forgetting that the lease once ran out, for whoever renews it after that sees it die first, and
/// the watchdog has fired by the time at which others do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum DaemonHazard {
    /// A lease's time does not count while the host is suspended.
    ExpiryStopsInSuspend,
    /// Whether the lease has run out is looked at only when a renewal ends well.
    ExpiryAfterRenewalOnly,
    /// The lease counts until others take us to be dead, not until the watchdog must be let fire.
    ExpiryTooLate,
    /// The watchdog is put off when a renewal begins, not when it is known to be on disk.
    WatchdogBeforeRenewal,
    /// The watchdog is let go when the lockspace is lost, not when its processes are gone.
    WatchdogLetGoEarly,
    /// wdmd is not told how long the host was suspended, which its clock does not count. It shows with one that does
    /// not reckon with that by itself, as the C program.
    SuspensionUntold,
    /// The host id is given back while processes still hold leases.
    GivenBackInUse,
    /// The host id is given back while leases are still written.
    GivenBackBeforeLeases,
    /// Processes that do not die count as gone.
    StuckCountsAsGone,
    /// Processes are asked to stop as long as they live, and never made to.
    GraceWithoutEnd,
    /// Leases are handed to a client though their lockspace was lost meanwhile.
    HandedOverAfterLoss,
    /// A lease that another host asks for is given back when its process is told to stop, not when it is dead.
    ReleasedBeforeDeath,
    /// A release that failed is forgotten.
    ReleaseForgotten,
    /// A resource that is being given back can be taken anew.
    TakenDuringRelease,
    /// The leases of a client that died while they were taken are forgotten.
    DeadClientForgotten,
    /// Whoever wants to share a lease joins one that is held exclusively on the same host.
    SharesExclusive,
    /// A lease becomes exclusive though another process on the same host shares it.
    ConvertedUnderReaders,
    /// A conversion to shared that fails halfway leaves its client with an exclusive lease.
    FailedConversionUndone,
    /// A host id is taken again at once after the daemon died, though its processes still run.
    RejoinedAtOnce,
    /// A lease's value is written again by the second attempt to release it.
    ValueAfterRelease,
}

impl DaemonHazard {
    /// All of them.
    pub const ALL: [Self; 20] = [
        Self::ExpiryStopsInSuspend,
        Self::ExpiryAfterRenewalOnly,
        Self::ExpiryTooLate,
        Self::WatchdogBeforeRenewal,
        Self::WatchdogLetGoEarly,
        Self::SuspensionUntold,
        Self::GivenBackInUse,
        Self::GivenBackBeforeLeases,
        Self::StuckCountsAsGone,
        Self::GraceWithoutEnd,
        Self::HandedOverAfterLoss,
        Self::ReleasedBeforeDeath,
        Self::ReleaseForgotten,
        Self::TakenDuringRelease,
        Self::DeadClientForgotten,
        Self::SharesExclusive,
        Self::ConvertedUnderReaders,
        Self::FailedConversionUndone,
        Self::RejoinedAtOnce,
        Self::ValueAfterRelease,
    ];
}

/// The mistakes that are switched on: none by default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hazards {
    /// Those of the daemon.
    pub daemon: BTreeSet<DaemonHazard>,
    /// Those of the algorithms.
    pub leases: paxos::Hazards,
}

impl Hazards {
    /// Whether this one is switched on.
    #[must_use]
    pub fn has(&self, hazard: DaemonHazard) -> bool {
        self.daemon.contains(&hazard)
    }
}
