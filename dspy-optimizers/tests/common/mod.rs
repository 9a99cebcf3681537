//! A small world to optimize in: rows of two groups, a two-step program, and a model that learns from its prompt.

#![allow(dead_code, unreachable_pub, missing_docs, reason = "each test binary uses a part of this")]
#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "in tests a panic is the report")]

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use dspy_core::Seed;
use dspy_core::lm::{
    BoxFuture, LanguageModel, Lm, LmError, LmErrorKind, Request, Response, ScriptedLm, Usage,
};
use dspy_core::predict::{DynPredict, Prediction};
use dspy_core::program::{HasPredictors, Module, Visitor, VisitorMut};
use dspy_core::signature::{Example, FieldError, Values};
use dspy_optimizers::engine::{Contestant, Study};
use dspy_optimizers::{Data, Race, SharedMetric};
use serde_json::json;

/// A labelled row.
#[derive(Debug, Clone, PartialEq)]
pub struct Row(pub Values);

impl Example for Row {
    type Input = Values;

    fn input(&self) -> Result<Values, FieldError> {
        Ok(self.0.iter().filter(|(name, _)| *name != "answer").map(|(k, v)| (k.clone(), v.clone())).collect())
    }

    fn values(&self) -> Result<Values, FieldError> {
        Ok(self.0.clone())
    }
}

/// `count` rows: the answer to a question is its animal's sound.
pub fn rows(count: usize) -> Vec<Row> {
    let sounds = [("cow", "moo"), ("cat", "meow"), ("dog", "woof"), ("duck", "quack"), ("owl", "hoot")];
    (0..count)
        .map(|index| {
            let (animal, sound) = sounds[index % sounds.len()];
            let row = json!({"question": format!("What does {animal} number {index} say?"), "answer": sound});
            Row(serde_json::from_value(row).unwrap())
        })
        .collect()
}

pub fn right(example: &Row, output: &Values) -> bool {
    example.0["answer"] == output["answer"]
}

/// Two steps: a note about the question, then the answer.
#[derive(Debug, Clone)]
pub struct TwoSteps {
    note: DynPredict,
    answer: DynPredict,
}

impl TwoSteps {
    pub fn new(lm: &Arc<Parrot>) -> Self {
        let mut program = TwoSteps {
            note: DynPredict::new("question -> note".parse().unwrap()),
            answer: DynPredict::new("question, note -> answer".parse().unwrap()),
        };
        program.set_lm(Lm::shared(lm.clone()));
        program
    }
}

impl HasPredictors for TwoSteps {
    fn visit<'a>(&'a self, visitor: &mut Visitor<'a, '_>) {
        visitor.field("note", &self.note);
        visitor.field("answer", &self.answer);
    }

    fn visit_mut(&mut self, visitor: &mut VisitorMut<'_>) {
        visitor.field("note", &mut self.note);
        visitor.field("answer", &mut self.answer);
    }
}

impl Module for TwoSteps {
    type Input = Values;
    type Output = Values;

    async fn forward(&self, mut input: Values) -> dspy_core::Result<Prediction<Values>> {
        let note = self.note.call(input.clone()).await?;
        input.insert("note".into(), note["note"].clone());
        self.answer.call(input).await
    }
}

/// One predictor that is called for every round of a loop, the later ones with what the earlier ones found.
#[derive(Debug, Clone)]
pub struct Hops {
    hop: DynPredict,
    rounds: usize,
}

impl Hops {
    pub fn new(lm: &Arc<Parrot>, rounds: usize) -> Self {
        let mut program =
            Hops { hop: DynPredict::new("question, round: int -> answer".parse().unwrap()), rounds };
        program.set_lm(Lm::shared(lm.clone()));
        program
    }
}

impl HasPredictors for Hops {
    fn visit<'a>(&'a self, visitor: &mut Visitor<'a, '_>) {
        visitor.field("hop", &self.hop);
    }

    fn visit_mut(&mut self, visitor: &mut VisitorMut<'_>) {
        visitor.field("hop", &mut self.hop);
    }
}

impl Module for Hops {
    type Input = Values;
    type Output = Values;

