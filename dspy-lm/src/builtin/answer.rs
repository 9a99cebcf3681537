//! Values for the outputs of a signature, one function for each kind of type.

use std::borrow::Cow;

use serde_json::Value;

use super::choice_hints::ChoiceHints;
use super::classify::{Classifier, Verdict};
use super::extract::{Extract, extract, mentions};
use super::features::Weights;
use super::input::Input;
use super::number::{self, Limits};
use super::prepared::Prepared;
use super::prompt::Field;
use super::propose::Proposal;
use super::sampler::Sampler;
use super::text_form::TextForm;
use super::text_rules;
use super::value_type::{Member, ValueType, plain};

/// The maximum depth of nested values; deeper ones are null.
const DEPTH: usize = 8;
/// The minimum similarity at which a whole list or map is copied from a demonstration.
const ALIKE: f64 = 0.25;
/// Word stems that mark an output of type text as an explanation of the output after it.
const REASON_STEMS: &[&str] =
    &["reason", "rational", "explan", "explain", "thought", "think", "step", "justif", "justific", "why"];

/// A value, and a sentence that names the evidence for it.
#[derive(Debug, Clone, Default)]
pub(super) struct Answer {
    pub(super) value: Value,
    why: String,
}

/// Returns values for all outputs, in their order.
pub(super) fn answer_all(prepared: &Prepared<'_>, sampler: &mut Sampler) -> Vec<Answer> {
    let fitted = prepared.fitted;
    let outputs = &fitted.brief.outputs;
    let explains = |at: usize| {
        at + 1 < outputs.len() && outputs[at].kind.is_text() && mentions(&outputs[at], REASON_STEMS)
    };
    let proposal = prepared.proposal.as_ref().map(|proposal| (proposal, proposal.draft(sampler)));
    let mut answers: Vec<Option<Answer>> = (0..outputs.len())
        .map(|at| {
            if let Some((proposal, draft)) = &proposal {
                if let Some(value) = proposal.value(at, &outputs[at], draft) {
                    return Some(Answer { value, why: Proposal::explanation(draft) });
                }
                if explains(at) {
                    return Some(Answer { value: Proposal::explanation(draft).into(), why: String::new() });
                }
            }
            let rejected = prepared.question.rejected.get(at).and_then(Option::as_ref);
            (!explains(at)).then(|| answer(prepared, &outputs[at], &fitted.targets[at], rejected, sampler, 0))
        })
        .collect();
    for at in (0..outputs.len()).rev() {
        if answers[at].is_none() {
            // The explanation comes first in the reply, but is taken from the evidence for the next output.
            let why = answers.get(at + 1).and_then(Option::as_ref).map(|next| next.why.clone());
            let why = why.unwrap_or_default();
            answers[at] = Some(Answer { value: why.clone().into(), why });
        }
    }
    answers.into_iter().map(Option::unwrap_or_default).collect()
}

