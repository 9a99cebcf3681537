//! `Gepa`: its cost, what it finds, and that it resumes exactly.

#![allow(clippy::unwrap_used, clippy::panic, reason = "in tests a panic is the report")]

mod common;

use std::path::Path;
use std::sync::{Arc, Mutex};

use common::{Caller, Obedient, Row, calls_in, folder, journal_of, leave, one_step, right, rows};
use dspy_core::evaluate::Score;
use dspy_core::lm::Lm;
use dspy_core::predict::{DynPredict, Prediction};
use dspy_core::program::{HasPredictors, Module, Visitor, VisitorMut};
use dspy_core::signature::Values;
use dspy_optimizers::gepa::{Auto, ComponentOrder, Evolve, Front, Proposals, Selector};
use dspy_optimizers::proposer::{Record, TextRequest};
use dspy_optimizers::{
    Budget, Component, ComponentError, Data, Gepa, OptimizeError, Optimized, Race, Report, SharedMetric,
    Stopped,
};

type Result<T> = std::result::Result<T, OptimizeError>;
type Builder = Gepa<SharedMetric<Row, Values>>;

/// The score of an answer, with the fact that it lacks.
fn taught(row: &Row, output: &Values) -> Score {
    let question = row.0["question"].as_str().unwrap();
    let animal = question.split(' ').nth(2).unwrap();
    Score::from(right(row, output)).with_feedback(format!("{animal}={}", row.0["answer"].as_str().unwrap()))
}

/// Adds the first lesson of the failures to the text.
async fn learn(request: TextRequest) -> dspy_core::Result<Vec<String>> {
    let failed = request.records.iter().find(|record| record.score < Some(1.0));
    let lesson = failed.and_then(|record| record.feedback.clone()).unwrap_or_default();
    Ok(vec![format!("{} {lesson} ", request.current)])
}

/// A text that helps nobody, another one for each request.
async fn ramble(request: TextRequest) -> dspy_core::Result<Vec<String>> {
    Ok(vec![format!("Attempt {}.", request.sample)])
}

/// The ideas of a model, which depend on the number of the request.
fn ideas(
    lm: &Arc<Obedient>,
) -> impl Fn(TextRequest) -> dspy_core::lm::BoxFuture<'static, dspy_core::Result<Vec<String>>>
+ Send
+ Sync
+ 'static {
    let mut idea = DynPredict::new("question -> idea".parse().unwrap());
    idea.set_lm(Lm::shared(lm.clone()));
    move |request| {
        let (idea, question) = (idea.clone(), format!("attempt-{}", request.sample));
        Box::pin(async move {
            let input = Values::from_iter([("question".to_owned(), question.into())]);
            let answer = idea.call(input).await?;
            Ok(vec![format!("{} {} ", request.current, answer["idea"].as_str().unwrap())])
        })
    }
}

fn gepa() -> Builder {
    Gepa::builder().metric(taught)
}

fn labels(report: &Report) -> Vec<&str> {
    report.trials.iter().map(|trial| trial.label.as_str()).collect()
}

#[tokio::test]
async fn it_learns_the_facts_that_the_feedback_names() {
    let lm = Obedient::new();
    let optimizer = gepa().proposer(learn).build();
    let optimized = optimizer.compile(one_step(&lm), &rows(25)).await.unwrap();
    let report = optimized.report();
    assert_eq!(
        (report.baseline, report.score(), report.stopped),
        (Some(0.0), Some(1.0), Stopped::ScoreReached)
    );
    assert!(common::HINTS.iter().all(|hint| optimized.predictor().instruction().contains(hint)), "{report}");
    assert_eq!(report.trials[1].parents, [0]);
    assert_eq!(report.trials[1].label, "another self:instruction");
    assert_eq!(report.usage.requests as usize, lm.calls());
}

#[tokio::test]
async fn a_rejected_child_costs_two_minibatches() {
    // A child that could not run on the valset any more is not made.
    let enough = 12 + 3 * 6 + 6 + 12;
    for (rollouts, children) in [(enough, 4), (enough - 1, 3)] {
        let lm = Obedient::new();
        let optimizer = gepa().published().proposer(ramble).max_rollouts(rollouts).build();
        let data = Data::new(rows(30)).valset(rows(12));
        let report = optimizer.compile(one_step(&lm), data).await.unwrap().report().clone();
        assert_eq!(
            (lm.calls(), report.trials.len(), report.stopped),
            (12 + children * 6, 1, Stopped::Finished)
        );
    }
}

