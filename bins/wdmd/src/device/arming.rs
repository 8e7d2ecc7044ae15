//! Opening a device and seeing to it that it fires when it should.

use std::fmt;
use std::io;

use super::{Close, Device, errno};

/// Why a device is not used. The wording is the original's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// It could not be opened.
    Open {
        /// Which.
        path: String,
        /// Why.
        errno: i32,
    },
    /// It does not tell its timeout.
    GetTimeout {
        /// Why.
        errno: i32,
    },
    /// It refuses the timeout.
    SetTimeout {
        /// Seconds.
        wanted: u32,
        /// Why.
        errno: i32,
    },
    /// It takes the timeout, and has another one then.
    Lies {
        /// What it has.
        found: u32,
        /// What it was told.
        wanted: u32,
    },
    /// It cannot be kept alive.
    KeepAlive {
        /// Why.
        errno: i32,
    },
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open { path, errno } => write!(f, "open {path} error {errno}"),
            Self::GetTimeout { errno } => write!(f, "open_watchdog gettimeout error {errno}"),
            Self::SetTimeout { wanted, errno } => {
                write!(f, "open_watchdog settimeout {wanted} error {errno}")
            }
            Self::Lies { found, wanted } => {
                write!(f, "open_watchdog gettimeout value {found} set {wanted}")
            }
            Self::KeepAlive { errno } => write!(f, "open_watchdog keepalive error {errno}"),
        }
    }
}

/// Opens a device, sees to it that it fires after so many seconds, and keeps it alive for the first time. If that
/// cannot be had it is closed as `otherwise` says.
///
/// # Errors
/// [`Refusal`].
pub fn arm(device: &mut dyn Device, fire_timeout: u32, otherwise: Close) -> Result<(), Refusal> {
    device.open().map_err(|error| Refusal::Open {
        path: device.path().to_owned(),
        errno: errno(&error),
    })?;
    prepare(device, fire_timeout).inspect_err(|_| {
        // Nothing more can be done about a device that cannot be closed either.
        let _ = device.close(otherwise);
    })
}

fn prepare(device: &mut dyn Device, fire_timeout: u32) -> Result<(), Refusal> {
    let unknown = |error: io::Error| Refusal::GetTimeout {
        errno: errno(&error),
    };
    if device.timeout().map_err(unknown)? != fire_timeout {
        device
            .set_timeout(fire_timeout)
            .map_err(|error| Refusal::SetTimeout {
                wanted: fire_timeout,
                errno: errno(&error),
            })?;
        let found = device.timeout().map_err(unknown)?;
        if found != fire_timeout {
            return Err(Refusal::Lies {
                found,
                wanted: fire_timeout,
            });
        }
    }
    device.keep_alive().map_err(|error| Refusal::KeepAlive {
        errno: errno(&error),
    })
}
