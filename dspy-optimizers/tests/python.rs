//! Files for Python DSPy: the results of all optimizers have the shape of its files, and say in them, or in notices,
//! all that they are.

#![allow(clippy::unwrap_used, reason = "in tests a panic is the report")]

mod common;

use std::collections::BTreeMap;

use common::{Obedient, Row, right, rows};
use dspy_core::error::BoxError;
use dspy_core::lm::{BoxFuture, Lm};
use dspy_core::predict::DynPredict;
use dspy_core::program::{HasPredictors, Settings};
use dspy_core::signature::Values;
use dspy_core::state::{ProgramState, PythonNotice};
use dspy_optimizers::{
    BetterTogether, BootstrapFewShot, BootstrapFewShotWithRandomSearch, BootstrapFewShotWithTpe,
    BootstrapFinetune, Candidate, Capo, Component, Copro, Data, Ensemble, EnsembleOptimizer, Gepa,
    InferRules, KnnFewShot, LabeledFewShot, MiproV2, ModuleOpro, NearestDemos, Optimized, Optimizer, Simba,
    Trainer, TrainingJob,
};
use serde_json::{Value, json};

fn program() -> DynPredict {
    DynPredict::new("question -> answer".parse().unwrap()).with_instruction("cow=moo cat=meow")
}

fn graded(row: &Row, output: &Values) -> (f64, String) {
    let score = if right(row, output) { 1.0 } else { 0.0 };
    (score, format!("it says {}", row.0["answer"]))
}

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

/// Checks the file of a program against the shape of Python's files, and loads it into `fresh`. Returns the file.
fn check<P: HasPredictors>(optimizer: &str, program: &P, mut fresh: P) -> Value {
    let state = ProgramState::of(program);
    let text = state.to_python_json();
    if let Some(folder) = std::env::var_os("PYTHON_FILES") {
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(std::path::Path::new(&folder).join(format!("{optimizer}.json")), &text).unwrap();
    }
    let file: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(keys(&file["metadata"]["dependency_versions"]), ["python", "dspy", "cloudpickle"]);
    let single = state.predictors.len() == 1 && state.predictors.contains_key("self");
    for (path, predictor) in &state.predictors {
        let saved = if single { &file } else { &file[path.as_str()] };
        let known = ["traces", "train", "demos", "signature", "lm"];
        assert!(known.iter().all(|key| saved.get(key).is_some()), "{optimizer}: {saved}");
        assert_eq!(saved["signature"]["instructions"], predictor.instruction.as_str(), "{optimizer}");
        let fields = saved["signature"]["fields"].as_array().unwrap();
        assert_eq!(fields.len(), predictor.fields.len());
        for field in fields {
            assert_eq!(keys(field), ["prefix", "description"], "{optimizer}");
        }
        assert_eq!(saved["demos"].as_array().unwrap().len(), predictor.demos.len());
    }
    ProgramState::from_json(&text).unwrap().apply(&mut fresh).unwrap();
    let prompts = |program: &P| -> Vec<_> {
        let predictors = program.named_predictors().into_iter();
        predictors.map(|(path, it)| (path, it.instruction().to_owned(), it.demos().to_vec())).collect()
    };
    assert_eq!(prompts(&fresh), prompts(program), "{optimizer}");
    file
}

async fn compiled<O: Optimizer<DynPredict, Row>>(name: &str, optimizer: O) {
    let data = Data::new(rows(10)).valset(rows(10));
    let lm = Lm::shared(Obedient::new());
    let optimized: Optimized<DynPredict> =
        Settings::new().lm(lm).scope(async { optimizer.compile(program(), data).await }).await.unwrap();
    check(name, &*optimized, program());
    assert!(optimized.state().python_notices().is_empty(), "{name}");
}

#[tokio::test]
async fn demonstrations_are_exported() {
    compiled("LabeledFewShot", LabeledFewShot::builder().k(3).build()).await;
    compiled("BootstrapFewShot", BootstrapFewShot::builder().metric(right).build()).await;
    let search = BootstrapFewShotWithRandomSearch::builder().metric(right).num_candidate_programs(2).build();
    compiled("BootstrapFewShotWithRandomSearch", search).await;
    let tpe = BootstrapFewShotWithTpe::builder().metric(right).num_candidate_programs(3).build();
    compiled("BootstrapFewShotWithTpe", tpe).await;
}

#[tokio::test]
async fn instructions_are_exported() {
    compiled("Copro", Copro::builder().metric(right).breadth(3).depth(1).build()).await;
    compiled("ModuleOpro", ModuleOpro::builder().metric(right).steps(3).build()).await;
    compiled("InferRules", InferRules::builder().metric(right).num_candidates(2).build()).await;
    compiled("Gepa", Gepa::builder().metric(graded).max_rollouts(60).build()).await;
}