fn answer(
    prepared: &Prepared<'_>,
    field: &Field,
    targets: &[Option<Value>],
    rejected: Option<&Value>,
    sampler: &mut Sampler,
    depth: usize,
) -> Answer {
    if depth > DEPTH {
        return Answer::default();
    }
    let inner = |kind: &ValueType| Field { kind: kind.clone(), ..field.clone() };
    match &field.kind {
        ValueType::Text | ValueType::Any => text(prepared, field, targets, sampler),
        ValueType::Choice(choices) => choice(prepared, field, choices, targets, rejected, sampler),
        ValueType::Integer | ValueType::Number => numeric(prepared, field, targets),
        ValueType::Nullable(kind) => {
            if is_null(prepared, targets) {
                return Answer { value: Value::Null, why: "Similar examples leave this open.".into() };
            }
            let present: Vec<_> =
                targets.iter().map(|target| target.clone().filter(|v| !v.is_null())).collect();
            answer(prepared, &inner(kind), &present, rejected, sampler, depth + 1)
        }
        ValueType::Object(members) => {
            let mut answers = Vec::new();
            for member in members.iter().filter(|member| !left_out(member, targets)) {
                let of_member = |target: &Option<Value>| target.as_ref()?.get(&member.name).cloned();
                let targets: Vec<_> = targets.iter().map(of_member).collect();
                let field = Field {
                    name: member.name.clone(),
                    description: member.note.clone(),
                    kind: member.kind.clone(),
                    limits: member.note.clone(),
                    choices: Vec::new(),
                };
                let answer = answer(prepared, &field, &targets, None, sampler, depth + 1);
                answers.push((member.name.clone(), answer));
            }
            let why = answers.iter().map(|(_, answer)| answer.why.as_str()).find(|why| !why.is_empty());
            let why = why.unwrap_or_default().to_owned();
            let members = answers.into_iter().map(|(name, answer)| (name, answer.value));
            Answer { value: super::prompt::object(members), why }
        }
        ValueType::Tuple(kinds) => {
            let mut items = Vec::new();
            for (at, kind) in kinds.iter().enumerate() {
                let targets: Vec<_> =
                    targets.iter().map(|target| target.as_ref()?.get(at).cloned()).collect();
                items.push(answer(prepared, &inner(kind), &targets, None, sampler, depth + 1).value);
            }
            Answer { value: Value::Array(items), why: String::new() }
        }
        ValueType::List(item) => list(prepared, field, item, targets, sampler, depth),
        ValueType::Map => match taken_over(prepared, targets) {
            Some(value) => Answer { value, why: "Taken over from the most similar example.".into() },
            None => Answer { value: super::prompt::object([]), why: String::new() },
        },
    }
}

/// Returns whether a member is omitted: it is optional and no demonstration has it.
fn left_out(member: &Member, targets: &[Option<Value>]) -> bool {
    member.optional && !targets.iter().flatten().any(|target| target.get(&member.name).is_some())
}

fn text(prepared: &Prepared<'_>, field: &Field, targets: &[Option<Value>], sampler: &mut Sampler) -> Answer {
    // A few strings that recur in the demonstrations are treated as labels, although the type is text.
    let labels = repeated_labels(targets);
    if !labels.is_empty() {
        let choices: Vec<Value> = labels.into_iter().map(Cow::into_owned).collect();
        let classifier = prepared.fitted.classifier(field, &choices, targets);
        return judged(prepared, &classifier, None, sampler);
    }
    let instruction = &prepared.fitted.brief.instruction;
    let labels = text_rules::stated_labels(field, instruction);
    if labels.len() > 1 && targets.iter().flatten().all(|target| labels.contains(target)) {
        let classifier = prepared.fitted.classifier(field, &labels, targets);
        return judged(prepared, &classifier, None, sampler);
    }
    let form = TextForm::read(field, instruction, &prepared.fitted.brief.inputs, &prepared.texts);
    let Extract { text, why } = extract(prepared, field, targets, &form, sampler);
    let mut text = form.apply(text);
    if let Some(limit) = longest(&field.limits)
        && let Some((end, _)) = text.char_indices().nth(limit)
    {
        text.truncate(end);
    }
    Answer { value: text.into(), why }
}

/// Returns the maximum number of characters of a string, if the limits state one.
pub(super) fn longest(limits: &str) -> Option<usize> {
    limits.split("; ").find_map(|phrase| {
        let phrase = phrase.strip_suffix(" characters")?;
        phrase.rsplit(' ').next()?.parse().ok().filter(|_| !phrase.starts_with("at least"))
    })
}

/// Returns the distinct strings of the demonstrations if there are at most half as many as demonstrations,
/// and nothing if there are fewer than four demonstrations.
fn repeated_labels(targets: &[Option<Value>]) -> Vec<Cow<'_, Value>> {
    const FEWEST: usize = 4;
    let mut counts: Vec<(&Value, usize)> = Vec::new();
    let given: Vec<&Value> = targets.iter().flatten().collect();
    for target in &given {
        match counts.iter().position(|(known, _)| known == target) {
            Some(at) => counts[at].1 += 1,
            // There are too many different strings for labels, so the rest is not read.
            None if counts.len() > 128 => return Vec::new(),
            None => counts.push((target, 1)),
        }
    }
    if given.len() < FEWEST || counts.len() * 2 > given.len() {
        return Vec::new();
    }
    counts.into_iter().map(|(value, _)| Cow::Borrowed(value)).collect()
}

