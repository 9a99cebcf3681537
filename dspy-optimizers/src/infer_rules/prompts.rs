//! The prompts of `InferRules`.

use dspy_core::signature::SignatureSpec;

use crate::proposer::fields::{input, output};

/// Labelled examples to rules.
pub(super) fn induce() -> SignatureSpec {
    SignatureSpec::new(
        "InduceRules",
        "Find out from labelled examples what decides the outputs of a task, and write it down as rules for a \
         language model that has only the inputs. A rule names a condition on the inputs and what follows for the \
         output. Prefer rules that hold for many examples, cover every output, and leave out what the examples do not \
         support. Write each rule as one sentence on its own line, the most important one first.",
        [
            input::<String>("task", "The inputs and outputs of the task."),
            input::<Option<String>>("instruction", "The instruction of the task so far."),
            input::<String>("examples", "Inputs with the right outputs."),
            input::<usize>("most_rules", "The largest number of rules."),
            output("rules", "The rules, one on each line."),
        ],
    )
}

/// Returns an instruction with rules.
pub(super) fn with_rules(instruction: &str, rules: &str) -> String {
    let separator = if instruction.trim().is_empty() { "" } else { "\n\n" };
    format!("{}{separator}Follow these rules:\n{rules}", instruction.trim_end())
}
