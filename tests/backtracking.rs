//! Programs with constraints and effects: what an attempt has done is not done again.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "in tests a panic is the report")]

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use dspy::lm::{LmError, LmErrorKind, Reply, Request, ScriptedLm};
use dspy::prelude::*;
use dspy::program::{Settings, spawn};
use dspy::strategies::{
    Assert, Backtrack, BestOfN, MultiChainComparison, Parallel, ReAct, Refine, Reflexion, SelfConsistency,
    Suggest,
};
use dspy::tools::{Json, Tool, ToolCall, ToolCalls, ToolContext, ToolValue};
use dspy::types::Image;
use futures_util::future::{join, join_all};
use serde_json::{Value, json};

/// Fulfil the wish.
#[signature]
struct Order {
    #[input]
    wish: String,
    #[output]
    receipt: String,
}

#[derive(serde::Deserialize, schemars::JsonSchema)]
struct Item {
    item: String,
}

/// The effects of tools, in order.
#[derive(Debug, Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    fn add(&self, effect: impl Into<String>) -> usize {
        let mut log = self.0.lock().unwrap();
        log.push(effect.into());
        log.len()
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }

    /// Returns a tool whose result says how many effects there were.
    fn tool(&self, name: &'static str) -> Tool {
        let log = self.clone();
        Tool::new(name, "Has an effect.", move |Item { item }: Item| {
            let log = log.clone();
            async move {
                let number = log.add(format!("{name} {item}"));
                if item == "none" { Err(format!("failed {number}")) } else { Ok(format!("done {number}")) }
            }
        })
    }
}

fn call(name: &str, item: &str) -> Value {
    json!({"name": name, "arguments": {"item": item}})
}

fn turn(calls: &Value) -> String {
    format!("[[ ## next_thought ## ]]\nSo.\n\n[[ ## tool_calls ## ]]\n{calls}")
}

fn finish(receipt: &str) -> Value {
    json!({"name": "finish", "arguments": {"receipt": receipt}})
}

/// Returns a model whose agents make `calls` in one turn and then finish, and whose other predictors answer 1, 2, ….
fn model(calls: Value) -> (Lm, Arc<AtomicUsize>) {
    let answers = Arc::new(AtomicUsize::new(0));
    let counted = answers.clone();
    let lm = Lm::from_fn(move |request: Request| {
        let (calls, counted) = (calls.clone(), counted.clone());
        async move {
            let text = |at: usize| request.messages[at].text().into_owned();
            if !text(0).contains("`tool_calls`") {
                return format!("[[ ## receipt ## ]]\n{}", counted.fetch_add(1, SeqCst) + 1);
            }
            let last = text(request.messages.len() - 1);
            if last.contains("-> ") { turn(&json!([finish(&last)])) } else { turn(&calls) }
        }
    });
    (lm, answers)
}

type Outcome = dspy::Result<Prediction<OrderOutput>>;

/// Runs the program with up to four further attempts of each constraint.
async fn run<M: Module<Input = OrderInput, Output = OrderOutput> + Clone>(lm: Lm, program: M) -> Outcome {
    let wish = OrderInput { wish: "tea".into() };
    Settings::new().lm(lm).scope(Backtrack::new(program).max_backtracks(4).call(wish)).await
}

/// An agent, and a predictor that is right the third time. `receipt` of the agent is what it read.
#[module]
#[derive(Clone)]
struct Shop {
    agent: ReAct<Order>,
    check: Predict<Order>,
    #[module(skip)]
    seen: Log,
}

impl Shop {
    fn new(tools: impl IntoIterator<Item = Tool>) -> Self {
        Shop { agent: ReAct::new(tools).unwrap(), check: Predict::new(), seen: Log::default() }
    }
}

impl Module for Shop {
    type Input = OrderInput;
    type Output = OrderOutput;
    async fn forward(&self, input: OrderInput) -> Outcome {
        let bought = self.agent.call(input).await?;
        self.seen.add(bought.receipt.clone());
        let checked = self.check.call("is it right?").await?;
        Assert::new(checked.receipt == "3", "it is 3").of(&self.check).check()?;
        Ok(checked)
    }
}

