//! Demonstrations that are chosen for each input.

#![allow(clippy::unwrap_used, clippy::panic, reason = "in tests a panic is the report")]

mod common;
#[path = "common/cuts.rs"]
mod cuts;

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use common::{Hops, Parrot, Row, Steps, TwoSteps, folder, journal_of, leave, question, right, rows};
use dspy_core::evaluate::Evaluate;
use dspy_core::lm::{
    BoxFuture, Embedder, EmbeddingModel, Embeddings, Lm, LmError, LmErrorKind, Request, Response, Usage,
};
use dspy_core::predict::DynPredict;
use dspy_core::program::{HasPredictors as _, Module as _, trace};
use dspy_core::signature::{Demo, Values};
use dspy_core::state::ProgramState;
use dspy_optimizers::{
    BootstrapFewShot, BootstrapFewShotWithRandomSearch, Budget, CallKind, Data, Ensemble, KnnFewShot,
    NearestDemos, OptimizeError, Optimized, Optimizer as _, Stopped, Verify,
};
use serde_json::json;

fn demos<P>(optimized: &Optimized<P>, path: &str) -> Vec<Demo> {
    optimized.report().best_trial().unwrap().parameters[path].demos.clone()
}

/// A program that answers with the questions of the demonstrations that it is shown, in their order.
fn shown(k: usize, demos: &[&str]) -> NearestDemos<DynPredict> {
    let lm = Lm::from_fn(|request: Request| async move {
        let turns = &request.messages[1..request.messages.len() - 1];
        let asked: Vec<String> = turns.chunks(2).map(|turn| turn[0].text().into_owned()).collect();
        let line = |text: &String| {
            text.lines().find(|line| !line.starts_with("[[") && !line.is_empty()).unwrap().to_owned()
        };
        let all = asked.iter().map(line).collect::<Vec<_>>().join("|");
        Response::text(format!("[[ ## answer ## ]]\n{all}"))
    });
    let mut program = DynPredict::new("question -> answer".parse().unwrap()).with_lm(lm);
    let demo =
        |text: &&str| Demo::new(serde_json::from_value(json!({"question": text, "answer": "x"})).unwrap());
    program
        .for_each_predictor(|_, predictor| predictor.set_demos(demos.iter().map(demo).collect::<Vec<_>>()));
    NearestDemos::new(program).k(k)
}

fn asking(text: &str) -> Values {
    serde_json::from_value(json!({"question": text})).unwrap()
}

#[tokio::test]
async fn the_nearest_are_shown_the_nearest_last() {
    let all = ["a red lamp", "a green river", "the red river in France", "a blue lamp"];
    let ask = async |program: &NearestDemos<DynPredict>, text: &str| {
        program.call(asking(text)).await.unwrap()["answer"].as_str().unwrap().to_owned()
    };
    let program = shown(2, &all);
    assert_eq!(ask(&program, "red river France").await, "a red lamp|the red river in France");
    assert_eq!(ask(&program, "blue lamp").await, "a red lamp|a blue lamp");
    assert_eq!(ask(&program, "zzz").await, "a green river|a red lamp", "the first ones if nothing fits");
    assert_eq!(ask(&program.clone().k(1), "blue").await, "a blue lamp");
    assert_eq!(ask(&program.clone().k(9), "blue").await, all.join("|"), "all, in their order");
    assert_eq!(ask(&program.clone().k(0), "blue").await, "");
    let vectors = program.clone().embedder(Embedder::hashed(256));
    assert_eq!(ask(&vectors, "the red river in Franc").await, "a red lamp|the red river in France");
    // A change of the demonstrations is a new index; clones keep theirs.
    let mut changed = program.clone();
    changed.for_each_predictor(|_, predictor| {
        let demos = predictor.demos().iter().rev().take(3).cloned().collect::<Vec<_>>();
        predictor.set_demos(demos);
    });
    assert_eq!(ask(&changed, "red lamp").await, "the red river in France|a blue lamp");
    assert_eq!(ask(&program, "red lamp").await, "a blue lamp|a red lamp");
}

