//! Estimates: the run of every optimizer stays within its own, whatever the sizes.

#![allow(clippy::unwrap_used, clippy::panic, reason = "in tests a panic is the report")]

mod common;
#[path = "common/zoo.rs"]
mod zoo;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::{HINTS, Obedient, Row, Steps, one_step, right, rows};
use dspy_core::evaluate::Score;
use dspy_core::lm::{BoxFuture, LanguageModel, Lm, LmError, Price, Request, Response, Usage};
use dspy_core::predict::DynPredict;
use dspy_core::program::{HasPredictors as _, Settings};
use dspy_core::signature::Values;
use dspy_optimizers::engine::Program;
use dspy_optimizers::gepa::Noisy;
use dspy_optimizers::{
    Auto, BetterTogether, BootstrapFewShot, BootstrapFewShotWithRandomSearch, Budget, Capo, Copro, Data,
    Ensemble, EnsembleOptimizer, Estimate, Gepa, InferRules, KnnFewShot, LabeledFewShot, MiproV2, ModuleOpro,
    NearestDemos, OptimizeError, Optimizer, Portfolio, Race, Simba, Span, Verify,
};

/// A model that writes whatever a proposer asks for, and counts its calls.
#[derive(Debug, Default)]
struct Scribe {
    obedient: Arc<Obedient>,
    described: AtomicUsize,
}

impl Scribe {
    fn calls(&self) -> usize {
        self.obedient.calls() + self.described.load(Ordering::SeqCst)
    }
}

impl LanguageModel for Scribe {
    fn id(&self) -> &'static str {
        "scribe"
    }

    fn complete<'a>(&'a self, request: &'a Request) -> BoxFuture<'a, Result<Response, LmError>> {
        let system = request.messages[0].text();
        let described = ["summary", "observations", "description"];
        let Some(field) = described.iter().find(|field| system.contains(&format!("[[ ## {field} ## ]]")))
        else {
            return self.obedient.complete(request);
        };
        self.described.fetch_add(1, Ordering::SeqCst);
        let reply = format!("[[ ## {field} ## ]]\nAnimals make sounds.\n\n[[ ## completed ## ]]");
        Box::pin(async move { Ok(Response::text(reply).with_usage(Usage::tokens(20, 5))) })
    }
}

/// The sizes of the data: rows of the trainset, and of the valset if there is one.
const DATA: [(usize, Option<usize>); 4] = [(4, None), (9, Some(5)), (30, None), (12, Some(45))];

/// Runs an optimizer and checks that the calls are those of its estimate.
async fn stays_within<P, O>(name: &str, optimizer: &O, program: fn(&Arc<Obedient>) -> P)
where
    P: Program,
    O: Optimizer<P, Row>,
{
    for (train, val) in DATA {
        let (own, writer) = (Obedient::new(), Arc::new(Scribe::default()));
        let program = program(&own);
        let (trainset, valset) = (rows(train), val.map(rows));
        let data = || {
            let data = Data::new(&trainset[..]);
            match &valset {
                Some(valset) => data.valset(&valset[..]),
                None => data,
            }
        };
        let run = async {
            let estimate = optimizer.estimate(&program, data()).unwrap();
            assert_eq!(own.calls() + writer.calls(), 0, "{name}: an estimate calls nothing");
            (estimate, optimizer.compile(program.clone(), data()).await.unwrap())
        };
        let (estimate, optimized) = Settings::new().lm(Lm::shared(writer.clone())).scope(run).await;
        let (of_program, of_proposer) = (own.calls() as u64, writer.calls() as u64);
        let shown = format!(
            "{name}, {train} and {val:?} rows: {of_program} and {of_proposer} calls, estimated {estimate}\n{}",
            optimized.report()
        );
        assert!(estimate.program_calls.contains(of_program), "{shown}");
        assert!(estimate.proposer_calls.contains(of_proposer), "{shown}");
        assert!(estimate.calls().contains(of_program + of_proposer), "{shown}");
        assert_eq!(optimized.report().usage.requests, of_program + of_proposer, "{shown}");
    }
}

