//! Every strategy, bootstrapped and saved, has the same prompts after it is loaded.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "in tests a panic is the report")]

use std::sync::{Arc, Mutex};

use dspy::lm::{BoxFuture, Message, Part, Request};
use dspy::optimizers::{BootstrapFewShot, Optimized};
use dspy::prelude::*;
use dspy::program::Settings;
use dspy::state::ProgramState;
use dspy::strategies::{
    Assert, Backtrack, BestOfN, CodeAct, Debate, Execution, Interpreter, InterpreterError,
    MultiChainComparison, ProgramOfThought, ReAct, Refine, Reflexion, Rlm, SelfConsistency, Session,
};
use dspy::tools::{Json, ToolCall, ToolCalls};
use dspy::types::{
    Audio, BigInt, Citations, Code, Document, File, History, Image, Observation, Trajectory, Turn, language,
};
use serde_json::{Value, json};

#[field_type]
#[derive(Debug, Clone, PartialEq)]
struct Place {
    name: String,
    at: (f64, f64),
    near: Vec<Place>,
}

#[field_type]
#[derive(Debug, Clone, PartialEq)]
enum Mood {
    Good,
    Bad { why: String },
}

/// An earlier turn: fields that the predictors of all strategies have.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
struct Earlier {
    wish: String,
}

/// Fulfil the wish.
#[signature]
#[derive(Clone)]
struct Order {
    #[input]
    wish: String,
    #[input]
    photo: Image,
    #[input]
    sounds: Vec<Audio>,
    #[input]
    paper: Option<File>,
    #[input]
    earlier: History<Earlier>,
    #[input]
    sources: Vec<Document>,
    #[input]
    home: Option<Place>,
    #[input]
    done: Trajectory,
    #[output]
    receipt: String,
    #[output]
    mood: Mood,
    #[output]
    number: BigInt,
    #[output]
    snippet: Code<language::Rust>,
    #[output]
    quotes: Citations,
    #[output]
    next: Option<ToolCalls>,
}

fn row(index: usize) -> Order {
    let place = Place { name: "Bergen".into(), at: (60.4, 5.3), near: Vec::new() };
    let earlier = Earlier { wish: "milk".into() };
    let call = ToolCall::new("look", json!({"item": "milk"})).with_id("call_1");
    let mut turn = Turn::new("Look.", [call]);
    let seen = Observation::new("call_1", "look", "");
    turn.results.push(seen.with_parts([Part::Text("see ".into()), Part::image("https://example.org/a.png")]));
    Order {
        wish: format!("wish {index}"),
        photo: image(),
        sounds: vec![Audio::from_bytes(b"RIFF0000WAVEfmt ", "audio/wav").unwrap()],
        paper: (index > 0).then(|| File::from_bytes(b"%PDF-1.7", "application/pdf").unwrap()),
        earlier: History::from_iter([earlier]).with_limit(3),
        sources: vec![Document::new("Price list", "Tea costs 4.").with_source("https://example.org/prices")],
        home: (index > 0).then(|| Place { near: vec![place.clone()], ..place.clone() }),
        done: Trajectory::from_iter([turn]),
        receipt: "4".into(),
        mood: Mood::Bad { why: "It rains.".into() },
        number: "123456789012345678901234567890".parse().unwrap(),
        snippet: "fn main() {}".into(),
        quotes: Citations::default(),
        next: None,
    }
}

fn image() -> Image {
    Image::from_bytes(b"\x89PNG\r\n\x1a\n0", "image/png").unwrap()
}

/// An interpreter whose code is the outputs that it submits, or text that it prints.
#[derive(Debug)]
struct Submits;

struct SubmitSession(Vec<Tool>);

impl Interpreter for Submits {
    fn open(&self, tools: Vec<Tool>) -> BoxFuture<'_, Result<Box<dyn Session>, InterpreterError>> {
        Box::pin(async { Ok(Box::new(SubmitSession(tools)) as Box<dyn Session>) })
    }

    fn guide(&self) -> &'static str {
        "JSON."
    }
}

