//! Records of a program in a prompt: inputs, replies, expected values, scores and feedback.

use super::node::Node;
use super::notation;
use super::roles::{self, Key};
use crate::builtin::features::number;

/// The maximum number of records that are kept, of bytes of a value and of bytes of a string that is parsed.
const MOST_RECORDS: usize = 400;
const LONGEST_VALUE: usize = 4_000;
const LONGEST_TEXT: usize = 1_000_000;
/// The maximum nesting depth of records.
const DEPTH: usize = 12;

/// Names with values.
pub(super) type Values = Vec<(String, String)>;

/// One record. A value without a name has the empty one.
#[derive(Debug, Default, Clone, PartialEq)]
pub(super) struct Record {
    pub(super) inputs: Values,
    pub(super) produced: Values,
    pub(super) expected: Values,
    /// An answer that is the expected one or the one that was given.
    pub(super) answer: Values,
    /// The score as written; the scale is known only from all records.
    pub(super) score: Option<f64>,
    pub(super) feedback: Vec<String>,
}

impl Record {
    /// Returns whether it says anything about the quality of an answer.
    pub(super) fn is_judged(&self) -> bool {
        self.score.is_some() || !self.feedback.is_empty() || !self.expected.is_empty()
    }
}

/// The records in a prompt.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Records {
    pub(super) list: Vec<Record>,
    /// Rows of values without any role.
    pub(super) rows: Vec<Values>,
    /// Instructions with their scores.
    pub(super) tried: Vec<(String, f64)>,
    /// Feedback on no particular answer.
    pub(super) feedback: Vec<String>,
}

/// The parts that a record inherits from the one around it.
#[derive(Debug, Default, Clone)]
struct Around {
    score: Option<f64>,
    feedback: Vec<String>,
    expected: Values,
}

impl Records {
    /// Adds the records in the inputs of a prompt. Some inputs may be parts of one record.
    pub(super) fn read_fields(&mut self, fields: &[(&str, &str)]) {
        let members: Vec<(String, Node)> = fields
            .iter()
            .map(|(name, text)| ((*name).to_owned(), notation::parse(cut(text, LONGEST_TEXT))))
            .collect();
        if let [(_, node)] = &members[..] {
            return self.collect(node, &Around::default(), 0);
        }
        let sides: Vec<Option<roles::Side>> = members.iter().map(|(name, _)| roles::side(name)).collect();
        if sides.iter().all(Option::is_none) {
            return self.collect_object(&members, &Around::default(), 0);
        }
        // A better and a worse run are records of their own, each with the inputs that belong to neither.
        for side in [roles::Side::Better, roles::Side::Worse] {
            let score = if side == roles::Side::Better { 1.0 } else { 0.0 };
            let own = members.iter().zip(&sides).filter(|(_, of)| of.is_none_or(|of| of == side));
            let own: Vec<(String, Node)> = own.map(|(member, _)| member.clone()).collect();
            self.collect_object(&own, &Around { score: Some(score), ..Around::default() }, 0);
        }
    }

    /// Adds the records in a string.
    pub(super) fn read(&mut self, text: &str) {
        let text = cut(text, LONGEST_TEXT);
        self.collect(&notation::parse(text), &Around::default(), 0);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty() && self.rows.is_empty() && self.tried.is_empty()
    }

    fn collect(&mut self, node: &Node, around: &Around, depth: usize) {
        if depth > DEPTH || self.list.len() + self.rows.len() >= MOST_RECORDS {
            return;
        }
        match node {
            Node::Text(text) => {
                if depth > 0
                    && text.contains(['\n', '{'])
                    && let parsed @ (Node::List(_) | Node::Object(_)) = notation::parse(text)
                {
                    self.collect(&parsed, around, depth + 1);
                }
            }
            Node::List(items) => {
                if !items.is_empty() && items.iter().all(|item| matches!(item, Node::Text(_))) {
                    self.collect_texts(items, around, depth);
                } else {
                    items.iter().for_each(|item| self.collect(item, around, depth + 1));
                }
            }
            Node::Object(members) => self.collect_object(members, around, depth),
        }
    }

