//! The daemons' own log lines, between the events of a traced run.

use std::fmt;

use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::{Layer, Registry};

use crate::gate::running_host;

struct Printer;

#[derive(Default)]
struct Line {
    message: String,
    fields: String,
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        use fmt::Write;
        if field.name() == "message" {
            self.message = format!("{value:?}");
        } else {
            let _ = write!(self.fields, " {}={value:?}", field.name());
        }
    }
}

impl<S: Subscriber> Layer<S> for Printer {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut line = Line::default();
        event.record(&mut line);
        let host = running_host().map_or_else(String::new, |host| format!("host {host:<3}"));
        println!("{:>12}  {host:<8}   | {}{}", "", line.message, line.fields);
    }
}

/// Runs something with the daemons' log lines printed.
pub fn printed<T>(work: impl FnOnce() -> T) -> T {
    tracing::subscriber::with_default(Registry::default().with(Printer), work)
}
