//! The built-in model learns from its prompt: from demonstrations, from instructions, and under an optimizer.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "in tests a panic is the report")]

use dspy::adapter::JsonAdapter;
use dspy::lm::{Message, Request};
use dspy::optimizers::{
    Auto, BootstrapFewShotWithRandomSearch, BoxOptimizer, Copro, Data, Gepa, InferRules, LabeledFewShot,
    MiproV2, Optimizer as _, Verify,
};
use dspy::prelude::*;
use proptest::prelude::*;

#[field_type]
#[derive(Debug, Clone, Copy, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Team {
    Billing,
    Shipping,
    Returns,
    Technical,
    Account,
    Sales,
}

/// Decide which team should answer a customer's message.
#[signature]
#[derive(Clone)]
struct Route {
    #[input]
    message: String,
    #[output]
    team: Team,
}

fn tickets() -> (Vec<Route>, Vec<Route>) {
    let text = include_str!("../examples/data/tickets.jsonl");
    dspy::data::split(dspy::data::parse_jsonl(text).unwrap(), 0.5, dspy::Seed::new(7))
}

async fn score(program: &impl Module<Input = RouteInput, Output = RouteOutput>, rows: &[Route]) -> f64 {
    let right = |example: &Route, output: &RouteOutput| example.team == output.team;
    let result = Evaluate::new(right).run(program, rows).await.unwrap();
    assert_eq!(result.errors().count(), 0);
    result.score().unwrap()
}

fn builtin() -> Predict<Route> {
    Predict::new().with_lm(Lm::builtin())
}

#[tokio::test]
async fn demonstrations_teach() {
    let (train, test) = tickets();
    let bare = score(&builtin(), &test).await;
    // Which examples are shown is a matter of luck, so each number is the mean of three draws.
    let mut last = bare;
    for demos in [24, 120] {
        let mut better = 0.0;
        for seed in 0..3 {
            let labeled = LabeledFewShot::builder().k(demos).seed(seed).build();
            better += score(&*labeled.compile(builtin(), &train).await.unwrap(), &test).await / 3.0;
        }
        println!("{demos} demonstrations: {last:.3} → {better:.3}");
        assert!(better > last + 0.05, "{demos} demonstrations: {last} → {better}");
        last = better;
    }
    assert!(last > bare + 0.2, "{bare} → {last}");
    // Demonstrations of something else teach nothing.
    let mut wrong = train.clone();
    wrong.iter_mut().for_each(|row| row.message = "Lorem ipsum dolor sit amet.".into());
    let confused = LabeledFewShot::builder().k(12).build().compile(builtin(), &wrong).await.unwrap();
    assert!(score(&*confused, &test).await < bare + 0.05);
}

#[tokio::test]
async fn instructions_teach() {
    let (_, test) = tickets();
    let rules = "Decide which team should answer. Invoices, charges, cards and payments go to billing. Parcels, \
                 couriers, tracking and delivery go to shipping. Sending something back, refunds and exchanges go to \
                 returns. Errors, crashes and broken products go to technical. Passwords, logins and e-mail addresses \
                 go to account. Questions about stock, discounts and compatibility before an order go to sales.";
    let (bare, told) =
        (score(&builtin(), &test).await, score(&builtin().with_instruction(rules), &test).await);
    assert!(told > bare + 0.1, "{bare} → {told}");
}

/// Write a better instruction for the program that made these records.
#[signature]
struct Propose {
    #[input]
    current_instruction: String,
    #[input]
    examples_with_feedback: Vec<serde_json::Value>,
    #[output]
    new_instruction: String,
}

/// Returns the instruction that the model proposes for labelled rows.
async fn proposed<E: Example + serde::Serialize>(rows: &[E], current: &str, rollout: Option<u64>) -> String {
    let records = rows.iter().map(|row| serde_json::to_value(row).unwrap()).collect();
    let mut lm = Lm::builtin().temperature(1.0);
    if let Some(rollout) = rollout {
        lm = lm.rollout(rollout);
    }
    let propose = Predict::<Propose>::new().with_lm(lm);
    let input = ProposeInput { current_instruction: current.into(), examples_with_feedback: records };
    propose.call(input).await.unwrap().new_instruction.clone()
}

#[tokio::test]
async fn it_writes_instructions_that_it_obeys() {
    let (train, test) = tickets();
    let bare = "Decide which team should answer a customer's message.";
    let before = score(&builtin(), &test).await;
    let mut sum = 0.0;
    for rollout in [None, Some(1), Some(2)] {
        let instruction = proposed(&train, bare, rollout).await;
        let after = score(&builtin().with_instruction(&*instruction), &test).await;
        println!("{before:.3} → {after:.3}\n{instruction}\n");
        assert!(instruction.starts_with(bare));
        sum += after / 3.0;
    }
    assert!(sum > before + 0.1, "{before} → {sum}");
}

