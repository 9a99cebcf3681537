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
    /// Its fields; empty if it has none, such as a string.
    fields: Map<String, Value>,
    pub(super) text: String,
}

impl Query {
    pub(super) fn of(input: Value) -> Self {
        match input {
            Value::Object(fields) => Query { text: text_of(fields.values()), fields },
            other => Query { text: text_of([&other]), fields: Map::new() },
        }
    }

    /// Returns the names of its fields.
    pub(super) fn names(&self) -> Vec<String> {
        self.fields.keys().cloned().collect()
    }

    /// Returns whether a demonstration is about this input: its values of the input's fields are the same. Outputs of
    /// its predictor are not compared, as other inputs may have them.
    pub(super) fn is_of(&self, demo: &Demo, spec: &SignatureSpec) -> bool {
        let mut same = self
            .fields
            .iter()
            .filter(|(name, _)| !is_output(spec, name))
            .filter_map(|(name, value)| Some(demo.values.get(name.as_str())? == value));
        match same.next() {
            Some(first) => first && same.all(|same| same),
            None => key(demo, spec, &[]) == self.text,
        }
    }
}

fn is_output(spec: &SignatureSpec, name: &str) -> bool {
    spec.outputs().any(|field| field.name() == name)
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
    let of_input: Vec<&Value> = names
        .iter()
        .filter(|name| !is_output(spec, name))
        .filter_map(|name| demo.values.get(name.as_str()))
        .collect();
    if of_input.is_empty() {
        text_of(demo.values.iter().filter(|(name, _)| !is_output(spec, name)).map(|(_, value)| value))
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
    /// The searches over different lists of texts, with the lengths of the lists.
    searches: Vec<(usize, Arc<dyn Retriever>)>,
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
        let mut searches: Vec<(usize, Arc<dyn Retriever>)> = Vec::new();
        for list in lists {
            let length = list.len();
            let search: Arc<dyn Retriever> = match embedder {
                Some(embedder) => Arc::new(VectorIndex::new(embedder.clone(), list).await?),
                None => Arc::new(Bm25::new(list)),
            };
            searches.push((length, search));
        }
        Ok(Index { searches, of_predictor })
    }

    /// Returns the demonstrations to show, by predictor in the order of the program: the indices of the `k`
    /// nearest, the nearest last; `None` for all. `omitted` has those that are not shown, by predictor and in order;
    /// none if it is empty.
    pub(super) async fn nearest(
        &self,
        query: &str,
        k: usize,
        omitted: &[Vec<usize>],
    ) -> Result<Vec<Option<Vec<usize>>>> {
        let mut found: Vec<(usize, &[usize], Vec<usize>)> = Vec::new();
        let mut shown = Vec::new();
        for (place, search) in self.of_predictor.iter().enumerate() {
            let Some(search) = *search else {
                shown.push(None);
                continue;
            };
            let omitted = omitted.get(place).map_or(&[][..], Vec::as_slice);
            let known = found.iter().find(|(other, others, _)| (*other, *others) == (search, omitted));
            let best = match known {
                Some((_, _, best)) => best.clone(),
                None => {
                    let best = self.best(search, query, k, omitted).await?;
                    found.push((search, omitted, best.clone()));
                    best
                }
            };
            shown.push(Some(best));
        }
        Ok(shown)
    }

    async fn best(&self, search: usize, query: &str, k: usize, omitted: &[usize]) -> Result<Vec<usize>> {
        let (length, search) = &self.searches[search];
        let usable = |at: &usize| omitted.binary_search(at).is_err();
        let wanted = k.saturating_add(omitted.len()).min(*length);
        let hits = search.search(query, wanted).await?.into_iter().map(|hit| hit.index);
        let mut best: Vec<usize> = hits.filter(usable).take(k).collect();
        // Demonstrations that have nothing in common with the input show the format, if nothing else.
        for other in (0..*length).filter(usable) {
            if best.len() >= k {
                break;
            }
            if !best.contains(&other) {
                best.push(other);
            }
        }
        best.reverse();
        Ok(best)
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
        let query = Query::of(json!({"question": "q", "tags": ["x"], "none": null}));
        assert_eq!((query.names().len(), query.text.as_str()), (3, "q\n[\"x\"]\n"));
        assert_eq!(Query::of(json!("q")), Query { fields: Map::new(), text: "q".into() });
    }

    #[test]
    fn a_demonstration_is_about_an_input_if_all_values_that_both_have_are_the_same() {
        let spec: SignatureSpec = "question -> note".parse().unwrap();
        let demo = |value: Value| Demo::new(values(value));
        let query = Query::of(json!({"question": "q", "note": "given", "more": null}));
        for (value, wanted) in [
            (json!({"question": "q", "note": "n"}), true),
            (json!({"question": "q", "note": "given", "more": null}), true),
            (json!({"question": "q", "note": "n", "more": 1}), false),
            (json!({"question": "other", "note": "given"}), false),
            (json!({"note": "given"}), false),
        ] {
            assert_eq!(query.is_of(&demo(value.clone()), &spec), wanted, "{value}");
        }
        assert!(Query::of(json!("q")).is_of(&demo(json!({"question": "q", "note": "n"})), &spec));
    }
}
