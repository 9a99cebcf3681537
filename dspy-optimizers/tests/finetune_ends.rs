//! The ends of trainings: names of tuned models, failed jobs, the models of candidates, saved names.

#![allow(clippy::unwrap_used, clippy::panic, reason = "in tests a panic is the report")]

mod common;
#[path = "common/zoo.rs"]
mod zoo;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::{Row, TwoSteps, folder, right, rows};
use dspy_core::error::BoxError;
use dspy_core::finetune::FineTuneError;
use dspy_core::lm::{BoxFuture, Lm, LmError, LmErrorKind};
use dspy_core::program::{HasPredictors as _, Module as _, Settings};
use dspy_core::signature::Values;
use dspy_optimizers::{
    BetterTogether, BootstrapFewShot, BootstrapFinetune, Budget, Data, Ensemble, OptimizeError, Optimized,
    Optimizer as _, Report, SharedMetric, Trainer, TrainingJob,
};
use zoo::{models, program, zoo};

/// A trainer whose models have the name that the function returns for a job, or fail.
struct Naming<F>(F);

impl<F: Fn(&TrainingJob) -> Result<Lm, BoxError> + Send + Sync + 'static> Trainer for Naming<F> {
    fn identity(&self) -> String {
        "naming".into()
    }

    fn train<'a>(&'a self, job: &'a TrainingJob) -> BoxFuture<'a, Result<Lm, BoxError>> {
        if let Some(state) = &job.state {
            std::fs::write(state, &job.name).unwrap();
        }
        Box::pin(async move { (self.0)(job) })
    }
}

type Finetune = BootstrapFinetune<SharedMetric<Row, Values>>;

fn finetune(tuned: impl Fn(&TrainingJob) -> Result<Lm, BoxError> + Send + Sync + 'static) -> Finetune {
    BootstrapFinetune::builder(Naming(tuned)).metric(right).teacher_lm(zoo("big", true))
}

#[tokio::test]
async fn a_tuned_model_with_the_name_and_address_of_the_former_one_is_an_error() {
    let (a, all) = (zoo("a", true), rows(70));
    let (train, holdout) = all.split_at(10);
    let same = finetune(|job| Ok(zoo(job.model.id(), false))).build();
    let data = || Data::new(train).holdout(holdout);
    // Its results would be those of the former one: it would be verified with them.
    let error = same.compile(program(&a, &a), data()).await.unwrap_err();
    assert!(matches!(&error, OptimizeError::Training { job, .. } if job == "a"), "{error}");
    assert!(error.to_string().contains("has the name and the address of the former one, `a`"), "{error}");
    let other = finetune(|job| Ok(zoo(&format!("{}-tuned", job.name), true))).build();
    let optimized = other.compile(program(&a, &a), rows(5)).await.unwrap();
    assert!(optimized.report().warnings.is_empty(), "{}", optimized.report());
}

#[tokio::test]
async fn a_failed_job_does_not_lose_the_others() {
    let a = zoo("a", false);
    let run = async |outage: bool, dir: Option<&std::path::Path>| {
        let optimizer = finetune(move |job| {
            if !job.name.contains("`note`") {
                return Ok(zoo("ft:paid", true));
            }
            let error: LmError = LmError::new(LmErrorKind::Server, "fake", "the server went away");
            Err(if outage { error.into() } else { "row 3 is odd".into() })
        });
        let optimizer = optimizer.multitask(false);
        let optimizer = if let Some(dir) = dir { optimizer.run_dir(dir) } else { optimizer };
        optimizer.build().compile(program(&a, &a), &rows(5)).await.unwrap_err()
    };
    let error = run(false, None).await;
    let OptimizeError::Training { job, finished, .. } = &error else { panic!("{error}") };
    assert_eq!(job, "a, `note`");
    assert_eq!(*finished, [("a, `answer`".to_owned(), "ft:paid".to_owned())]);
    let text = "the training of a, `note` failed: row 3 is odd; finished: a, `answer` as `ft:paid`; set a `run_dir` to be \
                able to continue such a run";
    assert_eq!(error.to_string(), text);
    let error = run(true, None).await;
    assert!(matches!(error, OptimizeError::Outage { .. }), "{error}");
    assert!(error.to_string().contains("finished: a, `answer` as `ft:paid`"), "{error}");

    let dir = folder("finetune-failed-job");
    let text = run(false, Some(&dir)).await.to_string();
    let state = std::fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().path()).find(|path| {
        path.to_string_lossy().contains("training-")
            && std::fs::read_to_string(path).unwrap().contains("`note`")
    });
    assert!(text.contains(&format!("delete `{}`", state.unwrap().display())), "{text}");
    std::fs::remove_dir_all(dir).unwrap();
}