#[tokio::test]
async fn labels_are_enough_to_lift_a_program() {
    let lm = Parrot::new();
    let optimizer = KnnFewShot::builder().build();
    let program = NearestDemos::new(TwoSteps::new(&lm)).k(1);
    let optimized = optimizer.compile(program.clone(), &rows(20)).await.unwrap();
    assert_eq!(lm.calls(), 0);
    assert_eq!((demos(&optimized, "note").len(), demos(&optimized, "answer").len()), (0, 20));
    assert_eq!(optimized.report().trials[0].notes, ["`note` has 0", "`answer` has 20"]);
    let evaluate = Evaluate::new(right);
    let unseen = rows(40).split_off(20);
    assert_eq!(evaluate.run(&program, &unseen).await.unwrap().score(), Some(0.0));
    assert_eq!(evaluate.run(&optimized, &unseen).await.unwrap().score(), Some(1.0));

    let folder = folder("knn-state");
    std::fs::create_dir_all(&folder).unwrap();
    optimized.save(folder.join("knn.json")).unwrap();
    let loaded = program.load(folder.join("knn.json")).unwrap();
    assert_eq!(loaded.call(question("cow")).await.unwrap()["answer"], "moo");
    let plain = TwoSteps::new(&lm).load(folder.join("knn.json")).unwrap();
    let mut state = ProgramState::of(&loaded).predictors;
    state.values_mut().for_each(|predictor| assert_eq!(predictor.shown.take(), Some(1)));
    assert_eq!(ProgramState::of(&plain).predictors, state);
    assert_eq!(
        plain.named_predictors().iter().map(|(path, _)| path.as_str()).collect::<Vec<_>>(),
        ["note", "answer"]
    );
    // A truncated file, and the file of another program.
    let text = std::fs::read_to_string(folder.join("knn.json")).unwrap();
    for end in [0, 1, text.len() / 2, text.trim_end().len() - 1] {
        std::fs::write(folder.join("part.json"), &text[..end]).unwrap();
        let part = NearestDemos::new(TwoSteps::new(&lm)).load(folder.join("part.json"));
        assert!(part.unwrap_err().to_string().contains("part.json"), "{end}");
    }
    let other = NearestDemos::new(shown(1, &[]).program().clone()).load(folder.join("knn.json"));
    assert!(other.unwrap_err().to_string().contains("note"));
    std::fs::remove_dir_all(folder).unwrap();
}

/// Hashed vectors, with the number of texts that were embedded.
struct Counting {
    texts: Arc<AtomicUsize>,
    down: bool,
}

impl EmbeddingModel for Counting {
    fn id(&self) -> &'static str {
        "counting"
    }

    fn embed<'a>(
        &'a self,
        texts: &'a [String],
        _: Option<u32>,
    ) -> BoxFuture<'a, Result<Embeddings, LmError>> {
        self.texts.fetch_add(texts.len(), Ordering::SeqCst);
        Box::pin(async move {
            if self.down {
                return Err(LmError::new(LmErrorKind::Server, "counting", "down"));
            }
            Embedder::hashed(64).embed(texts.iter().map(String::as_str)).await
        })
    }
}

#[tokio::test]
async fn every_text_is_embedded_once() {
    let texts = Arc::new(AtomicUsize::new(0));
    let embedder = Embedder::custom(Counting { texts: texts.clone(), down: false });
    let mut program = shown(1, &["red", "green", "blue", "red"]).embedder(embedder);
    program.call(asking("a red lamp")).await.unwrap();
    assert_eq!(texts.load(Ordering::SeqCst), 3 + 1);
    program.call(asking("a red lamp")).await.unwrap();
    program.call(asking("a blue lamp")).await.unwrap();
    assert_eq!(texts.load(Ordering::SeqCst), 5);
    program.for_each_predictor(|_, predictor| predictor.set_instruction("Paint."));
    program.call(asking("a blue lamp")).await.unwrap();
    assert_eq!(texts.load(Ordering::SeqCst), 5, "the vectors outlive the index");
    let down = Embedder::custom(Counting { texts, down: true });
    let error = program.embedder(down).call(asking("red")).await.unwrap_err();
    assert!(error.is_outage(), "{error}");
}

/// Vectors that are computed by a function of the text.
struct Odd(fn(&str) -> Vec<f32>);