#[tokio::test]
async fn without_a_valset_the_first_runs_are_those_of_its_minibatches() {
    let lm = Obedient::new();
    // Each rejected child of the original program costs one minibatch.
    let optimizer = gepa().published().proposer(ramble).max_rollouts(9 + 5 * 3 + 3 + 6 - 1).build();
    optimizer.compile(one_step(&lm), &rows(9)).await.unwrap();
    assert_eq!(lm.calls(), 9 + 5 * 3);
    let scored = gepa().perfect_score(0.0).published().proposer(ramble).max_rollouts(30).build();
    let optimized = scored.compile(one_step(&Obedient::new()), &rows(9)).await.unwrap();
    assert_eq!(optimized.report().stopped, Stopped::NoHeadroom, "the scale is that of the metric");
}

#[tokio::test]
async fn an_accepted_child_costs_the_valset_besides() {
    let lm = Obedient::new();
    let optimizer = gepa().published().proposer(learn).max_merges(0).max_rollouts(12 + 3 * 18).build();
    let data = Data::new(rows(30)).valset(rows(12));
    let report = optimizer.compile(one_step(&lm), data).await.unwrap().report().clone();
    let found = report.trials.len() - 1;
    assert!(found >= 2, "{report}");
    assert!(report.trials.iter().all(|trial| trial.items.len() == 12));
    assert!((12 + found * 18..=12 + 3 * 18).contains(&lm.calls()), "{}", lm.calls());
}

#[tokio::test]
async fn a_child_that_its_parent_beats_is_dropped_early() {
    // The text helps the minibatch and harms everything else.
    let rote = async |request: TextRequest| {
        let number = |record: &Record| {
            let text = record.inputs["question"].as_str().unwrap().to_owned();
            let number = text.split("number ").nth(1).unwrap().split(' ').next().unwrap().to_owned();
            format!("#{number}={} ", record.expected["answer"].as_str().unwrap())
        };
        Ok(vec![request.records.iter().map(number).collect()])
    };
    let run = async |optimizer: Builder| {
        let lm = Obedient::new();
        let mut program = one_step(&lm);
        program.predictor_mut().set_instruction("cow=moo cat=meow dog=woof ");
        let data = Data::new(rows(30)).valset(rows(100));
        let report = optimizer.max_rollouts(500).compile(program, data).await.unwrap().report().clone();
        (report, lm.calls())
    };
    let (raced, _) = run(gepa().proposer(rote)).await;
    let dropped: Vec<_> = raced.trials.iter().filter(|trial| trial.score.is_none()).collect();
    assert!(!dropped.is_empty() && dropped.iter().all(|trial| trial.items.len() == 20), "{raced}");
    assert!(
        dropped[0].notes.iter().any(|note| note.contains("dropped after 20 rows")),
        "{:?}",
        dropped[0].notes
    );
    assert_eq!(raced.best, 0);
    let (full, _) = run(gepa().full_valset().proposer(rote)).await;
    assert!(full.trials.iter().all(|trial| trial.items.len() == 100));
    assert!(full.trials.len() < raced.trials.len(), "the race tries more for the same cost");
}

#[tokio::test]
async fn a_race_that_would_end_early_loses_no_clear_winner() {
    for race in [Race::new().to_the_end(false), Race::new().survivors(2).to_the_end(false)] {
        let data = Data::new(rows(30)).valset(rows(100));
        let optimizer = gepa().race(race).proposer(learn).max_rollouts(2_000).build();
        let optimized = optimizer.compile(one_step(&Obedient::new()), data).await.unwrap();
        let report = optimized.report();
        assert_eq!(report.score(), Some(1.0), "{report}");
        assert_eq!(report.trials[report.best].items.len(), 100);
    }
}

async fn resumable(lm: &Arc<Obedient>, folder: &Path, seed: u64, concurrency: usize) -> Result<Report> {
    let optimizer = gepa().proposer(ideas(lm)).max_rollouts(32).seed(seed).concurrency(concurrency);
    let data = Data::new(rows(6)).valset(rows(5));
    Ok(optimizer.run_dir(folder).build().compile(one_step(lm), data).await?.report().clone())
}

#[tokio::test]
async fn a_killed_run_goes_on_with_the_same_result_and_pays_nothing_twice() {
    let (whole, part) = (folder("gepa-whole"), folder("gepa-part"));
    let lm = Obedient::new();
    let report = resumable(&lm, &whole, 0, 4).await.unwrap();
    assert!(report.trials.len() > 2 && report.score() > report.baseline, "{report}");
    let (total, journal) = (lm.calls(), journal_of(&whole));
    assert_eq!(calls_in(&journal), total);
    for end in journal.match_indices('\n').map(|(at, _)| at + 1) {
        leave(&part, &journal[..end]);
        let lm = Obedient::new();
        assert!(resumable(&lm, &part, 0, 4).await.unwrap() == report, "cut at byte {end}");
        assert_eq!(lm.calls(), total - calls_in(&journal[..end]), "cut at byte {end}");
    }
    for folder in [whole, part] {
        std::fs::remove_dir_all(folder).unwrap();
    }
}

