//! The tips for the writer of instructions.

use dspy_core::Seed;

/// Tips on the style of an instruction. The first one is none.
const TIPS: [Option<&str>; 6] = [
    None,
    Some("Find an approach to the task that others would not think of, and build the instruction on it."),
    Some("Say it in as few plain words as possible."),
    Some("Be thorough: name what the inputs and outputs look like and the cases in which mistakes are easy."),
    Some("Describe a situation in which much depends on a correct result, and place the task in it."),
    Some("Begin with the profession of an expert in this task, and address the reader as such an expert."),
];

/// Returns one of the tips.
pub(super) fn tip(seed: Seed) -> Option<String> {
    TIPS[seed.rng().below(TIPS.len())].map(str::to_owned)
}
