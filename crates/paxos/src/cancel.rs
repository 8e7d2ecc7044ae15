//! Giving up on a long wait.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

/// Tells the algorithms that wait for many seconds to stop; clones share their state.
///
/// An algorithm that is cancelled ends between two disk requests and says what it leaves behind.
/// Dropping its future instead would leave that unsaid.
#[derive(Debug, Clone, Default)]
pub struct Cancel(Arc<State>);

#[derive(Debug, Default)]
struct State {
    cancelled: AtomicBool,
    /// Wakes those who wait in the order in which they came, unlike tokio's `watch`: a simulated run is
    /// the same every time.
    changed: Notify,
}

impl Cancel {
    /// Not cancelled yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Wakes everyone who waits for it, at once and for good.
    pub fn cancel(&self) {
        self.0.cancelled.store(true, Ordering::Release);
        self.0.changed.notify_waiters();
    }

    /// Whether [`Cancel::cancel`] has been called.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.cancelled.load(Ordering::Acquire)
    }

    /// Becomes ready when it is cancelled.
    pub async fn cancelled(&self) {
        let changed = self.0.changed.notified();
        if !self.is_cancelled() {
            changed.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn wakes_those_who_wait_and_those_who_come_later() {
        let cancel = Cancel::new();
        assert!(!cancel.is_cancelled());
        let waiting = cancel.clone();
        let task = tokio::spawn(async move { waiting.cancelled().await });
        tokio::task::yield_now().await;
        cancel.cancel();
        task.await.unwrap();
        cancel.cancelled().await;
        assert!(cancel.is_cancelled());
    }
}
