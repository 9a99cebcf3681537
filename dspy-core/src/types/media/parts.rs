//! The JSON form of text with media: a list of strings, and of objects for media.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize as _, Serializer};
use serde_json::Value;

use super::{media_form, media_of};
use crate::lm::Part;

pub(crate) fn serialize<S: Serializer>(parts: &[Part], serializer: S) -> Result<S::Ok, S::Error> {
    let form = |part: &Part| match part {
        Part::Media(media) => media_form(media),
        part => part.shown().into(),
    };
    parts.iter().map(form).collect::<Vec<Value>>().serialize(serializer)
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Part>, D::Error> {
    let forms = Vec::<Value>::deserialize(deserializer)?;
    let part = |form: Value| match form {
        Value::String(text) => Ok(Part::Text(text.into())),
        form => {
            let kind = ["image", "audio"].into_iter().find(|kind| form.get(kind).is_some()).unwrap_or("file");
            media_of(kind, &form).map(Part::Media).map_err(D::Error::custom)
        }
    };
    forms.into_iter().map(part).collect()
}
