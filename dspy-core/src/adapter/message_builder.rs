//! A message under construction: text, and media between its parts.

use std::borrow::Cow;

use serde_json::Value;

use super::value::shorten_f32;
use crate::lm::{Content, Media, Message, Part, Role};
use crate::signature::{FieldSpec, Native};
use crate::types::{Place, Trajectory, media_of};
use dspy_base::keyword;

/// Text with media, in reading order.
#[derive(Debug, Default)]
pub(super) struct MessageBuilder {
    /// The text so far.
    pub(super) text: String,
    /// The media, each with the length of the text before it.
    media: Vec<(usize, Media)>,
}

impl MessageBuilder {
    pub(super) fn with_capacity(capacity: usize) -> Self {
        MessageBuilder { text: String::with_capacity(capacity), media: Vec::new() }
    }

    /// Removes trailing whitespace.
    pub(super) fn trim_end(&mut self) {
        let fixed = self.media.last().map_or(0, |(at, _)| *at);
        self.text.truncate(fixed + self.text[fixed..].trim_end().len());
    }

    pub(super) fn is_empty(&self) -> bool {
        self.text.is_empty() && self.media.is_empty()
    }

    pub(super) fn into_message(self, role: Role) -> Message {
        if self.media.is_empty() {
            return Message::new(role, self.text);
        }
        let mut parts = Vec::with_capacity(2 * self.media.len() + 1);
        let mut done = 0;
        // Endpoints refuse parts without text.
        let push_text = |parts: &mut Vec<Part>, text: &str| {
            if !text.trim().is_empty() {
                parts.push(Part::Text(text.into()));
            }
        };
        for (at, media) in self.media {
            push_text(&mut parts, &self.text[done..at]);
            parts.push(Part::Media(media));
            done = at;
        }
        push_text(&mut parts, &self.text[done..]);
        Message { role, content: Content::Parts(parts.into()) }
    }

    /// Appends the turns of an agent if results in them have media. Does nothing otherwise, and for other fields.
    pub(super) fn push_turns(
        &mut self,
        field: &FieldSpec,
        value: &Value,
        escape: impl Fn(&str) -> Cow<'_, str>,
    ) -> bool {
        if field.native() != Some(Native::Trajectory) || value.is_string() {
            return false;
        }
        let parts = Trajectory::of(value).parts();
        let has_media = parts.iter().any(|part| matches!(part, Part::Media(_)));
        for part in parts.into_iter().filter(|_| has_media) {
            match part {
                Part::Media(media) => self.media.push((self.text.len(), media)),
                part => self.text.push_str(&escape(&part.shown())),
            }
        }
        has_media
    }

    /// Appends a value that contains media; its text goes through `escape`. Does nothing if the value has no
    /// media: the caller then writes it like any other value.
    pub(super) fn push_media(
        &mut self,
        field: &FieldSpec,
        value: &Value,
        escape: impl Fn(&str) -> Cow<'_, str>,
    ) -> bool {
        let mut pieces = Pieces::default();
        let shortened = field.has_f32().then(|| shorten_f32(value));
        pieces.write(Place::root(field.schema()), shortened.as_ref().unwrap_or(value));
        if pieces.media.is_empty() {
            return false;
        }
        for (text, media) in pieces.media {
            self.text.push_str(&escape(&text));
            self.media.push((self.text.len(), media));
        }
        self.text.push_str(&escape(&pieces.text));
        true
    }
}

/// JSON text split at the media in it.
#[derive(Default)]
struct Pieces {
    /// The media, each with the text since the previous one.
    media: Vec<(String, Media)>,
    /// The text after the last one.
    text: String,
}

impl Pieces {
    fn write(&mut self, place: Place<'_>, value: &Value) {
        let pieces = place.pieces(value);
        if let Some(media) = media_at(&pieces, value) {
            self.media.push((std::mem::take(&mut self.text), media));
            return;
        }
        match value {
            Value::Array(items) => {
                self.text.push('[');
                for (index, item) in items.iter().enumerate() {
                    self.separate(index);
                    self.part(Place::item(&pieces, index), item);
                }
                self.text.push(']');
            }
            Value::Object(members) => {
                self.text.push('{');
                for (index, (name, member)) in members.iter().enumerate() {
                    self.separate(index);
                    self.text.push_str(&Value::from(name.as_str()).to_string());
                    self.text.push(':');
                    self.part(Place::member(&pieces, name), member);
                }
                self.text.push('}');
            }
            other => self.text.push_str(&other.to_string()),
        }
    }

    fn part(&mut self, place: Option<Place<'_>>, value: &Value) {
        match place {
            Some(place) => self.write(place, value),
            None => self.text.push_str(&value.to_string()),
        }
    }

    fn separate(&mut self, index: usize) {
        if index > 0 {
            self.text.push(',');
        }
    }
}

fn media_at(pieces: &[Place<'_>], value: &Value) -> Option<Media> {
    let kind = pieces.iter().find_map(|piece| piece.keyword(keyword::MEDIA)?.as_str())?;
    media_of(kind, value).ok()
}

/// Returns the problem of a value whose schema requires media, or `None` if it is valid.
pub(super) fn bad_media(place: Place<'_>, value: &Value) -> Option<String> {
    let pieces = place.pieces(value);
    if let Some(kind) = pieces.iter().find_map(|piece| piece.keyword(keyword::MEDIA)?.as_str()) {
        return if value.is_null() { None } else { media_of(kind, value).err() };
    }
    match value {
        Value::Array(items) => {
            let places = items.iter().enumerate();
            places
                .filter_map(|(index, item)| Some((Place::item(&pieces, index)?, item)))
                .find_map(|(p, v)| bad_media(p, v))
        }
        Value::Object(members) => {
            let places = members.iter();
            places
                .filter_map(|(name, member)| Some((Place::member(&pieces, name)?, member)))
                .find_map(|(p, v)| bad_media(p, v))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn space_beside_media_is_no_part_of_its_own() {
        let media = Media::new(crate::lm::MediaKind::Image, "https://example.com/a.png");
        let canvas =
            MessageBuilder { text: " \n text \n".into(), media: vec![(2, media.clone()), (8, media)] };
        let Content::Parts(parts) = canvas.into_message(Role::User).content else { panic!("no parts") };
        let texts: Vec<_> =
            parts.iter().map(|part| if let Part::Text(text) = part { Some(&**text) } else { None }).collect();
        assert_eq!(texts, [None, Some(" text "), None]);
    }
}
