//! The form in which a proposer sees programs, rows and calls.

use std::fmt::Write as _;

use dspy_core::program::HasPredictors;
use dspy_core::signature::{FieldSpec, SignatureSpec, Values};
use serde_json::Value;

use super::{Record, ScoredText};
use crate::component::ComponentKind;

/// Returns a rendering of a signature: its fields with types, descriptions and choices.
pub fn describe_signature(spec: &SignatureSpec) -> String {
    let mut out = String::from("Inputs:\n");
    spec.shown_inputs().for_each(|field| push_field(&mut out, field));
    out.push_str("Outputs:\n");
    spec.outputs().for_each(|field| push_field(&mut out, field));
    out.trim_end().to_owned()
}

/// Returns a rendering of a program: each predictor with its signature and instruction.
pub fn describe_program(program: &impl HasPredictors) -> String {
    let mut out = String::new();
    for (path, predictor) in program.named_predictors() {
        let _ = writeln!(out, "Step `{path}`: {}", predictor.instruction());
        let _ = writeln!(out, "{}\n", describe_signature(predictor.spec()));
    }
    out.trim_end().to_owned()
}

fn push_field(out: &mut String, field: &FieldSpec) {
    let text = field.type_text();
    let _ = write!(out, "- {} ({})", field.name(), text.notation);
    if !field.description().is_empty() {
        // The further lines of a description are parts of the list item.
        let _ = write!(out, ": {}", field.description().replace('\n', "\n  "));
    }
    out.push('\n');
    for (choice, description) in &text.choices {
        let _ = writeln!(out, "  - {choice}: {description}");
    }
}

/// Returns the use of text of this kind.
pub(super) fn role(kind: &ComponentKind) -> String {
    match kind {
        ComponentKind::Instruction => "The instruction of the task.".to_owned(),
        ComponentKind::Description { field } => format!("The description of the field `{field}`."),
        ComponentKind::Variant { field, choice } => {
            format!("The description of the choice `{choice}` of the field `{field}`.")
        }
        ComponentKind::Tool { name } => format!("The description of the tool `{name}`."),
        ComponentKind::Demos => "Demonstrations.".to_owned(),
        ComponentKind::Playbook => super::playbook::ROLE.to_owned(),
    }
}

/// The room for shown material, in characters.
pub(crate) struct Room {
    /// The largest length of one value.
    value: usize,
    /// The largest length of the whole.
    pub(super) total: usize,
}

impl Room {
    /// Creates a room of `most` characters, a twentieth of them for a single value.
    pub(crate) fn of(most: usize) -> Self {
        Room { value: (most / 20).max(1), total: most }
    }
}

/// Returns labelled calls of a predictor as text, as many as there is room for: the inputs, then the right outputs.
pub(crate) fn labelled(calls: &[Values], spec: &SignatureSpec, room: &Room) -> String {
    let is_output = |name: &str| spec.outputs().any(|field| field.name() == name);
    let shown = calls.iter().map(|call| {
        let mut out = String::new();
        for (title, outputs) in [("Inputs", false), ("Expected", true)] {
            let part = call.iter().filter(|(name, _)| is_output(name) == outputs);
            let part = fields(part, room.value);
            if !part.is_empty() {
                let _ = write!(out, "## {title}\n{part}");
            }
        }
        out
    });
    numbered("Example", shown, room)
}

/// Returns rows as text, as many as there is room for.
pub(super) fn rows(rows: &[Values], room: &Room) -> String {
    numbered("Example", rows.iter().map(|row| fields(row, room.value)), room)
}

/// Returns calls as text, as many as there is room for.
pub(super) fn records(records: &[Record], room: &Room) -> String {
    let shown = records.iter().map(|record| {
        let mut out = String::from("## Inputs\n");
        out += &fields(&record.inputs, room.value);
        out += "## Outputs\n";
        match &record.error {
            Some(error) => {
                let _ = writeln!(out, "The call failed: {}", cut(error, room.value));
            }
            None => out += &fields(&record.outputs, room.value),
        }
        if let Some(context) = &record.context {
            let _ =
                writeln!(out, "## Other steps of the run\n{}", cut(context, room.value.saturating_mul(4)));
        }
        if !record.expected.is_empty() {
            out += "## Expected\n";
            out += &fields(&record.expected, room.value);
        }
        if let Some(score) = record.score {
            let _ = writeln!(out, "## Score\n{}", rounded(score));
        }
        if let Some(feedback) = &record.feedback {
            let _ = writeln!(out, "## Feedback\n{}", cut(feedback, room.value));
        }
        out
    });
    numbered("Example", shown, room)
}