impl EmbeddingModel for Odd {
    fn id(&self) -> &'static str {
        "odd"
    }

    fn embed<'a>(
        &'a self,
        texts: &'a [String],
        _: Option<u32>,
    ) -> BoxFuture<'a, Result<Embeddings, LmError>> {
        let vectors = texts.iter().map(|text| self.0(text)).collect();
        Box::pin(async move { Ok(Embeddings::new(vectors)) })
    }
}

#[tokio::test]
async fn vectors_that_cannot_be_compared_are_errors_and_zeros_are_like_nothing() {
    let ask = async |vector: fn(&str) -> Vec<f32>| {
        let program = shown(2, &["a red lamp", "a green river", "a blue lamp"]);
        let answer = program.embedder(Embedder::custom(Odd(vector))).call(asking("a blue lamp")).await;
        answer.map(|answer| answer["answer"].clone())
    };
    let bad: [fn(&str) -> Vec<f32>; 5] = [
        |_| vec![f32::NAN, 1.0],
        |_| vec![f32::INFINITY],
        |_| Vec::new(),
        |text| vec![1.0; text.len()],
        |text| if text.contains("blue") { vec![f32::NAN] } else { vec![1.0] },
    ];
    for vector in bad {
        let error = ask(vector).await.unwrap_err();
        assert!(error.is_outage() && error.to_string().contains("a vector"), "{error}");
    }
    assert_eq!(ask(|_| vec![0.0, 0.0]).await.unwrap(), "a green river|a red lamp", "the first ones");
    // In an optimization it is an error, too, not a set of failed runs.
    let lm = Parrot::new();
    let program =
        NearestDemos::new(TwoSteps::new(&lm)).k(1).embedder(Embedder::custom(Odd(|_| vec![f32::NAN])));
    let error = KnnFewShot::builder().metric(right).build().compile(program, &rows(5)).await.unwrap_err();
    assert!(matches!(error, OptimizeError::Outage { .. }), "{error}");
}

#[tokio::test]
async fn calls_have_the_paths_of_the_program() {
    let lm = Parrot::new();
    let mut steps = Steps(vec![DynPredict::new("question -> answer".parse().unwrap()); 2]);
    steps.set_lm(Lm::shared(lm.clone()));
    let program = NearestDemos::new(steps).k(1);
    let optimized = KnnFewShot::builder().build().compile(program, &rows(5)).await.unwrap();
    let paths = async |program: &Ensemble<NearestDemos<Steps>>| {
        let (answer, steps) = trace(program.call(question("cow"))).await;
        assert_eq!(answer.unwrap()["answer"], "moo");
        let mut paths: Vec<_> = steps.steps.into_iter().map(|step| step.predictor).collect();
        paths.sort();
        paths
    };
    assert_eq!(
        paths(&Ensemble::new([optimized.clone().into_program()])).await,
        ["programs[0][0]", "programs[0][1]"]
    );
    let ensemble = Ensemble::new(vec![optimized.into_program(); 2]);
    let all = ["programs[0][0]", "programs[0][1]", "programs[1][0]", "programs[1][1]"];
    assert_eq!(paths(&ensemble).await, all);
}

#[tokio::test]
async fn a_teacher_makes_demonstrations_of_steps_without_labels() {
    let mut runs = Vec::new();
    for concurrency in [1, 16] {
        let lm = Parrot::new();
        let optimizer = KnnFewShot::builder().metric(right).max_rounds(2).concurrency(concurrency).build();
        let data = rows(12);
        let optimized = optimizer.compile(NearestDemos::new(TwoSteps::new(&lm)).k(1), &data).await.unwrap();
        let report = optimized.report();
        // Five animals: each of these rows has another one of its animal.
        let items = &report.trials[0].items;
        assert!(items.iter().all(|item| item.score == Some(1.0)), "{report}");
        assert_eq!((lm.calls(), report.usage.requests), (24, 24), "one run for each row");
        let notes = demos(&optimized, "note");
        assert_eq!(notes.len(), 12);
        assert!(notes.iter().all(|demo| demo.augmented && demo.values["note"].is_string()));
        let before = lm.calls();
        assert_eq!(optimized.call(question("cow")).await.unwrap()["answer"], "moo");
        assert_eq!(lm.calls() - before, 2, "no call for demonstrations");
        runs.push(report.clone());
    }
    assert_eq!(runs[0], runs[1]);
}