fn two_steps(lm: &Arc<Obedient>) -> Steps {
    Steps(vec![one_step(lm), one_step(lm)])
}

/// A program that is perfect from the start.
fn perfect(lm: &Arc<Obedient>) -> DynPredict {
    let mut program = one_step(lm);
    program.for_each_predictor(|_, predictor| predictor.set_instruction(HINTS.join(" ")));
    program
}

/// Checks an optimizer on programs of one and of several predictors.
macro_rules! stay_within {
    ($($name:literal: $builder:expr),+ $(,)?) => {{
        $(
            let optimizer = $builder.metric(right).build();
            stays_within($name, &optimizer, one_step).await;
            stays_within($name, &optimizer, two_steps).await;
            stays_within($name, &optimizer, perfect).await;
            let verified = $builder.metric(right).verify(Verify::rows(10)).seed(3).best_score(None).build();
            stays_within(concat!($name, ", verified"), &verified, one_step).await;
            let limited = $builder.metric(right).budget(Budget::calls(60)).build();
            stays_within(concat!($name, ", limited"), &limited, one_step).await;
        )+
    }};
}

#[tokio::test]
async fn optimizers_of_demonstrations_stay_within_their_estimates() {
    stay_within! {
        "BootstrapFewShot": BootstrapFewShot::builder().max_bootstrapped_demos(3).max_rounds(2),
        "no bootstraps": BootstrapFewShot::builder().max_bootstrapped_demos(0),
        "RandomSearch": BootstrapFewShotWithRandomSearch::builder().num_candidate_programs(3).max_rounds(2),
        "RandomSearch, race": BootstrapFewShotWithRandomSearch::builder().num_candidate_programs(4).race(Race::new().block(4)),
        "RandomSearch, labelled": BootstrapFewShotWithRandomSearch::builder().max_bootstrapped_demos(0).num_candidate_programs(2),
        "RandomSearch, to a score": BootstrapFewShotWithRandomSearch::builder().num_candidate_programs(2).stop_at_score(0.0),
    }
    stays_within("LabeledFewShot", &LabeledFewShot::builder().build(), one_step).await;
}

#[tokio::test]
async fn optimizers_of_instructions_stay_within_their_estimates() {
    stay_within! {
        "Copro": Copro::builder().breadth(3).depth(2),
        "Copro, published": Copro::builder().breadth(2).depth(3).published(),
        "ModuleOpro": ModuleOpro::builder().steps(4).minibatch(10),
        "ModuleOpro, published": ModuleOpro::builder().steps(3).published().grounding(false),
        "InferRules": InferRules::builder().num_candidates(3),
        "InferRules, published": InferRules::builder().num_candidates(2).max_rounds(2).published(),
        "Gepa": Gepa::builder().max_rollouts(120),
        "Gepa, published": Gepa::builder().max_rollouts(90).published(),
        "Gepa, noisy": Gepa::builder().max_rollouts(150).noisy(Noisy::new().explored(2)),
    }
}

#[tokio::test]
async fn optimizers_of_both_stay_within_their_estimates() {
    stay_within! {
        "MiproV2": MiproV2::builder().auto(Auto::Light),
        "MiproV2, few": MiproV2::builder().num_candidates(3).num_trials(4).minibatch(1).full_eval_steps(2),
        "MiproV2, instructions": MiproV2::builder().num_candidates(2).num_trials(3).instructions_only(),
        "MiproV2, demonstrations": MiproV2::builder().num_candidates(4).num_trials(3).demos_only().max_rounds(2),
        "Capo": Capo::builder().population(3).steps(2).crossovers(2),
        "Capo, no shots": Capo::builder().population(2).steps(2).max_shots(0),
        "Simba": Simba::builder().minibatch(4).num_candidates(2).max_steps(3),
        "Simba, published": Simba::builder().minibatch(3).num_candidates(3).max_steps(2).published(),
        "Portfolio, limited": Portfolio::builder(Budget::calls(200)),
    }
    let unlimited = Portfolio::builder(Budget::UNLIMITED).metric(right).build();
    stays_within("Portfolio", &unlimited, one_step).await;
}