/// Returns earlier texts of this kind with their scores as text, the best one last; the worst ones are left out if
/// there is no room.
pub(super) fn history(texts: &[ScoredText], kind: &ComponentKind, room: &Room) -> String {
    let title = if *kind == ComponentKind::Instruction { "Instruction" } else { "Text" };
    let mut shown = Vec::new();
    let mut length = 0;
    for text in texts.iter().rev() {
        let (score, text) = (rounded(text.score), cut(&text.text, room.value));
        let entry = format!("## {title}\n{text}\n## Score\n{score}\n");
        length += entry.chars().count();
        if length > room.total && !shown.is_empty() {
            break;
        }
        shown.push(entry);
    }
    numbered("Attempt", shown.into_iter().rev(), &Room { total: usize::MAX, ..*room })
}

fn numbered(title: &str, entries: impl Iterator<Item = String>, room: &Room) -> String {
    let mut out = String::new();
    let mut length = 0;
    for (index, entry) in entries.enumerate() {
        let entry = cut(&entry, room.total);
        length += entry.chars().count();
        if length > room.total && index > 0 {
            break;
        }
        let _ = writeln!(out, "# {title} {}\n{entry}", index + 1);
    }
    out.trim_end().to_owned()
}

fn fields<'v>(values: impl IntoIterator<Item = (&'v String, &'v Value)>, most: usize) -> String {
    let mut out = String::new();
    for (name, value) in values {
        let text = match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let _ = writeln!(out, "{name}: {}", cut(&text, most));
    }
    out
}

/// Returns at most `most` characters of text; an omission is marked.
pub(crate) fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        None => text.to_owned(),
        Some((end, _)) => format!("{} […]", &text[..end]),
    }
}

fn rounded(score: f64) -> String {
    format!("{score:.3}").trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(text: &str) -> Values {
        Values::from_iter([("text".to_owned(), text.into()), ("mood".to_owned(), "good".into())])
    }

    #[test]
    fn what_is_shown_is_bounded() {
        let long = vec![row(&"x".repeat(10_000)); 1_000];
        let shown = rows(&long, &Room { value: 100, total: 1_000 });
        assert!(shown.chars().count() < 1_200, "{}", shown.len());
        assert!(shown.contains("[…]"));
        let texts: Vec<_> =
            (0..100).map(|n| ScoredText { text: format!("text {n}"), score: f64::from(n) }).collect();
        let shown = history(&texts, &ComponentKind::Instruction, &Room { value: 100, total: 200 });
        assert!(shown.starts_with("# Attempt 1\n") && !shown.contains("text 90\n"), "{shown}");
        assert!(shown.ends_with("## Instruction\ntext 99\n## Score\n99"), "{shown}");
        let tool = ComponentKind::Tool { name: "search".into() };
        let shown = history(&texts[..1], &tool, &Room::of(1_000));
        assert_eq!(shown, "# Attempt 1\n## Text\ntext 0\n## Score\n0");
    }

    #[test]
    fn labels_are_apart_from_inputs() {
        let spec: SignatureSpec = "text -> mood: Literal['good', 'bad']".parse().unwrap();
        let mut without = row("b");
        without.remove("mood");
        // The order of the values of a row does not matter.
        let mixed = Values::from_iter([("mood".to_owned(), "bad".into()), ("text".to_owned(), "c".into())]);
        assert_eq!(
            labelled(&[row("a"), without, mixed], &spec, &Room::of(1_000)),
            "# Example 1\n## Inputs\ntext: a\n## Expected\nmood: good\n\n# Example 2\n## Inputs\ntext: b\n\n\
             # Example 3\n## Inputs\ntext: c\n## Expected\nmood: bad"
        );
    }

    #[test]
    fn a_failed_call_shows_its_error() {
        let record = Record {
            inputs: row("a"),
            error: Some("no number".into()),
            score: Some(0.0),
            feedback: Some("Say a number.".into()),
            ..Record::default()
        };
        let shown = records(&[record], &Room { value: 100, total: 1_000 });
        assert_eq!(
            shown,
            "# Example 1\n## Inputs\ntext: a\nmood: good\n## Outputs\nThe call failed: no number\n## Score\n0\n\
             ## Feedback\nSay a number."
        );
    }

    #[test]
    fn a_signature_shows_types_and_choices() {
        let spec = "text -> mood: Literal['good', 'bad'], why: str".parse().unwrap();
        let shown = describe_signature(&spec);
        assert!(
            shown.starts_with("Inputs:\n- text (") && shown.contains("good") && shown.contains("- why ("),
            "{shown}"
        );
    }
}