#[tokio::test]
async fn concurrency_changes_nothing_and_the_seed_does() {
    let run = async |seed, concurrency| {
        let folder = folder(&format!("gepa-{seed}-{concurrency}"));
        let report = resumable(&Obedient::new(), &folder, seed, concurrency).await.unwrap();
        std::fs::remove_dir_all(folder).unwrap();
        report
    };
    let first = run(0, 1).await;
    assert!(first == run(0, 16).await);
    let second = run(1, 16).await;
    assert!(second.score() > second.baseline && first.trials != second.trials);
}

#[tokio::test]
async fn a_budget_ends_with_the_best_so_far() {
    for calls in [20, 26, 60, 90] {
        let lm = Obedient::new();
        let optimizer = gepa().proposer(ideas(&lm)).budget(Budget::calls(calls)).build();
        let data = Data::new(rows(12)).valset(rows(25));
        let report = optimizer.compile(one_step(&lm), data).await.unwrap().report().clone();
        assert!(matches!(report.stopped, Stopped::Budget(_)), "{report}");
        assert!(lm.calls() as u64 <= calls);
        assert!(calls < 25 || report.score() >= Some(0.0));
        assert!(calls < 90 || report.score() > report.baseline, "{report}");
    }
}

/// Two predictors: the second one answers what the first one does not know.
#[derive(Debug, Clone)]
struct Either {
    first: DynPredict,
    second: DynPredict,
    spare: DynPredict,
}

impl Either {
    fn new(lm: &Arc<Obedient>) -> Self {
        Either { first: one_step(lm), second: one_step(lm), spare: one_step(lm) }
    }
}

impl HasPredictors for Either {
    fn visit<'a>(&'a self, visitor: &mut Visitor<'a, '_>) {
        visitor.field("first", &self.first);
        visitor.field("second", &self.second);
        visitor.field("spare", &self.spare);
    }

    fn visit_mut(&mut self, visitor: &mut VisitorMut<'_>) {
        visitor.field("first", &mut self.first);
        visitor.field("second", &mut self.second);
        visitor.field("spare", &mut self.spare);
    }
}

impl Module for Either {
    type Input = Values;
    type Output = Values;

    /// The spare one never runs.
    async fn forward(&self, input: Values) -> dspy_core::Result<Prediction<Values>> {
        let (first, second) = (self.first.call(input.clone()).await?, self.second.call(input).await?);
        Ok(if first["answer"] == "silence" { second } else { first })
    }
}

/// The first predictor is told of cows and cats, the second one of all other animals.
fn apart(row: &Row, output: &Values) -> Score {
    let fact = taught(row, output).feedback.unwrap();
    let path = if fact.starts_with('c') { "first" } else { "second" };
    Score::from(right(row, output)).with_feedback("").with_feedback_for(path, fact)
}

/// Adds all lessons of the failures to the text.
async fn learn_all(request: TextRequest) -> dspy_core::Result<Vec<String>> {
    let failed = request.records.iter().filter(|record| record.score < Some(1.0));
    let lessons: Vec<String> = failed.filter_map(|record| record.feedback.clone()).collect();
    Ok(vec![format!("{} {} ", request.current, lessons.join(" ")).replace("  ", " ")])
}

#[tokio::test]
async fn feedback_is_that_of_the_predictor_and_trajectories_show_the_others() {
    let (lm, seen) = (Obedient::new(), Arc::new(Mutex::new(Vec::new())));
    let told = seen.clone();
    let optimizer = Gepa::builder().metric(apart).trajectories(true).proposer(move |request: TextRequest| {
        told.lock().unwrap().push(request.clone());
        learn_all(request)
    });
    let optimized = optimizer.max_rollouts(400).build().compile(Either::new(&lm), &rows(20)).await.unwrap();
    assert_eq!(optimized.report().score(), Some(1.0), "{}", optimized.report());
    let known = |path: &str| {
        let parameters = &optimized.report().best_trial().unwrap().parameters[path].instruction;
        (parameters.contains("cow="), parameters.contains("owl="))
    };
    assert_eq!((known("first"), known("second")), ((true, false), (false, true)));
    let seen = seen.lock().unwrap();
    assert!(seen.iter().all(|request| request.component.predictor() != "spare"), "it never runs");
    let record = &seen[0].records[0];
    let context = record.context.as_deref().unwrap();
    assert!(context.starts_with("1. (this call)\n2. second: question = What does"), "{context}");
    assert_eq!(record.expected.keys().collect::<Vec<_>>(), ["answer"]);
    assert_eq!(seen[0].records.len(), 3);
}

