//! Mistakes that can be switched on, so that a test suite can prove that it would find them.

use std::collections::BTreeSet;

/// A known mistake in a lease algorithm. Most stand in the C program, where anchors of this list come
/// from; the others are what a rewrite would most easily get wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Hazard {
    /// The owner's io timeout is taken to be our own while no scan has seen the owner.
    OwnIoTimeoutFallback,
    /// The wait for a silent owner counts from before its lease was read, not from after.
    SilenceFromBeforeRead,
    /// A host is taken to be dead when its renewals fail, without the time its watchdog needs.
    HostDeadTooShort,
    /// Phase 2 of a ballot ends with its write.
    SkipPhase2Read,
    /// Larger ballot numbers of other hosts do not end a ballot.
    IgnoreLargerMbal,
    /// Larger lease versions of other hosts do not end a ballot.
    IgnoreLargerLver,
    /// A value that another host has proposed is not taken over.
    IgnoreOthersProposal,
    /// A new ballot forgets what we accepted in an earlier one for the same lease version.
    ForgetOwnProposal,
    /// The leader that each ballot reads is not looked at.
    IgnoreLeaderInBallot,
    /// The hosts that the first look at a lease has left out are left out of the first ballot as well.
    UnseenLeftOut,
    /// The first look at a lease passes over our own dblock.
    FirstLookForgetsUs,
    /// A ballot won by an older generation of our own host id counts as ours.
    IgnoreOwnGeneration,
    /// An owner that is us counts as this acquire's success whenever it was proposed.
    AcceptOldProposal,
    /// A release clears the leader even if another host wrote it.
    ReleaseClearsOthersLeader,
    /// A release frees the leader on a disk that could not be read, and may be free and another's already.
    FreedUnread,
    /// A released lease is freed in the leader only; the dblock does not say so.
    ReleaseWithoutDblock,
    /// A failed acquire leaves everything as it is.
    NoRetract,
    /// A failed acquire wipes its dblock, with the value that others may have taken over from it.
    WipeOnRetract,
    /// A write that timed out is forgotten; the next one may overtake it.
    LateWriteForgotten,
    /// A lease is initialised with one write that makes it valid from its first sector on.
    TornInit,
    /// Another host's shared hold is cleared without a last look at host and hold.
    StaleClearShared,
    /// Shared holds of other hosts do not hinder an exclusive owner.
    IgnoreShared,
    /// A ballot during a conversion overwrites our own shared hold.
    ConvertDropsShared,
    /// A renewal in the second of the last one writes the same timestamp.
    RenewedUnseen,
    /// A renewal counts from its answer.
    ExpiryFromAnswer,
    /// The second wait of taking a host id is left out.
    SkipShortDelay,
    /// The first wait of taking a host id from another host is left out.
    SkipLargeDelay,
    /// A host id is taken with the generation that it had before.
    GenerationKept,
    /// A renewal does not look at who owns the host id.
    RenewBlindly,
    /// An acquire goes on although our own host id has expired.
    AcquireAfterExpiry,
}

impl Hazard {
    /// All of them.
    pub const ALL: [Self; 30] = [
        Self::OwnIoTimeoutFallback,
        Self::SilenceFromBeforeRead,
        Self::HostDeadTooShort,
        Self::SkipPhase2Read,
        Self::IgnoreLargerMbal,
        Self::IgnoreLargerLver,
        Self::IgnoreOthersProposal,
        Self::ForgetOwnProposal,
        Self::IgnoreLeaderInBallot,
        Self::UnseenLeftOut,
        Self::FirstLookForgetsUs,
        Self::IgnoreOwnGeneration,
        Self::AcceptOldProposal,
        Self::ReleaseClearsOthersLeader,
        Self::FreedUnread,
        Self::ReleaseWithoutDblock,
        Self::NoRetract,
        Self::WipeOnRetract,
        Self::LateWriteForgotten,
        Self::TornInit,
        Self::StaleClearShared,
        Self::IgnoreShared,
        Self::ConvertDropsShared,
        Self::RenewedUnseen,
        Self::ExpiryFromAnswer,
        Self::SkipShortDelay,
        Self::SkipLargeDelay,
        Self::GenerationKept,
        Self::RenewBlindly,
        Self::AcquireAfterExpiry,
    ];
}

/// The mistakes that are switched on: none by default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hazards(BTreeSet<Hazard>);

impl Hazards {
    /// Whether this one is switched on.
    #[must_use]
    pub fn has(&self, hazard: Hazard) -> bool {
        self.0.contains(&hazard)
    }
}

impl FromIterator<Hazard> for Hazards {
    fn from_iter<T: IntoIterator<Item = Hazard>>(hazards: T) -> Self {
        Self(hazards.into_iter().collect())
    }
}
