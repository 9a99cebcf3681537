//! The header of a journal: its first line, which identifies the run.

use dspy_core::error::clipped;
use serde_json::{Map, Value};

use super::error::JournalError;
use crate::counts::counted;

/// The name and version of the format.
const FORMAT: &str = "dspy-journal/5";

/// Everything that determines the behaviour of a run except the results of its effects. Limits, concurrency
/// and display are excluded: they may change when the run is resumed.
#[derive(Debug, Clone)]
pub(crate) struct Header(Map<String, Value>);

impl Header {
    /// Creates a header with the members of `identity`, a JSON object.
    pub(crate) fn new(optimizer: &str, seed: u64, identity: Value) -> Self {
        let mut members = Map::new();
        members.insert("format".into(), FORMAT.into());
        members.insert("optimizer".into(), optimizer.into());
        members.insert("seed".into(), seed.into());
        if let Value::Object(identity) = identity {
            members.extend(identity);
        }
        Header(members)
    }

    pub(super) fn members(&self) -> Map<String, Value> {
        self.0.clone()
    }

    pub(super) fn line(&self) -> Result<String, JournalError> {
        Ok(serde_json::to_string(&self.0).map_err(JournalError::Encode)? + "\n")
    }

    /// Returns whether a complete first line is the header of a journal, of any version.
    pub(super) fn is_one(found: &Value) -> bool {
        let family = FORMAT.split('/').next();
        let format = found.get("format").and_then(Value::as_str);
        format.is_some_and(|format| format.split('/').next() == family)
    }

    /// Returns the format of a header and that of this version, if they differ.
    pub(super) fn other_version(found: &Value) -> Option<(String, String)> {
        let found = found.get("format").and_then(Value::as_str)?;
        (found != FORMAT).then(|| (clipped(found), FORMAT.to_owned()))
    }

    /// Returns whether these bytes are a truncated header: a prefix of the header of this run, or a line that
    /// begins with the format of this version.
    pub(super) fn is_torn(&self, bytes: &[u8]) -> bool {
        let start = format!("{{\"format\":\"{FORMAT}\"");
        bytes.starts_with(start.as_bytes())
            || self.line().is_ok_and(|line| line.as_bytes().starts_with(bytes))
    }

    /// Returns the differences between the header of a file and this one.
    pub(super) fn differences(&self, found: &Value) -> Vec<String> {
        let optimizer = |header: &Value| header.get("optimizer").cloned().unwrap_or_default();
        // The settings of another optimizer have nothing in common with these.
        let same = |own: &Value| optimizer(found) == optimizer(own);
        // Serialised and parsed, so that it is compared in the form that would be read back.
        let own = serde_json::to_string(&self.0).ok().and_then(|text| serde_json::from_str(&text).ok());
        let own: Value = own.unwrap_or_default();
        let mut differences = Vec::new();
        if same(&own) {
            compare("", found, &own, &mut differences);
        } else {
            compare("optimizer", &optimizer(found), &optimizer(&own), &mut differences);
        }
        joined(differences)
    }
}

/// The number of members from which on equal differences are one line.
const MANY: usize = 3;

/// A difference of a member.
struct Difference {
    path: String,
    /// The change.
    change: String,
}

/// Formats differences; several members of the same name with the same change are one.
fn joined(differences: Vec<Difference>) -> Vec<String> {
    let name = |path: &str| path.rsplit('.').next().unwrap_or_default().to_owned();
    let mut groups: Vec<(String, Vec<Difference>)> = Vec::new();
    for difference in differences {
        let name = name(&difference.path);
        let alike = groups.iter_mut().find(|(other, group)| {
            *other == name && group.iter().all(|other| other.change == difference.change)
        });
        match alike {
            Some((_, group)) => group.push(difference),
            None => groups.push((name, vec![difference])),
        }
    }
    let line = |(name, group): (String, Vec<Difference>)| match &group[..] {
        [first, rest @ ..] if group.len() >= MANY => {
            let (path, others) = (clipped(&first.path), counted(rest.len(), "other member"));
            vec![format!("`{path}` {} ({others} named `{}` alike)", first.change, clipped(name))]
        }
        _ => group.iter().map(|one| format!("`{}` {}", clipped(&one.path), one.change)).collect(),
    };
    groups.into_iter().flat_map(line).collect()
}

fn compare(path: &str, then: &Value, now: &Value, differences: &mut Vec<Difference>) {
    if let (Value::Object(then), Value::Object(now)) = (then, now) {
        let added = now.keys().filter(|name| !then.contains_key(*name));
        for name in then.keys().chain(added) {
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            let member = |map: &Map<String, Value>| map.get(name).cloned().unwrap_or_default();
            compare(&path, &member(then), &member(now), differences);
        }
    } else if then != now {
        let shown =
            |value: &Value| if value.is_null() { "not set".into() } else { clipped(value.to_string()) };
        let values = || format!("was {}, is now {}", shown(then), shown(now));
        let change = in_words(path, then, now).unwrap_or_else(values);
        differences.push(Difference { path: path.to_owned(), change });
    }
}

/// Describes a difference of members that say nothing to a reader: digests, and whole predictors.
fn in_words(path: &str, then: &Value, now: &Value) -> Option<String> {
    let parts: Vec<&str> = path.split('.').collect();
    let is_program = matches!(parts.first(), Some(&("program" | "teacher")));
    match (then, now) {
        (Value::Null, Value::Object(_)) if is_program => {
            return Some("was not set, is set now".to_owned());
        }
        (Value::Object(_), Value::Null) if is_program => {
            return Some("was set, is not set now".to_owned());
        }
        _ => {}
    }
    let is_digest = |value: &Value| {
        let text = value.as_str();
        value.is_null()
            || text.is_some_and(|text| text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit()))
    };
    if !is_digest(then) || !is_digest(now) {
        return None;
    }
    let what = match *parts.last()? {
        "signature" if is_program => "the fields of this predictor: their names, types or roles",
        "prompt" if is_program => {
            "the instruction, descriptions, demonstrations or adapter of this predictor"
        }
        "params" if is_program => "parameters of calls, such as the temperature or `max_tokens`",
        "tools" if is_program => "the descriptions of tools",
        "digest" => "the content or the order of the rows",
        _ => return Some("has changed".to_owned()),
    };
    Some(format!("has changed: {what}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_same_change_of_many_members_is_one_line() {
        let header = |lm: &str, tips: bool| {
            let predictor = |_| json!({"lm": lm, "prompt": "0123456789abcdef"});
            let all: Map<String, Value> = (0..8).map(|at| (format!("writer-{at}"), predictor(at))).collect();
            Header::new("Test", 0, json!({"settings": {"proposer": all, "tips": tips}}))
        };
        let found = Value::Object(header("a", true).members());
        assert_eq!(
            header("b", false).differences(&found),
            [
                "`settings.proposer.writer-0.lm` was \"a\", is now \"b\" (7 other members named `lm` alike)",
                "`settings.tips` was true, is now false",
            ]
        );
        assert!(header("a", true).differences(&found).is_empty());
    }

    #[test]
    fn different_changes_are_lines_of_their_own() {
        let header = |lms: [&str; 3]| {
            let all: Map<String, Value> =
                lms.iter().enumerate().map(|(at, lm)| (at.to_string(), json!({"lm": lm}))).collect();
            Header::new("Test", 0, json!({"settings": all}))
        };
        let found = Value::Object(header(["a", "a", "a"]).members());
        assert_eq!(header(["b", "b", "c"]).differences(&found).len(), 3);
        assert_eq!(header(["b", "b", "b"]).differences(&found).len(), 1);
    }
}