#[tokio::test]
async fn candidates_that_changed_different_predictors_are_merged() {
    let run = async |merges: usize, seed: u64| {
        let lm = Obedient::new();
        let optimizer =
            Gepa::builder().metric(apart).proposer(learn_all).selector(Selector::EpsilonGreedy(1.0));
        let optimizer = optimizer.max_merges(merges).max_rollouts(200).skip_perfect(false).seed(seed).build();
        let data = Data::new(rows(10)).valset(rows(10));
        optimizer.compile(Either::new(&lm), data).await.unwrap().report().clone()
    };
    let mut merged = 0;
    for seed in 0..3 {
        let report = run(2, seed).await;
        let merges: Vec<_> =
            report.trials.iter().filter(|trial| trial.label.starts_with("merge of")).collect();
        assert!(merges.len() <= 2);
        for merge in &merges {
            let [first, second] = merge.parents[..] else { panic!("{merge:?}") };
            let instruction =
                |trial: usize, path: &str| report.trials[trial].parameters[path].instruction.clone();
            for path in ["first", "second"] {
                let own = &merge.parameters[path].instruction;
                assert!([first, second].iter().any(|parent| instruction(*parent, path) == *own));
            }
        }
        merged += merges.len();
        let none = run(0, seed).await;
        assert!(!labels(&none).iter().any(|label| label.starts_with("merge")));
    }
    assert!(merged > 0);
}

#[tokio::test]
async fn all_components_can_change_at_once() {
    let lm = Obedient::new();
    let optimizer = Gepa::builder().metric(apart).proposer(learn_all).component_order(ComponentOrder::All);
    let report = optimizer.max_rollouts(400).build().compile(Either::new(&lm), &rows(20)).await.unwrap();
    let labels = labels(report.report());
    assert!(labels.contains(&"another first:instruction, second:instruction"), "{labels:?}");
}

#[tokio::test]
async fn fronts_of_objectives_keep_what_is_best_in_one() {
    let metric = |row: &Row, output: &Values| {
        let right = Score::from(right(row, output)).value;
        taught(row, output).with_objective("right", right).with_objective("quiet", 1.0 - right)
    };
    for front in [Front::Instance, Front::Objective, Front::Hybrid] {
        let lm = Obedient::new();
        let optimizer = Gepa::builder().metric(metric).front(front).proposer(learn).max_rollouts(300).build();
        let report = optimizer.compile(one_step(&lm), &rows(20)).await.unwrap().report().clone();
        assert!(report.score() > Some(0.5), "{front:?} {report}");
        // The given program is the best in being quiet, so it stays a parent.
        let given = report.trials.iter().filter(|trial| trial.parents == [0]).count();
        assert!(front == Front::Instance || given >= 2, "{front:?} {report}");
    }
    // Without objectives, the front is that of the rows.
    let run = async |front| {
        let optimizer = gepa().front(front).proposer(learn).max_rollouts(200).build();
        optimizer.compile(one_step(&Obedient::new()), &rows(20)).await.unwrap().report().clone()
    };
    assert_eq!(run(Front::Objective).await, run(Front::Instance).await);
}

#[tokio::test]
async fn selectors_find_something() {
    for selector in [Selector::CurrentBest, Selector::EpsilonGreedy(0.1), Selector::TopKPareto(2)] {
        let optimizer = gepa().selector(selector).proposer(learn).max_rollouts(300).build();
        let report = optimizer.compile(one_step(&Obedient::new()), &rows(20)).await.unwrap().report().clone();
        assert!(report.score() > Some(0.5), "{selector:?} {report}");
    }
}

