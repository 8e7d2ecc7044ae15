//! What is said on `sanlock.sock`: messages, result numbers, string forms and a client.
//!
//! The protocol is what libsanlock 3.x and the sanlock daemon exchange on x86-64: C structs written to a
//! stream socket as they lie in memory, little-endian, with the C compiler's padding. Nothing here does
//! I/O except [`client`]; the daemon drives a [`Decoder`] with bytes from wherever it likes.
//!
//! | module | subject |
//! |---|---|
//! | [`header`] | the 32 bytes in front of every message |
//! | [`command`] | the command numbers and what the daemon does with each |
//! | [`flags`] | every flag of the public headers |
//! | [`body`] | lockspaces, resources, disks, hosts, events, index entries |
//! | [`state`] | the records of `status`, `host_status` and `renewal` |
//! | [`request`] | what each command carries |
//! | [`decoder`] | cutting a byte stream into requests |
//! | [`reply`] | what the daemon answers |
//! | [`numbers`] | every result number and what to do about it |
//! | [`text`] | `LOCKSPACE:RESOURCE:PATH:OFFSET` and its relatives |
//! | [`client`] | a blocking client that behaves like libsanlock |
//! | [`fuzz`] | one entry point per parser, for a fuzzer |
//!
//! Formats were learnt from sanlock's public headers and by talking to the C daemon and library
//! (3.8.5); padding is written as zeros and ignored when read.

pub mod body;
pub mod client;
pub mod command;
pub mod decoder;
mod error;
pub mod flags;
pub mod fuzz;
pub mod header;
pub mod name;
pub mod numbers;
pub mod reply;
pub mod request;
pub mod state;
pub mod text;
mod wire;

pub use body::{Disk, EventCallback, HostEntry, HostEvent, Lockspace, Options, Resource};
pub use body::{ResourceHead, Rindex, RindexEntry};
pub use client::Client;
pub use command::Command;
pub use decoder::{Decoder, Incoming, Rejection};
pub use error::{ClientError, DecodeError};
pub use header::Header;
pub use name::{DiskPath, HelperText, Name, PathFault};
pub use numbers::{describe, explain};
pub use reply::Reply;
pub use request::{Request, Target};
pub use state::{StateKind, StateRecord};

/// Largest number of resources in one acquire (`SANLK_MAX_RESOURCES`).
pub const MAX_RESOURCES: usize = 8;

/// Largest number of disks of one resource (`SANLK_MAX_DISKS`).
pub const MAX_DISKS: usize = 4;

/// Most bytes that one message is allowed to make a receiver keep (`MAX_CLIENT_MSG`).
pub const MAX_CLIENT_MSG: usize = 1024 * 1024;

/// Default directory of the socket; the environment variable [`RUN_DIR_VARIABLE`] overrides it.
pub const DEFAULT_RUN_DIR: &str = "/run/sanlock";

/// Environment variable that names another directory for the socket.
pub const RUN_DIR_VARIABLE: &str = "SANLOCK_RUN_DIR";

/// Name of the socket inside the run directory.
pub const SOCKET_NAME: &str = "sanlock.sock";
