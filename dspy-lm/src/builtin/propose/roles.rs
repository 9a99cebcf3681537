//! The roles of keys in records, and of the outputs that are asked for.

use crate::builtin::choice_names::split_case;
use crate::builtin::prompt::Field;
use crate::builtin::words::words;

/// The role of a key in a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    /// The inputs of the program.
    Inputs,
    /// Its reply.
    Produced,
    /// The reply that is right.
    Expected,
    /// An answer: the expected one, or the one that was given, if there is a score.
    Answer,
    Score,
    Feedback,
    /// An instruction that was tried.
    Instruction,
    /// An explanation, a number of a row or the name of a step: no input.
    Skipped,
    /// Anything else: an input of that name.
    Field,
}

/// The part of a proposal that an output asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    /// An instruction, rules or advice.
    Instruction,
    /// The same under a name that is also common for other things, such as `description` or `hint`.
    MaybeInstruction,
    /// The errors and their causes.
    Diagnosis,
    /// Statements about the records.
    Observation,
}

const EXPECTED: &[&str] = &[
    "expected",
    "gold",
    "golden",
    "label",
    "labels",
    "reference",
    "target",
    "truth",
    "desired",
    "ideal",
    "correct",
    "right",
];
const PRODUCED: &[&str] = &[
    "output",
    "outputs",
    "predicted",
    "prediction",
    "predictions",
    "generated",
    "produced",
    "response",
    "got",
    "actual",
    "completion",
    "result",
    "guess",
    "reply",
];
const SCORES: &[&str] = &["score", "scores", "reward", "metric", "accuracy", "success", "passed", "correct"];
const FEEDBACK: &[&str] = &[
    "feedback",
    "comment",
    "comments",
    "critique",
    "remark",
    "remarks",
    "note",
    "notes",
    "error",
    "errors",
    "failure",
    "complaint",
];
const INSTRUCTION: &[&str] = &[
    "instruction",
    "instructions",
    "prompt",
    "prompts",
    "rule",
    "rules",
    "advice",
    "guideline",
    "guidelines",
    "guidance",
    "playbook",
    "policy",
    "cheatsheet",
];
const MAYBE_INSTRUCTION: &[&str] = &[
    "description",
    "hint",
    "hints",
    "lesson",
    "lessons",
    "tip",
    "tips",
    "paraphrase",
    "proposal",
    "strategy",
];
const DIAGNOSIS: &[&str] = &[
    "cause",
    "causes",
    "wrong",
    "diagnosis",
    "mistake",
    "mistakes",
    "weakness",
    "weaknesses",
    "critique",
    "failure",
    "failures",
    "feedback",
    "discussion",
    "identification",
];
const OBSERVATION: &[&str] = &[
    "observation",
    "observations",
    "insight",
    "insights",
    "summary",
    "analysis",
    "takeaway",
    "takeaways",
    "pattern",
    "patterns",
    "reflection",
    "reflections",
    "findings",
    "approach",
    "trend",
    "trends",
];

/// Returns the words of a name in lower case.
pub(super) fn name_words(name: &str) -> Vec<String> {
    let spaced = split_case(name);
    words(&spaced).iter().map(|word| word.written(&spaced).to_lowercase()).collect()
}

fn any(found: &[String], list: &[&str]) -> bool {
    found.iter().any(|word| list.contains(&word.as_str()))
}

/// Returns the role of a key.
pub(super) fn of_key(key: &str) -> Key {
    let found = name_words(key);
    let is = |list: &[&str]| any(&found, list);
    // Longer names such as "note text" or "error code" are inputs like any other.
    let short = found.len() <= 3;
    if is(&["reasoning", "rationale", "thought", "thoughts", "explanation", "justification"]) {
        return Key::Skipped;
    }
    if found.len() == 1
        && is(&["id", "index", "idx", "uuid", "module", "predictor", "step", "split", "number"])
    {
        return Key::Skipped;
    }
    match () {
        () if is(&["feedback"]) => Key::Feedback,
        () if short && is(EXPECTED) => Key::Expected,
        () if short && is(SCORES) => Key::Score,
        () if found.len() <= 2 && is(FEEDBACK) => Key::Feedback,
        () if short && is(PRODUCED) => Key::Produced,
        () if short && is(&["input", "inputs", "arguments"]) => Key::Inputs,
        () if short && is(&["answer", "solution"]) => Key::Answer,
        () if short && is(INSTRUCTION) => Key::Instruction,
        () => Key::Field,
    }
}

/// One of two runs that are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Better,
    Worse,
}