fn all_equal(seen: &[String]) -> bool {
    seen.windows(2).all(|pair| pair[0] == pair[1])
}

#[tokio::test]
async fn an_agent_before_the_responsible_predictor_has_its_effects_once() {
    let log = Log::default();
    // Equal calls, one that fails, one with other arguments.
    let calls = json!([call("buy", "tea"), call("buy", "tea"), call("buy", "none"), call("look", "tea")]);
    let (lm, answers) = model(calls);
    let shop = Shop::new([log.tool("buy"), log.tool("look")]);
    let output = run(lm, shop.clone()).await.unwrap();
    assert_eq!((output.receipt.as_str(), output.added_as::<usize>("backtracks").unwrap()), ("3", 2));
    assert_eq!(log.take(), ["buy tea", "buy tea", "buy none", "look tea"]);
    assert_eq!(answers.load(SeqCst), 3);
    let seen = shop.seen.take();
    assert!(seen.len() == 3 && all_equal(&seen), "{seen:?}");
    for expected in ["-> done 1", "-> done 2", "-> error: `buy` failed: failed 3", "-> done 4"] {
        assert!(seen[0].contains(expected), "{}", seen[0]);
    }
}

#[tokio::test]
async fn the_tools_of_the_responsible_agent_run_again() {
    let log = Log::default();
    let (lm, _) = model(json!([call("buy", "tea")]));
    let agent = Strict { agent: ReAct::new([log.tool("buy")]).unwrap() };
    run(lm, agent).await.unwrap();
    assert_eq!(log.take(), ["buy tea", "buy tea"]);
}

/// An agent that is not right the first time.
#[module]
#[derive(Clone)]
struct Strict {
    agent: ReAct<Order>,
}

impl Module for Strict {
    type Input = OrderInput;
    type Output = OrderOutput;
    async fn forward(&self, input: OrderInput) -> Outcome {
        let bought = self.agent.call(input).await?;
        Assert::new(bought.receipt.contains("done 2"), "buy again").of(&self.agent).check()?;
        Ok(bought)
    }
}

/// Tools that the program itself runs, before and after the predictor that is right the third time.
#[module]
#[derive(Clone)]
struct Own {
    check: Predict<Order>,
    #[module(skip)]
    log: Log,
    #[module(skip)]
    seen: Log,
    #[module(skip)]
    mode: Mode,
}

#[derive(Clone, Copy, PartialEq)]
enum Mode {
    Called,
    Run,
    Spawned,
    Media,
    Nested,
    Local,
    Concurrent,
}

impl Own {
    async fn before(&self) -> String {
        // A tool that is made anew in each attempt.
        let buy = self.log.tool("buy");
        let arguments = |item: &str| json!({ "item": item });
        match self.mode {
            Mode::Called | Mode::Concurrent => {
                let call =
                    async |item: &str| buy.call(&arguments(item)).await.map_err(|error| error.to_string());
                format!("{:?}", (call("tea").await, call("none").await, call("tea").await))
            }
            Mode::Run => {
                let calls = ["tea", "none", "milk"].map(|item| ToolCall::new("buy", arguments(item)));
                let sell = ToolCall::new("sell", json!({}));
                let calls = calls.into_iter().chain([sell]).collect::<ToolCalls>();
                let results = calls.run(&[buy]).await;
                results.iter().map(|result| result.text() + "\n").collect()
            }
            Mode::Spawned => {
                spawn(async move { buy.call(&arguments("tea")).await.unwrap().to_string() }).await.unwrap()
            }
            Mode::Media => {
                let log = self.log.clone();
                let photo = Tool::new("photo", "Takes a picture.", move |Item { item }: Item| {
                    let url = format!("https://example.org/{}.png", log.add(item));
                    async move { Json(("see", Image::from_url(url).unwrap())) }
                });
                let value: ToolValue = photo.call_with(&arguments("cat"), ToolContext::new()).await.unwrap();
                format!("{:?} {:?}", value.parts(), value.value())
            }
            Mode::Nested => {
                let outer = Tool::new("outer", "Buys.", move |Item { item }: Item| {
                    let buy = buy.clone();
                    async move { buy.call(&json!({ "item": item })).await.unwrap() }
                });
                outer.call(&arguments("tea")).await.unwrap().to_string()
            }
            Mode::Local => {
                let found = Log::default();
                let kept = found.clone();
                let keep = Tool::new("keep", "Keeps.", move |Item { item }: Item| {
                    kept.add(item);
                    async move { "kept" }
                });
                keep.without_replay().call(&arguments("tea")).await.unwrap();
                found.take().join(",")
            }
        }
    }
}

