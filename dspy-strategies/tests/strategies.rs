//! Strategies as a user meets them: results, calls, traces, failures.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "in tests a panic is the report")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use dspy_core::lm::{Budget, Lm, LmError, LmErrorKind, Reply, Request, ScriptedLm};
use dspy_core::predict::{DynPredict, Prediction};
use dspy_core::program::{HasPredictors, Module, Settings, Visitor, VisitorMut, trace};
use dspy_core::signature::Values;
use dspy_core::{Error, Result};
use dspy_strategies::{
    Assert, Backtrack, BestOfN, ConstraintFailed, Parallel, Refine, Reflexion, SelfConsistency, Suggest,
};

fn values(name: &str, text: &str) -> Values {
    Values::from_iter([(name.to_owned(), text.into())])
}

fn answer(text: &str) -> String {
    format!("[[ ## answer ## ]]\n{text}")
}

fn qa() -> DynPredict {
    DynPredict::new("question -> answer".parse().unwrap())
}

fn prompt(request: &Request) -> String {
    request.messages.iter().map(|message| message.text().into_owned()).collect::<Vec<_>>().join("\n")
}

/// A model whose reply depends on the rollout alone, the later the slower.
fn by_rollout(answers: &'static [&'static str]) -> (Lm, Arc<AtomicUsize>) {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = calls.clone();
    let lm = Lm::from_fn(move |request: Request| {
        counted.fetch_add(1, Ordering::SeqCst);
        async move {
            let index = request.rollout.unwrap_or(0) as usize;
            // Later samples answer first.
            tokio::time::sleep(Duration::from_millis(2 * (answers.len().saturating_sub(index)) as u64)).await;
            answer(answers[index % answers.len()])
        }
    });
    (lm, calls)
}

fn length(_: &Values, output: &Values) -> f64 {
    output["answer"].as_str().map_or(0.0, |text| text.len() as f64)
}

#[tokio::test]
async fn the_best_sample_is_the_same_at_any_concurrency() {
    for concurrency in [1, 3, 64] {
        let (lm, calls) = by_rollout(&["a", "ccc", "bbb", "dd"]);
        let best = BestOfN::new(qa().with_lm(lm), 4, length).concurrency(concurrency);
        let (output, trace) = trace(best.call(values("question", "?"))).await;
        let output = output.unwrap();
        assert_eq!(output["answer"], "ccc", "the earliest of the best");
        assert_eq!((output.usage().requests, calls.load(Ordering::SeqCst)), (4, 4));
        assert_eq!(trace.steps.len(), 1, "only the returned sample is in the trace");
        assert_eq!(
            (trace.steps[0].predictor.as_str(), &trace.steps[0].outputs["answer"]),
            ("module", &"ccc".into())
        );
    }
}

#[tokio::test]
async fn a_threshold_saves_calls_and_not_the_result() {
    for (concurrency, most) in [(None, 2), (Some(4), 4)] {
        let (lm, calls) = by_rollout(&["a", "ccc", "ddddd", "dd"]);
        let mut best = BestOfN::new(qa().with_lm(lm), 4, length).threshold(3.0);
        if let Some(concurrency) = concurrency {
            best = best.concurrency(concurrency);
        }
        let output = best.call(values("question", "?")).await.unwrap();
        assert_eq!(output["answer"], "ccc");
        assert_eq!(output.added_as::<usize>("samples").unwrap(), 2);
        assert!(calls.load(Ordering::SeqCst) <= most);
    }
}

#[tokio::test]
async fn the_first_sample_is_the_plain_call_and_samples_nest() {
    let seen = Arc::new(std::sync::Mutex::new(Vec::new()));
    let log = seen.clone();
    let lm = Lm::from_fn(move |request: Request| {
        log.lock().unwrap().push((request.rollout, request.params.temperature));
        async { answer("x") }
    });
    let inner = BestOfN::new(qa().with_lm(lm), 2, length);
    let outer = BestOfN::new(inner, 2, length).concurrency(1);
    outer.call(values("question", "?")).await.unwrap();
    let seen = seen.lock().unwrap();
    assert_eq!(seen[0], (None, None));
    let mut rollouts: Vec<_> = seen.iter().map(|(rollout, _)| *rollout).collect();
    assert!(seen[1..].iter().all(|(_, temperature)| *temperature == Some(1.0)), "{seen:?}");
    rollouts.dedup();
    assert_eq!(rollouts.len(), 4, "four different samples: {rollouts:?}");
}