    /// Reads a list of strings: each is a record, or all of them are the lines of records.
    fn collect_texts(&mut self, items: &[Node], around: &Around, depth: usize) {
        let texts: Vec<String> = items.iter().map(Node::flat).collect();
        let before = (self.list.len(), self.rows.len(), self.tried.len());
        if texts.iter().all(|text| !text.contains('\n')) {
            let parsed = notation::parse(&texts.join("\n"));
            if !matches!(parsed, Node::Text(_)) {
                self.collect(&parsed, around, depth + 1);
            }
        }
        if before == (self.list.len(), self.rows.len(), self.tried.len()) {
            items.iter().for_each(|item| self.collect(item, around, depth + 1));
        }
    }

    fn collect_object(&mut self, members: &[(String, Node)], around: &Around, depth: usize) {
        if let [(key, Node::Text(text))] = members
            && roles::of_key(key) == Key::Field
            && let Some(fields) = titled_fields(text)
        {
            return self.rows.push(fields);
        }
        let mut record = Record::default();
        let mut fields: Values = Vec::new();
        let mut nested: Vec<&Node> = Vec::new();
        let mut instruction = None;
        for (key, node) in members {
            let role = roles::of_key(key);
            let text = node.flat();
            // Titles such as "Example 1" stand above whole records.
            let holds_records = holds_records(node);
            match role {
                _ if holds_records => nested.push(node),
                Key::Inputs => record.inputs.extend(values("input", node)),
                Key::Score | Key::Expected
                    if score(&text).is_some() && (role == Key::Score || is_verdict(key, &text)) =>
                {
                    record.score = record.score.or_else(|| score(&text));
                }
                Key::Expected | Key::Score => record.expected.extend(values("", node)),
                Key::Produced => record.produced.extend(values("", node)),
                Key::Answer => record.answer.push((key.clone(), cut(&text, LONGEST_VALUE).to_owned())),
                Key::Feedback if !text.is_empty() => {
                    record.feedback.push(cut(&text, LONGEST_VALUE).to_owned());
                }
                Key::Instruction => instruction = Some(text),
                Key::Feedback | Key::Skipped => {}
                Key::Field if node.has_object() => nested.push(node),
                Key::Field => fields.push((key.clone(), cut(&text, LONGEST_VALUE).to_owned())),
            }
        }
        if let (Some(text), Some(score)) = (&instruction, record.score)
            && record.inputs.is_empty()
            && record.expected.is_empty()
        {
            return self.tried.push((text.clone(), score));
        }
        let alone = record.inputs.is_empty();
        // Beside the inputs, a title in prose such as "Other steps of the run" is no input, so no rule can be about it.
        record.inputs.extend(fields.iter().filter(|(name, _)| alone || !is_prose(name)).cloned());
        let replies = !record.produced.is_empty() || !record.expected.is_empty() || !record.answer.is_empty();
        if !record.inputs.is_empty() && (replies || record.is_judged()) && (!alone || nested.is_empty()) {
            record.score = record.score.or(around.score);
            record.feedback.extend(around.feedback.iter().cloned());
            if record.expected.is_empty() {
                record.expected.clone_from(&around.expected);
            }
            return self.list.push(record);
        }
        if nested.is_empty() {
            if alone && fields.len() > 1 {
                self.rows.push(fields);
            } else {
                self.feedback.append(&mut record.feedback);
            }
            return;
        }
        let mut around = around.clone();
        around.score = record.score.or(around.score);
        around.feedback.append(&mut record.feedback);
        around.expected.append(&mut record.expected);
        nested.into_iter().for_each(|node| self.collect(node, &around, depth + 1));
    }
}