#[tokio::test]
async fn a_row_does_not_teach_itself() {
    let lm = Parrot::new();
    let optimizer = KnnFewShot::builder().metric(right).max_rounds(2).build();
    // With one row for each animal, only a row's own label could tell the teacher its sound.
    let optimized = optimizer.compile(NearestDemos::new(TwoSteps::new(&lm)), &rows(5)).await.unwrap();
    assert_eq!(lm.calls(), 5 * 2 * 2, "five rows, two rounds, two predictors");
    let answers = demos(&optimized, "answer");
    assert!(answers.len() == 5 && answers.iter().all(|demo| !demo.augmented), "labels remain");
    assert_eq!(optimized.report().trials[0].notes[0], "0 of 5 rows tried succeeded");
}

#[tokio::test]
async fn a_row_with_a_value_that_a_step_returns_does_not_teach_itself_either() {
    // The note is an input of the program and an output of its first step.
    let leaked = Arc::new(AtomicUsize::new(0));
    let lm = {
        let leaked = leaked.clone();
        Lm::from_fn(move |request: Request| {
            let asked = request.messages.last().unwrap().text().into_owned();
            let same = request.messages[1..request.messages.len() - 1].iter().any(|turn| {
                turn.text().lines().nth(1) == asked.lines().nth(1) && turn.role == dspy_core::lm::Role::User
            });
            leaked.fetch_add(usize::from(same), Ordering::SeqCst);
            let field = if request.messages[0].text().contains("`answer`") { "answer" } else { "note" };
            async move { Response::text(format!("[[ ## {field} ## ]]\nsomething")) }
        })
    };
    let mut steps = Pipeline {
        note: DynPredict::new("question -> note".parse().unwrap()),
        answer: DynPredict::new("note -> answer".parse().unwrap()),
    };
    steps.set_lm(lm);
    let data: Vec<Row> = rows(10)
        .into_iter()
        .map(|Row(mut values)| {
            values.insert("note".into(), "a draft".into());
            Row(values)
        })
        .collect();
    // The largest number, as an overflow would show here.
    for k in [1, 3, usize::MAX] {
        let optimizer = KnnFewShot::builder().metric(right).build();
        let optimized = optimizer.compile(NearestDemos::new(steps.clone()).k(k), &data).await.unwrap();
        assert_eq!(optimized.report().usage.requests, 20, "{}", optimized.report());
        assert_eq!(leaked.load(Ordering::SeqCst), 0, "{k}");
    }
}

#[tokio::test]
async fn demonstrations_of_inner_steps_are_found_by_the_input_of_the_program() {
    // The second step sees the note only, and the notes are all alike.
    let lm = Lm::from_fn(|request: Request| async move {
        if !request.messages[0].text().contains("`answer`") {
            return Response::text("[[ ## note ## ]]\nthe same");
        }
        let last = request.messages[request.messages.len() - 2].text().into_owned();
        let answer =
            last.split("]]\n").nth(1).and_then(|text| text.lines().next()).unwrap_or("none").to_owned();
        Response::text(format!("[[ ## answer ## ]]\n{answer}"))
    });
    let mut steps = Pipeline {
        note: DynPredict::new("question -> note".parse().unwrap()),
        answer: DynPredict::new("note -> answer".parse().unwrap()),
    };
    steps.set_lm(lm);
    let mut teacher = steps.clone();
    let knows = Lm::from_fn(|request: Request| async move {
        let asked = request.messages.last().unwrap().text().into_owned();
        let sound = ["moo", "meow", "woof", "quack", "hoot"];
        let animals = ["cow", "cat", "dog", "duck", "owl"];
        let at = animals.iter().position(|animal| asked.contains(animal)).unwrap_or_default();
        let field = if request.messages[0].text().contains("`answer`") { "answer" } else { "note" };
        let value = if field == "note" { animals[at] } else { sound[at] };
        Response::text(format!("[[ ## {field} ## ]]\n{value}"))
    });
    teacher.set_lm(knows);
    let optimizer = KnnFewShot::builder().metric(right).build();
    let data = rows(10);
    let data = Data::new(&data).teacher(NearestDemos::new(teacher));
    let optimized = optimizer.compile(NearestDemos::new(steps).k(1), data).await.unwrap();
    for (asked, sound) in [("What does dog number 2 say?", "woof"), ("What does owl number 4 say?", "hoot")] {
        assert_eq!(optimized.call(asking(asked)).await.unwrap()["answer"], sound);
    }
}

