//! `--json`: what actions print as text, as documents with a stable shape.
//!
//! The shape is documented in sanlock(8). Every document is an object with `"format": 1`. Fields are
//! added, never renamed, removed or given another type while the number stays. Names and paths that
//! are no UTF-8 have replacement characters. What a daemon does not tell is `null`.

mod check;
mod dump;
mod leases;
mod status;

use serde::Serialize;

pub use check::Check;
pub use dump::{Dump, DumpedArea};
pub use leases::{
    Inquiry, ListedLockspace, ListedLockspaces, Place, ReadLockspace, ReadResource, Renewals,
};
pub use status::{HostStatus, LockspaceHosts, Status};

/// A document: its fields, and the number of its format.
#[derive(Debug, Serialize)]
pub struct Document<T> {
    format: u32,
    #[serde(flatten)]
    content: T,
}

/// Wraps what is to be printed.
pub fn document<T: Serialize>(content: T) -> Document<T> {
    Document { format: 1, content }
}

/// What is printed instead when there is nothing to show.
#[derive(Debug, Serialize)]
pub struct Failure {
    /// The reason.
    pub error: Reason,
}

/// Why an action failed.
#[derive(Debug, Serialize)]
pub struct Reason {
    /// sanlock's number: negative.
    pub code: i32,
    /// Its name in C, if it has one.
    pub symbol: Option<String>,
    /// One sentence.
    pub message: String,
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
fn shown(content: impl Serialize) -> String {
    serde_json::to_string(&document(content)).unwrap_or_default()
}