/// Returns whether a node is an object with the parts of a record, or a list of objects.
fn holds_records(node: &Node) -> bool {
    match node {
        Node::Text(_) => false,
        Node::List(items) => items.iter().any(Node::has_object),
        Node::Object(members) => {
            let has = |role: Key| members.iter().any(|(key, _)| roles::of_key(key) == role);
            has(Key::Inputs) || (has(Key::Feedback) || has(Key::Score)) && members.len() > 1
        }
    }
}

/// Returns the values of a part of a record. One without a name has the name `unnamed`.
fn values(unnamed: &str, node: &Node) -> Values {
    let short = |text: &str| cut(text.trim(), LONGEST_VALUE).to_owned();
    let of_members = |members: &[(String, Node)]| {
        members.iter().map(|(key, node)| (key.clone(), short(&node.flat()))).collect()
    };
    match node {
        Node::Object(members) => of_members(members),
        Node::List(_) => vec![(unnamed.to_owned(), short(&node.flat()))],
        Node::Text(text) => match notation::members(text) {
            Some(members) if text.contains('\n') || members.iter().all(|(key, _)| is_field_name(key)) => {
                of_members(&members)
            }
            _ => vec![(unnamed.to_owned(), short(text))],
        },
    }
}

/// Returns the fields below a title such as "Example 1": several `name: value` lines.
fn titled_fields(text: &str) -> Option<Values> {
    let fields = notation::members(text).filter(|fields| fields.len() > 1)?;
    let named = fields.iter().all(|(name, _)| is_field_name(name));
    let short = |node: &Node| cut(node.flat().trim(), LONGEST_VALUE).to_owned();
    named.then(|| fields.iter().map(|(name, node)| (name.clone(), short(node))).collect())
}