impl Session for SubmitSession {
    fn set<'s>(&'s mut self, _: &'s str, _: Value) -> BoxFuture<'s, Result<(), InterpreterError>> {
        Box::pin(async { Ok(()) })
    }

    fn run<'s>(&'s mut self, code: &'s str) -> BoxFuture<'s, Execution> {
        Box::pin(async move {
            if let Ok(outputs @ Value::Object(_)) = serde_json::from_str(code) {
                let submit = self.0.iter().find(|tool| tool.name() == "submit").unwrap();
                submit.call(&outputs).await.unwrap();
            }
            Execution::done(code, Value::Null)
        })
    }
}

fn outputs() -> Value {
    let next = json!([{"name": "look", "arguments": {"item": "tea"}}]);
    json!({
        "receipt": "4", "mood": {"Bad": {"why": "It rains."}}, "number": "123456789012345678901234567890",
        "snippet": "fn main() {}", "quotes": [], "next": next,
    })
}

/// Answers the outputs that the prompt asks for, with `extra` for those of strategies.
fn reply(request: &Request, extra: &[(&str, &str)]) -> String {
    let system = request.messages[0].text().into_owned();
    let turns: usize =
        request.messages.iter().skip(1).map(|message| message.text().matches("-> ").count()).sum();
    let last = request.messages.last().unwrap().text().into_owned();
    let mut answer = String::new();
    let mut put = |name: &str, value: &str| answer.push_str(&format!("[[ ## {name} ## ]]\n{value}\n\n"));
    let outputs = outputs();
    let asked = |name: &str| system.contains(&format!("[[ ## {name} ## ]]"));
    if asked("tool_calls") {
        let look = json!([{"name": "look", "arguments": {"item": "tea"}}, {"name": "fail", "arguments": {}}]);
        let call = json!([{"name": "finish", "arguments": outputs}]);
        put("next_thought", &format!("So, after {turns}."));
        put("tool_calls", &if last.contains("the tool failed") { call } else { look }.to_string());
        return answer;
    }
    for (name, value) in extra.iter().filter(|(name, _)| asked(name)) {
        put(name, value);
    }
    for (name, value) in outputs.as_object().unwrap().iter().filter(|(name, _)| asked(name)) {
        put(name, &value.as_str().map_or_else(|| value.to_string(), str::to_owned));
    }
    answer
}

fn lm(extra: &'static [(&str, &str)], log: &Arc<Mutex<Vec<Vec<Message>>>>) -> Lm {
    let log = log.clone();
    Lm::from_fn(move |request: Request| {
        log.lock().unwrap().push(request.messages.clone());
        async move { reply(&request, extra) }
    })
}