#[tokio::test]
async fn the_error_of_a_job_that_may_exist_names_its_remedies_once() {
    let (a, dir) = (zoo("a", false), folder("finetune-unknown-job"));
    let optimizer = finetune(|job| {
        let path = job.state.clone().unwrap();
        Err(FineTuneError::Unknown { path, source: None, listed: true }.into())
    });
    let error = optimizer.run_dir(&dir).build().compile(program(&a, &a), &rows(5)).await.unwrap_err();
    let text = error.to_string();
    assert_eq!(text.matches("delete ").count(), 1, "{text}");
    assert!(text.ends_with("; run again with the same `run_dir` to look for it once more"), "{text}");
    std::fs::remove_dir_all(dir).unwrap();
}

/// A trainer that trains once, and knows its models.
#[derive(Clone, Default)]
struct Once {
    trained: Arc<AtomicUsize>,
    knows: bool,
}

impl Trainer for Once {
    fn identity(&self) -> String {
        "once".into()
    }

    fn tuned(&self, _: &TrainingJob, id: &str) -> Option<Lm> {
        self.knows.then(|| zoo(id, true))
    }

    fn train<'a>(&'a self, job: &'a TrainingJob) -> BoxFuture<'a, Result<Lm, BoxError>> {
        let first = self.trained.fetch_add(1, Ordering::SeqCst) < 2;
        Box::pin(async move {
            if first {
                Ok(zoo(&format!("{}-tuned", job.name), true))
            } else {
                Err("the job is deleted".into())
            }
        })
    }
}

#[tokio::test]
async fn a_finished_run_returns_its_result_without_the_trainer() {
    let (a, dir) = (zoo("a", false), folder("finetune-finished"));
    let once = Once { knows: true, ..Once::default() };
    let run = async |trainer: Once| {
        let optimizer = BootstrapFinetune::builder(trainer).metric(right).teacher_lm(zoo("big", true));
        optimizer.multitask(false).run_dir(&dir).build().compile(program(&a, &a), &rows(5)).await
    };
    let first = run(once.clone()).await.unwrap();
    for _ in 0..2 {
        let again = run(once.clone()).await.unwrap();
        assert_eq!((again.report(), models(&again)), (first.report(), models(&first)));
    }
    assert_eq!(once.trained.load(Ordering::SeqCst), 2);
    // A trainer that cannot make the handle is called, and has to resume.
    let error = run(Once { knows: false, ..once }).await.unwrap_err();
    assert!(error.to_string().contains("the job is deleted"), "{error}");
    std::fs::remove_dir_all(dir).unwrap();
}

/// The result of "p -> w" for a program, whose steps have one model of their own or none.
async fn together(program: TwoSteps) -> Optimized<TwoSteps> {
    let prompts = BootstrapFewShot::builder().metric(right).max_labeled_demos(0).build();
    let weights = finetune(|job| Ok(zoo(&format!("{}-tuned", job.name), true))).build();
    let together = BetterTogether::builder()
        .optimizer("p", prompts.boxed())
        .optimizer("w", weights.boxed())
        .strategy("p -> w")
        .valset_ratio(0.5)
        .metric(right)
        .build()
        .unwrap();
    together.compile(program, rows(20)).await.unwrap()
}

#[tokio::test]
async fn members_of_an_ensemble_have_the_models_of_their_candidates() {
    let a = zoo("a", false);
    for bound in [true, false] {
        let mut given = program(&a, &a);
        if !bound {
            given.for_each_predictor(|_, predictor| predictor.set_lm(None));
        }
        let run = Settings::new().lm(a.clone()).scope(together(given)).await;
        let report: &Report = run.report();
        let before = bound.then(|| "a".to_owned());
        assert_eq!(models(&run), ["a-tuned", "a-tuned"], "{report}");
        let ensemble = Ensemble::of_best(&run, 3).unwrap();
        let of = |member: &TwoSteps| -> Vec<Option<String>> {
            let predictors = member.named_predictors();
            predictors.iter().map(|(_, predictor)| predictor.lm().map(|lm| lm.id().to_owned())).collect()
        };
        let members: Vec<_> = ensemble.programs().iter().map(of).collect();
        assert!(members.len() >= 2, "{report}");
        assert_eq!(members[0], vec![Some("a-tuned".to_owned()); 2]);
        assert!(members[1..].iter().all(|models| *models == vec![before.clone(); 2]), "{members:?}");
        // The members score what their trials have.
        let candidate = run.candidate(0).unwrap();
        let answer = Settings::new().lm(a.clone()).scope(candidate.call(common::question("cow"))).await;
        assert_eq!(
            (answer.is_ok_and(|answer| answer["answer"] == "moo"), report.trials[0].score),
            (false, Some(0.0))
        );
        // A model that is bound to the result later counts where the tuned one did.
        let mut rebound = run.clone();
        rebound.set_lm(zoo("later", true));
        let ensemble = Ensemble::of_best(&rebound, 2).unwrap();
        assert_eq!(of(&ensemble.programs()[0]), vec![Some("later".to_owned()); 2]);
        assert_eq!(of(&ensemble.programs()[1]), vec![before.clone(); 2]);
        // A report alone does not have the models.
        let alone = Optimized::new((*run).clone(), report.clone());
        let error = Ensemble::of_best(&alone, 3).unwrap_err();
        assert!(error.to_string().contains("is not known"), "{error}");
        assert!(Ensemble::of_best(&alone, 1).is_ok());
        assert!(run.candidate(99).is_err());
    }
}