#[tokio::test]
async fn other_parts_of_prompts_evolve() {
    let choices = "question -> answer: Literal['moo', 'meow', 'woof', 'quack', 'hoot', 'silence']";
    let run = async |evolve: Vec<Evolve>| {
        let mut program = DynPredict::new(choices.parse().unwrap());
        program.set_lm(Lm::shared(Obedient::new()));
        let optimizer = gepa().components(evolve).proposer(learn).max_rollouts(400).build();
        let optimized = optimizer.compile(program, Data::new(rows(20)).valset(rows(10))).await.unwrap();
        (optimized.report().clone(), optimized.into_program())
    };
    let (report, program) = run(vec![Evolve::Descriptions]).await;
    assert!(report.score() > Some(0.5), "{report}");
    assert!(program.predictor().spec().field("answer").unwrap().description().contains('='));
    let moo = Component::variant("self", "answer", "moo");
    let (report, program) = run(vec![moo.into()]).await;
    assert!(report.score() > Some(0.1), "{report}");
    assert!(program.predictor().spec().field("answer").unwrap().choices()[0].1.contains('='));
    assert!(report.changes().to_string().contains("description of answer.moo"), "{}", report.changes());
    let (report, _) = run(vec![Evolve::Variants]).await;
    let variants: std::collections::BTreeSet<_> = labels(&report).into_iter().skip(1).collect();
    assert!(
        !variants.is_empty() && variants.iter().all(|label| label.contains(":variant.answer.")),
        "{variants:?}"
    );
}

#[tokio::test]
async fn demonstrations_evolve_from_rows_and_from_runs() {
    let lm = common::Parrot::new();
    let mut program = DynPredict::new("question -> answer".parse().unwrap());
    program.set_lm(Lm::shared(lm.clone()));
    let optimizer =
        Gepa::builder().metric(right).components([Evolve::Demos]).max_demos(3).max_rollouts(400).build();
    let data = Data::new(rows(20)).valset(rows(20));
    let optimized = optimizer.compile(program, data).await.unwrap();
    let report = optimized.report();
    assert!(report.score() > report.baseline, "{report}");
    assert!((1..=3).contains(&optimized.predictor().demos().len()));
}

#[tokio::test]
async fn tools_are_found_when_the_program_runs() {
    let spec = "question, tools: list[Tool] -> answer, calls: Optional[ToolCalls]";
    let mut program = Caller(DynPredict::new(spec.parse().unwrap()), "A zoo.");
    let lm = Lm::shared(Arc::new(Zoo));
    program.set_lm(lm);
    let optimizer = gepa().components([Evolve::Tools]).proposer(learn).max_rollouts(300).build();
    let optimized = optimizer.compile(program, Data::new(rows(20)).valset(rows(10))).await.unwrap();
    let report = optimized.report();
    assert!(report.score() > report.baseline, "{report}");
    let text = &optimized.named_predictors()[0].1.tool_descriptions()["zoo"];
    assert!(text.starts_with("A zoo. ") && text.contains('='), "{text}");
    assert_eq!(report.trials[1].label, "another call:tool.zoo");
}

/// Knows what the descriptions of tools say, wherever in the prompt.
#[derive(Debug)]
struct Zoo;

impl dspy_core::lm::LanguageModel for Zoo {
    fn id(&self) -> &'static str {
        "zoo"
    }

    fn complete<'a>(
        &'a self,
        request: &'a dspy_core::lm::Request,
    ) -> dspy_core::lm::BoxFuture<'a, std::result::Result<dspy_core::lm::Response, dspy_core::lm::LmError>>
    {
        Box::pin(async move {
            let text: String = request.messages.iter().map(|message| message.text().into_owned()).collect();
            let animal = text.split("does ").last().unwrap().split(' ').next().unwrap();
            let sound = text
                .split(&format!("{animal}="))
                .nth(1)
                .map_or("silence", |rest| rest.split(|c: char| !c.is_alphabetic()).next().unwrap());
            Ok(dspy_core::lm::Response::text(format!("[[ ## answer ## ]]\n{sound}\n\n[[ ## completed ## ]]")))
        })
    }
}

#[tokio::test]
async fn proposals_that_are_none_cost_only_their_calls() {
    let nonsense: [(&str, String); 4] = [
        ("nothing", String::new()),
        ("markers", "[[ ## completed ## ]]".into()),
        ("100 KB", "x".repeat(100_000)),
        ("the same", "Given `question`.".into()),
    ];
    for (name, text) in nonsense {
        let lm = Obedient::new();
        let mut program = one_step(&lm);
        program.predictor_mut().set_instruction("Given `question`.");
        let optimizer = gepa().proposer(move |_: TextRequest| {
            let text = text.clone();
            async move { Ok(vec![text]) }
        });
        let data = Data::new(rows(9)).valset(rows(12));
        let report = optimizer.budget(Budget::calls(1_000)).build().compile(program, data).await.unwrap();
        // The valset, and each row of the trainset once; then nothing new is tried.
        assert_eq!((lm.calls(), report.report().trials.len()), (21, 1), "{name}");
        assert_eq!(report.report().stopped, Stopped::Finished, "{name}");
    }
    let failing = |_: TextRequest| async { Err(dspy_core::Error::other("no idea")) };
    let report =
        gepa().proposer(failing).build().compile(one_step(&Obedient::new()), &rows(9)).await.unwrap();
    assert_eq!(report.report().trials.len(), 1);
}

