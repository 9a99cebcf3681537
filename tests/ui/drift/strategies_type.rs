use dspy::prelude::*;
use dspy::strategies::{MultiChainComparison, ProgramOfThought, ReAct, Refine};

#[field_type]
#[derive(Debug, Clone, PartialEq)]
enum Mood {
    Good,
    Bad,
    Mixed,
}

/// Say how the writer feels.
#[signature]
struct Feel {
    #[input]
    text: String,
    #[output]
    mood: Mood,
    #[output]
    sure: Option<f64>,
}

#[module]
struct Agents {
    agent: ReAct<Feel>,
    refined: Refine<ChainOfThought<Feel>>,
    code: ProgramOfThought<Feel>,
    compared: MultiChainComparison<Feel>,
}

fn main() {
    let _ = include_optimized!(Agents, "strategies.json");
}
