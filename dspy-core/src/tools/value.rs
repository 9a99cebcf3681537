//! The results of tools.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use serde::Serialize;
use serde::ser::Error as _;
use serde_json::Value;

use crate::lm::{Message, Part};
use crate::types::{Captured, is_too_deep, media_form, non_finite};

/// The result of a tool: a JSON value and, if it has images, recordings or files, the parts in which a model sees it.
///
/// Media are recognised by their Rust type, at any depth. Text that looks like the JSON form of an image remains text.
///
/// ```
/// use dspy_core::tools::ToolOutput;
/// use dspy_core::types::Image;
///
/// let chart = Image::from_url("https://example.org/chart.png").unwrap();
/// let result = vec![("rainfall", chart)].into_result().unwrap();
/// assert_eq!(result.text(), r#"[["rainfall",<image at https://example.org/chart.png>]]"#);
/// assert_eq!(result.value()[0][1]["image"], "https://example.org/chart.png");
/// ```
#[derive(Clone, PartialEq, Default)]
pub struct ToolValue {
    value: Value,
    /// Empty if there are no media.
    parts: Arc<[Part]>,
}

impl ToolValue {
    /// Creates the result from a value with a JSON form. A list of strings and media, also as a tuple, is shown as
    /// text and media in its order, anything else as JSON with the media in place.
    ///
    /// # Errors
    /// If the value has no JSON form, such as a number that is infinite or not a number, or more than 1,000 levels.
    pub fn new(value: &impl Serialize) -> serde_json::Result<Self> {
        if is_too_deep(value) {
            return Err(serde_json::Error::custom("the result is nested more than 1,000 deep"));
        }
        let captured = Captured::of(value)?;
        if let Some(number) = non_finite(value, &captured.value) {
            let message = format!("the result has the number {number}, which has no JSON form");
            return Err(serde_json::Error::custom(message));
        }
        if captured.is_empty() {
            return Ok(captured.value.into());
        }
        let parts = captured.parts().into();
        Ok(ToolValue { value: captured.into_value(), parts })
    }

    /// Creates a result of text and media.
    pub fn from_parts(parts: impl Into<Vec<Part>>) -> Self {
        let parts: Vec<Part> = parts.into();
        let form = |part: &Part| match part {
            Part::Media(media) => media_form(media),
            part => part.shown().into(),
        };
        let value = parts.iter().map(form).collect();
        if parts.iter().any(|part| matches!(part, Part::Media(_))) {
            return ToolValue { value, parts: parts.into() };
        }
        parts.iter().map(Part::shown).collect::<String>().into()
    }

    /// Returns the JSON value. Media are objects with their URL, as in data files.
    pub fn value(&self) -> &Value {
        &self.value
    }

    /// Returns the JSON value.
    pub fn into_value(self) -> Value {
        self.value
    }

    /// Returns the text and media in reading order; nothing if there are no media.
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// Returns the result as text: strings unchanged, any other value as JSON, media as placeholders.
    pub fn text(&self) -> Cow<'_, str> {
        match &self.value {
            _ if !self.parts.is_empty() => self.parts.iter().map(Part::shown).collect::<String>().into(),
            Value::String(text) => text.as_str().into(),
            value => value.to_string().into(),
        }
    }

    /// Returns the message that answers the call with that id.
    pub fn to_message(&self, id: &str) -> Message {
        if self.parts.is_empty() {
            return Message::tool_result(id, self.text().as_ref());
        }
        Message::tool_result_parts(id, self.parts.clone())
    }
}

impl fmt::Debug for ToolValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ToolValue").field(&self.text()).finish()
    }
}

impl From<Value> for ToolValue {
    fn from(value: Value) -> Self {
        ToolValue { value, parts: Arc::default() }
    }
}

impl From<String> for ToolValue {
    fn from(text: String) -> Self {
        Value::from(text).into()
    }
}

impl From<&str> for ToolValue {
    fn from(text: &str) -> Self {
        Value::from(text).into()
    }
}
