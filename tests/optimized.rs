//! An optimized program is a module everywhere: nested, cloned, saved, loaded, streamed, evaluated, optimized again.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "in tests a panic is the report")]

use dspy::optimizers::{Data, Ensemble, LabeledFewShot, Optimized, Report};
use dspy::prelude::*;
use dspy::state::ProgramState;

/// Say how the writer feels.
#[signature]
#[derive(Clone)]
struct Feel {
    #[input]
    text: String,
    #[output]
    happy: bool,
}

fn rows() -> Vec<Feel> {
    let row = |text: &str, happy| Feel { text: text.into(), happy };
    vec![row("A joy", true), row("It broke", false), row("Lovely light", true), row("Broke again", false)]
}

async fn optimized<P>(program: P) -> Optimized<P>
where
    P: Module<Input = FeelInput, Output = FeelOutput> + Clone + 'static,
{
    LabeledFewShot::builder().k(4).build().compile(program, &rows()).await.unwrap()
}

/// Two optimized parts, alone and in a list.
#[module]
struct Desk {
    feel: Optimized<Predict<Feel>>,
    others: Vec<Optimized<ChainOfThought<Feel>>>,
    any: BoxModule<FeelInput, FeelOutput>,
}

impl Module for Desk {
    type Input = FeelInput;
    type Output = FeelOutput;

    async fn forward(&self, input: FeelInput) -> dspy::Result<Prediction<FeelOutput>> {
        for other in &self.others {
            other.call(input.clone()).await?;
        }
        self.feel.call(self.any.call(input.clone()).await.map(|_| input)?).await
    }
}

async fn desk() -> Desk {
    let mut desk = Desk {
        feel: optimized(Predict::new()).await,
        others: vec![optimized(ChainOfThought::new()).await],
        any: optimized(Predict::<Feel>::new()).await.boxed(),
    };
    desk.set_lm(Lm::builtin());
    desk
}

/// A program without optimized parts, which has the same paths.
#[module]
struct Plain {
    feel: Predict<Feel>,
    others: Vec<ChainOfThought<Feel>>,
    any: Predict<Feel>,
}

#[tokio::test]
async fn it_nests() {
    let desk = desk().await;
    let paths: Vec<String> = desk.named_predictors().into_iter().map(|(path, _)| path).collect();
    assert_eq!(paths, ["feel", "others[0].predict", "any"]);
    let (answer, trace) = dspy::program::trace(desk.call("It broke")).await;
    let answer = answer.unwrap();
    assert!(!answer.happy);
    assert_eq!(answer.usage().requests, 3);
    let steps: Vec<&str> = trace.steps.iter().map(|step| step.predictor.as_str()).collect();
    assert_eq!(steps, ["others[0].predict", "any", "feel"]);
    let answers = desk.batch(["A joy", "It broke"]).concurrency(2).collect().await;
    assert_eq!(answers.into_iter().map(|answer| answer.unwrap().happy).collect::<Vec<_>>(), [true, false]);
    let scores = Evaluate::new(|row: &Feel, output: &FeelOutput| row.happy == output.happy);
    assert_eq!(scores.run(&desk, &rows()).await.unwrap().score(), Some(1.0));
}

#[tokio::test]
async fn clones_are_apart() {
    let desk = desk().await;
    let mut copy = desk.clone();
    copy.for_each_predictor(|_, predictor| predictor.set_instruction("Other."));
    assert_eq!(desk.feel.predictor().instruction(), "Say how the writer feels.");
    assert_eq!(copy.feel.predictor().instruction(), "Other.");
    assert!(copy.call("A joy").await.unwrap().happy);
}

#[tokio::test]
async fn it_saves_and_loads_with_and_without_the_report() {
    let folder = std::env::temp_dir().join(format!("dspy-optimized-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("desk.json");
    let desk = desk().await;
    desk.save(&path).unwrap();
    let plain = Plain { feel: Predict::new(), others: vec![ChainOfThought::new()], any: Predict::new() };
    let plain = plain.load(&path).unwrap();
    assert_eq!(plain.feel.predictor().demos().len(), 4);
    // And back into one with optimized parts.
    plain.save(&path).unwrap();
    let loaded = self::desk().await.load(&path).unwrap();
    let demos = |program: &dyn HasPredictors| -> Vec<_> {
        program.named_predictors().into_iter().map(|(_, predictor)| predictor.demos().to_vec()).collect()
    };
    assert_eq!(demos(&loaded), demos(&desk));
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn a_changed_program_is_not_saved_with_the_report_of_another() {
    let mut feel = optimized(Predict::<Feel>::new()).await;
    assert_eq!(feel.state().metadata["optimizer"], "LabeledFewShot");
    feel.set_lm(Lm::builtin());
    assert!(feel.state().metadata.contains_key("optimizer"), "the model is not saved");
    feel.for_each_predictor(|_, predictor| predictor.set_instruction("Other."));
    assert!(feel.state().metadata.is_empty());
    assert_eq!(feel.report().optimizer, "LabeledFewShot");
}

#[tokio::test]
async fn it_streams() {
    let mut feel = optimized(Predict::<Feel>::new()).await;
    feel.set_lm(Lm::builtin());
    let stream = feel.stream("A joy");
    assert!(stream.finish().await.unwrap().happy);
    let mut events = feel.events("A joy");
    let mut count = 0;
    while events.next().await.is_some() {
        count += 1;
    }
    assert!(count > 0);
    // The events of an optimized part are those of its path in the program.
    let desk = desk().await;
    let mut events = desk.events("A joy");
    let mut seen = Vec::new();
    while let Some(event) = events.next().await {
        seen.push(format!("{event:?}"));
    }
    assert!(seen.iter().any(|event| event.contains("others[0].predict")), "{seen:?}");
}

#[tokio::test]
async fn it_is_optimized_again() {
    let first = optimized(Predict::<Feel>::new()).await;
    let again = LabeledFewShot::builder().k(1).build();
    let second: Optimized<Optimized<Predict<Feel>>> = again.compile(first, &rows()).await.unwrap();
    assert_eq!(second.predictor().demos().len(), 1);
    assert_eq!(ProgramState::of(&second).predictors["self"].demos.len(), 1);
    assert_eq!(second.state().metadata["optimizer"], "LabeledFewShot");
    // As a member, and as a teacher.
    let mut ensemble = Ensemble::new([second.clone(), second.clone()]);
    ensemble.set_lm(Lm::builtin());
    assert!(ensemble.call("A joy").await.is_ok());
    let report: &Report = second.report();
    assert_eq!(report.trials.len(), 1);
    let data = Data::new(rows()).teacher(second.clone());
    assert!(LabeledFewShot::builder().build().compile(second, data).await.is_ok());
}