#[tokio::test]
async fn an_optimizer_lifts_it_on_rows_that_it_never_saw() {
    let (train, test) = tickets();
    let right = |example: &Route, output: &RouteOutput| example.team == output.team;
    let program = ChainOfThought::<Route>::new().with_lm(Lm::builtin());
    let before = score(&program, &test).await;
    let optimizer = BootstrapFewShotWithRandomSearch::builder()
        .metric(right)
        .num_candidate_programs(3)
        .max_labeled_demos(32);
    let optimized = optimizer.build().compile(program, &train).await.unwrap();
    let after = score(&*optimized, &test).await;
    assert!(after > before + 0.1, "{before} → {after}");
}

fn exact(example: &Route, output: &RouteOutput) -> bool {
    example.team == output.team
}

/// Says what the right answer is.
fn judged(example: &Route, output: &RouteOutput) -> Score {
    let right = example.team == output.team;
    let name = format!("{:?}", example.team).to_lowercase();
    Score::from(right).with_feedback(if right { "right".to_owned() } else { format!("expected {name}") })
}

/// The mean scores on held-out rows before and after the optimization, over three splits of the rows.
async fn lift(name: &str, optimizer: impl Fn(u64) -> BoxOptimizer<Predict<Route>, Route>) -> (f64, f64) {
    let all: Vec<Route> = dspy::data::parse_jsonl(include_str!("../examples/data/tickets.jsonl")).unwrap();
    let (mut before, mut after) = (0.0, 0.0);
    for seed in 0..3 {
        let root = dspy::Seed::new(seed);
        let (rows, test) = dspy::data::split(all.clone(), 0.6, root.branch("test"));
        let (train, val) = dspy::data::split(rows, 0.5, root.branch("val"));
        let data = Data::new(&train).valset(&val);
        // The proposers use the current model.
        let run = Settings::new()
            .lm(Lm::builtin())
            .scope(async { optimizer(seed).compile(Predict::<Route>::new(), data).await.unwrap() });
        let optimized = run.await.into_program().with_lm(Lm::builtin());
        let (bare, learned) = (score(&builtin(), &test).await, score(&optimized, &test).await);
        println!("{name}, seed {seed}: {bare:.3} → {learned:.3}");
        before += bare / 3.0;
        after += learned / 3.0;
    }
    (before, after)
}

#[tokio::test]
async fn optimizers_of_instructions_lift_it_with_their_own_prompts() {
    let copro =
        |seed| Copro::builder().metric(exact).breadth(5).depth(2).examples(30).seed(seed).build().boxed();
    let infer_rules = |seed| {
        let infer = InferRules::builder().metric(exact).num_candidates(4);
        infer.max_bootstrapped_demos(0).max_labeled_demos(0).seed(seed).build().boxed()
    };
    let gepa = |seed| {
        // More rows in a reflection than the default, as the model has nothing to go by but their words.
        let gepa = Gepa::builder().metric(judged).auto(Auto::Medium).minibatch(12);
        gepa.seed(seed).build().boxed()
    };
    for (name, (before, after)) in [
        ("Copro", lift("Copro", copro).await),
        ("InferRules", lift("InferRules", infer_rules).await),
        ("Gepa", lift("Gepa", gepa).await),
    ] {
        assert!(after > before + 0.1, "{name}: {before} → {after}");
    }
}

#[tokio::test]
async fn mipro_v2_lifts_it_past_its_verification() {
    let mipro = |seed| {
        let mipro = MiproV2::builder().metric(exact).auto(Auto::Light).verify(Verify::rows(40));
        mipro.seed(seed).build().boxed()
    };
    let (before, after) = lift("MiproV2", mipro).await;
    assert!(after > before + 0.1, "{before} → {after}");
}

#[tokio::test]
async fn it_answers_in_the_layout_and_type_that_were_asked_for() {
    #[signature]
    struct Sizes {
        #[input]
        width: f64,
        #[input]
        height: f64,
        #[output]
        #[schemars(range(min = 0, max = 100))]
        area: i64,
        #[output]
        label: Option<String>,
        #[output]
        flags: Vec<bool>,
    }
    for program in [Predict::<Sizes>::new(), Predict::new().with_adapter(JsonAdapter)] {
        let answer = program.with_lm(Lm::builtin()).call((3.0, 4.0)).await.unwrap();
        assert_eq!(answer.attempts().len(), 1, "{:?}", answer.completions());
        assert!((0..=100).contains(&answer.area));
    }
    let check = chain_of_thought!("claims: list[str] -> verdicts: list[bool]");
    let claims = vec!["The sky is blue.".to_owned(), "Fish can fly.".to_owned()];
    let mut check = check;
    check.set_lm(Lm::builtin());
    let answer = check.call(claims).await.unwrap();
    assert_eq!(answer.verdicts.len(), 2, "one for each claim");
    assert!(answer.reasoning().is_some());
}