#[tokio::test]
async fn instructions_with_demonstrations_are_exported() {
    compiled("Capo", Capo::builder().metric(right).population(3).steps(1).build()).await;
    compiled("MiproV2", MiproV2::builder().metric(right).num_candidates(3).num_trials(3).build()).await;
    let simba = Simba::builder().metric(graded).minibatch(5).num_candidates(2).max_steps(2).build();
    compiled("Simba", simba).await;
    let labelled = LabeledFewShot::builder().k(2).build();
    let copro = Copro::builder().metric(right).breadth(3).depth(1).build();
    let both = BetterTogether::builder()
        .optimizer("p", copro.boxed())
        .optimizer("d", labelled.boxed())
        .metric(right)
        .strategy("p -> d");
    compiled("BetterTogether", both.build().unwrap()).await;
}

#[tokio::test]
async fn an_ensemble_is_a_list_of_programs() {
    let ensemble = || Ensemble::new(vec![program(); 2]);
    let optimizer = EnsembleOptimizer::builder(|seed| LabeledFewShot::builder().k(2).seed(seed).boxed());
    let optimizer = optimizer.metric(right).build();
    let lm = Lm::shared(Obedient::new());
    let compiled = async { optimizer.compile(ensemble(), Data::new(rows(10)).valset(rows(5))).await };
    let optimized = Settings::new().lm(lm).scope(compiled).await.unwrap();
    let file = check("Ensemble", &*optimized, ensemble());
    assert_eq!(keys(&file), ["programs[0]", "programs[1]", "metadata"]);
}

#[tokio::test]
async fn nearest_demonstrations_are_all_exported_with_a_notice() {
    let fresh = || NearestDemos::new(program()).k(2);
    let optimized = KnnFewShot::builder().build().compile(fresh(), &rows(10)).await.unwrap();
    let file = check("KnnFewShot", &*optimized, fresh());
    assert_eq!(file["demos"].as_array().unwrap().len(), 10);
    let notices = ProgramState::of(&optimized).python_notices();
    let selection = PythonNotice::Selection { predictor: "self".into(), shown: 2, of: 10 };
    assert_eq!(notices, [selection]);
    assert!(notices[0].to_string().starts_with("each call of `self` shows 2 of its 10 demonstrations"));
    // With no more than it shows, there is nothing to say.
    let few = KnnFewShot::builder().build().compile(fresh().k(10), &rows(10)).await.unwrap();
    assert!(few.state().python_notices().is_empty());
}

/// A trainer whose model is the built-in one.
struct Untrained;

impl Trainer for Untrained {
    fn identity(&self) -> String {
        "untrained".into()
    }

    fn train<'a>(&'a self, _: &'a TrainingJob) -> BoxFuture<'a, Result<Lm, BoxError>> {
        Box::pin(async { Ok(Lm::builtin()) })
    }
}

#[tokio::test]
async fn a_trained_model_is_a_notice() {
    let tune = BootstrapFinetune::builder(Untrained).metric(right).build();
    let lm = Lm::shared(Obedient::new());
    let optimized =
        Settings::new().lm(lm).scope(async { tune.compile(program(), &rows(10)).await }).await.unwrap();
    let file = check("BootstrapFinetune", &*optimized, program());
    assert_eq!(file["lm"], Value::Null);
    let notices = optimized.state().python_notices();
    let model = Lm::builtin().id().to_owned();
    assert_eq!(notices, [PythonNotice::Model { predictor: "self".into(), model }]);
}

#[test]
fn descriptions_of_choices_and_tools_are_in_those_of_their_fields() {
    let spec = "text, tools: list[Tool] -> mood: Literal['good', 'bad'], calls: ToolCalls";
    let before = DynPredict::new(spec.parse().unwrap());
    let candidate = Candidate::new()
        .with(Component::variant("self", "mood", "bad"), "Also if\nit rains.")
        .with(Component::variant("self", "mood", "good"), "Joy")
        .with(Component::tool("self", "find"), "Finds pages.")
        .description("self", "mood", "How the writer feels.");
    let after = candidate.applied_to(&before).unwrap();
    let file = check("Components", &after, before);
    let descriptions: BTreeMap<&str, &str> = file["signature"]["fields"]
        .as_array()
        .unwrap()
        .iter()
        .map(|field| (field["prefix"].as_str().unwrap(), field["description"].as_str().unwrap()))
        .collect();
    let expected = json!({
        "Text:": "${text}",
        "Tools:": "Tools: `find`: Finds pages.",
        "Mood:": "How the writer feels. Choices: `bad`: Also if it rains; `good`: Joy.",
        "Calls:": "${calls}",
    });
    assert_eq!(serde_json::to_value(descriptions).unwrap(), expected);
}