/// Returns whether a key is written as the names of fields are: `petal_width`, not `Note` or `by the way`.
pub(super) fn is_field_name(key: &str) -> bool {
    key.starts_with(|c: char| c.is_ascii_lowercase())
        && key.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

/// Returns whether a key is a title in prose, not the name of a field.
fn is_prose(key: &str) -> bool {
    key.split_whitespace().count() > 2
}

/// Returns whether the value of a key such as `correct` is a verdict, not an answer.
fn is_verdict(key: &str, text: &str) -> bool {
    roles::may_be_score(key)
        && roles::name_words(key).len() <= 2
        && matches!(&*text.to_lowercase(), "true" | "false")
}

/// Parses a score: a number, a boolean, a percentage or a fraction.
fn score(text: &str) -> Option<f64> {
    let text = text.trim();
    match &*text.to_lowercase() {
        "true" | "yes" | "passed" | "pass" => return Some(1.0),
        "false" | "no" | "failed" | "fail" => return Some(0.0),
        _ => {}
    }
    if let Some((part, whole)) = text.split_once('/')
        && let (Some(part), Some(whole)) = (number(part), number(whole))
    {
        return (whole > 0.0).then(|| part / whole);
    }
    if let Some(percent) = text.strip_suffix('%') {
        return Some(number(percent)? / 100.0);
    }
    number(text)
}

/// Returns the start of a string of at most `most` bytes.
fn cut(text: &str, most: usize) -> &str {
    let end = (0..=most.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    &text[..end.unwrap_or_default()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Records {
        let mut records = Records::default();
        records.read(text);
        records
    }

    fn pair(name: &str, value: &str) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    #[test]
    fn roles_are_found_in_every_notation() {
        let expected = Record {
            inputs: vec![pair("message", "late")],
            produced: vec![pair("team", "billing")],
            score: Some(0.0),
            feedback: vec!["Expected shipping.".to_owned()],
            ..Record::default()
        };
        for text in [
            r#"[{"inputs": {"message": "late"}, "outputs": {"team": "billing"}, "score": 0, "feedback": "Expected shipping."}]"#,
            "# Example 1\n## Inputs\n### message\nlate\n## Generated Outputs\n### team\nbilling\n## Score\n0.0\n## \
             Feedback\nExpected shipping.",
            "{'Inputs': {'message': 'late'}, 'Generated Outputs': {'team': 'billing'}, 'success': False, 'Feedback': \
             'Expected shipping.'}",
            r#"{"score": 0.0, "feedback": "Expected shipping.", "trace": [{"predictor": "p", "inputs": {"message": "late"}, "outputs": {"team": "billing"}}]}"#,
            "Inputs:\nmessage: late\nOutputs:\nteam: billing\nScore: 0\nFeedback: Expected shipping.",
        ] {
            let found = read(text);
            assert_eq!(found.list.len(), 1, "{text}\n{found:?}");
            let (found, wanted) = (&found.list[0], &expected);
            assert_eq!((&found.score, &found.feedback), (&wanted.score, &wanted.feedback), "{text}");
        }
    }

    #[test]
    fn a_single_field_has_its_name() {
        let text = "# Example 1\n## Inputs\nmessage: late\n## Expected\nteam: shipping\n\n# Example 2\n## \
                    Inputs\nmessage: dear\n## Expected\nteam: billing";
        let found = read(text);
        let records: Vec<_> =
            found.list.iter().map(|record| (record.inputs.clone(), record.expected.clone())).collect();
        assert_eq!(
            records,
            [
                (vec![pair("message", "late")], vec![pair("team", "shipping")]),
                (vec![pair("message", "dear")], vec![pair("team", "billing")]),
            ]
        );
        // Titles may stand above whole rows.
        let found =
            read("# Example 1\nmessage: late\nteam: shipping\n\n# Example 2\nmessage: dear\nteam: billing");
        assert_eq!(found.rows[1], [pair("message", "dear"), pair("team", "billing")]);
        // Prose with a colon is no field.
        for prose in ["Note: it is late", "by the way: it is late", "P.S.: late"] {
            let found = read(&format!("# Example 1\n## Inputs\n{prose}\n## Expected\nteam: shipping"));
            assert_eq!(found.list[0].inputs, [pair("input", prose)]);
        }
    }

    #[test]
    fn a_title_in_prose_beside_the_inputs_is_no_input() {
        let found = read(
            "# Example 1\n## Inputs\nmessage: late\n## Outputs\nteam: billing\n## Other steps of the \
             run\n`note`: a note, a reply\n## Expected\nteam: shipping\n## Score\n0",
        );
        assert_eq!(found.list[0].inputs, [pair("message", "late")]);
        assert_eq!(found.list[0].expected, [pair("team", "shipping")]);
        let found = read("Text of the case: late\nScore: 0\nExpected: shipping");
        assert_eq!(found.list[0].inputs, [pair("Text of the case", "late")], "there is no other input");
    }

    #[test]
    fn tables_and_histories_are_read() {
        let found = read(r#"[{"message": "a b", "team": "x"}, {"message": "c d", "team": "y"}]"#);
        assert_eq!(found.rows.len(), 2);
        let found = read(
            r#"["Instruction #1: Do it.", "Resulting Score #1: 40", "Instruction #2: Do it well.", "Resulting Score #2: 60"]"#,
        );
        assert_eq!(found.tried, [("Do it.".to_owned(), 40.0), ("Do it well.".to_owned(), 60.0)]);
        let found = read(r#"[{"instruction": "A.", "score": 0.5}, {"instruction": "B.", "score": "70%"}]"#);
        assert_eq!(found.tried, [("A.".to_owned(), 0.5), ("B.".to_owned(), 0.7)]);
        let found = read(
            "# Attempt 1\n## Instruction\nDo it.\nDo it now.\n## Score\n0.25\n\n# Attempt 2\n## Instruction\nDo it \
             well.\n## Score\n0.5",
        );
        assert_eq!(found.tried, [("Do it.\nDo it now.".to_owned(), 0.25), ("Do it well.".to_owned(), 0.5)]);
        let found = read("question: what is it?\nanswer: a cat\n\nquestion: and this?\nanswer: a dog");
        assert_eq!(found.list.len(), 2);
        assert_eq!(found.list[0].answer, [pair("answer", "a cat")]);
        assert!(read("Nothing to see here. It is prose.").is_empty());
    }
}