#[tokio::test]
async fn samples_may_fail_but_an_outage_is_an_outage() {
    let lm = || Lm::scripted(["unreadable".to_owned(), answer("good")]);
    let program = || qa().with_recovery(dspy_core::program::Recovery::NONE);
    let best = BestOfN::new(program().with_lm(lm()), 2, length).concurrency(1);
    assert_eq!(best.call(values("question", "?")).await.unwrap()["answer"], "good");
    let none = BestOfN::new(program().with_lm(lm()), 2, length).max_failures(0).concurrency(1);
    let error = none.call(values("question", "?")).await.unwrap_err();
    assert!(error.to_string().contains("too many of the 2 samples of `BestOfN` failed"), "{error:?}");
    assert!(format!("{error:?}").contains("unreadable"), "the reply is not lost: {error:?}");

    let down = LmError::new(LmErrorKind::Auth, "scripted", "refused");
    let lm = Lm::scripted([Reply::from(answer("good")), Reply::from(down)]);
    let best = BestOfN::new(qa().with_lm(lm), 2, length).concurrency(1);
    assert!(best.call(values("question", "?")).await.unwrap_err().is_outage());

    let (lm, _) = by_rollout(&["a"]);
    let spent =
        Budget::calls(2).scope(BestOfN::new(qa().with_lm(lm), 5, length).call(values("question", "?"))).await;
    assert!(spent.unwrap_err().is_outage(), "a spent budget is not a worse result");
}

#[tokio::test]
async fn a_reward_that_fails_panics_or_is_no_number_is_an_error() {
    let program = || qa().with_lm(Lm::scripted([answer("x")]));
    let ask = || values("question", "?");
    let nan = BestOfN::new(program(), 1, |_: &Values, _: &Values| f64::NAN).call(ask()).await.unwrap_err();
    assert!(nan.to_string().contains("the reward of `BestOfN` failed"), "{nan}");
    let panics = |_: &Values, output: &Values| -> f64 { output["missing"].as_f64().unwrap() };
    let panics = BestOfN::new(program(), 1, panics).call(ask()).await.unwrap_err();
    assert!(panics.to_string().contains("it panicked"), "{panics}");
    let fails = |_: &Values, _: &Values| -> Result<f64, String> { Err("no ruler".into()) };
    let fails = BestOfN::new(program(), 1, fails).call(ask()).await.unwrap_err();
    assert!(fails.to_string().contains("no ruler"), "{fails}");
}

/// Counts itself while it lives.
struct Running(Arc<AtomicUsize>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn dropping_a_call_stops_its_samples() {
    let running = Arc::new(AtomicUsize::new(0));
    let all = Arc::new(tokio::sync::Notify::new());
    let (counted, begun) = (running.clone(), all.clone());
    let lm = Lm::from_fn(move |_: Request| {
        let guard = Running(counted.clone());
        if counted.fetch_add(1, Ordering::SeqCst) + 1 == 64 {
            begun.notify_one();
        }
        async move {
            std::future::pending::<()>().await;
            drop(guard);
            answer("x")
        }
    });
    let best = BestOfN::new(qa().with_lm(lm), 64, length).concurrency(64);
    tokio::select! {
        _ = best.call(values("question", "?")) => panic!("no sample ends"),
        () = all.notified() => {}
    }
    assert_eq!(running.load(Ordering::SeqCst), 0, "all 64 have stopped");
}

/// A program of two predictors: a query, then an answer.
#[derive(Clone)]
struct TwoSteps {
    query: DynPredict,
    answer: DynPredict,
    constrain: fn(&TwoSteps, &Values, &Values) -> Result<()>,
}

impl TwoSteps {
    fn new(constrain: fn(&TwoSteps, &Values, &Values) -> Result<()>) -> Self {
        let query = DynPredict::new("question -> query".parse().unwrap());
        let answer = DynPredict::new("query -> answer".parse().unwrap());
        TwoSteps { query, answer, constrain }
    }
}

impl HasPredictors for TwoSteps {
    fn visit<'a>(&'a self, visitor: &mut Visitor<'a, '_>) {
        visitor.field("query", &self.query);
        visitor.field("answer", &self.answer);
    }
    fn visit_mut(&mut self, visitor: &mut VisitorMut<'_>) {
        visitor.field("query", &mut self.query);
        visitor.field("answer", &mut self.answer);
    }
}