/// Bootstraps the program, saves and loads it in both formats, and compares the prompts.
async fn check<P>(name: &str, extra: &'static [(&str, &str)], new: impl Fn() -> P)
where
    P: Module<Input = OrderInput, Output = OrderOutput> + Clone + 'static,
{
    let log = Arc::default();
    let lm = lm(extra, &log);
    let optimizer = BootstrapFewShot::builder()
        .metric(|_: &Order, _: &OrderOutput| true)
        .max_labeled_demos(1)
        .max_bootstrapped_demos(2)
        .build();
    let rows: Vec<Order> = (0..4).map(row).collect();
    let compiled = Settings::new().lm(lm.clone()).scope(optimizer.compile(new(), &rows)).await;
    let optimized: Optimized<P> = compiled.unwrap_or_else(|error| panic!("{name}: {error}"));
    let demos: usize =
        optimized.named_predictors().iter().map(|(_, predictor)| predictor.demos().len()).sum();
    assert!(demos > 0, "{name}");

    let prompts = async |program: &P| {
        log.lock().unwrap().clear();
        let input = row(9).input().unwrap();
        let called = Settings::new().lm(lm.clone()).scope(program.call(input)).await;
        called.unwrap_or_else(|error| panic!("{name}: {error}"));
        std::mem::take(&mut *log.lock().unwrap())
    };
    let expected = prompts(&optimized).await;
    assert!(expected.iter().any(|messages| messages.len() > 2), "{name}: no prompt shows a demonstration");

    let path = std::env::temp_dir().join(format!("dspy-saved-demos-{}-{name}.json", std::process::id()));
    optimized.save(&path).unwrap();
    let loaded = new().load(&path).unwrap_or_else(|error| panic!("{name}: {error}"));
    std::fs::remove_file(&path).unwrap();
    assert_eq!(ProgramState::of(&loaded).predictors, ProgramState::of(&*optimized).predictors, "{name}");
    assert_eq!(prompts(&loaded).await, expected, "{name}");

    let mut from_python = new();
    let state = ProgramState::from_json(&ProgramState::of(&*optimized).to_python_json()).unwrap();
    state.apply(&mut from_python).unwrap_or_else(|error| panic!("{name}, from Python's format: {error}"));
    assert_eq!(prompts(&from_python).await, expected, "{name}, from Python's format");
}

fn good(_: &OrderInput, output: &OrderOutput) -> bool {
    output.receipt == "4"
}

const REASONING: &[(&str, &str)] = &[("reasoning", "So."), ("rationale", "So it is.")];

#[tokio::test]
async fn samples_and_attempts() {
    let chain = ChainOfThought::<Order>::new;
    check("predict", &[], Predict::<Order>::new).await;
    check("chain", REASONING, chain).await;
    check("best", REASONING, || BestOfN::new(chain(), 2, good)).await;
    check("majority", REASONING, || SelfConsistency::new(chain(), 2)).await;
    check("compared", REASONING, || MultiChainComparison::<Order>::new(2).unwrap().over(chain())).await;
    check("refine", REASONING, || Refine::new(chain(), 2, good)).await;
    check("reflexion", REASONING, || Reflexion::new(chain(), 2, good)).await;
    check("debate", REASONING, || Debate::<Order>::new(2, 1).unwrap()).await;
}

/// A program with an assertion.
#[module]
#[derive(Clone)]
struct Asserted {
    order: ChainOfThought<Order>,
}

impl Module for Asserted {
    type Input = OrderInput;
    type Output = OrderOutput;
    async fn forward(&self, input: OrderInput) -> dspy::Result<Prediction<OrderOutput>> {
        let order = self.order.call(input).await?;
        Assert::new(order.receipt == "4", "it is 4").of(&self.order).check()?;
        Ok(order)
    }
}

#[derive(serde::Deserialize, schemars::JsonSchema)]
struct Look {
    item: String,
}

#[derive(serde::Deserialize, schemars::JsonSchema)]
struct Nothing {}

/// A tool with an image in its result, and one that fails.
fn tools() -> [Tool; 2] {
    let look = Tool::new("look", "Looks.", |Look { item }: Look| async move { Json((item, image())) });
    [look, Tool::new("fail", "Fails.", |_: Nothing| async { Err::<(), _>("the tool failed") })]
}

#[tokio::test]
async fn agents_and_assertions() {
    check("asserted", REASONING, || Backtrack::new(Asserted { order: ChainOfThought::new() })).await;
    check("react", &[], || ReAct::<Order>::new(tools()).unwrap()).await;
    // The agent is stopped by its limit, so that the outputs are extracted.
    check("stopped", REASONING, || ReAct::<Order>::new(tools()).unwrap().max_turns(1)).await;
}

#[tokio::test]
async fn code() {
    let submitted: &'static str = outputs().to_string().leak();
    let submits: &'static [(&str, &str)] =
        vec![("reasoning", "So."), ("code", submitted), ("generated_code", submitted)].leak();
    let prints: &[(&str, &str)] = &[("reasoning", "So."), ("code", "4"), ("generated_code", "print 4")];
    for (how, extra) in [("submitted", submits), ("printed", prints)] {
        check(&format!("program-{how}"), extra, || ProgramOfThought::<Order>::new(Submits).unwrap()).await;
        check(&format!("act-{how}"), extra, || CodeAct::<Order>::new(tools(), Submits).unwrap().max_turns(2))
            .await;
        check(&format!("rlm-{how}"), extra, || Rlm::<Order>::new(tools(), Submits).unwrap()).await;
    }
}
