//! Media in a value of any type with a JSON form.
//!
//! The JSON form of media is an object like any other, so that text from elsewhere could imitate it. While a value is
//! captured, media therefore write an unpredictable mark, and are collected beside it.

use std::cell::RefCell;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};

use serde::Serialize;
use serde_json::{Map, Value};

use crate::lm::{Media, Part};

thread_local! {
    static CAPTURE: RefCell<Option<Capture>> = const { RefCell::new(None) };
}

struct Capture {
    mark: String,
    media: Vec<Media>,
}

/// Adds media to the value that is being captured on this thread, and returns their mark. `None` if there is none.
pub(super) fn captured(media: impl FnOnce() -> Media) -> Option<String> {
    CAPTURE.with_borrow_mut(|capture| {
        let capture = capture.as_mut()?;
        let mark = format!("{}{}", capture.mark, capture.media.len());
        capture.media.push(media());
        Some(mark)
    })
}

/// Ends a capture, also by a panic, and continues the one around it.
struct Scope(Option<Capture>);

impl Drop for Scope {
    fn drop(&mut self) {
        let outer = self.0.take();
        CAPTURE.with_borrow_mut(|capture| *capture = outer);
    }
}

/// A value, and the media in it.
pub(crate) struct Captured {
    /// The value, with marks in place of media.
    pub(crate) value: Value,
    mark: String,
    media: Vec<Media>,
}

impl Captured {
    /// Converts a value to JSON.
    pub(crate) fn of(value: &impl Serialize) -> serde_json::Result<Self> {
        let nonce = RandomState::new().build_hasher().finish();
        let mark = format!("\u{0}media {nonce:016x} ");
        let inner = Capture { mark: mark.clone(), media: Vec::new() };
        let scope = Scope(CAPTURE.with_borrow_mut(|capture| capture.replace(inner)));
        let value = serde_json::to_value(value);
        let media = CAPTURE.with_borrow_mut(Option::take).map(|capture| capture.media);
        drop(scope);
        Ok(Captured { value: value?, mark, media: media.unwrap_or_default() })
    }

    /// Returns whether there are no media.
    pub(crate) fn is_empty(&self) -> bool {
        self.media.is_empty()
    }

    fn media(&self, value: &Value) -> Option<&Media> {
        self.media.get(value.as_str()?.strip_prefix(self.mark.as_str())?.parse::<usize>().ok()?)
    }

    /// Returns the text and media in reading order.
    pub(crate) fn parts(&self) -> Vec<Part> {
        let mut pieces = Pieces { captured: self, parts: Vec::new(), text: String::new() };
        match &self.value {
            Value::Array(items) if items.iter().all(Value::is_string) => {
                for item in items {
                    pieces.item(item);
                }
            }
            value => pieces.write(value),
        }
        pieces.finish()
    }

    /// Returns the value with the JSON forms of media.
    pub(crate) fn into_value(mut self) -> Value {
        let value = self.value.take();
        self.restored(value)
    }

    fn restored(&self, value: Value) -> Value {
        if let Some(media) = self.media(&value) {
            return media_form(media);
        }
        match value {
            Value::Array(items) => items.into_iter().map(|item| self.restored(item)).collect(),
            Value::Object(members) => {
                let members = members.into_iter().map(|(name, member)| (name, self.restored(member)));
                members.collect::<Map<_, _>>().into()
            }
            value => value,
        }
    }
}

/// Returns the JSON form of media.
pub(crate) fn media_form(media: &Media) -> Value {
    let mut form = Map::from_iter([(media.kind.as_str().to_owned(), Value::from(&*media.url))]);
    if let Some(name) = &media.name {
        form.insert("name".into(), Value::from(&**name));
    }
    if let Some(detail) = media.detail {
        form.insert("detail".into(), detail.as_str().into());
    }
    form.into()
}

/// A value split at the media in it.
struct Pieces<'c> {
    captured: &'c Captured,
    parts: Vec<Part>,
    text: String,
}

impl Pieces<'_> {
    /// Writes an item of a list of strings and media.
    fn item(&mut self, item: &Value) {
        match (self.captured.media(item), item) {
            (None, Value::String(text)) => {
                if !self.text.is_empty() {
                    self.text.push('\n');
                }
                self.text.push_str(text);
            }
            (_, item) => self.write(item),
        }
    }

    /// Writes a value as JSON.
    fn write(&mut self, value: &Value) {
        if let Some(media) = self.captured.media(value) {
            let media = media.clone();
            self.end_text();
            return self.parts.push(Part::Media(media));
        }
        match value {
            Value::Array(items) => {
                self.text.push('[');
                for (index, item) in items.iter().enumerate() {
                    self.text.push_str(if index > 0 { "," } else { "" });
                    self.write(item);
                }
                self.text.push(']');
            }
            Value::Object(members) => {
                self.text.push('{');
                for (index, (name, member)) in members.iter().enumerate() {
                    self.text.push_str(if index > 0 { "," } else { "" });
                    self.text.push_str(&Value::from(name.as_str()).to_string());
                    self.text.push(':');
                    self.write(member);
                }
                self.text.push('}');
            }
            other => self.text.push_str(&other.to_string()),
        }
    }

    fn end_text(&mut self) {
        if !self.text.is_empty() {
            self.parts.push(Part::Text(std::mem::take(&mut self.text).into()));
        }
    }

    fn finish(mut self) -> Vec<Part> {
        self.end_text();
        self.parts
    }
}
