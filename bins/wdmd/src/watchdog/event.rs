//! What happens to the watchdog, and what it has done.

use wdmd_proto::{Message, Request, Status};

use super::clients::Slot;
use super::entry::Entry;
use super::scripts::ScriptEnd;
use super::time::Suspended;

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// All that has happened was told, so that it can be decided; at the latest when the time has come that
    /// [`Watchdog::wakes`](super::Watchdog::wakes) named.
    Tick,
    /// A client connected; its place is one that was free.
    Connected {
        /// Its place.
        slot: Slot,
        /// Its process.
        pid: i32,
        /// Its descriptor, for logs.
        descriptor: i32,
    },
    /// A client asks for something.
    Asked {
        /// Who.
        slot: Slot,
        /// What, as it came: answers repeat it.
        message: Message,
        /// How long the host had been suspended when it was sent, as far as that is certain. A message may have
        /// waited while the host was suspended; nothing tells when it was sent, so this is from when the
        /// connection was last seen empty.
        said: Suspended,
    },
    /// A connection ended.
    Closed(Slot),
    /// The device was opened, checked and kept alive, or could not be.
    Opened(bool),
    /// The device was kept alive, or failed with this error number.
    KeptAlive(Result<(), i32>),
    /// The device was closed and does not fire, or does by this error number.
    Disarmed(Result<(), i32>),
    /// There is a script of this name.
    ScriptFound(String),
    /// A script runs.
    ScriptStarted {
        /// Its place.
        index: usize,
        /// Its process.
        pid: i32,
    },
    /// A script cannot be run, by this number.
    ScriptRefused {
        /// Its place.
        index: usize,
        /// Negative.
        result: i32,
    },
    /// A script ended.
    ScriptEnded {
        /// Its place.
        index: usize,
        /// How.
        end: ScriptEnd,
    },
    /// The process that runs the scripts ended.
    ScriptsLost,
    /// The daemon is asked to end.
    Terminate,
    /// The daemon is asked to look for new scripts.
    Reload,
}

/// Something to do, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Open the device and see to this timeout; answered by [`Event::Opened`].
    Open {
        /// Seconds.
        fire_timeout: u32,
        /// It is armed already: if it fails, it must not be disarmed.
        again: bool,
    },
    /// Keep the device alive; answered by [`Event::KeptAlive`].
    KeepAlive,
    /// Close the device so that it does not fire; answered by [`Event::Disarmed`].
    Disarm,
    /// Close the device so that it fires.
    LeaveArmed,
    /// Send a message to a client.
    Answer {
        /// To whom.
        slot: Slot,
        /// What.
        message: Message,
    },
    /// Send a dump to a client.
    Dump {
        /// To whom.
        slot: Slot,
        /// Also what the original has no lines for.
        details: bool,
    },
    /// Look for scripts.
    ScanScripts,
    /// Run a script; answered by [`Event::ScriptStarted`] or [`Event::ScriptRefused`], then by
    /// [`Event::ScriptEnded`].
    RunScript(usize),
    /// Kill a script that runs.
    KillScript(usize),
    /// Say in the logs who is about to have the host reset.
    LastWords {
        /// Seconds that are left.
        remaining: i64,
        /// The client whose time is up, unless it is a script.
        slot: Option<Slot>,
    },
    /// Write a line to the log.
    Log(Entry),
    /// The daemon has ended; `armed` if the device fires.
    End {
        /// Whether it does.
        armed: bool,
    },
}

/// The bit of a dump request's flags that asks for the lines that the original does not have. The original
/// ignores flags.
pub const DETAILS: u32 = 1;

pub(crate) fn status_answer(asked: &Message, status: Status) -> Message {
    asked.with_status(status)
}

pub(crate) fn request_of(message: &Message) -> Result<Request, u32> {
    Request::try_from(message).map_err(|_| message.command)
}
