//! The prompts of `Capo`.

use dspy_core::signature::SignatureSpec;

use crate::proposer::fields::{input, output};

/// Two instructions to one.
pub(super) fn merge() -> SignatureSpec {
    SignatureSpec::new(
        "MergeInstructions",
        "Two instructions for the same task are given. Write one instruction that keeps what is useful in each of them, \
         says nothing twice and is no longer than necessary. Answer with the instruction only.",
        [
            input::<String>("task", "The inputs and outputs that the instructions are for."),
            input::<String>("first_instruction", "One instruction."),
            input::<String>("second_instruction", "The other instruction."),
            output("merged_instruction", "The new instruction."),
        ],
    )
}

/// An instruction to a variant of it.
pub(super) fn paraphrase() -> SignatureSpec {
    SignatureSpec::new(
        "VaryInstruction",
        "Write a variant of this instruction that makes a language model do the task at least as well: in other words, \
         in another order, more precise or shorter, but with all that it demands. Answer with the instruction only.",
        [
            input::<String>("task", "The inputs and outputs that the instruction is for."),
            input::<String>("instruction_to_vary", "The instruction."),
            output("paraphrase", "The new instruction."),
        ],
    )
}