impl Module for Own {
    type Input = OrderInput;
    type Output = OrderOutput;
    async fn forward(&self, input: OrderInput) -> Outcome {
        let check = async {
            let checked = self.check.call(input).await;
            self.log.tool("after").call(&json!({"item": "tea"})).await.unwrap();
            self.log.tool("buy").call(&json!({"item": "tea"})).await.unwrap();
            checked
        };
        let checked = if self.mode == Mode::Concurrent {
            let (seen, checked) = join(self.before(), check).await;
            self.seen.add(seen);
            checked?
        } else {
            self.seen.add(self.before().await);
            check.await?
        };
        Assert::new(checked.receipt == "3", "it is 3").of(&self.check).check()?;
        Ok(checked)
    }
}

#[tokio::test]
async fn tools_that_a_program_runs_before_the_predictor_run_once_and_later_ones_in_each_attempt() {
    let after = ["after tea", "buy tea"].repeat(3);
    for (mode, before) in [
        (Mode::Called, &["buy tea", "buy none", "buy tea"][..]),
        (Mode::Concurrent, &["buy tea", "buy none", "buy tea"]),
        (Mode::Run, &["buy tea", "buy none", "buy milk"]),
        (Mode::Spawned, &["buy tea"]),
        (Mode::Media, &["cat"]),
        (Mode::Nested, &["buy tea"]),
        (Mode::Local, &[]),
    ] {
        let own = Own { check: Predict::new(), log: Log::default(), seen: Log::default(), mode };
        let (lm, answers) = model(json!([]));
        run(lm, own.clone()).await.unwrap();
        let expected: Vec<&str> = before.iter().copied().chain(after.iter().copied()).collect();
        assert_eq!(own.log.take(), expected);
        let seen = own.seen.take();
        assert!(seen.len() == 3 && all_equal(&seen), "{seen:?}");
        assert_eq!(answers.load(SeqCst), 3);
    }
}

/// Two predictors that are each right the second time they are asked, with a tool before each and a suggestion that
/// never holds.
#[module]
#[derive(Clone)]
struct Two {
    first: Predict<Order>,
    second: Predict<Order>,
    #[module(skip)]
    log: Log,
}

impl Module for Two {
    type Input = OrderInput;
    type Output = OrderOutput;
    async fn forward(&self, input: OrderInput) -> Outcome {
        let run = async |name| self.log.tool(name).call(&json!({"item": "tea"})).await.unwrap().to_string();
        run("start").await;
        let first = self.first.call(input).await?;
        Assert::new(first.receipt != "1", "not 1").of(&self.first).check()?;
        let between = run("between").await;
        let second = self.second.call(between).await?;
        Assert::new(second.receipt != "3", "not 3").of(&self.second).check()?;
        run("last").await;
        Suggest::new(false, "never").of(&self.second).check()?;
        run("end").await;
        Ok(second)
    }
}

#[tokio::test]
async fn each_constraint_repeats_only_the_effects_after_its_own_predictor() {
    let two = Two { first: Predict::new(), second: Predict::new(), log: Log::default() };
    let (lm, _) = model(json!([]));
    let wish = OrderInput { wish: "tea".into() };
    let program = Backtrack::new(two.clone()).max_backtracks(1);
    let output = Settings::new().lm(lm).scope(program.call(wish)).await.unwrap();
    assert_eq!(output.added_as::<Vec<String>>("failed_suggestions").unwrap(), ["never"]);
    // `last` runs with the second and the third answer of the second predictor; passing over the suggestion repeats
    // nothing.
    assert_eq!(two.log.take(), ["start", "between", "last", "last", "end"].map(|name| format!("{name} tea")));
}