impl Module for TwoSteps {
    type Input = Values;
    type Output = Values;
    async fn forward(&self, input: Values) -> Result<Prediction<Values>> {
        let query = self.query.call(input).await?;
        let answer = self.answer.call(values("query", query["query"].as_str().unwrap())).await?;
        (self.constrain)(self, &query, &answer)?;
        Ok(answer)
    }
}

/// Answers each of the two steps with what `reply` makes of the prompt, and counts the calls of both.
fn two_step_lm(reply: fn(&str, bool) -> &'static str) -> (Lm, Arc<AtomicUsize>, Arc<AtomicUsize>) {
    let (queries, answers) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (count_queries, count_answers) = (queries.clone(), answers.clone());
    let lm = Lm::from_fn(move |request: Request| {
        let text = prompt(&request);
        let is_query = text.contains("[[ ## question ## ]]");
        let count = if is_query { &count_queries } else { &count_answers };
        count.fetch_add(1, Ordering::SeqCst);
        let name = if is_query { "query" } else { "answer" };
        let reply = format!("[[ ## {name} ## ]]\n{}", reply(&text, is_query));
        async move { reply }
    });
    (lm, queries, answers)
}

#[tokio::test]
async fn backtracking_goes_to_the_responsible_predictor_and_repeats_no_call() {
    // The answer is refused; the query before it is not asked again.
    let mut program = TwoSteps::new(|program, _, answer| {
        Assert::new(answer["answer"] != "bad", "answer well").of(&program.answer).check()
    });
    let (lm, queries, answers) =
        two_step_lm(|text, is_query| match (is_query, text.contains("answer well")) {
            (true, _) => "q",
            (false, false) => "bad",
            (false, true) => "good",
        });
    program.set_lm(lm);
    let (output, trace) = trace(Backtrack::new(program).call(values("question", "?"))).await;
    let output = output.unwrap();
    assert_eq!(output["answer"], "good");
    assert_eq!(output.added_as::<usize>("backtracks").unwrap(), 1);
    assert_eq!((queries.load(Ordering::SeqCst), answers.load(Ordering::SeqCst)), (1, 2));
    let paths: Vec<_> = trace.steps.iter().map(|step| step.predictor.as_str()).collect();
    assert_eq!(paths, ["module.query", "module.answer"]);
    assert_eq!(output.usage().requests, 3, "replayed replies are not paid twice");

    // The query is responsible: both are asked again.
    let mut program = TwoSteps::new(|program, query, _| {
        Assert::new(query["query"] != "bad", "ask well").of(&program.query).check()
    });
    let (lm, queries, answers) = two_step_lm(|text, is_query| match (is_query, text.contains("ask well")) {
        (true, false) => "bad",
        (true, true) => "good",
        (false, _) => "a",
    });
    program.set_lm(lm);
    Backtrack::new(program).call(values("question", "?")).await.unwrap();
    assert_eq!((queries.load(Ordering::SeqCst), answers.load(Ordering::SeqCst)), (2, 2));
}

#[tokio::test]
async fn an_assertion_ends_the_call_and_a_suggestion_does_not() {
    let (lm, _, answers) = two_step_lm(|_, is_query| if is_query { "q" } else { "bad" });
    let mut hard =
        TwoSteps::new(|_, _, answer| Assert::new(answer["answer"] != "bad", "answer well").check());
    hard.set_lm(lm);
    let error = Backtrack::new(hard).max_backtracks(3).call(values("question", "?")).await.unwrap_err();
    assert_eq!(ConstraintFailed::of(&error).unwrap().message(), "answer well");
    assert!(!error.is_outage());
    assert_eq!(answers.load(Ordering::SeqCst), 4);

    let (lm, _, answers) = two_step_lm(|_, is_query| if is_query { "q" } else { "bad" });
    let mut soft =
        TwoSteps::new(|_, _, answer| Suggest::new(answer["answer"] != "bad", "answer well").check());
    soft.set_lm(lm);
    let output = Backtrack::new(soft.clone()).call(values("question", "?")).await.unwrap();
    assert_eq!(output.added_as::<Vec<String>>("failed_suggestions").unwrap(), ["answer well"]);
    assert_eq!(answers.load(Ordering::SeqCst), 3, "the last attempt is replayed, not asked again");
    assert_eq!(soft.call(values("question", "?")).await.unwrap()["answer"], "bad");
}

