//! What matters of a domain's XML.

use std::fmt::{self, Write as _};
use std::io::Read;
use std::path::{Path, PathBuf};

use config::{Diagnostic, Severity};

use crate::builder::Builder;
use crate::document::{self, Fault, MAX_DOCUMENT};
use crate::{Host, Refusal, Volume};

/// A domain.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Domain {
    /// `<name>`.
    pub name: String,
    /// `<uuid>`, as it is written.
    pub uuid: Option<String>,
    /// `<disk>` elements in libvirt's order: by bus, and on a bus by target.
    pub disks: Vec<Disk>,
    /// `<lease>` elements in the document's order.
    pub leases: Vec<DomainLease>,
    /// `<on_lockfailure>`.
    pub on_lock_failure: OnLockFailure,
}

/// A `<disk>`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Disk {
    /// What it is the disk of.
    pub source: Source,
    /// `<target dev=…>`.
    pub target: Option<String>,
    /// `<target bus=…>`.
    pub bus: Option<String>,
    /// The guest does not write to it: `<readonly/>`, and all CD-ROMs.
    pub readonly: bool,
    /// `<shareable/>`: other guests write to it too.
    pub shareable: bool,
}

/// Where a disk's content is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Source {
    /// No medium.
    #[default]
    Empty,
    /// A file, a directory or a block device.
    Local(String),
    /// A volume of a storage pool of libvirt.
    Volume {
        /// The pool.
        pool: String,
        /// The volume in it.
        volume: String,
    },
    /// On the network, an NVMe controller or another process: nothing that libvirt locks.
    Remote,
}

/// A `<lease>`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DomainLease {
    /// `<key>`.
    pub key: String,
    /// `<lockspace>`.
    pub lockspace: String,
    /// `<target path=…>`.
    pub path: String,
    /// `<target offset=…>`.
    pub offset: u64,
}

/// What is done with a guest that loses its leases.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OnLockFailure {
    /// What the lock manager does by itself.
    #[default]
    Default,
    /// It is powered off.
    Poweroff,
    /// It is powered off and started again.
    Restart,
    /// It is paused.
    Pause,
    /// Nothing.
    Ignore,
}

impl OnLockFailure {
    pub(crate) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "default" => Self::Default,
            "poweroff" => Self::Poweroff,
            "restart" => Self::Restart,
            "pause" => Self::Pause,
            "ignore" => Self::Ignore,
            _ => return None,
        })
    }
}

impl fmt::Display for OnLockFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Default => "default",
            Self::Poweroff => "poweroff",
            Self::Restart => "restart",
            Self::Pause => "pause",
            Self::Ignore => "ignore",
        })
    }
}

/// Why there is no domain.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It cannot be opened or read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is longer than [`MAX_DOCUMENT`].
    #[error("{} is longer than {MAX_DOCUMENT} bytes and was not read", path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
    },
    /// It is no XML of a domain.
    #[error(transparent)]
    Wrong(#[from] Box<Diagnostic>),
}

impl Domain {
    /// Reads the file at `path`.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn load(path: &Path) -> Result<Self, ReadError> {
        let file = std::fs::File::open(path).map_err(|source| ReadError::Read {
            path: path.to_owned(),
            source,
        })?;
        Self::read(path, file)
    }

    /// Reads from `input`, which messages call `name`.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn read(name: &Path, input: impl Read) -> Result<Self, ReadError> {
        let mut bytes = Vec::new();
        let path = name.to_owned();
        let read = input.take(MAX_DOCUMENT + 1).read_to_end(&mut bytes);
        match read {
            Err(source) => Err(ReadError::Read { path, source }),
            Ok(length) if length as u64 > MAX_DOCUMENT => Err(ReadError::TooLong { path }),
            Ok(_) => Ok(Self::parse(name, &bytes)?),
        }
    }

    /// Reads a document, which messages call `name`.
    ///
    /// # Errors
    /// The first thing in it that is wrong.
    pub fn parse(name: &Path, bytes: &[u8]) -> Result<Self, Box<Diagnostic>> {
        let told = |text: &[u8], fault: Fault| {
            let Fault {
                place,
                message,
                help,
            } = fault;
            Box::new(Diagnostic::at(
                Severity::Error,
                name,
                text,
                place,
                message,
                help,
            ))
        };
        let text = document::text(bytes).map_err(|fault| told(bytes, fault))?;
        Builder::read(&text).map_err(|fault| told(text.as_bytes(), fault))
    }
}

/// A disk that libvirt asks its lock driver to lock, if it is not read-only.
pub(crate) struct Image {
    pub(crate) path: String,
    pub(crate) readonly: bool,
    pub(crate) shared: bool,
}

impl Disk {
    /// None for what libvirt does not tell its lock driver of.
    pub(crate) fn image(&self, host: &impl Host) -> Option<Result<Image, Refusal>> {
        let path = match &self.source {
            Source::Empty | Source::Remote => return None,
            Source::Local(path) => path.clone(),
            Source::Volume { pool, volume } => match host.volume(pool, volume) {
                Some(Volume::Local(path)) => path,
                Some(Volume::Remote) => return None,
                None => {
                    return Some(Err(Refusal::Volume {
                        pool: pool.clone(),
                        volume: volume.clone(),
                    }));
                }
            },
        };
        Some(Ok(Image {
            path,
            readonly: self.readonly,
            shared: self.shareable,
        }))
    }

    /// Which disk of its bus it is, from the last letters of its target.
    pub(crate) fn index(&self) -> Option<u64> {
        const PREFIXES: [&str; 6] = ["fd", "hd", "vd", "sd", "xvd", "ubd"];
        let target = self.target.as_deref()?;
        let rest = PREFIXES
            .iter()
            .find_map(|prefix| target.strip_prefix(prefix))?;
        let digits = rest.trim_start_matches(|char: char| char.is_ascii_lowercase());
        let letters = rest.get(..rest.len() - digits.len())?;
        if letters.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        letters.bytes().try_fold(0_u64, |index, letter| {
            let digit = u64::from(letter - b'a') + 1;
            index.checked_mul(26)?.checked_add(digit)
        })
    }
}

pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