#[derive(Debug, Clone)]
struct Pipeline {
    note: DynPredict,
    answer: DynPredict,
}

impl dspy_core::program::HasPredictors for Pipeline {
    fn visit<'a>(&'a self, visitor: &mut dspy_core::program::Visitor<'a, '_>) {
        visitor.field("note", &self.note);
        visitor.field("answer", &self.answer);
    }

    fn visit_mut(&mut self, visitor: &mut dspy_core::program::VisitorMut<'_>) {
        visitor.field("note", &mut self.note);
        visitor.field("answer", &mut self.answer);
    }
}

impl dspy_core::program::Module for Pipeline {
    type Input = Values;
    type Output = Values;

    async fn forward(&self, input: Values) -> dspy_core::Result<dspy_core::predict::Prediction<Values>> {
        let question: Values = input.into_iter().filter(|(name, _)| name == "question").collect();
        let note = self.note.call(question).await?.into_output();
        self.answer.call(note).await
    }
}

#[tokio::test]
async fn a_kill_changes_nothing() {
    cuts::same_after_every_kill("knn", async |folder| {
        let lm = Parrot::new();
        let optimizer = KnnFewShot::builder().metric(right).max_rounds(2).run_dir(folder).build();
        let optimized =
            optimizer.compile(NearestDemos::new(TwoSteps::new(&lm)).k(1), &rows(7)).await.unwrap();
        (optimized.report().clone(), lm.calls())
    })
    .await;
}

#[tokio::test]
async fn a_budget_ends_it_with_what_was_made_and_an_outage_is_an_error() {
    let total = 2 * (7 + 3);
    for calls in 0..total {
        let lm = Parrot::new();
        let optimizer = KnnFewShot::builder().metric(right).max_rounds(2);
        let optimizer = optimizer.concurrency(3).budget(Budget::calls(calls as u64)).build();
        let program = NearestDemos::new(TwoSteps::new(&lm)).k(1);
        let optimized = optimizer.compile(program.clone(), &rows(7)).await.unwrap();
        let report = optimized.report();
        assert!(matches!(report.stopped, Stopped::Budget(_)) && lm.calls() <= calls, "{calls}: {report}");
        let made = demos_of(report, "note");
        assert!(made <= calls / 2, "{calls}: {made}");
        assert!(calls < 14 || made == 4, "after the first round, all successes: {calls}: {made}");
        let lm = Parrot::down_from(calls);
        let optimizer = KnnFewShot::builder().metric(right).max_rounds(2).build();
        let error =
            optimizer.compile(NearestDemos::new(TwoSteps::new(&lm)).k(1), &rows(7)).await.unwrap_err();
        assert!(matches!(error, OptimizeError::Outage { .. }), "{error}");
    }
}

#[tokio::test]
async fn a_program_that_always_fails_by_itself_is_an_error() {
    let mut program = DynPredict::new("question -> answer".parse().unwrap());
    program.set_lm(Lm::from_fn(|_| async { panic!("no memory") as &str }));
    let optimizer = KnnFewShot::builder().metric(right).build();
    let error = optimizer.compile(NearestDemos::new(program), &rows(7)).await.unwrap_err();
    assert!(matches!(error, OptimizeError::Program { failed: 7, .. }), "{error}");
}

fn demos_of(report: &dspy_optimizers::Report, path: &str) -> usize {
    report.best_trial().map_or(0, |trial| trial.parameters[path].demos.len())
}

