//! Indexes over the demonstrations of a program.

use std::sync::Arc;

use dspy_core::Result;
use dspy_core::lm::Embedder;
use dspy_core::program::HasPredictors;
use dspy_core::retrieve::{Bm25, Retriever, VectorIndex};
use dspy_core::signature::{Demo, SignatureSpec};
use serde_json::{Map, Value};

/// The input of a program in comparable form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Query {
    /// The names of its fields; empty if it has none, such as a string.
    pub(super) names: Vec<String>,
    pub(super) text: String,
}

impl Query {
    pub(super) fn of(input: &Value) -> Self {
        match input {
            Value::Object(fields) => {
                let names = fields.keys().cloned().collect();
                Query { names, text: text_of(fields.values()) }
            }
            other => Query { names: Vec::new(), text: text_of([other]) },
        }
    }
}

fn text_of<'v>(values: impl IntoIterator<Item = &'v Value>) -> String {
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    };
    values.into_iter().map(text).collect::<Vec<_>>().join("\n")
}

/// Returns the text by which a demonstration is found: its values of the program's input fields, or, if it has
/// none, all values except the outputs of its predictor.
fn key(demo: &Demo, spec: &SignatureSpec, names: &[String]) -> String {
    let is_output = |name: &str| spec.outputs().any(|field| field.name() == name);
    let of_input: Vec<&Value> = names
        .iter()
        .filter(|name| !is_output(name))
        .filter_map(|name| demo.values.get(name.as_str()))
        .collect();
    if of_input.is_empty() {
        text_of(demo.values.iter().filter(|(name, _)| !is_output(name)).map(|(_, value)| value))
    } else {
        text_of(of_input)
    }
}

/// Adds the values of a program's input to a demonstration whose predictor has no fields of these names, so
/// that it is found by the input. Prompts do not show them.
pub(super) fn add_input(demo: &mut Demo, input: &Map<String, Value>, spec: &SignatureSpec) {
    for (name, value) in input {
        if spec.field(name).is_none() && !demo.values.contains_key(name) {
            demo.values.insert(name.clone(), value.clone());
        }
    }
}

/// The search over the demonstrations of each predictor of a program.
pub(super) struct Index {
    /// The searches over different lists of texts, with the lists.
    searches: Vec<(Vec<String>, Arc<dyn Retriever>)>,
    /// The position in `searches` of each predictor, in the order of the program; `None` if all of its
    /// demonstrations are shown.
    of_predictor: Vec<Option<usize>>,
}

impl Index {
    /// Indexes the demonstrations of predictors with more than `all` of them.
    pub(super) async fn new(
        program: &(impl HasPredictors + Sync),
        names: &[String],
        all: usize,
        embedder: Option<&Embedder>,
    ) -> Result<Self> {
        let mut lists: Vec<Vec<String>> = Vec::new();
        let mut of_predictor = Vec::new();
        for (_, predictor) in program.named_predictors() {
            if predictor.demos().len() <= all {
                of_predictor.push(None);
                continue;
            }
            let keys: Vec<_> =
                predictor.demos().iter().map(|demo| key(demo, predictor.spec(), names)).collect();
            // Predictors that were called once per row have the same texts.
            let known = lists.iter().position(|list| *list == keys);
            of_predictor.push(Some(known.unwrap_or_else(|| {
                lists.push(keys);
                lists.len() - 1
            })));
        }
        let mut searches: Vec<(Vec<String>, Arc<dyn Retriever>)> = Vec::new();
        for list in lists {
            let search: Arc<dyn Retriever> = match embedder {
                Some(embedder) => Arc::new(VectorIndex::new(embedder.clone(), list.iter().cloned()).await?),
                None => Arc::new(Bm25::new(list.iter().cloned())),
            };
            searches.push((list, search));
        }
        Ok(Index { searches, of_predictor })
    }

    /// Returns the demonstrations to show, by predictor in the order of the program: the indices of the `k`
    /// nearest, the nearest last; `None` for all. Those with the same text are left out if `leave_out` is set.
    pub(super) async fn nearest(
        &self,
        query: &str,
        k: usize,
        leave_out: bool,
    ) -> Result<Vec<Option<Vec<usize>>>> {
        let mut found = Vec::new();
        for (texts, search) in &self.searches {
            let usable = |at: &usize| !leave_out || texts[*at] != query;
            let same = (0..texts.len()).filter(|at| !usable(at)).count();
            let hits = search.search(query, k + same).await?.into_iter().map(|hit| hit.index);
            let mut best: Vec<usize> = hits.filter(usable).take(k).collect();
            // Demonstrations that have nothing in common with the input show the format, if nothing else.
            for other in (0..texts.len()).filter(usable) {
                if best.len() >= k {
                    break;
                }
                if !best.contains(&other) {
                    best.push(other);
                }
            }
            best.reverse();
            found.push(best);
        }
        Ok(self.of_predictor.iter().map(|at| at.map(|at| found[at].clone())).collect())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn values(value: Value) -> Map<String, Value> {
        value.as_object().cloned().unwrap()
    }

    #[test]
    fn demonstrations_are_found_by_the_input_of_the_program() {
        let spec: SignatureSpec = "note -> answer".parse().unwrap();
        let names = ["question".to_owned(), "answer".to_owned()];
        let mut demo = Demo::new(values(json!({"note": "n", "answer": "a"})));
        assert_eq!(key(&demo, &spec, &names), "n", "an output is never part of it");
        add_input(&mut demo, &values(json!({"question": "q", "answer": "other", "count": 3})), &spec);
        assert_eq!(demo.values["answer"], "a");
        assert_eq!(key(&demo, &spec, &names), "q");
        assert_eq!(key(&demo, &spec, &[]), "n\nq\n3");
        let query = Query::of(&json!({"question": "q", "tags": ["x"], "none": null}));
        assert_eq!((query.names.len(), query.text.as_str()), (3, "q\n[\"x\"]\n"));
        assert_eq!(Query::of(&json!("q")), Query { names: Vec::new(), text: "q".into() });
    }
}