    async fn forward(&self, mut input: Values) -> dspy_core::Result<Prediction<Values>> {
        let mut last = Prediction::new(Values::new());
        for round in 0..self.rounds {
            input.insert("round".into(), round.into());
            last = self.hop.call(input.clone()).await?;
        }
        Ok(last)
    }
}

/// A program that is a list of predictors, each asked the same; the last one's answer counts.
#[derive(Debug, Clone)]
pub struct Steps(pub Vec<DynPredict>);

impl HasPredictors for Steps {
    fn visit<'a>(&'a self, visitor: &mut Visitor<'a, '_>) {
        self.0.visit(visitor);
    }

    fn visit_mut(&mut self, visitor: &mut VisitorMut<'_>) {
        self.0.visit_mut(visitor);
    }
}

impl Module for Steps {
    type Input = Values;
    type Output = Values;

    async fn forward(&self, input: Values) -> dspy_core::Result<Prediction<Values>> {
        let mut last = Prediction::new(Values::new());
        for step in &self.0 {
            last = step.call(input.clone()).await?;
        }
        Ok(last)
    }
}

/// Two predictors whose answers together decide the score.
#[derive(Debug, Clone)]
pub struct Pair {
    left: DynPredict,
    right: DynPredict,
}

impl HasPredictors for Pair {
    fn visit<'a>(&'a self, visitor: &mut Visitor<'a, '_>) {
        visitor.field("left", &self.left);
        visitor.field("right", &self.right);
    }

    fn visit_mut(&mut self, visitor: &mut VisitorMut<'_>) {
        visitor.field("left", &mut self.left);
        visitor.field("right", &mut self.right);
    }
}

impl Module for Pair {
    type Input = Values;
    type Output = Values;

    async fn forward(&self, input: Values) -> dspy_core::Result<Prediction<Values>> {
        let left = self.left.call(input.clone()).await?;
        let right = self.right.call(input).await?;
        let both = [("left", &left), ("right", &right)]
            .map(|(name, side)| (name.to_owned(), side["answer"].clone()));
        Ok(Prediction::new(Values::from_iter(both)))
    }
}

pub fn pair() -> Pair {
    let step = || DynPredict::new("question -> answer".parse().unwrap());
    Pair { left: step(), right: step() }
}

/// A program with a predictor that it never calls.
#[derive(Debug, Clone)]
pub struct Idle {
    answer: DynPredict,
    idle: DynPredict,
}

impl Idle {
    pub fn new(lm: &Arc<Obedient>) -> Self {
        Idle { answer: one_step(lm), idle: one_step(lm) }
    }
}

impl HasPredictors for Idle {
    fn visit<'a>(&'a self, visitor: &mut Visitor<'a, '_>) {
        visitor.field("answer", &self.answer);
        visitor.field("idle", &self.idle);
    }

    fn visit_mut(&mut self, visitor: &mut VisitorMut<'_>) {
        visitor.field("answer", &mut self.answer);
        visitor.field("idle", &mut self.idle);
    }
}

impl Module for Idle {
    type Input = Values;
    type Output = Values;

    async fn forward(&self, input: Values) -> dspy_core::Result<Prediction<Values>> {
        self.answer.call(input).await
    }
}

/// A program that does something of its own about the errors of its model.
#[derive(Debug, Clone)]
pub struct Caught {
    answer: DynPredict,
    then: Then,
}

#[derive(Debug, Clone, Copy)]
enum Then {
    Pass,
    Wrap,
    Swallow,
}

impl Caught {
    /// Returns them, perhaps as errors of its own.
    pub fn new(lm: &Arc<Parrot>, wrap: bool) -> Self {
        Self::with(lm, if wrap { Then::Wrap } else { Then::Pass })
    }

    /// Answers something instead.
    pub fn swallowing(lm: &Arc<Parrot>) -> Self {
        Self::with(lm, Then::Swallow)
    }

    fn with(lm: &Arc<Parrot>, then: Then) -> Self {
        let mut program = Caught { answer: DynPredict::new("question -> answer".parse().unwrap()), then };
        program.set_lm(Lm::shared(lm.clone()));
        program
    }
}