#[tokio::test]
async fn seeds_choose_among_the_calls_of_a_loop() {
    let mut chosen = Vec::new();
    for seed in [0, 1, 0] {
        let lm = Parrot::new();
        let optimizer = KnnFewShot::builder().metric(right).seed(seed).build();
        let optimized =
            optimizer.compile(NearestDemos::new(Hops::new(&lm, 3)).k(2), &rows(20)).await.unwrap();
        let rounds =
            demos(&optimized, "hop").iter().map(|demo| demo.values["round"].as_u64()).collect::<Vec<_>>();
        chosen.push(rounds);
    }
    assert_eq!(chosen[0], chosen[2]);
    assert_ne!(chosen[0], chosen[1]);
}

/// Hashed vectors of a model at an address, at a price, with the texts that were embedded, by request.
#[derive(Debug, Default, Clone)]
struct Priced(Arc<Mutex<Vec<Vec<String>>>>);

impl Priced {
    fn texts(&self) -> Vec<String> {
        self.0.lock().unwrap().concat()
    }
}

impl EmbeddingModel for Priced {
    fn id(&self) -> &'static str {
        "priced"
    }

    fn endpoint(&self) -> &'static str {
        "http://127.0.0.1:1"
    }

    fn embed<'a>(
        &'a self,
        texts: &'a [String],
        _: Option<u32>,
    ) -> BoxFuture<'a, Result<Embeddings, LmError>> {
        self.0.lock().unwrap().push(texts.to_vec());
        Box::pin(async move {
            let mut embeddings = Embedder::hashed(16).embed(texts.iter().map(String::as_str)).await?;
            embeddings.usage = Usage::tokens(10, 0).at_cost(0.25);
            Ok(embeddings)
        })
    }
}

#[tokio::test]
async fn embeddings_are_recorded_and_paid_while_it_optimizes() {
    let run = |folder: PathBuf, budget: Budget, concurrency: usize| async move {
        let (lm, priced) = (Parrot::new(), Priced::default());
        let embedder = Embedder::custom(priced.clone()).batch(2).concurrency(concurrency);
        let program = NearestDemos::new(TwoSteps::new(&lm)).k(1).embedder(embedder);
        let optimizer = KnnFewShot::builder().metric(right).run_dir(&folder).budget(budget);
        let optimized = optimizer.concurrency(concurrency).build().compile(program, &rows(7)).await.unwrap();
        (optimized.report().clone(), lm.calls(), priced.texts().len())
    };
    let whole = folder("knn-embeddings");
    let (report, calls, texts) = run(whole.clone(), Budget::UNLIMITED, 1).await;
    let embeddings = report.spend.of(CallKind::Embedding).usage;
    assert_eq!(
        (embeddings.requests, embeddings.cost_usd, texts),
        (4, Some(1.0), 7),
        "batches of two of seven rows"
    );
    assert_eq!(report.usage.requests as usize, calls + 4);
    let journal = journal_of(&whole);
    let part = folder("knn-embeddings-part");
    for end in journal.match_indices('\n').map(|(at, _)| at + 1) {
        leave(&part, &journal[..end]);
        let (resumed, again, texts) = run(part.clone(), Budget::UNLIMITED, 1).await;
        assert_eq!(resumed, report, "cut at byte {end}");
        let recorded = journal[..end].matches("\"kind\":\"embedding\"").count();
        assert_eq!(texts, 7_usize.saturating_sub(2 * recorded), "cut at byte {end}");
        assert!(again <= calls);
        std::fs::remove_dir_all(&part).unwrap();
    }
    let (other, ..) = run(part.clone(), Budget::UNLIMITED, 16).await;
    assert_eq!(other, report);
    std::fs::remove_dir_all(&part).unwrap();
    for limit in 0..7 {
        let (report, calls, texts) = run(part.clone(), Budget::calls(limit), 4).await;
        assert!(matches!(report.stopped, Stopped::Budget(_)), "{report}");
        assert_eq!((report.usage.requests, texts > 0), (limit, limit > 0), "{report}");
        assert!((calls as u64) < limit.max(1));
        std::fs::remove_dir_all(&part).unwrap();
    }
    std::fs::remove_dir_all(whole).unwrap();
}

