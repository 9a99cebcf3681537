//! `include_optimized!`: saved programs in the binary. What does not compile is in `ui/embedded` and `ui/drift`.
//!
//! After a change of the format: `EMBEDDED=overwrite cargo test --test embedded`, and read the difference. If that does
//! not compile, remove the members `shape` from the files before.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "in tests a panic is the report")]

use std::collections::BTreeMap;
use std::path::Path;

use dspy::prelude::*;
use dspy::program::Embedded;
use dspy::state::{ProgramState, StateError};

#[field_type]
#[derive(Debug, Clone, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Mood {
    Good,
    Bad,
}

/// A recursive type.
#[field_type]
#[derive(Debug, Clone, PartialEq)]
struct Part {
    text: String,
    parts: Vec<Part>,
}

/// Say how the writer feels.
#[signature]
struct Feel {
    #[input]
    text: String,
    #[output]
    mood: Mood,
    #[output]
    #[schemars(range(min = 0, max = 1))]
    sure: Option<f64>,
}

/// Split the text.
#[signature]
struct Split {
    #[input]
    text: String,
    #[output]
    parts: Vec<Part>,
}

/// A strategy of two predictors, of any signature.
#[module]
struct Twice<S> {
    first: Predict<S>,
    second: ChainOfThought<S>,
}

#[module]
struct Desk {
    feel: Twice<Feel>,
    splits: [Predict<Split>; 2],
    more: Vec<Predict<Feel>>,
    by_kind: BTreeMap<String, Predict<Feel>>,
    other: BoxModule<SplitInput, SplitOutput>,
    last: Option<Box<Desk>>,
}

impl Module for Desk {
    type Input = FeelInput;
    type Output = FeelOutput;

    async fn forward(&self, input: FeelInput) -> dspy::Result<Prediction<FeelOutput>> {
        self.feel.first.call(input).await
    }
}

fn desk(more: usize) -> Desk {
    Desk {
        feel: Twice { first: Predict::new(), second: ChainOfThought::new() },
        splits: [Predict::new(), Predict::new()],
        more: (0..more).map(|_| Predict::new()).collect(),
        by_kind: BTreeMap::from([("it's".to_owned(), Predict::new())]),
        other: ChainOfThought::<Split>::new().boxed(),
        last: None,
    }
}

/// The program that was saved.
fn optimized() -> Desk {
    let mut desk = desk(2);
    let feel = |text: &str, mood| Feel { text: text.into(), mood, sure: None };
    let demos = [feel("I love it", Mood::Good), feel("Rain again", Mood::Bad)];
    desk.feel.first = desk.feel.first.with_demos(demos).unwrap().with_instruction("Feel with the writer.");
    desk
}

static DESK: Embedded<Desk> = include_optimized!(Desk, "embedded/desk.json");

#[tokio::test]
async fn a_saved_program_predicts_from_the_binary() {
    let mut program = DESK.apply_to(desk(2)).unwrap();
    assert_eq!(program.feel.first.predictor().instruction(), "Feel with the writer.");
    program.set_lm(Lm::builtin());
    assert_eq!(program.call("More rain").await.unwrap().mood, Mood::Bad);
    assert_eq!(program.call("They love it").await.unwrap().mood, Mood::Good);
    // Copies are the same program.
    let copy = DESK;
    assert_eq!(
        ProgramState::of(&copy.apply_to(desk(2)).unwrap()).predictors,
        copy.state().unwrap().predictors
    );
    assert_eq!(format!("{copy:?}"), "Embedded { file: \"embedded/desk.json\", .. }");
}

#[tokio::test]
async fn a_program_with_a_default_is_loaded_in_one_step() {
    let feel = include_optimized!(ChainOfThought<Feel>, "embedded/feel.json");
    let program = feel.load().unwrap();
    assert_eq!(program.named_predictors()[0].1.instruction(), "Think of the writer.");
}

#[test]
fn what_is_not_known_at_compile_time_is_compared_when_it_is_applied() {
    let Err(dspy::Error::State(error)) = DESK.apply_to(desk(3)) else {
        panic!("the state has two more, the program three")
    };
    let StateError::Mismatch(problems) = *error else { panic!("{error}") };
    assert_eq!(problems, ["`more[2]` is not in the saved state"]);
}

