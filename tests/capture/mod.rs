//! A subscriber of tracing that keeps what it is told, for each test apart.
//!
//! It is the only one of the process and is never taken away: subscribers that come and go with threads race, because
//! tracing remembers for all of them what the first one wanted of a callsite.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part of this")]

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::sync::{Arc, Mutex, Once};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::{Interest, set_global_default};
use tracing::{Event, Metadata, Subscriber};
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

thread_local! {
    /// Where the spans go that begin on this thread and have no parent.
    static CURRENT: RefCell<Option<Capture>> = const { RefCell::new(None) };
}

/// The library's spans of one test.
#[derive(Clone, Default)]
pub struct Capture {
    spans: Arc<Mutex<Vec<Span>>>,
    /// The names of those that are wanted, if not all are.
    only: Option<&'static [&'static str]>,
}

/// Ends a capture when it is dropped.
pub struct Guard(Option<Capture>);

impl Drop for Guard {
    fn drop(&mut self) {
        CURRENT.set(self.0.take());
    }
}

impl Capture {
    /// A capture, and a guard while which the spans of this thread go to it.
    pub fn start() -> (Self, Guard) {
        Capture::default().started()
    }

    /// A capture by a subscriber that wants the spans of these names alone.
    pub fn only(names: &'static [&'static str]) -> (Self, Guard) {
        Capture { only: Some(names), ..Capture::default() }.started()
    }

    fn started(self) -> (Self, Guard) {
        static INSTALLED: Once = Once::new();
        INSTALLED.call_once(|| set_global_default(Registry::default().with(Router)).unwrap());
        let before = CURRENT.replace(Some(self.clone()));
        (self, Guard(before))
    }

    pub fn spans(&self) -> Vec<Span> {
        self.spans.lock().unwrap().clone()
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

/// Hands every span to the capture of the test that it belongs to: that of its parent, or of the thread it began on.
struct Router;

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Router {
    fn register_callsite(&self, _: &'static Metadata<'static>) -> Interest {
        // What one test wants is not what another one wants.
        Interest::sometimes()
    }

    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        CURRENT.with_borrow(|current| {
            let only = current.as_ref().and_then(|capture| capture.only);
            only.is_none_or(|names| metadata.is_event() || names.contains(&metadata.name()))
        })
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        if attributes.metadata().target() != "dspy" {
            return;
        }
        let Some(span) = context.span(id) else { return };
        let parent = span.parent();
        let inherited = parent.as_ref().and_then(|parent| parent.extensions().get::<Capture>().cloned());
        let Some(capture) = inherited.or_else(|| CURRENT.with_borrow(Option::clone)) else { return };
        let (parent, name) = (parent.map(|parent| parent.id().into_u64()), attributes.metadata().name());
        let mut seen = Span { id: id.into_u64(), parent, name, ..Span::default() };
        attributes.record(&mut Fields(&mut seen.fields));
        capture.spans.lock().unwrap().push(seen);
        span.extensions_mut().insert(capture);
    }

    fn on_record(&self, id: &Id, record: &Record<'_>, context: Context<'_, S>) {
        change(id, &context, |span| record.record(&mut Fields(&mut span.fields)));
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        if let Some(span) = context.event_span(event) {
            let mut fields = BTreeMap::new();
            event.record(&mut Fields(&mut fields));
            let text = fields.iter().map(|(name, value)| format!("{name}={value};")).collect();
            change(&span.id(), &context, |span| span.events.push(text));
        }
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        change(&id, &context, |span| span.closed = true);
    }
}

fn change<S>(id: &Id, context: &Context<'_, S>, change: impl FnOnce(&mut Span))
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let capture = context.span(id).and_then(|span| span.extensions().get::<Capture>().cloned());
    let Some(capture) = capture else { return };
    // Ids are given again; the last one counts.
    let mut spans = capture.spans.lock().unwrap();
    if let Some(span) = spans.iter_mut().rev().find(|span| span.id == id.into_u64()) {
        change(span);
    }
}
