//! Ending the daemon.

use tracing::debug;

use super::{Code, Manager, errno};

/// Whether, and how, the daemon is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shutdown {
    /// Not at all.
    No,
    /// Now, as there is no lockspace.
    Idle,
    /// After stopping all processes and leaving all lockspaces.
    Forced,
}

impl Manager {
    /// Ends the daemon if it is in no lockspace; `force` leaves them all first, stopping the
    /// processes that use them.
    ///
    /// # Errors
    /// -16 in a lockspace, without force.
    pub fn shut_down(&self, force: bool) -> Result<(), Code> {
        if force {
            self.shutdown.set(Shutdown::Forced);
            return Ok(());
        }
        // No lockspace can come between the look and the word: joining looks at both under the lock.
        let state = self.state();
        if !state.spaces.is_empty() {
            debug!("not ending: a lockspace exists");
            return Err(errno::BUSY);
        }
        if !self.is_shutting_down() {
            self.shutdown.set(Shutdown::Idle);
        }
        Ok(())
    }

    /// Whether the daemon is ending.
    pub fn is_shutting_down(&self) -> bool {
        self.shutdown.get() != Shutdown::No
    }

    /// Waits until the daemon is to end, and all lockspaces are left.
    pub async fn until_ended(&self) {
        self.shutdown
            .until(|shutdown| shutdown != Shutdown::No)
            .await;
        loop {
            let changed = self.clients_changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if self.state().spaces.is_empty() {
                return;
            }
            changed.await;
        }
    }
}
