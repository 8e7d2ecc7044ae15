//! Mistakes that can be switched on, so that the simulation can prove that it would find them.

/// A known mistake in the watchdog multiplexer: what a rewrite would most easily get wrong, or what the C program
/// does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Hazard {
    /// The device is closed even when a client's time is up already, though closing keeps it alive once more.
    ClosedLate,
    /// Time for which the host was suspended does not come off what clients said.
    SuspensionUncounted,
    /// What waited to be read counts as said when it is read.
    DatedWhenRead,
    /// A client that is gone is no longer watched.
    GoneClientForgotten,
    /// No other process has the device open, so that it is closed when wdmd dies.
    NoKeeper,
}

impl Hazard {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::ClosedLate,
        Self::SuspensionUncounted,
        Self::DatedWhenRead,
        Self::GoneClientForgotten,
        Self::NoKeeper,
    ];
}