#[tokio::test]
async fn the_same_prompt_gets_the_same_answer_and_another_rollout_may_not() {
    let (_, test) = tickets();
    let ask = |rollout: Option<u64>| {
        let mut lm = Lm::builtin().temperature(1.0);
        if let Some(rollout) = rollout {
            lm = lm.rollout(rollout);
        }
        let program = Predict::<Route>::new().with_lm(lm);
        let messages: Vec<String> = test[..20].iter().map(|row| row.message.clone()).collect();
        async move {
            let mut teams = Vec::new();
            for message in messages {
                teams.push(program.call(message).await.unwrap().team);
            }
            teams
        }
    };
    assert_eq!(ask(None).await, ask(None).await);
    assert_eq!(ask(Some(3)).await, ask(Some(3)).await);
    let samples = [ask(Some(1)).await, ask(Some(2)).await, ask(Some(3)).await, ask(Some(4)).await];
    assert!(samples.iter().any(|sample| *sample != samples[0]), "samples differ");
}

#[tokio::test]
async fn ten_thousand_demonstrations_are_no_trouble() {
    let demos = (0..10_000).map(|index| Route {
        message: format!("message {index} about thing {}", index % 97),
        team: if index % 97 < 50 { Team::Billing } else { Team::Sales },
    });
    let program = builtin().with_demos(demos).unwrap();
    assert_eq!(program.call("a message about thing 3").await.unwrap().team, Team::Billing);
    assert_eq!(program.call("a message about thing 90").await.unwrap().team, Team::Sales);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]
    #[test]
    fn no_prompt_upsets_it(texts in prop::collection::vec("(\\PC|\n|\\[\\[ ## [a-z]{0,3} ## \\]\\]|`[a-z]` \\([a-z|\"\\[\\]]{0,9}\\)){0,40}", 0..5)) {
        let roles: [fn(String) -> Message; 3] =
            [|text| Message::system(text), |text| Message::user(text), |text| Message::assistant(text)];
        let messages = texts.into_iter().enumerate().map(|(index, text)| roles[index % 3](text)).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let response = runtime.block_on(Lm::builtin().complete(Request::new(messages))).unwrap();
        prop_assert_eq!(response.completions.len(), 1);
    }
}

/// Public data, where it has been laid beside the project; see the folder's own notes for its origin.
#[tokio::test]
async fn it_learns_real_data_sets() {
    #[signature]
    struct Iris {
        #[input]
        petal_length: String,
        #[input]
        petal_width: String,
        #[input]
        sepal_length: String,
        #[input]
        sepal_width: String,
        /// setosa, versicolor or virginica
        #[output]
        answer: Species,
    }
    #[field_type]
    #[derive(PartialEq)]
    #[serde(rename_all = "lowercase")]
    enum Species {
        Setosa,
        Versicolor,
        Virginica,
    }
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/iris");
    if !folder.exists() {
        println!("skipped: no data beside the project");
        return;
    }
    let read = |name: &str| dspy::data::read_jsonl::<Iris>(folder.join(name));
    let (train, test) = (read("train.jsonl").unwrap(), read("val.jsonl").unwrap());
    let right = |example: &Iris, output: &IrisOutput| example.answer == output.answer;
    let program = Predict::<Iris>::new().with_lm(Lm::builtin());
    let before = Evaluate::new(right).run(&program, &test).await.unwrap().score().unwrap();
    let taught = LabeledFewShot::builder().build().compile(program, &train).await.unwrap();
    let after = Evaluate::new(right).run(&taught, &test).await.unwrap().score().unwrap();
    println!("iris: {before:.3} without, {after:.3} with {} demonstrations", train.len());
    let instruction = proposed(&train, "Name the species.", None).await;
    let told = Predict::<Iris>::new().with_lm(Lm::builtin()).with_instruction(&*instruction);
    let told = Evaluate::new(right).run(&told, &test).await.unwrap().score().unwrap();
    println!("iris: {told:.3} with the instruction\n{instruction}");
    assert!(told > 0.8, "{told}\n{instruction}");
    assert!(after > 0.8 && after > before + 0.2, "{before} → {after}");
}