fn choice(
    prepared: &Prepared<'_>,
    field: &Field,
    choices: &[Value],
    targets: &[Option<Value>],
    rejected: Option<&Value>,
    sampler: &mut Sampler,
) -> Answer {
    if let Some(classifier) = prepared.fitted.ready_classifier(field) {
        return judged(prepared, classifier, rejected, sampler);
    }
    let classifier = prepared.fitted.classifier(field, choices, targets);
    judged(prepared, &classifier, rejected, sampler)
}

fn judged(
    prepared: &Prepared<'_>,
    classifier: &Classifier,
    rejected: Option<&Value>,
    sampler: &mut Sampler,
) -> Answer {
    let fitted = prepared.fitted;
    let mut verdict = classifier.judge(&prepared.input, &prepared.weighed, &fitted.weighed, &fitted.weights);
    let choices = classifier.choices();
    if let Some(at) = choices.iter().position(|choice| Some(choice) == rejected) {
        verdict.scores[at] = f64::NEG_INFINITY;
    }
    let Some(at) = sampler.pick(&verdict.scores) else { return Answer::default() };
    let why = because(&verdict, at, &plain(&choices[at]), classifier.label_of(verdict.nearest));
    Answer { value: choices[at].clone(), why }
}

/// Returns a sentence that names the evidence for a choice.
fn because(verdict: &Verdict, choice: usize, name: &str, nearest: Option<usize>) -> String {
    let mut words: Vec<(&str, f64)> = verdict
        .words
        .iter()
        .filter(|(_, of, weight)| *of == choice && *weight > 0.0)
        .map(|(word, _, weight)| (word.as_str(), *weight))
        .collect();
    words.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(b.0)));
    let words: Vec<String> = words.iter().take(3).map(|(word, _)| format!("\"{word}\"")).collect();
    let words = words.join(", ");
    let similar = verdict.nearest.filter(|(_, similarity)| *similarity > 0.05 && nearest == Some(choice));
    match (similar, words.is_empty()) {
        (Some(_), false) => format!("The most similar example is {name}, and {words} points to {name} too."),
        (Some(_), true) => format!("The most similar example is {name}."),
        (None, false) => format!("The input has {words}, which points to {name}."),
        (None, true) => format!("Nothing points clearly to one answer; {name} is the best guess."),
    }
}

fn numeric(prepared: &Prepared<'_>, field: &Field, targets: &[Option<Value>]) -> Answer {
    let whole = field.kind == ValueType::Integer;
    let texts: Vec<String> = prepared
        .nearest
        .iter()
        .map(|(case, _)| {
            prepared.fitted.texts[*case].iter().flatten().map(String::as_str).collect::<Vec<_>>().join("\n")
        })
        .collect();
    let examples: Vec<_> = prepared
        .nearest
        .iter()
        .zip(&texts)
        .filter_map(|((case, similarity), text)| {
            let target = targets.get(*case)?.as_ref()?.as_f64()?;
            Some(number::Example { text, similarity: *similarity, target })
        })
        .collect();
    let stated = number::Pattern::stated(&prepared.fitted.brief.instruction);
    let limits = Limits::read(&field.limits, whole);
    let (number, why) = number::estimate(&prepared.text(), &examples, limits, stated);
    Answer { value: number::to_value(number, whole), why }
}

/// Returns whether a nullable field is null in the similar demonstrations, weighted by similarity.
fn is_null(prepared: &Prepared<'_>, targets: &[Option<Value>]) -> bool {
    let (mut open, mut given) = (0.0, 0.0);
    for (case, similarity) in prepared.nearest.iter().take(number::NEIGHBOURS) {
        match targets.get(*case).and_then(Option::as_ref) {
            Some(Value::Null) => open += similarity * similarity + 1e-6,
            Some(_) => given += similarity * similarity + 1e-6,
            None => {}
        }
    }
    open > given
}

