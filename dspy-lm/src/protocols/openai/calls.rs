//! Assembly of tool calls from the deltas of a stream.

use serde_json::{Value, json};

use super::tools;
use crate::json::number;
use crate::network::transport::Failure;
use crate::{LmErrorKind, ToolCall};

/// The maximum number of calls in a reply.
const MOST_CALLS: usize = 128;

/// The calls of one completion.
#[derive(Debug, Default)]
pub(super) struct Building(Vec<Begun>);

#[derive(Debug, Default)]
struct Begun {
    index: Option<u64>,
    id: String,
    name: String,
    arguments: String,
}

impl Building {
    /// Adds a delta of a call.
    ///
    /// In the protocol, calls are numbered, the first delta has their id and name, and later ones have only more
    /// arguments. Some servers send the same number for all calls, or none, repeat ids and names in every delta, omit
    /// ids, or send whole calls. The start of another call is therefore detected from all of these together: two
    /// calls must never be merged, and no part of one may be lost.
    pub(super) fn add(&mut self, piece: &Value) -> Result<(), Failure> {
        let said = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or_default().to_owned();
        let index = number(piece.get("index"));
        let (id, name) = (said(piece.get("id")), said(piece.pointer("/function/name")));
        let arguments = match piece.pointer("/function/arguments") {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(more)) => more.clone(),
            Some(whole) => whole.to_string(),
        };
        let piece = Begun { index, id, name, arguments };
        let at = self.place(&piece).unwrap_or(self.0.len());
        if at >= MOST_CALLS || index.is_some_and(|index| index >= MOST_CALLS as u64) {
            return Err(Failure::new(LmErrorKind::Decode, "the index of a call is out of range"));
        }
        if at == self.0.len() {
            self.0.push(Begun { index, ..Begun::default() });
        }
        let call = &mut self.0[at];
        if call.id.is_empty() {
            call.id = piece.id;
        }
        if call.name.is_empty() {
            call.name = piece.name;
        }
        call.arguments.push_str(&piece.arguments);
        Ok(())
    }

    /// Returns the call that a delta continues; `None` if it starts another.
    fn place(&self, piece: &Begun) -> Option<usize> {
        let numbered =
            |call: &Begun| piece.index.is_none() || call.index.is_none() || call.index == piece.index;
        if !piece.id.is_empty()
            && let Some(at) = self.0.iter().rposition(|call| call.id == piece.id && numbered(call))
        {
            return Some(at);
        }
        // The latest with its number, or the latest of all.
        let at = self.0.iter().rposition(|call| match piece.index {
            Some(_) => call.index == piece.index || call.index.is_none(),
            None => true,
        })?;
        self.0[at].goes_on_with(piece).then_some(at)
    }

    /// Returns the calls in the order of their numbers.
    pub(super) fn finish(mut self) -> Result<Vec<ToolCall>, Failure> {
        if self.0.iter().all(|call| call.index.is_some()) {
            self.0.sort_by_key(|call| call.index);
        }
        let begun = |call: &Begun| !(call.name.is_empty() && call.id.is_empty() && call.arguments.is_empty());
        let calls =
            self.0.into_iter().filter(begun).map(
                |call| json!({"id": call.id, "function": {"name": call.name, "arguments": call.arguments}}),
            );
        tools::read_calls(calls.collect())
    }

    /// Reads the legacy form for a single call: `{"name": …, "arguments": …}`.
    pub(super) fn legacy(call: &Value) -> Result<Vec<ToolCall>, Failure> {
        if !call.is_object() {
            return Ok(Vec::new());
        }
        tools::read_calls(json!([{ "function": call }]))
    }
}

impl Begun {
    /// Returns whether a delta with the same number can continue this call.
    fn goes_on_with(&self, piece: &Begun) -> bool {
        if piece.name.is_empty() {
            // Only more arguments. A new id has no meaning here: some servers create one for every delta.
            return true;
        }
        let other_id = !self.id.is_empty() && !piece.id.is_empty();
        let other_name = !self.name.is_empty() && self.name != piece.name;
        if other_id || other_name {
            return false;
        }
        // The same name: repeated in every delta, or another call of the same tool.
        match (self.arguments.is_empty(), piece.arguments.is_empty()) {
            (true, true) => piece.index.is_some() || self.name.is_empty() || !self.id.is_empty(),
            (false, false) => !is_whole(&self.arguments),
            // The name first and then the rest of the call, or the name repeated after it.
            _ => true,
        }
    }
}