fn nearest(lm: &Arc<Obedient>) -> NearestDemos<DynPredict> {
    NearestDemos::new(one_step(lm)).k(2)
}

fn ensemble(lm: &Arc<Obedient>) -> Ensemble<DynPredict> {
    Ensemble::new(vec![one_step(lm); 3])
}

fn drawn(lm: &Arc<Obedient>) -> Ensemble<DynPredict> {
    ensemble(lm).size(2)
}

#[tokio::test]
async fn optimizers_of_others_stay_within_the_sum() {
    let taught = KnnFewShot::builder().metric(right).max_rounds(3).build();
    stays_within("KnnFewShot", &taught, nearest).await;
    stays_within("KnnFewShot without a metric", &KnnFewShot::builder().build(), nearest).await;

    let small =
        |seed| BootstrapFewShotWithRandomSearch::builder().metric(right).num_candidate_programs(1).seed(seed);
    let members = EnsembleOptimizer::builder(move |seed| small(seed).build().boxed()).metric(right).build();
    stays_within("EnsembleOptimizer", &members, ensemble).await;
    stays_within("EnsembleOptimizer, some members", &members, drawn).await;

    for best in [Some(1.0), None] {
        let together = BetterTogether::builder()
            .optimizer("c", Copro::builder().metric(right).breadth(2).depth(1).build().boxed())
            .optimizer("b", BootstrapFewShot::builder().metric(right).build().boxed())
            .strategy("c -> b -> c")
            .valset_ratio(0.3)
            .metric(right)
            .best_score(best)
            .build()
            .unwrap();
        stays_within("BetterTogether", &together, one_step).await;
        stays_within("BetterTogether", &together, perfect).await;
    }
}

#[cfg(feature = "http")]
#[tokio::test]
async fn the_runs_of_a_teacher_are_within_the_estimate_of_a_training() {
    use dspy_core::error::BoxError;
    use dspy_core::lm::BoxFuture;
    use dspy_optimizers::{BootstrapFinetune, Trainer, TrainingJob};

    struct Same;
    impl Trainer for Same {
        fn identity(&self) -> String {
            "same".into()
        }

        fn train<'a>(&'a self, job: &'a TrainingJob) -> BoxFuture<'a, Result<Lm, BoxError>> {
            Box::pin(async move { Ok(zoo::zoo(&format!("{}-tuned", job.model.id()), true)) })
        }
    }
    let any = |_: &Row, _: &Values| 1.0;
    let optimizer = BootstrapFinetune::builder(Same).metric(any).max_rounds(2).build();
    stays_within("BootstrapFinetune", &optimizer, one_step).await;
}

#[tokio::test]
async fn feedback_makes_no_difference_to_the_bounds() {
    let taught = |row: &Row, output: &Values| {
        let question = row.0["question"].as_str().unwrap();
        let animal = question.split(' ').nth(2).unwrap();
        let lesson = format!("{animal}={}", row.0["answer"].as_str().unwrap());
        Score::from(right(row, output)).with_feedback(lesson)
    };
    let gepa = Gepa::builder().metric(taught).max_rollouts(200).build();
    stays_within("Gepa", &gepa, one_step).await;
    let portfolio = Portfolio::builder(Budget::calls(400)).metric(taught).build();
    stays_within("Portfolio", &portfolio, one_step).await;
}

