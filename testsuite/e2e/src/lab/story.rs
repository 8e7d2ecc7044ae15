//! What happened in a lab, and when: for the line that is printed and for the report.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// Seconds after the lab began.
pub(crate) type Seconds = f64;

/// What kind of thing an event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Kind {
    /// A heading of the scenario.
    Step,
    /// A command and how it ended.
    Command,
    /// Something was done to a host.
    Injected,
    /// Something was seen.
    Seen,
    /// A line of a log.
    Log,
}

/// One thing that happened.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Event {
    pub(crate) at: Seconds,
    pub(crate) host: Option<String>,
    pub(crate) kind: Kind,
    pub(crate) text: String,
}

/// A lease in somebody's hand.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Held {
    pub(crate) host: String,
    /// The guest, or the daemon that holds it for guests.
    pub(crate) holder: String,
    pub(crate) lease: String,
    pub(crate) from: Seconds,
    pub(crate) until: Option<Seconds>,
}

/// All of it, as it is handed from the lab to who reports.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Story {
    /// Seconds since 1970 when it began.
    pub(crate) began: f64,
    pub(crate) took: Seconds,
    pub(crate) events: Vec<Event>,
    pub(crate) held: Vec<Held>,
    /// Why it failed.
    pub(crate) fault: Option<String>,
    /// Why it could not be played.
    pub(crate) skipped: Option<String>,
    /// Times worth telling on the scenario's line.
    pub(crate) notes: Vec<String>,
}

/// Writes the story while it happens; clones write the same one.
#[derive(Clone)]
pub(crate) struct Teller {
    began: Instant,
    story: Arc<Mutex<Story>>,
}

impl Teller {
    pub(crate) fn new() -> Teller {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH);
        let story = Story {
            began: since_1970.map_or(0.0, |time| time.as_secs_f64()),
            ..Story::default()
        };
        Teller {
            began: Instant::now(),
            story: Arc::new(Mutex::new(story)),
        }
    }

    /// Now.
    pub(crate) fn now(&self) -> Seconds {
        self.began.elapsed().as_secs_f64()
    }

    pub(crate) fn at(&self, when: Instant) -> Seconds {
        when.saturating_duration_since(self.began).as_secs_f64()
    }

    /// Something happens now.
    pub(crate) fn tell(&self, kind: Kind, host: Option<&str>, text: impl Into<String>) {
        self.tell_at(self.now(), kind, host, text);
    }

    pub(crate) fn tell_at(
        &self,
        at: Seconds,
        kind: Kind,
        host: Option<&str>,
        text: impl Into<String>,
    ) {
        self.story().events.push(Event {
            at,
            host: host.map(str::to_owned),
            kind,
            text: text.into(),
        });
    }

    /// Something to be said on the scenario's line.
    pub(crate) fn note(&self, text: impl Into<String>) {
        self.story().notes.push(text.into());
    }

    /// Who holds what on a host at this moment, as pairs of holder and lease.
    pub(crate) fn holdings(&self, host: &str, now: &[(String, String)]) {
        let at = self.now();
        let mut story = self.story();
        for held in &mut story.held {
            let is_now = now
                .iter()
                .any(|(holder, lease)| *holder == held.holder && *lease == held.lease);
            if held.host == host && held.until.is_none() && !is_now {
                held.until = Some(at);
            }
        }
        for (holder, lease) in now {
            let known = story.held.iter().any(|held| {
                held.host == host
                    && held.until.is_none()
                    && held.holder == *holder
                    && held.lease == *lease
            });
            if !known {
                story.held.push(Held {
                    host: host.to_owned(),
                    holder: holder.clone(),
                    lease: lease.clone(),
                    from: at,
                    until: None,
                });
            }
        }
    }

    /// The story so far.
    pub(crate) fn finish(&self) -> Story {
        let mut story = self.story().clone();
        story.took = self.now();
        story
            .events
            .sort_by(|one, other| one.at.total_cmp(&other.at));
        story
    }

    fn story(&self) -> MutexGuard<'_, Story> {
        self.story.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
