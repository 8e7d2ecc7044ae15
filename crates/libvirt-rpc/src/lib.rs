//! libvirt's remote procedure calls, as its lock daemon speaks them.
//!
//! | module | what |
//! |---|---|
//! | [`xdr`] | the data representation (RFC 4506) as far as libvirt uses it; [`Text`], [`List`]: with libvirt's limits |
//! | [`packet`] | length, header, payload |
//! | [`decoder`] | packets from a stream of bytes, cut anywhere |
//! | [`error`] | libvirt's error record, and the texts that belong to its codes |
//! | [`lock`] | the lock program: what is said on `virtlockd-sock` |
//! | [`admin`] | the admin program: what `virt-admin` says on `virtlockd-admin-sock` |
//! | [`holders`] | a program of our own, for `virtlockd --list` |
//! | [`remote`] | the remote program, as far as it takes to stop or pause a guest |
//! | [`keepalive`] | ping and pong |
//! | [`server`] | what a server does with a packet before it gets to a procedure |
//! | [`blocking`] | the client end on a stream that blocks |
//! | `io`, `client` | the same on tokio's streams (feature `tokio`) |
//!
//! Nothing here panics on any bytes, and no length in a packet makes it reserve memory before the bytes are
//! there. Whatever is decoded can be encoded again: a value that libvirt would not take cannot be made.
//!
//! The formats were learnt from libvirt 9.0's protocol files (`virnetprotocol.x`, `lock_protocol.x`,
//! `admin_protocol.x`, `virkeepaliveprotocol.x`,
//! `remote_protocol.x`) and by talking to Debian's virtlockd and libvirtd.

pub mod admin;
pub mod blocking;
mod call;
#[cfg(feature = "tokio")]
pub mod client;
pub mod decoder;
pub mod error;
pub mod fuzz;
pub mod holders;
#[cfg(feature = "tokio")]
pub mod io;
pub mod keepalive;
pub mod lock;
pub mod packet;
pub mod remote;
pub mod server;
mod text;
pub mod xdr;

pub use decoder::PacketDecoder;
pub use error::{ErrorCode, ErrorDomain, RemoteError};
pub use packet::{Header, MessageType, Packet, Procedure, Program, Serial, Status, Version};
pub use text::{Chars, List, Text};