/// Returns the value of the most similar demonstration that has one, if its similarity is at least [`ALIKE`].
fn taken_over(prepared: &Prepared<'_>, targets: &[Option<Value>]) -> Option<Value> {
    let mut near = prepared.nearest.iter().filter(|(_, similarity)| *similarity >= ALIKE);
    near.find_map(|(case, _)| targets.get(*case)?.clone())
}

fn list(
    prepared: &Prepared<'_>,
    field: &Field,
    item: &ValueType,
    targets: &[Option<Value>],
    sampler: &mut Sampler,
    depth: usize,
) -> Answer {
    if let ValueType::Choice(choices) = item
        && let Some(answer) = parallel(prepared, field, choices, targets, sampler)
    {
        return answer;
    }
    if let Some(value @ Value::Array(_)) = taken_over(prepared, targets) {
        return Answer { value, why: "Taken over from the most similar example.".into() };
    }
    let must = |phrase: &str| {
        let count = phrase.strip_suffix(" items")?;
        let count =
            count.strip_prefix("at least ").or_else(|| count.strip_prefix("exactly ")).unwrap_or(count);
        count.split(' ').next()?.parse::<usize>().ok()
    };
    let fewest =
        field.limits.split("; ").filter(|p| !p.starts_with("at most")).find_map(must).unwrap_or_default();
    let member = Field { kind: item.clone(), limits: String::new(), ..field.clone() };
    let answers: Vec<Answer> =
        (0..fewest.min(64)).map(|_| answer(prepared, &member, &[], None, sampler, depth + 1)).collect();
    Answer { value: answers.into_iter().map(|answer| answer.value).collect(), why: String::new() }
}

/// Chooses a value for each item of an input list; `None` if no input is a list.
fn parallel(
    prepared: &Prepared<'_>,
    field: &Field,
    choices: &[Value],
    targets: &[Option<Value>],
    sampler: &mut Sampler,
) -> Option<Answer> {
    let fitted = prepared.fitted;
    let items_of = |texts: &[Option<String>], at: usize| {
        serde_json::from_str::<Vec<Value>>(texts.get(at)?.as_deref()?).ok()
    };
    let is_list = |at: &usize| matches!(fitted.brief.inputs[*at].kind, ValueType::List(_));
    let at = (0..fitted.brief.inputs.len())
        .find(|at| is_list(at) && items_of(&prepared.question.inputs, *at).is_some())?;
    let read = |item: &Value| Input::new(&[("item", &plain(item))]);
    let items: Vec<Input> = items_of(&prepared.question.inputs, at)?.iter().map(read).collect();
    let mut cases = Vec::new();
    let mut labels = Vec::new();
    for (demo, target) in fitted.brief.demos.iter().zip(targets) {
        let (Some(items), Some(Value::Array(values))) = (items_of(&demo.inputs, at), target) else {
            continue;
        };
        if items.len() == values.len() {
            cases.extend(items.iter().map(read));
            labels.extend(values.iter().cloned().map(Some));
        }
    }
    let weights = Weights::estimate(cases.iter().map(|case| &case.bag));
    let weighed: Vec<_> = cases.iter().map(|case| weights.weigh(&case.bag)).collect();
    let hints = ChoiceHints::read(field, choices, fitted.brief.prose());
    let classifier = Classifier::learn(choices.to_vec(), hints, &cases, &weighed, &weights, &labels);
    let pick = |item: &Input| {
        let verdict = classifier.judge(item, &weights.weigh(&item.bag), &weighed, &weights);
        sampler.pick(&verdict.scores).map(|at| choices[at].clone()).unwrap_or_default()
    };
    let values: Vec<Value> = items.iter().map(pick).collect();
    let why = format!("Each of the {} items was judged by itself.", values.len());
    Some(Answer { value: Value::Array(values), why })
}