impl HasPredictors for Caught {
    fn visit<'a>(&'a self, visitor: &mut Visitor<'a, '_>) {
        visitor.field("answer", &self.answer);
    }

    fn visit_mut(&mut self, visitor: &mut VisitorMut<'_>) {
        visitor.field("answer", &mut self.answer);
    }
}

impl Module for Caught {
    type Input = Values;
    type Output = Values;

    async fn forward(&self, input: Values) -> dspy_core::Result<Prediction<Values>> {
        match (self.answer.call(input).await, self.then) {
            (Err(error), Then::Wrap) => Err(dspy_core::Error::other(format!("step one: {error}"))),
            (Err(_), Then::Swallow) => Ok(Prediction::new(question("nothing"))),
            (result, _) => result,
        }
    }
}

/// The input that asks for an animal's sound.
pub fn question(animal: &str) -> Values {
    let row = json!({"question": format!("What does {animal} number 0 say?")});
    serde_json::from_value(row).unwrap()
}

/// A model that knows a sound only if a demonstration shows that animal, and counts its calls.
#[derive(Debug, Default)]
pub struct Parrot {
    calls: AtomicUsize,
    /// From which call on it cannot be reached.
    pub down_from: Option<usize>,
    /// At which call it takes the process with it.
    dies_at: Option<usize>,
    /// Where it leaves word of how many calls were made when it dies.
    last_words: Option<PathBuf>,
    answered: AtomicUsize,
}

impl Parrot {
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    pub fn down_from(call: usize) -> Arc<Self> {
        Arc::new(Parrot { down_from: Some(call), ..Parrot::default() })
    }

    /// As a kill would: nothing is cleaned up, nothing is flushed.
    pub fn dying_at(call: usize) -> Arc<Self> {
        Arc::new(Parrot { dies_at: Some(call), ..Parrot::default() })
    }

    /// The same, and it leaves word of how many calls were made.
    pub fn dying_at_with_words(call: usize, last_words: PathBuf) -> Arc<Self> {
        Arc::new(Parrot { dies_at: Some(call), last_words: Some(last_words), ..Parrot::default() })
    }

    pub fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }
}

fn animal(text: &str) -> &str {
    text.split_whitespace().skip_while(|word| *word != "does").nth(1).unwrap_or_default()
}

impl LanguageModel for Parrot {
    fn id(&self) -> &'static str {
        "parrot"
    }

    fn complete<'a>(&'a self, request: &'a Request) -> BoxFuture<'a, Result<Response, LmError>> {
        let call = self.calls.fetch_add(1, Ordering::SeqCst);
        Box::pin(async move {
            tokio::task::yield_now().await;
            if self.dies_at.is_some_and(|at| self.answered.load(Ordering::SeqCst) >= at) {
                if let Some(path) = &self.last_words {
                    std::fs::write(path, self.calls().to_string()).unwrap();
                }
                std::process::abort();
            }
            if self.down_from.is_some_and(|from| call >= from) {
                return Err(LmError::new(LmErrorKind::Server, "parrot", "out of reach"));
            }
            self.answered.fetch_add(1, Ordering::SeqCst);
            let asked = request.messages.last().unwrap().text().into_owned();
            let wanted = animal(&asked).to_owned();
            let system = request.messages[0].text();
            let field = if system.contains("`answer`") { "answer" } else { "note" };
            let shown = request.messages[1..].chunks(2).find_map(|turn| match turn {
                [user, assistant] if animal(&user.text()) == wanted => {
                    let text = assistant.text().into_owned();
                    let value = text.split("]]\n").nth(1)?.split("\n\n").next()?.to_owned();
                    Some(value)
                }
                _ => None,
            });
            let value = match (field, shown) {
                ("answer", Some(value)) => value,
                ("answer", None) => "silence".into(),
                _ => format!("it is about the {wanted}"),
            };
            let reply = format!("[[ ## {field} ## ]]\n{value}\n\n[[ ## completed ## ]]");
            Ok(Response::text(reply).with_usage(Usage::tokens(asked.len() as u64 / 4, 5).at_cost(0.001)))
        })
    }
}