#[tokio::test]
async fn a_dead_proposer_is_an_outage() {
    let down = Obedient::down_from(0);
    let optimizer = gepa().proposer(ideas(&down)).build();
    let error = optimizer.compile(one_step(&Obedient::new()), &rows(9)).await.unwrap_err();
    assert!(matches!(error, OptimizeError::Outage { .. }), "{error}");
}

#[tokio::test]
async fn what_cannot_work_is_a_clear_error() {
    let lm = Obedient::new();
    let fails = async |optimizer: Builder| {
        let error = optimizer.proposer(ramble).compile(one_step(&lm), &rows(9)).await.unwrap_err();
        error.to_string()
    };
    assert_eq!(
        fails(gepa().minibatch(0)).await,
        "invalid value 0 of the option `minibatch`; expected at least 1"
    );
    assert!(
        fails(gepa().components([] as [Evolve; 0]))
            .await
            .contains("`components`; expected at least one kind")
    );
    let message = fails(gepa().components([Evolve::Variants])).await;
    assert!(
        message.contains("[Variants] of the option `components`; expected components that the"),
        "{message}"
    );
    let message = fails(gepa().max_rollouts(10)).await;
    assert!(message.contains("10, less than 15, of the option `max_rollouts`"), "{message}");
    let message = fails(gepa().selector(Selector::EpsilonGreedy(2.0))).await;
    assert!(message.contains("epsilon-greedy with 2 of the option `selector`"), "{message}");
    let message = fails(gepa().max_chars(0)).await;
    assert!(message.contains("invalid value 0 of the option `max_chars`"), "{message}");
    for proposals in [
        Proposals::new(0, 1),
        Proposals::new(1, 0),
        Proposals::new(usize::MAX, usize::MAX),
        Proposals::new(1, 1_001),
        Proposals::new(2, 2).keep(0),
    ] {
        let message = fails(gepa().proposals(proposals)).await;
        assert!(message.contains("of the option `proposals`; expected 1 to 1000 children"), "{message}");
    }
    let unknown = gepa().components([Component::instruction("answer")]).proposer(ramble);
    let error = unknown.compile(one_step(&lm), &rows(9)).await.unwrap_err();
    assert!(matches!(error, OptimizeError::Component(ComponentError::Unknown { .. })), "{error}");
    let empty = gepa().compile(one_step(&lm), &[] as &[Row; 0]).await.unwrap_err();
    assert!(matches!(empty, OptimizeError::Empty { set: "trainset" }));
    let none = gepa().compile(common::Steps(Vec::new()), &rows(9)).await.unwrap_err();
    assert!(matches!(none, OptimizeError::NoPredictors));
    assert_eq!(lm.calls(), 0);
    let nan = Gepa::builder().metric(|_: &Row, _: &Values| f64::NAN).proposer(ramble).build();
    let error = nan.compile(one_step(&lm), &rows(20)).await.unwrap_err();
    assert!(matches!(error, OptimizeError::Metric { failed: 11, .. }), "{error}");
}

#[tokio::test]
async fn tiny_sets_and_constant_metrics_end() {
    for (count, minibatch) in [(1, 3), (2, 50), (4, 1)] {
        let optimizer = gepa().proposer(learn).minibatch(minibatch).build();
        let report = optimizer.compile(one_step(&Obedient::new()), &rows(count)).await.unwrap();
        assert_eq!(report.report().score(), Some(1.0), "{count} rows, {minibatch}");
    }
    for constant in [0.3, 1.0] {
        let optimizer = Gepa::builder().metric(move |_: &Row, _: &Values| constant).proposer(ramble).build();
        let report = optimizer.compile(one_step(&Obedient::new()), &rows(9)).await.unwrap().report().clone();
        assert_eq!((report.trials.len(), report.score()), (1, Some(constant)));
    }
}

