//! A subscriber of tracing that keeps what it is told.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part of this")]

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::sync::{Arc, Mutex};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{Layer, Registry};

/// A span as it was when the test asked.
#[derive(Debug, Clone, Default)]
pub struct Span {
    id: u64,
    parent: Option<u64>,
    pub name: &'static str,
    pub fields: BTreeMap<&'static str, String>,
    /// The messages of the events in it.
    pub events: Vec<String>,
    pub closed: bool,
}

impl Span {
    /// The name that OpenTelemetry shows.
    pub fn shown(&self) -> &str {
        self.fields.get("otel.name").map_or(self.name, String::as_str)
    }
}

/// The library's spans.
#[derive(Clone, Default)]
pub struct Capture(Arc<Mutex<Vec<Span>>>);

impl Capture {
    /// A capture, and a guard while which the spans of this thread go to it.
    pub fn start() -> (Self, tracing::subscriber::DefaultGuard) {
        let capture = Capture::default();
        let guard = tracing::subscriber::set_default(Registry::default().with(capture.clone()));
        (capture, guard)
    }

    pub fn spans(&self) -> Vec<Span> {
        self.0.lock().unwrap().clone()
    }

    /// The first span that is shown as this.
    pub fn span(&self, shown: &str) -> Span {
        self.spans().into_iter().find(|span| span.shown() == shown).unwrap()
    }

    /// The names of all spans, each below its parent.
    pub fn tree(&self) -> String {
        let (mut text, spans) = (String::new(), self.spans());
        branches(&spans, None, 0, &mut text);
        text
    }

    /// Everything that was recorded.
    pub fn everything(&self) -> String {
        format!("{:?}", self.spans())
    }
}

fn branches(spans: &[Span], parent: Option<u64>, depth: usize, text: &mut String) {
    for span in spans.iter().filter(|span| span.parent == parent) {
        writeln!(text, "{:1$}{2}", "", depth * 2, span.shown()).unwrap();
        branches(spans, Some(span.id), depth + 1, text);
    }
}

struct Fields<'a>(&'a mut BTreeMap<&'static str, String>);

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name(), value.to_owned());
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Capture {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        if attributes.metadata().target() != "dspy" {
            return;
        }
        let parent = context.span(id).and_then(|span| Some(span.parent()?.id().into_u64()));
        let mut span =
            Span { id: id.into_u64(), parent, name: attributes.metadata().name(), ..Span::default() };
        attributes.record(&mut Fields(&mut span.fields));
        self.0.lock().unwrap().push(span);
    }

    fn on_record(&self, id: &Id, record: &Record<'_>, _: Context<'_, S>) {
        self.change(id, |span| record.record(&mut Fields(&mut span.fields)));
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        if let Some(span) = context.event_span(event) {
            let mut fields = BTreeMap::new();
            event.record(&mut Fields(&mut fields));
            let text = fields.iter().map(|(name, value)| format!("{name}={value};")).collect();
            self.change(&span.id(), |span| span.events.push(text));
        }
    }

    fn on_close(&self, id: Id, _: Context<'_, S>) {
        self.change(&id, |span| span.closed = true);
    }
}

impl Capture {
    fn change(&self, id: &Id, change: impl FnOnce(&mut Span)) {
        // Ids are given again; the last one counts.
        let mut spans = self.0.lock().unwrap();
        if let Some(span) = spans.iter_mut().rev().find(|span| span.id == id.into_u64()) {
            change(span);
        }
    }
}