/// A folder that is not there yet.
pub fn folder(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("dspy-optimizers-{}-{name}", std::process::id()));
    let _ = std::fs::remove_dir_all(&path);
    path
}

/// A model that does what its instruction says: `cow=moo` in it makes it know cows, `#7=moo` the question of that
/// number. Asked for an `idea` it has one that depends on the attempt. Counts its calls.
#[derive(Debug, Default)]
pub struct Obedient {
    calls: AtomicUsize,
    /// From which call on it cannot be reached.
    down_from: Option<usize>,
}

/// The outputs of the proposers.
const WRITTEN: [&str; 5] = ["rules", "merged_instruction", "paraphrase", "revised_text", "instruction"];

/// What there is to know, one hint for each animal.
pub const HINTS: [&str; 5] = ["cow=moo", "cat=meow", "dog=woof", "duck=quack", "owl=hoot"];

impl Obedient {
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    pub fn down_from(call: usize) -> Arc<Self> {
        Arc::new(Obedient { down_from: Some(call), ..Obedient::default() })
    }

    pub fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    /// Writes a text: the hints of its prompt, and another one that depends on the prompt and the sample.
    fn write(field: &str, prompt: &str, rollout: Option<u64>) -> String {
        let draw = Seed::new(rollout.unwrap_or_default()).branch(prompt).rng().below(HINTS.len());
        let mut hints: Vec<&str> = HINTS.into_iter().filter(|hint| prompt.contains(hint)).collect();
        hints.push(HINTS[draw]);
        hints.dedup();
        format!("[[ ## {field} ## ]]\nAnswer so: {}\n\n[[ ## completed ## ]]", hints.join(" "))
    }

    fn answer(system: &str, asked: &str, rollout: Option<u64>) -> String {
        for field in WRITTEN {
            if system.contains(&format!("`{field}`")) {
                return Self::write(field, asked, rollout);
            }
        }
        let hint =
            |field: &str| Self::write(field, "", rollout).lines().nth(1).unwrap_or_default().to_owned();
        if system.contains("`operations`") {
            let operations = json!([{"type": "ADD", "section": "hints", "content": hint("operations")}]);
            return format!("[[ ## operations ## ]]\n{operations}\n\n[[ ## completed ## ]]");
        }
        if system.contains("`item_tags`") {
            let (insight, shown) = (hint("key_insight"), asked.split("- [").nth(1));
            let id = shown.and_then(|rest| rest.split(']').next()).unwrap_or("none");
            let tags = json!([{"id": id, "tag": "harmful"}]);
            return format!(
                "[[ ## root_cause ## ]]\nx\n\n[[ ## key_insight ## ]]\n{insight}\n\n[[ ## item_tags ## ]]\n{tags}\n\n\
                 [[ ## completed ## ]]"
            );
        }
        if system.contains("`module_advice`") {
            let written = Self::write("module_advice", asked, rollout);
            let advice = written.lines().nth(1).unwrap();
            let advice = json!({"self": advice});
            return format!(
                "[[ ## discussion ## ]]\nx\n\n[[ ## module_advice ## ]]\n{advice}\n\n[[ ## completed ## ]]"
            );
        }
        if system.contains("`idea`") {
            let attempt: usize = number(asked, "attempt-").unwrap_or_default();
            return format!("[[ ## idea ## ]]\n{}\n\n[[ ## completed ## ]]", HINTS[attempt % HINTS.len()]);
        }
        let (animal, row) = (animal(asked), number(asked, "number ").unwrap_or_default());
        let known = [format!("{animal}="), format!("#{row}=")];
        let told = known.iter().find_map(|hint| system.split(hint.as_str()).nth(1));
        let sound = told.and_then(|rest| rest.split_whitespace().next()).unwrap_or("silence");
        format!("[[ ## answer ## ]]\n{sound}\n\n[[ ## completed ## ]]")
    }
}