#[tokio::test]
async fn a_metric_of_another_scale_is_not_perfect_at_1() {
    let percent = |row: &Row, output: &Values| {
        let score = taught(row, output);
        Score::new(40.0 + 60.0 * score.value).with_feedback(score.feedback.unwrap())
    };
    let learn_below_100 = async |mut request: TextRequest| {
        for record in &mut request.records {
            record.score = record.score.map(|score| (score - 40.0) / 60.0);
        }
        learn(request).await
    };
    let run = async |optimizer: Builder| {
        let optimizer = optimizer.proposer(learn_below_100).max_rollouts(400).build();
        optimizer.compile(one_step(&Obedient::new()), &rows(20)).await.unwrap().report().clone()
    };
    let report = run(Gepa::builder().metric(percent)).await;
    assert_eq!(
        (report.baseline, report.score(), report.stopped),
        (Some(40.0), Some(100.0), Stopped::Finished)
    );
    assert!(report.warnings.iter().any(|warning| warning.contains("perfect_score")), "{:?}", report.warnings);
    let told = run(Gepa::builder().metric(percent).perfect_score(100.0)).await;
    assert_eq!((told.score(), told.stopped), (Some(100.0), Stopped::ScoreReached));
    assert!(told.warnings.is_empty(), "{:?}", told.warnings);
    // All the same, and below 1: nothing is known to be perfect.
    let zero = run(Gepa::builder().metric(|_: &Row, _: &Values| -3.0)).await;
    assert_eq!((zero.trials.len(), zero.stopped), (1, Stopped::Finished));
}

#[tokio::test]
async fn all_fronts_find_something() {
    // An objective for each animal, on its rows only.
    let metric = |row: &Row, output: &Values| {
        let score = taught(row, output);
        let animal = score.feedback.as_deref().unwrap().split('=').next().unwrap().to_owned();
        let value = score.value;
        score.with_objective(animal, value)
    };
    for front in [Front::Instance, Front::Objective, Front::Hybrid, Front::Cartesian] {
        let lm = Obedient::new();
        let optimizer = Gepa::builder().metric(metric).front(front).proposer(learn).max_rollouts(400).build();
        let data = Data::new(rows(20)).valset(rows(10));
        let report = optimizer.compile(one_step(&lm), data).await.unwrap().report().clone();
        assert_eq!(report.score(), Some(1.0), "{front:?} {report}");
        assert!(lm.calls() <= 400);
        assert_eq!(report.usage.requests as usize, lm.calls());
        // Without objectives, all are the front of the rows.
        let optimizer = gepa().front(front).proposer(learn).max_rollouts(400).build();
        let data = Data::new(rows(20)).valset(rows(10));
        let report = optimizer.compile(one_step(&Obedient::new()), data).await.unwrap().report().clone();
        assert_eq!(report.score(), Some(1.0), "{front:?} {report}");
    }
}

#[tokio::test]
async fn rows_on_which_the_metric_fails_do_not_exceed_the_limit() {
    let metric = |row: &Row, output: &Values| {
        if row.0["question"].as_str().unwrap().contains("number 3 ") {
            Err("no opinion")
        } else {
            Ok(taught(row, output))
        }
    };
    for (front, merges) in [(Front::Instance, 5), (Front::Hybrid, 0)] {
        let lm = Obedient::new();
        let optimizer = Gepa::builder().metric(metric).front(front).proposer(learn).max_merges(merges);
        let optimizer = optimizer.max_errors(1_000).max_rollouts(200).build();
        let report = optimizer.compile(one_step(&lm), &rows(25)).await.unwrap().report().clone();
        assert!(report.score() > report.baseline, "{report}");
        assert!(lm.calls() <= 200, "{front:?}: {}", lm.calls());
    }
}

/// The ideas of a model, two candidates at a time and two children of each.
async fn parallel(lm: &Arc<Obedient>, folder: Option<&Path>, concurrency: usize) -> Result<Report> {
    let optimizer = gepa().proposer(ideas(lm)).proposals(Proposals::new(2, 2).keep(2)).max_rollouts(90);
    let optimizer = match folder {
        Some(folder) => optimizer.run_dir(folder),
        None => optimizer,
    };
    let data = Data::new(rows(9)).valset(rows(5));
    let optimizer = optimizer.concurrency(concurrency).build();
    Ok(optimizer.compile(one_step(lm), data).await?.report().clone())
}

#[tokio::test]
async fn several_proposals_resume_exactly_at_any_concurrency() {
    let (whole, part) = (folder("gepa-several-whole"), folder("gepa-several-part"));
    let lm = Obedient::new();
    let report = parallel(&lm, Some(&whole), 4).await.unwrap();
    assert!(report.trials.len() > 2 && report.score() > report.baseline, "{report}");
    let (total, journal) = (lm.calls(), journal_of(&whole));
    for concurrency in [1, 64] {
        assert!(parallel(&Obedient::new(), None, concurrency).await.unwrap() == report);
    }
    for end in journal.match_indices('\n').map(|(at, _)| at + 1).step_by(2) {
        leave(&part, &journal[..end]);
        let lm = Obedient::new();
        assert!(parallel(&lm, Some(&part), 16).await.unwrap() == report, "cut at byte {end}");
        assert_eq!(lm.calls(), total - calls_in(&journal[..end]), "cut at byte {end}");
    }
    for folder in [whole, part] {
        std::fs::remove_dir_all(folder).unwrap();
    }
}