#[tokio::test]
async fn a_search_that_is_resumed_embeds_no_recorded_text_again() {
    let run = |folder: PathBuf, concurrency: usize| async move {
        let (lm, priced) = (Parrot::new(), Priced::default());
        let embedder = Embedder::custom(priced.clone()).batch(3);
        let program = NearestDemos::new(TwoSteps::new(&lm)).k(1).embedder(embedder);
        let search = BootstrapFewShotWithRandomSearch::builder().metric(right).max_labeled_demos(5);
        let search = search.num_candidate_programs(2).run_dir(&folder).concurrency(concurrency).build();
        let optimized = search.compile(program, &rows(7)).await.unwrap();
        (optimized.report().clone(), priced.texts())
    };
    let whole = folder("knn-search");
    let (report, texts) = run(whole.clone(), 1).await;
    let mut distinct = texts.clone();
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!(texts.len(), distinct.len(), "no text twice");
    let journal = journal_of(&whole);
    let part = folder("knn-search-part");
    let ends: Vec<usize> = journal.match_indices('\n').map(|(at, _)| at + 1).collect();
    for (cut, end) in ends.into_iter().enumerate().step_by(5) {
        leave(&part, &journal[..end]);
        let (resumed, again) = run(part.clone(), if cut % 2 == 0 { 1 } else { 8 }).await;
        assert_eq!(resumed, report, "cut at byte {end}");
        let embedded = |line: &&str| line.contains("\"kind\":\"embedding\"");
        let recorded = journal[..end].lines().filter(embedded).count();
        assert!(again.len() <= texts.len() - recorded, "cut at byte {end}: {again:?}");
        let rest = &texts[texts.len() - again.len()..];
        assert!(again.iter().all(|text| rest.contains(text)), "cut at byte {end}: {again:?} of {rest:?}");
        std::fs::remove_dir_all(&part).unwrap();
    }
    std::fs::remove_dir_all(whole).unwrap();
}

#[tokio::test]
async fn a_failed_request_loses_no_answered_one_and_vectors_of_other_dimensions_are_others() {
    /// Fails on one text, slowly answers the others.
    #[derive(Debug, Clone)]
    struct Weak(Priced, &'static str);

    impl EmbeddingModel for Weak {
        fn id(&self) -> &'static str {
            "weak"
        }

        fn endpoint(&self) -> &'static str {
            "http://127.0.0.1:1"
        }

        fn embed<'a>(
            &'a self,
            texts: &'a [String],
            dimensions: Option<u32>,
        ) -> BoxFuture<'a, Result<Embeddings, LmError>> {
            Box::pin(async move {
                if texts.iter().any(|text| text.contains(self.1)) {
                    return Err(LmError::new(LmErrorKind::Server, "weak", "down"));
                }
                for _ in 0..20 {
                    tokio::task::yield_now().await;
                }
                self.0.embed(texts, dimensions).await
            })
        }
    }

    let dir = folder("knn-weak");
    let run = async |weak: Weak, dimensions: u32| {
        let lm = Parrot::new();
        let embedder = Embedder::custom(weak).batch(1).concurrency(8).dimensions(dimensions);
        let program = NearestDemos::new(TwoSteps::new(&lm)).k(1).embedder(embedder);
        KnnFewShot::builder().metric(right).run_dir(&dir).build().compile(program, &rows(7)).await
    };
    let first = Priced::default();
    let text = {
        // The last one, so that all others are in flight when it fails.
        let all = Priced::default();
        let free = folder("knn-weak-all");
        let embedder = Embedder::custom(all.clone()).batch(1);
        let program = NearestDemos::new(TwoSteps::new(&Parrot::new())).k(1).embedder(embedder);
        let optimizer = KnnFewShot::builder().metric(right).run_dir(&free).build();
        optimizer.compile(program, &rows(7)).await.unwrap();
        std::fs::remove_dir_all(free).unwrap();
        all.texts().pop().unwrap()
    };
    let text: &'static str = text.leak();
    run(Weak(first.clone(), text), 16).await.unwrap_err();
    assert_eq!(first.texts().len(), 6, "those in flight are awaited");
    let second = Priced::default();
    run(Weak(second.clone(), "\0"), 16).await.unwrap();
    assert_eq!(second.texts(), [text], "and not asked for again");
    let error = run(Weak(second, "\0"), 8).await.unwrap_err().to_string();
    assert!(error.contains("embedder") && error.contains('8'), "{error}");
    std::fs::remove_dir_all(dir).unwrap();
}

