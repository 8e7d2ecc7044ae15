//! What `tracing` hands over.

use std::fmt::{self, Write};
use std::sync::Arc;

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record as SpanRecord};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use super::hub::Hub;
use super::line::Record;
use super::prefix::Prefix;
use super::priority::Priority;

/// Turns events into lines of the [`Log`](super::Log).
///
/// An event asks for no memory and takes no lock of this crate. A span asks for some.
#[derive(Debug)]
pub struct LogLayer {
    hub: Arc<Hub>,
}

impl LogLayer {
    pub(super) fn new(hub: Arc<Hub>) -> Self {
        Self { hub }
    }
}

impl<S> Layer<S> for LogLayer
where
    S: Subscriber + for<'lookup> LookupSpan<'lookup>,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else {
            return;
        };
        // A span inherits what it does not name itself.
        let mut prefix = span
            .parent()
            .and_then(|parent| parent.extensions().get::<Prefix>().copied())
            .unwrap_or(Prefix::new());
        attributes.record(&mut prefix);
        span.extensions_mut().insert(prefix);
    }

    fn on_record(&self, id: &Id, values: &SpanRecord<'_>, context: Context<'_, S>) {
        if let Some(span) = context.span(id) {
            if let Some(prefix) = span.extensions_mut().get_mut::<Prefix>() {
                values.record(prefix);
            }
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut prefix = context
            .event_span(event)
            .and_then(|span| span.extensions().get::<Prefix>().copied())
            .unwrap_or(Prefix::new());
        event.record(&mut prefix);
        let mut record = Record::now(Priority::from(*event.metadata().level()));
        let _ = write!(record.text, "{prefix}");
        let mut message = Message {
            record: &mut record,
            empty: true,
        };
        event.record(&mut message);
        self.hub.push(record);
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::DEBUG)
    }
}

/// Writes an event's message and its other fields.
struct Message<'a> {
    record: &'a mut Record,
    empty: bool,
}

impl Message<'_> {
    fn add(&mut self, field: &Field, value: fmt::Arguments<'_>) {
        // The text takes what fits and never fails.
        let text = &mut self.record.text;
        let name = field.name();
        if Prefix::has(name) {
            return;
        }
        let _ = match (name, self.empty) {
            ("message", true) => write!(text, "{value}"),
            ("message", false) => write!(text, " {value}"),
            (_, true) => write!(text, "{name}={value}"),
            (_, false) => write!(text, " {name}={value}"),
        };
        self.empty = false;
    }
}

impl Visit for Message<'_> {
    fn record_i64(&mut self, field: &Field, value: i64) {
        if field.name() == "priority" {
            self.record.priority = Priority::nearest(value);
        } else {
            self.add(field, format_args!("{value}"));
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        if field.name() == "priority" {
            self.record.priority = Priority::nearest(i64::try_from(value).unwrap_or(i64::MAX));
        } else {
            self.add(field, format_args!("{value}"));
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, format_args!("{value}"));
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.add(field, format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, format_args!("{value:?}"));
    }
}
