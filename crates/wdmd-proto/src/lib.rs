//! What is said on `wdmd.sock`, and a client.
//!
//! wdmd keeps the host's watchdog device from firing as long as all its clients are well. A client registers a
//! name, says that wdmd may not end while it is there (refcount), and then says again and again until when it
//! is well (test_live). If it fails to say so in time, wdmd stops and the watchdog resets the host.
//!
//! Every message from client to daemon is one [`Message`] of 176 bytes. What comes back:
//!
//! | command | answer |
//! |---|---|
//! | register, refcount_set, refcount_clear, test_live | none |
//! | status | the message, with test_interval, fire_timeout and last_keepalive filled in |
//! | open_watchdog | the message, with the fire timeout in use, or 0 if it could not be set |
//! | dump_debug | text, without length or end |
//! | any other | none; the daemon goes on |
//!
//! open_watchdog came after 3.8.5: the wdmd of that release opens its device when it starts, and lets the
//! command pass without an answer. [`Client::open_watchdog`] tells the two apart.
//!
//! A message that ends early closes the connection. A connection that was closed while an expiry time was set
//! goes on counting: without its client it can only expire, and the host is reset. A client ends with a
//! test_live of 0 and a refcount_clear.
//!
//! wdmd has a single thread and sends with blocking calls: a client that asks for a dump and does not read it
//! can keep it from its work.
//!
//! The format was learnt from wdmd's public header and its library, and by talking to the daemon (3.8.5).

pub mod client;
mod error;
pub mod fuzz;
pub mod message;

pub use client::{Client, Opened};
pub use error::{ClientError, DecodeError};
pub use message::{Message, Name, Request, Status};

/// Where the daemon's socket is. No environment variable changes it.
pub const SOCKET: &str = "/run/wdmd/wdmd.sock";

/// Most bytes that a dump has.
pub const MAX_DUMP: usize = 1024 * 1024;
