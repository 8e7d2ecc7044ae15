//! Moments of a run at which faults may begin: when what a host was about has got just so far.

use tokio::sync::oneshot;

use crate::trace::{Event, Landing};

/// Something that happens on a host again and again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// It has joined the lockspace.
    Joins,
    /// It looks whether the owner of a lease, with this host id, lives.
    LooksAt(u64),
    /// Its host id's lease was written anew.
    Renews,
    /// It has begun a ballot: its dblock was written for the first time.
    Begins,
    /// It has proposed a value in a ballot, or said again that it has.
    Proposes,
    /// It has written a lease's leader.
    Decides,
}

impl Moment {
    /// What has come with an event.
    fn of(event: &Event) -> Option<Self> {
        match event {
            Event::Joined(..) => Some(Self::Joins),
            Event::LooksAt(host_id) => Some(Self::LooksAt(*host_id)),
            Event::Landed(Landing::HostId(_, _, timestamp)) if *timestamp != 0 => {
                Some(Self::Renews)
            }
            Event::Landed(Landing::Dblock { mbal, bal, .. }) if *mbal != 0 => Some(if bal < mbal {
                Self::Begins
            } else {
                Self::Proposes
            }),
            Event::Landed(Landing::Leader { .. }) => Some(Self::Decides),
            _ => None,
        }
    }
}

/// Those who wait for moments.
#[derive(Debug, Default)]
pub struct Moments(Vec<(u32, Moment, oneshot::Sender<()>)>);

impl Moments {
    /// Waits for the next such moment of this host, by its number.
    pub fn next(&mut self, host: u32, moment: Moment) -> oneshot::Receiver<()> {
        let (comes, coming) = oneshot::channel();
        self.0.push((host, moment, comes));
        coming
    }

    /// Something has happened on a host.
    pub fn happened(&mut self, host: u32, event: &Event) {
        let Some(moment) = Moment::of(event).filter(|_| !self.0.is_empty()) else {
            return;
        };
        let (come, others): (Vec<_>, Vec<_>) = std::mem::take(&mut self.0)
            .into_iter()
            .partition(|(of, one, _)| (*of, *one) == (host, moment));
        self.0 = others;
        for (_, _, comes) in come {
            // Who waited may be gone.
            let _ = comes.send(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_waits_for_its_own() {
        let mut moments = Moments::default();
        let mut renews = moments.next(1, Moment::Renews);
        let mut joins = moments.next(1, Moment::Joins);
        let mut other = moments.next(2, Moment::Renews);
        moments.happened(1, &Event::Landed(Landing::HostId(1, 1, 0)));
        assert!(renews.try_recv().is_err(), "it was given back");
        moments.happened(1, &Event::Landed(Landing::HostId(1, 1, 70)));
        assert!(
            renews.try_recv().is_ok() && joins.try_recv().is_err() && other.try_recv().is_err()
        );
        moments.happened(1, &Event::Joined(1, 1));
        assert!(joins.try_recv().is_ok());
    }
}