#[tokio::test]
async fn refine_advises_the_responsible_predictor_only() {
    let mut program = TwoSteps::new(|_, _, _| Ok(()));
    let lm = Lm::from_fn(|request: Request| async move {
        let text = prompt(&request);
        if text.contains("[[ ## discussion ## ]]") {
            assert!(text.contains("The reward was 0; wanted is at least 1. too vague"), "{text}");
            assert!(text.contains("`query` was given") && text.contains("query: vague"), "{text}");
            let advice = r#"{"query": "Name the year.", "nobody": "…"}"#;
            return format!("[[ ## discussion ## ]]\nThe query.\n\n[[ ## advice ## ]]\n{advice}");
        }
        let advised = text.contains("Name the year.");
        if text.contains("[[ ## question ## ]]") {
            format!("[[ ## query ## ]]\n{}", if advised { "1991" } else { "vague" })
        } else {
            assert!(!advised, "the other predictor is not advised");
            answer(if text.contains("1991") { "yes" } else { "no" })
        }
    });
    program.set_lm(lm);
    let refined =
        Refine::new(program, 3, |_: &Values, output: &Values| (output["answer"] == "yes", "too vague"));
    let (output, trace) = trace(refined.call(values("question", "?"))).await;
    let output = output.unwrap();
    assert_eq!((output["answer"].as_str(), output.added_as::<usize>("attempts").unwrap()), (Some("yes"), 2));
    let paths: Vec<_> = trace.steps.iter().map(|step| step.predictor.as_str()).collect();
    assert_eq!(paths, ["module.query", "module.answer"]);
    assert_eq!(output.usage().requests, 5);
}

#[tokio::test]
async fn without_success_the_best_attempt_is_returned() {
    let lm = Lm::from_fn(|request: Request| async move {
        let text = prompt(&request);
        if text.contains("[[ ## reflection ## ]]") {
            return "[[ ## reflection ## ]]\nBe longer.".to_owned();
        }
        answer(if text.contains("Be longer.") { "b" } else { "aaa" })
    });
    let mut program = Reflexion::new(qa(), 3, length).threshold(10.0);
    program.set_lm(lm);
    let output = program.call(values("question", "?")).await.unwrap();
    assert_eq!(output["answer"], "aaa");
    assert_eq!(output.added_as::<f64>("reward").unwrap(), 3.0);
    let paths: Vec<_> = program.named_predictors().into_iter().map(|(path, _)| path).collect();
    assert_eq!(paths, ["module", "reflect"]);
}

#[tokio::test]
async fn most_samples_decide_and_signs_count() {
    let (lm, _) = by_rollout(&["-5", "5", "Five.", " five", "five"]);
    let vote = SelfConsistency::new(qa().with_lm(lm), 5);
    let output = vote.call(values("question", "?")).await.unwrap();
    assert_eq!(output["answer"], "Five.");
    assert_eq!(output.added_as::<usize>("votes").unwrap(), 3);
    assert_eq!(output.added_as::<usize>("voters").unwrap(), 5);
}

#[tokio::test]
async fn parallel_programs_fail_on_their_own() {
    let down = LmError::new(LmErrorKind::Auth, "scripted", "refused");
    let lms = [Lm::scripted([Reply::from(answer("a"))]), Lm::scripted([Reply::from(down)])];
    let programs = Parallel::new(lms.map(|lm| qa().with_lm(lm)));
    let results = programs.call(values("question", "?")).await.unwrap();
    assert_eq!(results[0].as_ref().unwrap()["answer"], "a");
    assert!(results[1].as_ref().unwrap_err().is_outage());
    let error = programs.pairs([values("question", "?")]).await.unwrap_err();
    assert_eq!(error.to_string(), "1 inputs for 2 programs; each takes one");
}

#[tokio::test]
async fn settings_of_the_caller_apply_inside() {
    let script = Arc::new(ScriptedLm::from_fn(|_: &Request| answer("x")));
    let best = BestOfN::new(qa(), 2, length);
    let settings = Settings::new().lm(Lm::shared(script.clone()));
    settings.scope(best.call(values("question", "?"))).await.unwrap();
    assert_eq!(script.requests().len(), 2);
    let _: Error = best.call(values("question", "?")).await.unwrap_err();
}