#[tokio::test]
async fn an_agent_as_a_tool_and_a_backtrack_in_a_backtrack_have_their_effects_once() {
    let log = Log::default();
    let (lm, _) = model(json!([{"name": "helper", "arguments": {"wish": "tea"}}]));
    let mut helper = ReAct::<Order>::new([log.tool("buy")]).unwrap();
    helper.set_lm(model(json!([call("buy", "tea")])).0);
    let shop = Shop::new([Tool::of_program("helper", "Helps.", helper)]);
    run(lm.clone(), shop.clone()).await.unwrap();
    assert_eq!(log.take(), ["buy tea"]);
    assert!(all_equal(&shop.seen.take()));

    let (lm, _) = model(json!([call("buy", "tea")]));
    run(lm, Backtrack::new(Shop::new([log.tool("buy")])).max_backtracks(0)).await.unwrap();
    assert_eq!(log.take(), ["buy tea"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn runs_at_once_have_records_of_their_own() {
    let log = Log::default();
    let shop = Shop::new([log.tool("buy")]);
    let runs = (0..20).map(|_| {
        let (lm, _) = model(json!([call("buy", "tea"), call("buy", "milk")]));
        tokio::spawn(run(lm, shop.clone()))
    });
    for result in join_all(runs).await {
        assert_eq!(result.unwrap().unwrap().receipt, "3");
    }
    assert_eq!(log.take().len(), 40);
}

/// A predictor with a constraint that holds the `right`-th time it is asked.
#[module]
#[derive(Clone)]
struct Checked {
    predict: Predict<Order>,
    #[module(skip)]
    right: usize,
    #[module(skip)]
    hard: bool,
}

impl Module for Checked {
    type Input = OrderInput;
    type Output = OrderOutput;
    async fn forward(&self, input: OrderInput) -> Outcome {
        let answer = self.predict.call(input).await?;
        let holds = answer.receipt == self.right.to_string();
        if self.hard {
            Assert::new(holds, "not yet").of(&self.predict).check()?;
        } else {
            Suggest::new(holds, "not yet").of(&self.predict).check()?;
        }
        Ok(answer)
    }
}

/// A model whose predictors return the number of times that they are asked, whose agents call `helper` once, and which
/// compares by the first attempt.
fn counting() -> Lm {
    Lm::from_fn(|request: Request| async move {
        let texts: Vec<_> = request.messages.iter().map(|message| message.text().into_owned()).collect();
        let last = texts.last().unwrap();
        if texts[0].contains("`tool_calls`") {
            let call = json!([{"name": "helper", "arguments": {"wish": "tea"}}]);
            return turn(&if last.contains("-> ") { json!([finish(last)]) } else { call });
        }
        if let Some((_, attempt)) = last.split_once("receipt: ") {
            return format!("[[ ## rationale ## ]]\nSo.\n\n[[ ## receipt ## ]]\n{}", &attempt[..1]);
        }
        let refused = texts.iter().map(|text| text.matches("which was refused: ").count()).sum::<usize>();
        format!("[[ ## receipt ## ]]\n{}", refused + 1)
    })
}

/// What became of a run: a number in what it returned, or the error; the backtracks; the failed suggestions.
type Row = (Result<String, String>, usize, Vec<String>);

/// Runs a program as it is, or with up to `backtracks` further attempts.
async fn row<M>(program: M, backtracks: Option<usize>, shown: fn(&M::Output) -> String) -> Row
where
    M: Module<Input = OrderInput, Output: Send> + Clone,
{
    let input = OrderInput { wish: "tea".into() };
    let settings = Settings::new().lm(counting());
    let result = match backtracks {
        None => settings.scope(program.call(input)).await,
        Some(most) => settings.scope(Backtrack::new(program).max_backtracks(most).call(input)).await,
    };
    let Ok(output) = result else {
        return (result.map(|_| String::new()).map_err(|e| format!("{e:?}")), 0, vec![]);
    };
    let made = output.added_as("backtracks").unwrap_or_default();
    (Ok(shown(&output)), made, output.added_as("failed_suggestions").unwrap_or_default())
}

type Results = Vec<dspy::Result<Prediction<OrderOutput>>>;

/// The strategies around a constrained program, with the number of runs that are part of what they return.
async fn rows(checked: &Checked, backtracks: Option<usize>) -> Vec<(&'static str, usize, Row)> {
    let one = |output: &OrderOutput| output.receipt.clone();
    let all = |results: &Results| {
        let shown = results.iter().map(|result| match result {
            Ok(output) => output.receipt.clone(),
            Err(error) => format!("{error:?}"),
        });
        let mut shown: Vec<_> = shown.collect();
        shown.dedup();
        shown.join(" and ")
    };
    let enough = |_: &OrderInput, _: &OrderOutput| 1.0;
    let never = |_: &OrderInput, output: &OrderOutput| if output.receipt == "0" { 1.0 } else { 0.5 };
    let program = || checked.clone();
    let compared = MultiChainComparison::<Order>::new(3).unwrap().over(program());
    let nested = SelfConsistency::new(BestOfN::new(program(), 2, never), 3);
    let inside = Parallel::new([SelfConsistency::new(program(), 2), SelfConsistency::new(program(), 2)]);
    vec![
        ("alone", 1, row(program(), backtracks, one).await),
        ("one sample", 1, row(BestOfN::new(program(), 1, enough), backtracks, one).await),
        ("BestOfN", 1, row(BestOfN::new(program(), 3, never), backtracks, one).await),
        ("SelfConsistency", 1, row(SelfConsistency::new(program(), 5), backtracks, one).await),
        ("Refine", 1, row(Refine::new(program(), 2, enough), backtracks, one).await),
        ("Reflexion", 1, row(Reflexion::new(program(), 2, enough), backtracks, one).await),
        ("MultiChainComparison", 3, row(compared, backtracks, one).await),
        ("Parallel", 2, row(Parallel::new([program(), program()]), backtracks, all).await),
        ("nested", 1, row(nested, backtracks, one).await),
        ("strategies in parallel", 2, row(inside, backtracks, all).await),
    ]
}

#[tokio::test]
async fn constraints_inside_strategies_are_attempted_again_where_the_program_is() {
    for hard in [true, false] {
        let checked = Checked { predict: Predict::new(), right: 3, hard };
        for (strategy, runs, (result, backtracks, failed)) in rows(&checked, Some(4)).await {
            let outcome = (result.as_deref(), backtracks, failed.as_slice());
            assert_eq!(outcome, (Ok("3"), 2 * runs, &[][..]), "{strategy}, hard: {hard}");
        }
    }
}

#[tokio::test]
async fn a_suggestion_inside_a_strategy_fails_no_program_and_an_assertion_does() {
    for (backtracks, answer) in [(None, "1"), (Some(0), "1"), (Some(2), "3")] {
        let mut checked = Checked { predict: Predict::new(), right: 9, hard: false };
        for (strategy, runs, row) in rows(&checked, backtracks).await {
            let (made, failed) = match backtracks {
                None => (0, vec![]),
                Some(most) => (most * runs, vec!["not yet".to_owned()]),
            };
            assert_eq!(row, (Ok(answer.to_owned()), made, failed), "{strategy}, {backtracks:?}");
        }
        checked.hard = true;
        for (strategy, _, (result, ..)) in rows(&checked, backtracks).await {
            let told = result.unwrap_or_else(|error| error);
            assert!(told.contains("not yet"), "{strategy}, {backtracks:?}: {told}");
        }
    }
}

#[tokio::test]
async fn a_constraint_inside_a_tool_is_passed_over_or_read_by_the_agent() {
    for backtracks in [None, Some(0), Some(2)] {
        for hard in [true, false] {
            let checked = Checked { predict: Predict::new(), right: 3, hard };
            let agent = |helper| ReAct::<Order>::new([helper]).unwrap();
            let once = agent(Tool::of_program("helper", "Helps.", checked.clone()));
            let (result, made, failed) = row(once, backtracks, |output| output.receipt.clone()).await;
            let (read, noted) = match hard {
                true => ("not yet", &[][..]),
                false if backtracks.is_some() => (r#""receipt":"1""#, &["not yet".to_owned()][..]),
                false => (r#""receipt":"1""#, &[][..]),
            };
            let result = result.unwrap();
            assert!(result.contains(read), "{result}");
            assert_eq!((made, failed.as_slice()), (0, noted), "{backtracks:?}, hard: {hard}");

            let again = agent(Tool::of_program("helper", "Helps.", Backtrack::new(checked)));
            let (result, ..) = row(again, backtracks, |output| output.receipt.clone()).await;
            assert!(result.as_ref().unwrap().contains(r#""receipt":"3""#), "{result:?}");
        }
    }
}

/// A program whose constraint is in a task of its own, with another one in between.
#[module]
#[derive(Clone)]
struct Spawning {
    inner: Checked,
}

impl Module for Spawning {
    type Input = OrderInput;
    type Output = OrderOutput;
    async fn forward(&self, input: OrderInput) -> Outcome {
        let inner = self.inner.clone();
        spawn(async move { spawn(async move { inner.call(input).await }).await.unwrap() }).await.unwrap()
    }
}

#[tokio::test]
async fn constraints_in_tasks_are_those_of_the_program() {
    for hard in [true, false] {
        let program = |right| Spawning { inner: Checked { predict: Predict::new(), right, hard } };
        let one = |output: &OrderOutput| output.receipt.clone();
        let right = row(program(3), Some(4), one).await;
        assert_eq!(right, (Ok("3".to_owned()), 2, vec![]), "hard: {hard}");
        let (result, made, failed) = row(program(9), Some(2), one).await;
        if hard {
            assert!(result.unwrap_err().contains("not yet"));
        } else {
            assert_eq!((result.unwrap().as_str(), made, failed), ("3", 2, vec!["not yet".to_owned()]));
        }
        // Samples, too, are parts of their own in their tasks.
        let samples = BestOfN::new(program(3), 2, |_: &OrderInput, _: &OrderOutput| 0.5);
        assert_eq!(row(samples, Some(4), one).await.0, Ok("3".to_owned()), "hard: {hard}");
    }
}

#[tokio::test]
async fn an_attempt_that_fails_loses_no_result_to_a_suggestion() {
    let kinds = [None, Some(LmErrorKind::ContentFilter), Some(LmErrorKind::ContextWindow)];
    for kind in kinds {
        for failing in 1..4usize {
            // The first attempts are refused, then one fails.
            let lm = Lm::custom(ScriptedLm::from_fn(move |request: &Request| {
                let texts: Vec<_> =
                    request.messages.iter().map(|message| message.text().into_owned()).collect();
                let tries =
                    texts.iter().map(|text| text.matches("which was refused: ").count()).sum::<usize>();
                match kind {
                    _ if tries < failing => Reply::from(format!("[[ ## receipt ## ]]\n{}", tries + 1)),
                    None => Reply::from("no"),
                    Some(kind) => LmError::new(kind, "scripted", "refused").into(),
                }
            }));
            for hard in [false, true] {
                let checked = Checked { predict: Predict::new(), right: 9, hard };
                let result = run(lm.clone(), checked).await;
                if hard {
                    assert!(result.is_err(), "{kind:?}, {failing}");
                    continue;
                }
                let output = result.unwrap();
                assert_eq!(output.receipt, failing.to_string(), "{kind:?}");
                assert_eq!(output.added_as::<Vec<String>>("failed_suggestions").unwrap(), ["not yet"]);
            }
        }
    }
}