#[tokio::test]
async fn children_of_one_candidate_share_its_minibatch() {
    let (lm, seen) = (Obedient::new(), Arc::new(Mutex::new(Vec::new())));
    let requests = seen.clone();
    let noted = move |request: TextRequest| {
        requests.lock().unwrap().push((request.sample, request.temperature, request.records.len()));
        ramble(request)
    };
    // Two iterations of 3 + 4 × 3 rollouts, of which none is better; the last one has room for three children.
    let limit = 12 + 15 + 12 + 12;
    let optimizer = gepa().published().proposals(Proposals::new(1, 4)).proposer(noted).max_rollouts(limit);
    let data = Data::new(rows(30)).valset(rows(12));
    let report = optimizer.build().compile(one_step(&lm), data).await.unwrap().report().clone();
    assert_eq!((lm.calls(), report.trials.len()), (12 + 15 + 12, 1));
    let seen = seen.lock().unwrap().clone();
    let another = Some(1.0);
    let expected = [(0, None, 3), (1, another, 3), (2, another, 3), (3, another, 3)];
    assert_eq!(seen[..4], expected);
    assert_eq!(seen.len(), 4 + 3);

    // Of several that are better, only the best goes on.
    let both = async |request: TextRequest| {
        let text = if request.sample.is_multiple_of(2) {
            "cow=moo "
        } else {
            "cow=moo cat=meow dog=woof duck=quack owl=hoot "
        };
        Ok(vec![text.to_owned()])
    };
    for (kept, candidates) in [(1, 2), (2, 3)] {
        let proposals = Proposals::new(1, 2).keep(kept);
        let optimizer =
            gepa().full_valset().proposals(proposals).minibatch(5).proposer(both).max_rollouts(10_000);
        let data = Data::new(rows(5)).valset(rows(10));
        let report =
            optimizer.build().compile(one_step(&Obedient::new()), data).await.unwrap().report().clone();
        assert_eq!((report.trials.len(), report.score()), (candidates, Some(1.0)), "{report}");
    }
}

#[tokio::test]
async fn a_proposer_that_cannot_work_is_an_error_and_one_that_fails_a_warning() {
    let cannot = |_: TextRequest| async {
        "a -> b: Nonsense<".parse::<dspy_core::signature::SignatureSpec>()?;
        Ok(Vec::new())
    };
    let optimizer = gepa().proposer(cannot).build();
    let error = optimizer.compile(one_step(&Obedient::new()), &rows(9)).await.unwrap_err();
    assert!(!matches!(error, OptimizeError::Outage { .. }), "{error}");
    let failing = |_: TextRequest| async { Err(dspy_core::Error::other("no idea")) };
    let long = |_: TextRequest| async { Ok(vec!["x".repeat(20_000)]) };
    let warnings = async |optimizer: Builder| {
        let optimized = optimizer.build().compile(one_step(&Obedient::new()), &rows(9)).await.unwrap();
        optimized.report().warnings.concat()
    };
    let warning = warnings(gepa().proposer(failing)).await;
    assert!(warning.contains("could not be used") && warning.contains("no idea"), "{warning}");
    let warning = warnings(gepa().proposer(long)).await;
    assert!(warning.contains("20000 characters, more than `max_chars`"), "{warning}");
    assert_eq!(warnings(gepa().proposer(learn)).await, "");
}

#[test]
fn sizes_are_those_of_python() {
    assert_eq!(
        [Auto::Light, Auto::Medium, Auto::Heavy].map(|auto| auto.rollouts(4, 100)),
        [2465, 3355, 3900]
    );
}

#[tokio::test]
async fn what_determines_the_result_is_in_the_journal() {
    let folder = folder("gepa-header");
    let run = async |optimizer: Builder| {
        let optimizer = optimizer.proposer(learn).max_rollouts(60).run_dir(&folder).build();
        optimizer.compile(one_step(&Obedient::new()), &rows(12)).await.map(Optimized::into_program)
    };
    run(gepa()).await.unwrap();
    let error = run(gepa().minibatch(4).trajectories(true)).await.unwrap_err().to_string();
    for part in ["`settings.minibatch` was 3, is now 4", "`settings.trajectories` was false, is now true"] {
        assert!(error.contains(part), "{error}");
    }
    std::fs::remove_dir_all(folder).unwrap();
}
