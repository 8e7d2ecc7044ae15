//! QEMU's monitor: what it tells of the machine.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use anyhow::{Context, Result};
use serde_json::Value;

/// Watches for events.
pub(super) struct Monitor {
    reset: Arc<Mutex<Option<Instant>>>,
}

impl Monitor {
    pub(super) fn new(mut stream: UnixStream) -> Result<Monitor> {
        let events = stream.try_clone().context("cannot watch the machine")?;
        stream
            .write_all(b"{\"execute\": \"qmp_capabilities\"}\n")
            .context("cannot speak to the machine's monitor")?;
        let reset = Arc::new(Mutex::new(None));
        let found = Arc::clone(&reset);
        std::thread::spawn(move || {
            for line in BufReader::new(events).lines().map_while(Result::ok) {
                if is_reset(&line) {
                    let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
                    // There may be several for one reset.
                    found.get_or_insert_with(Instant::now);
                }
            }
            // The thread holds this end open.
            drop(stream);
        });
        Ok(Monitor { reset })
    }

    pub(super) fn reset_at(&self) -> Option<Instant> {
        *self.reset.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A machine that is told to stay off shuts down for a reset.
fn is_reset(line: &str) -> bool {
    let Ok(message) = serde_json::from_str::<Value>(line) else {
        return false;
    };
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    match text(&message["event"]).as_str() {
        "RESET" => true,
        "SHUTDOWN" => text(&message["data"]["reason"]) == "guest-reset",
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reset_is_told_from_other_ends() {
        let shutdown = |reason: &str| {
            format!(r#"{{"event": "SHUTDOWN", "data": {{"guest": true, "reason": "{reason}"}}}}"#)
        };
        assert!(is_reset(&shutdown("guest-reset")));
        assert!(!is_reset(&shutdown("guest-shutdown")));
        assert!(is_reset(r#"{"event": "RESET", "data": {"guest": true}}"#));
        assert!(!is_reset(r#"{"return": {}}"#));
        assert!(!is_reset("RESET"));
    }
}