fn number(text: &str, before: &str) -> Option<usize> {
    let rest = text.split(before).nth(1)?;
    rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

impl LanguageModel for Obedient {
    fn id(&self) -> &'static str {
        "obedient"
    }

    fn complete<'a>(&'a self, request: &'a Request) -> BoxFuture<'a, Result<Response, LmError>> {
        let call = self.calls.fetch_add(1, Ordering::SeqCst);
        Box::pin(async move {
            tokio::task::yield_now().await;
            if self.down_from.is_some_and(|from| call >= from) {
                return Err(LmError::new(LmErrorKind::Server, "obedient", "out of reach"));
            }
            let asked = request.messages.last().unwrap().text().into_owned();
            let reply = Self::answer(&request.messages[0].text(), &asked, request.rollout);
            Ok(Response::text(reply).with_usage(Usage::tokens(20, 5).at_cost(0.001)))
        })
    }
}

/// A model that writes whatever a proposer asks for, other text in each call.
pub fn writer() -> Arc<ScriptedLm> {
    let count = AtomicUsize::new(0);
    Arc::new(ScriptedLm::from_fn(move |request| {
        let system = request.messages[0].text();
        let written = ["rules", "summary", "observations", "description", "instruction"];
        let field = written.into_iter().find(|field| system.contains(&format!("`{field}`"))).unwrap();
        let call = count.fetch_add(1, Ordering::SeqCst);
        format!("[[ ## {field} ## ]]\nText {call}.\n\n[[ ## completed ## ]]")
    }))
}

/// The rows that come first in a race on `count` rows, with the default options.
pub async fn first_block(count: usize) -> Vec<usize> {
    let (lm, data) = (Obedient::new(), Data::new(rows(count)));
    let metric = SharedMetric::new(right);
    let study = Study::builder("Own", one_step(&lm), &data).start(&metric).unwrap();
    let contestant = Contestant::new("one", one_step(&lm));
    let raced = study.race(&Race::new(), &[contestant], study.val()).await.unwrap();
    raced.standings[0].items[..20].iter().map(|item| item.index).collect()
}

/// A metric with 0.5 for `silence`, and other scores for other answers: these two in turn on the rows that come first
/// in a race, and `late` on the others.
pub fn lucky(
    first: Vec<usize>,
    early: [f64; 2],
    late: f64,
) -> impl Fn(&Row, &Values) -> f64 + Send + Sync + 'static {
    move |row, output| {
        let row = number(row.0["question"].as_str().unwrap(), "number ").unwrap();
        match first.iter().position(|known| *known == row) {
            _ if output["answer"] == "silence" => 0.5,
            Some(place) => early[place % 2],
            None => late,
        }
    }
}

/// One step: a question, its answer.
pub fn one_step(lm: &Arc<Obedient>) -> DynPredict {
    let mut program = DynPredict::new("question -> answer".parse().unwrap());
    program.set_lm(Lm::shared(lm.clone()));
    program
}

/// The journal of a folder.
pub fn journal_of(folder: &std::path::Path) -> String {
    std::fs::read_to_string(folder.join("journal.jsonl")).unwrap()
}

/// Leaves the beginning of a journal in a folder, as a killed process would.
pub fn leave(folder: &std::path::Path, journal: &str) {
    std::fs::create_dir_all(folder).unwrap();
    std::fs::write(folder.join("journal.jsonl"), journal).unwrap();
}

/// How many calls stand whole in a journal.
pub fn calls_in(journal: &str) -> usize {
    let whole = |line: &&str| serde_json::from_str::<serde_json::Value>(line).is_ok();
    journal.lines().filter(|line| line.starts_with("{\"event\":\"call\"")).filter(whole).count()
}

/// A step with a tool of this description, which its caller passes.
#[derive(Debug, Clone)]
pub struct Caller(pub DynPredict, pub &'static str);

impl HasPredictors for Caller {
    fn visit<'a>(&'a self, visitor: &mut Visitor<'a, '_>) {
        visitor.field("call", &self.0);
    }

    fn visit_mut(&mut self, visitor: &mut VisitorMut<'_>) {
        visitor.field("call", &mut self.0);
    }
}

impl Module for Caller {
    type Input = Values;
    type Output = Values;

    async fn forward(&self, mut input: Values) -> dspy_core::Result<Prediction<Values>> {
        let tool = json!({"name": "zoo", "description": self.1, "parameters": {"type": "object"}});
        input.insert("tools".into(), json!([tool]));
        self.0.call(input).await
    }
}
