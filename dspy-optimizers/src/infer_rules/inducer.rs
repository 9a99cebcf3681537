//! The induction of rules by a language model.

use dspy_core::Result;
use dspy_core::lm::{Lm, LmErrorKind};
use dspy_core::predict::DynPredict;
use dspy_core::program::{HasPredictors as _, Module as _, Settings};
use dspy_core::signature::{SignatureSpec, Values};
use serde_json::Value;

use super::prompts;
use crate::proposer::{Room, clean, describe_signature, labelled};

/// The largest length of rules, in characters.
const LONGEST: usize = 10_000;

/// The largest length of the examples in a prompt, in characters.
const MOST_SHOWN: usize = 100_000;

/// A program that induces rules.
#[derive(Debug, Clone)]
pub(super) struct Inducer(DynPredict);

/// A request for the rules of a predictor.
pub(super) struct Induction<'a> {
    pub(super) spec: &'a SignatureSpec,
    pub(super) examples: &'a [Values],
    pub(super) most_rules: usize,
    /// The number of the sample.
    pub(super) sample: u64,
}

impl Inducer {
    pub(super) fn new(lm: Option<&Lm>, temperature: f64) -> Self {
        let mut induce = DynPredict::new(prompts::induce());
        if let Some(lm) = lm {
            induce.set_lm(lm.clone());
        }
        let mut params = induce.predictor().params().clone();
        params.temperature = Some(temperature);
        induce.predictor_mut().set_params(params);
        Inducer(induce)
    }

    /// Returns what determines the rules besides the requests.
    pub(super) fn identity(&self) -> Value {
        crate::identity::program_identity(&self.0)
    }

    /// Returns rules; `None` if the reply has none. If the prompt exceeds the context window, it is tried again without
    /// the last tenth of the examples.
    pub(super) async fn induce(&self, request: &Induction<'_>) -> Result<Option<String>> {
        let mut examples = request.examples;
        let room = Room::of(MOST_SHOWN);
        let mut shown = labelled(examples, request.spec, &room);
        loop {
            let mut inputs = Values::new();
            inputs.insert("task".into(), describe_signature(request.spec).into());
            let instruction = request.spec.instruction();
            if !instruction.is_empty() {
                inputs.insert("instruction".into(), instruction.as_ref().into());
            }
            inputs.insert("examples".into(), shown.as_str().into());
            inputs.insert("most_rules".into(), request.most_rules.into());
            let call = Settings::new().rollout(request.sample).scope(self.0.call(inputs)).await;
            match call {
                Err(error) if examples.len() > 1 && exceeds_window(&error) => {
                    let before = std::mem::take(&mut shown);
                    // There may be more examples than the prompt has shown.
                    while examples.len() > 1 && (shown.is_empty() || shown == before) {
                        examples = &examples[..examples.len() - (examples.len() / 10).max(1)];
                        shown = labelled(examples, request.spec, &room);
                    }
                }
                Err(error) => return Err(error),
                Ok(reply) => {
                    return Ok(rules(reply["rules"].as_str().unwrap_or_default(), request.most_rules));
                }
            }
        }
    }
}

fn exceeds_window(error: &dspy_core::Error) -> bool {
    error.as_lm().is_some_and(|error| error.kind == LmErrorKind::ContextWindow)
}

/// Returns the first rules of a reply, at most `most`, with the headings above them.
fn rules(reply: &str, most: usize) -> Option<String> {
    let reply = clean(reply, LONGEST)?;
    let (mut lines, mut until, mut count) = (Vec::new(), 0, 0);
    for line in reply.lines().filter(|line| !line.trim().is_empty()) {
        if count == most {
            break;
        }
        lines.push(line);
        if !is_heading(line) {
            count += 1;
            until = lines.len();
        }
    }
    (count > 0).then(|| lines[..until].join("\n"))
}

/// Returns whether a line is a heading or introduces the lines below it, so that it is no rule by itself.
fn is_heading(line: &str) -> bool {
    let line = line.trim();
    line.starts_with('#') || line.trim_end_matches('*').ends_with(':')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headings_are_no_rules() {
        let reply = "## Rules\n\nFor animals:\n1. A cow says moo.\n2. A cat says meow.\n**For birds:**\n3. An owl hoots.";
        let first = |most| rules(reply, most);
        assert_eq!(first(1).as_deref(), Some("## Rules\nFor animals:\n1. A cow says moo."));
        let two = "## Rules\nFor animals:\n1. A cow says moo.\n2. A cat says meow.";
        assert_eq!(first(2).as_deref(), Some(two), "no heading without a rule below it");
        assert_eq!(first(3).map(|rules| rules.lines().count()), Some(6));
        assert_eq!(rules("# Rules\nHere they are:", 5), None);
        assert_eq!(rules(" \n", 5), None);
    }
}