#[test]
fn tokens_and_dollars_are_those_of_the_prompts() {
    let optimizer = Copro::builder().metric(right).breadth(3).depth(2).published().build();
    let of = |lm: Lm| {
        let mut program = DynPredict::new("question -> answer".parse().unwrap());
        program.set_lm(lm);
        optimizer.estimate(&program, &rows(10)).unwrap()
    };
    // The proposer has no model, so its price is not known.
    let unknown = of(Lm::builtin().price(Price::per_million(1.0, 2.0)));
    assert_eq!(unknown.usd, None);
    assert_eq!(unknown.program_calls, Span::between(10, 60));
    let tokens = unknown.tokens.unwrap();
    assert!(tokens.least > 10 * 50 && tokens.least < 10 * 500, "{unknown}");
    assert!(tokens.most > Some(6 * 10 * 50), "{unknown}");

    let demos = BootstrapFewShot::builder().metric(right).build();
    let estimate = |lm: Lm| {
        let mut program = DynPredict::new("question -> answer".parse().unwrap());
        program.set_lm(lm);
        demos.estimate(&program, &rows(10)).unwrap()
    };
    let priced = estimate(Lm::builtin().price(Price::per_million(1.0, 2.0)));
    let usd = priced.usd.unwrap();
    assert!(usd.least > 0.0 && usd.most > Some(usd.least), "{priced}");
    assert!(usd.most < priced.tokens.unwrap().most.map(|tokens| tokens as f64 * 2.0 / 1e6), "{priced}");
    let custom = estimate(Lm::shared(Obedient::new()));
    assert_eq!((custom.usd, custom.program_calls), (None, priced.program_calls), "an unknown price is not 0");
    assert_eq!(
        estimate(Lm::builtin()).usd,
        Some(Span { least: 0.0, most: Some(0.0) }),
        "the built-in model is free"
    );

    let loops = priced.clone().at_calls_per_rollout(3.0);
    assert_eq!(loops.program_calls.most, priced.program_calls.most.map(|calls| 3 * calls));
    assert!(loops.usd.unwrap().most > usd.most && loops.tokens.unwrap().least > priced.tokens.unwrap().least);
    assert_eq!(loops.at_calls_per_rollout(1.0).program_calls, priced.program_calls);
}

#[test]
fn budgets_bound_an_estimate_and_bad_input_is_an_error() {
    let lm = Obedient::new();
    let copro = |budget| Copro::builder().metric(right).budget(budget).build();
    let estimate = copro(Budget::calls(7).tokens(100)).estimate(&one_step(&lm), &rows(10)).unwrap();
    assert_eq!(estimate.program_calls, Span::between(0, 7));
    let calls = copro(Budget::calls(7)).estimate(&one_step(&lm), &rows(10)).unwrap();
    assert_eq!((calls.program_calls, calls.proposer_calls), (Span::exactly(7), Span::between(0, 7)));
    assert_eq!(estimate.tokens.unwrap().most, Some(100));
    assert!(calls.to_string().starts_with("7 calls of the program, 0 to 7 of the proposer"), "{estimate}");
    let gepa = Gepa::builder().metric(right).budget(Budget::UNLIMITED.usd(1.0)).build();
    let open = gepa.estimate(&one_step(&lm), &rows(10)).unwrap();
    assert_eq!(open.program_calls, Span::at_least(0), "only the budget limits it");
    assert!(open.to_string().contains("0 or more"), "{open}");

    let empty: [Row; 0] = [];
    let error = copro(Budget::UNLIMITED).estimate(&one_step(&lm), &empty).unwrap_err();
    assert!(matches!(error, OptimizeError::Empty { set: "trainset" }), "{error}");
    let error = copro(Budget::UNLIMITED).estimate(&Steps(Vec::new()), &rows(3)).unwrap_err();
    assert!(matches!(error, OptimizeError::NoPredictors), "{error}");
    let error = MiproV2::builder().metric(right).build().estimate(&one_step(&lm), &rows(1)).unwrap_err();
    assert!(matches!(error, OptimizeError::Split { .. }), "{error}");
    let unknown = Estimate::unknown();
    assert_eq!((unknown.calls().most, unknown.tokens, unknown.usd), (None, None, None));
    assert_eq!(lm.calls(), 0);
}