/// The files are those that `save` writes today, with the digests of today's types.
#[test]
fn the_files_are_up_to_date() {
    let feel = ChainOfThought::<Feel>::new().with_instruction("Think of the writer.");
    let files = [
        ("tests/embedded/desk.json", ProgramState::of(&optimized()).to_json()),
        ("tests/embedded/feel.json", ProgramState::of(&feel).to_json()),
        ("tests/ui/drift/saved.json", ProgramState::of(&drift::Desk::default()).to_json()),
        ("tests/ui/drift/strategies.json", ProgramState::of(&drift::agents()).to_json()),
    ];
    for (path, now) in files {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
        if std::env::var("EMBEDDED").is_ok_and(|value| value == "overwrite") {
            std::fs::write(&path, &now).unwrap();
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap(), now, "{}", path.display());
    }
}

#[tokio::test]
async fn a_program_with_strategies_is_embedded() {
    let agents = include_optimized!(drift::Agents, "ui/drift/strategies.json");
    let loaded = agents.apply_to(drift::agents()).unwrap();
    assert_eq!(ProgramState::of(&loaded).predictors, ProgramState::of(&drift::agents()).predictors);
    let demos: Vec<usize> =
        loaded.named_predictors().iter().map(|(_, predictor)| predictor.demos().len()).collect();
    assert!(demos.contains(&1), "the trajectory is a part of the file");
}

/// The programs of `ui/drift`, as they were before the drift.
mod drift {
    use dspy::lm::BoxFuture;
    use dspy::prelude::*;
    use dspy::signature::{Demo, Values};
    use dspy::strategies::{
        Interpreter, InterpreterError, MultiChainComparison, ProgramOfThought, ReAct, Refine, Session,
    };

    #[field_type]
    #[derive(Debug, Clone, PartialEq)]
    pub(crate) enum Mood {
        Good,
        Bad,
    }

    /// Say how the writer feels.
    #[signature]
    pub(crate) struct Feel {
        #[input]
        text: String,
        #[output]
        mood: Mood,
        #[output]
        sure: Option<f64>,
    }

    #[module]
    #[derive(Default)]
    pub(crate) struct Desk {
        feel: ChainOfThought<Feel>,
        check: Predict<Feel>,
    }

    /// An interpreter that never runs.
    #[derive(Debug)]
    struct Absent;

    impl Interpreter for Absent {
        fn open(&self, _: Vec<Tool>) -> BoxFuture<'_, Result<Box<dyn Session>, InterpreterError>> {
            Box::pin(async { Err(InterpreterError::new("absent")) })
        }

        fn guide(&self) -> &'static str {
            "None."
        }
    }

    #[module]
    pub(crate) struct Agents {
        agent: ReAct<Feel>,
        refined: Refine<ChainOfThought<Feel>>,
        code: ProgramOfThought<Feel>,
        compared: MultiChainComparison<Feel>,
    }

    /// Strategies, of which the agent has a demonstration with a trajectory.
    pub(crate) fn agents() -> Agents {
        let mut agents = Agents {
            agent: ReAct::new([]).unwrap(),
            refined: Refine::new(ChainOfThought::new(), 2, |_: &FeelInput, _: &FeelOutput| 1.0),
            code: ProgramOfThought::new(Absent).unwrap(),
            compared: MultiChainComparison::new(2).unwrap(),
        };
        agents.for_each_predictor(|path, predictor| {
            if path == "agent.react" {
                let turn = serde_json::json!({"thought": "Look.", "note": "No tool was called."});
                let values = [
                    ("text", "Rain".into()),
                    ("trajectory", serde_json::json!({"turns": [turn]})),
                    ("next_thought", "So.".into()),
                    ("tool_calls", serde_json::json!([{"name": "finish", "arguments": {"mood": "Bad"}}])),
                ];
                let values: Values =
                    values.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
                predictor.set_demos(vec![Demo::augmented(values)]);
            }
        });
        agents
    }
}