/// Returns the run that an input is a part of: `better_trajectory`, `worse_score`.
pub(super) fn side(name: &str) -> Option<Side> {
    let found = name_words(name);
    match found.first().map(String::as_str)? {
        _ if found.len() < 2 => None,
        "better" | "best" | "good" | "successful" => Some(Side::Better),
        "worse" | "worst" | "bad" | "failed" | "unsuccessful" => Some(Side::Worse),
        _ => None,
    }
}

/// Returns whether an input states the maximum length of the answer.
pub(super) fn is_limit(name: &str) -> bool {
    let found = name_words(name);
    any(&found, &["max", "maximum", "limit"])
        && any(&found, &["chars", "characters", "length", "bytes", "limit"])
}

/// Returns whether a key is `correct` or `right`, which may also be a score.
pub(super) fn may_be_score(key: &str) -> bool {
    any(&name_words(key), &["correct", "right"])
}

/// Returns whether a name is that of an instruction.
pub(super) fn is_instruction(name: &str) -> bool {
    any(&name_words(name), INSTRUCTION)
}

/// Returns whether a name is that of diagnoses: "diagnoses", "root_cause".
pub(super) fn is_diagnosis(name: &str) -> bool {
    any(&name_words(name), &["cause", "causes", "diagnosis", "diagnoses", "mistakes", "weaknesses"])
}

/// Returns whether a name is that of a lesson: "lesson", "key_insight".
pub(super) fn is_lesson(name: &str) -> bool {
    any(&name_words(name), &["lesson", "lessons", "insight", "insights", "rule", "rules", "advice", "tip"])
}

/// Returns whether a name is that of notes on records, in which there may be rules.
pub(super) fn is_notes(name: &str) -> bool {
    let found = name_words(name);
    any(&found, OBSERVATION) || any(&found, &["note", "notes"])
}

/// Returns what an output asks for, by its name or else by its description.
pub(super) fn wish(field: &Field) -> Option<Wish> {
    let of = |found: &[String]| {
        Some(match () {
            () if any(found, INSTRUCTION) => Wish::Instruction,
            () if any(found, DIAGNOSIS) => Wish::Diagnosis,
            () if any(found, OBSERVATION) => Wish::Observation,
            () if any(found, MAYBE_INSTRUCTION) => Wish::MaybeInstruction,
            () => return None,
        })
    };
    of(&name_words(&field.name)).or_else(|| {
        let found = of(&name_words(&field.description))?;
        Some(if found == Wish::Instruction { Wish::MaybeInstruction } else { found })
    })
}

/// Returns whether a string asks for an instruction: "Propose a better instruction".
pub(super) fn asks_for_instruction(text: &str) -> bool {
    const VERBS: &[&str] = &[
        "propose",
        "improve",
        "write",
        "rewrite",
        "generate",
        "induce",
        "infer",
        "optimize",
        "optimise",
        "craft",
        "suggest",
        "combine",
        "merge",
        "paraphrase",
        "rephrase",
        "provide",
        "revise",
        "create",
        "update",
    ];
    let found = name_words(text);
    any(&found, VERBS) && any(&found, INSTRUCTION)
}

/// Returns whether a string speaks of examples, records or data.
pub(super) fn speaks_of_records(text: &str) -> bool {
    const RECORDS: &[&str] = &[
        "example",
        "examples",
        "record",
        "records",
        "dataset",
        "datasets",
        "data",
        "trace",
        "traces",
        "trajectory",
        "trajectories",
        "rollout",
        "rollouts",
        "demonstrations",
        "demos",
        "samples",
        "rows",
        "failures",
    ];
    any(&name_words(text), RECORDS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_roles() {
        for (key, role) in [
            ("Inputs", Key::Inputs),
            ("Generated Outputs", Key::Produced),
            ("expected_output", Key::Expected),
            ("Resulting Score", Key::Score),
            ("Feedback", Key::Feedback),
            ("answer", Key::Answer),
            ("correctAnswer", Key::Expected),
            ("reasoning", Key::Skipped),
            ("message", Key::Field),
            ("Instruction", Key::Instruction),
        ] {
            assert_eq!(of_key(key), role, "{key}");
        }
    }

    #[test]
    fn outputs_have_wishes() {
        let wish = |name: &str, description: &str| {
            wish(&Field { name: name.into(), description: description.into(), ..Field::default() })
        };
        assert_eq!(wish("proposed_instruction", ""), Some(Wish::Instruction));
        assert_eq!(wish("text", "Advice for the program."), Some(Wish::MaybeInstruction));
        assert_eq!(wish("root_cause", ""), Some(Wish::Diagnosis));
        assert_eq!(wish("dataset_summary", ""), Some(Wish::Observation));
        assert_eq!(wish("team", "The team that can help."), None);
    }
}
