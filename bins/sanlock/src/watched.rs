//! A value that others wait for.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::sync::futures::Notified;

/// A value that others wait for. They are woken in the order in which they came, so that a simulated run
/// is the same every time; tokio's `watch` wakes them in any order.
#[derive(Debug, Default)]
pub struct Watched<T> {
    value: Mutex<T>,
    changed: Notify,
}

impl<T: Copy> Watched<T> {
    /// A value to begin with.
    pub fn new(value: T) -> Self {
        Self {
            value: Mutex::new(value),
            changed: Notify::new(),
        }
    }

    fn value(&self) -> MutexGuard<'_, T> {
        self.value.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The value now.
    pub fn get(&self) -> T {
        *self.value()
    }

    /// Changes the value and wakes everyone who waits.
    pub fn set(&self, value: T) {
        *self.value() = value;
        self.changed.notify_waiters();
    }

    /// Becomes ready at the next change after this call.
    pub fn changed(&self) -> Notified<'_> {
        self.changed.notified()
    }

    /// Waits for a value that is good.
    pub async fn until(&self, good: impl Fn(T) -> bool) -> T {
        loop {
            let changed = self.changed();
            let value = self.get();
            if good(value) {
                return value;
            }
            changed.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[tokio::test]
    async fn those_who_wait_are_woken_in_order_and_miss_nothing() {
        let watched = Arc::new(Watched::new(0));
        let order = Arc::new(Mutex::new(Vec::new()));
        let tasks: Vec<_> = (0..20)
            .map(|number| {
                let (watched, order) = (Arc::clone(&watched), Arc::clone(&order));
                tokio::spawn(async move {
                    watched.until(|value| value >= 2).await;
                    order.lock().unwrap().push(number);
                })
            })
            .collect();
        tokio::task::yield_now().await;
        watched.set(1);
        tokio::task::yield_now().await;
        watched.set(2);
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(*order.lock().unwrap(), (0..20).collect::<Vec<_>>());
        assert_eq!(watched.until(|value| value == 2).await, watched.get());
    }
}
