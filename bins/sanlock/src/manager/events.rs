//! Host events: small messages that one host's clients send to another's through delta leases.

use ondisk::{Generation, HostId};
use tokio::sync::mpsc;

/// The most connections that can hear of a lockspace's events.
pub(super) const MAX_LISTENERS: usize = 32;

/// Events that a slow listener may be behind before it is dropped.
const LISTENER_BACKLOG: usize = 64;

/// What a host tells another: two numbers whose meaning is the clients' own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HostEvent {
    /// The host it is for.
    pub host_id: HostId,
    /// That host's generation, or zero.
    pub generation: Generation,
    /// The event, never zero.
    pub event: u64,
    /// Data that goes with it.
    pub data: u64,
}

/// An event as it is passed on to listeners.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReceivedEvent {
    /// The event.
    pub event: HostEvent,
    /// Who sent it.
    pub from_host: HostId,
    /// The sender's generation.
    pub from_generation: Generation,
}

/// The connections that hear of a lockspace's events.
#[derive(Debug, Default)]
pub struct EventListeners {
    senders: Vec<mpsc::Sender<ReceivedEvent>>,
}

impl EventListeners {
    /// Adds a listener; `None` when there are too many.
    pub fn add(&mut self) -> Option<mpsc::Receiver<ReceivedEvent>> {
        self.drop_closed();
        if self.senders.len() >= MAX_LISTENERS {
            return None;
        }
        let (sender, receiver) = mpsc::channel(LISTENER_BACKLOG);
        self.senders.push(sender);
        Some(receiver)
    }

    /// Forgets listeners that are gone.
    pub fn drop_closed(&mut self) {
        self.senders.retain(|sender| !sender.is_closed());
    }

    /// Passes an event on; listeners that do not keep up are dropped. Returns how many got it.
    pub fn send(&mut self, event: ReceivedEvent) -> usize {
        self.senders.retain(|sender| sender.try_send(event).is_ok());
        self.senders.len()
    }

    /// Ends all listeners' connections.
    pub fn close(&mut self) {
        self.senders.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(number: u64) -> ReceivedEvent {
        ReceivedEvent {
            event: HostEvent {
                event: number,
                ..HostEvent::default()
            },
            from_host: HostId(2),
            from_generation: Generation(1),
        }
    }

    #[test]
    fn listeners_are_bounded_and_slow_ones_dropped() {
        let mut listeners = EventListeners::default();
        let mut receivers: Vec<_> = (0..MAX_LISTENERS).filter_map(|_| listeners.add()).collect();
        assert_eq!(receivers.len(), MAX_LISTENERS);
        assert!(listeners.add().is_none());
        receivers.truncate(1);
        assert_eq!(listeners.send(event(1)), 1);
        assert!(
            listeners
                .add()
                .is_some_and(|mut one| one.try_recv().is_err())
        );
        assert_eq!(
            receivers.first_mut().and_then(|one| one.try_recv().ok()),
            Some(event(1))
        );
        for number in 0..=LISTENER_BACKLOG as u64 {
            listeners.send(event(number));
        }
        assert_eq!(
            listeners.send(event(0)),
            0,
            "the one that never reads is gone"
        );
    }
}