#[tokio::test]
async fn names_of_tuned_models_outlast_loading_and_saving() {
    let a = zoo("a", false);
    let optimizer = finetune(|job| Ok(zoo(&format!("{}-tuned", job.name), true))).build();
    let optimized = optimizer.compile(program(&a, &a), &rows(5)).await.unwrap();
    let dir = folder("finetune-names");
    std::fs::create_dir_all(&dir).unwrap();
    optimized.save(dir.join("first.json")).unwrap();
    let mut unbound = program(&a, &a);
    unbound.for_each_predictor(|_, predictor| predictor.set_lm(None));
    let loaded = unbound.load(dir.join("first.json")).unwrap();
    let names = |program: &TwoSteps| -> Vec<Option<String>> {
        let name = |name: &serde_json::Value| name.as_str().unwrap().to_owned();
        program.named_predictors().iter().map(|(_, predictor)| predictor.saved_lm().map(name)).collect()
    };
    assert_eq!(names(&loaded), vec![Some("a-tuned".to_owned()); 2]);
    assert!(loaded.named_predictors().iter().all(|(_, predictor)| predictor.lm().is_none()));
    loaded.save(dir.join("second.json")).unwrap();
    let text = |name: &str| std::fs::read_to_string(dir.join(name)).unwrap();
    assert_eq!(text("second.json").matches("\"lm\": \"a-tuned\"").count(), 2);
    // A bound model has its own name, whether it is bound before or after.
    let before = program(&a, &a).load(dir.join("first.json")).unwrap();
    let mut after = loaded;
    after.set_lm(a);
    for bound in [before, after] {
        assert_eq!(names(&bound), [None, None]);
        bound.save(dir.join("third.json")).unwrap();
        assert_eq!(text("third.json").matches("\"lm\": \"a\"").count(), 2);
    }
    std::fs::remove_dir_all(dir).unwrap();
}

#[tokio::test]
async fn a_budget_too_small_for_the_runs_before_a_training_is_a_warning_before_and_after() {
    let (a, train) = (zoo("a", false), rows(8));
    // Two predictors on eight rows, not on the three of the valset.
    let needed = 8 * 2;
    for limit in 0..needed + 3 {
        let optimizer = finetune(|job| Ok(zoo(&format!("{}-tuned", job.name), true)));
        let optimizer = optimizer.budget(Budget::calls(limit)).build();
        let data = || Data::new(&train[..]).valset(&train[..3]);
        let estimate = optimizer.estimate(&program(&a, &a), data()).unwrap();
        let optimized = optimizer.compile(program(&a, &a), data()).await.unwrap();
        let is_small =
            |warning: &&String| warning.contains("too small") && warning.contains("at least 16 calls");
        let before = estimate.warnings.iter().find(is_small).cloned();
        let after = optimized.report().warnings.iter().find(is_small).cloned();
        assert_eq!(before, after, "{limit}");
        assert_eq!(before.is_some(), limit < needed, "{limit}: {estimate}");
        assert_eq!(models(&optimized)[0] == "a", limit < needed, "{limit}: {}", optimized.report());
    }
    // Further rounds, and limits of another kind, cannot be counted before.
    for budget in [Budget::calls(needed + 1), Budget::UNLIMITED.tokens(10)] {
        let optimizer = finetune(|job| Ok(zoo(&format!("{}-tuned", job.name), true)));
        let optimizer = optimizer.metric_threshold(2.0).max_rounds(3).budget(budget).build();
        let optimized = optimizer.compile(program(&a, &a), &train).await.unwrap();
        let warnings = &optimized.report().warnings;
        assert!(warnings.iter().any(|warning| warning.contains("nothing was trained")), "{warnings:?}");
        assert!(!warnings.iter().any(|warning| warning.contains("too small")), "{warnings:?}");
    }
}