/// Returns whether arguments are complete, so that nothing can follow them.
fn is_whole(arguments: &str) -> bool {
    serde_json::from_str::<serde_json::Map<String, Value>>(arguments).is_ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(pieces: &[Value]) -> Vec<(String, String, Value)> {
        let mut building = Building::default();
        pieces.iter().for_each(|piece| building.add(piece).unwrap());
        let calls = building.finish().unwrap().into_iter();
        calls.map(|call| (call.id.unwrap_or_default(), call.name, call.arguments)).collect()
    }

    fn call(id: &str, name: &str, arguments: Value) -> (String, String, Value) {
        (id.to_owned(), name.to_owned(), arguments)
    }

    #[test]
    fn calls_in_the_ways_of_many_servers() {
        let two = [call("a", "f", json!({"x": 1})), call("b", "f", json!({"x": 2}))];
        let one = [call("a", "f", json!({"x": 1}))];
        let f = |arguments: &str| json!({"name": "f", "arguments": arguments});
        let more = |arguments: &str| json!({ "arguments": arguments });
        for (what, pieces, calls) in [
            (
                "all are number 0, whole",
                vec![
                    json!({"index": 0, "id": "a", "function": f("{\"x\": 1}")}),
                    json!({"index": 0, "id": "b", "function": f("{\"x\": 2}")}),
                ],
                &two[..],
            ),
            (
                "all are number 0, in pieces",
                vec![
                    json!({"index": 0, "id": "a", "function": f("")}),
                    json!({"index": 0, "function": more("{\"x\"")}),
                    json!({"index": 0, "function": more(": 1}")}),
                    json!({"index": 0, "id": "b", "function": f("")}),
                    json!({"index": 0, "function": more("{\"x\": 2}")}),
                ],
                &two,
            ),
            (
                "none has a number",
                vec![
                    json!({"index": null, "id": "a", "function": f("{\"x\"")}),
                    json!({"function": more(": 1}")}),
                    json!({"id": "b", "function": f("{\"x\": 2}")}),
                ],
                &two,
            ),
            (
                "ids with every piece, in turn",
                vec![
                    json!({"index": 0, "id": "a", "function": f("{\"x\"")}),
                    json!({"index": 0, "id": "b", "function": f("{\"x\"")}),
                    json!({"index": 0, "id": "a", "function": more(": 1}")}),
                    json!({"index": 0, "id": "b", "function": more(": 2}")}),
                ],
                &two,
            ),
            (
                "ids and names with every piece",
                vec![
                    json!({"index": 0, "id": "a", "function": f("{\"x\"")}),
                    json!({"index": 0, "id": "a", "function": f(": 1}")}),
                    json!({"index": 1, "id": "b", "function": f("{\"x\": 2")}),
                    json!({"index": 1, "id": "b", "function": f("}")}),
                ],
                &two,
            ),
            (
                "a new id with every piece",
                vec![
                    json!({"index": 0, "id": "a", "function": f("{\"x\"")}),
                    json!({"index": 0, "id": "a2", "function": more(": 1}")}),
                ],
                &one,
            ),
            (
                "the id after the name",
                vec![
                    json!({"index": 0, "function": f("")}),
                    json!({"index": 0, "id": "a", "function": more("{\"x\": 1}")}),
                ],
                &one,
            ),
            (
                "numbers out of order, as text and as a float",
                vec![
                    json!({"index": "1", "id": "b", "function": f("{\"x\": 2}")}),
                    json!({"index": 0.0, "id": "a", "function": f("{\"x\": 1}")}),
                ],
                &two,
            ),
            (
                "one id for two numbers",
                vec![
                    json!({"index": 0, "id": "a", "function": f("{\"x\": 1}")}),
                    json!({"index": 1, "id": "a", "function": f("{\"x\": 2}")}),
                ],
                &[call("a", "f", json!({"x": 1})), call("a", "f", json!({"x": 2}))],
            ),
            (
                "neither numbers nor ids",
                vec![
                    json!({"function": f("{\"x\": 1}")}),
                    json!({"function": {"name": "f", "arguments": {"x": 2}}}),
                    json!({"function": {"name": "g", "arguments": "{}"}}),
                ],
                &[call("", "f", json!({"x": 1})), call("", "f", json!({"x": 2})), call("", "g", json!({}))],
            ),
            (
                "names with every piece, and neither numbers nor ids",
                vec![
                    json!({"function": f("")}),
                    json!({"function": f("{\"x\"")}),
                    json!({"function": f(": 1}")}),
                    json!({"function": f("")}),
                ],
                &[call("", "f", json!({"x": 1}))],
            ),
            (
                "tools without arguments",
                vec![
                    json!({"index": 0, "id": "a", "function": {"name": "f", "arguments": ""}}),
                    json!({"index": 0, "id": "b", "function": {"name": "f", "arguments": ""}}),
                    json!({"index": 0, "id": "c", "function": {"name": "g"}}),
                ],
                &[call("a", "f", json!({})), call("b", "f", json!({})), call("c", "g", json!({}))],
            ),
        ] {
            assert_eq!(read(&pieces), calls, "{what}");
        }
    }

    #[test]
    fn arguments_of_nobody_are_an_error() {
        let mut building = Building::default();
        building.add(&json!({"index": 0, "function": {"arguments": "{\"x\": 1}"}})).unwrap();
        assert_eq!(building.finish().unwrap_err().kind, LmErrorKind::Decode);
        let mut building = Building::default();
        building.add(&json!({"index": 0})).unwrap();
        assert_eq!(building.finish(), Ok(Vec::new()));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(500) })]

        /// Calls are read back unchanged, wherever they are split and however they are numbered.
        #[test]
        fn calls_are_neither_merged_nor_lost(
            calls in proptest::collection::vec(("[fg]", "[ -~]{0,8}", proptest::collection::vec(0usize..30, 0..3)), 1..5),
            numbers in 0..3usize,
            repeat in any::<[bool; 2]>(),
        ) {
            let (mut pieces, mut expected) = (Vec::new(), Vec::new());
            for (at, (name, text, cuts)) in calls.iter().enumerate() {
                let (id, arguments) = (format!("id{at}"), json!({"text": text}));
                let written = arguments.to_string();
                let mut cuts: Vec<usize> = cuts.iter().map(|cut| *cut.min(&written.len())).collect();
                cuts.extend([0, written.len()]);
                cuts.sort_unstable();
                for (number, pair) in cuts.windows(2).enumerate() {
                    let mut piece = json!({"function": {"arguments": written[pair[0]..pair[1]]}});
                    match numbers {
                        0 => piece["index"] = at.into(),
                        1 => piece["index"] = 0.into(),
                        _ => {}
                    }
                    if number == 0 || repeat[0] {
                        piece["id"] = id.as_str().into();
                    }
                    if number == 0 || repeat[1] {
                        piece["function"]["name"] = name.as_str().into();
                    }
                    pieces.push(piece);
                }
                expected.push(call(&id, name, arguments));
            }
            prop_assert_eq!(read(&pieces), expected);
        }
    }
}
