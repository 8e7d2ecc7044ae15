//! What goes wrong with a simulated host's requests, and how often.

use std::ops::Range;
use std::time::Duration;

/// What happens to the requests of one host, or of one host on one path.
///
/// It is looked up when a request is sent, so a change concerns later requests only.
#[derive(Debug, Clone, PartialEq)]
pub struct Faults {
    /// What happens to reads.
    pub read: RequestFaults,
    /// What happens to writes.
    pub write: RequestFaults,
    /// What happens to opens.
    pub open: RequestFaults,
    /// How long after a crash of the host a write that was under way may still land. Each sector range
    /// of it lands within this time or never.
    pub lands_after_crash: Duration,
}

impl Faults {
    /// Nothing goes wrong: every request takes between 0.1 and 1 ms.
    #[must_use]
    pub fn none() -> Self {
        Self {
            read: RequestFaults::none(),
            write: RequestFaults::none(),
            open: RequestFaults::none(),
            lands_after_crash: Duration::from_secs(1),
        }
    }

    /// Every request hangs, as when the path to the storage is gone.
    #[must_use]
    pub fn hang() -> Self {
        let hang = RequestFaults {
            hang: 1.0,
            ..RequestFaults::none()
        };
        Self {
            read: hang.clone(),
            write: hang.clone(),
            open: hang,
            ..Self::none()
        }
    }

    /// Every request fails with `EIO` and does nothing.
    #[must_use]
    pub fn error() -> Self {
        let error = RequestFaults {
            error: 1.0,
            ..RequestFaults::none()
        };
        Self {
            read: error.clone(),
            write: error.clone(),
            open: error,
            ..Self::none()
        }
    }

    /// The same latency for reads, writes and opens.
    #[must_use]
    pub fn with_latency(mut self, latency: Range<Duration>) -> Self {
        self.read.latency = latency.clone();
        self.write.latency = latency.clone();
        self.open.latency = latency;
        self
    }
}

impl Default for Faults {
    fn default() -> Self {
        Self::none()
    }
}

/// What happens to the requests of one kind. Probabilities are between 0 (never) and 1 (always).
///
/// Concurrent requests overtake each other whenever their latencies say so.
#[derive(Debug, Clone, PartialEq)]
pub struct RequestFaults {
    /// From sending to the answer. What it reads or writes happens at some moment in between.
    pub latency: Range<Duration>,
    /// It does nothing and gets no answer until the host's hung requests are released
    /// ([`super::SimStorage::release_hung`]); then it goes on as a late one would.
    pub hang: f64,
    /// It happens and is answered later, by [`RequestFaults::late_by`]: after its caller timed out, if
    /// that is long enough.
    pub late: f64,
    /// By how much late ones are late.
    pub late_by: Range<Duration>,
    /// It does nothing and is answered with `EIO`.
    pub error: f64,
    /// It happens and is nevertheless answered with `EIO`.
    pub lost_reply: f64,
    /// Its sectors are read or written at different moments, in any order. A single sector is always
    /// atomic; without this a larger request is as well.
    pub torn: f64,
    /// Writes only: some of its sectors are written, others never, and it is answered with `EIO`.
    pub partial: f64,
}

impl RequestFaults {
    /// Nothing goes wrong: it takes between 0.1 and 1 ms.
    #[must_use]
    pub fn none() -> Self {
        Self {
            latency: Duration::from_micros(100)..Duration::from_millis(1),
            hang: 0.0,
            late: 0.0,
            late_by: Duration::ZERO..Duration::ZERO,
            error: 0.0,
            lost_reply: 0.0,
            torn: 0.0,
            partial: 0.0,
        }
    }
}

impl Default for RequestFaults {
    fn default() -> Self {
        Self::none()
    }
}

/// How many requests of a host were sent and what was done to them: a run that was to meet a fault
/// should be able to prove that it did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Reads sent.
    pub reads: u64,
    /// Bytes asked for by reads.
    pub bytes_read: u64,
    /// Writes sent.
    pub writes: u64,
    /// Bytes asked for by writes.
    pub bytes_written: u64,
    /// Opens sent.
    pub opens: u64,
    /// Requests that hung.
    pub hung: u64,
    /// Requests made late.
    pub late: u64,
    /// Requests that failed and did nothing.
    pub errors: u64,
    /// Requests that were done but answered with an error.
    pub lost_replies: u64,
    /// Requests whose sectors were handled at different moments.
    pub torn: u64,
    /// Writes that failed with only some of their sectors written.
    pub partial: u64,
    /// Requests whose callers stopped waiting before the answer.
    pub abandoned: u64,
    /// Writes that landed, at least in part, after their callers stopped waiting.
    pub landed_after_abandon: u64,
    /// Writes that landed, at least in part, after their host crashed.
    pub landed_after_crash: u64,
    /// Writes of which a crash swallowed at least a part.
    pub lost_in_crash: u64,
    /// Requests refused because too many were stuck.
    pub refused: u64,
}