#[tokio::test]
async fn other_optimizers_can_fill_it_and_bad_input_is_refused() {
    let lm = Parrot::new();
    let bootstrap = BootstrapFewShot::builder().metric(right).max_bootstrapped_demos(8).max_labeled_demos(20);
    let program = NearestDemos::new(TwoSteps::new(&lm)).k(2);
    let optimized = bootstrap.build().boxed().compile(program.clone(), rows(20)).await.unwrap();
    assert_eq!(demos(&optimized, "answer").len(), 20);
    assert_eq!(optimized.call(question("owl")).await.unwrap()["answer"], "hoot");

    let labels = KnnFewShot::builder().build();
    let empty: &[Row] = &[];
    let error = labels.compile(program.clone(), empty).await.unwrap_err();
    assert!(matches!(error, OptimizeError::Empty { set: "trainset" }), "{error}");
    let error = labels.compile(NearestDemos::new(Steps(Vec::new())), &rows(3)).await.unwrap_err();
    assert!(matches!(error, OptimizeError::NoPredictors), "{error}");
    // Nothing can be verified without a metric.
    let verified = KnnFewShot::builder().verify(Verify::rows(2)).build();
    let error = verified.compile(program.clone(), &rows(20)).await.unwrap_err();
    assert!(matches!(error, OptimizeError::Option { option: "verify", .. }), "{error}");
    let error = labels.compile(program.clone(), Data::new(rows(5)).holdout(rows(5))).await.unwrap_err();
    assert!(matches!(error, OptimizeError::Option { option: "holdout", .. }), "{error}");
    // A metric that fails on every row says nothing about the teacher.
    let failing = |_: &Row, _: &Values| -> Result<f64, &'static str> { Err("no opinion") };
    let error =
        KnnFewShot::builder().metric(failing).build().compile(program.clone(), &rows(3)).await.unwrap_err();
    assert!(matches!(error, OptimizeError::Metric { failed: 3, .. }), "{error}");
    // A single row has nothing to learn from.
    let single =
        KnnFewShot::builder().metric(right).build().compile(program.clone(), &rows(1)).await.unwrap();
    assert_eq!((demos(&single, "note").len(), demos(&single, "answer").len()), (0, 1));
    let nan = KnnFewShot::builder().metric(right).metric_threshold(f64::NAN).build();
    let error = nan.compile(program, &rows(3)).await.unwrap_err();
    assert!(matches!(error, OptimizeError::Option { option: "metric_threshold", .. }), "{error}");
    let steps = |count: usize| {
        let step = DynPredict::new("question -> answer".parse().unwrap());
        NearestDemos::new(Steps(vec![step; count]))
    };
    let taught = KnnFewShot::builder().metric(right).build();
    let error = taught.compile(steps(1), Data::new(rows(3)).teacher(steps(2))).await.unwrap_err();
    assert!(matches!(error, OptimizeError::Teacher(_)), "{error}");
}

#[tokio::test]
async fn a_journal_is_not_resumed_with_other_settings_of_a_module() {
    let lm = Parrot::new();
    let dir = folder("nearest-settings");
    let run = async |k: usize, seed: u64| {
        let nearest = NearestDemos::new(TwoSteps::new(&lm)).k(k);
        let ensemble = Ensemble::new(vec![nearest; 2]).size(1).seed(seed);
        BootstrapFewShot::builder().metric(right).run_dir(&dir).build().compile(ensemble, &rows(6)).await
    };
    run(2, 0).await.unwrap();
    let calls = lm.calls();
    for (k, seed, expected) in [
        (3, 0, "`program.programs[0] (NearestDemos).k` was 2, is now 3"),
        (2, 7, "`program.self (Ensemble).seed` was 0, is now 7"),
    ] {
        let error = run(k, seed).await.unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    run(2, 0).await.unwrap();
    assert_eq!(lm.calls(), calls);
    std::fs::remove_dir_all(dir).unwrap();
}
